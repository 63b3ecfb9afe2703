package cache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	// DefaultWindow is how long a call waits for others unless the configuration says
	// otherwise, DefaultMax how many texts a pass has at most.
	DefaultWindow = 3 * time.Millisecond
	DefaultMax    = 64
)

// Batch sets up passes of embedding weights that calls share.
type Batch struct {
	Accounts Accounts
	Window   time.Duration // how long a call waits for others; 0 means DefaultWindow
	Max      int           // texts of one pass; 0 means DefaultMax
}

func (b Batch) withDefaults() Batch {
	if b.Window == 0 {
		b.Window = DefaultWindow
	}
	if b.Max == 0 {
		b.Max = DefaultMax
	}
	return b
}

// batches are the passes that wait for more calls.
type batches struct {
	gate *Gate
	mu   sync.Mutex
	open map[batchKey]*batch
}

// batchKey is what calls of one pass have in common.
type batchKey struct {
	account, region, regions, model, profile, weights, tier, reserved string
	dims                                                              int
}

// batch is one pass and the calls that share it.
type batch struct {
	owner  *batches
	key    batchKey
	target *catalog.Target
	call   call.Call
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // of the pass, which outlives each of its calls
	timer  *time.Timer
	ended  chan struct{}

	// Under owner.mu.
	members []*member
	texts   int
	fired   bool
	live    int // members that still wait
}

// member is one call of a pass.
type member struct {
	req  *llm.EmbedRequest
	gone bool // under owner.mu

	// Once the batch has ended.
	resp  *llm.EmbedResponse
	err   error
	alone bool // try again by yourself
	facts call.Call
}

// Embed implements Inference. Concurrent calls of an account may share a pass; each
// gets the vectors of its own texts, in their order.
func (g *Gate) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	if n := len(r.Texts); n == 0 || n >= g.cfg.Batch.Max || len(r.Images) > 0 || !g.cfg.Batch.Accounts.Has(c.Principal.Account) || ask(c) == AskOff {
		return g.Inference.Embed(ctx, c, t, r, dims)
	}
	b, m := g.batches.join(ctx, c, t, r, dims)
	select {
	case <-b.ended:
	case <-ctx.Done():
		b.leave(m)
		return nil, ctx.Err()
	}
	if m.alone {
		return g.Inference.Embed(ctx, c, t, r, dims)
	}
	f := &m.facts
	c.ServedBy, c.StandIn, c.Inferred, c.Latency = f.ServedBy, f.StandIn, f.Inferred, f.Latency
	c.Server, c.InferenceRegion, c.Queued = f.Server, f.InferenceRegion, f.Queued
	if m.err != nil {
		return nil, m.err
	}
	for _, n := range m.resp.Tokens {
		c.Usage.InputTokens += n
	}
	return m.resp, nil
}

// join adds a call to the pass that waits for such calls, or opens one.
func (bs *batches) join(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*batch, *member) {
	k := batchKey{
		account: c.Principal.Account, region: c.Region, regions: strings.Join(t.Regions, " "), model: t.Model.ID, profile: t.ProfileARN,
		weights: t.Weights.ID, tier: c.Tier, reserved: t.Reserved, dims: dims,
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	limit := bs.gate.cfg.Batch.Max
	b := bs.open[k]
	if b != nil && b.texts+len(r.Texts) > limit {
		b.fire()
		b = nil
	}
	if b == nil {
		b = &batch{owner: bs, key: k, target: t, call: *c, ended: make(chan struct{})}
		b.call.Keys, b.call.Needs, b.call.Metadata, b.call.Usage = nil, nil, nil, llm.Usage{}
		b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if bs.open == nil {
			bs.open = map[batchKey]*batch{}
		}
		bs.open[k] = b
		b.timer = time.AfterFunc(bs.gate.cfg.Batch.Window, func() {
			bs.mu.Lock()
			defer bs.mu.Unlock()
			b.fire()
		})
	}
	m := &member{req: r}
	b.members = append(b.members, m)
	b.texts += len(r.Texts)
	b.live++
	if b.texts == limit {
		b.fire()
	}
	return b, m
}

// fire begins a pass, once. The owner is locked.
func (b *batch) fire() {
	if b.fired {
		return
	}
	b.fired = true
	b.timer.Stop()
	if b.owner.open[b.key] == b {
		delete(b.owner.open, b.key)
	}
	go b.run()
}

// leave gives a place up. The last one to leave ends the pass and waits for its end.
func (b *batch) leave(m *member) {
	b.owner.mu.Lock()
	m.gone = true
	b.live--
	last := b.live == 0
	if last {
		b.cancel()
		b.fire()
	}
	b.owner.mu.Unlock()
	if last {
		<-b.ended
	}
}

var errRefused = errors.New("cache: a call refused its texts")

// run makes the vectors, and hands each call its own.
func (b *batch) run() {
	defer close(b.ended)
	defer b.cancel()
	b.owner.mu.Lock()
	members := make([]*member, 0, len(b.members))
	for _, m := range b.members {
		if !m.gone {
			members = append(members, m)
		}
	}
	b.owner.mu.Unlock()
	defer func() {
		if p := recover(); p != nil { // by itself, each call meets it where it is told and logged
			for _, m := range members {
				m.alone = true
			}
		}
	}()
	if len(members) > 1 {
		b.owner.gate.counts.batches.Add(1)
		b.owner.gate.counts.batched.Add(int64(len(members)))
	}
	c := b.call
	resp, err := b.pass(&c, members, true)
	if errors.Is(err, errRefused) {
		rest := members[:0:0]
		for _, m := range members {
			if m.err == nil {
				rest = append(rest, m)
			} else {
				m.facts = c
			}
		}
		if members = rest; len(members) == 0 {
			return
		}
		c = b.call
		resp, err = b.pass(&c, members, false)
	}
	at := 0
	for _, m := range members {
		m.facts = c
		if err != nil {
			m.err = err
			// One text may be at fault; the others are not to suffer.
			m.alone = len(members) > 1 && apierr.From(err).Code == apierr.CodeValidation
			continue
		}
		n := len(m.req.Texts)
		m.resp = &llm.EmbedResponse{Vectors: resp.Vectors[at : at+n : at+n], Tokens: resp.Tokens[at : at+n : at+n], Latency: resp.Latency}
		at += n
	}
}

// pass asks for the vectors of all members' texts. With check, members are asked
// first whether they want theirs; errRefused says that some do not.
func (b *batch) pass(c *call.Call, members []*member, check bool) (*llm.EmbedResponse, error) {
	r := &llm.EmbedRequest{}
	for _, m := range members {
		r.Texts = append(r.Texts, m.req.Texts...)
	}
	if check {
		r.Check = func(tokens []int) error {
			at, refused := 0, false
			for _, m := range members {
				n := len(m.req.Texts)
				if m.req.Check != nil {
					if m.err = m.req.Check(tokens[at : at+n : at+n]); m.err != nil {
						refused = true
					}
				}
				at += n
			}
			if refused {
				return errRefused
			}
			return nil
		}
	}
	resp, err := b.owner.gate.Inference.Embed(b.ctx, c, b.target, r, b.key.dims)
	if err == nil && (len(resp.Vectors) != len(r.Texts) || len(resp.Tokens) != len(r.Texts)) {
		return nil, apierr.ModelError("The model made another number of vectors than there were texts.")
	}
	return resp, err
}
