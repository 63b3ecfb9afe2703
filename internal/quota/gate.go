package quota

import (
	"context"
	"fmt"
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

// Gate is an Inference that keeps calls within their quotas. A refused call gets
// ThrottlingException, 429, and never reaches the model.
type Gate struct {
	Inference          // what is behind the gate; required
	Quotas    *Service // required
	Buckets   Buckets  // required
	// Listed reports whether the catalogue lists a model. Ids that it does not list
	// are without number; they share the quotas of the weights behind them, unless a
	// setting names one. nil means that all are listed.
	Listed func(model string) bool
}

const minute, day = time.Minute, 24 * time.Hour

// usual is how many charges a call has where the quotas of days are not set: those of
// the account and of one subject.
const usual = 6

// hold is what one call has taken.
type hold struct {
	charges  []Charge // of the account, the principal and the profile
	burndown int64
	input    int64 // tokens that were taken for the input
}

// cost is what a call takes at most.
type cost struct {
	input, output int64 // tokens
	open          bool  // it takes a place among the calls at one time
	tokens        bool  // it takes tokens
}

// take takes what a call may cost. The hold must be settled.
func (g Gate) take(ctx context.Context, c *call.Call, t *catalog.Target, n cost) (*hold, error) {
	model := t.Model.ID
	if g.Listed != nil && !g.Listed(model) && !g.Quotas.now.Load().models[model] {
		model = t.Weights.ID
	}
	p := g.Quotas.plan(planKey{c.Principal.Account, c.Region, model})
	h := g.Quotas.hold()
	h.burndown, h.input = Burndown(t.Model.ID), n.input
	k := Key{Account: c.Principal.Account, Region: c.Region, Model: model}
	if t.Reserved == "" { // an account's quotas are of on-demand calls
		h.add(k, &p.whole, n)
	}
	if subject := subjectOf(&c.Principal); p.subjects != nil || p.each != [kinds]limit{} {
		k.Subject = subject
		l := p.principal(subject)
		h.add(k, &l, n)
		if l, ok := p.subjects[t.ProfileARN]; ok && t.ProfileARN != subject {
			k.Subject = t.ProfileARN
			h.add(k, &l, n)
		}
	}
	refusal, err := g.Buckets.Take(ctx, h.charges)
	if err != nil {
		g.Quotas.free(h)
		return nil, apierr.Unavailable("The quotas of the account cannot be looked up now.").WithCause(fmt.Errorf("take quotas: %w", err))
	}
	if refusal.Charge >= 0 {
		kind := h.charges[refusal.Charge].Key.Kind
		g.Quotas.free(h)
		return nil, refused(kind, refusal.Wait)
	}
	return h, nil
}

// subjectOf is the ARN that settings name a principal by: of a role, not of one of
// its sessions.
func subjectOf(p *call.Principal) string {
	if p.Session != nil && p.Session.RoleARN != "" {
		return p.Session.RoleARN
	}
	return p.ARN
}

// add adds the charges of one subject.
func (h *hold) add(k Key, l *[kinds]limit, n cost) {
	for i, kind := range [kinds]Kind{Requests, RequestsDay, Tokens, TokensDay, Concurrent} {
		// What nobody set bounds nothing, but for the account as a whole; and
		// those of a day follow those of a minute.
		if l[i].Value == Unlimited || !l[i].set && (k.Subject != "" || kind == TokensDay || kind == RequestsDay) {
			continue
		}
		c := Charge{Key: k, Limit: l[i].Value, Burst: l[i].Burst}
		c.Key.Kind = kind
		if !l[i].regional { // region names are nearly without number
			c.Key.Region = ""
		}
		switch kind {
		case Requests:
			c.Shape, c.Window, c.Cost = Rate, minute, 1
		case RequestsDay:
			c.Shape, c.Window, c.Cost = Period, day, 1
		case Tokens, TokensDay:
			if !n.tokens {
				continue
			}
			c.Shape, c.Window, c.Cost = Rate, minute, n.input+n.output*h.burndown
			if kind == TokensDay {
				c.Shape, c.Window = Period, day
			}
		case Concurrent:
			if !n.open {
				continue
			}
			c.Shape, c.Cost = Level, 1
		}
		h.charges = append(h.charges, c)
	}
}

// settle sets right what was taken: input and output tokens were used. Nothing gives
// back more than was taken.
func (g Gate) settle(ctx context.Context, h *hold, input, output int) {
	for i := range h.charges {
		c := &h.charges[i]
		switch c.Key.Kind {
		case Tokens, TokensDay:
			c.Used = max(0, int64(input)+int64(output)*h.burndown)
		default:
			c.Used = c.Cost
		}
	}
	if err := g.Buckets.Settle(ctx, h.charges); err != nil {
		g.Quotas.cfg.Log.Error("a quota was not set right after a call", "error", err)
	}
	g.Quotas.free(h)
}

// hold returns an empty hold. Holds are reused, with the room that their charges came
// to need; free takes them back.
func (s *Service) hold() *hold {
	if h, ok := s.holds.Get().(*hold); ok {
		return h
	}
	return &hold{charges: make([]Charge, 0, usual)}
}

func (s *Service) free(h *hold) {
	h.charges = h.charges[:0]
	s.holds.Put(h)
}

// Generate implements Inference. Of the tokens, those that were read from a cache
// at a cache point count for nothing; nor do any of a reply that no model made anew
// (call.Call.Spared).
// Source: Bedrock user guide, "How tokens are counted in Amazon Bedrock".
func (g Gate) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		h, events, err := g.begin(ctx, c, t, r)
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		c.Usage, c.Cache = llm.Usage{}, "" // of this reply alone, also when it never begins
		defer func() {                     // also of a reply that is cut short
			if c.Spared() {
				g.settle(ctx, h, 0, 0)
				return
			}
			g.settle(ctx, h, h.read(&c.Usage), c.Usage.OutputTokens)
		}()
		events(yield)
	}
}

