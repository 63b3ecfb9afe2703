// Package cache spares the model work that was done before: replies to requests
// that were answered already, word for word (responses) or nearly (semantic),
// replies that several calls wait for at the same time (coalescing), and passes of
// embedding weights that several calls can share (batching).
//
// All of it is off until an account is named, nothing is ever shared between
// accounts, and what is kept is sealed. AWS has nothing like it.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// MetadataKey is the key of requestMetadata by which a call asks for caches, as
// the header x-outcrop-cache does: AskOn, AskOff or AskRefresh.
const MetadataKey = "outcrop-cache"

// What a call may ask for. Other words mean nothing.
const (
	AskOn      = "on"      // keep the reply, and take a kept one, though another try could give another reply
	AskOff     = "off"     // no cache
	AskRefresh = "refresh" // make the reply anew and keep it
)

// DefaultTTL is how long replies are kept unless the configuration says otherwise.
const DefaultTTL = time.Hour

// putWait bounds how long the end of a reply waits until the reply is kept.
const putWait = 250 * time.Millisecond

// Inference runs requests on the weights of a target. inference.Service implements
// it.
type Inference interface {
	Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events
	Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error)
	Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error)
	Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error)
	Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error)
}

// Accounts are those that something is switched on for: ids of 12 digits, or "*"
// for all. None means off.
type Accounts []string

// Has reports whether an account is among them.
func (a Accounts) Has(account string) bool {
	return slices.Contains(a, account) || slices.Contains(a, "*")
}

// Config carries what a Gate needs.
type Config struct {
	Inference Inference // what is behind the gate; required
	// Secret makes keys opaque and seals values; required. Servers that share a Store
	// have the same one.
	Secret [32]byte
	// Files names the model files of some weights as they are installed; required. A
	// name stands for one content. false means that they cannot be told now: nothing is
	// taken from a cache then, and nothing kept.
	Files func(w *catalog.Weights) (names []string, ok bool)
	// Epoch names the rest of what replies depend on: the version of the engine, its
	// settings, upstream servers. What was kept in another epoch is not found.
	Epoch string
	Store Store // of replies; nil means NewMemory(0, Now)

	Responses Responses
	Coalesce  Accounts // whose calls share generations
	Semantic  Semantic
	Batch     Batch

	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil discards
}

// Responses sets up the cache of replies to equal requests.
type Responses struct {
	Accounts Accounts
	TTL      time.Duration // how long a reply is kept; 0 means DefaultTTL
}

// Gate is an Inference that spares the one behind it work. It is safe for
// concurrent use. It stands behind everything that refuses calls, so that nobody
// gets from it what they may not ask for.
type Gate struct {
	Inference
	cfg     Config
	secrets *secrets
	flights flights
	batches batches
	near    *questions
	warned  atomic.Bool
	counts  counters
}

// New returns a Gate.
func New(cfg Config) (*Gate, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Store == nil {
		cfg.Store = NewMemory(0, cfg.Now)
	}
	if cfg.Responses.TTL == 0 {
		cfg.Responses.TTL = DefaultTTL
	}
	cfg.Semantic = cfg.Semantic.withDefaults()
	cfg.Batch = cfg.Batch.withDefaults()
	s, err := newSecrets(cfg.Secret)
	if err != nil {
		return nil, err
	}
	g := &Gate{Inference: cfg.Inference, cfg: cfg, secrets: s, near: newQuestions(cfg.Semantic.Questions)}
	g.batches.gate = g
	return g, nil
}

// plan is what caches may do for one reply.
type plan struct {
	responses bool // take a kept reply of the same request
	keep      time.Duration
	coalesce  bool
	threshold float64 // of the semantic cache; 0: not asked
	refresh   bool

	scope scope
	key   Key
}

// ask is what the call asks of caches.
func ask(c *call.Call) string {
	word := c.CacheAsk
	if word == "" {
		word = c.Metadata[MetadataKey]
	}
	switch word = strings.ToLower(word); word {
	case AskOn, AskOff, AskRefresh:
		return word
	}
	return ""
}

// fixed reports whether a request asks for the likeliest reply, so that it has only
// one.
func fixed(p *llm.Params) bool {
	return p.Temperature != nil && *p.Temperature == 0 || p.TopK != nil && *p.TopK == 1
}

