package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) attachedRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpListAttachedUserPolicies, on(func(c *call.Call, in *api.ListAttachedUserPoliciesInput) string {
			return s.userARN(c, in.UserName)
		}), s.attachedToUser),
		service.BindResource(api.OpListAttachedGroupPolicies, on(func(c *call.Call, in *api.ListAttachedGroupPoliciesInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.attachedToGroup),
		service.BindResource(api.OpListAttachedRolePolicies, on(func(c *call.Call, in *api.ListAttachedRolePoliciesInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.attachedToRole),
	}
}

// attached returns one answer of the managed policies of an identity.
func (s *Service) attached(c *call.Call, typ identity.Type, name, prefix, marker *string, most *int32) (items []api.AttachedPolicy, next *string, truncated *bool, err error) {
	acct := c.Principal.Account
	g, err := s.dir.Grants(acct, typ, text(name))
	if err != nil {
		return nil, nil, nil, err
	}
	all := kept(s.apiAttached(acct, g), func(a api.AttachedPolicy) bool {
		p := s.dir.Policy(acct, *a.PolicyArn)
		return p != nil && under(p.Path, prefix)
	})
	return cut(all, position, marker, most)
}

func (s *Service) attachedToUser(_ context.Context, c *call.Call, in *api.ListAttachedUserPoliciesInput) (*api.ListAttachedUserPoliciesOutput, error) {
	items, marker, truncated, err := s.attached(c, identity.TypeUser, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedUserPoliciesOutput{AttachedPolicies: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) attachedToGroup(_ context.Context, c *call.Call, in *api.ListAttachedGroupPoliciesInput) (*api.ListAttachedGroupPoliciesOutput, error) {
	items, marker, truncated, err := s.attached(c, identity.TypeGroup, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedGroupPoliciesOutput{AttachedPolicies: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) attachedToRole(_ context.Context, c *call.Call, in *api.ListAttachedRolePoliciesInput) (*api.ListAttachedRolePoliciesOutput, error) {
	items, marker, truncated, err := s.attached(c, identity.TypeRole, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedRolePoliciesOutput{AttachedPolicies: items, Marker: marker, IsTruncated: truncated}, nil
}
