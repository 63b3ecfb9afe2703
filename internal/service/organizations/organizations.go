// Package organizations serves the part of AWS Organizations that shapes the tree
// of accounts: units, accounts, service control policies and tags.
//
// As at AWS, the management account alone may ask and change; a member may ask
// which organisation it is in, and no more.
package organizations

import (
	"context"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
)

// Service serves the API. It has no state of its own and is safe for concurrent
// use.
type Service struct{ dir *identity.Directory }

// New returns a Service over a directory.
func New(dir *identity.Directory) *Service { return &Service{dir} }

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		bind(s, api.OpCreateOrganization, nil, s.createOrganization),
		bind(s, api.OpDescribeOrganization, nil, s.describeOrganization),
		bind(s, api.OpListRoots, nil, s.listRoots),

		bind(s, api.OpCreateOrganizationalUnit, func(c *call.Call, in *api.CreateOrganizationalUnitInput) []string {
			s.tagged(c, in.Tags, s.unitARN("*"))
			return s.arns(in.ParentId)
		}, s.createUnit),
		bind(s, api.OpUpdateOrganizationalUnit, func(_ *call.Call, in *api.UpdateOrganizationalUnitInput) []string {
			return s.arns(in.OrganizationalUnitId)
		}, s.updateUnit),
		bind(s, api.OpDeleteOrganizationalUnit, func(_ *call.Call, in *api.DeleteOrganizationalUnitInput) []string {
			return s.arns(in.OrganizationalUnitId)
		}, s.deleteUnit),
		bind(s, api.OpDescribeOrganizationalUnit, func(_ *call.Call, in *api.DescribeOrganizationalUnitInput) []string {
			return s.arns(in.OrganizationalUnitId)
		}, s.describeUnit),
		bind(s, api.OpListOrganizationalUnitsForParent, func(_ *call.Call, in *api.ListOrganizationalUnitsForParentInput) []string {
			return s.arns(in.ParentId)
		}, s.listUnits),
		bind(s, api.OpListParents, func(_ *call.Call, in *api.ListParentsInput) []string {
			return s.arns(in.ChildId)
		}, s.listParents),
		bind(s, api.OpListChildren, func(_ *call.Call, in *api.ListChildrenInput) []string {
			return s.arns(in.ParentId)
		}, s.listChildren),

		bind(s, api.OpCreateAccount, func(c *call.Call, in *api.CreateAccountInput) []string {
			s.tagged(c, in.Tags, s.accountARN("*"))
			return nil
		}, s.createAccount),
		bind(s, api.OpDescribeCreateAccountStatus, nil, s.describeCreateAccountStatus),
		bind(s, api.OpListCreateAccountStatus, nil, s.listCreateAccountStatus),
		bind(s, api.OpDescribeAccount, func(_ *call.Call, in *api.DescribeAccountInput) []string {
			return s.arns(in.AccountId)
		}, s.describeAccount),
		bind(s, api.OpListAccounts, nil, s.listAccounts),
		bind(s, api.OpListAccountsForParent, func(_ *call.Call, in *api.ListAccountsForParentInput) []string {
			return s.arns(in.ParentId)
		}, s.listAccountsForParent),
		bind(s, api.OpMoveAccount, func(_ *call.Call, in *api.MoveAccountInput) []string {
			return s.arns(in.AccountId, in.SourceParentId, in.DestinationParentId)
		}, s.moveAccount),
		bind(s, api.OpCloseAccount, func(_ *call.Call, in *api.CloseAccountInput) []string {
			return s.arns(in.AccountId)
		}, s.closeAccount),

		bind(s, api.OpCreatePolicy, func(c *call.Call, in *api.CreatePolicyInput) []string {
			policyType(c, in.Type)
			s.tagged(c, in.Tags, s.policyARN("*"))
			return nil
		}, s.createPolicy),
		bind(s, api.OpDescribePolicy, func(_ *call.Call, in *api.DescribePolicyInput) []string {
			return s.arns(in.PolicyId)
		}, s.describePolicy),
		bind(s, api.OpUpdatePolicy, func(c *call.Call, in *api.UpdatePolicyInput) []string {
			policyType(c, nil)
			return s.arns(in.PolicyId)
		}, s.updatePolicy),
		bind(s, api.OpDeletePolicy, func(c *call.Call, in *api.DeletePolicyInput) []string {
			policyType(c, nil)
			return s.arns(in.PolicyId)
		}, s.deletePolicy),
		bind(s, api.OpListPolicies, func(c *call.Call, in *api.ListPoliciesInput) []string {
			policyType(c, in.Filter)
			return nil
		}, s.listPolicies),
		bind(s, api.OpAttachPolicy, func(c *call.Call, in *api.AttachPolicyInput) []string {
			policyType(c, nil)
			return s.arns(in.PolicyId, in.TargetId)
		}, s.attachPolicy),
		bind(s, api.OpDetachPolicy, func(c *call.Call, in *api.DetachPolicyInput) []string {
			policyType(c, nil)
			return s.arns(in.PolicyId, in.TargetId)
		}, s.detachPolicy),
		bind(s, api.OpListPoliciesForTarget, func(c *call.Call, in *api.ListPoliciesForTargetInput) []string {
			policyType(c, in.Filter)
			return s.arns(in.TargetId)
		}, s.listPoliciesForTarget),
		bind(s, api.OpListTargetsForPolicy, func(c *call.Call, in *api.ListTargetsForPolicyInput) []string {
			policyType(c, nil)
			return s.arns(in.PolicyId)
		}, s.listTargetsForPolicy),
		bind(s, api.OpEnablePolicyType, func(c *call.Call, in *api.EnablePolicyTypeInput) []string {
			policyType(c, in.PolicyType)
			return s.arns(in.RootId)
		}, s.enablePolicyType),
		bind(s, api.OpDisablePolicyType, func(c *call.Call, in *api.DisablePolicyTypeInput) []string {
			policyType(c, in.PolicyType)
			return s.arns(in.RootId)
		}, s.disablePolicyType),

		bind(s, api.OpTagResource, func(c *call.Call, in *api.TagResourceInput) []string {
			requestTags(c, in.Tags)
			return s.arns(in.ResourceId)
		}, s.tagResource),
		bind(s, api.OpUntagResource, func(c *call.Call, in *api.UntagResourceInput) []string {
			c.SetKey("aws:tagkeys", in.TagKeys...)
			return s.arns(in.ResourceId)
		}, s.untagResource),
		bind(s, api.OpListTagsForResource, func(_ *call.Call, in *api.ListTagsForResourceInput) []string {
			return s.arns(in.ResourceId)
		}, s.listTags),
	}
}

