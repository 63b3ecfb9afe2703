package jsonschema_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

// grammar returns the grammar of a schema, read back.
func grammar(t testing.TB, s *jsonschema.Schema, o jsonschema.Options) *gbnf {
	t.Helper()
	g := &jsonschema.Grammar{Options: o}
	rule, err := s.Grammar(g, "v")
	if err != nil {
		t.Fatal(err)
	}
	g.Rule("root", rule)
	return readGBNF(t, g.String())
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, schema, yes, no string }{
		{"const", `{"const":{"b":1.50,"a":["é\"\n"]}}`, `{"b":1.50,"a":["é\"\n"]}`, `{"a":["é\"\n"],"b":1.50}`},
		{"enum", `{"enum":["x",1,null,{},[]]}`, `"x"¦1¦null¦{}¦[]`, `"y"¦2`},
		{"enum within a type", `{"enum":["x",1],"type":"string"}`, `"x"`, `1`},
		{"enum of integers", `{"enum":[1.0,1.5,"x"],"type":"integer"}`, `1.0`, `1.5¦"x"`},
		{"long enum", `{"enum":["aa","ab","abc","b","c","d","e","f","g","h","i","j","k","l"]}`, `"ab"¦"abc"¦"aa"¦"l"`, `"a"¦"m"`},
		{"boolean", `{"type":["boolean","null"]}`, `true¦false¦null`, `0`},
		{"integer range", `{"type":"integer","minimum":-12,"maximum":105}`, `-12¦-1¦0¦99¦105`, `-13¦106¦007¦1.0¦-0¦150¦1e1`},
		{"exclusive range", `{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}`, `1¦9`, `0¦10`},
		{"open to one side", `{"type":"integer","minimum":1}`, `1¦999999999`, `0¦-1`},
		{"far integers", `{"type":"integer","minimum":123456789012345678901234567890}`, `123456789012345678901234567890`, `123456789012345678901234567889`},
		{"number range", `{"type":"number","minimum":-0.5,"exclusiveMaximum":2.25}`, `-0.5¦0¦2¦2.2¦2.249999¦0.0¦-0.1`, `-0.500001¦2.25¦2.250¦-0¦.5¦1.¦00.1`},
		{"narrow numbers", `{"type":"number","exclusiveMinimum":0.00000001,"maximum":0.00000002}`, `0.00000002`, `0.00000001¦0`},
		{"tens", `{"type":"integer","multipleOf":10,"minimum":5,"maximum":1000}`, `10¦990¦1000`, `0¦5¦15¦1010`},
		{"sevens", `{"type":"integer","multipleOf":7,"maximum":100}`, `-7¦0¦7¦98¦-7000`, `8¦105`},
		{"hundredths", `{"type":"number","multipleOf":0.01,"minimum":0}`, `0.07¦12.5¦3`, `0.075¦-1`},
		{"quarters", `{"type":"number","multipleOf":0.25,"minimum":0,"maximum":2}`, `0.25¦1.5¦2¦2.0`, `0.1¦1.55¦2.25`},
		{"multiples of two keywords", `{"allOf":[{"multipleOf":4},{"multipleOf":6}],"type":"integer"}`, `12¦24¦0¦-12`, `4¦6¦8¦18`},
		{"odd multiples", `{"type":"integer","multipleOf":99991,"minimum":1}`, `99991¦199982`, `99992`},
		{"tiny multiples", `{"type":"number","multipleOf":1e-20}`, `1¦7`, `1.5`},
		{"length", `{"type":"string","minLength":2,"maxLength":3}`, `"ab"¦"a😀c"¦"\"\\"¦"\n\n"`, `"a"¦"abcd"¦"\u0041b"`},
		{"escapes only", `{"type":"string","pattern":"^[\\x00-\\x02]{2}$"}`, `"\u0000\u0002"`, `"\u0003\u0000"`},
		{"pattern", `{"type":"string","pattern":"^[A-Z]{2}-\\d{3}$"}`, `"AB-123"`, `"AB-12"¦"xAB-123"`},
		{"pattern that searches", `{"type":"string","pattern":"\\d{3}"}`, `"123"`, `"a123"`},
		{"pattern with a length", `{"type":"string","pattern":"\\d{3}","minLength":5,"maxLength":5}`, `"a123b"¦"12345"`, `"123"¦"abcde"¦"123456"`},
		{"pattern with quotes", `{"type":"string","pattern":"^[\"\\\\]+$","maxLength":2}`, `"\""¦"\\\""`, `""¦"a"`},
		{"patterns together", `{"type":"string","allOf":[{"pattern":"^a"},{"pattern":"z$"}],"maxLength":4}`, `"az"¦"abcz"`, `"a"¦"z"¦"abcdz"`},
		{"word boundaries", `{"type":"string","pattern":"^\\ba\\b.\\bb\\b$"}`, `"a b"¦"a-b"`, `"acb"`},
		{"date", `{"type":"string","format":"date"}`, `"2026-02-28"¦"2024-12-31"`, `"2026-02-30"¦"x"`},
		{"unknown format", `{"type":"string","format":"colour"}`, `"red"`, ``},
		{"format that does not fit", `{"type":"string","format":"uuid","maxLength":5}`, `"abc"`, `"abcdef"`},
		{"object", `{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"boolean"},"ü\"":{"type":"null"}},"required":["a"]}`,
			`{"a":true}¦{"b":1,"a":true}¦{"a":true,"ü\"":null}¦{"b":1,"a":true,"ü\"":null}`, `{}¦{"b":1}¦{"a":true,"b":1}¦{"a":true,}¦{"a":true,"c":1}`},
		{"optional members", `{"type":"object","properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}}}`,
			`{}¦{"a":1}¦{"b":2}¦{"c":3}¦{"a":1,"c":3}¦{"b":2,"c":3}`, `{,"a":1}¦{"a":1"b":2}`},
		{"counted members", `{"type":"object","properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"minProperties":1,"maxProperties":2}`,
			`{"a":1}¦{"b":2,"c":3}`, `{}¦{"a":1,"b":2,"c":3}`},
		{"required and not described", `{"type":"object","required":["x"],"additionalProperties":{"type":"integer"}}`, `{"x":1}`, `{}¦{"x":"y"}`},
		{"no members", `{"type":"object","additionalProperties":false}`, `{}`, `{"a":1}`},
		{"free members", `{"type":"object"}`, `{}¦{"a":1,"name":"x"}¦{"city":null}`, `{"a":1,"a":2}¦{"a":1,"b":2}`},
		{"a map", `{"type":"object","additionalProperties":{"type":"integer","minimum":1,"maximum":3},"minProperties":2}`, `{"a":1,"z":3}`, `{"a":1}¦{"a":4,"z":1}`},
		{"more than is described", `{"type":"object","properties":{"a":{"const":1}},"required":["a"],"minProperties":2,"additionalProperties":{"const":2}}`, `{"a":1,"b":2}`, `{"a":1}¦{"a":1,"a":2}`},
		{"pattern members", `{"type":"object","patternProperties":{"^x-[a-z]$":{"const":1}},"additionalProperties":false,"minProperties":1}`, `{"x-a":1}¦{"x-a":1,"x-z":1}`, `{}¦{"a":1}¦{"x-a":1,"x-a":1}`},
		{"named members", `{"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"boolean"}}`, `{"a":true}¦{"a":true,"b":false}`, `{"c":true}`},
		{"short names", `{"type":"object","propertyNames":{"maxLength":2,"pattern":"^k"},"additionalProperties":{"const":0},"minProperties":1}`, `{"k1":0}`, `{"a":0}¦{"key":0}`},
		{"array", `{"type":"array","items":{"const":1},"minItems":1,"maxItems":3}`, `[1]¦[1,1]¦[1,1,1]`, `[]¦[1,1,1,1]¦[1,]`},
		{"open array", `{"type":"array","items":{"const":1}}`, `[]¦[1,1,1,1]`, `[1,1,1,1,1]`},
		{"free items", `{"type":"array"}`, `[]¦["a",1,null]`, `[[]]`},
		{"tuple", `{"prefixItems":[{"const":"a"},{"const":"b"}],"items":{"const":1},"minItems":1}`, `["a"]¦["a","b"]¦["a","b",1]`, `[]¦["b"]¦["a",1]`},
		{"closed tuple", `{"type":"array","items":[{"const":"a"}],"additionalItems":false}`, `[]¦["a"]`, `["a","a"]`},
		{"contains", `{"type":"array","items":{"type":"integer"},"contains":{"const":7},"minContains":2,"maxItems":3}`, `[7,7]¦[7,7,1]`, `[7]¦[1,7]`},
		{"unique words", `{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":2}`, `["a","b"]¦["c","a","b"]`, `["a"]¦["a","a"]`},
		{"unique strings", `{"type":"array","items":{"type":"string"},"uniqueItems":true}`, `[]¦["red"]¦["blue","red"]`, `["a","a"]`},
		{"unique integers", `{"type":"array","items":{"type":"integer","minimum":1,"maximum":6},"uniqueItems":true,"minItems":6,"maxItems":6}`, `[1,2,3,4,5,6]`, `[1,1,3,4,5,6]`},
		{"unique objects", `{"type":"array","uniqueItems":true,"minItems":2,"maxItems":2,"items":{"type":"object","properties":{"k":{"enum":["a","b"]},"n":{"const":1}},"required":["k"]}}`, `[{"k":"a"},{"k":"b","n":1}]`, `[{"k":"a"},{"k":"a","n":1}]`},
		{"unique, some of no value", `{"type":"array","items":{"anyOf":[{"type":"boolean"},{"type":"array","items":false,"minItems":1},{"type":"object","required":["a"],"properties":{"a":false}}]},"uniqueItems":true}`, `[true,false]`, `[true,]¦[,true]`},
		{"unique booleans", `{"type":"array","items":{"type":"boolean"},"uniqueItems":true}`, `[true,false]¦[false,true]¦[]`, `[true,true]`},
		{"any of", `{"anyOf":[{"type":"boolean"},{"const":"x"}]}`, `true¦"x"`, `null`},
		{"one of by type", `{"oneOf":[{"type":"boolean"},{"type":"null"}]}`, `true¦null`, ``},
		{"one of by a member", `{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"n":{"const":1}},"required":["k","n"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]}`, `{"k":"a","n":1}¦{"k":"b"}`, `{"k":"a"}`},
		{"one of by presence", `{"type":"object","properties":{"a":{"const":1},"b":{"const":2}},"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1}¦{"b":2}`, `{}¦{"a":1,"b":2}`},
		{"one of with a special string", `{"oneOf":[{"const":"auto"},{"type":"string","maxLength":4}]}`, `"abc"`, `"auto"`},
		{"all of", `{"allOf":[{"type":"object","properties":{"a":{"const":1}},"required":["a"]},{"properties":{"b":{"const":2}},"required":["b"]}]}`, `{"a":1,"b":2}`, `{"a":1}`},
		{"all of with closed parts", `{"allOf":[{"type":"object","properties":{"a":{"const":1}},"additionalProperties":false},{"properties":{"b":{"const":2}}}]}`, `{}¦{"a":1}`, `{"b":2}`},
		{"reference", `{"$defs":{"p":{"type":"integer","minimum":1,"maximum":2}},"type":"object","properties":{"x":{"$ref":"#/$defs/p","description":"d"}},"required":["x"]}`, `{"x":1}`, `{"x":3}`},
		{"recursion", `{"type":"object","properties":{"v":{"const":1},"next":{"$ref":"#"}},"required":["v"]}`, `{"v":1}¦{"v":1,"next":{"v":1,"next":{"v":1}}}`, `{"v":1,"next":1}`},
		{"a tree", `{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/n"}}},"required":["kids"]}}}`, `{"kids":[]}¦{"kids":[{"kids":[]}]}`, `{}`},
		{"a type that is meant", `{"properties":{"a":{"const":1}},"required":["a"]}`, `{"a":1}`, `1¦"x"`},
		{"anything", `{}`, `"x"¦1¦null¦true¦[1,"a"]¦{"a":1}`, ``},
		{"not a type", `{"type":["string","null"],"not":{"type":"string"}}`, `null`, `"x"`},
		{"not a value", `{"type":"string","maxLength":1,"not":{"enum":["a"]}}`, `"b"¦""`, `"a"`},
		{"not of an enum", `{"enum":[1,2,3],"not":{"minimum":3}}`, `1¦2`, `3`},
		{"false member", `{"type":"object","properties":{"a":false,"b":{"const":1}}}`, `{}¦{"b":1}`, `{"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, c.schema)
			g := grammar(t, s, jsonschema.Options{})
			for _, text := range strings.FieldsFunc(c.yes, func(r rune) bool { return r == '¦' }) {
				if !g.accepts(text) {
					t.Errorf("%s is not admitted", text)
				}
			}
			for _, text := range strings.FieldsFunc(c.no, func(r rune) bool { return r == '¦' }) {
				if g.accepts(text) {
					t.Errorf("%s is admitted", text)
				}
			}
			checkSentences(t, s, g, rand.New(rand.NewPCG(1, 2)), 200)
		})
	}
}

// checkSentences makes sentences and holds each against the schema.
func checkSentences(t testing.TB, s *jsonschema.Schema, g *gbnf, rnd *rand.Rand, n int) {
	t.Helper()
	for range n {
		text := g.sentence(rnd)
		if err := s.Validate([]byte(text)); err != nil {
			t.Fatalf("the grammar admits %s: %v", text, err)
		}
	}
}

// TestListedMembersOnly checks that weights can make up no member of an object
// whose members are listed, and can where the schema asks for others.
func TestListedMembersOnly(t *testing.T) {
	t.Parallel()
	for raw, free := range map[string]bool{
		`{"type":"object","properties":{}}`:                                           false,
		`{"type":"object","properties":{"a":{"type":"integer"}}}`:                     false,
		`{"type":"object","properties":{},"additionalProperties":{"type":"integer"}}`: true,
		`{"type":"object","properties":{},"minProperties":1}`:                         true,
		`{"type":"object"}`: true,
	} {
		s, err := jsonschema.Parse([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		made := grammar(t, s, jsonschema.Options{}).accepts(`{"b":1}`)
		if made != free {
			t.Errorf("%s: members of other names: %t", raw, made)
		}
	}
}

func TestGrammarRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, want string }{
		{`false`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"string","enum":[1]}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"integer","minimum":1.2,"maximum":1.8}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"string","minLength":3,"maxLength":2}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"string","pattern":"^a$","minLength":2}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"type":"array","items":false,"minItems":1}`, `JSON schema at /: no value fits, or none within the bounds of the grammar`},
		{`{"properties":{"a":{"type":"integer","not":{"minimum":3}}}}`, `JSON schema at /properties/a/not: keyword "not" cannot be guaranteed`},
		{`{"oneOf":[{"type":"integer"},{"type":"number"}]}`, `JSON schema at /: keyword "oneOf" has branches that are not provably exclusive: give each a required property with a const of its own, or use anyOf`},
		{`{"contains":{"const":1},"maxContains":1}`, `JSON schema at /: keyword "maxContains" cannot be guaranteed`},
		{`{"type":"array","uniqueItems":true,"minItems":3,"items":{"type":"boolean"}}`, `JSON schema at /: keyword "uniqueItems" cannot be guaranteed for 3 items`},
		{`{"type":"array","minItems":501}`, `JSON schema at /: keyword "minItems" above 500 is not supported`},
		{`{"type":"string","minLength":2001}`, `JSON schema at /: keyword "minLength" above 2000 is not supported`},
		{`{"type":"integer","minimum":1e80}`, `JSON schema at /: keyword "minimum" asks for numbers too large to be guaranteed`},
		{`{"type":"string","pattern":"(a|b)*a(a|b){14}$"}`, `JSON schema at /: keyword "pattern" is too complex to be guaranteed`},
	} {
		g := &jsonschema.Grammar{}
		_, err := parse(t, c.schema).Grammar(g, "v")
		if bad, ok := errors.AsType[*jsonschema.Error](err); !ok || bad.Error() != c.want {
			t.Errorf("Grammar of %s\n got %v\nwant %s", c.schema, err, c.want)
		}
		if g.Len() != 0 {
			t.Errorf("Grammar of %s left %d rules", c.schema, g.Len())
		}
	}
}

