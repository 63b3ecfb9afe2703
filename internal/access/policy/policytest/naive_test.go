package policytest_test

import (
	"flag"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

var (
	full = flag.Bool("full", false, "compare a million decisions instead of 50,000")
	seed = flag.Uint64("seed", 1, "which policies and requests to make")
)

// TestNaiveAgrees compares the evaluator with the one that is written straight
// from the rules.
func TestNaiveAgrees(t *testing.T) {
	t.Parallel()
	decisions := 50_000
	if *full {
		decisions = 1_000_000
	}
	const perPolicy = 10
	kinds := []policy.Kind{
		policy.Identity, policy.Resource, policy.Trust, policy.ServiceControl, policy.Boundary, policy.Session, policy.Endpoint,
	}
	m := policytest.NewMaker(*seed, policytest.Everything)
	count := map[policytest.Answer]int{}
	for n := 0; n < decisions; n += perPolicy {
		m.Topic()
		kind := kinds[n/perPolicy%len(kinds)]
		text := m.Policy(kind)
		d, err := policy.Parse(text, kind)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for range perPolicy {
			r := m.Request(m.Principal())
			got := d.Evaluate(&r)
			want := policytest.Naive(text, kind, &r)
			if got.Effect != want.Effect || got.Effect == policy.Allow && got.Exact != want.Exact {
				t.Fatalf("%v %v, want %v %v\n%v %s\n%+v", got.Effect, got.Exact, want.Effect, want.Exact, kind, text, r)
			}
			count[want]++
		}
	}
	t.Logf("%d decisions: %v", decisions, count)
}