// read is how many tokens of input count. A server may tell them at the end alone: who
// breaks the reply off before gets nothing back of what was taken for them.
func (h *hold) read(u *llm.Usage) int {
	if u.InputTokens == 0 && u.OutputTokens > 0 {
		return int(h.input)
	}
	return u.InputTokens - u.CacheRead
}

// begin takes what a reply may cost. What it needs on the stack is not held while
// the reply is made.
func (g Gate) begin(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (*hold, llm.Events, error) {
	h, err := g.take(ctx, c, t, generating(&t.Weights, r))
	if err != nil {
		return nil, nil, err
	}
	return h, g.Inference.Generate(ctx, c, t, r), nil
}

// Embed implements Inference.
func (g Gate) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	n := cost{open: true, tokens: true, input: int64(len(r.Images)) * imageTokens}
	for _, text := range r.Texts {
		n.input += int64(len(text) + textTokens)
	}
	h, err := g.take(ctx, c, t, n)
	if err != nil {
		return nil, err
	}
	before := c.Usage.InputTokens
	defer func() { g.settle(ctx, h, c.Usage.InputTokens-before, 0) }()
	return g.Inference.Embed(ctx, c, t, r, dims)
}

// Rank implements Inference.
func (g Gate) Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	n := cost{open: true, tokens: true, input: int64(len(r.Query) + textTokens)}
	for _, text := range r.Documents {
		n.input += int64(len(text) + textTokens)
	}
	h, err := g.take(ctx, c, t, n)
	if err != nil {
		return nil, err
	}
	before := c.Usage.InputTokens
	defer func() { g.settle(ctx, h, c.Usage.InputTokens-before, 0) }()
	return g.Inference.Rank(ctx, c, t, r)
}

// Picture implements Inference. Pictures have no tokens.
func (g Gate) Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	h, err := g.take(ctx, c, t, cost{open: true})
	if err != nil {
		return nil, err
	}
	defer g.settle(ctx, h, 0, 0)
	return g.Inference.Picture(ctx, c, t, r)
}

// Count implements Inference. It is a request, and nothing more.
func (g Gate) Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error) {
	h, err := g.take(ctx, c, t, cost{})
	if err != nil {
		return 0, err
	}
	defer g.settle(ctx, h, 0, 0)
	return g.Inference.Count(ctx, c, t, r)
}

// What a text or a picture takes beside its bytes, at most, as far as one can know
// before it is read. A token of text is at least one byte.
const (
	textTokens     = 2
	imageTokens    = 2048
	templateTokens = 256
	turnTokens     = 16
	// unknownOutput is the output of weights that name no limit.
	unknownOutput = 512
)

// generating is the most that a reply can cost: what the context holds is the bound
// where the request alone gives none.
func generating(w *catalog.Weights, r *llm.Request) cost {
	in := templateTokens + len(r.Raw)
	for _, text := range r.System {
		in += len(text) + turnTokens
	}
	for i := range r.Tools {
		in += len(r.Tools[i].Name) + len(r.Tools[i].Description) + len(r.Tools[i].Schema) + turnTokens
	}
	for i := range r.Messages {
		in += turnTokens + blocks(r.Messages[i].Content)
	}
	out := w.DefaultTokens
	switch {
	case r.Params.MaxTokens != nil:
		out = *r.Params.MaxTokens
	case out == 0:
		out = unknownOutput
	}
	if w.ContextTokens > 0 {
		in, out = min(in, w.ContextTokens), min(out, w.ContextTokens)
	}
	return cost{input: int64(in), output: int64(max(out, 0)), open: true, tokens: true}
}

// blocks is the most tokens that content takes.
func blocks(content []llm.Block) int {
	n := 0
	for i := range content {
		b := &content[i]
		n += len(b.Text)
		switch {
		case b.Kind == llm.Image:
			n += imageTokens
		case b.Media != nil:
			n += len(b.Media.Data) + len(b.Media.Text) + len(b.Media.Name) + len(b.Media.Context)
		case b.Call != nil:
			n += len(b.Call.Name) + len(b.Call.Input) + turnTokens
		case b.Result != nil:
			n += blocks(b.Result.Content) + turnTokens
		}
	}
	return n
}
