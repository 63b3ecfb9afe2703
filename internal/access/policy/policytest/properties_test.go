package policytest_test

import (
	"encoding/json"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// TestStatementsAdd checks that a further statement that denies never widens a
// policy, and that one that allows never narrows it nor lifts a Deny.
func TestStatementsAdd(t *testing.T) {
	t.Parallel()
	type document struct {
		Version   string            `json:",omitempty"`
		Statement []json.RawMessage // of a printed policy: always a list
	}
	read := func(d *policy.Document) (doc document) {
		if err := json.Unmarshal(d.Print(), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	m := policytest.NewMaker(*seed, policytest.Everything)
	added := 0
	for range 5_000 {
		m.Topic()
		one, two := m.Policy(policy.Resource), m.Policy(policy.Resource)
		before, other := parse(t, one), parse(t, two)
		doc, more := read(before), read(other)
		if doc.Version != more.Version {
			continue // the statements would mean something else
		}
		effect := other.Statements()[0].Effect
		doc.Statement = append(doc.Statement, more.Statement[0])
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		after := parse(t, text)
		added++
		for range 10 {
			r := m.Request(m.Principal())
			was, is := before.Evaluate(&r), after.Evaluate(&r)
			switch {
			case was.Effect == policy.Deny && is.Effect != policy.Deny,
				effect == policy.Deny && is.Effect == policy.Allow && was.Effect != policy.Allow,
				effect == policy.Deny && is.Exact && !was.Exact,
				effect == policy.Allow && is.Effect != was.Effect && is.Effect != policy.Allow:
				t.Fatalf("%v to %v by adding %s to\n%s\nfor %+v", was, is, more.Statement[0], one, r)
			}
		}
	}
	if added < 1000 {
		t.Errorf("only %d policies of equal versions", added)
	}
}

func parse(t *testing.T, text []byte) *policy.Document {
	t.Helper()
	d, err := policy.Parse(text, policy.Resource)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}
