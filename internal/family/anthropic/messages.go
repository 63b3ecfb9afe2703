package anthropic

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// messages is one Messages request.
type messages struct {
	req   *llm.Request
	model string
	id    string
}

func (f Family) parseMessages(m family.Model, name string, root *body.Value) (family.Text, error) {
	limit := body.AtLeast(1)
	if n := m.MaxOutput; n > 0 {
		limit.Max = float64(n)
	} else if n := maxOutput(name); n > 0 {
		limit.Max = float64(n)
	}
	root.Require("anthropic_version", "max_tokens", "messages")
	root.Get("anthropic_version").Enum(Version)
	req := &llm.Request{Params: llm.Params{
		MaxTokens:   root.Get("max_tokens").Int(limit),
		Temperature: orDefault(root.Get("temperature").Num(body.Range{Max: 1}), 1),
		TopP:        orDefault(root.Get("top_p").Num(body.Range{Max: 1}), 0.999),
		TopK:        root.Get("top_k").Int(body.Range{Max: maxTopK}),
		Stop:        root.Get("stop_sequences").Texts(body.Length{Max: maxStops}),
	}}
	rd := reader{}
	req.System = rd.system(root.Get("system"))
	rd.turns(req, root.Get("messages"))
	rd.refuseTools(root)
	root.Get("anthropic_beta").Texts(body.Length{})
	root.Get("metadata").Object()
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if rd.err != nil {
		return nil, rd.err
	}
	id, err := f.newID()
	if err != nil {
		return nil, err
	}
	return &messages{req: req, model: name, id: id}, nil
}

// reader reads the nested parts of a Messages body. Violations of the schema
// gather in the body; err is the first thing that has a message of its own.
type reader struct {
	err error
}

func (rd *reader) fail(format string, args ...any) {
	if rd.err == nil {
		rd.err = apierr.Validation(format, args...)
	}
}

// system reads a text or a list of text blocks.
func (rd *reader) system(v *body.Value) []string {
	if v.Kind() != body.Array {
		if s := v.Text(body.Length{}); strings.TrimSpace(s) != "" {
			return []string{s}
		}
		return nil
	}
	var out []string
	for _, item := range v.Items(body.Length{}) {
		if s, ok := rd.block(item); ok {
			out = append(out, s)
		}
	}
	return out
}

// turns reads the conversation. Turns of one role in a row become one.
func (rd *reader) turns(req *llm.Request, v *body.Value) {
	items := v.Items(body.Length{})
	if v.Kind() == body.Array && len(items) == 0 {
		rd.fail("messages: at least one message is required")
	}
	for i, item := range items {
		if item.Object() == nil {
			continue
		}
		item.Require("role", "content")
		role := llm.Role(item.Get("role").Enum(string(llm.User), string(llm.Assistant)))
		content := rd.content(item.Get("content"), role, i == len(items)-1)
		item.Close()
		if i == 0 && role == llm.Assistant {
			rd.fail(`messages: first message must use the "user" role`)
		}
		if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == role {
			req.Messages[n-1].Content = append(req.Messages[n-1].Content, content...)
			continue
		}
		req.Messages = append(req.Messages, llm.Message{Role: role, Content: content})
	}
}

// content reads a text or a list of blocks of one turn.
func (rd *reader) content(v *body.Value, role llm.Role, last bool) []llm.Block {
	if v == nil {
		return nil
	}
	var out []llm.Block
	if v.Kind() == body.String {
		s := v.Text(body.Length{})
		if strings.TrimSpace(s) == "" {
			rd.fail("%s: text content must contain non-whitespace text", v.Dotted())
		}
		out = []llm.Block{{Kind: llm.Text, Text: s}}
	} else {
		items := v.Items(body.Length{})
		if v.Kind() == body.Array && len(items) == 0 {
			rd.fail("%s: at least one content block is required", v.Dotted())
		}
		for _, item := range items {
			if s, ok := rd.block(item); ok {
				out = append(out, llm.Block{Kind: llm.Text, Text: s})
			}
		}
	}
	if n := len(out); n > 0 && last && role == llm.Assistant && strings.TrimRight(out[n-1].Text, " \t\r\n") != out[n-1].Text {
		rd.fail("messages: final assistant content cannot end with trailing whitespace")
	}
	return out
}

// block reads one content block, which must be text.
func (rd *reader) block(v *body.Value) (string, bool) {
	if v.Object() == nil {
		return "", false
	}
	v.Require("type")
	kind := v.Get("type").Text(body.Length{Min: 1})
	switch kind {
	case "text":
	case "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result",
		"server_tool_use", "web_search_tool_result", "container_upload":
		rd.fail("%s: this model does not support %s content blocks yet. Remove the block and try again.", v.Dotted(), kind)
		v.SkipAll()
		return "", false
	default:
		if kind != "" {
			v.Get("type").Enum("text")
		}
		v.SkipAll()
		return "", false
	}
	v.Require("text")
	text := v.Get("text")
	s := text.Text(body.Length{})
	if text.Kind() == body.String && strings.TrimSpace(s) == "" {
		rd.fail("%s: text content blocks must contain non-whitespace text", v.Dotted())
	}
	v.Skip("citations")
	cacheControl(v.Get("cache_control"))
	v.Close()
	return s, true
}

// cacheControl checks a cache mark, which has no effect: reuse of prompts is
// automatic here.
func cacheControl(v *body.Value) {
	if v.Kind() == body.Null || v.Object() == nil {
		return
	}
	v.Require("type")
	v.Get("type").Enum("ephemeral")
	v.Get("ttl").Enum("5m", "1h")
	v.Close()
}

