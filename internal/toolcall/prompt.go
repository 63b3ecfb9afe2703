package toolcall

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// The markers of calls and results in plain text: the ones that most tool
// training of open weights has seen.
const (
	opening       = "<tool_call>"
	closing       = "</tool_call>"
	openingResult = "<tool_response>"
	closingResult = "</tool_response>"
)

// disarm parts the markers in a text that is not ours, so that nobody can pass
// words off as a call or as the answer of a tool. The mark put in is ZERO WIDTH
// SPACE. Text without markers comes back as it is.
func disarm(text string) string {
	if !strings.Contains(text, "tool_") {
		return text
	}
	for _, m := range []string{opening, closing, openingResult, closingResult} {
		text = strings.ReplaceAll(text, m, m[:1]+"\u200b"+m[1:])
	}
	return text
}

// quote is s as a JSON string, markup left readable.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded, and a buffer written
	return strings.TrimSuffix(b.String(), "\n")
}

// lowered is the request for the engine.
func (p *plan) lowered() *llm.Request {
	r := *p.req
	r.Grammar = p.grammar
	r.Format = nil
	system := r.System[:len(r.System):len(r.System)]
	if p.plain {
		r.Messages = plainMessages(r.Messages, len(r.Tools) > 0)
		if len(r.Tools) > 0 {
			system = append(system, p.toolPrompt())
		}
		r.Tools, r.Choice = nil, llm.Choice{}
	}
	if p.req.Format != nil {
		system = append(system, formatPrompt(p.req.Format, p.way == marked))
	}
	r.System = system
	return &r
}

// toolPrompt tells the tools and how to call them. It is short: small weights
// lose long instructions, and each word costs every request.
func (p *plan) toolPrompt() string {
	r := p.req
	var b strings.Builder
	b.WriteString("You have these tools, one per line, each with the JSON Schema of its arguments:\n")
	for i := range r.Tools {
		t := &r.Tools[i]
		b.WriteString(`{"name":` + quote(t.Name))
		if t.Description != "" {
			b.WriteString(`,"description":` + quote(t.Description))
		}
		b.WriteString(`,"parameters":`)
		b.Write(compacted(t.Schema))
		b.WriteString("}\n")
	}
	const form = `{"name":"tool name","arguments":{...}}`
	switch r.Choice.Kind {
	case llm.ChooseNamed:
		b.WriteString("\nCall the tool " + quote(r.Choice.Name) + " now. Reply with only this JSON, its arguments filled in from the conversation:\n" +
			`{"name":` + quote(r.Choice.Name) + `,"arguments":{...}}`)
	case llm.ChooseAny:
		b.WriteString("\nCall the tool that fits best now. Reply with only this JSON, its arguments filled in from the conversation:\n" + form)
	case llm.ChooseNone:
		b.WriteString("\nDo not call a tool now. Reply in plain words.")
	default:
		b.WriteString("\nWhen a tool is needed, reply with only its call, in this form:\n" + opening + form + closing +
			"\nSeveral calls go on lines of their own. The answer of a tool comes back between " + openingResult + " and " + closingResult +
			". When no tool is needed, reply in plain words.")
	}
	return b.String()
}

func formatPrompt(f *llm.Format, tools bool) string {
	text := "Reply with only one JSON text and nothing around it."
	if tools {
		text = "Your reply in words must be only one JSON text and nothing around it."
	}
	if len(f.Schema) > 0 {
		text += " It must fit this JSON Schema:\n" + string(compacted(f.Schema))
	}
	return text
}

// compacted is a JSON text without white space; no text is an empty schema.
func compacted(raw []byte) []byte {
	if len(raw) == 0 {
		return anyObject
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// plainMessages writes calls and results as text. guarded parts our markers in
// all other text.
func plainMessages(in []llm.Message, guarded bool) []llm.Message {
	names := map[string]string{}
	out := make([]llm.Message, len(in))
	for i := range in {
		m := llm.Message{Role: in[i].Role, Content: make([]llm.Block, 0, len(in[i].Content))}
		for _, b := range in[i].Content {
			switch {
			case b.Kind == llm.ToolCall && b.Call != nil:
				names[b.Call.ID] = b.Call.Name
				m.Content = append(m.Content, llm.Block{Kind: llm.Text, Text: plainCall(b.Call)})
			case b.Kind == llm.ToolResult && b.Result != nil:
				m.Content = append(m.Content, plainResult(b.Result, names[b.Result.CallID])...)
			default:
				if guarded && b.Kind == llm.Text {
					b.Text = disarm(b.Text)
				}
				m.Content = append(m.Content, b)
			}
		}
		out[i] = m
	}
	return out
}

func plainCall(c *llm.Call) string {
	input := c.Input
	if len(input) == 0 {
		input = []byte("{}")
	}
	return opening + `{"name":` + quote(c.Name) + `,"arguments":` + disarm(string(compacted(input))) + "}" + closing
}

// plainResult is one text, and the images that the tool answered with.
func plainResult(r *llm.Result, name string) []llm.Block {
	var text []string
	var images []llm.Block
	for _, b := range r.Content {
		if b.Kind == llm.Text {
			text = append(text, disarm(b.Text))
		} else {
			images = append(images, b)
		}
	}
	head := ""
	if name != "" {
		head = name + " "
	}
	if r.Failed {
		head += "failed"
	} else {
		head += "answered"
	}
	all := openingResult + "\n" + head + ":\n" + strings.Join(text, "\n") + "\n" + closingResult
	return append([]llm.Block{{Kind: llm.Text, Text: all}}, images...)
}
