package policy_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// worst are patterns that make a matcher turn back at every character, and fit
// nothing of the letter a but the last.
func worst() []string {
	return []string{
		"*" + strings.Repeat("?", 1000) + "b*a", strings.Repeat("*a?", 600) + "b*a", "*a" + strings.Repeat("?a", 500) + "b*a",
		strings.Repeat("*"+strings.Repeat("?", 30)+"ab", 30) + "*a", strings.Repeat("a*a", 300) + "*b?a", "*" + strings.Repeat("?", 1000) + "*a",
	}
}

// Patterns that take long by one way of matching fit what they fit by a table of all
// possibilities.
func TestMatchLongPatterns(t *testing.T) {
	t.Parallel()
	const head = "arn:aws:bedrock:us-east-1::"
	text := head + strings.Repeat("a", 1500)
	for i, p := range worst() {
		if got, want := policy.MatchResource(head+p, text), policytest.NaiveResource(head+p, text); got != want || got != (i == len(worst())-1) {
			t.Errorf("pattern %d: %t, want %t", i, got, want)
		}
	}
	r := rand.New(rand.NewPCG(7, 7))
	some := func(n int, of ...string) string {
		var b strings.Builder
		for range n {
			b.WriteString(of[r.IntN(len(of))])
		}
		return b.String()
	}
	fits := 0
	for range 2000 {
		text := some(200+r.IntN(200), "a", "a", "a", "a", "a", "ab", "aé", "a:")
		pattern := some(5+r.IntN(40), "a", "*", "?", "*a", "?a", "aa", "*ab", "é*", "*?b", "*:", "b")
		if r.IntN(2) == 0 {
			text, pattern = head+text, head+pattern
		}
		got, want := policy.MatchResource(pattern, text), policytest.NaiveResource(pattern, text)
		if got != want {
			t.Fatalf("%q on %q: %t, want %t", pattern, text, got, want)
		}
		if got {
			fits++
		}
	}
	if fits < 50 {
		t.Errorf("%d of the random patterns fit", fits)
	}
	if policy.MatchAction("iam:*"+strings.Repeat("?", 200)+"X*a", "iam:"+strings.Repeat("A", 600)) || !policy.MatchAction("iam:*"+strings.Repeat("?A", 200)+"*a?a", "IAM:"+strings.Repeat("A", 600)) {
		t.Error("actions do not fit without regard to case")
	}
}
