package analyze_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
)

const (
	home  = "111122223333"
	other = "444455556666"
	model = "arn:aws:bedrock:us-east-1::foundation-model/"

	ownTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
)

// policies are the policies of resources, by ARN.
type policies map[string]string

func (p policies) Policies(string) iter.Seq2[string, *policy.Document] {
	return func(yield func(string, *policy.Document) bool) {
		for name, text := range p {
			d, err := policy.Parse([]byte(text), policy.Resource)
			if err != nil {
				panic(err)
			}
			if !yield(name, d) {
				return
			}
		}
	}
}

// world is a directory and its analyzer, over stores in memory, with a clock that
// is set.
type world struct {
	*identity.Directory
	*analyze.Analyzer
	resources policies
	now       time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	w := &world{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), resources: policies{}}
	now := func() time.Time { return w.now }
	w.Directory, err = identity.Open(t.Context(), identity.Config{
		Records: new(recordtest.Store), Keys: keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: now}), Root: root, Management: home, Now: now,
	})
	must(t, err)
	w.Analyzer = analyze.New(analyze.Config{Directory: w.Directory, Resources: w.resources, Now: now})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) pass(days int) { w.now = w.now.Add(time.Duration(days) * 24 * time.Hour) }

func allow(actions ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}]}`
}

func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`
}

func (w *world) user(t testing.TB, name string, actions ...string) *identity.User {
	t.Helper()
	u, err := w.CreateUser(t.Context(), home, identity.NewUser{Name: name})
	must(t, err)
	if len(actions) > 0 {
		must(t, w.PutInline(t.Context(), home, identity.TypeUser, name, "own", allow(actions...)))
	}
	return u
}

func (w *world) role(t testing.TB, name, trust string, actions ...string) *identity.Role {
	t.Helper()
	r, err := w.CreateRole(t.Context(), home, identity.NewRole{Name: name, Trust: trust})
	must(t, err)
	if len(actions) > 0 {
		must(t, w.PutInline(t.Context(), home, identity.TypeRole, name, "own", allow(actions...)))
	}
	return r
}

// use lets a principal make calls that are allowed.
func (w *world) use(p *call.Principal, actions ...string) {
	for _, a := range actions {
		service, _, _ := strings.Cut(a, ":")
		w.Used(p, a, service, "us-east-1", w.now)
		w.Acted(p, w.now, call.Need{Action: a})
	}
}

func asUser(u *identity.User, key string) *call.Principal {
	return &call.Principal{Type: call.User, Account: u.Account, ARN: u.ARN(), UserID: u.ID, Name: u.Name, AccessKeyID: key}
}

func asRole(r *identity.Role) *call.Principal {
	return &call.Principal{
		Type: call.AssumedRole, Account: r.Account, UserID: r.ID + ":s", AccessKeyID: "ASIAEXAMPLE",
		ARN:     "arn:aws:sts::" + r.Account + ":assumed-role/" + r.Name + "/s",
		Session: &call.Session{RoleARN: r.ARN(), RoleID: r.ID, RoleName: r.Name, Name: "s"},
	}
}

// found is the set of what a review finds: type, resource, key and the number of
// actions.
func (w *world) found(t testing.TB, days int) map[string]bool {
	t.Helper()
	r, err := w.Review(t.Context(), home, days)
	must(t, err)
	set := map[string]bool{}
	ids := map[string]bool{}
	for _, f := range r.Findings {
		if f.Detail == "" || f.Advice == "" || ids[f.ID] {
			t.Errorf("finding %+v lacks words or an id of its own", f)
		}
		ids[f.ID] = true
		set[line(f.Type, f.Resource, f.Key, len(f.Actions))] = true
	}
	return set
}

func line(typ analyze.Type, resource, key string, actions int) string {
	return fmt.Sprintf("%s %s %s %d", typ, resource, key, actions)
}

func sameSet(t *testing.T, when string, got, want map[string]bool) {
	t.Helper()
	for _, l := range slices.Sorted(maps.Keys(want)) {
		if !got[l] {
			t.Errorf("%s: lacks %s", when, l)
		}
	}
	for _, l := range slices.Sorted(maps.Keys(got)) {
		if !want[l] {
			t.Errorf("%s: has %s", when, l)
		}
	}
}

