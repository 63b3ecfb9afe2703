// Package mistral speaks the two native bodies of Mistral AI's models: text
// completion (key "prompt") and chat completion (key "messages").
//
// Source: Bedrock user guide, "Mistral AI text completion" and "Mistral AI chat
// completion".
package mistral

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Family is the codec of Mistral. The zero value works.
type Family struct{}

// Name is "mistral".
func (Family) Name() string { return "mistral" }

// template is what the catalogue calls Mistral's form of prompt.
const template = "mistral"

// Limits of both bodies.
const (
	maxStops = 10
	maxTopK  = 200
)

// defaults are what a model takes for what a body leaves out. Where that is the
// most that the model can write, tokens is 0: the weights' own default counts.
type defaults struct {
	tokens, limit int
	temperature   float64
	topP          float64
	topK          *int
}

// defaultsOf tells the defaults of a model. Those of 7B and 8x7B differ from
// those of all later models.
func defaultsOf(id string) defaults {
	switch {
	case strings.Contains(id, "mixtral-8x7b"):
		return defaults{512, 4096, 0.5, 0.9, new(50)}
	case strings.Contains(id, "mistral-7b"):
		return defaults{512, 8192, 0.5, 0.9, new(50)}
	}
	return defaults{0, 8192, 0.7, 1, nil}
}

// chatOnly reports whether a model has no text completion.
func chatOnly(id string) bool {
	return !strings.Contains(id, "mistral-7b") && !strings.Contains(id, "mixtral-8x7b") && !strings.Contains(id, "-2402-")
}

// Parse reads a text completion or a chat completion, as the body has the key
// "prompt" or "messages".
func (Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	d := defaultsOf(m.ID)
	if m.MaxOutput > 0 {
		d.limit = m.MaxOutput
	}
	p := llm.Params{
		MaxTokens:   root.Get("max_tokens").Int(body.Range{Min: 1, Max: float64(d.limit)}),
		Temperature: chat.Or(root.Get("temperature").Num(body.Range{Max: 1}), d.temperature),
		TopP:        chat.Or(root.Get("top_p").Num(body.Range{Max: 1}), d.topP),
		TopK:        root.Get("top_k").Int(body.Range{Min: 1, Max: maxTopK}),
		Stop:        root.Get("stop").Texts(body.Length{Max: maxStops}),
	}
	if p.TopK == nil {
		p.TopK = d.topK
	}
	if p.MaxTokens == nil && d.tokens > 0 {
		p.MaxTokens = new(min(d.tokens, d.limit))
	}
	if root.Has("messages") || chatOnly(m.ID) && !root.Has("prompt") {
		return parseChat(root, p)
	}
	root.Require("prompt")
	prompt := root.Get("prompt").Text(body.Length{Min: 1})
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	t := &text{req: &llm.Request{}}
	if m.Prompt == template && (chat.HasInst(prompt) || m.StrictParity) {
		t.req.Raw = prompt
	} else {
		chat.Inst(t.req, prompt)
	}
	t.req.Params = p
	return t, nil
}

// request is one chat completion.
type request struct {
	req *llm.Request
}

func parseChat(root *body.Value, p llm.Params) (family.Task, error) {
	root.Require("messages")
	req := &llm.Request{Params: p}
	rd := chat.Reader{Roles: []string{"system", "user", "assistant", "tool"}, Images: true}
	rd.Messages(req, root.Get("messages"))
	req.Tools = chat.Tools(root.Get("tools"))
	req.Choice = chat.Choice(root.Get("tool_choice"), req.Tools, "any", "required")
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if err := rd.Err(); err != nil {
		return nil, err
	}
	return &request{req: req}, nil
}

// writer writes chat completions. Tool calls come in one chunk each.
func writer() *chat.Writer {
	return &chat.Writer{Open: "{", OpenChunk: "{", Piece: "message", Finish: "stop_reason", Quiet: true, Whole: true, Empty: `""`}
}

// Request is the conversation of the body.
func (r *request) Request() *llm.Request { return r.req }

// Response is {"choices": [{"index", "message", "stop_reason"}]}.
func (r *request) Response(resp *llm.Response) ([]byte, error) { return writer().Response(resp), nil }

// Stream makes chunks of the form of a whole reply, each with a part of it.
func (r *request) Stream() (family.Stream, error) { return writer().Stream(), nil }

// text is one text completion.
type text struct {
	req *llm.Request
}

// Request is the conversation of the prompt, or the prompt itself.
func (t *text) Request() *llm.Request { return t.req }

// Response is {"outputs": [{"text", "stop_reason"}]}.
func (t *text) Response(r *llm.Response) ([]byte, error) {
	s := r.Text()
	b := appendText(make([]byte, 0, len(s)+len(s)/8+64), s)
	return append(appendStop(b, r.Reason), "}]}"...), nil
}

func appendText(b []byte, s string) []byte {
	return body.AppendString(append(b, `{"outputs":[{"text":`...), s)
}

func appendStop(b []byte, r llm.StopReason) []byte {
	switch r {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return append(b, `,"stop_reason":"length"`...)
	}
	return append(b, `,"stop_reason":"stop"`...)
}

// Stream makes one chunk per piece of text and a last one with the stop reason.
func (t *text) Stream() (family.Stream, error) {
	return &stream{buf: make([]byte, 0, 256)}, nil
}

type stream struct {
	buf    []byte
	reason llm.StopReason
}

// Chunks makes a chunk for Delta and for Done.
func (s *stream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Delta:
		if ev.Text == "" || ev.Block == llm.Reasoning || ev.Block == llm.ToolCall {
			return nil
		}
		s.buf = append(appendText(s.buf[:0], ev.Text), `,"stop_reason":null}]}`...)
		return emit(s.buf)
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		b := append(appendStop(appendText(s.buf[:0], ""), s.reason), `}],`...)
		s.buf = append(body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken), '}')
		return emit(s.buf)
	}
	return nil
}
