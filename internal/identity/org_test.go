package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	iamactions "github.com/outcrop/outcrop/internal/wire/awsapi/actions"
)

// organized is a world with an organisation: acctA manages it.
func organized(t *testing.T) (*world, *identity.Organization) {
	t.Helper()
	w := newWorld(t)
	o, err := w.CreateOrganization(t.Context())
	must(t, err)
	return w, o
}

func (w *world) account(t *testing.T, name string) string {
	t.Helper()
	r, err := w.CreateOrgAccount(t.Context(), identity.NewAccount{Name: name, Email: name + "@example.com"})
	must(t, err)
	if r.Failure != "" {
		t.Fatalf("account %s: %s", name, r.Failure)
	}
	return r.Account
}

func (w *world) control(t *testing.T, name, statements string) string {
	t.Helper()
	p, err := w.CreateControlPolicy(t.Context(), name, "", `{"Version":"2012-10-17","Statement":[`+statements+`]}`, nil)
	must(t, err)
	return p.ID
}

func (w *world) unit(t *testing.T, parent, name string) string {
	t.Helper()
	u, err := w.CreateUnit(t.Context(), parent, name, nil)
	must(t, err)
	return u.ID
}

// rootOf is the root of an account as a caller.
func rootOf(account string) call.Principal {
	return call.Principal{Type: call.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account}
}

// may asks whether a principal may do an action, and what decided.
func may(t *testing.T, d *identity.Directory, p call.Principal, action string) (bool, string) {
	t.Helper()
	a := access.New(access.Config{Principals: d, Resources: map[string]access.Resources{"iam": d}})
	c := &call.Call{Principal: p, Region: "us-east-1"}
	err := a.Authorize(t.Context(), c, call.Need{Action: action})
	if err != nil {
		if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeAccessDenied {
			t.Fatal(err)
		}
	}
	return err == nil, c.Decision.By
}

const allowAll = `{"Effect":"Allow","Action":"*","Resource":"*"}`

