// Package openai speaks OpenAI's Chat Completions, the native body of gpt-oss,
// DeepSeek-V3 and Qwen3 on Bedrock and of POST /openai/v1/chat/completions, and
// the text completions of DeepSeek-R1.
//
// Source: Bedrock user guide, "OpenAI models", "DeepSeek models" and "Qwen
// models".
package openai

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Family is the codec of Chat Completions. The zero value works.
type Family struct {
	Rand io.Reader        // makes the ids of replies; nil means crypto/rand
	Now  func() time.Time // dates replies; nil means time.Now
}

// Name is "openai".
func (Family) Name() string { return "openai" }

// Parse reads a Chat Completions body, or one with a "prompt". A direct body may
// name its model as it likes, and is always a Chat Completions body.
func (f Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	if !m.Direct && !root.Has("messages") && (root.Has("prompt") || textOnly(m.ID)) {
		return parseCompletion(m, root)
	}
	return f.parseChat(m, root)
}

// textOnly reports whether a model's native body is a prompt.
func textOnly(id string) bool { return strings.HasPrefix(id, "deepseek.r1") }

// tagged reports whether a model tells its reasoning in tags in front of the
// text instead of under a key of its own.
func tagged(id string) bool { return strings.HasPrefix(id, "openai.gpt-oss") }

// Limits of a Chat Completions body.
const (
	maxTemperature = 2
	maxReplies     = 16
	maxStops       = 16
	maxPenalty     = 2
	maxTopK        = 500
)

// request is one Chat Completions request.
type request struct {
	req     *llm.Request
	replies int
	stream  *bool
	writer  chat.Writer
}

func (f Family) parseChat(m family.Model, root *body.Value) (family.Task, error) {
	limit := body.AtLeast(1)
	if m.MaxOutput > 0 {
		limit.Max = float64(m.MaxOutput)
	}
	root.Require("messages")
	model := root.Get("model")
	name := model.Text(body.Length{Min: 1})
	req := &llm.Request{Params: llm.Params{
		MaxTokens:        maxTokens(root, limit),
		Temperature:      chat.Or(given(root, "temperature").Num(body.Range{Max: maxTemperature}), 1),
		TopP:             chat.Or(given(root, "top_p").Num(body.Range{Max: 1}), 1),
		TopK:             given(root, "top_k").Int(body.Range{Max: maxTopK}),
		Stop:             chat.Stop(root.Get("stop"), maxStops),
		Seed:             given(root, "seed").Long(body.Range{Min: -1 << 53, Max: 1 << 53}),
		FrequencyPenalty: given(root, "frequency_penalty").Num(body.Range{Min: -maxPenalty, Max: maxPenalty}),
		PresencePenalty:  given(root, "presence_penalty").Num(body.Range{Min: -maxPenalty, Max: maxPenalty}),
	}}
	rd := chat.Reader{Roles: []string{"system", "developer", "user", "assistant", "tool"}, Images: true, Loose: true}
	rd.Messages(req, root.Get("messages"))
	req.Tools = chat.Tools(root.Get("tools"))
	req.Choice = chat.Choice(root.Get("tool_choice"), req.Tools, "required")
	req.Format = chat.Format(given(root, "response_format"), "text", "json_object", "json_schema")
	if e := given(root, "reasoning_effort").Enum("low", "medium", "high"); e != "" {
		req.Thinking = &llm.Thinking{Effort: e}
	}
	r := &request{req: req, replies: *chat.Or(given(root, "n").Int(body.Range{Min: 1, Max: maxReplies}), 1), stream: given(root, "stream").Bool()}
	r.options(m, root)
	f.accept(root)
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if err := rd.Err(); err != nil {
		return nil, err
	}
	if !m.Direct && !names(name, m.ID) {
		return nil, apierr.Validation("The provided model identifier %q in the request body does not match the model ID %q.", name, m.ID)
	}
	id, err := f.newID()
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = m.ID
	}
	open := body.AppendString([]byte(`{"id":"chatcmpl-`+id+`","object":"chat.completion","created":`+f.date()+`,"model":`), name)
	chunk := body.AppendString([]byte(`{"id":"chatcmpl-`+id+`","object":"chat.completion.chunk","created":`+f.date()+`,"model":`), name)
	r.writer.Open, r.writer.OpenChunk = string(append(open, ',')), string(append(chunk, ','))
	return r, nil
}