func TestGrammarIsBounded(t *testing.T) {
	t.Parallel()
	tree := `{"type":"object","properties":{"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},` +
		`"left":{"$ref":"#"},"right":{"$ref":"#"},"all":{"type":"array","items":{"$ref":"#"}}},"required":["name","all"]}`
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, o := range []jsonschema.Options{{}, {Length: 300}, {String: 200, Length: 8000}, {Recursion: 1}} {
		limit := o.Length
		if limit == 0 {
			limit = 800
		}
		g := grammar(t, parse(t, tree), o)
		for range 500 {
			// A character may take two in its escaped form.
			if text := g.sentence(rnd); utf8.RuneCountInString(text) > 2*limit {
				t.Fatalf("a value of %d characters under %+v", len(text), o)
			}
		}
	}
}

func TestGrammarsShareRules(t *testing.T) {
	t.Parallel()
	g := &jsonschema.Grammar{}
	s := parse(t, `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`)
	first, err := s.Grammar(g, "one")
	if err != nil {
		t.Fatal(err)
	}
	n := g.Len()
	second, err := s.Grammar(g, "two_2")
	if err != nil {
		t.Fatal(err)
	}
	if first == second || g.Len() > n+1 {
		t.Errorf("rules %s and %s; %d rules, then %d", first, second, n, g.Len())
	}
	g.Rule("root", jsonschema.Literal(`{"one":`)+" "+first+` | `+second)
	if back := readGBNF(t, g.String()); !back.accepts(`{"a":"x"}`) || !back.accepts(`{"one":{"a":"x"}`) {
		t.Error("the rules are not reachable from a rule of the caller")
	}
}

func TestRuleKeepsNamesApart(t *testing.T) {
	t.Parallel()
	g := &jsonschema.Grammar{}
	for _, c := range []struct{ name, body, want string }{
		{"a b_c", `"x"`, "a-b-c"}, {"a-b-c", `"x"`, "a-b-c"}, {"a-b-c", `"y"`, "a-b-c-2"}, {"root", "a-b-c", "root"},
	} {
		if got := g.Rule(c.name, c.body); got != c.want {
			t.Errorf("Rule(%s, %s) = %s, want %s", c.name, c.body, got, c.want)
		}
	}
	if want := "a-b-c ::= \"x\"\na-b-c-2 ::= \"y\"\nroot ::= a-b-c\n"; g.String() != want {
		t.Errorf("got %s", g.String())
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	if got, want := jsonschema.Literal("a\"\\\n\x00é😀"), `"a\"\\\x0A\x00é😀"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