// TestControlPolicies is the truth table of service control policies: at which
// level a policy is attached, and what becomes of callers of which account.
func TestControlPolicies(t *testing.T) {
	t.Parallel()
	type world3 struct {
		*world
		org           *identity.Organization
		unit, inner   string // inner lies in unit
		inUnit, inTop string // accounts
	}
	for _, c := range []struct {
		name string
		edit func(t *testing.T, w world3) error
		// what the roots of the accounts may do: the management account, one right
		// below the root, one in the inner unit
		management, top, inner bool
	}{
		{"nothing but FullAWSAccess", func(*testing.T, world3) error { return nil }, true, true, true},
		{"deny at the root", func(t *testing.T, w world3) error {
			return w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"bedrock:*","Resource":"*"}`), w.org.Root)
		}, true, false, false},
		{"deny at the outer unit", func(t *testing.T, w world3) error {
			return w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*"}`), w.unit)
		}, true, true, false},
		{"deny at the account", func(t *testing.T, w world3) error {
			return w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*"}`), w.inUnit)
		}, true, true, false},
		{"deny of another action", func(t *testing.T, w world3) error {
			return w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"bedrock:CreateGuardrail","Resource":"*"}`), w.org.Root)
		}, true, true, true},
		{"deny attached to the management account", func(t *testing.T, w world3) error {
			return w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`), acctA)
		}, true, true, true},
		{"the middle level allows another service only", func(t *testing.T, w world3) error {
			id := w.control(t, "iam", `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`)
			return errors.Join(w.AttachControlPolicy(t.Context(), id, w.unit), w.DetachControlPolicy(t.Context(), identity.FullAccessPolicy, w.unit))
		}, true, true, false},
		{"the account level allows the action alone", func(t *testing.T, w world3) error {
			id := w.control(t, "invoke", `{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}`)
			return errors.Join(w.AttachControlPolicy(t.Context(), id, w.inUnit), w.DetachControlPolicy(t.Context(), identity.FullAccessPolicy, w.inUnit))
		}, true, true, true},
		{"two policies of a level add up", func(t *testing.T, w world3) error {
			a := w.control(t, "iam", `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`)
			b := w.control(t, "bedrock", `{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}`)
			return errors.Join(w.AttachControlPolicy(t.Context(), a, w.org.Root), w.AttachControlPolicy(t.Context(), b, w.org.Root),
				w.DetachControlPolicy(t.Context(), identity.FullAccessPolicy, w.org.Root))
		}, true, true, true},
		{"the root level allows nothing of it", func(t *testing.T, w world3) error {
			a := w.control(t, "iam", `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`)
			return errors.Join(w.AttachControlPolicy(t.Context(), a, w.org.Root), w.DetachControlPolicy(t.Context(), identity.FullAccessPolicy, w.org.Root))
		}, true, false, false},
		{"the account moves out of the denying unit", func(t *testing.T, w world3) error {
			return errors.Join(w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`), w.unit),
				w.MoveAccount(t.Context(), w.inUnit, w.inner, w.org.Root))
		}, true, true, true},
		{"the account moves into the denying unit", func(t *testing.T, w world3) error {
			return errors.Join(w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`), w.unit),
				w.MoveAccount(t.Context(), w.inTop, w.org.Root, w.inner))
		}, true, false, false},
		{"a changed policy holds at once", func(t *testing.T, w world3) error {
			id := w.control(t, "late", `{"Effect":"Deny","Action":"iam:*","Resource":"*"}`)
			err := w.AttachControlPolicy(t.Context(), id, w.org.Root)
			may(t, w.Directory, rootOf(w.inTop), "bedrock:InvokeModel")
			_, updateErr := w.UpdateControlPolicy(t.Context(), id, identity.ControlPolicyUpdate{
				Text: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:*","Resource":"*"}]}`),
			})
			return errors.Join(err, updateErr)
		}, true, false, false},
		{"the policy type is disabled", func(t *testing.T, w world3) error {
			err := w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`), w.org.Root)
			_, off := w.DisableControl(t.Context(), w.org.Root)
			return errors.Join(err, off)
		}, true, true, true},
		{"the policy type is disabled and enabled", func(t *testing.T, w world3) error {
			err := w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`), w.org.Root)
			_, off := w.DisableControl(t.Context(), w.org.Root)
			_, on := w.EnableControl(t.Context(), w.org.Root)
			return errors.Join(err, off, on)
		}, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base, o := organized(t)
			w := world3{world: base, org: o}
			w.unit = w.world.unit(t, o.Root, "outer")
			w.inner = w.world.unit(t, w.unit, "inner")
			w.inTop, w.inUnit = w.account(t, "top"), w.account(t, "deep")
			must(t, w.MoveAccount(t.Context(), w.inUnit, o.Root, w.inner))
			must(t, c.edit(t, w))
			// A second process sees the same.
			for _, d := range []*identity.Directory{w.Directory, w.open(t)} {
				for account, want := range map[string]bool{acctA: c.management, w.inTop: c.top, w.inUnit: c.inner} {
					if got, by := may(t, d, rootOf(account), "bedrock:InvokeModel"); got != want {
						t.Errorf("root of %s: %t by %q, want %t", account, got, by, want)
					}
				}
			}
		})
	}
}

// TestControlBindsUsers shows that a service control policy binds users and roles
// like the root, and grants nothing.
func TestControlBindsUsers(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	acct := w.account(t, "dev")
	ana, bob := w.user(t, acct, "ana"), w.user(t, acct, "bob")
	must(t, w.PutInline(t.Context(), acct, identity.TypeUser, "ana", "p", allowInvoke))
	caller := func(u *identity.User) call.Principal {
		return call.Principal{Type: call.User, Account: acct, ARN: u.ARN(), UserID: u.ID, Name: u.Name}
	}
	if ok, _ := may(t, w.Directory, caller(ana), "bedrock:InvokeModel"); !ok {
		t.Error("ana is refused although nothing denies")
	}
	if ok, _ := may(t, w.Directory, caller(bob), "bedrock:InvokeModel"); ok {
		t.Error("FullAWSAccess granted something to bob")
	}
	must(t, w.AttachControlPolicy(t.Context(), w.control(t, "deny", `{"Effect":"Deny","Action":"bedrock:*","Resource":"*"}`), o.Root))
	if ok, by := may(t, w.Directory, caller(ana), "bedrock:InvokeModel"); ok || by != "service control policy" {
		t.Errorf("ana: %t by %q", ok, by)
	}
}

