package identity_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
)

// actions are the first actions of documents, in their order.
func actions(p *access.Policies) (out []string) {
	for _, d := range p.Identity {
		out = append(out, d.Statements()[0].Actions[0])
	}
	return out
}

func allow(action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`
}

func (w *world) principal(t testing.TB, u *identity.User) call.Principal {
	t.Helper()
	p, err := w.Principal(keys.Key{ID: "AKIA" + u.Name, Account: u.Account, Owner: u.ID})
	must(t, err)
	return p
}

func (w *world) policies(t testing.TB, p *call.Principal) *access.Policies {
	t.Helper()
	v, err := w.Policies(t.Context(), p)
	must(t, err)
	return v
}

// Everything that binds a user counts from the next call on.
func TestUserPolicies(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	p := w.principal(t, w.user(t, acctA, "ana"))
	check := func(want ...string) {
		t.Helper()
		if got := actions(w.policies(t, &p)); !slices.Equal(got, want) {
			t.Errorf("policies %q, want %q", got, want)
		}
	}
	check()
	own, err := w.CreatePolicy(ctx, acctA, identity.NewPolicy{Name: "own", Text: allow("s3:own")})
	must(t, err)
	_, err = w.CreateGroup(ctx, acctA, "team", "")
	must(t, err)
	for _, step := range []struct {
		do   func() error
		want []string
	}{
		{func() error { return w.AttachPolicy(ctx, acctA, identity.TypeUser, "ana", own.ARN()) }, []string{"s3:own"}},
		{func() error { return w.PutInline(ctx, acctA, identity.TypeUser, "ana", "in", allow("s3:in")) }, []string{"s3:in", "s3:own"}},
		{func() error { return w.PutInline(ctx, acctA, identity.TypeUser, "ana", "in", allow("s3:new")) }, []string{"s3:new", "s3:own"}},
		{func() error { return w.PutInline(ctx, acctA, identity.TypeGroup, "team", "g", allow("s3:group")) }, []string{"s3:new", "s3:own"}},
		{func() error { return w.JoinGroup(ctx, acctA, "team", "ana") }, []string{"s3:new", "s3:own", "s3:group"}},
		{func() error {
			_, err := w.AddPolicyVersion(ctx, acctA, own.ARN(), allow("s3:v2"), identity.Standby)
			return err
		}, []string{"s3:new", "s3:own", "s3:group"}},
		{func() error { return w.SetDefaultPolicyVersion(ctx, acctA, own.ARN(), "v2") }, []string{"s3:new", "s3:v2", "s3:group"}},
		{func() error { return w.RenameUser(ctx, acctA, "ana", "anna", "/x/") }, []string{"s3:new", "s3:v2", "s3:group"}},
		{func() error { return w.LeaveGroup(ctx, acctA, "team", "anna") }, []string{"s3:new", "s3:v2"}},
		{func() error { return w.DetachPolicy(ctx, acctA, identity.TypeUser, "anna", own.ARN()) }, []string{"s3:new"}},
		{func() error { return w.DeleteInline(ctx, acctA, identity.TypeUser, "anna", "in") }, nil},
		{func() error {
			return w.AttachPolicy(ctx, acctA, identity.TypeUser, "anna", "arn:aws:iam::aws:policy/AdministratorAccess")
		}, []string{"*"}},
	} {
		changed := w.Changed()
		must(t, step.do())
		check(step.want...)
		select {
		case <-changed:
		default:
			t.Errorf("nobody was told of the change to %q", step.want)
		}
	}
	must(t, w.SetBoundary(ctx, acctA, identity.TypeUser, "anna", own.ARN()))
	must(t, w.TagUser(ctx, acctA, "anna", identity.Tags{{Key: "team", Value: "ml"}}))
	if v := w.policies(t, &p); v.Boundary == nil || v.Boundary.Statements()[0].Actions[0] != "s3:v2" || v.Tags["team"] != "ml" || v.Session != nil {
		t.Errorf("boundary and tags %+v", v)
	}
	must(t, w.DetachPolicy(ctx, acctA, identity.TypeUser, "anna", "arn:aws:iam::aws:policy/AdministratorAccess"))
	must(t, w.DeleteUser(ctx, acctA, "anna"))
	if _, err := w.Policies(ctx, &p); code(t, err) != "UnrecognizedClientException" {
		t.Errorf("a user that is gone: %v", err)
	}
	if _, err := w.Principal(keys.Key{Account: acctA, Owner: p.UserID}); code(t, err) != "UnrecognizedClientException" {
		t.Errorf("the key of a user that is gone: %v", err)
	}
}

func TestRoleSessions(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	r, err := w.CreateRole(ctx, acctA, identity.NewRole{Name: "app", Trust: trustA, Tags: identity.Tags{{Key: "team", Value: "ml"}, {Key: "x", Value: "y"}}})
	must(t, err)
	must(t, w.PutInline(ctx, acctA, identity.TypeRole, "app", "in", allow("s3:in")))
	own, err := w.CreatePolicy(ctx, acctA, identity.NewPolicy{Name: "own", Text: allow("s3:own")})
	must(t, err)
	session := func(change func(s *call.Session)) *call.Principal {
		s := &call.Session{RoleARN: r.ARN(), RoleID: r.ID, RoleName: "app", Name: "s"}
		change(s)
		return &call.Principal{Type: call.AssumedRole, Account: acctA, AccessKeyID: "ASIAONE", UserID: r.ID + ":s", Session: s}
	}
	plain := session(func(*call.Session) {})
	tagged := session(func(s *call.Session) { s.Tags = map[string]string{"team": "ops"} })
	narrow := session(func(s *call.Session) {
		s.Policies, s.PolicyARNs = []string{allow("s3:session")}, []string{own.ARN(), "arn:aws:iam::aws:policy/Gone"}
	})
	// All three have one access key id: the session itself tells them apart.
	for range 2 {
		if v := w.policies(t, plain); v.Session != nil || !maps.Equal(v.Tags, map[string]string{"team": "ml", "x": "y"}) || !slices.Equal(actions(v), []string{"s3:in"}) {
			t.Errorf("plain session %+v", v)
		}
		if v := w.policies(t, tagged); !maps.Equal(v.Tags, map[string]string{"team": "ops", "x": "y"}) {
			t.Errorf("session tags %v", v.Tags)
		}
		if v := w.policies(t, narrow); len(v.Session) != 3 || v.Session[1] != own.Document() {
			t.Errorf("session policies %v", v.Session)
		}
	}
	if _, err := w.Policies(ctx, session(func(s *call.Session) { s.Policies = []string{"{"} })); code(t, err) != "MalformedPolicyDocument" {
		t.Errorf("a session policy that is none: %v", err)
	}

	// A role of the same name that was made later is another role.
	must(t, w.DeleteInline(ctx, acctA, identity.TypeRole, "app", "in"))
	must(t, w.DeleteRole(ctx, acctA, "app"))
	_, err = w.CreateRole(ctx, acctA, identity.NewRole{Name: "app", Trust: trustA})
	must(t, err)
	if _, err := w.Policies(ctx, plain); code(t, err) != "UnrecognizedClientException" {
		t.Errorf("a session of a role that is gone: %v", err)
	}
}

func TestFederatedUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user(t, acctA, "ana")
	must(t, w.PutInline(t.Context(), acctA, identity.TypeUser, "ana", "in", allow("s3:in")))
	p := &call.Principal{Type: call.FederatedUser, Account: acctA, AccessKeyID: "ASIAFED", UserID: acctA + ":bob", Session: &call.Session{Name: "bob", Owner: u.ID}}
	v := w.policies(t, p)
	if !slices.Equal(actions(v), []string{"s3:in"}) || len(v.Session) != 1 || v.Session[0].Statements()[0].Actions[0] != "none:Nothing" {
		t.Errorf("without a session policy a federated user may do nothing: %+v", v)
	}
	root := &call.Principal{Type: call.Root, Account: acctA, UserID: acctA}
	if v := w.policies(t, root); v.Identity != nil || v.Boundary != nil || v.Session != nil {
		t.Errorf("the root is bound by %+v", v)
	}
}

// busy makes a user with 50 policies: 10 attached, 10 groups with 4 each.
func busy(t testing.TB, w *world) call.Principal {
	t.Helper()
	ctx := t.Context()
	u := w.user(t, acctA, "ana")
	for i := range 10 {
		p, err := w.CreatePolicy(ctx, acctA, identity.NewPolicy{Name: fmt.Sprint("p", i), Text: allow("s3:p")})
		must(t, err)
		must(t, w.AttachPolicy(ctx, acctA, identity.TypeUser, "ana", p.ARN()))
		g := fmt.Sprint("g", i)
		_, err = w.CreateGroup(ctx, acctA, g, "")
		must(t, err)
		must(t, w.JoinGroup(ctx, acctA, g, "ana"))
		for j := range 4 {
			must(t, w.PutInline(ctx, acctA, identity.TypeGroup, g, fmt.Sprint("i", j), allow("s3:g")))
		}
	}
	p := w.principal(t, u)
	if n := len(w.policies(t, &p).Identity); n != 50 {
		t.Fatalf("%d policies", n)
	}
	return p
}

// Not parallel: allocations of other tests would count.
func TestCachedPoliciesAllocateNothing(t *testing.T) {
	w := newWorld(t)
	p := busy(t, w)
	s := p
	s.Session, s.Type, s.AccessKeyID = &call.Session{Owner: p.UserID, Policies: []string{allowInvoke}}, call.FederatedUser, "ASIAX"
	ctx := t.Context()
	for name, p := range map[string]*call.Principal{"user": &p, "session": &s} {
		w.policies(t, p)
		if n := testing.AllocsPerRun(100, func() { _, _ = w.Policies(ctx, p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkPolicies asks for the policies of a user with 50 of them.
func BenchmarkPolicies(b *testing.B) {
	w := newWorld(b)
	p := busy(b, w)
	ctx := b.Context()
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := w.Policies(ctx, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("after a change", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Announce()
			if _, err := w.Policies(ctx, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Many writers of two processes lose nothing, and readers see whole states.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dirs := []*identity.Directory{w.Directory, w.open(t)}
	const writers, each = 8, 12
	_, err := w.CreateGroup(t.Context(), acctA, "team", "")
	must(t, err)
	must(t, dirs[1].Refresh(t.Context()))
	stop := make(chan struct{})
	var readers, wg sync.WaitGroup
	for _, d := range dirs {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				g := d.Group(acctA, "team")
				for _, u := range d.GroupMembers(g) {
					if len(u.Inline) != 1 {
						t.Errorf("%s joined without his policy", u.Name)
						return
					}
				}
			}
		})
	}
	for i := range writers {
		wg.Go(func() {
			d := dirs[i%2]
			for j := range each {
				name := fmt.Sprintf("u%d-%d", i, j)
				_, err := d.CreateUser(t.Context(), acctA, identity.NewUser{Name: name})
				for _, step := range []func() error{
					func() error { return err },
					func() error { return d.PutInline(t.Context(), acctA, identity.TypeUser, name, "in", allowInvoke) },
					func() error { return d.JoinGroup(t.Context(), acctA, "team", name) },
				} {
					if err := step(); err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	for _, d := range append(dirs, w.open(t)) {
		must(t, d.Refresh(t.Context()))
		if n := len(d.GroupMembers(d.Group(acctA, "team"))); n != writers*each {
			t.Errorf("%d users, want %d", n, writers*each)
		}
	}
}

func TestRoleTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := identity.RoleTemplates()
	if len(list) != 4 {
		t.Fatalf("%d templates", len(list))
	}
	for _, x := range list {
		r, err := w.CreateRoleFrom(t.Context(), acctB, x)
		must(t, err)
		if got := w.Role(acctB, x.Name); got != r || !slices.Equal(got.Attached, x.Policies) || !strings.Contains(got.Trust, acctB) {
			t.Errorf("%s: %+v", x.Name, got)
		}
		if w.Policy(acctA, x.Policies[0]) == nil {
			t.Errorf("%s: no policy %s", x.Name, x.Policies[0])
		}
		if _, err := w.CreateRoleFrom(t.Context(), acctB, x); code(t, err) != "EntityAlreadyExists" {
			t.Errorf("once more: %v", err)
		}
	}
	ids := map[string]bool{}
	for _, p := range w.ManagedPolicies() {
		if ids[p.ID] || p.Document() == nil || p.Description == "" {
			t.Errorf("managed policy %+v", p)
		}
		ids[p.ID] = true
	}
	if len(ids) < 18 {
		t.Errorf("%d managed policies", len(ids))
	}
}
