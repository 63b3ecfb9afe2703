package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// machineService is to whom a role of an instance profile is passed.
const machineService = "ec2.amazonaws.com"

func (s *Service) profileRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateInstanceProfile, s.createProfileResource, s.createProfile),
		service.BindResource(api.OpGetInstanceProfile, on(func(c *call.Call, in *api.GetInstanceProfileInput) string {
			return s.profileARN(c, in.InstanceProfileName)
		}), s.getProfile),
		service.Bind(api.OpListInstanceProfiles, s.listProfiles),
		service.BindResource(api.OpListInstanceProfilesForRole, on(func(c *call.Call, in *api.ListInstanceProfilesForRoleInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.listProfilesForRole),
		service.BindResource(api.OpDeleteInstanceProfile, on(func(c *call.Call, in *api.DeleteInstanceProfileInput) string {
			return s.profileARN(c, in.InstanceProfileName)
		}), s.deleteProfile),
		service.BindResource(api.OpAddRoleToInstanceProfile, s.addRoleResource, s.addRole),
		service.BindResource(api.OpRemoveRoleFromInstanceProfile, on(func(c *call.Call, in *api.RemoveRoleFromInstanceProfileInput) string {
			return s.profileARN(c, in.InstanceProfileName)
		}), s.removeRole),
	}
}

func (s *Service) createProfileResource(_ context.Context, c *call.Call, in *api.CreateInstanceProfileInput) ([]string, error) {
	resource := arnOf(c, "instance-profile", in.Path, in.InstanceProfileName)
	tagNew(c, in.Tags, "iam:TagInstanceProfile", resource)
	return []string{resource}, nil
}

func (s *Service) createProfile(ctx context.Context, c *call.Call, in *api.CreateInstanceProfileInput) (*api.CreateInstanceProfileOutput, error) {
	p, err := s.dir.CreateInstanceProfile(ctx, c.Principal.Account, text(in.InstanceProfileName), text(in.Path), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return &api.CreateInstanceProfileOutput{InstanceProfile: s.fullProfile(p)}, nil
}

func (s *Service) fullProfile(p *identity.InstanceProfile) *api.InstanceProfile {
	v := s.apiProfile(p)
	v.Tags = apiTags(p.Tags)
	return &v
}

func noProfile(name string) error { return noEntity("Instance Profile %s cannot be found.", name) }

func (s *Service) getProfile(_ context.Context, c *call.Call, in *api.GetInstanceProfileInput) (*api.GetInstanceProfileOutput, error) {
	p := s.dir.InstanceProfile(c.Principal.Account, text(in.InstanceProfileName))
	if p == nil {
		return nil, noProfile(text(in.InstanceProfileName))
	}
	return &api.GetInstanceProfileOutput{InstanceProfile: s.fullProfile(p)}, nil
}

func (s *Service) listProfiles(_ context.Context, c *call.Call, in *api.ListInstanceProfilesInput) (*api.ListInstanceProfilesOutput, error) {
	all := kept(s.dir.InstanceProfiles(c.Principal.Account), func(p *identity.InstanceProfile) bool { return under(p.Path, in.PathPrefix) })
	items, marker, truncated, err := cut(all, profileKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfilesOutput{InstanceProfiles: mapped(items, s.apiProfile), Marker: marker, IsTruncated: truncated}, nil
}

// profilesOf returns the instance profiles that hold a role.
func (s *Service) profilesOf(r *identity.Role) []*identity.InstanceProfile {
	return kept(s.dir.InstanceProfiles(r.Account), func(p *identity.InstanceProfile) bool { return p.Role == r.ID })
}

func (s *Service) listProfilesForRole(_ context.Context, c *call.Call, in *api.ListInstanceProfilesForRoleInput) (*api.ListInstanceProfilesForRoleOutput, error) {
	r := s.dir.Role(c.Principal.Account, text(in.RoleName))
	if r == nil {
		return nil, noRole(text(in.RoleName))
	}
	items, marker, truncated, err := cut(s.profilesOf(r), profileKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfilesForRoleOutput{InstanceProfiles: mapped(items, s.apiProfile), Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) deleteProfile(ctx context.Context, c *call.Call, in *api.DeleteInstanceProfileInput) (*api.DeleteInstanceProfileOutput, error) {
	if err := s.dir.DeleteInstanceProfile(ctx, c.Principal.Account, text(in.InstanceProfileName)); err != nil {
		return nil, err
	}
	return &api.DeleteInstanceProfileOutput{}, nil
}

// addRoleResource asks for the permission to pass the role to a machine too.
func (s *Service) addRoleResource(_ context.Context, c *call.Call, in *api.AddRoleToInstanceProfileInput) ([]string, error) {
	resource := s.profileARN(c, in.InstanceProfileName)
	role := arnOf(c, "role", nil, in.RoleName)
	if r := s.dir.Role(c.Principal.Account, text(in.RoleName)); r != nil {
		role = says(c, "role", in.RoleName, r.ARN())
	}
	c.Needs = append(c.Needs, call.Need{
		Action: "iam:PassRole", Resources: []string{role}, Keys: map[string][]string{keyPassedTo: {machineService}},
	})
	return []string{resource}, nil
}

func (s *Service) addRole(ctx context.Context, c *call.Call, in *api.AddRoleToInstanceProfileInput) (*api.AddRoleToInstanceProfileOutput, error) {
	if err := s.dir.AddRoleToProfile(ctx, c.Principal.Account, text(in.InstanceProfileName), text(in.RoleName)); err != nil {
		return nil, err
	}
	return &api.AddRoleToInstanceProfileOutput{}, nil
}

func (s *Service) removeRole(ctx context.Context, c *call.Call, in *api.RemoveRoleFromInstanceProfileInput) (*api.RemoveRoleFromInstanceProfileOutput, error) {
	if err := s.dir.RemoveRoleFromProfile(ctx, c.Principal.Account, text(in.InstanceProfileName), text(in.RoleName)); err != nil {
		return nil, err
	}
	return &api.RemoveRoleFromInstanceProfileOutput{}, nil
}
