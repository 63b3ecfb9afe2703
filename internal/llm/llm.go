// Package llm is the canonical conversation: what every model family is turned
// into and what every engine understands. It does no I/O and knows no AWS type.
package llm

import (
	"iter"
	"time"
)

// Role says who speaks in a turn.
type Role string

// The roles of a conversation. System text is in Request.System.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// BlockKind is the type of one piece of content.
type BlockKind uint8

// The kinds of content.
const (
	Text BlockKind = iota + 1
)

// Block is one piece of content of a message.
type Block struct {
	Kind BlockKind
	Text string // Text
}

// Message is one turn. A last turn by Assistant is a prefill: the model
// continues it.
type Message struct {
	Role    Role
	Content []Block
}

// Params steer sampling. A nil pointer means the default of the weights.
type Params struct {
	MaxTokens   *int     // tokens; at least 1
	Temperature *float64 // 0 means greedy
	TopP        *float64 // 0..1
	TopK        *int     // 0 means off
	Stop        []string // texts that end the reply; never part of it
	Seed        *int64
}

// Request asks for one reply.
type Request struct {
	System   []string
	Messages []Message
	Params   Params
	// BuiltinStop are stop texts that the family adds (Claude's "\n\nHuman:").
	// A hit ends the turn like the model's own end: StopReason EndTurn, with
	// the text in Response.StopSequence.
	BuiltinStop []string
}

// StopReason says why a reply ended.
type StopReason string

// The reasons of Converse; families map them to their own words.
const (
	EndTurn               StopReason = "end_turn"
	MaxTokens             StopReason = "max_tokens"
	StopSequence          StopReason = "stop_sequence"
	ToolUse               StopReason = "tool_use"
	ContentFiltered       StopReason = "content_filtered"
	GuardrailIntervened   StopReason = "guardrail_intervened"
	ContextWindowExceeded StopReason = "model_context_window_exceeded"
)

// Usage counts tokens by the model's own tokenizer.
type Usage struct {
	InputTokens  int // the whole prompt, template included
	OutputTokens int // every token the model made, the end token included
	// ReusedTokens is the part of the prompt that the engine took from its own
	// cache. It is a fact for metering and tests; it is not what Bedrock calls
	// cacheRead, which only exists where a cachePoint stands.
	ReusedTokens int
}

// EventKind is the type of a stream event.
type EventKind uint8

// The events of a reply, in order: Start, (BlockStart, Delta..., BlockStop)...,
// Stop, Done.
const (
	Start      EventKind = iota + 1 // the engine accepted the prompt; Usage.InputTokens may be set
	BlockStart                      // Index
	Delta                           // Index, Text
	BlockStop                       // Index
	Stop                            // Reason, StopSequence
	Done                            // Usage, Latency, FirstToken
)

// Event is one step of a reply as it is made.
type Event struct {
	Kind         EventKind
	Index        int    // content block, from 0
	Text         string // Delta
	Reason       StopReason
	StopSequence string // the stop text that was hit, "" if none
	Usage        Usage
	Latency      time.Duration // whole inference, queueing excluded
	FirstToken   time.Duration // until the first Delta
}

// Response is a whole reply.
type Response struct {
	Content      []Block
	Reason       StopReason
	StopSequence string
	Usage        Usage
	Latency      time.Duration
	FirstToken   time.Duration
}

// Text joins the text blocks of the reply.
func (r *Response) Text() string {
	if len(r.Content) == 1 {
		return r.Content[0].Text
	}
	var n int
	for i := range r.Content {
		n += len(r.Content[i].Text)
	}
	b := make([]byte, 0, n)
	for i := range r.Content {
		b = append(b, r.Content[i].Text...)
	}
	return string(b)
}

// EmbedRequest asks for one vector per text.
type EmbedRequest struct {
	Texts []string
	// Check, when set, is called with the tokens of all texts before a vector is
	// made. Its error ends the call.
	Check func(tokens []int) error `json:"-"`
}

// EmbedResponse holds the vectors in the order of the texts. Vectors have the
// dimension of the weights and length 1.
type EmbedResponse struct {
	Vectors [][]float32
	Tokens  []int // input tokens of each text
	Latency time.Duration
}

// Events is a reply in progress. Ending the range cancels it upstream.
type Events = iter.Seq2[Event, error]

// Fail is a stream that yields err and ends.
func Fail(err error) Events {
	return func(yield func(Event, error) bool) { yield(Event{}, err) }
}

// Collect reads a stream to its end and returns the whole reply. The first
// error ends it; what was read until then is returned beside it.
func Collect(events Events) (*Response, error) {
	r := &Response{}
	var parts [][]byte
	for ev, err := range events {
		if err != nil {
			r.join(parts)
			return r, err
		}
		switch ev.Kind {
		case Delta:
			for len(parts) <= ev.Index {
				parts = append(parts, nil)
			}
			parts[ev.Index] = append(parts[ev.Index], ev.Text...)
		case Stop:
			r.Reason, r.StopSequence = ev.Reason, ev.StopSequence
		case Done:
			r.Usage, r.Latency, r.FirstToken = ev.Usage, ev.Latency, ev.FirstToken
		}
	}
	r.join(parts)
	return r, nil
}

func (r *Response) join(parts [][]byte) {
	for _, p := range parts {
		r.Content = append(r.Content, Block{Kind: Text, Text: string(p)})
	}
}