// TestOrgFacts checks aws:PrincipalOrgID and aws:PrincipalOrgPaths.
func TestOrgFacts(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	acct := w.account(t, "dev")
	outer := w.unit(t, o.Root, "outer")
	inner := w.unit(t, outer, "inner")
	must(t, w.MoveAccount(t.Context(), acct, o.Root, inner))
	p := rootOf(acct)
	v, err := w.Policies(t.Context(), &p)
	must(t, err)
	want := fmt.Sprintf("%s/%s/%s/%s/", o.ID, o.Root, outer, inner)
	if v.OrgID != o.ID || v.OrgPath != want || len(v.Control) != 4 {
		t.Errorf("%q, %q with %d levels, want %q", v.OrgID, v.OrgPath, len(v.Control), want)
	}
	r, err := w.Resource(t.Context(), "arn:aws:iam::"+acct+":role/"+identity.DefaultAccessRole, acctA)
	must(t, err)
	if r.OrgID != o.ID || r.Account != acct {
		t.Errorf("the account's role: %+v", r)
	}
	m := rootOf(acctA)
	v, err = w.Policies(t.Context(), &m)
	must(t, err)
	if v.OrgID != o.ID || v.OrgPath != o.ID+"/"+o.Root+"/" || v.Control != nil {
		t.Errorf("management account: %+v", v)
	}
	stranger := rootOf("999900001111")
	v, err = w.Policies(t.Context(), &stranger)
	must(t, err)
	if v.OrgID != "" || v.OrgPath != "" || v.Control != nil {
		t.Errorf("stranger: %+v", v)
	}
}

