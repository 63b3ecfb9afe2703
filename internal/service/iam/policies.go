package iam

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) policyRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreatePolicy, s.createPolicyResource, s.createPolicy),
		service.BindResource(api.OpGetPolicy, on(func(c *call.Call, in *api.GetPolicyInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.getPolicy),
		service.Bind(api.OpListPolicies, s.listPolicies),
		service.BindResource(api.OpDeletePolicy, on(func(c *call.Call, in *api.DeletePolicyInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.deletePolicy),
		service.BindResource(api.OpListEntitiesForPolicy, on(func(c *call.Call, in *api.ListEntitiesForPolicyInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.listEntities),
	}
}

func (s *Service) createPolicyResource(_ context.Context, c *call.Call, in *api.CreatePolicyInput) ([]string, error) {
	resource := arnOf(c, "policy", in.Path, in.PolicyName)
	tagNew(c, in.Tags, "iam:TagPolicy", resource)
	return []string{resource}, nil
}

func (s *Service) createPolicy(ctx context.Context, c *call.Call, in *api.CreatePolicyInput) (*api.CreatePolicyOutput, error) {
	p, err := s.dir.CreatePolicy(ctx, c.Principal.Account, identity.NewPolicy{
		Name: text(in.PolicyName), Path: text(in.Path), Description: text(in.Description), Text: text(in.PolicyDocument), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &api.CreatePolicyOutput{Policy: fullPolicy(p, identity.Usage{})}, nil
}

// policy returns a managed policy that the caller's account may see. Errors:
// NoSuchEntity.
func (s *Service) policy(c *call.Call, policyARN *string) (*identity.Policy, error) {
	p := s.dir.Policy(c.Principal.Account, text(policyARN))
	if p == nil {
		return nil, noEntity("Policy %s was not found.", text(policyARN))
	}
	return p, nil
}

func (s *Service) getPolicy(_ context.Context, c *call.Call, in *api.GetPolicyInput) (*api.GetPolicyOutput, error) {
	p, err := s.policy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &api.GetPolicyOutput{Policy: fullPolicy(p, s.dir.PolicyUsage(c.Principal.Account)[p.ARN()])}, nil
}

// ownerPolicyKey orders policies by name, and those of one name by owner.
func ownerPolicyKey(_ int, p *identity.Policy) string {
	return strings.ToLower(p.Name) + "\x00" + p.Account
}

func (s *Service) listPolicies(_ context.Context, c *call.Call, in *api.ListPoliciesInput) (*api.ListPoliciesOutput, error) {
	acct := c.Principal.Account
	var all []*identity.Policy
	scope := api.PolicyScopeTypeAll
	if in.Scope != nil {
		scope = *in.Scope
	}
	if scope != api.PolicyScopeTypeAws {
		all = append(all, s.dir.LocalPolicies(acct)...)
	}
	if scope != api.PolicyScopeTypeLocal {
		all = append(all, s.dir.ManagedPolicies()...)
	}
	use := s.dir.PolicyUsage(acct)
	all = kept(all, func(p *identity.Policy) bool {
		u := use[p.ARN()]
		if in.OnlyAttached != nil && *in.OnlyAttached && u.Attached == 0 && u.Bounds == 0 {
			return false
		}
		switch usage := in.PolicyUsageFilter; {
		case usage == nil:
		case *usage == api.PolicyUsageTypePermissionsPolicy && u.Attached == 0, *usage == api.PolicyUsageTypePermissionsBoundary && u.Bounds == 0:
			return false
		}
		return under(p.Path, in.PathPrefix)
	})
	slices.SortFunc(all, func(a, b *identity.Policy) int { return cmp.Compare(ownerPolicyKey(0, a), ownerPolicyKey(0, b)) })
	items, marker, truncated, err := cut(all, ownerPolicyKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListPoliciesOutput{
		Policies: mapped(items, func(p *identity.Policy) api.Policy { return apiPolicy(p, use[p.ARN()]) }),
		Marker:   marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) deletePolicy(ctx context.Context, c *call.Call, in *api.DeletePolicyInput) (*api.DeletePolicyOutput, error) {
	if err := s.dir.DeletePolicy(ctx, c.Principal.Account, text(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &api.DeletePolicyOutput{}, nil
}

// entity is a user, group or role in a list that holds all three.
type entity struct {
	kind     api.EntityType
	name     string
	id       string
	path     string
	boundary string
	grants   *identity.Grants
	of       any // *identity.User, *identity.Group or *identity.Role
}

func entityKey(_ int, e entity) string { return string(e.kind) + "/" + strings.ToLower(e.name) }

// entities returns the groups, roles and users of an account, in the order of
// entityKey.
func (s *Service) entities(acct string) []entity {
	var all []entity
	for _, g := range s.dir.Groups(acct) {
		all = append(all, entity{api.EntityTypeGroup, g.Name, g.ID, g.Path, "", &g.Grants, g})
	}
	for _, r := range s.dir.Roles(acct) {
		all = append(all, entity{api.EntityTypeRole, r.Name, r.ID, r.Path, r.Boundary, &r.Grants, r})
	}
	for _, u := range s.dir.Users(acct) {
		all = append(all, entity{api.EntityTypeUser, u.Name, u.ID, u.Path, u.Boundary, &u.Grants, u})
	}
	return all
}

func (s *Service) listEntities(_ context.Context, c *call.Call, in *api.ListEntitiesForPolicyInput) (*api.ListEntitiesForPolicyOutput, error) {
	p, err := s.policy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	policyARN := p.ARN()
	all := kept(s.entities(c.Principal.Account), func(e entity) bool {
		attached, bounds := slices.Contains(e.grants.Attached, policyARN), e.boundary == policyARN
		switch usage := in.PolicyUsageFilter; {
		case usage == nil:
		case *usage == api.PolicyUsageTypePermissionsPolicy:
			bounds = false
		default:
			attached = false
		}
		return (attached || bounds) && under(e.path, in.PathPrefix) && wanted(in.EntityFilter, e.kind)
	})
	items, marker, truncated, err := cut(all, entityKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.ListEntitiesForPolicyOutput{
		PolicyGroups: []api.PolicyGroup{}, PolicyUsers: []api.PolicyUser{}, PolicyRoles: []api.PolicyRole{}, Marker: marker, IsTruncated: truncated,
	}
	for _, e := range items {
		switch e.kind {
		case api.EntityTypeGroup:
			out.PolicyGroups = append(out.PolicyGroups, api.PolicyGroup{GroupName: new(e.name), GroupId: new(e.id)})
		case api.EntityTypeRole:
			out.PolicyRoles = append(out.PolicyRoles, api.PolicyRole{RoleName: new(e.name), RoleId: new(e.id)})
		default:
			out.PolicyUsers = append(out.PolicyUsers, api.PolicyUser{UserName: new(e.name), UserId: new(e.id)})
		}
	}
	return out, nil
}

// wanted reports whether a filter lets a kind of entities through. The two kinds of
// policies stand for all entities, as nothing else can be meant.
func wanted(filter *api.EntityType, kind api.EntityType) bool {
	return filter == nil || *filter == kind || *filter == api.EntityTypeLocalManagedPolicy || *filter == api.EntityTypeAWSManagedPolicy
}
