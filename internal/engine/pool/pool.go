// Package pool is the engine over several servers that run the same weights: it
// picks one for each request, leaves out those that fail, and asks another one
// while nothing of a reply has gone out.
//
// A request goes to a server of a region that it may be answered in; among those
// to the first in order; among equals to the one that has its conversation's
// prompt state already, unless that one has much more to do than the others.
package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// Server is one target of pools.
type Server struct {
	// Name is what logs, usage and llm.Served call it. Required, unique.
	Name string
	// Engine talks to it. Required.
	Engine engine.Engine
	// Borrowed says that somebody else runs Engine: Run leaves it alone.
	Borrowed bool
	// Region is where it stands; "" is every region.
	Region string
	// Order is its place in the line: servers of a higher order get what those of
	// lower ones cannot take. Default 0.
	Order int
	// Concurrent is how many requests it has at a time before others are preferred,
	// and MaxTokens how many tokens may be set aside on it, input and output
	// together; 0 means any number. When every server has that much, requests
	// queue at the Engine of one.
	Concurrent, MaxTokens int
}

// Member is a server that runs some weights.
type Member struct {
	Server string // Server.Name
	// Weights is their id at the server's Engine; "" means the id that was asked for.
	// Another id is that of a replacement, and replies tell it.
	Weights string
}

// Defaults of Config.
const (
	DefaultProbe        = 5 * time.Second
	DefaultProbeTimeout = 2 * time.Second
	DefaultFailures     = 3
	DefaultEject        = 5 * time.Second
	DefaultMaxEject     = 5 * time.Minute
	DefaultAttempts     = 3
	DefaultRetryWithin  = 30 * time.Second
)

// Config of an Engine.
type Config struct {
	Servers []Server
	// Weights names the members of each pool, by the id of its weights.
	Weights map[string][]Member
	// Modes of weights, for Processes: without one, weights are told of once they were
	// asked for.
	Modes map[string]engine.Mode
	// Salt is a secret that prompts are hashed with: processes that share it send a
	// conversation to the same server.
	Salt []byte
	// Probe is how often the servers of pools with more than one are asked whether
	// they are there, when their Engine is an engine.Prober; below 0 never.
	// ProbeTimeout is how long the answer may take. 0 means the defaults.
	Probe, ProbeTimeout time.Duration
	// Failures is how many requests in a row fail before a server is left out, for
	// Eject the first time and twice as long each time after, MaxEject at most. 0
	// means the defaults. At most half of the servers of a pool are left out so.
	Failures        int
	Eject, MaxEject time.Duration
	// Attempts is how many servers one request is tried on at most, and RetryWithin
	// how long after its arrival another one is tried. 0 means the defaults.
	Attempts    int
	RetryWithin time.Duration
	// HedgeAfter is how long a reply's first event may take before the request is
	// sent to a second server too, and the slower of the two broken off. 0: never.
	HedgeAfter time.Duration
	Log        *slog.Logger // nil discards
}

// Engine picks among servers. It implements engine.Engine.
type Engine struct {
	c       Config
	pools   map[string]*pool
	servers []*server
	budget  budget
	keys    sync.Pool // of *keyer

	mu sync.Mutex // guards what servers say of themselves
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reporter = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
	_ engine.Ranker   = (*Engine)(nil)
	_ engine.Painter  = (*Engine)(nil)
)

// pool is the servers of some weights.
type pool struct {
	weights string
	members []*member
	mode    engine.Mode      // configured, or of the last request; guarded by Engine.mu
	held    map[string][]int // slots set aside for each holder, by member; guarded by Engine.mu
	reserve sync.Mutex       // held while slots are set aside
}

// New returns an Engine over the servers. It starts nothing.
//
// Errors name the server or the weights whose configuration cannot work.
func New(c Config) (*Engine, error) {
	c.Probe = cmp.Or(c.Probe, DefaultProbe)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, DefaultProbeTimeout)
	c.Failures = cmp.Or(c.Failures, DefaultFailures)
	c.Eject = cmp.Or(c.Eject, DefaultEject)
	c.MaxEject = cmp.Or(c.MaxEject, max(DefaultMaxEject, c.Eject))
	c.Attempts = cmp.Or(c.Attempts, DefaultAttempts)
	c.RetryWithin = cmp.Or(c.RetryWithin, DefaultRetryWithin)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.ProbeTimeout < 0, c.Failures < 0, c.Eject < 0, c.Attempts < 0, c.RetryWithin < 0, c.HedgeAfter < 0:
		return nil, errors.New("probe_timeout, failures, eject, attempts, retry_within and hedge_after must not be negative")
	case c.MaxEject < c.Eject:
		return nil, errors.New("max_eject must not be shorter than eject")
	}
	e := &Engine{c: c, pools: make(map[string]*pool, len(c.Weights)), budget: newBudget()}
	e.keys.New = func() any { return newKeyer(c.Salt) }
	named, now := make(map[string]*server, len(c.Servers)), time.Now()
	for _, s := range c.Servers {
		switch {
		case s.Name == "" || named[s.Name] != nil:
			return nil, fmt.Errorf("server %q: the name is missing or stands twice", s.Name)
		case s.Engine == nil:
			return nil, fmt.Errorf("server %s: it has no engine", s.Name)
		case s.Order < 0 || s.Concurrent < 0 || s.MaxTokens < 0:
			return nil, fmt.Errorf("server %s: order, concurrent and max_tokens must not be negative", s.Name)
		}
		one := &server{Server: s, seed: seedOf(c.Salt, s.Name), since: now}
		named[s.Name] = one
		e.servers = append(e.servers, one)
	}
	for id, members := range c.Weights {
		p := &pool{weights: id, mode: c.Modes[id], held: map[string][]int{}}
		for _, m := range members {
			s := named[m.Server]
			switch {
			case s == nil:
				return nil, fmt.Errorf("weights %s: there is no server %q", id, m.Server)
			case slices.ContainsFunc(p.members, func(o *member) bool { return o.server == s }):
				return nil, fmt.Errorf("weights %s: server %s stands twice", id, s.Name)
			}
			p.members = append(p.members, newMember(s, cmp.Or(m.Weights, id), m.Weights))
		}
		if len(p.members) == 0 {
			return nil, fmt.Errorf("weights %s: they have no server", id)
		}
		e.pools[id] = p
		for _, m := range p.members {
			m.server.pools = append(m.server.pools, p)
		}
	}
	return e, nil
}