// refuseTools refuses what asks for tools or thinking; empty lists and
// switched-off settings ask for nothing.
func (rd *reader) refuseTools(root *body.Value) {
	if tools := root.Get("tools"); len(tools.Items(body.Length{})) > 0 {
		rd.fail("tools: this model does not support tool use yet. Remove the tools and try again.")
	}
	if c := root.Get("tool_choice").Object(); c != nil {
		if c.Get("type").Enum("auto", "any", "tool", "none") != "none" {
			rd.fail("tool_choice: this model does not support tool use yet. Remove tool_choice and try again.")
		}
		c.Skip("name", "disable_parallel_tool_use")
		c.Close()
	}
	if t := root.Get("thinking").Object(); t != nil {
		if t.Get("type").Enum("enabled", "disabled", "adaptive") != "disabled" {
			rd.fail("thinking: this model does not support extended thinking. Remove thinking and try again.")
		}
		t.Skip("budget_tokens", "display")
		t.Close()
	}
}

// Request is the conversation.
func (m *messages) Request() *llm.Request { return m.req }

// Response is the message object.
func (m *messages) Response(r *llm.Response) ([]byte, error) {
	n := 320
	for i := range r.Content {
		n += len(r.Content[i].Text)*9/8 + 32
	}
	b := m.appendHead(make([]byte, 0, n))
	first := true
	for i := range r.Content {
		if r.Content[i].Kind != llm.Text {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"type":"text","text":`...)
		b = body.AppendString(b, r.Content[i].Text)
		b = append(b, '}')
	}
	b = append(b, `],`...)
	b = appendStop(b, r.Reason, r.StopSequence)
	b = append(b, `,"usage":{"input_tokens":`...)
	b = body.AppendInt(b, r.Usage.InputTokens)
	b = append(b, `,"output_tokens":`...)
	b = body.AppendInt(b, r.Usage.OutputTokens)
	return append(b, `}}`...), nil
}

// appendHead appends the message object up to the opening of its content.
func (m *messages) appendHead(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = body.AppendString(b, m.id)
	b = append(b, `,"type":"message","role":"assistant","model":`...)
	b = body.AppendString(b, m.model)
	return append(b, `,"content":[`...)
}

func appendStop(b []byte, reason llm.StopReason, stop string) []byte {
	b = append(b, `"stop_reason":"`...)
	switch reason {
	case llm.MaxTokens, llm.StopSequence, llm.ToolUse, llm.ContextWindowExceeded:
		b = append(b, reason...)
	case llm.ContentFiltered:
		b = append(b, "refusal"...)
	default:
		b = append(b, llm.EndTurn...)
	}
	b = append(b, `","stop_sequence":`...)
	if reason != llm.StopSequence {
		return append(b, "null"...)
	}
	return body.AppendStringOrNull(b, stop)
}

// Stream makes Claude's events.
func (m *messages) Stream() (family.Stream, error) {
	return &messageStream{m: m, buf: make([]byte, 0, 512)}, nil
}

type messageStream struct {
	m      *messages
	buf    []byte
	input  int // tokens told in message_start
	reason llm.StopReason
	stop   string
}

// Chunks makes message_start, content_block_start, content_block_delta and
// content_block_stop as the events come, and at Done message_delta and
// message_stop.
func (s *messageStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	if ev.Block > llm.Text {
		return nil
	}
	b := s.buf[:0]
	switch ev.Kind {
	case llm.Start:
		s.input = ev.Usage.InputTokens
		b = append(b, `{"type":"message_start","message":`...)
		b = s.m.appendHead(b)
		b = append(b, `],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":`...)
		b = body.AppendInt(b, s.input)
		b = append(b, `,"output_tokens":1}}}`...)
	case llm.BlockStart:
		b = append(b, `{"type":"content_block_start","index":`...)
		b = body.AppendInt(b, ev.Index)
		b = append(b, `,"content_block":{"type":"text","text":""}}`...)
	case llm.Delta:
		if ev.Text == "" {
			return nil
		}
		b = append(b, `{"type":"content_block_delta","index":`...)
		b = body.AppendInt(b, ev.Index)
		b = append(b, `,"delta":{"type":"text_delta","text":`...)
		b = body.AppendString(b, ev.Text)
		b = append(b, `}}`...)
	case llm.BlockStop:
		b = append(b, `{"type":"content_block_stop","index":`...)
		b = body.AppendInt(b, ev.Index)
		b = append(b, '}')
	case llm.Stop:
		s.reason, s.stop = ev.Reason, ev.StopSequence
		return nil
	case llm.Done:
		return s.done(ev, emit)
	default:
		return nil
	}
	s.buf = b
	return emit(b)
}

// done makes the last two events. The input tokens stand in message_delta only
// when message_start could not tell them.
func (s *messageStream) done(ev llm.Event, emit func([]byte) error) error {
	b := append(s.buf[:0], `{"type":"message_delta","delta":{`...)
	b = appendStop(b, s.reason, s.stop)
	b = append(b, `},"usage":{`...)
	if s.input != ev.Usage.InputTokens {
		b = append(b, `"input_tokens":`...)
		b = body.AppendInt(b, ev.Usage.InputTokens)
		b = append(b, ',')
	}
	b = append(b, `"output_tokens":`...)
	b = body.AppendInt(b, ev.Usage.OutputTokens)
	b = append(b, `}}`...)
	if err := emit(b); err != nil {
		return err
	}
	b = append(b[:0], `{"type":"message_stop",`...)
	b = body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken)
	b = append(b, '}')
	s.buf = b
	return emit(b)
}
