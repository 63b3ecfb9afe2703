package pool

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// member is a server in a pool.
type member struct {
	server  *server
	weights string                      // at the server's engine
	at      *llm.Served                 // what replies tell; shared by them
	info    atomic.Pointer[engine.Info] // as told last; nil: not yet
	calls   int                         // running; guarded by Engine.mu
}

// newMember makes a member. replacement is the id of other weights than those of
// the pool, "" for its own.
func newMember(s *server, weights, replacement string) *member {
	return &member{server: s, weights: weights, at: &llm.Served{Server: s.Name, Region: s.Region, Weights: replacement}}
}

// target is t as the server's engine knows it.
func (m *member) target(t engine.Target) engine.Target {
	t.Weights = m.weights
	return t
}

// learn asks the server what it can do; one that has told answers at once.
func (m *member) learn(ctx context.Context, t engine.Target) (engine.Info, error) {
	info, err := m.server.Engine.Info(ctx, m.target(t))
	if err != nil {
		return info, err
	}
	if old := m.info.Load(); old == nil || *old != info {
		m.info.Store(&info)
	}
	return info, nil
}

// common is what all servers in use that are known can do; nil when none is.
func (e *Engine) common(p *pool, t engine.Target) *engine.Info {
	now := time.Now()
	var all *engine.Info
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range p.members {
		info := m.info.Load()
		if _, ok := m.server.rank(t.Regions); !ok || info == nil || m.server.left(now) {
			continue
		}
		if all == nil {
			all = new(*info)
			continue
		}
		all.ContextTokens = min(all.ContextTokens, info.ContextTokens)
		all.Dimensions = min(all.Dimensions, info.Dimensions)
		all.Tools, all.Images, all.Forces = all.Tools && info.Tools, all.Images && info.Images, all.Forces && info.Forces
		all.TokenBytes, all.TokenInk = bound(all.TokenBytes, info.TokenBytes), bound(all.TokenInk, info.TokenInk)
	}
	return all
}