// plan decides what caches may do; false means nothing.
func (g *Gate) plan(c *call.Call, t *catalog.Target, r *llm.Request) (p plan, ok bool) {
	account, word := c.Principal.Account, ask(c)
	ordinal := c.Replies
	c.Replies++
	if word == AskOff || elsewhere(r) {
		return p, false
	}
	one := fixed(&r.Params)
	p.refresh = word == AskRefresh
	p.responses = (one || word != "") && g.cfg.Responses.Accounts.Has(account)
	p.coalesce = one && !p.refresh && g.cfg.Coalesce.Has(account)
	p.threshold = g.threshold(account, t)
	if !p.responses && !p.coalesce && p.threshold == 0 {
		return p, false
	}
	files, ok := g.cfg.Files(&t.Weights)
	if !ok {
		return p, false
	}
	p.scope = scope{
		Version: 1, Epoch: g.cfg.Epoch, Kind: "reply", Account: account, Region: c.Region, Regions: t.Regions,
		Model: t.Model.ID, Profile: t.ProfileARN, Weights: t.Weights, Files: files, Guardrail: c.Keys[keyGuardrail],
	}
	if !one {
		p.scope.Ordinal = ordinal
	}
	p.key = Key{account, sum(g.secrets.names, &p.scope, r)}
	if p.threshold > 0 {
		p.keep = g.cfg.Semantic.TTL
	}
	if p.responses {
		p.keep = max(p.keep, g.cfg.Responses.TTL)
	}
	return p, true
}

// keyGuardrail is the condition key by which a call tells of its guardrail.
const keyGuardrail = "bedrock:guardrailidentifier"

// elsewhere reports whether a part of the request stands in an object, whose
// content may be another one the next time.
func elsewhere(r *llm.Request) bool {
	var in func(blocks []llm.Block) bool
	in = func(blocks []llm.Block) bool {
		for i := range blocks {
			b := &blocks[i]
			if b.Media != nil && b.Media.URI != "" || b.Result != nil && in(b.Result.Content) {
				return true
			}
		}
		return false
	}
	for i := range r.Messages {
		if in(r.Messages[i].Content) {
			return true
		}
	}
	return false
}

// Generate implements Inference. A reply from a cache has the events that the first
// one had, and its usage; its calls of tools have ids of their own.
func (g *Gate) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		p, ok := g.plan(c, t, r)
		if !ok {
			g.Inference.Generate(ctx, c, t, r)(yield)
			return
		}
		if p.responses && !p.refresh {
			if events := g.kept(ctx, p.key); events != nil {
				g.counts.hits.Add(1)
				g.replay(ctx, c, t, events, call.CacheHit, yield)
				return
			}
			g.counts.misses.Add(1)
		}
		c.Cache = call.CacheMiss
		if p.coalesce {
			g.share(ctx, c, t, r, &p, yield)
			return
		}
		near, events := g.nearest(ctx, c, t, r, &p)
		if events != nil {
			g.replay(ctx, c, t, events, call.CacheSemanticHit, yield)
			return
		}
		g.record(ctx, c, t, r, &p, near)(yield)
	}
}

// share joins the generation of the same request that is under way, or begins it.
func (g *Gate) share(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request, p *plan, yield func(llm.Event, error) bool) {
	s := p.scope
	s.Kind, s.Tier, s.Reserved, s.Whole = "flight", c.Tier, t.Reserved, c.Whole
	key := sum(g.secrets.names, &s, r)
	l := g.flights.join(key)
	if l == nil {
		near, events := g.nearest(ctx, c, t, r, p)
		if events != nil {
			g.replay(ctx, c, t, events, call.CacheSemanticHit, yield)
			return
		}
		l = g.flights.lead(ctx, key, c, func(ctx context.Context, own *call.Call, f *flight) {
			if p.responses { // the flight before this one may have kept it
				if events := g.kept(ctx, p.key); events != nil {
					own.ServedBy, own.StandIn, own.Inferred, own.Cache = t.Weights.ID, t.Model.StandIn, true, call.CacheHit
					for i := range events {
						if !f.add(ctx, own, &events[i], nil) {
							return
						}
					}
					return
				}
			}
			for ev, err := range g.record(ctx, own, t, r, p, near) {
				if !f.add(ctx, own, &ev, err) {
					return
				}
			}
		})
	}
	if !l.leads {
		g.counts.coalesced.Add(1)
	}
	start := g.cfg.Now()
	heard := l.events(ctx, func(facts call.Call, how string) {
		c.ServedBy, c.StandIn, c.Inferred = facts.ServedBy, facts.StandIn, facts.Inferred
		c.Server, c.InferenceRegion, c.Queued = facts.Server, facts.InferenceRegion, facts.Queued
		switch {
		case how == call.CacheHit:
			c.Cache = call.CacheHit
		case !l.leads:
			c.Cache = call.CacheCoalesced
		}
	})
	account := accountant{c: c, start: start, now: g.cfg.Now, rename: !l.leads}
	defer func() {
		account.end()
		if u, ok := l.bill(); ok { // who listened last, or to the end, pays for all of it
			c.Cache, c.Usage = call.CacheMiss, u
		}
	}()
	for ev, err := range heard {
		if err == nil {
			account.take(&ev)
		}
		if !yield(ev, err) || err != nil {
			return
		}
	}
}

