// Package inference is the one way to a model: every operation, batch record
// and agent step that needs a reply comes through here, so nothing can go round
// limits, guardrails or metering.
package inference

import (
	"context"
	"strings"
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
	Engine engine.Engine    // required
	Fit    Fitter           // required for Embed
	Now    func() time.Time // nil means time.Now
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
// are those of engine.Engine. r.Params.MaxTokens is filled in when nil: with the
// weights' default, cut to what the context leaves.
//
// Errors before the first event: ValidationException when the input and the
// output limit do not fit the context together (both numbers are in the
// message), and whatever the engine says.
func (s *Service) Generate(ctx context.Context, c *call.Call, t catalog.Target, r *llm.Request) llm.Events {
	if t.Weights.Mode == string(engine.Embed) {
		return llm.Fail(apierr.Validation("The model %s makes embeddings, not text.", t.Model.ID))
	}
	return func(yield func(llm.Event, error) bool) {
		et := s.note(c, t)
		if err := s.admit(ctx, c, et, t.Weights, r); err != nil {
			yield(llm.Event{}, err)
			return
		}
		start := s.cfg.Now()
		done := false
		c.Inferred = true
		defer func() {
			if !done { // cut by the caller or by an error: what was made so far counts
				c.Latency = s.cfg.Now().Sub(start)
			}
		}()
		for ev, err := range s.cfg.Engine.Generate(ctx, et, r) {
			switch {
			case err != nil:
			case ev.Kind == llm.Start:
				c.Usage.InputTokens = ev.Usage.InputTokens
			case ev.Kind == llm.Delta:
				if c.Usage.OutputTokens == 0 {
					c.FirstToken = s.cfg.Now().Sub(start)
				}
				c.Usage.OutputTokens++
			case ev.Kind == llm.Done:
				done = true
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

// Embed makes one vector of dims numbers for each text, and notes the facts in
// c. Vectors keep length 1.
func (s *Service) Embed(ctx context.Context, c *call.Call, t catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	if t.Weights.Mode != string(engine.Embed) {
		return nil, apierr.Validation("The model %s does not make embeddings.", t.Model.ID)
	}
	et := s.note(c, t)
	c.Inferred = true
	start := s.cfg.Now()
	resp, err := s.cfg.Engine.Embed(ctx, et, r)
	if err != nil {
		c.Latency = s.cfg.Now().Sub(start)
		return nil, err
	}
	for i, v := range resp.Vectors {
		resp.Vectors[i] = s.cfg.Fit.Fit(v, dims)
	}
	for _, n := range resp.Tokens {
		c.Usage.InputTokens += n
	}
	c.Latency = resp.Latency
	return resp, nil
}

// note writes what is known of the model into the call and returns the engine's
// target. The scope of reusable prompt state is the account.
func (s *Service) note(c *call.Call, t catalog.Target) engine.Target {
	c.ServedBy, c.StandIn = t.Weights.ID, t.Model.StandIn
	return engine.Target{Weights: t.Weights.ID, Mode: engine.Mode(t.Weights.Mode), Scope: c.Principal.Account}
}

// admit checks that input and output fit the context, and sets MaxTokens.
func (s *Service) admit(ctx context.Context, c *call.Call, t engine.Target, w catalog.Weights, r *llm.Request) error {
	limit := w.ContextTokens
	if s.cfg.MaxContext > 0 && (limit == 0 || s.cfg.MaxContext < limit) {
		limit = s.cfg.MaxContext
	}
	want := w.DefaultTokens
	if r.Params.MaxTokens != nil {
		want = *r.Params.MaxTokens
	}
	// A token is at least one byte of text, so a short request needs no count.
	if inputBound(w, r)+want <= limit {
		r.Params.MaxTokens = &want
		return nil
	}
	c.Inferred = true
	// Counting costs time and memory in proportion to the text, outside the slots.
	info, err := s.cfg.Engine.Info(ctx, t)
	if err != nil {
		return err
	}
	if least := inputLeast(info, r); least > limit {
		return apierr.Validation("Input is too long for requested model. The input has at least %d tokens and the output limit is %d tokens; together they may be at most %d.", least, want, limit)
	}
	input, err := s.cfg.Engine.Count(ctx, t, r)
	if err != nil {
		return err
	}
	if r.Params.MaxTokens == nil && input < limit { // our own default gives way
		want = min(want, limit-input)
	}
	if input+want > limit {
		return apierr.Validation("Input is too long for requested model. The input has %d tokens and the output limit is %d tokens; together they may be at most %d.", input, want, limit)
	}
	r.Params.MaxTokens = &want
	return nil
}

// These bounds are far above what any template of the catalogue's own weights
// adds. Weights that an operator brought tell the size of theirs.
const (
	templateTokens        = 256 // once per request, a built-in system text included
	templateTokensPerTurn = 16
)

// inputBound is an upper bound of the input tokens of r.
func inputBound(w catalog.Weights, r *llm.Request) int {
	n := max(templateTokens, w.TemplateBytes)
	for _, s := range r.System {
		n += len(s) + templateTokensPerTurn
	}
	for i := range r.Messages {
		n += templateTokensPerTurn
		for _, b := range r.Messages[i].Content {
			n += len(b.Text)
		}
	}
	return n
}

// inputLeast is a lower bound of the input tokens of r; 0 when the weights give
// none. White space around texts is left out, since templates trim it.
func inputLeast(info engine.Info, r *llm.Request) int {
	if info.TokenBytes < 1 || info.TokenInk < 1 {
		return 0
	}
	all, ink := 0, 0
	add := func(text string) {
		text = strings.TrimSpace(text)
		all += len(text)
		ink += len(text)
		for i := range len(text) {
			switch text[i] {
			case ' ', '\t', '\n', '\r':
				ink--
			}
		}
	}
	for _, s := range r.System {
		add(s)
	}
	for i := range r.Messages {
		for _, b := range r.Messages[i].Content {
			add(b.Text)
		}
	}
	return max(all/info.TokenBytes, ink/info.TokenInk)
}
