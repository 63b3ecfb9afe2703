package organizations

import (
	"context"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
)

// rootName is what AWS calls every root.
const rootName = "Root"

func (s *Service) organization() *api.Organization {
	o := s.dir.Organization()
	out := &api.Organization{
		Id: new(o.ID), Arn: new(o.ARN()), FeatureSet: new(api.OrganizationFeatureSetAll),
		MasterAccountArn: new(o.AccountARN(o.Management)), MasterAccountId: new(o.Management),
		AvailablePolicyTypes: []api.PolicyTypeSummary{{
			Type: new(api.PolicyTypeServiceControlPolicy), Status: new(api.PolicyTypeStatusEnabled),
		}},
	}
	if a := s.dir.Account(o.Management); a != nil {
		out.MasterAccountEmail = new(a.Email)
	}
	return out
}

func (s *Service) createOrganization(ctx context.Context, in *api.CreateOrganizationInput) (*api.CreateOrganizationOutput, error) {
	if in.FeatureSet != nil && *in.FeatureSet != api.OrganizationFeatureSetAll {
		return nil, invalid("INVALID_ENUM", "FeatureSet: only ALL is offered here")
	}
	if _, err := s.dir.CreateOrganization(ctx); err != nil {
		return nil, err
	}
	return &api.CreateOrganizationOutput{Organization: s.organization()}, nil
}

func (s *Service) describeOrganization(context.Context, *api.DescribeOrganizationInput) (*api.DescribeOrganizationOutput, error) {
	return &api.DescribeOrganizationOutput{Organization: s.organization()}, nil
}

func rootOut(o *identity.Organization) *api.Root {
	r := &api.Root{Id: new(o.Root), Arn: new(o.RootARN()), Name: new(rootName), PolicyTypes: []api.PolicyTypeSummary{}}
	if o.Control {
		r.PolicyTypes = append(r.PolicyTypes, api.PolicyTypeSummary{
			Type: new(api.PolicyTypeServiceControlPolicy), Status: new(api.PolicyTypeStatusEnabled),
		})
	}
	return r
}

func (s *Service) listRoots(context.Context, *api.ListRootsInput) (*api.ListRootsOutput, error) {
	return &api.ListRootsOutput{Roots: []api.Root{*rootOut(s.dir.Organization())}}, nil
}

func (s *Service) unitOut(u *identity.Unit) *api.OrganizationalUnit {
	return &api.OrganizationalUnit{Id: new(u.ID), Arn: new(s.unitARN(u.ID)), Name: new(u.Name)}
}

func (s *Service) createUnit(ctx context.Context, in *api.CreateOrganizationalUnitInput) (*api.CreateOrganizationalUnitOutput, error) {
	u, err := s.dir.CreateUnit(ctx, deref(in.ParentId), deref(in.Name), tagsIn(in.Tags))
	if err != nil {
		return nil, err
	}
	return &api.CreateOrganizationalUnitOutput{OrganizationalUnit: s.unitOut(u)}, nil
}

func (s *Service) updateUnit(ctx context.Context, in *api.UpdateOrganizationalUnitInput) (*api.UpdateOrganizationalUnitOutput, error) {
	id := deref(in.OrganizationalUnitId)
	u, err := s.describedUnit(id)
	if err == nil && in.Name != nil {
		u, err = s.dir.RenameUnit(ctx, id, *in.Name)
	}
	if err != nil {
		return nil, err
	}
	return &api.UpdateOrganizationalUnitOutput{OrganizationalUnit: s.unitOut(u)}, nil
}

func (s *Service) describedUnit(id string) (*identity.Unit, error) {
	if u := s.dir.OrgUnit(id); u != nil {
		return u, nil
	}
	return nil, notFound("OrganizationalUnitNotFoundException", "You specified an organizational unit that does not exist.")
}

func (s *Service) deleteUnit(ctx context.Context, in *api.DeleteOrganizationalUnitInput) (*api.DeleteOrganizationalUnitOutput, error) {
	return &api.DeleteOrganizationalUnitOutput{}, s.dir.DeleteUnit(ctx, deref(in.OrganizationalUnitId))
}

func (s *Service) describeUnit(_ context.Context, in *api.DescribeOrganizationalUnitInput) (*api.DescribeOrganizationalUnitOutput, error) {
	u, err := s.describedUnit(deref(in.OrganizationalUnitId))
	if err != nil {
		return nil, err
	}
	return &api.DescribeOrganizationalUnitOutput{OrganizationalUnit: s.unitOut(u)}, nil
}

func (s *Service) listUnits(_ context.Context, in *api.ListOrganizationalUnitsForParentInput) (*api.ListOrganizationalUnitsForParentOutput, error) {
	all, err := s.dir.OrgUnits(deref(in.ParentId))
	if err != nil {
		return nil, err
	}
	some, next, err := cut(all, func(u *identity.Unit) string { return u.Name }, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListOrganizationalUnitsForParentOutput{NextToken: next, OrganizationalUnits: []api.OrganizationalUnit{}}
	for _, u := range some {
		out.OrganizationalUnits = append(out.OrganizationalUnits, *s.unitOut(u))
	}
	return out, nil
}

func (s *Service) listParents(_ context.Context, in *api.ListParentsInput) (*api.ListParentsOutput, error) {
	id, err := s.dir.OrgParent(deref(in.ChildId))
	if err != nil {
		return nil, err
	}
	t := api.ParentTypeOrganizationalUnit
	if strings.HasPrefix(id, "r-") {
		t = api.ParentTypeRoot
	}
	return &api.ListParentsOutput{Parents: []api.Parent{{Id: new(id), Type: new(t)}}}, nil
}

func (s *Service) listChildren(_ context.Context, in *api.ListChildrenInput) (*api.ListChildrenOutput, error) {
	var ids []string
	if deref(in.ChildType) == api.ChildTypeAccount {
		all, err := s.dir.OrgMembers(deref(in.ParentId))
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			ids = append(ids, m.Account)
		}
	} else {
		all, err := s.dir.OrgUnits(deref(in.ParentId))
		if err != nil {
			return nil, err
		}
		for _, u := range all {
			ids = append(ids, u.ID)
		}
		slices.Sort(ids)
	}
	some, next, err := cut(ids, func(id string) string { return id }, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListChildrenOutput{NextToken: next, Children: []api.Child{}}
	for _, id := range some {
		out.Children = append(out.Children, api.Child{Id: new(id), Type: new(*in.ChildType)})
	}
	return out, nil
}

func (s *Service) tagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	return &api.TagResourceOutput{}, s.dir.TagOrganization(ctx, deref(in.ResourceId), tagsIn(in.Tags))
}

func (s *Service) untagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	return &api.UntagResourceOutput{}, s.dir.UntagOrganization(ctx, deref(in.ResourceId), in.TagKeys)
}

func (s *Service) listTags(_ context.Context, in *api.ListTagsForResourceInput) (*api.ListTagsForResourceOutput, error) {
	tags, err := s.dir.OrganizationTags(deref(in.ResourceId))
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForResourceOutput{Tags: []api.Tag{}}
	for _, t := range tags {
		out.Tags = append(out.Tags, api.Tag{Key: new(t.Key), Value: new(t.Value)})
	}
	return out, nil
}
