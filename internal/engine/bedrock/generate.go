package bedrock

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// Generate runs one reply. See engine.Engine. The usage is the upstream's own;
// ReusedTokens is what it read from its cache.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		g := generation{eng: e, target: t, req: r}
		g.out = player{yield: yield, index: -1}
		if err := g.run(ctx); err != nil && !g.out.left {
			yield(llm.Event{Usage: g.out.usage}, err)
		}
	}
}

// generation is one call of Generate.
type generation struct {
	eng    *Engine
	target engine.Target
	req    *llm.Request
	out    player
}

// bytesPerToken is the least that text comes to in most languages: what is set
// aside for a prompt before its tokens are known.
const bytesPerToken = 3

// run returns the error to yield.
func (g *generation) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	up, err := g.eng.find(g.target)
	if err != nil {
		return err
	}
	body, err := up.converseOf(g.req)
	if err != nil {
		return err
	}
	lease, err := up.Acquire(ctx, &g.target, size(g.req)/bytesPerToken+*cmp.Or(g.req.Params.MaxTokens, new(0)))
	if err != nil {
		return err
	}
	defer func() { up.Slots.Release(lease, g.out.usage.InputTokens+g.out.usage.OutputTokens) }()

	w := g.eng.fleet.Watch(ctx, up.c.FirstByte)
	defer w.End() // closes the connection too
	g.out.begin, g.out.stops, g.out.texts = time.Now(), engine.NewStopper(g.req), body.Inference.Stop
	g.out.served = &llm.Served{Region: up.c.Region, Queued: lease.Waited}
	resp, err := up.post(w.Context(), "converse-stream", eventstream.ContentType, body)
	if err == nil {
		err = g.read(w, up, resp)
		_ = resp.Body.Close() // read only
	}
	switch {
	case err == nil || g.out.left:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return up.failure(w.Context(), g.out.first > 0, err)
}

// size is the bytes of the texts of r.
func size(r *llm.Request) int {
	n := 0
	for _, s := range r.System {
		n += len(s)
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			n += len(b.Text)
			if b.Result != nil {
				for k := range b.Result.Content {
					n += len(b.Result.Content[k].Text)
				}
			}
		}
	}
	return n
}

// read passes the reply on until its end.
func (g *generation) read(w *remote.Watch, up *upstream, resp *http.Response) error {
	var (
		body           = w.Body(resp.Body, up.c.Idle)
		r              = eventstream.NewReader(body)
		p              = &g.out
		most           = *cmp.Or(g.req.Params.MaxTokens, new(0))
		events, length int
		started        bool
	)
	r.Max = maxFrame
	for !p.left {
		kind, payload, err := next(r)
		if err != nil {
			return over(err)
		}
		body.Sign()
		length += len(payload)
		if events++; events > 4*most+4096 || length > 1024*most+1<<20 {
			return errEndless
		}
		if !started {
			started = true
			p.emit(llm.Event{Kind: llm.Start, Served: p.served})
		}
		done, err := p.take(kind, payload)
		if err != nil {
			return err
		}
		if done {
			if p.reason == "" {
				return errOrder
			}
			p.end()
			return nil
		}
	}
	return nil
}

// Count returns the input tokens of r as Generate would report them: by
// CountTokens, and from a model that has none by an answer of one token, whose
// usage tells the number.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	up, err := e.find(t)
	if err != nil {
		return 0, err
	}
	body, err := up.converseOf(r)
	if err != nil {
		return 0, err
	}
	n := 0
	err = e.with(ctx, up, func(ctx context.Context) (err error) {
		n, err = up.count(ctx, body)
		return err
	})
	return n, err
}

func (u *upstream) count(ctx context.Context, body *converse) (int, error) {
	if u.counts.Load() {
		var ask struct {
			Input struct {
				Converse conversation `json:"converse"`
			} `json:"input"`
		}
		ask.Input.Converse = body.conversation
		var out struct {
			Tokens int `json:"inputTokens"`
		}
		_, err := u.call(ctx, "count-tokens", ask, &out)
		se, told := errors.AsType[*serverError](err)
		switch {
		case err == nil && out.Tokens > 0:
			return out.Tokens, nil
		case err == nil:
			return 0, errNoUsage
		case !told:
			return 0, err
		case se.Code == apierr.CodeUnknownOperation, se.Status == http.StatusNotFound, se.Status == http.StatusNotImplemented, se.Status == http.StatusForbidden:
			if u.counts.CompareAndSwap(true, false) {
				u.Log.Info("the upstream does not count tokens for us: each count costs an answer of one token", "code", se.Code)
			}
		case se.Code == apierr.CodeValidation && !se.TooLong: // a model that does not count says so like this
		default:
			return 0, err
		}
	}
	one := *body
	one.Inference, one.Output, one.Paths = inference{MaxTokens: new(1)}, nil, nil
	if one.Additional != nil { // thinking needs room
		delete(one.Additional, "thinking")
	}
	var out struct {
		Usage struct {
			Input int `json:"inputTokens"`
			Read  int `json:"cacheReadInputTokens"`
			Write int `json:"cacheWriteInputTokens"`
		} `json:"usage"`
	}
	if _, err := u.call(ctx, "converse", one, &out); err != nil {
		return 0, err
	}
	n := out.Usage.Input + out.Usage.Read + out.Usage.Write
	if n < 1 {
		return 0, errNoUsage
	}
	return n, nil
}

// with runs requests that are no generation.
func (e *Engine) with(ctx context.Context, u *upstream, do func(context.Context) error) error {
	return e.fleet.Within(ctx, u.c.FirstByte, do, func(ctx context.Context, err error) error { return u.failure(ctx, false, err) })
}
