package jsonschema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

// schemas makes random schemas of the kind that tools have, and worse.
type schemas struct {
	*rand.Rand
	b strings.Builder
}

func randomSchema(rnd *rand.Rand) string {
	s := schemas{Rand: rnd}
	s.object(3)
	return s.b.String()
}

func (s *schemas) put(format string, args ...any) { fmt.Fprintf(&s.b, format, args...) }

func (s *schemas) pick(list ...string) string { return list[s.IntN(len(list))] }

func (s *schemas) chance(percent int) bool { return s.IntN(100) < percent }

func (s *schemas) name(i int) string {
	return s.pick("city", "Größe", "名前", "unit_price", "id", "is-open", "tags", "e mail", "quote\\\"d", "naïve", "π", "start.date") + fmt.Sprint(i)
}

// text makes a string literal.
func (s *schemas) text() string {
	return `"` + s.pick("red", "grün", "青い", "a\\\"b", "c\\\\d", "", "x y", "😀", "line\\nbreak", "0") + `"`
}

func (s *schemas) object(depth int) {
	s.put(`{"type":"object","properties":{`)
	n := 1 + s.IntN(5)
	var names, required []string
	for i := range n {
		names = append(names, s.name(i))
		if i > 0 {
			s.put(",")
		}
		s.put(`"%s":`, names[i])
		s.value(depth - 1)
		if s.chance(50) {
			required = append(required, `"`+names[i]+`"`)
		}
	}
	s.put("}")
	if len(required) > 0 || s.chance(20) {
		s.put(`,"required":[%s]`, strings.Join(required, ","))
	}
	if s.chance(30) {
		s.put(`,"additionalProperties":%s`, s.pick("false", "true", `{"type":"integer"}`))
	}
	if s.chance(10) {
		s.put(`,"minProperties":%d`, s.IntN(n+1))
	}
	if s.chance(10) {
		s.put(`,"maxProperties":%d`, max(len(required), 1)+s.IntN(n))
	}
	s.put("}")
}

func (s *schemas) value(depth int) {
	kinds := 8
	if depth > 0 {
		kinds = 14
	}
	switch s.IntN(kinds) {
	case 0:
		s.string()
	case 1:
		s.number("integer")
	case 2:
		s.number("number")
	case 3:
		s.put(`{"type":"boolean","description":"yes or no"}`)
	case 4:
		s.put(`{"enum":[`)
		n := 1 + s.IntN(6)
		for i := range n {
			s.put(`%s,`, s.pick(s.text(), fmt.Sprint(i), fmt.Sprintf("%d.50", i), "null", "true"))
		}
		s.put(`"last"]}`)
	case 5:
		s.put(`{"type":["%s","null"]}`, s.pick("string", "integer", "boolean", "number"))
	case 6:
		s.put(`{"type":"string","enum":[%s,%s]}`, s.text(), s.pick(`"α"`, `"b"`))
	case 7:
		s.put(`{"const":%s}`, s.pick(s.text(), "1", "null", `{"a":[1]}`))
	case 8, 9:
		s.object(depth)
	case 10, 11:
		s.array(depth)
	case 12:
		s.choice(depth)
	case 13:
		s.put(`{"allOf":[`)
		s.object(depth - 1)
		s.put(`,{"properties":{"extra":`)
		s.value(depth - 1)
		s.put(`}}]}`)
	}
}

