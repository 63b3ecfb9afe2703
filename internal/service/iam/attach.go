package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) attachRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpAttachUserPolicy, on(func(c *call.Call, in *api.AttachUserPolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.userARN(c, in.UserName)
		}), s.attachUser),
		service.BindResource(api.OpAttachGroupPolicy, on(func(c *call.Call, in *api.AttachGroupPolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.groupARN(c, in.GroupName)
		}), s.attachGroup),
		service.BindResource(api.OpAttachRolePolicy, on(func(c *call.Call, in *api.AttachRolePolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.roleARN(c, in.RoleName)
		}), s.attachRole),
		service.BindResource(api.OpDetachUserPolicy, on(func(c *call.Call, in *api.DetachUserPolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.userARN(c, in.UserName)
		}), s.detachUser),
		service.BindResource(api.OpDetachGroupPolicy, on(func(c *call.Call, in *api.DetachGroupPolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.groupARN(c, in.GroupName)
		}), s.detachGroup),
		service.BindResource(api.OpDetachRolePolicy, on(func(c *call.Call, in *api.DetachRolePolicyInput) string {
			c.SetKey(keyPolicyARN, text(in.PolicyArn))
			return s.roleARN(c, in.RoleName)
		}), s.detachRole),
	}
}

func (s *Service) attachUser(ctx context.Context, c *call.Call, in *api.AttachUserPolicyInput) (*api.AttachUserPolicyOutput, error) {
	if err := s.dir.AttachPolicy(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.AttachUserPolicyOutput{}, nil
}

func (s *Service) attachGroup(ctx context.Context, c *call.Call, in *api.AttachGroupPolicyInput) (*api.AttachGroupPolicyOutput, error) {
	if err := s.dir.AttachPolicy(ctx, c.Principal.Account, identity.TypeGroup, text(in.GroupName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.AttachGroupPolicyOutput{}, nil
}

func (s *Service) attachRole(ctx context.Context, c *call.Call, in *api.AttachRolePolicyInput) (*api.AttachRolePolicyOutput, error) {
	if err := s.dir.AttachPolicy(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.AttachRolePolicyOutput{}, nil
}

func (s *Service) detachUser(ctx context.Context, c *call.Call, in *api.DetachUserPolicyInput) (*api.DetachUserPolicyOutput, error) {
	if err := s.dir.DetachPolicy(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.DetachUserPolicyOutput{}, nil
}

func (s *Service) detachGroup(ctx context.Context, c *call.Call, in *api.DetachGroupPolicyInput) (*api.DetachGroupPolicyOutput, error) {
	if err := s.dir.DetachPolicy(ctx, c.Principal.Account, identity.TypeGroup, text(in.GroupName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.DetachGroupPolicyOutput{}, nil
}

func (s *Service) detachRole(ctx context.Context, c *call.Call, in *api.DetachRolePolicyInput) (*api.DetachRolePolicyOutput, error) {
	if err := s.dir.DetachPolicy(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.DetachRolePolicyOutput{}, nil
}
