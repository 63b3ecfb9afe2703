// Package llama speaks the native body of Meta's Llama models: 2 chat, 3, 3.1,
// 3.2, 3.3 and 4 instruct.
//
// Source: Bedrock user guide, "Meta Llama models".
package llama

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Defaults and limits of a body.
const (
	defaultTokens      = 512
	defaultTemperature = 0.5
	defaultTopP        = 0.9
	maxTokens          = 2048
)

// Family is the codec of Llama. The zero value works.
type Family struct{}

// Name is "llama".
func (Family) Name() string { return "llama" }

// vision reports whether a model reads pictures.
func vision(id string) bool {
	return strings.Contains(id, "-11b-") || strings.Contains(id, "-90b-") || strings.Contains(id, "llama4")
}

// Parse reads a body. Models that read pictures also take "images".
func (Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	limit := m.MaxOutput
	if limit == 0 {
		limit = maxTokens
	}
	root.Require("prompt")
	prompt := root.Get("prompt").Text(body.Length{Min: 1})
	p := llm.Params{
		MaxTokens:   chat.Or(root.Get("max_gen_len").Int(body.Range{Min: 1, Max: float64(limit)}), min(defaultTokens, limit)),
		Temperature: chat.Or(root.Get("temperature").Num(body.Range{Max: 1}), defaultTemperature),
		TopP:        chat.Or(root.Get("top_p").Num(body.Range{Max: 1}), defaultTopP),
	}
	var images []llm.Block
	if vision(m.ID) {
		for _, item := range root.Get("images").Items(body.Length{}) {
			if b := item.Base64(); b != nil {
				images = append(images, llm.Block{Kind: llm.Image, Media: &llm.Media{Format: format(b), Data: b, Place: item.Dotted()}})
			}
		}
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	req := parsePrompt(prompt, m, images)
	req.Params = p
	return &text{req: req}, nil
}

// format is the type of a picture by its first bytes. What it does not know, the
// pipeline refuses as a broken jpeg.
func format(b []byte) string {
	switch {
	case strings.HasPrefix(string(b), "\x89PNG"):
		return "png"
	case strings.HasPrefix(string(b), "GIF8"):
		return "gif"
	case len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "webp"
	}
	return "jpeg"
}

// text is one request.
type text struct {
	req *llm.Request
}

// Request is the conversation of the prompt, or the prompt itself.
func (t *text) Request() *llm.Request { return t.req }

// Response is {"generation", "prompt_token_count", "generation_token_count",
// "stop_reason"}.
func (t *text) Response(r *llm.Response) ([]byte, error) {
	s := r.Text()
	b := appendText(make([]byte, 0, len(s)+len(s)/8+128), s)
	return append(appendEnd(b, r.Usage, r.Reason), '}'), nil
}

func appendText(b []byte, s string) []byte {
	return body.AppendString(append(b, `{"generation":`...), s)
}

func appendEnd(b []byte, u llm.Usage, r llm.StopReason) []byte {
	b = append(b, `,"prompt_token_count":`...)
	b = body.AppendInt(b, u.InputTokens)
	b = append(b, `,"generation_token_count":`...)
	b = body.AppendInt(b, u.OutputTokens)
	switch r {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return append(b, `,"stop_reason":"length"`...)
	}
	return append(b, `,"stop_reason":"stop"`...)
}

// Stream makes one chunk per piece of text and a last one with the counts.
func (t *text) Stream() (family.Stream, error) {
	return &stream{buf: make([]byte, 0, 256)}, nil
}

type stream struct {
	buf    []byte
	reason llm.StopReason
}

// Chunks makes a chunk for Delta and for Done. Counts and reason stand in the
// last one only.
func (s *stream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Delta:
		if ev.Text == "" || ev.Block == llm.Reasoning || ev.Block == llm.ToolCall {
			return nil
		}
		s.buf = append(appendText(s.buf[:0], ev.Text), `,"prompt_token_count":null,"generation_token_count":null,"stop_reason":null}`...)
		return emit(s.buf)
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		b := append(appendEnd(appendText(s.buf[:0], ""), ev.Usage, s.reason), ',')
		s.buf = append(body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken), '}')
		return emit(s.buf)
	}
	return nil
}
