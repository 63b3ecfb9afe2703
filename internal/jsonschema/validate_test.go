package jsonschema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

func parse(t testing.TB, text string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return s
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, schema, valid, invalid string }{
		{"true", `true`, `{"a":[1]}`, ``},
		{"false", `false`, ``, `1`},
		{"types", `{"type":["string","null"]}`, `null "x"`, `1 [] {}`},
		{"whole numbers are integers", `{"type":"integer"}`, `1 1.0 -2e3`, `1.5 1e-1`},
		{"exact bounds", `{"minimum":0.1,"exclusiveMaximum":0.3}`, `0.1 0.29999999999999999999`, `0.09999999999999999999999 0.3 0.30`},
		{"exact multiples", `{"multipleOf":0.01}`, `0.07 1.1 19.99 "x"`, `0.075`},
		{"lengths in code points", `{"minLength":2,"maxLength":2}`, `"äö" "😀😀"`, `"a" "abc"`},
		{"patterns search", `{"pattern":"b"}`, `"abc"`, `"ac"`},
		{"patterns of ECMA-262", `{"pattern":"^\\u00e9\\s[^]\\/[\\w-]+$"}`, "\"é\u00a0x/a-b\"", `"e x/a"`},
		{"1 and 1.0 are the same", `{"uniqueItems":true}`, `[1,2] [1,true]`, `[1,1.0] [{"a":1,"b":2},{"b":2,"a":1.0}]`},
		{"enum", `{"enum":[1.0,"a",{"x":[1]}]}`, `1 "a" {"x":[1.0]}`, `2 "b" {"x":[2]}`},
		{"const", `{"const":null}`, `null`, `0 false`},
		{"draft 7 definitions", `{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a/b":{"type":"string"}},"items":[{"$ref":"#/definitions/a~1b"}],"additionalItems":false}`, `["x"] []`, `[1] ["x","y"]`},
		{"draft 2020-12 tuples", `{"prefixItems":[{"type":"string"}],"items":{"type":"integer"}}`, `["x",1,2]`, `["x","y"] [1]`},
		{"recursion", `{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":false}`, `{} {"next":{"next":{}}}`, `{"next":{"x":1}} {"next":1}`},
		{"pattern properties", `{"patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false}`, `{"x-a":1}`, `{"x-a":"1"} {"y":1}`},
		{"contains", `{"contains":{"const":1},"minContains":2}`, `[1,1]`, `[1,2]`},
		{"names", `{"propertyNames":{"maxLength":2}}`, `{"ab":1}`, `{"abc":1}`},
		{"one of", `{"oneOf":[{"minimum":2},{"multipleOf":3}]}`, `2 0`, `3 1`},
		{"not", `{"not":{"type":"string"}}`, `1`, `"x"`},
		{"annotations", `{"title":"t","default":3,"examples":["x"],"format":"email","x-order":1,"nullable":true,"type":"string"}`, `"no-address"`, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, c.schema)
			for _, v := range words(c.valid) {
				if err := s.Validate([]byte(v)); err != nil {
					t.Errorf("Validate(%s): %v", v, err)
				}
			}
			for _, v := range words(c.invalid) {
				if _, ok := errors.AsType[*jsonschema.InvalidError](s.Validate([]byte(v))); !ok {
					t.Errorf("Validate(%s) gives no *InvalidError", v)
				}
			}
		})
	}
}

// words splits at spaces only: strings.Fields also splits at U+00A0.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
}

