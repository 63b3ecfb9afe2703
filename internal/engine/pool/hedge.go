package pool

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

// runner is one of the two servers that a hedged request is sent to.
type runner struct {
	cancel context.CancelFunc
	next   func() (llm.Event, error, bool)
	stop   func()

	ev  llm.Event // the first
	err error
	ok  bool

	panicked any // in place of a first event
}

// hedged runs the reply on one server and, when its first event takes too long, on
// a second one as well. The one whose first event comes first goes on.
func (g *generation) hedged(ctx context.Context, l *lease) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		var (
			wg    sync.WaitGroup
			all   []*runner
			first = make(chan *runner, 2)
		)
		start := func(l *lease) {
			inner, cancel := context.WithCancel(ctx)
			one := &runner{cancel: cancel}
			one.next, one.stop = iter.Pull2(g.on(inner, l))
			all = append(all, one)
			wg.Go(func() {
				defer func() { // it is the caller's, where panics are caught
					one.panicked = recover()
					first <- one
				}()
				one.ev, one.err, one.ok = one.next()
			})
		}
		defer func() {
			for _, one := range all {
				one.cancel()
			}
			wg.Wait()
			for _, one := range all {
				one.stop()
			}
		}()
		start(l)
		timer := time.NewTimer(g.e.c.HedgeAfter)
		defer timer.Stop()
		var won *runner
		select {
		case won = <-first:
		case <-timer.C:
			if second, _ := g.next(ctx); second != nil {
				start(second)
			}
			won = <-first
			if won.err != nil && len(all) > 1 {
				if other := <-first; other.err == nil {
					won = other
				}
			}
		}
		if won.panicked != nil {
			panic(won.panicked)
		}
		for _, one := range all {
			if one != won {
				one.cancel()
			}
		}
		for ev, err, ok := won.ev, won.err, won.ok; ok; ev, err, ok = won.next() {
			if !yield(ev, err) {
				return
			}
		}
	}
}
