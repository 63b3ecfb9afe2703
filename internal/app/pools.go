package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	openaiengine "github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/engine/pool"
	"github.com/outcrop/outcrop/internal/engine/route"
)

// Pools says how servers are picked when weights have several.
type Pools struct {
	// ProbeInterval is how often each server is asked whether it is there, and
	// ProbeTimeout how long the answer may take. Default 5 s and 2 s; an interval of
	// 0 asks never.
	ProbeInterval *time.Duration `yaml:"probe_interval"`
	ProbeTimeout  time.Duration  `yaml:"probe_timeout"`
	// Failures is how many requests in a row fail before a server is left out;
	// default 3. Eject is for how long, the first time; each time after takes twice
	// as long, EjectMax at most. Default 5 s and 5 m.
	Failures int           `yaml:"failures"`
	Eject    time.Duration `yaml:"eject"`
	EjectMax time.Duration `yaml:"eject_max"`
	// Attempts is how many servers one request is tried on at most; default 3.
	// RetryWithin is how long after its arrival another one is tried; default 30 s.
	Attempts    int           `yaml:"attempts"`
	RetryWithin time.Duration `yaml:"retry_within"`
	// HedgeAfter is how long the first event of a reply may take before the request
	// is sent to a second server too. Default 0: never.
	HedgeAfter time.Duration `yaml:"hedge_after"`
}

// check refuses what cannot work.
func (p Pools) check() error {
	switch {
	case p.ProbeInterval != nil && *p.ProbeInterval < 0, p.ProbeTimeout < 0, p.Failures < 0, p.Eject < 0, p.EjectMax < 0, p.Attempts < 0,
		p.RetryWithin < 0, p.HedgeAfter < 0:
		return errors.New("pools: probe_interval, probe_timeout, failures, eject, eject_max, attempts, retry_within and hedge_after must not be negative")
	case p.EjectMax > 0 && p.EjectMax < cmp.Or(p.Eject, pool.DefaultEject):
		return errors.New("pools: eject_max must not be shorter than eject")
	}
	return nil
}

// config is the engine's view of the settings.
func (p Pools) config(log *slog.Logger) pool.Config {
	c := pool.Config{
		ProbeTimeout: p.ProbeTimeout, Failures: p.Failures, Eject: p.Eject, MaxEject: p.EjectMax,
		Attempts: p.Attempts, RetryWithin: p.RetryWithin, HedgeAfter: p.HedgeAfter, Log: log,
	}
	if p.ProbeInterval != nil {
		c.Probe = cmp.Or(*p.ProbeInterval, -1)
	}
	return c
}

// localServer is what the engine of this process is called beside the servers of a
// pool.
const localServer = "local"

// withUpstreams puts the servers of the configuration beside an engine.
func (s *Server) withUpstreams(rest engine.Engine) (engine.Engine, error) {
	named, last := map[string]Upstream{}, 0
	for _, u := range s.cfg.Upstreams {
		named[u.Name] = u
		last = max(last, u.Order+1)
		s.cfg.grantUpstream(u.address())
	}
	members, serves, local := map[string][]pool.Member{}, map[string][]catalog.Weights{}, false
	modes := map[string]engine.Mode{}
	for _, w := range s.state.catalog.Weights() {
		for _, name := range w.Source.Servers() {
			if _, ok := named[name]; !ok {
				return nil, fmt.Errorf("catalogue: weights %q: source: the configuration has no upstream %q", w.ID, name)
			}
			members[w.ID] = append(members[w.ID], pool.Member{Server: name})
			serves[name] = append(serves[name], w)
		}
		modes[w.ID] = engine.Mode(w.Mode)
		if w.Source.Local != "" {
			members[w.ID] = append(members[w.ID], pool.Member{Server: localServer, Weights: w.Source.Local})
			local = true
		}
	}
	if len(members) == 0 {
		return rest, nil
	}
	salt, err := s.state.root.Derive("upstream-scopes")
	if err != nil {
		return nil, err
	}
	c := s.cfg.Pools.config(s.log)
	c.Weights, c.Modes, c.Salt = members, modes, salt[:]
	for _, name := range slices.Sorted(maps.Keys(serves)) {
		u := named[name]
		e, err := s.upstreamEngine(u, serves[name], salt[:])
		if err != nil {
			return nil, fmt.Errorf("upstreams: %s: %w", name, err)
		}
		c.Servers = append(c.Servers, pool.Server{
			Name: name, Engine: e, Region: u.Region, Order: u.Order,
			Concurrent: u.concurrent(), MaxTokens: u.MaxTokens,
		})
	}
	if local { // the last of all
		c.Servers = append(c.Servers, pool.Server{Name: localServer, Engine: rest, Borrowed: true, Order: last, Concurrent: s.cfg.Engine.Slots})
	}
	e, err := pool.New(c)
	if err != nil {
		return nil, fmt.Errorf("pools: %w", err)
	}
	byWeights := make(map[string]engine.Engine, len(members))
	for id := range members {
		byWeights[id] = e
	}
	return route.New(rest, byWeights), nil
}

// openaiEngine is the engine over one server for the weights of texts, vectors and
// rankings that it runs.
func (s *Server) openaiEngine(u Upstream, all []catalog.Weights, salt []byte) (engine.Engine, error) {
	to := make(map[string]openaiengine.Upstream, len(all))
	for i := range all {
		one, err := s.upstream(u, &all[i])
		if err != nil {
			return nil, err
		}
		to[all[i].ID] = one
	}
	return openaiengine.New(openaiengine.Config{Upstreams: to, Salt: salt, QueueWait: s.cfg.Engine.QueueDeadline, Queue: s.cfg.Engine.Queue, Log: s.log.With("server", u.Name)})
}