func TestValidateRefusesWhatIsNotOneValue(t *testing.T) {
	t.Parallel()
	s := parse(t, `true`)
	for name, text := range map[string]string{
		"nothing":        ``,
		"two values":     `1 2`,
		"cut":            `{"a":`,
		"comma":          `[1,]`,
		"twice":          `{"a":1,"a":1}`,
		"escaped twice":  `{"a":1,"\u0061":1}`,
		"not UTF-8":      "\"\xff\"",
		"deep":           strings.Repeat("[", 65) + strings.Repeat("]", 65),
		"huge exponent":  `1e999999999`,
		"huge number":    strings.Repeat("9", 401),
		"leading zero":   `01`,
		"not an escape":  `"\x41"`,
		"control within": "\"\n\"",
	} {
		if _, ok := errors.AsType[*jsonschema.InvalidError](s.Validate([]byte(text))); !ok {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := s.Validate([]byte(strings.Repeat("[", 64) + strings.Repeat("]", 64))); err != nil {
		t.Error(err)
	}
}

func TestInvalidErrorNamesPlaceAndKeyword(t *testing.T) {
	t.Parallel()
	s := parse(t, `{"properties":{"a/b":{"items":{"maximum":3}}}}`)
	err := s.Validate([]byte(`{"a/b":[1,77]}`))
	if want := `value at /a~1b/1 does not satisfy "maximum"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, want string }{
		{`[]`, `JSON schema at /: is not a schema: an object or a boolean is wanted`},
		{`{`, `JSON schema at /: is not one JSON value`},
		{`{"type":"string","type":"number"}`, `JSON schema at /: has two members of one name`},
		{`{"properties":{"a":{"if":{}}}}`, `JSON schema at /properties/a: keyword "if" is not supported`},
		{`{"dependentRequired":{}}`, `JSON schema at /: keyword "dependentRequired" is not supported`},
		{`{"unevaluatedProperties":false}`, `JSON schema at /: keyword "unevaluatedProperties" is not supported`},
		{`{"type":"text"}`, `JSON schema at /: keyword "type" is not a type or a list of different types`},
		{`{"type":[]}`, `JSON schema at /: keyword "type" is an empty list`},
		{`{"enum":[]}`, `JSON schema at /: keyword "enum" is not a list with values`},
		{`{"exclusiveMinimum":true}`, `JSON schema at /: keyword "exclusiveMinimum" is not a number`},
		{`{"required":true}`, `JSON schema at /: keyword "required" is not a list of different names`},
		{`{"minLength":-1}`, `JSON schema at /: keyword "minLength" is not a whole number of at least 0`},
		{`{"maxItems":1.5}`, `JSON schema at /: keyword "maxItems" is not a whole number of at least 0`},
		{`{"multipleOf":0}`, `JSON schema at /: keyword "multipleOf" is not above 0`},
		{`{"uniqueItems":1}`, `JSON schema at /: keyword "uniqueItems" is not a boolean`},
		{`{"anyOf":[]}`, `JSON schema at /: keyword "anyOf" is not a list with schemas`},
		{`{"properties":[]}`, `JSON schema at /: keyword "properties" is not an object of schemas`},
		{`{"items":{"$id":"x"}}`, `JSON schema at /items: keyword "$id" is supported at the top only`},
		{`{"$ref":"http://example.com/a"}`, `JSON schema at /: keyword "$ref" does not point into the same document (#/...)`},
		{`{"$ref":"#/$defs/a"}`, `JSON schema at /: keyword "$ref" points to no schema`},
		{`{"$ref":"#"}`, `JSON schema at /: refers to itself without any value in between`},
		{`{"pattern":"(?=a)"}`, `JSON schema at /: keyword "pattern" is a pattern with look-around, which is not supported`},
		{`{"pattern":"(a)\\1"}`, `JSON schema at /: keyword "pattern" is a pattern with a back reference, which is not supported`},
		{`{"pattern":"("}`, `JSON schema at /: keyword "pattern" is a pattern with missing closing )`},
		{`{"pattern":"[a"}`, `JSON schema at /: keyword "pattern" is a pattern with an open [`},
		{`{"patternProperties":{"a{1,2000}":true}}`, `JSON schema at /: keyword "patternProperties" is a pattern with invalid repeat count`},
		{`{"prefixItems":[true],"items":[true]}`, `JSON schema at /: keyword "items" stands beside another list of items`},
		{`{"minimum":1e999999}`, `JSON schema at /minimum: has a number of more than 400 digits`},
	} {
		_, err := jsonschema.Parse([]byte(c.schema))
		if bad, ok := errors.AsType[*jsonschema.Error](err); !ok || bad.Error() != c.want {
			t.Errorf("Parse(%s)\n got %v\nwant %s", c.schema, err, c.want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat(`{"items":`, n-1) + `{}` + strings.Repeat(`}`, n-1) }
	wide := func(n int) string { return `{"anyOf":[` + strings.Repeat(`true,`, n-2) + `true]}` }
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"32 levels":       {nested(32), true},
		"33 levels":       {nested(33), false},
		"5,000 schemas":   {wide(5000), true},
		"5,001 schemas":   {wide(5001), false},
		"100,000 bytes":   {`{}` + strings.Repeat(" ", 99_998), true},
		"100,001 bytes":   {`{}` + strings.Repeat(" ", 99_999), false},
		"large patterns":  {`{"anyOf":[` + strings.Repeat(`{"pattern":".{1000}"},`, 200) + `true]}`, false},
		"deep enum":       {`{"enum":[` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `]}`, false},
		"unused are read": {`{"$defs":{"a":{"then":true}}}`, false},
	} {
		if _, err := jsonschema.Parse([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
