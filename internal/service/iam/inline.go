package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) inlineRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpPutUserPolicy, on(func(c *call.Call, in *api.PutUserPolicyInput) string {
			return s.userARN(c, in.UserName)
		}), s.putUserPolicy),
		service.BindResource(api.OpPutGroupPolicy, on(func(c *call.Call, in *api.PutGroupPolicyInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.putGroupPolicy),
		service.BindResource(api.OpPutRolePolicy, on(func(c *call.Call, in *api.PutRolePolicyInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.putRolePolicy),
		service.BindResource(api.OpGetUserPolicy, on(func(c *call.Call, in *api.GetUserPolicyInput) string {
			return s.userARN(c, in.UserName)
		}), s.getUserPolicy),
		service.BindResource(api.OpGetGroupPolicy, on(func(c *call.Call, in *api.GetGroupPolicyInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.getGroupPolicy),
		service.BindResource(api.OpGetRolePolicy, on(func(c *call.Call, in *api.GetRolePolicyInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.getRolePolicy),
		service.BindResource(api.OpDeleteUserPolicy, on(func(c *call.Call, in *api.DeleteUserPolicyInput) string {
			return s.userARN(c, in.UserName)
		}), s.deleteUserPolicy),
		service.BindResource(api.OpDeleteGroupPolicy, on(func(c *call.Call, in *api.DeleteGroupPolicyInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.deleteGroupPolicy),
		service.BindResource(api.OpDeleteRolePolicy, on(func(c *call.Call, in *api.DeleteRolePolicyInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.deleteRolePolicy),
		service.BindResource(api.OpListUserPolicies, on(func(c *call.Call, in *api.ListUserPoliciesInput) string {
			return s.userARN(c, in.UserName)
		}), s.listUserPolicies),
		service.BindResource(api.OpListGroupPolicies, on(func(c *call.Call, in *api.ListGroupPoliciesInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.listGroupPolicies),
		service.BindResource(api.OpListRolePolicies, on(func(c *call.Call, in *api.ListRolePoliciesInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.listRolePolicies),
	}
}

// inlineNames returns one answer of the names of the inline policies of an identity.
func (s *Service) inlineNames(c *call.Call, typ identity.Type, name, marker *string, most *int32) (items []string, next *string, truncated *bool, err error) {
	g, err := s.dir.Grants(c.Principal.Account, typ, text(name))
	if err != nil {
		return nil, nil, nil, err
	}
	names := mapped(g.Inline, func(in identity.Inline) string { return in.Name })
	return cut(names, func(_ int, n string) string { return n }, marker, most)
}

func (s *Service) putUserPolicy(ctx context.Context, c *call.Call, in *api.PutUserPolicyInput) (*api.PutUserPolicyOutput, error) {
	if err := s.dir.PutInline(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PolicyName), text(in.PolicyDocument)); err != nil {
		return nil, err
	}
	return &api.PutUserPolicyOutput{}, nil
}

func (s *Service) getUserPolicy(_ context.Context, c *call.Call, in *api.GetUserPolicyInput) (*api.GetUserPolicyOutput, error) {
	p, err := s.dir.Inline(c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &api.GetUserPolicyOutput{UserName: in.UserName, PolicyName: new(p.Name), PolicyDocument: new(p.Text)}, nil
}

func (s *Service) deleteUserPolicy(ctx context.Context, c *call.Call, in *api.DeleteUserPolicyInput) (*api.DeleteUserPolicyOutput, error) {
	if err := s.dir.DeleteInline(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PolicyName)); err != nil {
		return nil, err
	}
	return &api.DeleteUserPolicyOutput{}, nil
}

func (s *Service) listUserPolicies(_ context.Context, c *call.Call, in *api.ListUserPoliciesInput) (*api.ListUserPoliciesOutput, error) {
	items, marker, truncated, err := s.inlineNames(c, identity.TypeUser, in.UserName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListUserPoliciesOutput{PolicyNames: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) putGroupPolicy(ctx context.Context, c *call.Call, in *api.PutGroupPolicyInput) (*api.PutGroupPolicyOutput, error) {
	if err := s.dir.PutInline(ctx, c.Principal.Account, identity.TypeGroup, text(in.GroupName), text(in.PolicyName), text(in.PolicyDocument)); err != nil {
		return nil, err
	}
	return &api.PutGroupPolicyOutput{}, nil
}

func (s *Service) getGroupPolicy(_ context.Context, c *call.Call, in *api.GetGroupPolicyInput) (*api.GetGroupPolicyOutput, error) {
	p, err := s.dir.Inline(c.Principal.Account, identity.TypeGroup, text(in.GroupName), text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &api.GetGroupPolicyOutput{GroupName: in.GroupName, PolicyName: new(p.Name), PolicyDocument: new(p.Text)}, nil
}

func (s *Service) deleteGroupPolicy(ctx context.Context, c *call.Call, in *api.DeleteGroupPolicyInput) (*api.DeleteGroupPolicyOutput, error) {
	if err := s.dir.DeleteInline(ctx, c.Principal.Account, identity.TypeGroup, text(in.GroupName), text(in.PolicyName)); err != nil {
		return nil, err
	}
	return &api.DeleteGroupPolicyOutput{}, nil
}

func (s *Service) listGroupPolicies(_ context.Context, c *call.Call, in *api.ListGroupPoliciesInput) (*api.ListGroupPoliciesOutput, error) {
	items, marker, truncated, err := s.inlineNames(c, identity.TypeGroup, in.GroupName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListGroupPoliciesOutput{PolicyNames: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) putRolePolicy(ctx context.Context, c *call.Call, in *api.PutRolePolicyInput) (*api.PutRolePolicyOutput, error) {
	if err := s.dir.PutInline(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PolicyName), text(in.PolicyDocument)); err != nil {
		return nil, err
	}
	return &api.PutRolePolicyOutput{}, nil
}

func (s *Service) getRolePolicy(_ context.Context, c *call.Call, in *api.GetRolePolicyInput) (*api.GetRolePolicyOutput, error) {
	p, err := s.dir.Inline(c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &api.GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: new(p.Name), PolicyDocument: new(p.Text)}, nil
}

func (s *Service) deleteRolePolicy(ctx context.Context, c *call.Call, in *api.DeleteRolePolicyInput) (*api.DeleteRolePolicyOutput, error) {
	if err := s.dir.DeleteInline(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PolicyName)); err != nil {
		return nil, err
	}
	return &api.DeleteRolePolicyOutput{}, nil
}

func (s *Service) listRolePolicies(_ context.Context, c *call.Call, in *api.ListRolePoliciesInput) (*api.ListRolePoliciesOutput, error) {
	items, marker, truncated, err := s.inlineNames(c, identity.TypeRole, in.RoleName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListRolePoliciesOutput{PolicyNames: items, Marker: marker, IsTruncated: truncated}, nil
}
