package llamacpp

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
)

// blocks follows which block of a reply is open.
type blocks struct {
	index int           // of the last one that was begun; -1 before the first
	kind  llm.BlockKind // of the open one; 0 when none is
	// lazy leaves it to the reply whether it has a text at all: it may be
	// thoughts and calls alone.
	lazy   bool
	space  string // white space that no block has begun with so far
	called bool   // a call was begun
	call   int    // the server's number of the open call
}

var errCutOff = errors.New("the engine's stream ended before its end mark")

// read passes the reply on until its end. A nil error with g.left set means
// that the reader went away.
func (g *generation) read(s *stream, inst *instance, lease limit.Lease) error {
	var c chunk
	for {
		waited := time.Now()
		inst.ask()
		err := s.next(&c)
		inst.answered()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errCutOff
			}
			return err
		}
		inst.gaps.add(time.Since(waited))
		if c.Error != nil {
			return c.Error
		}
		g.note(&c)
		if !g.kept && (c.Progress == nil || c.Progress.Processed > 0) {
			g.kept = true
			g.runner.slots.Keep(lease)
		}
		if !g.opened {
			g.opened = true
			if !g.emit(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: g.usage.InputTokens, ReusedTokens: g.usage.ReusedTokens}}) ||
				!g.blocks.lazy && !g.open(llm.Text, nil) {
				return nil
			}
		}
		if !g.blocks.lazy { // a template that opens thoughts in any case: they are the text asked for
			c.text, c.thought = c.thought+c.text, ""
		}
		if c.thought != "" && !g.think(c.thought) {
			return nil
		}
		hit := ""
		if text := g.unechoed(c.text); text != "" {
			if hit = g.say(text, c.logprob); g.left {
				return nil
			}
		}
		if hit != "" { // the server would go on: breaking off frees its slot
			if err := s.detail(&c); err != nil {
				return err
			}
			g.usage = c.counted()
			return g.finished(g.stops.Reason(hit), hit)
		}
		for _, d := range c.calls() {
			if !g.callTool(&d) {
				return nil
			}
		}
		if c.done || c.Stop {
			s.rest() // so that the connection can be used again
			return g.finished(g.reason(), "")
		}
	}
}

// note takes in what a chunk says beside its content.
func (g *generation) note(c *chunk) {
	switch {
	case c.Usage != nil:
		g.usage = llm.Usage{InputTokens: c.Usage.Prompt, OutputTokens: c.Usage.Completion, ReusedTokens: c.Usage.Details.Cached}
	case c.Stop:
		g.usage, g.finish = c.counted(), c.StopType
	case c.Progress != nil:
		g.usage.InputTokens, g.usage.ReusedTokens = c.Progress.Total, c.Progress.Cached
	case c.text != "" || c.thought != "" || len(c.calls()) > 0:
		g.usage.OutputTokens++ // exact at the end only: a chunk is nearly always one token
	}
	if len(c.Choices) > 0 && c.Choices[0].FinishReason != nil {
		g.finish = *c.Choices[0].FinishReason
	}
}

// unechoed is text less the prefill that some servers repeat.
func (g *generation) unechoed(text string) string {
	if g.echo == "" {
		return text
	}
	n := 0
	for n < len(text) && n < len(g.echo) && text[n] == g.echo[n] {
		n++
	}
	if n == len(text) {
		g.echo = g.echo[n:]
		return ""
	}
	g.echo = ""
	return text[n:]
}

// open begins a block, ending the one before. One of the same kind goes on, but
// each call is a block of its own.
func (g *generation) open(kind llm.BlockKind, call *llm.Call) bool {
	b := &g.blocks
	if b.kind == kind && kind != llm.ToolCall {
		return !g.left
	}
	if !g.close() {
		return false
	}
	b.index++
	b.kind = kind
	return g.emit(llm.Event{Kind: llm.BlockStart, Index: b.index, Block: kind, Call: call})
}

// close ends the open block, if there is one, after what was held back of it.
func (g *generation) close() bool {
	b := &g.blocks
	if b.kind == 0 {
		return !g.left
	}
	if b.kind == llm.Text && g.stops != nil && !g.delta(g.stops.Rest(), nil) {
		return false
	}
	kind := b.kind
	b.kind = 0
	return g.emit(llm.Event{Kind: llm.BlockStop, Index: b.index, Block: kind})
}

// think passes reasoning on.
func (g *generation) think(text string) bool {
	if g.blocks.kind == 0 && strings.TrimSpace(text) == "" {
		return !g.left
	}
	return g.open(llm.Reasoning, nil) && g.delta(text, nil)
}

// say passes text on and returns the stop text that it completed. White space
// between thoughts and calls is no text.
func (g *generation) say(text string, logprob *float64) (hit string) {
	b := &g.blocks
	if b.kind != llm.Text {
		if text = b.space + text; strings.TrimSpace(text) == "" {
			b.space = text
			return ""
		}
		b.space = ""
		if !g.open(llm.Text, nil) {
			return ""
		}
	}
	if g.stops != nil {
		text, hit = g.stops.Push(text)
	}
	g.delta(text, logprob)
	return hit
}

// callTool passes a piece of a call on.
func (g *generation) callTool(d *callDelta) bool {
	b := &g.blocks
	if b.kind != llm.ToolCall || d.Index != b.call {
		b.space, b.called, b.call = "", true, d.Index
		if !g.open(llm.ToolCall, &llm.Call{ID: toolcall.NewID(), Name: d.Function.Name}) {
			return false
		}
	}
	return g.delta(d.Function.Arguments, nil)
}

// delta passes a piece of the open block on.
func (g *generation) delta(text string, logprob *float64) bool {
	if logprob != nil { // of all tokens since the last piece
		if g.logprob != nil {
			*logprob += *g.logprob
		}
		g.logprob = logprob
	}
	if text == "" {
		return !g.left
	}
	if g.first == 0 {
		g.first = max(time.Since(g.begin), 1)
	}
	logprob, g.logprob = g.logprob, nil
	return g.emit(llm.Event{Kind: llm.Delta, Index: g.blocks.index, Block: g.blocks.kind, Text: text, Logprob: logprob})
}

// finished sends the closing events.
func (g *generation) finished(reason llm.StopReason, hit string) error {
	if g.blocks.index < 0 { // a reply has a block
		if !g.open(llm.Text, nil) || !g.delta(g.blocks.space, nil) {
			return nil
		}
	}
	_ = g.close() &&
		g.emit(llm.Event{Kind: llm.Stop, Reason: reason, StopSequence: hit}) &&
		g.emit(llm.Event{Kind: llm.Done, Usage: g.usage, Latency: time.Since(g.begin), FirstToken: g.first})
	return nil
}

// reason says why the server ended the reply.
func (g *generation) reason() llm.StopReason {
	switch {
	case g.finish != "length" && g.finish != "limit":
		if g.blocks.called {
			return llm.ToolUse
		}
		return llm.EndTurn // the end token, or a stop text of the template
	case g.req.Params.MaxTokens != nil && g.usage.OutputTokens < *g.req.Params.MaxTokens:
		return llm.ContextWindowExceeded
	}
	return llm.MaxTokens
}

func (g *generation) emit(ev llm.Event) bool {
	if !g.left && !g.yield(ev, nil) {
		g.left = true
	}
	return !g.left
}
