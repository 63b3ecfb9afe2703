package prompt

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// Message is one turn as chat servers take it.
type Message struct {
	Role      string `json:"role"`
	Content   any    `json:"content"` // a string, or []Part when there are images
	Reasoning string `json:"reasoning_content,omitempty"`
	Calls     []Call `json:"tool_calls,omitempty"`
	CallID    string `json:"tool_call_id,omitempty"` // role "tool"
}

// Part is a piece of a turn that holds images.
type Part struct {
	Type  string    `json:"type"` // "text" or "image_url"
	Text  string    `json:"text,omitempty"`
	Image *ImageURL `json:"image_url,omitempty"`
}

// ImageURL carries an image. It is a data: address always: servers would fetch
// any other by themselves.
type ImageURL struct {
	URL string `json:"url"`
}

// Call is a past call of a tool.
type Call struct {
	ID       string `json:"id"`
	Type     string `json:"type"` // "function"
	Function Called `json:"function"`
}

// Called is what a call asked for.
type Called struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON
}

// Tool is a tool that the template tells of.
type Tool struct {
	Type     string   `json:"type"` // "function"
	Function Function `json:"function"`
}

// Function describes a tool.
type Function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

// The places of text in a template, beside the roles of messages. Edges are kept
// by them.
const (
	placeName  = "name"  // of a tool or of a call
	placeTools = "tools" // what is told of tools
)

const (
	roleSystem = "system"
	roleTool   = "tool"
)

// Turns writes conversations for one server. The zero value with a Guard is
// ready for use.
type Turns struct {
	Guard *Guard
	Edges Edges // nil: nothing around a text can form a special token with it
	// Thoughts says that past reasoning is given back; without it, it is left out.
	Thoughts bool
}

// Clean makes a text safe in the turn of a role.
func (t *Turns) Clean(role, text string) string { return t.Guard.Clean(text, t.Edges.of(role)) }

// Plain is the conversation of weights without a template: its texts, one below
// the other.
func (t *Turns) Plain(r *llm.Request) string {
	parts := slices.Clone(r.System)
	for i := range r.Messages {
		parts = append(parts, joined(r.Messages[i].Content))
	}
	return t.Guard.Clean(strings.Join(parts, "\n"), nil)
}

// Messages are the turns of r. prefill is the text that the reply continues, ""
// when the last turn is not the assistant's.
func (t *Turns) Messages(r *llm.Request) (all []Message, prefill string) {
	all = make([]Message, 0, len(r.Messages)+1)
	if len(r.System) > 0 {
		all = append(all, Message{Role: roleSystem, Content: t.Clean(roleSystem, strings.Join(r.System, "\n"))})
	}
	for i := range r.Messages {
		if r.Messages[i].Role == llm.Assistant {
			all = append(all, t.said(r.Messages[i].Content))
		} else {
			all = t.asked(all, r.Messages[i].Content)
		}
	}
	if n := len(all); n > 0 && all[n-1].Role == string(llm.Assistant) {
		prefill, _ = all[n-1].Content.(string)
	}
	return all, prefill
}

// said is a turn of the assistant: thoughts, text and calls.
func (t *Turns) said(blocks []llm.Block) Message {
	m := Message{Role: string(llm.Assistant)}
	var texts, thoughts []string
	for i := range blocks {
		switch b := &blocks[i]; b.Kind {
		case llm.ToolCall:
			m.Calls = append(m.Calls, Call{ID: t.Guard.Clean(b.Call.ID, nil), Type: "function", Function: Called{
				Name: t.Clean(placeName, b.Call.Name), Arguments: string(t.Guard.CleanJSON(object(b.Call.Input))),
			}})
		case llm.Reasoning:
			thoughts = append(thoughts, b.Text)
		case llm.Text:
			texts = append(texts, b.Text)
		}
	}
	m.Content = t.Clean(m.Role, joinedTexts(texts))
	if t.Thoughts {
		m.Reasoning = t.Clean(m.Role, joinedTexts(thoughts))
	}
	return m
}

// asked adds a turn of the user. Each tool's result is a turn of its own.
func (t *Turns) asked(to []Message, blocks []llm.Block) []Message {
	begin := 0
	flush := func(end int) {
		if begin < end {
			to = append(to, Message{Role: string(llm.User), Content: t.content(string(llm.User), "", blocks[begin:end])})
		}
		begin = end + 1
	}
	for i := range blocks {
		if blocks[i].Kind != llm.ToolResult {
			continue
		}
		flush(i)
		r, before := blocks[i].Result, ""
		if r.Failed {
			before = "The tool failed: "
		}
		to = append(to, Message{Role: roleTool, CallID: t.Guard.Clean(r.CallID, nil), Content: t.content(roleTool, before, r.Content)})
	}
	if len(blocks) == 0 {
		return append(to, Message{Role: string(llm.User), Content: ""})
	}
	flush(len(blocks))
	return to
}

// content is the text of blocks, or its parts when there are images among them.
func (t *Turns) content(role, before string, blocks []llm.Block) any {
	if !slices.ContainsFunc(blocks, func(b llm.Block) bool { return b.Kind == llm.Image }) {
		return t.Clean(role, before+joined(blocks))
	}
	var (
		parts []Part
		texts []string
	)
	if before != "" {
		texts = append(texts, before)
	}
	flush := func() {
		if len(texts) > 0 {
			parts = append(parts, Part{Type: "text", Text: t.Clean(role, joinedTexts(texts))})
			texts = nil
		}
	}
	for i := range blocks {
		b := &blocks[i]
		if b.Kind != llm.Image {
			texts = append(texts, b.Text)
			continue
		}
		flush()
		parts = append(parts, Part{Type: "image_url", Image: &ImageURL{
			URL: "data:image/" + b.Media.Format + ";base64," + base64.StdEncoding.EncodeToString(b.Media.Data),
		}})
	}
	flush()
	return parts
}

// joined is the text of one turn: its blocks, one below the other.
func joined(blocks []llm.Block) string {
	if len(blocks) == 1 {
		return blocks[0].Text
	}
	parts := make([]string, len(blocks))
	for i := range blocks {
		parts[i] = blocks[i].Text
	}
	return strings.Join(parts, "\n")
}

func joinedTexts(texts []string) string {
	if len(texts) == 1 {
		return texts[0]
	}
	return strings.Join(texts, "\n")
}

// Tools is what the template tells of the tools.
func (t *Turns) Tools(tools []llm.Tool) []Tool {
	out := make([]Tool, len(tools))
	for i := range tools {
		from := &tools[i]
		out[i] = Tool{Type: "function", Function: Function{
			Name: t.Clean(placeName, from.Name), Description: t.Clean(placeTools, from.Description),
			Parameters: t.Guard.CleanJSON(object(from.Schema)),
		}}
	}
	return out
}

// object is b when that is JSON, and an empty object when there is nothing. What
// is neither was let through by mistake and becomes a text in an object.
func object(b []byte) []byte {
	switch {
	case len(b) == 0:
		return []byte("{}")
	case json.Valid(b):
		return b
	}
	text, err := json.Marshal(map[string]string{"text": string(b)})
	if err != nil {
		return []byte("{}")
	}
	return text
}
