package pool

import (
	"cmp"
	"context"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// Generate runs one reply. Until its first event another server takes over from
// one that fails; a reply that is wanted whole (engine.Target.Whole) begins again
// on another server at any time.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(llm.Event{}, err)
			return
		}
		c, err := e.try(t, ask{needs: needsOf(r), tokens: tokensOf(r), prompt: r})
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		g := generation{tries: c, r: r, yield: yield, whole: t.Whole && len(c.p.members) > 1}
		for g.attempt(ctx) {
		}
	}
}

// generation is one call of Generate.
type generation struct {
	*tries
	r     *llm.Request
	yield func(llm.Event, error) bool

	whole bool        // the events are kept back until the reply is complete
	kept  []llm.Event // then
}

// attempt runs the reply on the next server and reports whether another one has to
// try.
func (g *generation) attempt(ctx context.Context) (again bool) {
	l, err := g.next(ctx)
	if err != nil {
		g.yield(llm.Event{}, err)
		return false
	}
	events := g.on(ctx, l)
	if g.e.c.HedgeAfter > 0 {
		events = g.hedged(ctx, l)
	}
	begun := false
	g.kept = g.kept[:0]
	for ev, err := range events {
		if err != nil {
			if again = g.anew(err, begun); again {
				g.err = err
				return true
			}
			if g.flush() {
				g.yield(ev, err)
			}
			return false
		}
		if g.whole {
			g.kept = append(g.kept, ev)
			continue
		}
		begun = true
		if !g.yield(ev, nil) {
			return false
		}
	}
	_ = g.flush() // it was the end
	return false
}

// flush passes on what was kept back; false means that the reader went away.
func (g *generation) flush() bool {
	for _, ev := range g.kept {
		if !g.yield(ev, nil) {
			return false
		}
	}
	return true
}

// anew reports whether another server may do better than the one that failed.
// begun says that events have gone out.
func (g *generation) anew(err error, begun bool) bool {
	if begun {
		return false
	}
	_, again := judge(err)
	return again || g.whole && broke(err)
}

// on runs the reply on one server and tells how that went.
func (g *generation) on(ctx context.Context, l *lease) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		o := silent // the reader left
		defer func() { g.e.give(l, o) }()
		for ev, err := range g.begin(ctx, l) {
			switch {
			case err != nil:
				if o, _ = judge(err); ctx.Err() != nil {
					o = silent
				}
			case ev.Kind == llm.Start:
				ev.Served = l.tells(ev.Served)
				o = served
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

// begin asks one server for the reply. It is no part of on, whose stack is held for
// as long as the stream is open.
//
//go:noinline
func (g *generation) begin(ctx context.Context, l *lease) llm.Events {
	return l.server.Engine.Generate(ctx, l.target(g.t), g.r)
}

// tells is where a reply is made, with what the server's engine told of it.
func (m *member) tells(inner *llm.Served) *llm.Served {
	if inner == nil {
		return m.at
	}
	at := *inner
	at.Server, at.Region, at.Weights = m.at.Server, cmp.Or(m.at.Region, at.Region), cmp.Or(at.Weights, m.at.Weights)
	return &at
}
