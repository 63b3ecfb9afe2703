package acceptance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// toolCase is a generated tool, with others beside it.
type toolCase struct {
	Name   string // of the case
	Tool   string
	Schema map[string]any
	Others map[string]map[string]any // schemas by tool name
	Named  bool                      // the choice names the tool; else it is any, and there are no others
	Prompt string
}

// schemaMaker makes schemas of tool inputs as people and libraries write them.
type schemaMaker struct{ r *rand.Rand }

// toolCases are n cases, the same ones for each seed.
func toolCases(n int) []toolCase {
	all := make([]toolCase, n)
	for i := range all {
		m := schemaMaker{rand.New(rand.NewPCG(uint64(i), 4))}
		c := toolCase{
			Name: fmt.Sprintf("case %d", i), Tool: m.one("get_weather", "book-room", "search", "createTicket", "send_mail", "report_7", "x"),
			Schema: m.top(), Named: i%2 == 0, Others: map[string]map[string]any{},
			Prompt: m.one(
				"What will the weather be like in Bergen on Friday?",
				"Book a room for two people in 東京 from 3 May to 7 May, quiet, with a view.",
				"Find me three papers on fjords that were written after 1998.",
				"Ünal's printer is on fire again; please open a ticket, and make it urgent.",
				"Write to anna@example.com that I am late. Say \"sorry\".",
				"I need a report on sales of the last quarter, as a table, sorted by region.",
				"Call the tool.",
				strings.Repeat("The keeper counts the ships before he lights the lamp. ", 12)+"Note that down.",
			),
		}
		if c.Named {
			for range m.r.IntN(3) {
				c.Others[m.one("lookup", "remember", "roll_dice")] = m.top()
			}
		}
		all[i] = c
	}
	return all
}

func (m schemaMaker) one(of ...string) string { return of[m.r.IntN(len(of))] }

func (m schemaMaker) yes(percent int) bool { return m.r.IntN(100) < percent }

// top is the schema of an input.
func (m schemaMaker) top() map[string]any {
	s := m.object(2)
	s["type"] = "object"
	if m.yes(20) {
		s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	}
	if m.yes(15) {
		s["$defs"] = map[string]any{"Place": map[string]any{
			"type":       "object",
			"properties": map[string]any{"lat": map[string]any{"type": "number", "minimum": -90, "maximum": 90}, "name": map[string]any{"type": "string"}},
			"required":   []any{"name"}, "additionalProperties": false,
		}}
		props, _ := s["properties"].(map[string]any)
		props["place"] = map[string]any{"$ref": "#/$defs/Place"}
		s["required"] = append(s["required"].([]any), "place")
	}
	return s
}

func (m schemaMaker) object(depth int) map[string]any {
	names := []string{"city", "name", "größe", "日付", "max_results", "unit", "tags", "a b", "quoted\"name", "isUrgent", "from", "to", "emoji🪨", "x"}
	m.r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	props, required := map[string]any{}, []any{}
	for _, name := range names[:1+m.r.IntN(4)] {
		props[name] = m.schema(depth)
		if m.yes(60) {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "properties": props, "required": required}
	switch m.r.IntN(4) {
	case 0:
		s["additionalProperties"] = false
	case 1:
		s["description"] = "What is asked for."
	}
	return s
}

// schema is one of anything.
func (m schemaMaker) schema(depth int) map[string]any {
	n := 12
	if depth == 0 {
		n = 8
	}
	switch m.r.IntN(n) {
	case 0:
		return m.text()
	case 1:
		return map[string]any{"type": "string", "pattern": m.one(`^[A-Z]{3}-\d{4}$`, `^\d{4}-\d{2}-\d{2}$`, `^#[0-9a-f]{6}$`, `^[a-z0-9._]{1,16}@[a-z]{2,8}\.(com|org)$`, `^(yes|no|maybe)$`, `^\+?[1-9]\d{6,11}$`, `^[^\s]{2,10}$`, `^[äöüß]{2,5}$`)}
	case 2:
		return map[string]any{"type": "string", "enum": m.some("celsius", "fahrenheit", "überall", "北", "a\"b", "low", "medium", "high", "\\n")}
	case 3:
		return m.number("integer")
	case 4:
		return m.number("number")
	case 5:
		return map[string]any{"type": "boolean", "description": "Whether it is."}
	case 6:
		return map[string]any{"enum": []any{1, 2.5, "three", nil, true, []any{"x"}}}
	case 7:
		return map[string]any{"type": []any{"string", "null"}, "maxLength": 20}
	case 8:
		return m.object(depth - 1)
	case 9:
		return m.array(depth - 1)
	case 10:
		return map[string]any{m.one("anyOf", "oneOf"): []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": 9}, map[string]any{"type": "object", "properties": map[string]any{"k": m.schema(0)}, "required": []any{"k"}, "additionalProperties": false},
		}}
	default:
		return map[string]any{"type": "object", "additionalProperties": m.number("integer"), "maxProperties": 3}
	}
}

func (m schemaMaker) some(of ...string) []any {
	m.r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	out := []any{}
	for _, s := range of[:2+m.r.IntN(len(of)-2)] {
		out = append(out, s)
	}
	return out
}

func (m schemaMaker) text() map[string]any {
	s := map[string]any{"type": "string"}
	if m.yes(40) {
		s["description"] = "A word or two, e.g. \"Oslo\"."
	}
	if m.yes(40) {
		s["maxLength"] = 5 + m.r.IntN(30)
	}
	if m.yes(25) {
		s["minLength"] = 1 + m.r.IntN(4)
	}
	if m.yes(15) {
		s["format"] = m.one("date", "email", "uri", "uuid")
		delete(s, "maxLength")
		delete(s, "minLength")
	}
	return s
}

func (m schemaMaker) number(kind string) map[string]any {
	s := map[string]any{"type": kind}
	low := m.r.IntN(40) - 20
	switch m.r.IntN(5) {
	case 0:
		s["minimum"], s["maximum"] = low, low+1+m.r.IntN(1000)
	case 1:
		s["exclusiveMinimum"] = low
	case 2:
		s["minimum"], s["exclusiveMaximum"] = 0, 1+m.r.IntN(99)
	case 3:
		if kind == "integer" {
			s["multipleOf"], s["minimum"], s["maximum"] = 5, 0, 500
		} else {
			s["minimum"], s["maximum"] = -0.5, 0.5
		}
	}
	return s
}

func (m schemaMaker) array(depth int) map[string]any {
	s := map[string]any{"type": "array", "items": m.schema(max(depth, 0))}
	if m.yes(50) {
		s["minItems"] = 1
	}
	if m.yes(50) {
		s["maxItems"] = 1 + m.r.IntN(4)
	}
	if m.yes(15) {
		s["items"], s["uniqueItems"] = map[string]any{"type": "string", "enum": m.some("red", "green", "blue", "白")}, true
		delete(s, "minItems")
	}
	return s
}

// oracle compiles a schema with the validating library alone.
func oracle(t testing.TB, schema map[string]any) *validator.Schema {
	t.Helper()
	raw, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	if err := c.AddResource("schema:///tool", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema:///tool")
	if err != nil {
		t.Fatalf("schema %s: %v", raw, err)
	}
	return s
}
