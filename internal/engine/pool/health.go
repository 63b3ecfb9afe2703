package pool

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
)

// server is a Server in use. Engine.mu guards all that changes.
type server struct {
	Server
	seed  uint64
	pools []*pool

	calls, tokens int  // running on it
	answered      bool // a request at least once

	fails     int       // requests in a row that it failed
	ejected   bool      // left out until then; afterwards one request at a time tries it
	until     time.Time // of the ejection
	ejections int       // in a row: each is twice as long as the one before
	trial     bool      // that request runs
	probes    int       // probes in a row that it failed
	down      bool      // left out until a probe succeeds
	why       string
	since     time.Time // of the last change
}

// shared reports whether a pool of the server has others.
func (s *server) shared() bool {
	return slices.ContainsFunc(s.pools, func(p *pool) bool { return len(p.members) > 1 })
}

// rank is the place of the server's region among those that a request may be
// answered in; false when it is none of them.
func (s *server) rank(regions []string) (int, bool) {
	if s.Region == "" || regions == nil {
		return 0, true
	}
	i := slices.Index(regions, s.Region)
	return i, i >= 0
}

// left reports whether requests pass the server over.
func (s *server) left(now time.Time) bool {
	return s.down || s.ejected && (s.trial || now.Before(s.until))
}

// full reports whether the server has as much as it is configured for.
func (s *server) full(tokens int) bool {
	return s.Concurrent > 0 && s.calls >= s.Concurrent || s.MaxTokens > 0 && s.calls > 0 && s.tokens+tokens > s.MaxTokens
}

// tell takes in what a request told of a server.
func (e *Engine) tell(s *server, o outcome, trial bool) {
	if trial {
		s.trial = false
	}
	now := time.Now()
	switch o {
	case served:
		s.fails, s.answered = 0, true
		switch {
		case trial && s.ejected:
			s.ejected, s.since, s.why = false, now, ""
			e.c.Log.Info("a server of a pool works again", "server", s.Name)
		case !s.ejected && s.ejections > 0 && now.Sub(s.until) > e.span(s.ejections): // it has held for as long as it was out
			s.ejections = 0
		}
	case failed:
		s.fails++
		switch {
		case trial && s.ejected:
			e.eject(s, now)
		case !s.ejected && s.fails >= e.c.Failures && s.dispensable():
			e.eject(s, now)
		}
	case silent:
	}
}

// span is how long the nth ejection in a row lasts.
func (e *Engine) span(n int) time.Duration {
	d := e.c.Eject
	for ; n > 1 && d < e.c.MaxEject; n-- {
		d *= 2
	}
	return min(d, e.c.MaxEject)
}

func (e *Engine) eject(s *server, now time.Time) {
	s.ejections++
	span := e.span(s.ejections)
	s.ejected, s.until, s.since, s.why = true, now.Add(span), now, "requests failed"
	e.c.Log.Warn("a server of a pool is left out: requests failed", "server", s.Name, "failures", s.fails, slog.Duration("for", span))
}

// dispensable reports whether each pool of the server still has half of its
// servers without it.
func (s *server) dispensable() bool {
	for _, p := range s.pools {
		out := 1
		for _, m := range p.members {
			if m.server != s && m.server.ejected {
				out++
			}
		}
		if 2*out > len(p.members) {
			return false
		}
	}
	return true
}

// downAfter is how many probes in a row fail before a server is left out; one that
// requests failed on too is left out after the first.
const downAfter = 2

// watch asks a server whether it is there, until ctx ends.
func (e *Engine) watch(ctx context.Context, s *server, p engine.Prober) {
	tick := time.NewTicker(e.c.Probe)
	defer tick.Stop()
	t := engine.Target{Weights: s.pools[0].weights}
	for _, m := range s.pools[0].members {
		if m.server == s {
			t.Weights = m.weights
		}
	}
	for {
		inner, cancel := context.WithTimeout(ctx, e.c.ProbeTimeout)
		err := p.Probe(inner, t)
		cancel()
		if ctx.Err() != nil {
			return
		}
		e.probed(s, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probed takes in the answer of a probe. Its error tells of addresses and is not
// passed on.
func (e *Engine) probed(s *server, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if err == nil {
		s.probes = 0
		if s.down {
			s.down, s.since, s.why = false, now, ""
			if s.ejected { // the next request may try it
				s.until = now
			}
			e.c.Log.Info("a server of a pool is there again", "server", s.Name)
		}
		return
	}
	s.probes++
	if !s.down && (s.probes >= downAfter || s.fails > 0) {
		s.down, s.since, s.why = true, now, "it does not answer"
		e.c.Log.Warn("a server of a pool is left out: it does not answer", "server", s.Name)
	}
}