// TestReview lets 40 principals live through half a year, and expects exactly what
// is the matter with them: nothing at first, then each in its way, and nothing
// again once they are in use or put right.
func TestReview(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	const n = 5
	var idle, exact, partly, keyed []*identity.User
	var idleRole, lets, wide, fresh []*identity.Role
	var keyIDs []string
	for i := range n {
		idle = append(idle, w.user(t, fmt.Sprint("idle", i), "bedrock:InvokeModel"))
		exact = append(exact, w.user(t, fmt.Sprint("exact", i), "bedrock:InvokeModel"))
		partly = append(partly, w.user(t, fmt.Sprint("partly", i), "bedrock:InvokeModel", "bedrock:ListGuardrails", "bedrock:GetGuardrail"))
		keyed = append(keyed, w.user(t, fmt.Sprint("keyed", i)))
		k, err := w.CreateAccessKey(ctx, home, keyed[i].Name, "us-east-1")
		must(t, err)
		keyIDs = append(keyIDs, k.ID)
		idleRole = append(idleRole, w.role(t, fmt.Sprint("idle", i), ownTrust, "bedrock:InvokeModel"))
		lets = append(lets, w.role(t, fmt.Sprint("lets", i), trust(`{"AWS":"`+other+`"}`), "bedrock:InvokeModel"))
		wide = append(wide, w.role(t, fmt.Sprint("wide", i), ownTrust, "sts:*"))
	}
	sts := len(actions.Of("sts").Actions) - len(access.OpenActions())
	always := map[string]bool{}
	for i := range n {
		always[line(analyze.ExternalAccess, lets[i].ARN(), "", 1)] = true
		always[line(analyze.Wildcard, wide[i].ARN(), "", 1)] = true
	}
	sameSet(t, "first day", w.found(t, 0), always)

	w.pass(10)
	for i := range n {
		w.use(asUser(keyed[i], keyIDs[i]), "sts:GetCallerIdentity")
	}
	w.pass(79) // day 89
	sameSet(t, "day 89", w.found(t, 0), always)
	for i := range n {
		w.use(asUser(partly[i], ""), "bedrock:ListGuardrails") // long ago by day 180
	}
	w.pass(61) // day 150
	for i := range n {
		w.use(asUser(exact[i], ""), "bedrock:InvokeModel")
		w.use(asUser(partly[i], ""), "bedrock:InvokeModel")
		w.use(asRole(lets[i]), "bedrock:InvokeModel")
		w.use(asRole(wide[i]), "sts:AssumeRole")
	}
	w.pass(25) // day 175
	for i := range n {
		fresh = append(fresh, w.role(t, fmt.Sprint("fresh", i), ownTrust, "bedrock:InvokeModel"))
	}
	w.pass(5) // day 180
	want := maps.Clone(always)
	for i := range n {
		want[line(analyze.UnusedUser, idle[i].ARN(), "", 0)] = true
		want[line(analyze.UnusedPermission, partly[i].ARN(), "", 2)] = true
		want[line(analyze.UnusedUser, keyed[i].ARN(), "", 0)] = true
		want[line(analyze.UnusedAccessKey, keyed[i].ARN(), keyIDs[i], 0)] = true
		want[line(analyze.OldAccessKey, keyed[i].ARN(), keyIDs[i], 0)] = true
		want[line(analyze.UnusedRole, idleRole[i].ARN(), "", 0)] = true
		want[line(analyze.UnusedPermission, wide[i].ARN(), "", sts-1)] = true
	}
	sameSet(t, "day 180", w.found(t, 0), want)
	if a, err := w.Review(ctx, home, 90); err != nil || len(a.Findings) != len(want) || !a.Since.Equal(w.now.Add(-90*24*time.Hour)) {
		t.Errorf("90 days are not the default: %v", err)
	}

	// Used again, or changed, it is gone.
	for i := range n {
		w.use(asUser(idle[i], ""), "bedrock:InvokeModel")
		w.use(asUser(keyed[i], keyIDs[i]), "sts:GetCallerIdentity")
		w.use(asRole(idleRole[i]), "bedrock:InvokeModel")
		w.use(asUser(partly[i], ""), "bedrock:ListGuardrails", "bedrock:GetGuardrail")
		_, err := w.ChangeRole(ctx, home, lets[i].Name, identity.RoleChange{Trust: new(ownTrust)})
		must(t, err)
		must(t, w.PutInline(ctx, home, identity.TypeRole, wide[i].Name, "own", allow("sts:AssumeRole")))
	}
	want = map[string]bool{}
	for i := range n {
		want[line(analyze.OldAccessKey, keyed[i].ARN(), keyIDs[i], 0)] = true
	}
	sameSet(t, "put right", w.found(t, 0), want)
	for i := range n {
		must(t, w.SetAccessKeyStatus(ctx, home, keyed[i].Name, keyIDs[i], keys.Inactive))
	}
	sameSet(t, "without the old keys", w.found(t, 0), map[string]bool{})
	today := w.found(t, 1)
	for i := range n {
		if today[line(analyze.UnusedUser, idle[i].ARN(), "", 0)] || !today[line(analyze.UnusedUser, exact[i].ARN(), "", 0)] {
			t.Errorf("with 1 day: %v", today)
		}
	}

	// 365 days later nobody was there.
	w.pass(365)
	got := w.found(t, 365)
	if len(got) != 40 {
		t.Errorf("%d findings after a year without anybody, want 40", len(got))
	}
	if got := w.found(t, 364); len(got) != 40 {
		t.Errorf("%d findings with 364 days, want 40", len(got))
	}
	for _, r := range fresh {
		if !got[line(analyze.UnusedRole, r.ARN(), "", 0)] {
			t.Errorf("%s is not found", r.Name)
		}
	}
	for _, days := range []int{-1, 366} {
		if _, err := w.Review(ctx, home, days); err == nil {
			t.Errorf("%d days are taken", days)
		}
	}
}

