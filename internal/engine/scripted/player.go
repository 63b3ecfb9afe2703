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
	reply *Reply
	req   *llm.Request
	dead  <-chan struct{}
	yield func(llm.Event, error) bool
	begin time.Time

	usage llm.Usage
	first time.Duration
	sent  bool // a delta went out
	gone  bool // the reader left
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
	if !p.emit(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: p.usage.InputTokens}}) ||
		!p.emit(llm.Event{Kind: llm.BlockStart}) {
		return nil
	}
	p.stops = engine.NewStopper(p.req)
	for i := 0; len(r.Deltas) > 0 && (r.Endless || i < len(r.Deltas)); i++ {
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
		text := r.Deltas[i%len(r.Deltas)]
		if p.stops != nil {
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
		if limit := p.req.Params.MaxTokens; limit == nil || p.usage.OutputTokens < *limit {
			p.usage.OutputTokens++ // the end token
		} else {
			reason = llm.MaxTokens
		}
	}
	return p.end(reason, "")
}

// end sends what was held back and the closing events.
func (p *player) end(reason llm.StopReason, stop string) error {
	rest := ""
	if p.stops != nil {
		rest = p.stops.Rest()
	}
	_ = p.delta(rest) &&
		p.emit(llm.Event{Kind: llm.BlockStop}) &&
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
	return p.emit(llm.Event{Kind: llm.Delta, Text: text})
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