// bound is an upper bound of two, 0 for none.
func bound(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// ask is what a request wants of a server.
type ask struct {
	needs  needs
	tokens int
	prompt *llm.Request // its key tells conversations apart; nil: any server is as good
	hash   *uint64      // the key, once it was asked for
}

// lease is a request's place on a server.
type lease struct {
	*member
	tokens int
	trial  bool // it shows whether the server works again
}

// place says how well a server suits a request: lower is better, in this order.
type place struct{ left, full, region, order int }

func (a place) less(b place) bool {
	switch {
	case a.left != b.left:
		return a.left < b.left
	case a.full != b.full:
		return a.full < b.full
	case a.region != b.region:
		return a.region < b.region
	}
	return a.order < b.order
}

// The bound of a server's load when it is picked by key: loadFactor times the mean
// of its equals, and a few requests more, since a few requests at a time are never
// spread evenly.
const (
	loadFactor = 1.25
	loadSlack  = 2 // requests of the same size
)

// pick leases a place on the best server that was not tried yet; nil when there is
// none. regional says that there is none in the regions at all.
func (e *Engine) pick(p *pool, t *engine.Target, a *ask, tried []*member) (_ *lease, regional bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.mode = t.Mode
	now := time.Now()
	best, n := place{}, 0
	regional = true
	var few [8]*member
	equals := few[:0]
	held := p.held[t.Reserved]
	for i, m := range p.members {
		region, ok := m.server.rank(t.Regions)
		if !ok {
			continue
		}
		regional = false
		if slices.Contains(tried, m) || t.Reserved != "" && (held == nil || held[i] == 0) {
			continue
		}
		at := place{region: region, order: m.server.Order}
		if m.server.left(now) {
			at.left = 1
		}
		if m.server.full(a.tokens) {
			at.full = 1
		}
		switch {
		case n == 0 || at.less(best):
			best, equals = at, equals[:0]
		case best.less(at):
			continue
		}
		equals = append(equals, m)
		n++
	}
	if len(equals) == 0 {
		return nil, regional
	}
	m := equals[0]
	if len(equals) > 1 {
		m = e.choose(equals, a, best)
	}
	s := m.server
	l := &lease{member: m, tokens: a.tokens, trial: s.ejected && !now.Before(s.until) && !s.trial}
	if l.trial {
		s.trial = true
	}
	m.calls++
	s.calls++
	s.tokens += l.tokens
	return l, false
}

// choose picks among servers that are as good as each other: of those that are not
// far above the mean the one that the key belongs to, and without a key the one
// with the fewest tokens.
func (e *Engine) choose(equals []*member, a *ask, at place) *member {
	if a.hash == nil || at.left+at.full > 0 {
		key := rand.Uint64() // #nosec G404 -- spreads load
		return slices.MinFunc(equals, func(x, y *member) int {
			if d := x.server.tokens - y.server.tokens; d != 0 {
				return d
			}
			return order(key, x, y)
		})
	}
	key, sum := *a.hash, 0
	for _, m := range equals {
		sum += m.server.tokens
	}
	most := loadFactor*float64(sum)/float64(len(equals)) + float64(loadSlack*a.tokens)
	slices.SortFunc(equals, func(x, y *member) int { return order(key, x, y) })
	for _, m := range equals {
		if float64(m.server.tokens) <= most {
			return m
		}
	}
	return equals[0] // never: not all are above their mean
}

// order puts the server with the higher score of a key first.
func order(key uint64, x, y *member) int {
	if score(key, x.server.seed) > score(key, y.server.seed) {
		return -1
	}
	return 1
}

// give gives a place back and takes in what the request told of the server.
func (e *Engine) give(l *lease, o outcome) {
	if o == served {
		e.budget.earn()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l.calls--
	l.server.calls--
	l.server.tokens -= l.tokens
	e.tell(l.server, o, l.trial)
}

// tries is one request on its way from server to server.
type tries struct {
	e     *Engine
	p     *pool
	t     engine.Target
	a     ask
	begin time.Time
	tried []*member
	made  int   // attempts
	err   error // of the last one
}

func (e *Engine) try(t engine.Target, a ask) (*tries, error) {
	p := e.pools[t.Weights]
	if p == nil {
		return nil, unknown(t)
	}
	return &tries{e: e, p: p, t: t, a: a, begin: time.Now()}, nil
}

// next leases a place on a server that can do what the request needs. After the
// first attempt it ends with the error of the last one when there is no other
// server, or it is too late.
func (c *tries) next(ctx context.Context) (*lease, error) {
	if c.made > 0 && (c.made >= c.e.c.Attempts || time.Since(c.begin) >= c.e.c.RetryWithin || ctx.Err() != nil) {
		return nil, c.err
	}
	paid := c.made == 0
	if c.a.prompt != nil && c.a.hash == nil && len(c.p.members) > 1 { // a prompt is long; nobody else is to wait for it
		c.a.hash = new(c.e.keyOf(&c.t, c.a.prompt))
	}
	for {
		l, regional := c.e.pick(c.p, &c.t, &c.a, c.tried)
		if l == nil {
			if c.err == nil {
				c.err = nobody(c.p, c.t, regional)
			}
			return nil, c.err
		}
		if !paid && !c.e.budget.spend() {
			c.e.give(l, silent)
			return nil, c.err
		}
		paid = true
		c.tried = append(c.tried, l.member)
		if c.a.needs == (needs{}) {
			c.made++
			return l, nil
		}
		info, err := l.learn(ctx, c.t)
		o, again := judge(err)
		switch {
		case err == nil && c.a.needs.met(info):
			c.made++
			return l, nil
		case err == nil: // another server may have what it needs
			c.e.give(l, silent)
			continue
		}
		c.e.give(l, o)
		if c.err = err; !again {
			return nil, err
		}
	}
}

// do runs what is no stream: on one server, and on another one while it may do
// better.
func do[T any](ctx context.Context, e *Engine, t engine.Target, a ask, run func(*member, engine.Target) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c, err := e.try(t, a)
	if err != nil {
		return none, err
	}
	for {
		l, err := c.next(ctx)
		if err != nil {
			return none, err
		}
		out, err := run(l.member, l.target(t))
		o, again := judge(err)
		e.give(l, o)
		if err == nil || !again {
			return out, err
		}
		c.err = err
	}
}
