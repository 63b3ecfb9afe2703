package iam

import (
	"context"
	"regexp"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// deletionTask is the form of the ids of deletion tasks; the role's name is its
// first group. Source: API reference of IAM, GetServiceLinkedRoleDeletionStatus.
var deletionTask = regexp.MustCompile(`^task/aws-service-role/[^/]+/([^/]+)/[0-9a-f-]{36}$`)

func (s *Service) linkedRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateServiceLinkedRole, on(func(c *call.Call, in *api.CreateServiceLinkedRoleInput) string {
			c.SetKey("iam:awsservicename", text(in.AWSServiceName))
			return arnOf(c, "role", new("/aws-service-role/"+text(in.AWSServiceName)+"/"), new("AWSServiceRoleForAmazonBedrock"))
		}), s.createServiceLinkedRole),
		service.BindResource(api.OpDeleteServiceLinkedRole, on(func(c *call.Call, in *api.DeleteServiceLinkedRoleInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.deleteServiceLinkedRole),
		service.BindResource(api.OpGetServiceLinkedRoleDeletionStatus, on(func(c *call.Call, in *api.GetServiceLinkedRoleDeletionStatusInput) string {
			if m := deletionTask.FindStringSubmatch(text(in.DeletionTaskId)); m != nil {
				return s.roleARN(c, new(m[1]))
			}
			return "*"
		}), s.serviceLinkedRoleDeletionStatus),
	}
}

func (s *Service) createServiceLinkedRole(ctx context.Context, c *call.Call, in *api.CreateServiceLinkedRoleInput) (*api.CreateServiceLinkedRoleOutput, error) {
	r, err := s.dir.CreateServiceLinkedRole(ctx, c.Principal.Account, text(in.AWSServiceName), text(in.Description), text(in.CustomSuffix))
	if err != nil {
		return nil, err
	}
	return &api.CreateServiceLinkedRoleOutput{Role: new(apiRole(r))}, nil
}

func (s *Service) deleteServiceLinkedRole(ctx context.Context, c *call.Call, in *api.DeleteServiceLinkedRoleInput) (*api.DeleteServiceLinkedRoleOutput, error) {
	r, err := s.dir.DeleteServiceLinkedRole(ctx, c.Principal.Account, text(in.RoleName))
	if err != nil {
		return nil, err
	}
	return &api.DeleteServiceLinkedRoleOutput{
		DeletionTaskId: new("task/aws-service-role/" + r.ServiceLinked() + "/" + r.Name + "/" + uuid.NewString()),
	}, nil
}

// serviceLinkedRoleDeletionStatus knows no task by heart: a deletion is done when
// it is answered, so that a task has succeeded when its role is gone.
func (s *Service) serviceLinkedRoleDeletionStatus(_ context.Context, c *call.Call, in *api.GetServiceLinkedRoleDeletionStatusInput) (*api.GetServiceLinkedRoleDeletionStatusOutput, error) {
	m := deletionTask.FindStringSubmatch(text(in.DeletionTaskId))
	if m == nil || s.dir.Role(c.Principal.Account, m[1]) != nil {
		return nil, noEntity("Deletion task %s cannot be found.", text(in.DeletionTaskId))
	}
	return &api.GetServiceLinkedRoleDeletionStatusOutput{Status: new(api.DeletionTaskStatusTypeSucceeded)}, nil
}