// TestOrganizationErrors has one case for each refusal of the tree.
func TestOrganizationErrors(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	acct := w.account(t, "dev")
	outer := w.unit(t, o.Root, "outer")
	deep := o.Root
	for i := range 5 {
		deep = w.unit(t, deep, fmt.Sprintf("level%d", i))
	}
	deny := w.control(t, "deny", `{"Effect":"Deny","Action":"*","Resource":"*"}`)
	used := w.control(t, "used", allowAll)
	must(t, w.AttachControlPolicy(t.Context(), used, outer))
	full := w.unit(t, o.Root, "full")
	for i := range 4 {
		must(t, w.AttachControlPolicy(t.Context(), w.control(t, fmt.Sprintf("p%d", i), allowAll), full))
	}
	ctx := t.Context()
	text := func(s string) *string { return &s }
	reason := func(err error) string {
		if e, ok := errors.AsType[*apierr.Error](err); ok && e.Fields["Reason"] != "" {
			return e.Code + " " + e.Fields["Reason"]
		}
		return code(t, err)
	}
	second := func(_ any, err error) error { return err }
	for _, c := range []struct {
		name, want string
		do         func() error
	}{
		{"second organisation", "AlreadyInOrganizationException", func() error { return second(w.CreateOrganization(ctx)) }},
		{"unit below nothing", "ParentNotFoundException", func() error { return second(w.CreateUnit(ctx, "ou-none-00000000", "x", nil)) }},
		{"unit below an account", "ParentNotFoundException", func() error { return second(w.CreateUnit(ctx, acct, "x", nil)) }},
		{"unit twice", "DuplicateOrganizationalUnitException", func() error { return second(w.CreateUnit(ctx, o.Root, "outer", nil)) }},
		{"sixth level", "ConstraintViolationException OU_DEPTH_LIMIT_EXCEEDED", func() error { return second(w.CreateUnit(ctx, deep, "x", nil)) }},
		{"unit without name", "InvalidInputException MAX_LENGTH_EXCEEDED", func() error { return second(w.CreateUnit(ctx, o.Root, "", nil)) }},
		{"unit with a bad tag", "InvalidInputException", func() error {
			return second(w.CreateUnit(ctx, o.Root, "x", identity.Tags{{Key: "aws:x"}}))
		}},
		{"rename to a taken name", "DuplicateOrganizationalUnitException", func() error { return second(w.RenameUnit(ctx, full, "outer")) }},
		{"rename nothing", "OrganizationalUnitNotFoundException", func() error { return second(w.RenameUnit(ctx, "ou-none-00000000", "x")) }},
		{"delete nothing", "OrganizationalUnitNotFoundException", func() error { return w.DeleteUnit(ctx, "ou-none-00000000") }},
		{"delete a full unit", "OrganizationalUnitNotEmptyException", func() error {
			u, _ := w.OrgUnits(o.Root)
			for _, v := range u {
				if v.Name == "level0" {
					return w.DeleteUnit(ctx, v.ID)
				}
			}
			return nil
		}},
		{"move a stranger", "AccountNotFoundException", func() error { return w.MoveAccount(ctx, "999900001111", o.Root, outer) }},
		{"move from elsewhere", "SourceParentNotFoundException", func() error { return w.MoveAccount(ctx, acct, outer, o.Root) }},
		{"move to nowhere", "DestinationParentNotFoundException", func() error { return w.MoveAccount(ctx, acct, o.Root, "ou-none-00000000") }},
		{"move into itself", "DestinationParentNotFoundException", func() error { return w.MoveAccount(ctx, acct, o.Root, acct) }},
		{"move nowhere", "DuplicateAccountException", func() error { return w.MoveAccount(ctx, acct, o.Root, o.Root) }},
		{"close a stranger", "AccountNotFoundException", func() error { return w.CloseAccount(ctx, "999900001111") }},
		{"close the management account", "ConstraintViolationException CANNOT_CLOSE_MANAGEMENT_ACCOUNT", func() error { return w.CloseAccount(ctx, acctA) }},
		{"policy twice", "DuplicatePolicyException", func() error { return second(w.CreateControlPolicy(ctx, "deny", "", fullText, nil)) }},
		{"policy that is no JSON", "MalformedPolicyDocumentException", func() error { return second(w.CreateControlPolicy(ctx, "x", "", "{", nil)) }},
		{"policy with a principal", "MalformedPolicyDocumentException", func() error {
			return second(w.CreateControlPolicy(ctx, "x", "", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, nil))
		}},
		{"policy too long", "ConstraintViolationException POLICY_CONTENT_LIMIT_EXCEEDED", func() error {
			return second(w.CreateControlPolicy(ctx, "x", "", fullText+strings.Repeat(" ", 5120), nil))
		}},
		{"policy with a long description", "InvalidInputException MAX_LENGTH_EXCEEDED", func() error {
			return second(w.CreateControlPolicy(ctx, "x", strings.Repeat("x", 513), fullText, nil))
		}},
		{"update nothing", "PolicyNotFoundException", func() error {
			return second(w.UpdateControlPolicy(ctx, "p-none0000", identity.ControlPolicyUpdate{}))
		}},
		{"update AWS's own", "InvalidInputException IMMUTABLE_POLICY", func() error {
			return second(w.UpdateControlPolicy(ctx, identity.FullAccessPolicy, identity.ControlPolicyUpdate{Text: text(fullText)}))
		}},
		{"update to a taken name", "DuplicatePolicyException", func() error {
			return second(w.UpdateControlPolicy(ctx, deny, identity.ControlPolicyUpdate{Name: text("used")}))
		}},
		{"delete AWS's own", "InvalidInputException IMMUTABLE_POLICY", func() error { return w.DeleteControlPolicy(ctx, identity.FullAccessPolicy) }},
		{"tag AWS's own", "InvalidInputException IMMUTABLE_POLICY", func() error {
			return w.TagOrganization(ctx, identity.FullAccessPolicy, identity.Tags{{Key: "a", Value: "b"}})
		}},
		{"delete a policy in use", "PolicyInUseException", func() error { return w.DeleteControlPolicy(ctx, used) }},
		{"delete no policy", "PolicyNotFoundException", func() error { return w.DeleteControlPolicy(ctx, "p-none0000") }},
		{"attach no policy", "PolicyNotFoundException", func() error { return w.AttachControlPolicy(ctx, "p-none0000", outer) }},
		{"attach to nothing", "TargetNotFoundException", func() error { return w.AttachControlPolicy(ctx, deny, "ou-none-00000000") }},
		{"attach twice", "DuplicatePolicyAttachmentException", func() error { return w.AttachControlPolicy(ctx, used, outer) }},
		{"attach a sixth", "ConstraintViolationException MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", func() error { return w.AttachControlPolicy(ctx, deny, full) }},
		{"detach what is not attached", "PolicyNotAttachedException", func() error { return w.DetachControlPolicy(ctx, deny, outer) }},
		{"detach the last", "ConstraintViolationException MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", func() error {
			return w.DetachControlPolicy(ctx, identity.FullAccessPolicy, acct)
		}},
		{"enable twice", "PolicyTypeAlreadyEnabledException", func() error { return second(w.EnableControl(ctx, o.Root)) }},
		{"enable at no root", "RootNotFoundException", func() error { return second(w.EnableControl(ctx, "r-none")) }},
		{"tag nothing", "TargetNotFoundException", func() error { return w.TagOrganization(ctx, "ou-none-00000000", nil) }},
		{"parent of nothing", "ChildNotFoundException", func() error { return second(w.OrgParent("ou-none-00000000")) }},
		{"children of nothing", "ParentNotFoundException", func() error { return second(w.OrgMembers("ou-none-00000000")) }},
		{"policies of nothing", "TargetNotFoundException", func() error { return second(w.AttachedControlPolicies("ou-none-00000000")) }},
		{"targets of nothing", "PolicyNotFoundException", func() error { return second(w.ControlPolicyTargets("p-none0000")) }},
		{"request of nothing", "CreateAccountStatusNotFoundException", func() error { return second(w.AccountRequest("car-00000000")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := reason(c.do()); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

const fullText = `{"Version":"2012-10-17","Statement":[` + allowAll + `]}`

func TestNoOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.Organization() != nil || w.OrgPath(acctA) != "" {
		t.Error("there is an organisation from the start")
	}
	_, err := w.CreateOrgAccount(t.Context(), identity.NewAccount{Name: "x", Email: "x@example.com"})
	if got := code(t, err); got != "AWSOrganizationsNotInUseException" {
		t.Error(got)
	}
}

// TestCreateOrgAccount checks what a new account is born with.
func TestCreateOrgAccount(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	id := w.account(t, "dev")
	if a := w.Account(id); a == nil || a.Name != "dev" || a.Status != identity.AccountActive {
		t.Fatalf("account %+v", a)
	}
	if m := w.OrgMember(id); m == nil || m.Parent != o.Root || len(m.Attached) != 1 || m.Attached[0] != identity.FullAccessPolicy {
		t.Errorf("member %+v", m)
	}
	r := w.Role(id, identity.DefaultAccessRole)
	if r == nil || !strings.Contains(r.Trust, acctA) || len(r.Attached) != 1 || !strings.HasSuffix(r.Attached[0], "/AdministratorAccess") {
		t.Fatalf("role %+v", r)
	}
	if w.Role(acctA, identity.DefaultAccessRole) != nil {
		t.Error("the management account has the role too")
	}
	again, err := w.CreateOrgAccount(t.Context(), identity.NewAccount{Name: "other", Email: "DEV@example.com"})
	must(t, err)
	if again.Failure != "EMAIL_ALREADY_EXISTS" || again.Account != "" {
		t.Errorf("the email twice: %+v", again)
	}
	if known, err := w.AccountRequest(again.ID); err != nil || known.Failure != again.Failure {
		t.Errorf("request %+v, %v", known, err)
	}
	must(t, w.CloseAccount(t.Context(), id))
	if got := code(t, w.CloseAccount(t.Context(), id)); got != "AccountAlreadyClosedException" {
		t.Error(got)
	}
}

// TestOrganizationTags puts tags on everything that takes them.
func TestOrganizationTags(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	for _, id := range []string{o.Root, w.unit(t, o.Root, "u"), w.account(t, "dev"), w.control(t, "p", allowAll)} {
		must(t, w.TagOrganization(t.Context(), id, identity.Tags{{Key: "team", Value: "red"}, {Key: "cost", Value: "1"}}))
		must(t, w.UntagOrganization(t.Context(), id, []string{"cost"}))
		tags, err := w.OrganizationTags(id)
		must(t, err)
		if len(tags) != 1 || tags[0] != (identity.Tag{Key: "team", Value: "red"}) {
			t.Errorf("%s: %v", id, tags)
		}
		r, err := w.OrganizationResources().Resource(context.Background(), "arn:aws:organizations::"+acctA+":x/"+o.ID+"/"+id, acctA)
		if err != nil || r.Tags["team"] != "red" {
			t.Errorf("%s: resource %+v, %v", id, r, err)
		}
	}
}

// TestDenyPolicyLeavesNothing: under a policy that denies everything no principal
// of a member may do any action that there is, and those of the management account
// may do what they could before.
func TestDenyPolicyLeavesNothing(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	dev := w.account(t, "dev")
	var all []string
	for _, p := range iamactions.Prefixes() {
		for _, a := range p.Actions {
			all = append(all, p.Name+":"+a.Name)
		}
	}
	everybody := func(acct string) []call.Principal {
		u := w.user(t, acct, "admin")
		must(t, w.AttachPolicy(t.Context(), acct, identity.TypeUser, "admin", administrator))
		r, err := w.CreateRole(t.Context(), acct, identity.NewRole{Name: "admin", Trust: trustA})
		must(t, err)
		must(t, w.AttachPolicy(t.Context(), acct, identity.TypeRole, "admin", administrator))
		return []call.Principal{
			rootOf(acct),
			{Type: call.User, Account: acct, ARN: u.ARN(), UserID: u.ID, Name: u.Name},
			{
				Type: call.AssumedRole, Account: acct, ARN: "arn:aws:sts::" + acct + ":assumed-role/admin/s", UserID: r.ID + ":s", AccessKeyID: "ASIA" + acct,
				Session: &call.Session{RoleARN: r.ARN(), RoleID: r.ID, RoleName: r.Name, Name: "s"},
			},
		}
	}
	members, managers := everybody(dev), everybody(acctA)
	a := access.New(access.Config{Principals: w.Directory})
	allowed := func(who []call.Principal) int {
		n := 0
		for _, p := range who {
			for _, action := range all {
				c := &call.Call{Principal: p, Region: "us-east-1"}
				if a.Authorize(t.Context(), c, call.Need{Action: action}) == nil && !c.Decision.Open {
					n++
				}
			}
		}
		return n
	}
	before := allowed(managers)
	if got := allowed(members); got != before || got < len(all) {
		t.Errorf("%d of %d actions before, %d in the management account", got, 3*len(all), before)
	}
	must(t, w.AttachControlPolicy(t.Context(), w.control(t, "nothing", `{"Effect":"Deny","Action":"*","Resource":"*"}`), o.Root))
	if got := allowed(members); got != 0 {
		t.Errorf("%d actions are left to the member", got)
	}
	if got := allowed(managers); got != before {
		t.Errorf("the management account has %d actions left of %d", got, before)
	}
	t.Logf("%d actions, 3 principals", len(all))
}

const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"

// TestOrganizationAcrossProcesses: a policy that one process deletes while another
// attaches it is either deleted or attached.
func TestOrganizationAcrossProcesses(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	other := w.open(t)
	for i := range 20 {
		id := w.control(t, fmt.Sprint("p", i), allowAll)
		must(t, other.Refresh(t.Context()))
		done := make(chan error)
		go func() { done <- other.AttachControlPolicy(t.Context(), id, o.Root) }()
		deleted := w.DeleteControlPolicy(t.Context(), id)
		attached := <-done
		if (deleted == nil) == (attached == nil) {
			t.Fatalf("deleted: %v, attached: %v", deleted, attached)
		}
		must(t, w.Refresh(t.Context()))
		if attached == nil {
			must(t, w.DetachControlPolicy(t.Context(), id, o.Root))
		}
	}
}
