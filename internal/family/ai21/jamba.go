package ai21

import (
	"encoding/hex"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Defaults and limits of a Jamba body.
const (
	jambaTokens      = 4096 // at most, and unless a body says: then the weights' own default counts
	jambaTemperature = 1
	maxTemperature   = 2
	minTopP          = 0.01
	maxReplies       = 16
	maxPenalty       = 2
)

// jamba is one Jamba request.
type jamba struct {
	req     *llm.Request
	replies int
	stream  *bool
	writer  chat.Writer
}

func (f Family) parseJamba(m family.Model, root *body.Value) (family.Task, error) {
	n := limit(m, jambaTokens)
	root.Require("messages")
	req := &llm.Request{Params: llm.Params{
		MaxTokens:        root.Get("max_tokens").Int(body.Range{Min: 1, Max: float64(n)}),
		Temperature:      chat.Or(root.Get("temperature").Num(body.Range{Max: maxTemperature}), jambaTemperature),
		TopP:             chat.Or(root.Get("top_p").Num(body.Range{Min: minTopP, Max: 1}), 1),
		Stop:             chat.Stop(root.Get("stop"), maxStops),
		FrequencyPenalty: root.Get("frequency_penalty").Num(body.Range{Min: -maxPenalty, Max: maxPenalty}),
		PresencePenalty:  root.Get("presence_penalty").Num(body.Range{Min: -maxPenalty, Max: maxPenalty}),
	}}
	rd := chat.Reader{Roles: []string{"system", "user", "assistant", "tool"}}
	rd.Messages(req, root.Get("messages"))
	req.Tools = chat.Tools(root.Get("tools"))
	req.Choice = chat.Choice(root.Get("tool_choice"), req.Tools, "required")
	req.Format = chat.Format(root.Get("response_format"), "text", "json_object")
	if s := documents(root.Get("documents")); s != "" {
		req.System = append(req.System, s)
	}
	j := &jamba{req: req, replies: *chat.Or(root.Get("n").Int(body.Range{Min: 1, Max: maxReplies}), 1), stream: root.Get("stream").Bool()}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if err := rd.Err(); err != nil {
		return nil, err
	}
	var id [16]byte
	if err := f.random(id[:]); err != nil {
		return nil, err
	}
	open := `{"id":"chatcmpl-` + hex.EncodeToString(id[:]) + `",`
	j.writer = chat.Writer{Open: open, OpenChunk: open, Piece: "delta", Finish: "finish_reason", Quiet: true, Usage: true, First: true, Empty: "null"}
	return j, nil
}

// documents renders what the reply may rest on as system text.
func documents(v *body.Value) string {
	if v.Kind() == body.Null {
		return ""
	}
	var b strings.Builder
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("content")
		b.WriteString("\n\nDocument:")
		for _, meta := range item.Get("metadata").Items(body.Length{}) {
			if meta.Object() == nil {
				continue
			}
			meta.Require("key", "value")
			key, value := meta.Get("key").Text(body.Length{Min: 1}), meta.Get("value").Text(body.Length{})
			b.WriteString("\n" + key + ": " + value)
			meta.Close()
		}
		b.WriteString("\n" + item.Get("content").Text(body.Length{Min: 1}))
		item.Close()
	}
	if b.Len() == 0 {
		return ""
	}
	return "Answer from these documents where they tell it." + b.String()
}

// Request is the conversation of the body.
func (j *jamba) Request() *llm.Request { return j.req }

// Replies is "n".
func (j *jamba) Replies() int { return j.replies }

// Response is {"id", "choices": [{...}], "usage": {...}}.
func (j *jamba) Response(r *llm.Response) ([]byte, error) { return j.writer.Response(r), nil }

// Responses has a choice for each reply.
func (j *jamba) Responses(rs []*llm.Response) ([]byte, error) { return j.writer.Response(rs...), nil }

// Stream makes chunks with "delta".
func (j *jamba) Stream() (family.Stream, error) {
	if err := chat.Streams(j.stream, j.replies); err != nil {
		return nil, err
	}
	return j.writer.Stream(), nil
}