// given is the value under a key, absent when it is null: OpenAI's clients send
// null for what they leave out.
func given(v *body.Value, key string) *body.Value {
	if w := v.Get(key); w.Kind() != body.Null {
		return w
	}
	return nil
}

// maxTokens reads the output limit under its new or its old name.
func maxTokens(root *body.Value, limit body.Range) *int {
	old := given(root, "max_tokens").Int(limit)
	if n := given(root, "max_completion_tokens").Int(limit); n != nil {
		return n
	}
	return old
}

// options reads what shapes the reply.
func (r *request) options(m family.Model, root *body.Value) {
	r.writer = chat.Writer{Piece: "delta", Finish: "finish_reason", Thoughts: "reasoning_content", Logprobs: true, Usage: true, First: true, Empty: "null", Bare: m.Direct}
	if tagged(m.ID) {
		r.writer.Thoughts = ""
	}
	r.writer.Plain = m.Direct
	if o := given(root, "stream_options").Object(); o != nil {
		b := o.Get("include_usage").Bool()
		r.writer.UsageLast = b != nil && *b
		o.Get("include_obfuscation").Bool()
		o.Close()
	}
	if b := given(root, "logprobs").Bool(); b != nil {
		r.req.Logprobs = *b
	}
	// The engine tells the tokens that it chose, and of no others.
	given(root, "top_logprobs").Int(body.Range{})
}

// accept reads keys that have no effect here.
func (f Family) accept(root *body.Value) {
	given(root, "user").Text(body.Length{})
	given(root, "store").Bool()
	given(root, "parallel_tool_calls").Bool()
	given(root, "service_tier").Text(body.Length{})
	given(root, "safety_identifier").Text(body.Length{})
	given(root, "prompt_cache_key").Text(body.Length{})
	if o := given(root, "metadata").Object(); o != nil {
		o.SkipAll()
	}
	if o := given(root, "logit_bias").Object(); o != nil {
		o.Close() // tokens of other weights have other numbers
	}
}

// names reports whether the model of a body is the model that serves it. ARNs
// and the ids of application profiles, which only the service can resolve, pass.
func names(name, id string) bool {
	return name == "" || name == id || strings.HasSuffix(name, "."+id) || !strings.Contains(name, ".") || strings.HasPrefix(name, "arn:") ||
		strings.HasPrefix(name, id+":")
}

func (f Family) date() string {
	if f.Now == nil {
		f.Now = time.Now
	}
	return strconv.FormatInt(f.Now().Unix(), 10)
}

const idLength = 24

// newID makes the id of a reply.
func (f Family) newID() (string, error) { return body.NewID(f.Rand, idLength) }

// Request is the conversation of the body.
func (r *request) Request() *llm.Request { return r.req }

// Replies is "n".
func (r *request) Replies() int { return r.replies }

// Response is an object "chat.completion" with one choice.
func (r *request) Response(resp *llm.Response) ([]byte, error) { return r.writer.Response(resp), nil }

// Responses is an object "chat.completion" with a choice for each reply.
func (r *request) Responses(rs []*llm.Response) ([]byte, error) { return r.writer.Response(rs...), nil }

// Stream makes objects "chat.completion.chunk". The usage stands in a chunk of
// its own at the end when stream_options.include_usage asks for it.
func (r *request) Stream() (family.Stream, error) {
	if err := chat.Streams(r.stream, r.replies); err != nil {
		return nil, err
	}
	return r.writer.Stream(), nil
}
