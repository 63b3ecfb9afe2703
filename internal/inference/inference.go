// Package inference is the one way to a model: every operation, batch record
// and agent step that needs a reply comes through here, so nothing can go round
// limits, guardrails or metering.
package inference

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Fitter brings a vector of the weights to the length that a caller asked for.
// embedfit.Fitter implements it.
type Fitter interface {
	Fit(v []float32, dims int) []float32
}

// Config carries what a Service needs.
type Config struct {
	Engine    engine.Engine    // required
	Fit       Fitter           // required for Embed
	Documents Documents        // nil refuses documents that are not text already
	Pictures  Pictures         // nil refuses images
	Canvas    Canvas           // nil refuses to make pictures
	Objects   Objects          // nil refuses s3:// addresses
	Now       func() time.Time // nil means time.Now
	// MaxContext bounds the tokens of one request, input and output together,
	// below the weights' own limit; 0 means no further bound.
	MaxContext int
}

// Service runs inferences. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg}
}

// Generate runs one reply of t's weights and notes its facts in c. The events
// are those of engine.Engine, with the calls that r's tools ask for. r is not
// changed. Params.MaxTokens is filled in when nil: with the weights' default,
// cut to what the context leaves.
//
// Errors before the first event: ValidationException when the input and the
// output limit do not fit the context together (both numbers are in the
// message), when the weights cannot take a block (its place is in the message)
// or a schema cannot be used; and whatever the engine says.
func (s *Service) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	if err := speaks(t); err != nil {
		return llm.Fail(err)
	}
	return func(yield func(llm.Event, error) bool) {
		events, err := s.begin(ctx, c, t, r)
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		events(yield)
	}
}

// begin makes a request ready. It is apart from Generate so that what it needs on
// the stack is not held for as long as a stream is open; the same goes for
// functions of its kind in other packages on the way of a stream.
func (s *Service) begin(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (llm.Events, error) {
	et := s.note(c, t)
	p, err := s.prepare(ctx, c, et, s.limit(&t.Weights), r)
	if err == nil {
		err = s.admit(ctx, c, et, &t.Weights, p)
	}
	if err == nil {
		err = s.measureCache(ctx, et, &t.Weights, p)
	}
	if err != nil {
		return nil, err
	}
	events := s.accounted(ctx, c, et, p)
	if p.raise != nil {
		events = p.raise(events)
	}
	return events, nil
}

// speaks refuses weights that do not make text.
func speaks(t *catalog.Target) error {
	if m := engine.Mode(t.Weights.Mode); m != engine.Chat && m != engine.Completion {
		if t.Model.Embedding() || m == engine.Embed {
			return apierr.Validation("The model %s makes embeddings, not text.", t.Model.ID)
		}
		return apierr.Validation("The model %s does not make text.", t.Model.ID)
	}
	return nil
}

// accounted runs the engine and writes what it did into the call, event by
// event, so that a reply that is cut short counts as far as it came.
func (s *Service) accounted(ctx context.Context, c *call.Call, et engine.Target, p *prepared) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		start := s.cfg.Now()
		done := false
		c.Inferred = true
		defer func() {
			if !done { // cut by the caller or by an error: what was made so far counts
				c.Latency = s.cfg.Now().Sub(start)
			}
		}()
		for ev, err := range s.cfg.Engine.Generate(ctx, et, p.req) {
			switch {
			case err != nil:
			case ev.Kind == llm.Start:
				counted(&ev.Usage)
				p.cached(&ev.Usage)
				c.Usage = ev.Usage
				served(c, ev.Served)
			case ev.Kind == llm.Delta:
				if c.Usage.OutputTokens == 0 {
					c.FirstToken = s.cfg.Now().Sub(start)
				}
				c.Usage.OutputTokens++
			case ev.Kind == llm.Done:
				done = true
				counted(&ev.Usage)
				p.cached(&ev.Usage)
				c.Usage, c.Latency, c.FirstToken = ev.Usage, ev.Latency, ev.FirstToken
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
		if !done { // no caller may take a cut reply for a whole one
			yield(llm.Event{}, apierr.ModelStreamError("The model's reply broke off."))
		}
	}
}

// maxCount is more tokens than any request has.
const maxCount = 1 << 30

// counted makes what an engine tells of tokens numbers of tokens: none is below 0 or
// boundless, and no more were reused than there are. Quotas, meters and metrics rely on
// it.
func counted(u *llm.Usage) {
	u.InputTokens, u.OutputTokens = min(max(u.InputTokens, 0), maxCount), min(max(u.OutputTokens, 0), maxCount)
	u.ReusedTokens = min(max(u.ReusedTokens, 0), u.InputTokens)
}

// Count returns the input tokens that Generate would report for r, a cached
// prefix included. It makes no token and takes no slot. Errors are those of
// Generate.
func (s *Service) Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error) {
	if err := speaks(t); err != nil {
		return 0, err
	}
	et := s.note(c, t)
	p, err := s.prepare(ctx, c, et, s.limit(&t.Weights), r)
	if err != nil {
		return 0, err
	}
	if err := s.hopeless(ctx, et, s.limit(&t.Weights), 0, p.req); err != nil {
		return 0, err
	}
	return s.cfg.Engine.Count(ctx, et, p.req)
}

// note writes what is known of the model into the call and returns the engine's
// target. The scope of reusable prompt state is the account.
func (s *Service) note(c *call.Call, t *catalog.Target) engine.Target {
	c.ServedBy, c.StandIn = t.Weights.ID, t.Model.StandIn
	return engine.Target{Weights: t.Weights.ID, Mode: engine.Mode(t.Weights.Mode), Scope: c.Principal.Account, Tier: c.Tier, Regions: t.Regions, Reserved: t.Reserved, Whole: c.Whole}
}

// served notes where a reply is made.
func served(c *call.Call, at *llm.Served) {
	if at == nil {
		return
	}
	c.Server, c.Queued = at.Server, at.Queued
	if at.Weights != "" { // others than the ones that stand behind the id
		c.ServedBy, c.StandIn = at.Weights, true
	}
	if at.Region != c.Region {
		c.InferenceRegion = at.Region
	}
}
