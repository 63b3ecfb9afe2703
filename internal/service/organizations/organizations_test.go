package organizations_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/organizations"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
)

const (
	manager  = "111122223333"
	stranger = "999900001111"
	denyAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:*","Resource":"*"}]}`
)

// world is the service over stores in memory, with authorisation before it.
type world struct {
	dir    *identity.Directory
	access *access.Authorizer
	routes map[string]service.Route
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	k := keys.New(keys.Config{Store: new(keystest.Store), Root: root})
	w := &world{routes: map[string]service.Route{}}
	w.dir, err = identity.Open(t.Context(), identity.Config{Records: new(recordtest.Store), Keys: k, Root: root, Management: manager})
	must(t, err)
	w.access = access.New(access.Config{
		Principals: w.dir, Resources: map[string]access.Resources{"iam": w.dir, "organizations": w.dir.OrganizationResources()},
	})
	for _, r := range organizations.New(w.dir).Routes() {
		w.routes[r.Operation.Name] = r
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code is the code of an API error, and its reason if it has one; "" of none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("%v is no API error", err)
	}
	return strings.TrimSpace(e.Code + " " + e.Fields["Reason"])
}

func root(account string) call.Principal {
	return keys.Key{ID: "AKIAROOT", Account: account}.Principal()
}

