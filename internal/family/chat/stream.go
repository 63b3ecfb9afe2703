package chat

import (
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Stream writes the chunks of one reply. It implements family.Stream.
type Stream struct {
	w      *Writer
	buf    []byte
	reason llm.StopReason
	calls  int       // begun so far
	call   *llm.Call // the one that goes on
	input  []byte    // of call, as far as it has come
	begun  bool      // a chunk has told the role
}

// Stream starts the chunks of a reply.
func (w *Writer) Stream() *Stream { return &Stream{w: w, buf: make([]byte, 0, 512)} }

// Chunks makes one chunk for every piece of text, of reasoning and of the input
// of a tool call, and a last one that tells why the reply ended.
func (s *Stream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Start:
		if s.w.First {
			return emit(s.piece(appendContent(nil, ""), nil))
		}
	case llm.BlockStart:
		if ev.Block == llm.ToolCall {
			return s.begin(ev.Call, emit)
		}
	case llm.Delta:
		return s.delta(&ev, emit)
	case llm.BlockStop:
		if s.call != nil {
			return s.end(emit)
		}
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		return s.done(&ev, emit)
	}
	return nil
}

func (s *Stream) begin(c *llm.Call, emit func([]byte) error) error {
	s.call, s.input = c, s.input[:0]
	s.calls++
	if s.w.Whole {
		return nil
	}
	b := append([]byte(nil), `"tool_calls":[`...)
	return emit(s.piece(append(appendCall(b, s.calls-1, c.ID, c.Name, ""), ']'), nil))
}

func (s *Stream) delta(ev *llm.Event, emit func([]byte) error) error {
	if ev.Text == "" {
		return nil
	}
	switch ev.Block {
	case llm.ToolCall:
		if s.w.Whole {
			s.input = append(s.input, ev.Text...)
			return nil
		}
		s.input = append(s.input, 'x') // some has come
		return s.arguments(ev.Text, emit)
	case llm.Reasoning:
		switch {
		case s.w.Quiet:
			return nil
		case s.w.Thoughts == "":
			return emit(s.piece(appendContent(nil, thinkOpen+ev.Text+thinkClose), nil))
		}
		b := append(append([]byte{'"'}, s.w.Thoughts...), `":`...)
		return emit(s.piece(body.AppendString(b, ev.Text), nil))
	}
	var p *llm.Piece
	if ev.Logprob != nil {
		p = &llm.Piece{Text: ev.Text, Logprob: *ev.Logprob}
	}
	return emit(s.piece(appendContent(nil, ev.Text), p))
}

func appendContent(b []byte, text string) []byte {
	return body.AppendString(append(b, `"content":`...), text)
}

func (s *Stream) arguments(text string, emit func([]byte) error) error {
	b := append([]byte(nil), `"tool_calls":[{"index":`...)
	b = body.AppendInt(b, s.calls-1)
	b = append(b, `,"function":{"arguments":`...)
	return emit(s.piece(append(body.AppendString(b, text), `}}]`...), nil))
}

// end closes a call. One without input has an empty object.
func (s *Stream) end(emit func([]byte) error) error {
	c := s.call
	s.call = nil
	if !s.w.Whole {
		if len(s.input) > 0 {
			return nil
		}
		return s.arguments("{}", emit)
	}
	if len(s.input) == 0 {
		s.input = append(s.input, "{}"...)
	}
	b := append(append([]byte(`"content":`), s.w.Empty...), `,"tool_calls":[`...)
	return emit(s.piece(append(appendCall(b, -1, c.ID, c.Name, string(s.input)), ']'), nil))
}

// piece is a chunk that adds members to the message.
func (s *Stream) piece(members []byte, p *llm.Piece) []byte {
	b := s.open()
	if !s.begun || s.w.Piece == "message" {
		b = append(b, `"role":"assistant",`...)
		s.begun = true
	}
	b = append(append(b, members...), '}')
	b = s.w.ended(b, "")
	if s.w.Logprobs {
		b = append(b, `,"logprobs":`...)
		if p == nil {
			b = append(b, "null"...)
		} else {
			b = appendLogprobs(b, *p)
		}
	}
	s.buf = append(b, `}]}`...)
	return s.buf
}

// open begins a chunk up to what it adds.
func (s *Stream) open() []byte {
	b := append(s.buf[:0], s.w.OpenChunk...)
	b = append(b, `"choices":[{"index":0,"`...)
	return append(append(b, s.w.Piece...), `":{`...)
}

// done makes the last chunk, or the last two: why the reply ended, and its
// usage.
func (s *Stream) done(ev *llm.Event, emit func([]byte) error) error {
	b := s.open()
	if s.w.Piece == "message" {
		b = append(b, `"role":"assistant","content":""`...)
	}
	b = s.w.ended(append(b, '}'), or(s.reason, llm.EndTurn))
	if s.w.Logprobs {
		b = append(b, `,"logprobs":null`...)
	}
	b = append(b, `}]`...)
	if s.w.UsageLast {
		s.buf = append(b, '}')
		if err := emit(s.buf); err != nil {
			return err
		}
		b = append(s.buf[:0], s.w.OpenChunk...)
		b = appendUsage(append(b, `"choices":[],`...), ev.Usage)
	}
	if !s.w.Plain {
		b = body.AppendMetrics(append(b, ','), ev.Usage, ev.Latency, ev.FirstToken)
	}
	s.buf = append(b, '}')
	return emit(s.buf)
}

func or(r, def llm.StopReason) llm.StopReason {
	if r == "" {
		return def
	}
	return r
}
