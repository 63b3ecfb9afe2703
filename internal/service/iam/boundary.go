package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) boundaryRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpPutUserPermissionsBoundary, on(func(c *call.Call, in *api.PutUserPermissionsBoundaryInput) string {
			resource := s.userARN(c, in.UserName)
			c.SetKey(keyBoundary, text(in.PermissionsBoundary)) // the new one, in place of the one in force
			return resource
		}), s.putUserBoundary),
		service.BindResource(api.OpDeleteUserPermissionsBoundary, on(func(c *call.Call, in *api.DeleteUserPermissionsBoundaryInput) string {
			return s.userARN(c, in.UserName)
		}), s.deleteUserBoundary),
		service.BindResource(api.OpPutRolePermissionsBoundary, on(func(c *call.Call, in *api.PutRolePermissionsBoundaryInput) string {
			resource := s.roleARN(c, in.RoleName)
			c.SetKey(keyBoundary, text(in.PermissionsBoundary)) // the new one, in place of the one in force
			return resource
		}), s.putRoleBoundary),
		service.BindResource(api.OpDeleteRolePermissionsBoundary, on(func(c *call.Call, in *api.DeleteRolePermissionsBoundaryInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.deleteRoleBoundary),
	}
}

func (s *Service) putUserBoundary(ctx context.Context, c *call.Call, in *api.PutUserPermissionsBoundaryInput) (*api.PutUserPermissionsBoundaryOutput, error) {
	if err := s.dir.SetBoundary(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), text(in.PermissionsBoundary)); err != nil {
		return nil, err
	}
	return &api.PutUserPermissionsBoundaryOutput{}, nil
}

func (s *Service) deleteUserBoundary(ctx context.Context, c *call.Call, in *api.DeleteUserPermissionsBoundaryInput) (*api.DeleteUserPermissionsBoundaryOutput, error) {
	if err := s.dir.SetBoundary(ctx, c.Principal.Account, identity.TypeUser, text(in.UserName), ""); err != nil {
		return nil, err
	}
	return &api.DeleteUserPermissionsBoundaryOutput{}, nil
}

func (s *Service) putRoleBoundary(ctx context.Context, c *call.Call, in *api.PutRolePermissionsBoundaryInput) (*api.PutRolePermissionsBoundaryOutput, error) {
	if err := s.dir.SetBoundary(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), text(in.PermissionsBoundary)); err != nil {
		return nil, err
	}
	return &api.PutRolePermissionsBoundaryOutput{}, nil
}

func (s *Service) deleteRoleBoundary(ctx context.Context, c *call.Call, in *api.DeleteRolePermissionsBoundaryInput) (*api.DeleteRolePermissionsBoundaryOutput, error) {
	if err := s.dir.SetBoundary(ctx, c.Principal.Account, identity.TypeRole, text(in.RoleName), ""); err != nil {
		return nil, err
	}
	return &api.DeleteRolePermissionsBoundaryOutput{}, nil
}
