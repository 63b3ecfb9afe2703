package policy_test

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// FuzzMatchResource compares the matcher with a table of all possibilities.
func FuzzMatchResource(f *testing.F) {
	for _, seed := range [][2]string{
		{"arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1"},
		{"a:b*c:d:*:e?:f*g*", "a:bxc:d:1:2:ee:fgg"}, {"*a*a*a*b", "aaaaaaaaaaaaaaaa"}, {"a*:b*d:?", "ax:y:bd:c"}, {"é?*", "éé:"},
		{"*:*x:*", "a:b:cx:d"}, {"?:a*a:b", "x:aaa:b"}, {"", ""}, {"*", ""}, {"**:**?", "a:b:c"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, arn string) {
		if len(pattern) > 200 || len(arn) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(arn) {
			return
		}
		if got, want := policy.MatchResource(pattern, arn), policytest.NaiveResource(pattern, arn); got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, arn, got, want)
		}
	})
}

// FuzzParse looks for texts that make Parse panic, for policies that are not the
// same after printing, and for differences of evaluation after printing.
func FuzzParse(f *testing.F) {
	m := policytest.NewMaker(3, policytest.Everything)
	kinds := []policy.Kind{policy.Identity, policy.Resource, policy.Trust, policy.ServiceControl, policy.Boundary, policy.Session, policy.Endpoint}
	for i := range 28 {
		m.Topic()
		kind := kinds[i%len(kinds)]
		f.Add(m.Policy(kind), uint8(kind))
	}
	for _, c := range refusals {
		f.Add([]byte(c.text), uint8(c.kind))
	}
	f.Fuzz(func(t *testing.T, text []byte, kind uint8) {
		k := policy.Kind(kind % uint8(len(kinds)))
		d, err := policy.Parse(text, k)
		if err != nil {
			if d != nil || err.Error() == "" {
				t.Fatalf("%v %q", d, err)
			}
			return
		}
		printed := d.Print()
		again, err := policy.Parse(printed, k)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, text, printed)
		}
		if got := again.Print(); string(got) != string(printed) {
			t.Fatalf("printed\n%s\nthen\n%s", printed, got)
		}
		if !reflect.DeepEqual(d.Statements(), again.Statements()) || d.Version() != again.Version() || d.ID() != again.ID() {
			t.Fatalf("%s\n%+v\n%+v", text, d.Statements(), again.Statements())
		}
		r := question()
		if d.Evaluate(r) != again.Evaluate(r) {
			t.Fatalf("%+v, printed %+v\n%s", d.Evaluate(r), again.Evaluate(r), text)
		}
		d.ContextKeys()
		policy.Size(text, k)
	})
}
