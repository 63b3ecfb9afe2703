package familytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

// reply is the content of "reply.json": what the model answers.
type reply struct {
	Parts      []string       `json:"parts"`  // the pieces of text as they are made
	Blocks     []block        `json:"blocks"` // instead of Parts
	Reason     llm.StopReason `json:"reason"`
	Stop       string         `json:"stop"`
	Input      int            `json:"input"`  // tokens, cached ones included
	Output     int            `json:"output"` // tokens
	CacheRead  int            `json:"cache_read"`
	CacheWrite int            `json:"cache_write"`
	// Told is how many of the calls the native reply tells; 0 means all.
	Told int `json:"told_calls"`
}

// block is one block of a reply.
type block struct {
	Kind      string   `json:"kind"`      // "text", "tool" or "reasoning"
	Parts     []string `json:"parts"`     // of the text, the tool's input or the thoughts
	ID        string   `json:"id"`        // of a tool call
	Name      string   `json:"name"`      // of a tool call
	Signature string   `json:"signature"` // of reasoning
}

// defaultReply has what an encoder can get wrong: quotes, HTML, newlines,
// characters outside the basic plane, an empty piece.
func defaultReply() reply {
	return reply{
		Parts: []string{" Hello", ", \"wor", "", "ld\" <b>&</b>\n", "π 🪨", "\t\u2028."}, Reason: llm.EndTurn, Input: 11, Output: 7,
	}
}

// richReply has blocks of every kind.
func richReply() reply {
	return reply{
		Blocks: []block{
			{Kind: "reasoning", Parts: []string{"Hm, \"<b>\"", "", " π🪨\n"}, Signature: "c2lnbmF0dXJl"},
			{Kind: "text", Parts: []string{" Let me", " see."}},
			{Kind: "tool", ID: "call_1", Name: "look", Parts: []string{`{"a": "x\"`, ``, `y π🪨", "b": [1`, `.50, {}]}`}},
			{Kind: "tool", ID: "call_2", Name: "look_again"},
		},
		Reason: llm.ToolUse, Input: 21, Output: 17,
	}
}

func (r reply) blocks() []block {
	if len(r.Blocks) > 0 {
		return r.Blocks
	}
	return []block{{Kind: "text", Parts: r.Parts}}
}

func (b block) kind() llm.BlockKind {
	switch b.Kind {
	case "text":
		return llm.Text
	case "tool":
		return llm.ToolCall
	case "reasoning":
		return llm.Reasoning
	}
	panic("reply.json: unknown kind of block " + b.Kind)
}

// events are the reply as an engine gives it. The tokens of logprobs are the
// pieces.
func (r reply) events(logprobs bool) llm.Events {
	before := llm.Usage{InputTokens: r.Input, CacheRead: r.CacheRead, CacheWrite: r.CacheWrite}
	after := before
	after.OutputTokens = r.Output
	evs := []llm.Event{{Kind: llm.Start, Usage: before}}
	tokens := 0
	for i, b := range r.blocks() {
		start := llm.Event{Kind: llm.BlockStart, Index: i, Block: b.kind()}
		if b.kind() == llm.ToolCall {
			start.Call = &llm.Call{ID: b.ID, Name: b.Name}
		}
		evs = append(evs, start)
		for _, p := range b.Parts {
			d := llm.Event{Kind: llm.Delta, Index: i, Block: b.kind(), Text: p}
			if tokens++; logprobs && d.Block == llm.Text {
				d.Logprob = new(-0.25 * float64(tokens))
			}
			evs = append(evs, d)
		}
		evs = append(evs, llm.Event{Kind: llm.BlockStop, Index: i, Block: b.kind(), Signature: b.Signature})
	}
	evs = append(evs,
		llm.Event{Kind: llm.Stop, Reason: r.Reason, StopSequence: r.Stop},
		llm.Event{Kind: llm.Done, Usage: after, Latency: 1234 * time.Millisecond, FirstToken: 56 * time.Millisecond})
	return func(yield func(llm.Event, error) bool) {
		for _, ev := range evs {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// whole is the reply in one piece.
func (r reply) whole(logprobs bool) *llm.Response {
	out, err := llm.Collect(r.events(logprobs))
	if err != nil {
		panic(err) // a reply of the suite has no error
	}
	for i := range out.Content {
		if b := &out.Content[i]; b.Kind == llm.ToolCall && len(b.Call.Input) == 0 {
			b.Call.Input = []byte("{}")
		}
	}
	return out
}

// another is the reply number i of several: the first is r itself.
func (r reply) another(i int) reply {
	if i == 0 {
		return r
	}
	r.Parts = append(slices.Clone(r.Parts), fmt.Sprintf(" (%d)", i+1))
	r.Output += i
	return r
}

// pieces counts the pieces of text that are not empty.
func (r reply) pieces() int {
	n := 0
	for _, b := range r.blocks() {
		if b.kind() != llm.Text {
			continue
		}
		for _, p := range b.Parts {
			if p != "" {
				n++
			}
		}
	}
	return n
}

// calls are the tool calls of the reply.
func (r reply) calls() []llm.Call {
	var out []llm.Call
	for _, b := range r.blocks() {
		if b.kind() == llm.ToolCall {
			out = append(out, llm.Call{ID: b.ID, Name: b.Name, Input: []byte(strings.Join(b.Parts, ""))})
		}
	}
	return out
}

// reasoning is the text of the thoughts.
func (r reply) reasoning() string {
	var s strings.Builder
	for _, b := range r.blocks() {
		if b.kind() == llm.Reasoning {
			s.WriteString(strings.Join(b.Parts, ""))
		}
	}
	return s.String()
}
