package anthropic

import (
	"slices"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Limits of tools.
const (
	maxToolName = 128 // characters of [a-zA-Z0-9_-]
	maxTools    = 10_000
)

// tools reads the tools and the choice of them.
func (rd *reader) tools(root *body.Value) {
	names := map[string]bool{}
	for _, item := range present(root.Get("tools")).Items(body.Length{Max: maxTools}) {
		if item.Object() == nil {
			continue
		}
		if kind := present(item.Get("type")).Text(body.Length{}); kind != "" && kind != "custom" {
			rd.fail("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'custom'", item.Dotted(), body.Show(kind))
			item.SkipAll()
			continue
		}
		t := tool(item)
		if names[t.Name] {
			rd.fail("tools: Tool names must be unique.")
		}
		names[t.Name] = true
		rd.req.Tools = append(rd.req.Tools, t)
		rd.cacheMark(item, llm.Mark{})
		item.Close()
	}
	rd.choice(present(root.Get("tool_choice")).Object())
}

func tool(v *body.Value) llm.Tool {
	v.Require("name", "input_schema")
	t := llm.Tool{Name: toolName(v.Get("name")), Description: v.Get("description").Text(body.Length{})}
	if s := v.Get("input_schema").Object(); s != nil {
		s.Require("type")
		s.Get("type").Enum("object")
		t.Schema = s.JSON()
	}
	if strict := present(v.Get("strict")).Bool(); strict != nil {
		t.Strict = *strict
	}
	present(v.Get("eager_input_streaming")).Bool()
	present(v.Get("defer_loading")).Bool()
	present(v.Get("input_examples")).Items(body.Length{})
	v.Skip("input_examples")
	present(v.Get("allowed_callers")).Texts(body.Length{})
	return t
}

func toolName(v *body.Value) string {
	name := v.Text(body.Length{Min: 1, Max: maxToolName})
	if name != "" && !wordly(name) {
		v.Violate("string [" + body.Show(name) + "] does not match pattern ^[a-zA-Z0-9_-]{1,128}$")
	}
	return name
}

// wordly reports whether s has letters, digits, "_" and "-" only.
func wordly(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

func (rd *reader) choice(v *body.Value) {
	if v == nil {
		return
	}
	v.Require("type")
	kind := v.Get("type").Enum("auto", "any", "tool", "none")
	if one := present(v.Get("disable_parallel_tool_use")).Bool(); one != nil {
		rd.single = *one
	}
	c := llm.Choice{}
	switch kind {
	case "any":
		c.Kind = llm.ChooseAny
	case "none":
		c.Kind = llm.ChooseNone
	case "tool":
		v.Require("name")
		c.Kind, c.Name = llm.ChooseNamed, v.Get("name").Text(body.Length{Min: 1})
	}
	if kind != "tool" {
		present(v.Get("name")).Text(body.Length{})
	}
	v.Close()
	switch {
	case (c.Kind == llm.ChooseAny || c.Kind == llm.ChooseNamed) && len(rd.req.Tools) == 0:
		rd.fail("tool_choice: tool_choice may only be specified while providing tools.")
		return
	case c.Name != "" && !slices.ContainsFunc(rd.req.Tools, func(t llm.Tool) bool { return t.Name == c.Name }):
		rd.fail("tool_choice.name: Tool '%s' not found in provided tools", body.Show(c.Name))
	}
	if len(rd.req.Tools) > 0 {
		rd.req.Choice = c
	}
}

// toolUse reads a call that the assistant made in an earlier turn.
func (rd *reader) toolUse(v *body.Value) *llm.Block {
	v.Require("id", "name", "input")
	c := &llm.Call{ID: callID(v.Get("id")), Name: toolName(v.Get("name"))}
	if in := v.Get("input").Object(); in != nil {
		c.Input = in.JSON()
	}
	if caller := present(v.Get("caller")).Object(); caller != nil {
		caller.Get("type").Enum("direct")
		caller.Close()
	}
	if c.ID == "" || c.Name == "" || c.Input == nil {
		return nil
	}
	return &llm.Block{Kind: llm.ToolCall, Call: c}
}

func callID(v *body.Value) string {
	id := v.Text(body.Length{Min: 1})
	if id != "" && !wordly(id) {
		v.Violate("string [" + body.Show(id) + "] does not match pattern ^[a-zA-Z0-9_-]+$")
	}
	return id
}

// toolResult reads what a tool answered.
func (rd *reader) toolResult(v *body.Value) *llm.Block {
	v.Require("tool_use_id")
	r := &llm.Result{CallID: callID(v.Get("tool_use_id"))}
	if failed := present(v.Get("is_error")).Bool(); failed != nil {
		r.Failed = *failed
	}
	switch c := present(v.Get("content")); c.Kind() {
	case 0:
	case body.String:
		if s := c.Text(body.Length{}); s != "" {
			r.Content = []llm.Block{{Kind: llm.Text, Text: s}}
		}
	default:
		for _, item := range c.Items(body.Length{}) {
			if item.Object() == nil {
				continue
			}
			kind, ok := rd.kind(item, resultTypes)
			if !ok {
				continue
			}
			r.Content = append(r.Content, rd.shown(item, kind)...)
			rd.innerMark(item)
			item.Close()
		}
	}
	if r.CallID == "" {
		return nil
	}
	return &llm.Block{Kind: llm.ToolResult, Result: r}
}

// answers checks that every call has one result, in the next turn, and every
// result a call, in the turn before.
func (rd *reader) answers() {
	turnOf := map[string]int{} // the turn of a call
	var open []place           // calls of the turn before
	before := 0
	for i, t := range rd.origin {
		answered := map[string]bool{}
		for _, r := range t.results {
			if of, ok := turnOf[r.id]; !ok || of != i-1 {
				rd.fail("%s: unexpected `tool_use_id` found in `tool_result` blocks: %s. "+
					"Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", r.at, body.Show(r.id))
			}
			if answered[r.id] {
				rd.fail("%s: each tool_use must have a single result. Found multiple `tool_result` blocks with the `tool_use_id` %s", r.at, body.Show(r.id))
			}
			answered[r.id] = true
		}
		rd.unanswered(before, open, answered, t.late && rd.strict)
		for _, c := range t.calls {
			if _, ok := turnOf[c.id]; ok {
				rd.fail("%s: `tool_use` ids must be unique", c.at)
			}
			turnOf[c.id] = i
		}
		open, before = t.calls, t.index
	}
	rd.unanswered(before, open, nil, false)
}

// unanswered refuses calls of turn number index without a result. late is a
// result that does not stand at the beginning of its turn.
func (rd *reader) unanswered(index int, open []place, answered map[string]bool, late bool) {
	const most = 5 // ids that the message names
	var ids []byte
	n := 0
	for _, c := range open {
		if answered[c.id] && !late {
			continue
		}
		if n++; n > most {
			break
		}
		if n > 1 {
			ids = append(ids, ", "...)
		}
		ids = append(ids, body.Show(c.id)...)
	}
	if n > 0 {
		rd.fail("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s. "+
			"Each `tool_use` block must have a corresponding `tool_result` block in the next message.", index, ids)
	}
}
