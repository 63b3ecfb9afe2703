package iam

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) roleRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateRole, s.createRoleResource, s.createRole),
		service.BindResource(api.OpGetRole, on(func(c *call.Call, in *api.GetRoleInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.getRole),
		service.Bind(api.OpListRoles, s.listRoles),
		service.BindResource(api.OpUpdateRole, on(func(c *call.Call, in *api.UpdateRoleInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.updateRole),
		service.BindResource(api.OpUpdateRoleDescription, on(func(c *call.Call, in *api.UpdateRoleDescriptionInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.updateRoleDescription),
		service.BindResource(api.OpUpdateAssumeRolePolicy, on(func(c *call.Call, in *api.UpdateAssumeRolePolicyInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.updateTrust),
		service.BindResource(api.OpDeleteRole, on(func(c *call.Call, in *api.DeleteRoleInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.deleteRole),
	}
}

func (s *Service) createRoleResource(_ context.Context, c *call.Call, in *api.CreateRoleInput) ([]string, error) {
	resource := arnOf(c, "role", in.Path, in.RoleName)
	if in.PermissionsBoundary != nil {
		c.SetKey(keyBoundary, *in.PermissionsBoundary)
	}
	tagNew(c, in.Tags, "iam:TagRole", resource)
	return []string{resource}, nil
}

func (s *Service) createRole(ctx context.Context, c *call.Call, in *api.CreateRoleInput) (*api.CreateRoleOutput, error) {
	r, err := s.dir.CreateRole(ctx, c.Principal.Account, identity.NewRole{
		Name: text(in.RoleName), Path: text(in.Path), Description: text(in.Description), Trust: text(in.AssumeRolePolicyDocument),
		MaxSession: sessionTime(in.MaxSessionDuration), Boundary: text(in.PermissionsBoundary), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateRoleOutput{Role: s.fullRole(r)}, nil
}

func sessionTime(seconds *int32) time.Duration {
	if seconds == nil {
		return 0
	}
	return time.Duration(*seconds) * time.Second
}

func noRole(name string) error { return noEntity("The role with name %s cannot be found.", name) }

func (s *Service) getRole(_ context.Context, c *call.Call, in *api.GetRoleInput) (*api.GetRoleOutput, error) {
	r := s.dir.Role(c.Principal.Account, text(in.RoleName))
	if r == nil {
		return nil, noRole(text(in.RoleName))
	}
	return &api.GetRoleOutput{Role: s.fullRole(r)}, nil
}

func (s *Service) listRoles(_ context.Context, c *call.Call, in *api.ListRolesInput) (*api.ListRolesOutput, error) {
	all := kept(s.dir.Roles(c.Principal.Account), func(r *identity.Role) bool { return under(r.Path, in.PathPrefix) })
	items, marker, truncated, err := cut(all, roleKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListRolesOutput{Roles: mapped(items, apiRole), Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) updateRole(ctx context.Context, c *call.Call, in *api.UpdateRoleInput) (*api.UpdateRoleOutput, error) {
	change := identity.RoleChange{Description: in.Description}
	if in.MaxSessionDuration != nil {
		change.MaxSession = new(sessionTime(in.MaxSessionDuration))
	}
	if _, err := s.dir.ChangeRole(ctx, c.Principal.Account, text(in.RoleName), change); err != nil {
		return nil, err
	}
	return &api.UpdateRoleOutput{}, nil
}

func (s *Service) updateRoleDescription(ctx context.Context, c *call.Call, in *api.UpdateRoleDescriptionInput) (*api.UpdateRoleDescriptionOutput, error) {
	r, err := s.dir.ChangeRole(ctx, c.Principal.Account, text(in.RoleName), identity.RoleChange{Description: in.Description})
	if err != nil {
		return nil, err
	}
	return &api.UpdateRoleDescriptionOutput{Role: s.fullRole(r)}, nil
}

func (s *Service) updateTrust(ctx context.Context, c *call.Call, in *api.UpdateAssumeRolePolicyInput) (*api.UpdateAssumeRolePolicyOutput, error) {
	if _, err := s.dir.ChangeRole(ctx, c.Principal.Account, text(in.RoleName), identity.RoleChange{Trust: in.PolicyDocument}); err != nil {
		return nil, err
	}
	return &api.UpdateAssumeRolePolicyOutput{}, nil
}

func (s *Service) deleteRole(ctx context.Context, c *call.Call, in *api.DeleteRoleInput) (*api.DeleteRoleOutput, error) {
	if err := s.dir.DeleteRole(ctx, c.Principal.Account, text(in.RoleName)); err != nil {
		return nil, err
	}
	return &api.DeleteRoleOutput{}, nil
}
