package pool_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/pool"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// sick is a server that fails while it is told to.
type sick struct {
	*scripted.Engine
	ill   atomic.Bool // requests fail
	gone  atomic.Bool // probes fail
	calls atomic.Int64
}

func newSick(name string) (*sick, pool.Server) {
	s := &sick{Engine: scripted.New(scripted.Reply{Text: name})}
	s.Script = func(engine.Target, *llm.Request) *scripted.Reply {
		s.calls.Add(1)
		if s.ill.Load() {
			return &scripted.Reply{Err: apierr.ModelError("x")}
		}
		return nil
	}
	return s, pool.Server{Name: name, Engine: s}
}

// Probe implements engine.Prober.
func (s *sick) Probe(context.Context, engine.Target) error {
	if s.gone.Load() {
		return errors.New("dial 10.1.2.3: refused")
	}
	return nil
}

// took runs n requests, all of which must succeed, and tells how many of them the
// server got.
func (s *sick) took(t *testing.T, e engine.Engine, n int) int {
	t.Helper()
	before := s.calls.Load()
	for i := range n {
		if _, err := ask(t, e, target, talk(i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return int(s.calls.Load() - before)
}

// A server that fails several requests in a row is left out, for twice as long each
// time; then one request tries it, and it is back when that one succeeds.
func TestEjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, first := newSick("a")
		second := says("b")
		second.Order = 1 // requests go to a while they can
		e := over(t, nil, first, second)
		a.ill.Store(true)
		if n := a.took(t, e, 20); n != 3 {
			t.Errorf("%d requests went to a failing server, want 3", n)
		}
		for _, span := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
			time.Sleep(span - time.Millisecond)
			if n := a.took(t, e, 5); n != 0 {
				t.Errorf("%d requests within %s", n, span)
			}
			time.Sleep(time.Millisecond)
			if n := a.took(t, e, 5); n != 1 {
				t.Errorf("%d requests after %s, want one trial", n, span)
			}
		}
		if all := e.Processes(); len(all) != 2 || all[0].Weights != "w@a" || all[0].State != engine.Failed || all[0].Err == "" || all[1].State == engine.Failed {
			t.Errorf("%+v", all)
		}
		a.ill.Store(false)
		time.Sleep(40 * time.Second)
		if n := a.took(t, e, 5); n != 5 {
			t.Errorf("%d requests of 5 after it works again", n)
		}
		time.Sleep(50 * time.Second) // it held for longer than it was out: the next time begins anew
		a.took(t, e, 1)
		a.ill.Store(true)
		a.took(t, e, 5)
		time.Sleep(5 * time.Second)
		if n := a.took(t, e, 5); n != 1 {
			t.Errorf("%d requests after a first ejection", n)
		}
	})
}

// No ejection takes longer than it may.
func TestLongestEjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, first := newSick("a")
		second := says("b")
		second.Order = 1
		e := over(t, func(c *pool.Config) { c.Eject, c.MaxEject, c.Failures = time.Second, 3*time.Second, 1 }, first, second)
		a.ill.Store(true)
		a.took(t, e, 5)
		for range 5 {
			time.Sleep(3 * time.Second)
			if n := a.took(t, e, 5); n != 1 {
				t.Errorf("%d requests", n)
			}
		}
	})
}

// While a trial runs, others pass the server over; a trial whose caller leaves says
// nothing.
func TestOneTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, first := newSick("a")
		second := says("b")
		second.Order = 1
		e := over(t, func(c *pool.Config) { c.Failures = 1 }, first, second)
		a.ill.Store(true)
		a.took(t, e, 2)
		a.ill.Store(false)
		a.Script = func(engine.Target, *llm.Request) *scripted.Reply {
			a.calls.Add(1)
			return &scripted.Reply{Text: "slow", Pace: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		}
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := llm.Collect(e.Generate(ctx, target, talk(0, 0)))
			done <- err
		}()
		synctest.Wait()
		if n := a.took(t, e, 5); n != 0 {
			t.Errorf("%d requests beside the trial", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// At most half of the servers are left out for failing: some errors are no server's
// fault.
func TestHalf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []*sick
		var servers []pool.Server
		for _, name := range []string{"a", "b", "c", "d"} {
			one, s := newSick(name)
			one.ill.Store(true)
			all, servers = append(all, one), append(servers, s)
		}
		e := over(t, nil, servers...)
		for i := range 40 {
			_, err := ask(t, e, target, talk(i, 0))
			enginetest.WantCode(t, err, apierr.CodeModelError)
		}
		out := 0
		for _, p := range e.Processes() {
			if p.State == engine.Failed {
				out++
			}
		}
		if out != 2 {
			t.Errorf("%d of 4 are left out", out)
		}
		for _, one := range all { // and everything works as soon as something does
			one.ill.Store(false)
		}
		if _, err := ask(t, e, target, talk(0, 0)); err != nil {
			t.Error(err)
		}
	})
}

// A server that is alone is never passed over, and what fails everywhere fails at
// once.
func TestAlone(t *testing.T) {
	t.Parallel()
	a, first := newSick("a")
	a.ill.Store(true)
	e := over(t, nil, first)
	for range 10 {
		_, err := ask(t, e, target, talk(0, 0))
		enginetest.WantCode(t, err, apierr.CodeModelError)
	}
	if n := a.calls.Load(); n != 10 {
		t.Errorf("asked %d times", n)
	}
}