// record makes a reply and keeps it when it is whole.
func (g *Gate) record(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request, p *plan, near *question) llm.Events {
	events := g.Inference.Generate(ctx, c, t, r)
	if p.keep == 0 {
		return events
	}
	return func(yield func(llm.Event, error) bool) {
		recorded, good := []byte{form}, true
		for ev, err := range events {
			if err == nil && good {
				recorded = appendEvent(recorded, &ev)
				switch ev.Kind {
				case llm.Start:
					good = p.made(ev.Served)
				case llm.Stop:
					good = keeps(ev.Reason)
				case llm.Done:
					g.keep(ctx, t, p, recorded, near)
				}
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// made reports whether a reply is made by the weights that it was asked of, from the
// file that is installed: a process may run on with an older one, and other weights
// may stand in for a while.
func (p *plan) made(at *llm.Served) bool {
	return at == nil || at.Weights == "" && (at.File == "" || slices.Contains(p.scope.Files, at.File))
}

// keeps reports whether a reply that ended for a reason is worth giving again.
func keeps(reason llm.StopReason) bool {
	switch reason {
	case llm.EndTurn, llm.MaxTokens, llm.StopSequence, llm.ToolUse, llm.ContextWindowExceeded:
		return true
	}
	return false
}

// keep keeps a reply, unless the weights were changed while it was made.
func (g *Gate) keep(ctx context.Context, t *catalog.Target, p *plan, recorded []byte, near *question) {
	if files, ok := g.cfg.Files(&t.Weights); !ok || !slices.Equal(files, p.scope.Files) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putWait)
	defer cancel()
	if err := g.cfg.Store.Put(ctx, p.key, g.secrets.seal(p.key, recorded), p.keep); err != nil {
		g.failed("keep a reply", err)
		return
	}
	g.counts.kept.Add(1)
	if near != nil {
		g.near.add(near, p.key, g.cfg.Now().Add(g.cfg.Semantic.TTL))
	}
}

// kept is the reply that is kept under a key; nil when there is none.
func (g *Gate) kept(ctx context.Context, k Key) []llm.Event {
	value, ok, err := g.cfg.Store.Get(ctx, k)
	if err == nil && !ok {
		return nil
	}
	var events []llm.Event
	if err == nil {
		var plain []byte
		if plain, err = g.secrets.open(k, value); err == nil {
			events, err = readEvents(plain)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			g.failed("look for a reply", err)
		}
		return nil
	}
	return events
}

// failed counts a failure of a store, and tells of the first one. Calls go on
// without the cache.
func (g *Gate) failed(what string, err error) {
	g.counts.failures.Add(1)
	if !g.warned.Swap(true) && !errors.Is(err, context.Canceled) {
		g.cfg.Log.Warn("a cache does not work; calls go on without it", "error", fmt.Errorf("%s: %w", what, err))
	}
}

// replay gives a reply again.
func (g *Gate) replay(ctx context.Context, c *call.Call, t *catalog.Target, events []llm.Event, how string, yield func(llm.Event, error) bool) {
	c.ServedBy, c.StandIn, c.Inferred, c.Cache = t.Weights.ID, t.Model.StandIn, true, how
	account := accountant{c: c, start: g.cfg.Now(), now: g.cfg.Now, rename: true, again: true}
	defer account.end()
	for i := range events {
		if err := ctx.Err(); err != nil {
			yield(llm.Event{}, err)
			return
		}
		ev := events[i]
		account.take(&ev)
		if !yield(ev, nil) {
			return
		}
	}
}