func (s *schemas) string() {
	s.put(`{"type":"string"`)
	pattern := s.chance(40)
	if pattern {
		p, _ := json.Marshal(s.pick(`^[A-Z]{2,5}-\d{1,4}$`, `^#[0-9a-fA-F]{6}$`, `[a-z]+`, `^(\+\d{1,3} )?\d{3}-\d{4}$`, `^\w+@\w+\.(com|org)$`,
			`^[^\s"]{3,}$`, `^(?:ä|ö|ü|ß)+$`, `^\p{Lu}\p{Ll}*$`, `\bfoo\b`, `^.{2,10}$`, `^(a|bc)*d?$`, `\d\d:\d\d`, `^[\u4e00-\u9fff]{1,4}$`, `^/(\w+/)*$`, `x|y$`))
		s.put(`,"pattern":%s`, p)
	}
	if s.chance(25) {
		least := s.IntN(8)
		s.put(`,"minLength":%d,"maxLength":%d`, least, least+s.IntN(20))
	} else if s.chance(20) {
		s.put(`,"maxLength":%d`, 1+s.IntN(100))
	}
	if s.chance(25) {
		s.put(`,"format":"%s"`, s.pick("date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "uri", "hostname", "duration", "odd"))
	}
	s.put(`}`)
}

func (s *schemas) number(kind string) {
	s.put(`{"type":"%s"`, kind)
	lo := s.IntN(2000) - 1000
	if s.chance(50) {
		s.put(`,"%s":%d%s`, s.pick("minimum", "exclusiveMinimum"), lo, s.pick("", ".5", ".25", "e1", ".125e-2"))
	}
	if s.chance(50) {
		s.put(`,"%s":%d%s`, s.pick("maximum", "exclusiveMaximum"), lo+s.IntN(3000), s.pick("", ".5", ".75", "e1"))
	}
	if s.chance(20) {
		s.put(`,"multipleOf":%s`, s.pick("1", "2", "5", "7", "10", "100", "0.5", "0.01", "0.1", "12", "37", "2.5", "1e-3", "1234"))
	}
	s.put(`}`)
}

func (s *schemas) array(depth int) {
	s.put(`{"type":"array"`)
	least := s.IntN(3)
	if s.chance(90) {
		s.put(`,"items":`)
		s.value(depth - 1)
	}
	if s.chance(30) {
		s.put(`,"minItems":%d`, least)
	}
	if s.chance(30) {
		s.put(`,"maxItems":%d`, least+s.IntN(5))
	}
	if s.chance(30) {
		s.put(`,"uniqueItems":true`)
	}
	if s.chance(10) {
		s.put(`,"prefixItems":[`)
		s.value(depth - 1)
		s.put(`]`)
	}
	if s.chance(5) {
		s.put(`,"contains":`)
		s.value(0)
	}
	s.put(`}`)
}

func (s *schemas) choice(depth int) {
	s.put(`{"%s":[`, s.pick("anyOf", "oneOf"))
	if s.chance(50) {
		for i, k := range []string{"circle", "rechteck", "線"} {
			if i > 0 {
				s.put(",")
			}
			s.put(`{"type":"object","properties":{"kind":{"const":"%s"},"v":`, k)
			s.value(depth - 1)
			s.put(`},"required":["kind"]}`)
		}
	} else {
		s.string()
		s.put(",")
		s.number(s.pick("integer", "number"))
		s.put(",")
		s.array(depth - 1)
	}
	s.put("]}")
}

// TestRandomSchemas is the promise of the package: whatever a grammar admits
// fits the schema that it was made of, as an independent validator sees it.
func TestRandomSchemas(t *testing.T) {
	t.Parallel()
	n := 600
	if testing.Short() {
		n = 200
	}
	rnd := rand.New(rand.NewPCG(2026, 11))
	refused := map[string]int{}
	total := 0
	for i := range n {
		text := randomSchema(rnd)
		s, err := jsonschema.Parse([]byte(text))
		if err != nil {
			t.Fatalf("Parse(%s): %v", text, err)
		}
		g := &jsonschema.Grammar{Options: jsonschema.Options{Length: []int{0, 150, 5_000}[i%3]}}
		rule, err := s.Grammar(g, "v")
		if bad, ok := errors.AsType[*jsonschema.Error](err); ok {
			refused[bad.Keyword+" "+bad.Reason]++
			total++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		g.Rule("root", rule)
		back := readGBNF(t, g.String())
		for range 20 {
			sentence := back.sentence(rnd)
			if err := s.Validate([]byte(sentence)); err != nil {
				t.Fatalf("schema %d %s\nadmits %s\n%v", i, text, sentence, err)
			}
			if !json.Valid([]byte(sentence)) {
				t.Fatalf("schema %d admits what is not JSON: %s", i, sentence)
			}
		}
	}
	t.Logf("%d of %d schemas refused: %v", total, n, refused)
	if total > n/10 {
		t.Errorf("%d of %d schemas refused: %v", total, n, refused)
	}
}