// A server that answers no probe is left out without a request that has to find
// out, and it is back with the first probe that it answers. Nothing tells its
// address.
func TestProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, first := newSick("a")
		_, second := newSick("b")
		second.Order = 1
		log := &enginetest.Log{}
		e := over(t, func(c *pool.Config) { c.Probe, c.Log = 0, log.Logger() }, first, second)
		enginetest.Start(t, e)
		time.Sleep(time.Second)
		if n := a.took(t, e, 3); n != 3 {
			t.Errorf("%d requests", n)
		}
		a.gone.Store(true)
		time.Sleep(10 * time.Second)
		if n := a.took(t, e, 3); n != 0 {
			t.Errorf("%d requests to a server that does not answer", n)
		}
		a.gone.Store(false)
		time.Sleep(5 * time.Second)
		if n := a.took(t, e, 3); n != 3 {
			t.Errorf("%d requests after it is there again", n)
		}
		a.ill.Store(true) // failing requests and one probe are enough
		a.took(t, e, 1)
		a.gone.Store(true)
		time.Sleep(5 * time.Second)
		if n := a.took(t, e, 3); n != 0 {
			t.Errorf("%d requests after a probe that confirms", n)
		}
		if text := log.String(); strings.Contains(text, "10.1.2.3") || strings.Count(text, "left out") != 2 || strings.Count(text, "there again") != 1 {
			t.Errorf("log: %s", text)
		}
	})
}

// A probed server that was left out for failing may be tried as soon as it is there
// again.
func TestProbeEndsEjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, first := newSick("a")
		second := says("b")
		second.Order = 1
		e := over(t, func(c *pool.Config) { c.Probe, c.Eject, c.MaxEject = 0, time.Hour, time.Hour }, first, second)
		enginetest.Start(t, e)
		synctest.Wait()
		a.ill.Store(true)
		a.gone.Store(true)
		a.took(t, e, 5)
		time.Sleep(12 * time.Second)
		a.ill.Store(false)
		a.gone.Store(false)
		time.Sleep(5 * time.Second)
		if n := a.took(t, e, 3); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}

// slow is a server whose first event takes its time.
func slow(name string, d time.Duration, err error) pool.Server {
	one := scripted.New(scripted.Reply{Text: name})
	return pool.Server{Name: name, Engine: &late{one, d, err}}
}

type late struct {
	*scripted.Engine
	d   time.Duration
	err error
}

// Generate implements engine.Engine.
func (l *late) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		select {
		case <-time.After(l.d):
		case <-ctx.Done():
			yield(llm.Event{}, ctx.Err())
			return
		}
		if l.err != nil {
			yield(llm.Event{}, l.err)
			return
		}
		l.Engine.Generate(ctx, t, r)(yield)
	}
}

// A hedged request is sent to a second server when the first is slow, and the faster
// one answers.
func TestHedge(t *testing.T) {
	t.Parallel()
	dead := apierr.ModelNotReady("x")
	for name, c := range map[string]struct {
		first, second pool.Server
		want          string // "" is ModelNotReadyException
		took          time.Duration
	}{
		"fast":               {slow("a", time.Second, nil), slow("b", time.Second, nil), "a", time.Second},
		"slow":               {slow("a", time.Minute, nil), slow("b", time.Second, nil), "b", 3 * time.Second},
		"the second slower":  {slow("a", 4*time.Second, nil), slow("b", time.Minute, nil), "a", 4 * time.Second},
		"the second fails":   {slow("a", 4*time.Second, nil), slow("b", time.Second, dead), "a", 4 * time.Second},
		"the first fails":    {slow("a", 3*time.Second, dead), slow("b", 2*time.Second, nil), "b", 4 * time.Second},
		"both fail":          {slow("a", 3*time.Second, dead), slow("b", 2*time.Second, dead), "", 4 * time.Second},
		"fails before":       {slow("a", time.Second, dead), slow("b", 5*time.Second, nil), "b", 6 * time.Second},
		"nobody else can":    {slow("a", 9*time.Second, nil), pool.Server{}, "a", 9 * time.Second},
		"nobody else, fails": {slow("a", 9*time.Second, dead), pool.Server{}, "", 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers := []pool.Server{c.first}
				if c.second.Engine != nil {
					c.second.Order = 1
					servers = append(servers, c.second)
				}
				e := over(t, func(c *pool.Config) { c.HedgeAfter = 2 * time.Second }, servers...)
				begin := time.Now()
				text, err := ask(t, e, target, enginetest.Ask("hi", 8))
				if c.want == "" {
					enginetest.WantCode(t, err, apierr.CodeModelNotReady)
				} else if err != nil || text != c.want {
					t.Errorf("%q, %v", text, err)
				}
				if d := time.Since(begin); d != c.took {
					t.Errorf("took %s, want %s", d, c.took)
				}
				for _, p := range e.Processes() {
					if p.Busy != 0 {
						t.Errorf("%s is busy", p.Weights)
					}
				}
			})
		})
	}
}

// Nothing is tried elsewhere when the caller's patience is gone.
func TestRetryWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := slow("a", time.Minute, apierr.Throttling("x")), says("b")
		b.Order = 1
		_, err := ask(t, over(t, nil, a, b), target, enginetest.Ask("hi", 8))
		enginetest.WantCode(t, err, apierr.CodeThrottling)
	})
}
