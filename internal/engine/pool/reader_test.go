package pool_test

import (
	"context"
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

// A reader who has left is told nothing more, also when a reply that was kept back
// ends with an error.
func TestReaderLeaves(t *testing.T) {
	t.Parallel()
	good := says("good")
	good.Order = 1
	e := over(t, nil, fails("bad", apierr.ModelTimeout("x"), 2), good)
	to := target
	to.Whole = true
	n := 0
	for range e.Generate(t.Context(), to, enginetest.Ask("hi", 8)) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}
}

// panicking is an engine whose replies panic, once wait let them.
type panicking struct {
	*scripted.Engine
	wait time.Duration
}

func (p panicking) Generate(context.Context, engine.Target, *llm.Request) llm.Events {
	return func(func(llm.Event, error) bool) {
		time.Sleep(p.wait)
		panic("lost")
	}
}

// A panic of a server's engine is met by the call that asked, where it is caught, and
// ends nothing else.
func TestHedgePanics(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, 10 * time.Second} { // before the second server is asked, and after
		synctest.Test(t, func(t *testing.T) {
			e := over(t, func(c *pool.Config) { c.HedgeAfter = time.Second },
				pool.Server{Name: "a", Engine: panicking{scripted.New(), wait}},
				pool.Server{Name: "b", Engine: panicking{scripted.New(), time.Minute}, Order: 1})
			defer func() {
				if p := recover(); p != "lost" {
					t.Errorf("recovered %v", p)
				}
			}()
			_, err := ask(t, e, target, enginetest.Ask("hi", 8))
			t.Errorf("no panic, but %v", err)
		})
	}
}
