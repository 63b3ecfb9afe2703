package iam

import (
	"context"
	"slices"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) versionRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreatePolicyVersion, on(func(c *call.Call, in *api.CreatePolicyVersionInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.createVersion),
		service.BindResource(api.OpGetPolicyVersion, on(func(c *call.Call, in *api.GetPolicyVersionInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.getVersion),
		service.BindResource(api.OpListPolicyVersions, on(func(c *call.Call, in *api.ListPolicyVersionsInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.listVersions),
		service.BindResource(api.OpSetDefaultPolicyVersion, on(func(c *call.Call, in *api.SetDefaultPolicyVersionInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.setDefaultVersion),
		service.BindResource(api.OpDeletePolicyVersion, on(func(c *call.Call, in *api.DeletePolicyVersionInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.deleteVersion),
	}
}

func (s *Service) createVersion(ctx context.Context, c *call.Call, in *api.CreatePolicyVersionInput) (*api.CreatePolicyVersionOutput, error) {
	force := identity.Standby
	if in.SetAsDefault != nil && *in.SetAsDefault {
		force = identity.InForce
	}
	v, err := s.dir.AddPolicyVersion(ctx, c.Principal.Account, text(in.PolicyArn), text(in.PolicyDocument), force)
	if err != nil {
		return nil, err
	}
	return &api.CreatePolicyVersionOutput{PolicyVersion: &api.PolicyVersion{
		VersionId: new(v.ID), IsDefaultVersion: new(bool(force)), CreateDate: new(v.Created),
	}}, nil
}

func (s *Service) getVersion(_ context.Context, c *call.Call, in *api.GetPolicyVersionInput) (*api.GetPolicyVersionOutput, error) {
	p, err := s.policy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v := p.Version(text(in.VersionId))
	if v == nil {
		return nil, noEntity("Policy %s version %s does not exist or is not attachable.", p.ARN(), text(in.VersionId))
	}
	return &api.GetPolicyVersionOutput{PolicyVersion: fullVersion(p, *v)}, nil
}

func (s *Service) listVersions(_ context.Context, c *call.Call, in *api.ListPolicyVersionsInput) (*api.ListPolicyVersionsOutput, error) {
	p, err := s.policy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(p.Versions)
	slices.Reverse(all) // newest first
	items, marker, truncated, err := cut(all, position, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListPolicyVersionsOutput{
		Versions: mapped(items, func(v identity.PolicyVersion) api.PolicyVersion { return apiVersion(p, v) }),
		Marker:   marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) setDefaultVersion(ctx context.Context, c *call.Call, in *api.SetDefaultPolicyVersionInput) (*api.SetDefaultPolicyVersionOutput, error) {
	if err := s.dir.SetDefaultPolicyVersion(ctx, c.Principal.Account, text(in.PolicyArn), text(in.VersionId)); err != nil {
		return nil, err
	}
	return &api.SetDefaultPolicyVersionOutput{}, nil
}

func (s *Service) deleteVersion(ctx context.Context, c *call.Call, in *api.DeletePolicyVersionInput) (*api.DeletePolicyVersionOutput, error) {
	if err := s.dir.DeletePolicyVersion(ctx, c.Principal.Account, text(in.PolicyArn), text(in.VersionId)); err != nil {
		return nil, err
	}
	return &api.DeletePolicyVersionOutput{}, nil
}
