package jsonschema_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

// wild puts keywords together without sense: of any type of value, in any
// number, within each other and with references back.
func (s *schemas) wild(depth int) {
	if s.chance(4) {
		s.put("%s", s.pick("true", "false"))
		return
	}
	s.put("{")
	seen := map[int]bool{}
	if s.chance(50) {
		seen[0] = true
		s.wildKeyword(0, 0)
	}
	for n := s.IntN(4); n >= 0; n-- {
		kind := s.IntN(29)
		if depth == 0 && kind >= 18 {
			kind -= 18
		}
		if seen[kind] {
			continue
		}
		if len(seen) > 0 {
			s.put(",")
		}
		seen[kind] = true
		s.wildKeyword(kind, depth-1)
	}
	s.put("}")
}

func (s *schemas) scalar() string {
	return s.pick(`"a"`, `"ab"`, `"b"`, `""`, "0", "1", "1.0", "2.5", "-3", "true", "false", "null", "[]", `[1,"a"]`, "{}", `{"a":1}`, `{"b":"a"}`)
}

func (s *schemas) wildList(depth, most int) {
	s.put("[")
	for i := range 1 + s.IntN(most) {
		if i > 0 {
			s.put(",")
		}
		s.wild(depth)
	}
	s.put("]")
}

func (s *schemas) wildKeyword(kind, depth int) {
	kindOf := func() string {
		return s.pick("string", "integer", "number", "object", "array", "boolean", "null", "object", "array", "string")
	}
	name := func() string { return s.pick("a", "b", "c", "ab") }
	switch kind {
	case 0:
		s.put(`"type":"%s"`, kindOf())
	case 1:
		s.put(`"format":"%s"`, s.pick("date", "uuid", "email", "ipv4"))
	case 2:
		s.put(`"title":"t"`)
	case 3:
		s.put(`"enum":[%s,%s,%s]`, s.scalar(), s.scalar(), s.scalar())
	case 4:
		s.put(`"const":%s`, s.scalar())
	case 5:
		s.put(`"minLength":%d`, s.IntN(4))
	case 6:
		s.put(`"maxLength":%d`, s.IntN(6))
	case 7:
		s.put(`"pattern":"%s"`, s.pick("^a", "b$", "[a-c]+", "^(ab)*$", "^.{2}$", "a|^b$", "\\\\bx\\\\b", "^[^a]+$"))
	case 8:
		s.put(`"%s":%d`, s.pick("minimum", "exclusiveMinimum"), s.IntN(9)-5)
	case 9:
		s.put(`"%s":%d.5`, s.pick("maximum", "exclusiveMaximum"), s.IntN(30)-5)
	case 10:
		s.put(`"multipleOf":%s`, s.pick("1", "2", "0.5", "3", "10", "0.3", "7.5"))
	case 11:
		s.put(`"minItems":%d`, s.IntN(4))
	case 12:
		s.put(`"maxItems":%d`, s.IntN(5))
	case 13:
		s.put(`"uniqueItems":%t`, s.chance(80))
	case 14:
		s.put(`"minProperties":%d`, s.IntN(4))
	case 15:
		s.put(`"maxProperties":%d`, s.IntN(4))
	case 16:
		s.put(`"required":["%s"]`, name())
	case 17:
		s.put(`"$ref":"#%s"`, s.pick("", "/$defs/d", "/$defs/e"))
	case 18, 19:
		s.put(`"%s":{"%s":`, []string{"patternProperties", "properties"}[kind-18], s.pick("a", "b", "ab"))
		s.wild(depth)
		s.put(`,"^x|c":`)
		s.wild(depth)
		s.put("}")
	case 20:
		s.put(`"additionalProperties":`)
		s.wild(depth)
	case 21:
		s.put(`"propertyNames":`)
		s.wild(depth)
	case 22, 23:
		s.put(`"%s":`, []string{"items", "contains"}[kind-22])
		s.wild(depth)
	case 24:
		s.put(`"prefixItems":`)
		s.wildList(depth, 2)
	case 25, 26, 27:
		s.put(`"%s":`, []string{"anyOf", "allOf", "oneOf"}[kind-25])
		s.wildList(depth, 3)
	case 28:
		s.put(`"not":`)
		s.wild(depth)
	}
}

// TestWildSchemas takes schemas that nobody would write. Most say no more than
// that nothing fits, or are refused; what a grammar admits must fit all the
// same.
func TestWildSchemas(t *testing.T) {
	t.Parallel()
	n := 1_000
	if testing.Short() {
		n = 300
	}
	rnd := rand.New(rand.NewPCG(2026, 12))
	made := 0
	for i := range n {
		s := schemas{Rand: rnd}
		s.put(`{"allOf":[`)
		s.wild(3)
		s.put(`],"$defs":{"d":`)
		s.wild(2)
		s.put(`,"e":`)
		s.wild(1)
		s.put("}}")
		text := s.b.String()
		schema, err := jsonschema.Parse([]byte(text))
		if err != nil {
			if _, ok := errors.AsType[*jsonschema.Error](err); !ok {
				t.Fatalf("Parse(%s): %v", text, err)
			}
			continue
		}
		g := &jsonschema.Grammar{Options: jsonschema.Options{Length: []int{0, 150, 5_000}[i%3]}}
		rule, err := schema.Grammar(g, "v")
		if err != nil {
			continue
		}
		made++
		g.Rule("root", rule)
		back := readGBNF(t, g.String())
		for range 20 {
			sentence := back.sentence(rnd)
			if err := schema.Validate([]byte(sentence)); err != nil {
				t.Fatalf("schema %d %s\nadmits %s\n%v", i, text, sentence, err)
			}
		}
	}
	t.Logf("%d of %d schemas have a grammar", made, n)
	if made < n/4 {
		t.Errorf("only %d of %d schemas have a grammar", made, n)
	}
}
