package llamacpp

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// message is one turn as the server takes it.
type message struct {
	Role      string     `json:"role"`
	Content   any        `json:"content"` // a string, or []part when there are images
	Reasoning string     `json:"reasoning_content,omitempty"`
	Calls     []toolCall `json:"tool_calls,omitempty"`
	CallID    string     `json:"tool_call_id,omitempty"` // role "tool"
}

// part is a piece of a turn that holds images.
type part struct {
	Type  string    `json:"type"` // "text" or "image_url"
	Text  string    `json:"text,omitempty"`
	Image *imageURL `json:"image_url,omitempty"`
}

// imageURL carries an image. It is a data: address always: the server would
// fetch any other by itself.
type imageURL struct {
	URL string `json:"url"`
}

// toolCall is a past call.
type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"` // "function"
	Function calledByName `json:"function"`
}

type calledByName struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON
}

// tool is a tool that the template tells of.
type tool struct {
	Type     string       `json:"type"` // "function"
	Function toolFunction `json:"function"`
}

type toolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

// sampling are the settings that both ways to generate share.
type sampling struct {
	Stream      bool     `json:"stream"`
	Progress    bool     `json:"return_progress,omitempty"`
	Slot        *int     `json:"id_slot,omitempty"`
	CachePrompt bool     `json:"cache_prompt"`
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	Seed        *uint32  `json:"seed,omitempty"`
	Frequency   *float64 `json:"frequency_penalty,omitempty"`
	Presence    *float64 `json:"presence_penalty,omitempty"`
	Grammar     string   `json:"grammar,omitempty"`
	Timings     bool     `json:"timings_per_token,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// prompt is what of a chat request decides its input tokens.
type prompt struct {
	Messages []message `json:"messages"`
	Tools    []tool    `json:"tools,omitempty"`
	// Choice is "auto" or "none"; the server's other choices do not hold what
	// they promise.
	Choice   string        `json:"tool_choice,omitempty"`
	Parallel bool          `json:"parallel_tool_calls,omitempty"`
	Format   string        `json:"reasoning_format,omitempty"`
	Options  *templateArgs `json:"chat_template_kwargs,omitempty"`
}

// templateArgs are the arguments that templates of weights that think take.
// Each template knows its own.
type templateArgs struct {
	Enable   bool   `json:"enable_thinking"`
	Thinking bool   `json:"thinking"`
	Effort   string `json:"reasoning_effort,omitempty"`
}

// chatBody is a request to /v1/chat/completions.
type chatBody struct {
	prompt
	sampling
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
	Budget        *int           `json:"thinking_budget_tokens,omitempty"`
	Logprobs      bool           `json:"logprobs,omitempty"`
	TopLogprobs   int            `json:"top_logprobs,omitempty"`
}

// completionBody is a request to /completion.
type completionBody struct {
	Prompt string `json:"prompt"`
	sampling
	Probs int `json:"n_probs,omitempty"`
}

// conversation is a request's text as the server may see it: without special
// tokens of anybody but the template. Generate and Count use the same.
type conversation struct {
	chat    prompt
	text    string // the whole prompt, when plain
	plain   bool   // goes to /completion
	prefill string // what the reply continues; "" when the last turn is not the assistant's
	calls   bool   // the server looks for calls in the reply
	thinks  bool   // the reply may begin with thoughts
}

// converse makes the text of r safe. A raw prompt is its caller's alone and
// stays as it is.
func (fa *facts) converse(mode engine.Mode, r *llm.Request) conversation {
	switch {
	case r.Raw != "":
		return conversation{plain: true, text: strings.TrimPrefix(r.Raw, fa.bos)}
	case mode == engine.Completion:
		parts := slices.Clone(r.System)
		for i := range r.Messages {
			parts = append(parts, joined(r.Messages[i].Content))
		}
		return conversation{plain: true, text: fa.guard.clean(strings.Join(parts, "\n"), nil)}
	}
	var c conversation
	c.chat.Messages = make([]message, 0, len(r.Messages)+1)
	if len(r.System) > 0 {
		c.chat.Messages = append(c.chat.Messages, message{Role: "system", Content: fa.clean("system", strings.Join(r.System, "\n"))})
	}
	for i := range r.Messages {
		if r.Messages[i].Role == llm.Assistant {
			c.chat.Messages = append(c.chat.Messages, fa.said(r.Messages[i].Content))
		} else {
			c.chat.Messages = fa.asked(c.chat.Messages, r.Messages[i].Content)
		}
	}
	if n := len(c.chat.Messages); n > 0 && c.chat.Messages[n-1].Role == string(llm.Assistant) {
		c.prefill, _ = c.chat.Messages[n-1].Content.(string)
	}
	if fa.tools && len(r.Tools) > 0 {
		c.calls = r.Grammar == "" && r.Choice.Kind != llm.ChooseNone
		c.chat.Tools = fa.toolsOf(r.Tools)
		c.chat.Choice = "none"
		if c.calls {
			c.chat.Choice, c.chat.Parallel = "auto", true
		}
	}
	c.reason(fa, r)
	return c
}

// reason settles whether the reply may think first. One that follows a grammar
// or continues a text should not.
func (c *conversation) reason(fa *facts, r *llm.Request) {
	if !fa.reasons {
		c.chat.Format = "none" // text as the model made it
		return
	}
	c.chat.Format = "auto"
	c.thinks = r.Grammar == "" && c.prefill == ""
	off := !c.thinks || r.Thinking != nil && r.Thinking.Off
	if off || r.Thinking != nil {
		c.chat.Options = &templateArgs{Enable: !off, Thinking: !off}
		if !off {
			c.chat.Options.Effort = r.Thinking.Effort
		}
	}
}

// clean makes a text safe in the turn of a role.
func (fa *facts) clean(role, text string) string { return fa.guard.clean(text, fa.edgesOf(role)) }

// said is a turn of the assistant: thoughts, text and calls.
func (fa *facts) said(blocks []llm.Block) message {
	m := message{Role: string(llm.Assistant)}
	var texts, thoughts []string
	for i := range blocks {
		switch b := &blocks[i]; b.Kind {
		case llm.ToolCall:
			m.Calls = append(m.Calls, toolCall{ID: fa.guard.clean(b.Call.ID, nil), Type: "function", Function: calledByName{
				Name: fa.clean("name", b.Call.Name), Arguments: string(fa.guard.cleanJSON(object(b.Call.Input))),
			}})
		case llm.Reasoning:
			thoughts = append(thoughts, b.Text)
		case llm.Text:
			texts = append(texts, b.Text)
		}
	}
	m.Content = fa.clean(m.Role, joinedTexts(texts))
	if fa.reasons {
		m.Reasoning = fa.clean(m.Role, joinedTexts(thoughts))
	}
	return m
}

// asked adds a turn of the user. Each tool's result is a turn of its own.
func (fa *facts) asked(to []message, blocks []llm.Block) []message {
	begin := 0
	flush := func(end int) {
		if begin < end {
			to = append(to, message{Role: string(llm.User), Content: fa.content(string(llm.User), "", blocks[begin:end])})
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
		to = append(to, message{Role: "tool", CallID: fa.guard.clean(r.CallID, nil), Content: fa.content("tool", before, r.Content)})
	}
	if len(blocks) == 0 {
		return append(to, message{Role: string(llm.User), Content: ""})
	}
	flush(len(blocks))
	return to
}

// content is the text of blocks, or its parts when there are images among them.
func (fa *facts) content(role, before string, blocks []llm.Block) any {
	if !slices.ContainsFunc(blocks, func(b llm.Block) bool { return b.Kind == llm.Image }) {
		return fa.clean(role, before+joined(blocks))
	}
	var (
		parts []part
		texts []string
	)
	if before != "" {
		texts = append(texts, before)
	}
	flush := func() {
		if len(texts) > 0 {
			parts = append(parts, part{Type: "text", Text: fa.clean(role, joinedTexts(texts))})
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
		parts = append(parts, part{Type: "image_url", Image: &imageURL{
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

// toolsOf is what the template tells of the tools.
func (fa *facts) toolsOf(tools []llm.Tool) []tool {
	out := make([]tool, len(tools))
	for i := range tools {
		t := &tools[i]
		out[i] = tool{Type: "function", Function: toolFunction{
			Name: fa.clean("name", t.Name), Description: fa.clean("tools", t.Description),
			Parameters: fa.guard.cleanJSON(object(t.Schema)),
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

// body is the request for a conversation on a slot. Stop texts are not sent:
// engine.Stopper finds them, and needs the counts beside every token.
func (c *conversation) body(r *llm.Request, lease limit.Lease, stops bool) (path string, body any) {
	s := sampling{
		Stream: true, Progress: true, Slot: &lease.ID, CachePrompt: !lease.Fresh,
		MaxTokens: r.Params.MaxTokens, Temperature: r.Params.Temperature, TopP: r.Params.TopP, TopK: r.Params.TopK,
		Frequency: r.Params.FrequencyPenalty, Presence: r.Params.PresencePenalty,
		Seed: seed(r.Params.Seed), Grammar: r.Grammar, Timings: stops,
	}
	if c.plain {
		b := &completionBody{Prompt: c.text, sampling: s}
		if r.Logprobs {
			b.Probs = 1
		}
		return "/completion", b
	}
	b := &chatBody{prompt: c.chat, sampling: s, StreamOptions: &streamOptions{IncludeUsage: true}}
	if c.thinks && r.Thinking != nil && !r.Thinking.Off && r.Thinking.Budget > 0 {
		b.Budget = &r.Thinking.Budget
	}
	if r.Logprobs && !c.calls { // the server refuses both together
		b.Logprobs, b.TopLogprobs = true, 1
	}
	return "/v1/chat/completions", b
}
