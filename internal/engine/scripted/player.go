package scripted

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// player plays one reply to one reader.
type player struct {
	reply  *Reply
	req    *llm.Request
	dead   <-chan struct{}
	yield  func(llm.Event, error) bool
	begin  time.Time
	served *llm.Served // nil: nothing is told

	usage llm.Usage
	first time.Duration
	sent  bool // a delta went out
	gone  bool // the reader left
	block int  // the open one; -1 when none is
	index int  // blocks that were begun
	stops *engine.Stopper
}

// play returns the error that ends the reply; nil when it ended well or the
// reader left.
func (p *player) play(ctx context.Context) error {
	r := p.reply
	if r.Err != nil && r.After == 0 {
		return r.Err
	}
	if err := p.alive(ctx); err != nil {
		return err
	}
	if !p.emit(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: p.usage.InputTokens, ReusedTokens: p.usage.ReusedTokens}, Served: p.served}) {
		return nil
	}
	if r.Blocks[0].Kind == llm.Text && !p.open(0) { // a text begins with the reply, as engines do it
		return nil
	}
	p.stops = engine.NewStopper(p.req)
	for i := 0; len(r.steps) > 0 && (r.Endless || i < len(r.steps)); i++ {
		if r.Err != nil && i == r.After {
			return r.Err
		}
		if limit := p.req.Params.MaxTokens; limit != nil && i >= *limit {
			return p.end(llm.MaxTokens, "")
		}
		if r.Pace != nil {
			if err := r.Pace(ctx, i); err != nil {
				return err
			}
		}
		if err := p.alive(ctx); err != nil {
			return err
		}
		p.usage.OutputTokens++
		st := &r.steps[i%len(r.steps)]
		text := st.text
		if !p.open(st.block) {
			return nil
		}
		if p.stops != nil && r.Blocks[st.block].Kind == llm.Text {
			var hit string
			if text, hit = p.stops.Push(text); hit != "" {
				if !p.delta(text) {
					return nil
				}
				return p.end(p.stops.Reason(hit), hit)
			}
		}
		if !p.delta(text) {
			return nil
		}
	}
	if r.Block {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.dead:
			return p.alive(ctx)
		}
	}
	if r.Err != nil {
		return r.Err
	}
	reason := r.Reason
	if reason == "" {
		reason = llm.EndTurn
		if n := len(r.Blocks); r.Blocks[n-1].Kind == llm.ToolCall {
			reason = llm.ToolUse
		}
		if limit := p.req.Params.MaxTokens; limit == nil || p.usage.OutputTokens < *limit {
			p.usage.OutputTokens++ // the end token
		} else {
			reason = llm.MaxTokens
		}
	}
	return p.end(reason, "")
}

// open begins a block of the reply, ending the one before.
func (p *player) open(block int) bool {
	if p.block == block {
		return !p.gone
	}
	if !p.close() {
		return false
	}
	b := &p.reply.Blocks[block]
	var call *llm.Call
	if b.Kind == llm.ToolCall {
		call = &llm.Call{ID: b.ID, Name: b.Name}
	}
	p.block, p.index = block, p.index+1
	return p.emit(llm.Event{Kind: llm.BlockStart, Index: p.index - 1, Block: b.Kind, Call: call})
}

// close ends the open block after what was held back of it.
func (p *player) close() bool {
	if p.block < 0 {
		return !p.gone
	}
	b := &p.reply.Blocks[p.block]
	if b.Kind == llm.Text && p.stops != nil && !p.delta(p.stops.Rest()) {
		return false
	}
	p.block = -1
	return p.emit(llm.Event{Kind: llm.BlockStop, Index: p.index - 1, Block: b.Kind, Signature: b.Signature})
}

// end sends the closing events.
func (p *player) end(reason llm.StopReason, stop string) error {
	if p.index == 0 && !p.open(0) {
		return nil
	}
	_ = p.close() &&
		p.emit(llm.Event{Kind: llm.Stop, Reason: reason, StopSequence: stop}) &&
		p.emit(llm.Event{Kind: llm.Done, Usage: p.usage, Latency: time.Since(p.begin), FirstToken: p.first})
	return nil
}

func (p *player) delta(text string) bool {
	if text == "" {
		return !p.gone
	}
	if !p.sent {
		p.sent, p.first = true, time.Since(p.begin)
	}
	ev := llm.Event{Kind: llm.Delta, Index: p.index - 1, Block: p.reply.Blocks[p.block].Kind, Text: text}
	if p.req.Logprobs && ev.Block == llm.Text {
		ev.Logprob = new(-1.0)
	}
	return p.emit(ev)
}

func (p *player) emit(ev llm.Event) bool {
	if !p.gone && !p.yield(ev, nil) {
		p.gone = true
	}
	return !p.gone
}

// alive returns why the reply cannot go on, nil if it can.
func (p *player) alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-p.dead:
		if p.sent {
			return apierr.ModelStreamError("The model server ended in the middle of the reply.")
		}
		return apierr.ModelError("The model server ended before it replied.")
	default:
		return nil
	}
}
