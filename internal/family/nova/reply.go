package nova

import (
	"encoding/base64"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// text is one request for a reply.
type text struct {
	req      *llm.Request
	thoughts bool // reasoning is part of the reply
}

// Request is the conversation.
func (t *text) Request() *llm.Request { return t.req }

// Response is {"output", "stopReason", "usage"}.
func (t *text) Response(r *llm.Response) ([]byte, error) {
	n := 256
	for i := range r.Content {
		n += len(r.Content[i].Text)*9/8 + 64
	}
	b := append(make([]byte, 0, n), `{"output":{"message":{"role":"assistant","content":[`...)
	shown := 0
	for i := range r.Content {
		c := &r.Content[i]
		if c.Kind == llm.Reasoning && !t.thoughts {
			continue
		}
		if shown++; shown > 1 {
			b = append(b, ',')
		}
		b = appendBlock(b, c)
	}
	b = append(b, `]}},"stopReason":"`...)
	b = append(b, reason(r.Reason)...)
	b = append(b, `",`...)
	return append(appendUsage(b, r.Usage), '}'), nil
}

func appendBlock(b []byte, c *llm.Block) []byte {
	switch {
	case c.Kind == llm.ToolCall:
		b = append(b, `{"toolUse":{"name":`...)
		b = body.AppendString(b, c.Call.Name)
		b = append(b, `,"toolUseId":`...)
		b = body.AppendString(b, c.Call.ID)
		b = append(b, `,"input":`...)
		b = body.AppendObject(b, c.Call.Input)
		return append(b, `}}`...)
	case c.Kind == llm.Reasoning && len(c.Redacted) > 0:
		b = append(b, `{"reasoningContent":{"redactedContent":"`...)
		b = base64.StdEncoding.AppendEncode(b, c.Redacted)
		return append(b, `"}}`...)
	case c.Kind == llm.Reasoning:
		b = append(b, `{"reasoningContent":{"reasoningText":{"text":`...)
		b = body.AppendString(b, c.Text)
		if c.Signature != "" {
			b = append(b, `,"signature":`...)
			b = body.AppendString(b, c.Signature)
		}
		return append(b, `}}}`...)
	}
	b = append(b, `{"text":`...)
	b = body.AppendString(b, c.Text)
	return append(b, '}')
}

// reason is Nova's word for why a reply ended.
func reason(r llm.StopReason) llm.StopReason {
	switch r {
	case llm.MaxTokens, llm.StopSequence, llm.ToolUse, llm.ContentFiltered:
		return r
	case llm.ContextWindowExceeded:
		return llm.MaxTokens
	}
	return llm.EndTurn
}

// appendUsage appends the member "usage". The tokens of the cache stand there
// always.
func appendUsage(b []byte, u llm.Usage) []byte {
	b = append(b, `"usage":{"inputTokens":`...)
	b = body.AppendInt(b, u.Uncached())
	b = append(b, `,"outputTokens":`...)
	b = body.AppendInt(b, u.OutputTokens)
	b = append(b, `,"totalTokens":`...)
	b = body.AppendInt(b, u.InputTokens+u.OutputTokens)
	b = append(b, `,"cacheReadInputTokenCount":`...)
	b = body.AppendInt(b, u.CacheRead)
	b = append(b, `,"cacheWriteInputTokenCount":`...)
	b = body.AppendInt(b, u.CacheWrite)
	return append(b, '}')
}

// Stream makes Nova's events.
func (t *text) Stream() (family.Stream, error) {
	return &stream{thoughts: t.thoughts, buf: make([]byte, 0, 256)}, nil
}

type stream struct {
	thoughts bool
	buf      []byte
	kind     llm.BlockKind // of the open block
	hide     bool          // the open block is no part of the reply
	index    int           // of the open block among those that are
	next     int
}

// Chunks makes one wrapped event for each of the reply's: contentBlockStart for
// tools only, and at Done metadata with the metrics.
func (s *stream) Chunks(ev llm.Event, emit func([]byte) error) error {
	b := s.buf[:0]
	switch ev.Kind {
	case llm.Start:
		b = append(b, `{"messageStart":{"role":"assistant"}}`...)
	case llm.BlockStart:
		b = s.open(b, &ev)
	case llm.Delta:
		if ev.Text != "" && !s.hide {
			b = s.delta(b, ev.Text)
		}
	case llm.BlockStop:
		return s.close(ev.Signature, emit)
	case llm.Stop:
		b = append(b, `{"messageStop":{"stopReason":"`...)
		b = append(b, reason(ev.Reason)...)
		b = append(b, `"}}`...)
	case llm.Done:
		b = append(b, `{"metadata":{`...)
		b = appendUsage(b, ev.Usage)
		b = append(b, `,"metrics":{},"trace":{}},`...)
		b = body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken)
		b = append(b, '}')
	}
	if len(b) == 0 {
		return nil
	}
	s.buf = b
	return emit(b)
}

// open starts a block. Thoughts that nobody asked for leave no gap in the
// numbers of the others.
func (s *stream) open(b []byte, ev *llm.Event) []byte {
	s.kind = ev.Block
	if s.hide = ev.Block == llm.Reasoning && !s.thoughts; s.hide {
		return b
	}
	s.index = s.next
	s.next++
	if ev.Block != llm.ToolCall {
		return b
	}
	b = append(b, `{"contentBlockStart":{"start":{"toolUse":{"toolUseId":`...)
	b = body.AppendString(b, ev.Call.ID)
	b = append(b, `,"name":`...)
	b = body.AppendString(b, ev.Call.Name)
	b = append(b, `}},"contentBlockIndex":`...)
	b = body.AppendInt(b, s.index)
	return append(b, `}}`...)
}

func (s *stream) delta(b []byte, text string) []byte {
	switch s.kind {
	case llm.ToolCall:
		return s.appendDelta(b, `{"toolUse":{"input":`, text, `}}`)
	case llm.Reasoning:
		return s.appendDelta(b, `{"reasoningContent":{"text":`, text, `}}`)
	}
	return s.appendDelta(b, `{"text":`, text, `}`)
}

func (s *stream) appendDelta(b []byte, head, text, tail string) []byte {
	b = append(b, `{"contentBlockDelta":{"delta":`...)
	b = append(b, head...)
	b = body.AppendString(b, text)
	b = append(b, tail...)
	b = append(b, `,"contentBlockIndex":`...)
	b = body.AppendInt(b, s.index)
	return append(b, `}}`...)
}

// close ends a block, behind the signature of thoughts.
func (s *stream) close(signature string, emit func([]byte) error) error {
	if s.hide {
		return nil
	}
	if s.kind == llm.Reasoning && signature != "" {
		s.buf = s.appendDelta(s.buf[:0], `{"reasoningContent":{"signature":`, signature, `}}`)
		if err := emit(s.buf); err != nil {
			return err
		}
	}
	b := append(s.buf[:0], `{"contentBlockStop":{"contentBlockIndex":`...)
	b = body.AppendInt(b, s.index)
	s.buf = append(b, `}}`...)
	return emit(s.buf)
}
