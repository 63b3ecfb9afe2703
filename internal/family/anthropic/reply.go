package anthropic

import (
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// shows reports whether a block is part of the reply: thoughts only when they
// were asked for, and one call when parallel calls are switched off. calls is
// the number of calls before it.
func (m *messages) shows(kind llm.BlockKind, calls int) bool {
	switch kind {
	case llm.Reasoning:
		return m.thoughts
	case llm.ToolCall:
		return !m.single || calls == 0
	}
	return true
}

// Response is the message object.
func (m *messages) Response(r *llm.Response) ([]byte, error) {
	n := 320
	for i := range r.Content {
		n += len(r.Content[i].Text)*9/8 + 64
	}
	b := m.appendHead(make([]byte, 0, n))
	calls, shown := 0, 0
	for i := range r.Content {
		c := &r.Content[i]
		if !m.shows(c.Kind, calls) {
			continue
		}
		if c.Kind == llm.ToolCall {
			calls++
		}
		if shown++; shown > 1 {
			b = append(b, ',')
		}
		b = appendBlock(b, c)
	}
	b = append(b, `],`...)
	b = appendStop(b, r.Reason, r.StopSequence)
	b = append(b, `,"usage":{`...)
	b = m.appendInput(b, r.Usage)
	b = append(b, `,"output_tokens":`...)
	b = body.AppendInt(b, r.Usage.OutputTokens)
	return append(b, `}}`...), nil
}

func appendBlock(b []byte, c *llm.Block) []byte {
	switch {
	case c.Kind == llm.ToolCall:
		b = appendCall(b, c.Call)
		b = append(b, `,"input":`...)
		b = body.AppendObject(b, c.Call.Input)
	case c.Kind == llm.Reasoning && len(c.Redacted) > 0:
		b = append(b, `{"type":"redacted_thinking","data":`...)
		b = body.AppendString(b, string(c.Redacted))
	case c.Kind == llm.Reasoning:
		b = append(b, `{"type":"thinking","thinking":`...)
		b = body.AppendString(b, c.Text)
		b = append(b, `,"signature":`...)
		b = body.AppendString(b, c.Signature)
	default:
		b = append(b, `{"type":"text","text":`...)
		b = body.AppendString(b, c.Text)
	}
	return append(b, '}')
}

func appendCall(b []byte, c *llm.Call) []byte {
	b = append(b, `{"type":"tool_use","id":`...)
	b = body.AppendString(b, c.ID)
	b = append(b, `,"name":`...)
	return body.AppendString(b, c.Name)
}

// appendHead appends the message object up to the opening of its content.
func (m *messages) appendHead(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = body.AppendString(b, m.id)
	b = append(b, `,"type":"message","role":"assistant","model":`...)
	b = body.AppendString(b, m.model)
	return append(b, `,"content":[`...)
}

// appendInput appends the tokens of the prompt; those of the cache only where
// the body has a cache mark.
func (m *messages) appendInput(b []byte, u llm.Usage) []byte {
	b = append(b, `"input_tokens":`...)
	b = body.AppendInt(b, u.Uncached())
	if m.req.Cache == nil {
		return b
	}
	b = append(b, `,"cache_creation_input_tokens":`...)
	b = body.AppendInt(b, u.CacheWrite)
	b = append(b, `,"cache_read_input_tokens":`...)
	b = body.AppendInt(b, u.CacheRead)
	short, long := u.CacheWrite, 0
	if m.ttl == "1h" {
		short, long = long, short
	}
	b = append(b, `,"cache_creation":{"ephemeral_5m_input_tokens":`...)
	b = body.AppendInt(b, short)
	b = append(b, `,"ephemeral_1h_input_tokens":`...)
	b = body.AppendInt(b, long)
	return append(b, '}')
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
	told   llm.Usage // in message_start
	reason llm.StopReason
	stop   string

	kind  llm.BlockKind // of the open block
	hide  bool          // the open block is no part of the reply
	index int           // of the open block among those that are
	next  int
	calls int
}

// Chunks makes message_start, content_block_start, content_block_delta and
// content_block_stop as the events come, and at Done message_delta and
// message_stop.
func (s *messageStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	b := s.buf[:0]
	switch ev.Kind {
	case llm.Start:
		s.told = ev.Usage
		b = append(b, `{"type":"message_start","message":`...)
		b = s.m.appendHead(b)
		b = append(b, `],"stop_reason":null,"stop_sequence":null,"usage":{`...)
		b = s.m.appendInput(b, ev.Usage)
		b = append(b, `,"output_tokens":1}}}`...)
	case llm.BlockStart:
		b = s.open(b, &ev)
	case llm.Delta:
		b = s.delta(b, ev.Text)
	case llm.BlockStop:
		return s.close(ev.Signature, emit)
	case llm.Stop:
		s.reason, s.stop = ev.Reason, ev.StopSequence
	case llm.Done:
		return s.done(ev, emit)
	}
	if len(b) == 0 {
		return nil
	}
	s.buf = b
	return emit(b)
}

// open makes content_block_start. Blocks that are no part of the reply leave no
// gap in the numbers of the others.
func (s *messageStream) open(b []byte, ev *llm.Event) []byte {
	s.kind = ev.Block
	if s.hide = !s.m.shows(ev.Block, s.calls); s.hide {
		return b
	}
	s.index = s.next
	s.next++
	b = append(b, `{"type":"content_block_start","index":`...)
	b = body.AppendInt(b, s.index)
	b = append(b, `,"content_block":`...)
	switch ev.Block {
	case llm.ToolCall:
		s.calls++
		b = appendCall(b, ev.Call)
		b = append(b, `,"input":{}`...)
	case llm.Reasoning:
		b = append(b, `{"type":"thinking","thinking":"","signature":""`...)
	default:
		b = append(b, `{"type":"text","text":""`...)
	}
	return append(b, `}}`...)
}

func (s *messageStream) delta(b []byte, text string) []byte {
	if text == "" || s.hide {
		return b
	}
	switch s.kind {
	case llm.ToolCall:
		return s.appendDelta(b, `{"type":"input_json_delta","partial_json":`, text)
	case llm.Reasoning:
		return s.appendDelta(b, `{"type":"thinking_delta","thinking":`, text)
	}
	return s.appendDelta(b, `{"type":"text_delta","text":`, text)
}

func (s *messageStream) appendDelta(b []byte, head, text string) []byte {
	b = append(b, `{"type":"content_block_delta","index":`...)
	b = body.AppendInt(b, s.index)
	b = append(b, `,"delta":`...)
	b = append(b, head...)
	b = body.AppendString(b, text)
	return append(b, `}}`...)
}

// close makes content_block_stop, behind the signature of thoughts.
func (s *messageStream) close(signature string, emit func([]byte) error) error {
	if s.hide {
		return nil
	}
	if s.kind == llm.Reasoning && signature != "" {
		s.buf = s.appendDelta(s.buf[:0], `{"type":"signature_delta","signature":`, signature)
		if err := emit(s.buf); err != nil {
			return err
		}
	}
	b := append(s.buf[:0], `{"type":"content_block_stop","index":`...)
	b = body.AppendInt(b, s.index)
	s.buf = append(b, '}')
	return emit(s.buf)
}

// done makes the last two events. The input tokens stand in message_delta only
// when message_start could not tell them.
func (s *messageStream) done(ev llm.Event, emit func([]byte) error) error {
	b := append(s.buf[:0], `{"type":"message_delta","delta":{`...)
	b = appendStop(b, s.reason, s.stop)
	b = append(b, `},"usage":{`...)
	if u := ev.Usage; s.told.InputTokens != u.InputTokens || s.told.CacheRead != u.CacheRead || s.told.CacheWrite != u.CacheWrite {
		b = s.m.appendInput(b, u)
		b = append(b, ',')
	}
	b = append(b, `"output_tokens":`...)
	b = body.AppendInt(b, ev.Usage.OutputTokens)
	b = append(b, `}}`...)
	if err := emit(b); err != nil {
		return err
	}
	b = append(b[:0], `{"type":"message_stop"`...)
	if !s.m.direct {
		b = append(b, ',')
		b = body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken)
	}
	s.buf = append(b, '}')
	return emit(s.buf)
}
