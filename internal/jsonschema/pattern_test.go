package jsonschema_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

func newRand() *rand.Rand { return rand.New(rand.NewPCG(5, 6)) }

// library asks the validating library about the bytes as they stand; false where
// it reads another dialect or other values than this package.
func library(schema, instance []byte) (valid, same bool) {
	for _, word := range []string{"attern", "$schema", "$id", "nchor", `\\`} {
		if bytes.Contains(schema, []byte(word)) {
			return false, false
		}
	}
	if !json.Valid(instance) || bytes.Contains(instance, []byte(`\`)) {
		return false, false
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return false, false
	}
	v, err := validator.UnmarshalJSON(bytes.NewReader(instance))
	if err != nil {
		return false, false
	}
	// Members of one name and large numbers are refused here only.
	if any, err := jsonschema.Parse([]byte(`true`)); err != nil || any.Validate(instance) != nil {
		return false, false
	}
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	if c.AddResource("s.json", doc) != nil {
		return false, false
	}
	s, err := c.Compile("s.json")
	if err != nil {
		return false, false
	}
	return s.Validate(v) == nil, true
}

// TestPatterns are forms of ECMA-262: what they match, and what the grammar
// makes of them.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, yes, no string }{
		{`^\d+$`, "0 99", "a ٣"},
		{`^\w\W$`, "a- _é", "é- aa"},
		{`^a\sb$`, "a\u00a0b a\ufeffb a\tb a\u2028b", "a_b"},
		{`^a\Sb$`, "a_b aéb", "a\u00a0b a\u2029b"},
		{`^[\s_]$`, "\u3000 _", "a"},
		{`^[^\S]$`, "\u3000", "a"},
		{`^.$`, "a 😀", "\u2028"},
		{`^[^]$`, "\u2028 a", "ab"},
		{`^\u00e9\x41\u{1F600}\uD83D\uDE01$`, "éA😀😁", "eA😀😁"},
		{`^\cJ?\0?\/\-\_$`, "/-_", "/_"},
		{`^[\b\]\[[&&~]+$`, "\b][&~", "a"},
		{`^(?<year>\d{4})(?:-\d\d)?$`, "2026 2026-11", "26"},
		{`^\p{Lu}\p{Script=Greek}\P{L}$`, "Aα1 Éω-", "aα1 Aαα"},
		{`^[\p{L}\d]{2}$`, "é1", "--"},
		{`a|b`, "xa b", "c"},
		{`^[Aa]\.[Kk]$`, "A.k a.K", "b.k"},
		{`^$`, "", "a"},
		{`\bfoo\B`, "food", "foo"},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(map[string]string{"type": "string", "pattern": c.pattern})
			if err != nil {
				t.Fatal(err)
			}
			s := parse(t, string(text))
			check := func(list string, want bool) {
				for _, v := range words(list) {
					quoted, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					if got := s.Validate(quoted) == nil; got != want {
						t.Errorf("%q matches: %t", v, got)
					}
				}
			}
			check(c.yes, true)
			check(c.no, false)
			checkSentences(t, s, grammar(t, s, jsonschema.Options{}), newRand(), 200)
		})
	}
}

func TestPatternsRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		`(?=a)`, `(?!a)`, `(?<=a)`, `(?<!a)`, `(?i)a`, `(?P<n>a)`, `(a)\1`, `\k<n>`, `\A`, `\z`, `\Q`, `\p{`, `\pL`, `\p{Nothing}`,
		`\u12`, `\xg1`, `\ud800`, `\u{110000}`, `\c1`, `\01`, `[]`, `[a`, `(`, `)`, `a**`, `a{2,1}`, `\`, `\é`, strings.Repeat("a", 2001),
	} {
		text, err := json.Marshal(map[string]string{"pattern": pattern})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jsonschema.Parse(text); err == nil {
			t.Errorf("pattern %s is accepted", pattern)
		}
	}
}