// Run runs the servers' engines and asks how they are. When one engine fails, all
// are stopped; all have cleaned up when it returns.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		runs []engine.Engine
	)
	for _, s := range e.servers {
		if !s.Borrowed && !slices.Contains(runs, s.Engine) {
			runs = append(runs, s.Engine)
		}
		if p, ok := s.Engine.(engine.Prober); ok && e.c.Probe > 0 && s.shared() {
			wg.Go(func() { e.watch(ctx, s, p) })
		}
	}
	for _, one := range runs {
		wg.Go(func() {
			if err := one.Run(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				cancel()
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return errors.Join(errs...)
}

// Count implements engine.Engine.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	return do(ctx, e, t, ask{needs: needsOf(r)}, func(m *member, t engine.Target) (int, error) {
		return m.server.Engine.Count(ctx, t, r)
	})
}

// Embed implements engine.Engine.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	a := ask{}
	for _, text := range r.Texts {
		a.tokens += len(text) / bytesPerToken
	}
	return do(ctx, e, t, a, func(m *member, t engine.Target) (*llm.EmbedResponse, error) {
		return m.server.Engine.Embed(ctx, t, r)
	})
}

// Rank implements engine.Ranker.
func (e *Engine) Rank(ctx context.Context, t engine.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	a := ask{}
	for _, text := range r.Documents {
		a.tokens += (len(r.Query) + len(text)) / bytesPerToken
	}
	return do(ctx, e, t, a, func(m *member, t engine.Target) (*llm.RankResponse, error) {
		return engine.RankBy(ctx, m.server.Engine, t, r)
	})
}

// Picture implements engine.Painter.
func (e *Engine) Picture(ctx context.Context, t engine.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	return do(ctx, e, t, ask{}, func(m *member, t engine.Target) (*llm.PictureResponse, error) {
		return engine.PictureBy(ctx, m.server.Engine, t, r)
	})
}

// Info tells what every server that is known and in use can do; the first request
// for some weights asks one of them.
func (e *Engine) Info(ctx context.Context, t engine.Target) (engine.Info, error) {
	if p := e.pools[t.Weights]; p != nil {
		if all := e.common(p, t); all != nil {
			return *all, ctx.Err()
		}
	}
	return do(ctx, e, t, ask{}, func(m *member, t engine.Target) (engine.Info, error) {
		return m.learn(ctx, t)
	})
}

// Processes implements engine.Reporter: a row for each server of each pool, called
// WEIGHTS@SERVER.
func (e *Engine) Processes() []engine.Process {
	now := time.Now()
	waiting := map[string]int{}
	for _, l := range e.Lines() {
		waiting[l.Weights] += l.Waiting
	}
	var all []engine.Process
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, p := range e.pools {
		for _, m := range p.members {
			if p.mode == "" {
				continue
			}
			row := engine.Process{
				Weights: m.row(id), Mode: p.mode, State: engine.Ready, Since: m.server.since,
				Slots: m.server.Concurrent, Busy: m.calls,
			}
			row.Waiting = waiting[row.Weights]
			row.Busy = max(row.Busy-row.Waiting, 0)
			switch {
			case m.server.left(now):
				row.State, row.Err = engine.Failed, m.server.why
			case m.info.Load() == nil && !m.server.answered:
				row.State = engine.Cold
			}
			all = append(all, row)
		}
	}
	slices.SortFunc(all, func(a, b engine.Process) int { return strings.Compare(a.Weights, b.Weights) })
	return all
}

// Lines implements engine.Liner: a row for each server of each pool, called as in
// Processes. A borrowed engine tells of its own.
func (e *Engine) Lines() []engine.Line {
	var all []engine.Line
	for id, p := range e.pools {
		for _, m := range p.members {
			l, ok := m.server.Engine.(engine.Liner)
			if !ok || m.server.Borrowed {
				continue
			}
			for _, line := range l.Lines() {
				if line.Weights == m.weights {
					line.Weights = m.row(id)
					all = append(all, line)
				}
			}
		}
	}
	return all
}

// row is what the member of a pool is called in Processes and Lines.
func (m *member) row(pool string) string { return pool + "@" + m.server.Name }
