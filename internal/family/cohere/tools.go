package cohere

import (
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// tools reads [{"name", "description", "parameter_definitions": {parameter:
// {"description", "type", "required"}}}]. Types are those of Python.
func tools(v *body.Value) []llm.Tool {
	var out []llm.Tool
	names := map[string]bool{}
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("name", "description")
		name := item.Get("name")
		t := llm.Tool{Name: name.Text(body.Length{Min: 1, Max: 64}), Description: item.Get("description").Text(body.Length{})}
		t.Schema = schema(item.Get("parameter_definitions"))
		if names[t.Name] {
			name.Violate("another tool has this name")
		}
		names[t.Name] = true
		item.Close()
		out = append(out, t)
	}
	return out
}

// schema makes a JSON schema of parameter definitions.
func schema(v *body.Value) []byte {
	b := []byte(`{"type":"object","properties":{`)
	var required []string
	n := 0
	for name, p := range v.Object().Members() {
		if p.Object() == nil {
			continue
		}
		p.Require("type")
		if n > 0 {
			b = append(b, ',')
		}
		n++
		b = append(body.AppendString(b, name), ':', '{')
		kind := p.Get("type")
		text := kind.Text(body.Length{Min: 1, Max: maxType})
		if len(text) > maxType {
			text = ""
		}
		b = appendType(b, kind, text)
		if s := p.Get("description").Text(body.Length{}); s != "" {
			b = body.AppendString(append(b, `,"description":`...), s)
		}
		b = append(b, '}')
		if isTrue(p.Get("required")) {
			required = append(required, name)
		}
		p.Close()
	}
	b = append(b, '}')
	if required != nil {
		b = append(b, `,"required":[`...)
		for i, name := range required {
			if i > 0 {
				b = append(b, ',')
			}
			b = body.AppendString(b, name)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// maxType is the longest type of a parameter, in characters: types nest.
const maxType = 100

// appendType appends the JSON schema of a Python type, e.g. "List[str]".
func appendType(b []byte, at *body.Value, s string) []byte {
	low := strings.ToLower(strings.TrimSpace(s))
	name, rest, generic := strings.Cut(low, "[")
	switch name {
	case "str", "string":
		return append(b, `"type":"string"`...)
	case "int", "integer":
		return append(b, `"type":"integer"`...)
	case "float", "number":
		return append(b, `"type":"number"`...)
	case "bool", "boolean":
		return append(b, `"type":"boolean"`...)
	case "dict", "object":
		return append(b, `"type":"object"`...)
	case "list", "array", "tuple", "set":
		b = append(b, `"type":"array"`...)
		if item, ok := strings.CutSuffix(rest, "]"); generic && ok {
			b = append(appendType(append(b, `,"items":{`...), at, item), '}')
		}
		return b
	case "":
		return append(b, `"type":"string"`...)
	}
	at.Violate("string is not a type: str, int, float, bool, dict and list are")
	return append(b, `"type":"string"`...)
}

// history reads turns into a conversation.
type history struct {
	req   *llm.Request
	calls int
	open  map[string][]string // ids of calls without results, by name and input
}

func (h *history) read(v *body.Value) {
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("role")
		switch role := item.Get("role").Enum("USER", "CHATBOT", "SYSTEM", "TOOL"); role {
		case "TOOL":
			item.Require("tool_results")
			h.results(item.Get("tool_results"))
		case "":
			item.SkipAll()
		default:
			h.turn(item, role)
		}
		item.Close()
	}
}

func (h *history) turn(v *body.Value, role string) {
	calls := v.Get("tool_calls")
	if calls == nil || role != "CHATBOT" {
		v.Require("message")
	}
	text := v.Get("message").Text(body.Length{})
	switch role {
	case "USER":
		chat.Add(h.req, llm.User, chat.Text(text))
		return
	case "SYSTEM":
		if strings.TrimSpace(text) != "" {
			h.req.System = append(h.req.System, text)
		}
		return
	}
	if text != "" {
		chat.Add(h.req, llm.Assistant, chat.Text(text))
	}
	for _, item := range calls.Items(body.Length{}) {
		if c := h.call(item); c != nil {
			chat.Add(h.req, llm.Assistant, llm.Block{Kind: llm.ToolCall, Call: c})
			h.wait(c)
		}
	}
}

// turns writes a history as JSON without its brackets, for the reply.
func turns(v *body.Value) []byte {
	if v.Kind() != body.Array {
		return nil
	}
	var b []byte
	for i, item := range v.Items(body.Length{}) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		n := 0
		for _, key := range []string{"role", "message", "tool_calls", "tool_results"} {
			j := item.Get(key).JSON()
			if j == nil {
				continue
			}
			if n > 0 {
				b = append(b, ',')
			}
			n++
			b = append(append(body.AppendString(b, key), ':'), j...)
		}
		b = append(b, '}')
	}
	return b
}

// call reads {"name", "parameters"}. Cohere's calls have no ids; here they get
// numbers.
func (h *history) call(v *body.Value) *llm.Call {
	if v.Object() == nil {
		return nil
	}
	v.Require("name", "parameters")
	c := &llm.Call{Name: v.Get("name").Text(body.Length{Min: 1, Max: 64})}
	if p := v.Get("parameters"); p.Object() != nil {
		c.Input = p.JSON()
	}
	v.Get("generation_id").Text(body.Length{})
	v.Close()
	if c.Name == "" || c.Input == nil {
		return nil
	}
	c.ID = fmt.Sprintf("call_%d", h.calls)
	h.calls++
	return c
}

// wait notes that a call has no result yet.
func (h *history) wait(c *llm.Call) {
	if h.open == nil {
		h.open = map[string][]string{}
	}
	k := c.Name + string(c.Input)
	h.open[k] = append(h.open[k], c.ID)
}

// results reads [{"call": {"name", "parameters"}, "outputs": [{...}]}]: calls
// that the turn before has not made are made first.
func (h *history) results(v *body.Value) {
	var made, answers []llm.Block
	for _, item := range v.Items(body.Length{Min: 1}) {
		if item.Object() == nil {
			continue
		}
		item.Require("call", "outputs")
		c := h.call(item.Get("call"))
		var outputs []string
		for _, o := range item.Get("outputs").Items(body.Length{}) {
			if o.Object() != nil {
				outputs = append(outputs, string(o.JSON()))
			}
		}
		item.Close()
		if c == nil {
			continue
		}
		if k := c.Name + string(c.Input); len(h.open[k]) > 0 {
			c.ID, h.open[k] = h.open[k][0], h.open[k][1:]
		} else {
			made = append(made, llm.Block{Kind: llm.ToolCall, Call: c})
		}
		r := &llm.Result{CallID: c.ID}
		if len(outputs) > 0 {
			r.Content = []llm.Block{chat.Text(strings.Join(outputs, "\n"))}
		}
		answers = append(answers, llm.Block{Kind: llm.ToolResult, Result: r})
	}
	chat.Add(h.req, llm.Assistant, made...)
	chat.Add(h.req, llm.User, answers...)
}

// appendCalls appends the member "tool_calls", nothing when the reply has none.
func appendCalls(b []byte, r *llm.Response) []byte {
	n := 0
	for i := range r.Content {
		c := r.Content[i].Call
		if r.Content[i].Kind != llm.ToolCall {
			continue
		}
		if n == 0 {
			b = append(b, `"tool_calls":[`...)
		} else {
			b = append(b, ',')
		}
		n++
		b = body.AppendString(append(b, `{"name":`...), c.Name)
		b = append(b, `,"parameters":`...)
		b = append(body.AppendObject(b, c.Input), '}')
	}
	if n == 0 {
		return b
	}
	return append(b, ']')
}