// bind ties an operation to its handler and keeps everybody but the management
// account out. resources names what is acted on and sets condition keys; nil
// means "*".
func bind[In, Out any](s *Service, op awsapi.Op[In, Out], resources func(*call.Call, *In) []string, h func(context.Context, *In) (*Out, error)) service.Route {
	r := service.Bind(op, func(ctx context.Context, c *call.Call, in *In) (*Out, error) {
		if err := s.admit(c, op.Operation.Name); err != nil {
			return nil, err
		}
		return h(ctx, in)
	})
	if resources != nil {
		r.Resources = func(_ context.Context, c *call.Call, in any) ([]string, error) {
			return resources(c, in.(*In)), nil
		}
	}
	return r
}

// admit refuses callers of the wrong account. Errors: AccessDeniedException,
// AWSOrganizationsNotInUseException.
func (s *Service) admit(c *call.Call, operation string) error {
	org := s.dir.Organization()
	manager := s.dir.Management()
	if org != nil {
		manager = org.Management
	}
	manages := c.Principal.Account == manager
	switch {
	case operation == "CreateOrganization":
		if !manages && org == nil {
			return denied()
		}
		return nil // the directory refuses a second one
	case org == nil || s.dir.OrgMember(c.Principal.Account) == nil:
		return apierr.New("AWSOrganizationsNotInUseException", http.StatusBadRequest, "Your account is not a member of an organization.")
	case !manages && operation != "DescribeOrganization":
		return denied()
	}
	return nil
}

func denied() error {
	return apierr.New(apierr.CodeAccessDenied, http.StatusBadRequest, "You don't have permissions to access this resource.")
}

// arns returns the ARNs of things of the organisation by their ids.
func (s *Service) arns(ids ...*string) []string {
	org := s.dir.Organization()
	if org == nil {
		return nil
	}
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		switch id := deref(id); {
		case id == "":
		case strings.HasPrefix(id, "r-"):
			// There is one root; the handler refuses others.
			out = append(out, strings.TrimSuffix(org.RootARN(), org.Root)+id)
		case strings.HasPrefix(id, "ou-"):
			out = append(out, org.UnitARN(id))
		case strings.HasPrefix(id, "p-"):
			out = append(out, s.policyARN(id))
		default:
			out = append(out, org.AccountARN(id))
		}
	}
	return out
}

func (s *Service) unitARN(id string) string {
	if org := s.dir.Organization(); org != nil {
		return org.UnitARN(id)
	}
	return "*"
}

func (s *Service) accountARN(id string) string {
	if org := s.dir.Organization(); org != nil {
		return org.AccountARN(id)
	}
	return "*"
}

func (s *Service) policyARN(id string) string {
	if org := s.dir.Organization(); org != nil {
		return org.PolicyARN(&identity.ControlPolicy{ID: id})
	}
	return "*"
}

// tagged sets the condition keys of tags that come with a new thing, and asks for
// the permission to tag it.
func (s *Service) tagged(c *call.Call, tags []api.Tag, arn string) {
	if len(tags) == 0 {
		return
	}
	requestTags(c, tags)
	c.Need("organizations:TagResource", arn)
}

// requestTags sets aws:RequestTag and aws:TagKeys.
func requestTags(c *call.Call, tags []api.Tag) {
	keys := make([]string, len(tags))
	for i, t := range tags {
		keys[i] = deref(t.Key)
		c.SetKey("aws:requesttag/"+strings.ToLower(keys[i]), deref(t.Value))
	}
	c.SetKey("aws:tagkeys", keys...)
}

// policyType sets the condition key organizations:PolicyType; nil is that of every
// policy there is.
func policyType(c *call.Call, t *api.PolicyType) {
	v := api.PolicyTypeServiceControlPolicy
	if t != nil {
		v = *t
	}
	c.SetKey("organizations:policytype", string(v))
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

func tagsIn(in []api.Tag) identity.Tags {
	out := make(identity.Tags, len(in))
	for i, t := range in {
		out[i] = identity.Tag{Key: deref(t.Key), Value: deref(t.Value)}
	}
	return out
}