// do sends a request the way the front door does: resources, authorisation, handler.
func do[In, Out any](w *world, who call.Principal, op awsapi.Op[In, Out], in *In) (*Out, error) {
	r := w.routes[op.Operation.Name]
	ctx := context.Background()
	c := &call.Call{Principal: who, Region: "us-east-1", Action: op.Operation.Action}
	var resources []string
	if r.Resources != nil {
		var err error
		if resources, err = r.Resources(ctx, c, in); err != nil {
			return nil, err
		}
	}
	if err := w.access.Authorize(ctx, c, call.Need{Action: c.Action, Resources: resources}); err != nil {
		return nil, err
	}
	out, err := r.Serve(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

// organize makes the organisation with some accounts and returns their numbers.
func (w *world) organize(t *testing.T, names ...string) []string {
	t.Helper()
	_, err := do(w, root(manager), api.OpCreateOrganization, &api.CreateOrganizationInput{})
	must(t, err)
	var ids []string
	for _, name := range names {
		out, err := do(w, root(manager), api.OpCreateAccount, &api.CreateAccountInput{AccountName: new(name), Email: new(name + "@example.com")})
		must(t, err)
		ids = append(ids, *out.CreateAccountStatus.AccountId)
	}
	return ids
}

// TestAdmission: who may use the service, before there is an organisation and
// after, for every operation.
func TestAdmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	serve := func(name string, who call.Principal) string {
		r := w.routes[name]
		_, err := r.Serve(t.Context(), &call.Call{Principal: who}, r.NewInput())
		return code(t, err)
	}
	const notInUse, denied = "AWSOrganizationsNotInUseException", "AccessDeniedException"
	for name := range w.routes {
		want := notInUse
		if name == "CreateOrganization" {
			want = denied
		}
		if got := serve(name, root(stranger)); got != want {
			t.Errorf("before, %s: %q, want %q", name, got, want)
		}
	}
	member := w.organize(t, "dev")[0]
	for name := range w.routes {
		forMember, forStranger := denied, notInUse
		switch name {
		case "DescribeOrganization":
			forMember = ""
		case "CreateOrganization":
			forMember, forStranger = "AlreadyInOrganizationException", "AlreadyInOrganizationException"
		}
		if got := serve(name, root(member)); got != forMember {
			t.Errorf("member, %s: %q, want %q", name, got, forMember)
		}
		if got := serve(name, root(stranger)); got != forStranger {
			t.Errorf("stranger, %s: %q, want %q", name, got, forStranger)
		}
	}
}

// TestAuthorization: a user of the management account may do what its policies
// say about ARNs and condition keys of the organisation.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	member := w.organize(t, "dev")[0]
	o := w.dir.Organization()
	unit, err := w.dir.CreateUnit(t.Context(), o.Root, "a", identity.Tags{{Key: "team", Value: "red"}})
	must(t, err)
	other, err := w.dir.CreateUnit(t.Context(), o.Root, "b", nil)
	must(t, err)
	u, err := w.dir.CreateUser(t.Context(), manager, identity.NewUser{Name: "ana"})
	must(t, err)
	ana := call.Principal{Type: call.User, Account: manager, ARN: u.ARN(), UserID: u.ID, Name: "ana"}
	must(t, w.dir.PutInline(t.Context(), manager, identity.TypeUser, "ana", "p", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"organizations:DescribeOrganizationalUnit","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}},
		{"Effect":"Allow","Action":"organizations:CreateOrganizationalUnit","Resource":"`+o.UnitARN(unit.ID)+`"},
		{"Effect":"Allow","Action":"organizations:MoveAccount","Resource":["`+o.AccountARN(member)+`","`+o.RootARN()+`","`+o.UnitARN(unit.ID)+`"]},
		{"Effect":"Allow","Action":"organizations:ListPolicies","Resource":"*","Condition":{"StringEquals":{"organizations:PolicyType":"SERVICE_CONTROL_POLICY"}}}
	]}`))
	second := func(_ any, err error) error { return err }
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"by tag", "", second(do(w, ana, api.OpDescribeOrganizationalUnit, &api.DescribeOrganizationalUnitInput{OrganizationalUnitId: new(unit.ID)}))},
		{"without the tag", "AccessDeniedException", second(do(w, ana, api.OpDescribeOrganizationalUnit, &api.DescribeOrganizationalUnitInput{OrganizationalUnitId: new(other.ID)}))},
		{"a unit below", "", second(do(w, ana, api.OpCreateOrganizationalUnit, &api.CreateOrganizationalUnitInput{ParentId: new(unit.ID), Name: new("x")}))},
		{"a unit elsewhere", "AccessDeniedException", second(do(w, ana, api.OpCreateOrganizationalUnit, &api.CreateOrganizationalUnitInput{ParentId: new(o.Root), Name: new("x")}))},
		{"tags without their permission", "AccessDeniedException", second(do(w, ana, api.OpCreateOrganizationalUnit, &api.CreateOrganizationalUnitInput{
			ParentId: new(unit.ID), Name: new("y"), Tags: []api.Tag{{Key: new("a"), Value: new("b")}},
		}))},
		{"a move to where it may", "", second(do(w, ana, api.OpMoveAccount, &api.MoveAccountInput{AccountId: new(member), SourceParentId: new(o.Root), DestinationParentId: new(unit.ID)}))},
		{"a move to elsewhere", "AccessDeniedException", second(do(w, ana, api.OpMoveAccount, &api.MoveAccountInput{AccountId: new(member), SourceParentId: new(unit.ID), DestinationParentId: new(other.ID)}))},
		{"by the policy type", "", second(do(w, ana, api.OpListPolicies, &api.ListPoliciesInput{Filter: new(api.PolicyTypeServiceControlPolicy)}))},
		{"another policy type", "AccessDeniedException", second(do(w, ana, api.OpListPolicies, &api.ListPoliciesInput{Filter: new(api.PolicyTypeTagPolicy)}))},
		{"the root of a member", "AccessDeniedException", second(do(w, root(member), api.OpDescribeAccount, &api.DescribeAccountInput{AccountId: new(member)}))},
	} {
		if got := code(t, c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPages walks a list page by page while it changes.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("a%02d", i))
	}
	made := w.organize(t, names...)
	walk := func(most *int32) (ids []string, pages int) {
		var token *string
		for {
			out, err := do(w, root(manager), api.OpListAccounts, &api.ListAccountsInput{NextToken: token, MaxResults: most})
			must(t, err)
			for _, a := range out.Accounts {
				ids = append(ids, *a.Id)
			}
			pages++
			if token = out.NextToken; token == nil {
				return ids, pages
			}
		}
	}
	want := append([]string{manager}, made...)
	slices.Sort(want)
	for _, c := range []struct {
		most  *int32
		pages int
	}{{nil, 2}, {new(int32(7)), 4}, {new(int32(1)), 26}, {new(int32(20)), 2}} {
		if ids, pages := walk(c.most); !slices.Equal(ids, want) || pages != c.pages {
			t.Errorf("%d pages of %d accounts", pages, len(ids))
		}
	}
	if _, err := do(w, root(manager), api.OpListAccounts, &api.ListAccountsInput{NextToken: new("mine")}); code(t, err) != "InvalidInputException INVALID_NEXT_TOKEN" {
		t.Errorf("a token that nobody gave: %v", err)
	}
}

// TestPolicies walks the life of a policy.
func TestPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	member := w.organize(t, "dev")[0]
	admin := root(manager)
	made, err := do(w, admin, api.OpCreatePolicy, &api.CreatePolicyInput{
		Name: new("no"), Description: new("d"), Type: new(api.PolicyTypeServiceControlPolicy), Content: new(denyAll), Tags: []api.Tag{{Key: new("a"), Value: new("b")}},
	})
	must(t, err)
	p := made.Policy.PolicySummary
	if *p.AwsManaged || !strings.HasSuffix(*p.Arn, "/service_control_policy/"+*p.Id) || *made.Policy.Content != denyAll {
		t.Errorf("made %+v", p)
	}
	o := w.dir.Organization()
	unit, err := w.dir.CreateUnit(t.Context(), o.Root, "u", nil)
	must(t, err)
	targets := []string{member, unit.ID, o.Root}
	for _, id := range targets {
		_, err := do(w, admin, api.OpAttachPolicy, &api.AttachPolicyInput{PolicyId: p.Id, TargetId: new(id)})
		must(t, err)
	}
	var seen []string
	var token *string
	for {
		out, err := do(w, admin, api.OpListTargetsForPolicy, &api.ListTargetsForPolicyInput{PolicyId: p.Id, MaxResults: new(int32(1)), NextToken: token})
		must(t, err)
		for _, v := range out.Targets {
			seen = append(seen, *v.TargetId+" "+*v.Name+" "+string(*v.Type))
		}
		if token = out.NextToken; token == nil {
			break
		}
	}
	if want := []string{member + " dev ACCOUNT", unit.ID + " u ORGANIZATIONAL_UNIT", o.Root + " Root ROOT"}; !slices.Equal(seen, want) {
		t.Errorf("targets %q, want %q", seen, want)
	}
	list, err := do(w, admin, api.OpListPoliciesForTarget, &api.ListPoliciesForTargetInput{TargetId: new(unit.ID), Filter: new(api.PolicyTypeServiceControlPolicy)})
	must(t, err)
	if len(list.Policies) != 2 {
		t.Errorf("policies of the unit: %+v", list.Policies)
	}
	off, err := do(w, admin, api.OpDisablePolicyType, &api.DisablePolicyTypeInput{RootId: new(o.Root), PolicyType: new(api.PolicyTypeServiceControlPolicy)})
	must(t, err)
	if len(off.Root.PolicyTypes) != 0 {
		t.Errorf("disabled: %+v", off.Root)
	}
	if _, err := do(w, admin, api.OpAttachPolicy, &api.AttachPolicyInput{PolicyId: p.Id, TargetId: new(unit.ID)}); code(t, err) != "PolicyTypeNotEnabledException" {
		t.Errorf("attach while disabled: %v", err)
	}
	if _, err := do(w, admin, api.OpDeletePolicy, &api.DeletePolicyInput{PolicyId: p.Id}); err != nil {
		t.Errorf("what was detached by disabling: %v", err)
	}
	if _, err := do(w, admin, api.OpEnablePolicyType, &api.EnablePolicyTypeInput{RootId: new(o.Root), PolicyType: new(api.PolicyTypeTagPolicy)}); code(t, err) != "PolicyTypeNotAvailableForOrganizationException" {
		t.Errorf("enable another type: %v", err)
	}
}