// Everything that grants and bounds counts for what is unused.
func TestUnusedPermission(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	ana := w.user(t, "ana", "bedrock:Get*", "bedrock:invokemodel", "s3:GetObject", "outcrop:GetAccess*")
	_, err := w.CreateGroup(ctx, home, "team", "")
	must(t, err)
	must(t, w.PutInline(ctx, home, identity.TypeGroup, "team", "in", allow("bedrock:CountTokens")))
	must(t, w.JoinGroup(ctx, home, "team", "ana"))
	must(t, w.PutInline(ctx, home, identity.TypeUser, "ana", "deny", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Action":"bedrock:Get*","Resource":"*"},
		{"Effect":"Deny","Action":"bedrock:CountTokens","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`))
	w.pass(100)
	w.use(asUser(ana, ""), "bedrock:InvokeModel")
	unused := func() []string {
		t.Helper()
		r, err := w.Review(ctx, home, 0)
		must(t, err)
		for _, f := range r.Findings {
			if f.Type == analyze.UnusedPermission && f.Resource == ana.ARN() {
				return f.Actions
			}
		}
		return nil
	}
	want := []string{"bedrock:CountTokens", "outcrop:GetAccessRequest", "outcrop:GetAccessReview", "s3:GetObject"}
	if got := unused(); !slices.Equal(got, want) {
		t.Errorf("unused are %q, want %q", got, want)
	}
	p, err := w.CreatePolicy(ctx, home, identity.NewPolicy{Name: "bound", Text: allow("bedrock:*", "outcrop:GetAccessReview")})
	must(t, err)
	must(t, w.SetBoundary(ctx, home, identity.TypeUser, "ana", p.ARN()))
	if got := unused(); !slices.Equal(got, []string{"bedrock:CountTokens", "outcrop:GetAccessReview"}) {
		t.Errorf("within the boundary unused are %q", got)
	}
	w.use(asUser(ana, ""), "bedrock:CountTokens", "outcrop:GetAccessReview")
	if got := unused(); got != nil {
		t.Errorf("unused are %q, though all is used", got)
	}
}

// BenchmarkReview reviews an account with 1000 users, all administrators.
func BenchmarkReview(b *testing.B) {
	w := newWorld(b)
	for i := range 1000 {
		u := w.user(b, fmt.Sprint("u", i))
		must(b, w.AttachPolicy(context.Background(), home, identity.TypeUser, u.Name, "arn:aws:iam::aws:policy/AdministratorAccess"))
	}
	w.pass(100)
	for _, u := range w.Users(home) {
		w.use(asUser(u, ""), "bedrock:InvokeModel")
	}
	for b.Loop() {
		if _, err := w.Review(context.Background(), home, 90); err != nil {
			b.Fatal(err)
		}
	}
}
