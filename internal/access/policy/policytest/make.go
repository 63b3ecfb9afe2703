package policytest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// Scope says how much of the language a maker uses.
type Scope uint8

const (
	// Everything is the whole language.
	Everything Scope = iota
	// Judged leaves out what iam-simulate is known to do otherwise than AWS
	// documents; docs/divergences.md lists it.
	Judged
)

// Keys are condition keys, by name in lower case. They implement policy.Keys.
type Keys map[string][]string

// Values implements policy.Keys.
func (k Keys) Values(name string) ([]string, bool) {
	v, ok := k[name]
	return v, ok
}

// Maker makes random policies and requests that have a fair chance to meet. The
// same seed makes the same ones. It is not safe for concurrent use.
type Maker struct {
	r       *rand.Rand
	scope   Scope
	targets []target // all, and those of the present topic
	topic   []target
	common  []keyFact
	special []keyFact
}

// NewMaker returns a maker.
func NewMaker(seed uint64, scope Scope) *Maker {
	m := &Maker{
		r: rand.New(rand.NewPCG(seed, 5)), scope: scope, // #nosec G404 -- inputs of tests, which have to come again
		targets: targets(), common: commonKeys(), special: actionKeys(),
	}
	m.Topic()
	return m
}

// Topic chooses anew what policies and requests are about.
func (m *Maker) Topic() {
	m.topic = []target{pick(m, m.targets), pick(m, m.targets)}
}

// Principal returns one of the principals.
func (m *Maker) Principal() policy.Principal {
	all := Principals()
	if m.scope == Judged {
		all = all[:5]
	}
	return pick(m, all)
}

// Request makes a request of a principal about the topic.
func (m *Maker) Request(p policy.Principal) policy.Request {
	t := pick(m, m.topic)
	if m.chance(10) {
		t = pick(m, m.targets)
	}
	keys := Keys{}
	share := 10 + 20*m.r.IntN(4)
	for _, k := range m.common {
		if m.chance(share) {
			keys[strings.ToLower(k.name)] = m.given(k)
		}
	}
	for _, k := range m.special {
		if slices.Contains(t.keys, k.name) && m.chance(80) {
			keys[strings.ToLower(k.name)] = m.given(k)
		}
	}
	action := t.action
	if m.scope == Everything && m.chance(5) {
		action = m.recase(action)
	}
	return policy.Request{Principal: p, Action: action, Resource: pick(m, t.resources), Keys: keys}
}

// given makes the values of a key in a request.
func (m *Maker) given(k keyFact) []string {
	values := []string{pick(m, k.values)}
	switch {
	case k.several && m.chance(60):
		values = append(values, pick(m, k.values))
	case m.scope == Judged:
	case m.chance(3):
		values = []string{""}
	case m.chance(3):
		values = []string{pick(m, []string{"no value of this kind", "::ffff:10.1.2.3"})}
	case m.chance(3):
		values = append(values, pick(m, k.values))
	}
	return values
}

// Policy makes a policy of a kind that Parse takes.
func (m *Maker) Policy(kind policy.Kind) []byte {
	version := "2012-10-17"
	if m.chance(20) {
		version = pick(m, []string{"2008-10-17", ""})
	}
	w := writer{Maker: m, kind: kind, old: version != "2012-10-17"}
	n := 1 + m.r.IntN(4)
	statements := make([]any, 0, n)
	for range n {
		statements = append(statements, w.statement())
	}
	doc := map[string]any{"Statement": statements}
	if version != "" {
		doc["Version"] = version
	}
	if n == 1 && m.chance(50) {
		doc["Statement"] = statements[0]
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err) // maps of strings
	}
	return text
}

// pick returns one of several.
func pick[T any](m *Maker, of []T) T { return of[m.r.IntN(len(of))] }

// chance is true in so many of a hundred cases.
func (m *Maker) chance(percent int) bool { return m.r.IntN(100) < percent }

// recase changes the case of letters.
func (m *Maker) recase(s string) string {
	return strings.Map(func(r rune) rune {
		if m.chance(50) {
			return r
		}
		if m.chance(50) {
			return []rune(strings.ToUpper(string(r)))[0]
		}
		return []rune(strings.ToLower(string(r)))[0]
	}, s)
}

// blur puts wildcards into text from an index on.
func (m *Maker) blur(s string, from int) string {
	if len(s) <= from {
		return s
	}
	at := from + m.r.IntN(len(s)-from)
	if s[at] >= 0x80 {
		return s
	}
	switch m.r.IntN(4) {
	case 0:
		return s[:at] + "*"
	case 1:
		return s[:at] + "?" + s[at+1:]
	case 2:
		end := at + m.r.IntN(len(s)-at)
		if s[end] >= 0x80 {
			return s
		}
		return s[:at] + "*" + s[end:]
	default:
		return s[:from] + "*" + s[at:]
	}
}
