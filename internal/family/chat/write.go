package chat

import (
	"strconv"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Writer writes replies. Its fields say how a provider's differ from others.
type Writer struct {
	Open      string // of a whole reply, up to "choices": `{"id":"1",`
	OpenChunk string // of a chunk, as Open
	Piece     string // key of what a chunk adds: "delta" or "message"
	Finish    string // key of why it ended: "finish_reason" or "stop_reason"
	Thoughts  string // key of reasoning beside the text; "" puts it in front of the text in <reasoning> tags
	Quiet     bool   // reasoning is not told at all
	Logprobs  bool   // choices have the key "logprobs", null when none were asked for
	Usage     bool   // a whole reply has the key "usage"
	UsageLast bool   // a chunk without choices tells the usage in the end
	Plain     bool   // the last chunk has no metrics of Bedrock
	// Whole tells a tool call in one chunk instead of by pieces of its input.
	Whole bool
	// First sends a chunk with the role before all others.
	First bool
	// Bare leaves Bedrock's metrics out of the last chunk.
	Bare bool
	// Empty is the content of a reply of tool calls only: "null" or `""`.
	Empty string
}

// The tags around reasoning in front of the text.
const (
	thinkOpen  = "<reasoning>"
	thinkClose = "</reasoning>"
)

// Response is the body of whole replies, each a choice. The prompt counts once.
func (w *Writer) Response(rs ...*llm.Response) []byte {
	b := append(make([]byte, 0, 512), w.Open...)
	b = append(b, `"choices":[`...)
	u := llm.Usage{}
	for i, r := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.choice(b, i, r)
		u.InputTokens = r.Usage.InputTokens
		u.OutputTokens += r.Usage.OutputTokens
	}
	b = append(b, ']')
	if w.Usage {
		b = append(appendUsage(append(b, ','), u), '}')
		return b
	}
	return append(b, '}')
}

func (w *Writer) choice(b []byte, i int, r *llm.Response) []byte {
	b = append(b, `{"index":`...)
	b = body.AppendInt(b, i)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	text, thoughts := r.Text(), ""
	calls := 0
	for i := range r.Content {
		switch r.Content[i].Kind {
		case llm.Reasoning:
			thoughts += r.Content[i].Text
		case llm.ToolCall:
			calls++
		}
	}
	if w.Quiet {
		thoughts = ""
	}
	if thoughts != "" && w.Thoughts == "" {
		text = thinkOpen + thoughts + thinkClose + text
	}
	if text == "" && calls > 0 {
		b = append(b, w.Empty...)
	} else {
		b = body.AppendString(b, text)
	}
	if thoughts != "" && w.Thoughts != "" {
		b = append(body.AppendString(append(b, ','), w.Thoughts), ':')
		b = body.AppendString(b, thoughts)
	}
	if calls > 0 {
		b = append(b, `,"tool_calls":[`...)
		n := 0
		for i := range r.Content {
			if r.Content[i].Kind != llm.ToolCall {
				continue
			}
			if n > 0 {
				b = append(b, ',')
			}
			c := r.Content[i].Call
			b = appendCall(b, -1, c.ID, c.Name, string(c.Input))
			n++
		}
		b = append(b, ']')
	}
	b = append(b, '}')
	b = w.ended(b, r.Reason)
	if w.Logprobs {
		b = append(b, `,"logprobs":`...)
		if r.Pieces == nil {
			b = append(b, "null"...)
		} else {
			b = appendLogprobs(b, r.Pieces...)
		}
	}
	return append(b, '}')
}

// ended appends why a reply ended; "" means that it goes on.
func (w *Writer) ended(b []byte, r llm.StopReason) []byte {
	b = append(append(append(b, `,"`...), w.Finish...), `":`...)
	if r == "" {
		return append(b, "null"...)
	}
	return append(append(append(b, '"'), w.reason(r)...), '"')
}

// reason is the word for why a reply ended.
func (w *Writer) reason(r llm.StopReason) string {
	switch r {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return "length"
	case llm.ToolUse:
		return "tool_calls"
	case llm.ContentFiltered, llm.GuardrailIntervened:
		if w.Usage {
			return "content_filter"
		}
	}
	return "stop"
}

// appendCall appends a tool call, or with index the beginning of one.
func appendCall(b []byte, index int, id, name, input string) []byte {
	b = append(b, '{')
	if index >= 0 {
		b = append(b, `"index":`...)
		b = append(body.AppendInt(b, index), ',')
	}
	b = append(b, `"id":`...)
	b = body.AppendString(b, id)
	b = append(b, `,"type":"function","function":{"name":`...)
	b = body.AppendString(b, name)
	b = append(b, `,"arguments":`...)
	b = body.AppendString(b, input)
	return append(b, `}}`...)
}

// appendLogprobs appends the tokens of a text with their probabilities. The
// engine tells those of the tokens that it chose, of no others.
func appendLogprobs(b []byte, pieces ...llm.Piece) []byte {
	b = append(b, `{"content":[`...)
	for i, p := range pieces {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"token":`...)
		b = body.AppendString(b, p.Text)
		b = append(b, `,"logprob":`...)
		b = AppendNumber(b, p.Logprob)
		b = append(b, `,"bytes":[`...)
		for j := range len(p.Text) {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(p.Text[j]), 10)
		}
		b = append(b, `],"top_logprobs":[]}`...)
	}
	return append(b, `]}`...)
}

// AppendNumber appends a number as JSON; one that JSON cannot hold becomes the
// nearest that it can.
func AppendNumber(b []byte, f float64) []byte {
	const most = 1e300
	if f != f { // not a number
		f = 0
	}
	return strconv.AppendFloat(b, max(-most, min(most, f)), 'g', -1, 64)
}

func appendUsage(b []byte, u llm.Usage) []byte {
	b = append(b, `"usage":{"prompt_tokens":`...)
	b = body.AppendInt(b, u.InputTokens)
	b = append(b, `,"completion_tokens":`...)
	b = body.AppendInt(b, u.OutputTokens)
	b = append(b, `,"total_tokens":`...)
	b = body.AppendInt(b, u.InputTokens+u.OutputTokens)
	return append(b, '}')
}
