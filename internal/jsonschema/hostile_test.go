package jsonschema_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

// repeat joins n pieces, each made from its number.
func repeat(n int, sep string, piece func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = piece(i)
	}
	return strings.Join(list, sep)
}

// TestEffort takes schemas of almost the largest size that cost much. Without
// limits and memory of what was done each takes minutes, the last for ever.
func TestEffort(t *testing.T) {
	t.Parallel()
	part := `{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/a"}},{"type":"object","properties":` +
		`{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"required":["a","b"]},{"type":"string"}]}`
	for name, c := range map[string]struct {
		schema string
		ok     bool
	}{
		"many complex patterns": {`{"properties":{` + repeat(1500, ",", func(i int) string {
			return fmt.Sprintf(`"p%d":{"pattern":"(a|b)*a(a|b){9}c%d"}`, i, i)
		}) + `}}`, false},
		"one wide pattern often": {`{"properties":{` + repeat(2000, ",", func(i int) string { return fmt.Sprintf(`"p%d":{"pattern":"^\\p{L}+$"}`, i) }) + `}}`, true},
		"a long list":            {`{"uniqueItems":true,"items":{"enum":[` + repeat(15_000, ",", func(i int) string { return fmt.Sprint(i) }) + `]}}`, true},
		"many branches": {`{"oneOf":[` + repeat(900, ",", func(i int) string {
			return fmt.Sprintf(`{"properties":{"k":{"const":"%d"}},"required":["k"]}`, i)
		}) + `]}`, false},
		"branches within branches": {`{"allOf":[` + repeat(500, ",", func(int) string { return `{"anyOf":[{"minLength":1},{"maxLength":9}]}` }) + `]}`, false},
		"recursion in three ways":  {`{"$ref":"#/$defs/a","$defs":{"a":` + part + `,"b":` + part + `}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &jsonschema.Grammar{}
			_, err := parse(t, c.schema).Grammar(g, "v")
			if bad, _ := errors.AsType[*jsonschema.Error](err); (err == nil) != c.ok || bad == nil && err != nil {
				t.Errorf("%d rules, %v", g.Len(), err)
			}
		})
	}
}

// TestOptionsFor: more tokens leave room for more text.
func TestOptionsFor(t *testing.T) {
	t.Parallel()
	if got := jsonschema.OptionsFor(0); got != (jsonschema.Options{}) {
		t.Errorf("OptionsFor(0) = %+v", got)
	}
	if got, want := jsonschema.OptionsFor(512), (jsonschema.Options{Length: 800, String: 64, Items: 4}); got != want {
		t.Errorf("OptionsFor(512) = %+v, want the same as the zero value means, %+v", got, want)
	}
	s := parse(t, `{"type":"object","properties":{"content":{"type":"string"}},"required":["content"]}`)
	text := `{"content":"` + strings.Repeat("long ", 90) + `"}`
	if grammar(t, s, jsonschema.OptionsFor(512)).accepts(text) || !grammar(t, s, jsonschema.OptionsFor(4096)).accepts(text) {
		t.Error("4,096 tokens leave room for 450 characters, 512 do not")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["b"],"oneOf":[{"required":["a"]},{"minProperties":2}]}`))
	f.Add([]byte(`{"prefixItems":[{"pattern":"^[a-z]\\b.\\x41\\u{1f600}$"}],"uniqueItems":true,"contains":{"multipleOf":0.5}}`))
	f.Add([]byte(`{"definitions":{"x":{"enum":[1,"a",null]}},"items":[{"$ref":"#/definitions/x"}],"not":{"type":"string"}}`))
	f.Add([]byte(`{"type":["number","null"],"minimum":-1e3,"exclusiveMaximum":7.25,"format":"date"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := jsonschema.Parse(raw)
		if err != nil {
			if _, ok := errors.AsType[*jsonschema.Error](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		g := &jsonschema.Grammar{}
		rule, err := s.Grammar(g, "v")
		if err != nil {
			if _, ok := errors.AsType[*jsonschema.Error](err); !ok || g.Len() != 0 {
				t.Fatalf("%T, %d rules", err, g.Len())
			}
			return
		}
		g.Rule("root", rule)
		checkSentences(t, s, readGBNF(t, g.String()), newRand(), 10)
	})
}

// FuzzValidate compares with the library on the schema as it stands, where both
// read the same dialect.
func FuzzValidate(f *testing.F) {
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"$ref":"#/properties/a"}}`,
		`{"items":{"minimum":2,"multipleOf":0.5},"uniqueItems":true,"contains":{"const":3}}`,
		`{"oneOf":[{"minLength":2},{"maxLength":3}],"enum":["a","abc",1]}`,
	} {
		for _, v := range []string{`{"a":1,"b":2.0}`, `[2.5,3,3.0]`, `"abc"`, `{"a":{"a":1},"a":2}`, `1e400`} {
			f.Add([]byte(schema), []byte(v))
		}
	}
	f.Fuzz(func(t *testing.T, schema, instance []byte) {
		s, err := jsonschema.Parse(schema)
		if err != nil {
			return
		}
		err = s.Validate(instance)
		if _, ok := errors.AsType[*jsonschema.InvalidError](err); err != nil && !ok {
			t.Fatalf("%T", err)
		}
		want, same := library(schema, instance)
		if same && want != (err == nil) {
			t.Errorf("schema %s\ninstance %s\nwe say %v, the library %t", schema, instance, err, want)
		}
	})
}
