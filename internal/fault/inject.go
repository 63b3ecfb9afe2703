package fault

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Inference runs requests on the weights of a target. inference.Service implements
// it.
type Inference interface {
	Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events
	Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error)
	Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error)
	Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error)
	Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error)
}

// Injector is an Inference that fails as the rules say. What fails before the reply
// begins never reaches the model.
type Injector struct {
	Inference        // what fails; required
	Rules     *Rules // required
}

// Generate implements Inference.
func (i Injector) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	if i.Rules.now.Load() == nil {
		return i.Inference.Generate(ctx, c, t, r)
	}
	return func(yield func(llm.Event, error) bool) {
		d := i.Rules.draw(c, t.Model.ID, anywhere)
		if err := d.before(ctx, c); err != nil {
			yield(llm.Event{}, err)
			return
		}
		events := i.Inference.Generate(ctx, c, t, r)
		if d.rule != nil {
			events = breaking(events, d.rule)
		}
		events(yield)
	}
}

// before waits, and ends the call when its fault comes before the reply.
func (d *drawn) before(ctx context.Context, c *call.Call) error {
	if d.name == "" {
		return nil
	}
	c.Fault = d.name
	if d.wait > 0 {
		t := time.NewTimer(d.wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if d.rule == nil || d.rule.Type.broken() {
		return nil
	}
	return d.rule.err()
}

// breaking ends a reply after some of its tokens, or before its end when it has
// fewer.
func breaking(events llm.Events, l *live) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		tokens := 0
		for ev, err := range events {
			if err == nil && (tokens >= l.After || ev.Kind == llm.Stop) {
				err = l.err()
			}
			if err != nil {
				yield(llm.Event{}, err)
				return
			}
			if !yield(ev, nil) {
				return
			}
			if ev.Kind == llm.Delta {
				tokens++
			}
		}
	}
}

// err is the error of a fault. A caller who knows of no rule must find out from the
// message that it was meant.
func (l *live) err() error {
	const by = " This is a fault for testing, by the rule %q."
	switch l.Type {
	case Throttling:
		return apierr.Throttling("Too many requests, please wait before trying again."+by, l.Name)
	case Timeout:
		return apierr.ModelTimeout("The model took too long to answer."+by, l.Name)
	case ModelError:
		return apierr.ModelError("The model failed while it processed the request."+by, l.Name)
	case NotReady:
		return apierr.ModelNotReady("The model is not ready for requests."+by, l.Name)
	case Unavailable:
		return apierr.Unavailable("The service is not available now."+by, l.Name)
	case StreamBreak:
		return apierr.ModelStreamError("The model's reply broke off."+by, l.Name)
	case ConnectionCut:
		return call.ErrHangUp
	}
	return apierr.New(apierr.CodeInternal, 500, "The service hit an internal error."+by, l.Name)
}

// whole is before for calls whose answer does not come in pieces: what breaks off
// is an error of the model.
func (i Injector) whole(ctx context.Context, c *call.Call, t *catalog.Target, fits func(Type) bool) error {
	if i.Rules.now.Load() == nil {
		return nil
	}
	d := i.Rules.draw(c, t.Model.ID, fits)
	if err := d.before(ctx, c); err != nil || d.rule == nil {
		return err
	}
	if d.rule.Type == ConnectionCut {
		return call.ErrHangUp
	}
	return apierr.ModelError("The model's reply broke off. This is a fault for testing, by the rule %q.", d.rule.Name)
}

// Embed implements Inference.
func (i Injector) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	if err := i.whole(ctx, c, t, anywhere); err != nil {
		return nil, err
	}
	return i.Inference.Embed(ctx, c, t, r, dims)
}

// Rank implements Inference.
func (i Injector) Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	if err := i.whole(ctx, c, t, anywhere); err != nil {
		return nil, err
	}
	return i.Inference.Rank(ctx, c, t, r)
}

// Picture implements Inference.
func (i Injector) Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	if err := i.whole(ctx, c, t, anywhere); err != nil {
		return nil, err
	}
	return i.Inference.Picture(ctx, c, t, r)
}

// Count implements Inference. It waits, is throttled or finds nobody, as CountTokens
// models it; no fault of a reply concerns it.
func (i Injector) Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error) {
	if err := i.whole(ctx, c, t, Type.counting); err != nil {
		return 0, err
	}
	return i.Inference.Count(ctx, c, t, r)
}
