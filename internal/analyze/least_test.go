package analyze_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
)

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text), policy.Identity)
	must(t, err)
	return d
}

// allowed decides by one policy alone.
func allowed(t testing.TB, d *policy.Document, p *call.Principal, action, resource string) bool {
	t.Helper()
	v, err := access.New(access.Config{}).Decide(t.Context(), access.Request{
		Principal: *p, Action: action, Resource: resource, Policies: &access.Policies{Identity: []*policy.Document{d}}, Target: &access.Resource{Account: p.Account},
	})
	must(t, err)
	return v.Outcome == access.Allowed
}

// TestLeastPrivilege lets administrators do at random what they like, and replays
// it under the policy that is made of it: all of it is allowed, and of what they
// did not do nothing is.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	seed := uint64(20260101)
	rnd := rand.New(rand.NewPCG(seed, seed))
	var all []string
	for _, p := range actions.Prefixes() {
		for _, a := range p.Actions {
			if !strings.HasPrefix(a.Name, "AssumeRole") { // over which the role's trust policy decides too
				all = append(all, p.Name+":"+a.Name)
			}
		}
	}
	replayed, refused := 0, 0
	for i := range 30 {
		r := w.role(t, fmt.Sprint("admin", i), ownTrust, "*")
		type act struct{ action, resource string }
		var log []act
		used := map[string]bool{}
		for range 1 + rnd.IntN(120) {
			a := all[rnd.IntN(len(all))]
			if i%3 == 0 { // few actions on many resources
				a = all[rnd.IntN(3)]
			}
			used[a] = true
			n := call.Need{Action: a}
			resource := "*"
			if rnd.IntN(4) > 0 {
				resource = fmt.Sprintf("arn:aws:bedrock:us-east-1:%s:kind%d/it*m-%d", home, rnd.IntN(2), rnd.IntN(30))
				n.Resources = []string{resource}
			}
			w.Acted(asRole(r), w.now, n)
			log = append(log, act{a, resource})
		}
		g, err := w.LeastPrivilege(ctx, home, r.ARN(), 0)
		must(t, err)
		made := parse(t, g.Policy)
		for _, a := range log {
			replayed++
			if !allowed(t, made, asRole(r), a.action, a.resource) {
				t.Errorf("seed %d, %s: %s on %s is refused by %s", seed, r.Name, a.action, a.resource, g.Policy)
			}
		}
		if len(g.Actions) != len(used) {
			t.Errorf("%d actions, want %d", len(g.Actions), len(used))
		}
		for _, a := range g.Unused {
			refused++
			if used[a] || allowed(t, made, asRole(r), a, "*") || allowed(t, made, asRole(r), a, log[0].resource) {
				t.Errorf("%s is allowed, though nobody did it", a)
			}
		}
		if size := policy.Size([]byte(g.Policy), policy.Identity); size > policy.MaxManaged && g.Exact {
			t.Errorf("an exact policy of %d characters", size)
		}
	}
	if replayed < 1000 || refused < 5000 {
		t.Errorf("only %d actions replayed and %d refused", replayed, refused)
	}
	t.Logf("%d calls replayed, %d unused actions refused", replayed, refused)
}

func TestLeastPrivilegeResources(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	ana := w.user(t, "ana", "bedrock:InvokeModel", "bedrock:GetGuardrail", "iam:PassRole")
	p := asUser(ana, "")
	w.Acted(p, w.now, call.Need{Action: "bedrock:InvokeModel", Resources: []string{model + "a", model + "b"}})
	w.pass(20)
	w.Acted(p, w.now, call.Need{Action: "bedrock:InvokeModelWithResponseStream", Resources: []string{model + "b"}},
		call.Need{Action: "bedrock:InvokeModel", Resources: []string{model + "b"}},
		call.Need{Action: "iam:PassRole", Resources: []string{"arn:aws:iam::111122223333:role/a*"}})
	g, err := w.LeastPrivilege(ctx, home, ana.ARN(), 10)
	must(t, err)
	want := `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Bedrock1",
      "Effect": "Allow",
      "Action": [
        "bedrock:InvokeModel",
        "bedrock:InvokeModelWithResponseStream"
      ],
      "Resource": [
        "arn:aws:bedrock:us-east-1::foundation-model/b"
      ]
    },
    {
      "Sid": "Iam2",
      "Effect": "Allow",
      "Action": [
        "iam:PassRole"
      ],
      "Resource": [
        "arn:aws:iam::111122223333:role/a${*}"
      ]
    }
  ]
}`
	if g.Policy != want || !g.Exact || strings.Join(g.Unused, " ") != "bedrock:GetGuardrail" {
		t.Errorf("made %s, exact %v, unused %v", g.Policy, g.Exact, g.Unused)
	}
	if allowed(t, parse(t, g.Policy), p, "iam:PassRole", "arn:aws:iam::111122223333:role/ab") {
		t.Error("a star in the name of a role lets in other roles")
	}
	for i := range 21 {
		w.Acted(p, w.now, call.Need{Action: "bedrock:InvokeModel", Resources: []string{model + fmt.Sprint(i)}})
	}
	if g, err = w.LeastPrivilege(ctx, home, ana.ARN(), 10); err != nil || g.Exact || !strings.Contains(g.Policy, model+"*") {
		t.Errorf("with 21 models: %+v, %v", g, err)
	}
	w.pass(30)
	if g, err = w.LeastPrivilege(ctx, home, ana.ARN(), 10); err != nil || g.Policy != "" || len(g.Actions) != 0 || len(g.Unused) != 3 {
		t.Errorf("of nothing: %+v, %v", g, err)
	}
	_, err = w.CreateUser(ctx, other, identity.NewUser{Name: "bob"})
	must(t, err)
	for _, name := range []string{
		"", "ana", "arn:aws:iam::111122223333:user/Ana", "arn:aws:iam::111122223333:user/x/ana", "arn:aws:iam::444455556666:user/bob",
		"arn:aws:iam::111122223333:role/none", "arn:aws:iam::111122223333:group/ana", "arn:aws:sts::111122223333:assumed-role/none/s",
	} {
		if _, err := w.LeastPrivilege(ctx, home, name, 0); !errors.Is(err, analyze.ErrNoPrincipal) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := w.LeastPrivilege(ctx, home, ana.ARN(), 366); err == nil {
		t.Error("366 days are taken")
	}
	r := w.role(t, "app", ownTrust)
	if g, err = w.LeastPrivilege(ctx, home, asRole(r).ARN, 0); err != nil || g.Principal != r.ARN() {
		t.Errorf("by the ARN of a session: %+v, %v", g, err)
	}
}

// TestTooLong: a policy that would be too long names resources by their types.
func TestTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana", "*")
	long := strings.Repeat("x", 400)
	for _, a := range []string{"iam:GetRole", "iam:GetUser", "iam:ListRoleTags"} {
		for i := range 10 {
			w.Acted(asUser(ana, ""), w.now, call.Need{Action: a, Resources: []string{fmt.Sprintf("arn:aws:iam::%s:role/%s%s%d", home, long, a[4:], i)}})
		}
	}
	g, err := w.LeastPrivilege(t.Context(), home, ana.ARN(), 0)
	must(t, err)
	if size := policy.Size([]byte(g.Policy), policy.Identity); g.Exact || size > policy.MaxManaged || !strings.Contains(g.Policy, ":role/*") {
		t.Errorf("%d characters, exact %v: %s", size, g.Exact, g.Policy)
	}
}
