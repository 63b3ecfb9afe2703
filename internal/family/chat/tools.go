package chat

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// noParameters is the schema of a tool that tells none.
const noParameters = `{"type":"object","properties":{}}`

// Tools reads a list of {"type": "function", "function": {...}}.
func Tools(v *body.Value) []llm.Tool {
	if v.Kind() == body.Null {
		return nil
	}
	var out []llm.Tool
	names := map[string]bool{}
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("function")
		item.Get("type").Enum("function")
		f := item.Get("function").Object()
		f.Require("name")
		name := f.Get("name")
		t := llm.Tool{
			Name:        name.Text(body.Length{Min: 1, Max: maxToolName}),
			Description: f.Get("description").Text(body.Length{}),
			Schema:      []byte(noParameters),
		}
		if p := f.Get("parameters"); p.Kind() != body.Null && p.Object() != nil {
			t.Schema = p.JSON()
		}
		if s := f.Get("strict"); s.Kind() != body.Null {
			b := s.Bool()
			t.Strict = b != nil && *b
		}
		if t.Name != "" && strings.Trim(t.Name, toolLetters) != "" {
			name.Violate("string has characters other than letters, digits, '_' and '-'")
		}
		if names[t.Name] {
			name.Violate("another tool has this name")
		}
		names[t.Name] = true
		f.Close()
		item.Close()
		out = append(out, t)
	}
	return out
}

const toolLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// Choice reads "tool_choice": one of the words "auto", "none" and those given,
// which ask for any call, or an object that names a tool.
func Choice(v *body.Value, tools []llm.Tool, words ...string) llm.Choice {
	switch v.Kind() {
	case 0, body.Null:
		return llm.Choice{}
	case body.Object:
		return named(v, tools)
	}
	c := llm.Choice{}
	switch v.Enum(append([]string{"auto", "none"}, words...)...) {
	case "", "auto":
	case "none":
		c.Kind = llm.ChooseNone
	default:
		c.Kind = llm.ChooseAny
		if len(tools) == 0 {
			v.Violate("a call is asked for, and there are no tools")
			return llm.Choice{}
		}
	}
	return c
}

func named(v *body.Value, tools []llm.Tool) llm.Choice {
	v.Require("function")
	v.Get("type").Enum("function")
	f := v.Get("function").Object()
	f.Require("name")
	name := f.Get("name")
	s := name.Text(body.Length{Min: 1})
	if s != "" && !slices.ContainsFunc(tools, func(t llm.Tool) bool { return t.Name == s }) {
		name.Violate("none of the tools has this name")
	}
	f.Close()
	v.Close()
	return llm.Choice{Kind: llm.ChooseNamed, Name: s}
}

// Format reads "response_format": {"type": "text"}, {"type": "json_object"} or,
// where schemas is set, {"type": "json_schema", "json_schema": {"name",
// "schema", "strict"}}.
func Format(v *body.Value, types ...string) *llm.Format {
	if v.Kind() == body.Null || v.Object() == nil {
		return nil
	}
	v.Require("type")
	kind := v.Get("type").Enum(types...)
	var out *llm.Format
	switch kind {
	case "json_object":
		out = &llm.Format{}
	case "json_schema":
		v.Require("json_schema")
		s := v.Get("json_schema").Object()
		s.Require("name")
		out = &llm.Format{Name: s.Get("name").Text(body.Length{Min: 1, Max: maxToolName})}
		s.Get("description").Text(body.Length{})
		if b := s.Get("strict"); b.Kind() != body.Null {
			b.Bool()
		}
		if schema := s.Get("schema"); schema.Object() != nil {
			out.Schema = schema.JSON()
		}
		s.Close()
	default:
		v.SkipAll()
	}
	v.Close()
	return out
}
