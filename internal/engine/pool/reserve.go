package pool

import (
	"cmp"
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var _ engine.Reserver = (*Engine)(nil)

// Reserve implements engine.Reserver: slots are set aside one by one, each on the
// server of the target's regions with the fewest for the holder that still has one.
// Replacements of the
// weights set nothing aside. When there are too few in all, everything stays as it
// was.
func (e *Engine) Reserve(ctx context.Context, t engine.Target, holder string, n int) error {
	p := e.pools[t.Weights]
	if p == nil {
		return unknown(t)
	}
	p.reserve.Lock()
	defer p.reserve.Unlock()
	e.mu.Lock()
	before := p.held[holder]
	e.mu.Unlock()
	now := make([]int, len(p.members))
	set := func(i, n int) error {
		m := p.members[i]
		r, ok := m.server.Engine.(engine.Reserver)
		_, near := m.server.rank(t.Regions)
		if !ok || m.at.Weights != "" || n > 0 && !near {
			return errNothing
		}
		return r.Reserve(ctx, m.target(t), holder, n)
	}
	for i := range before { // what he had is free for him
		if before[i] > 0 {
			if err := set(i, 0); err != nil {
				return err
			}
		}
	}
	full := make([]bool, len(p.members))
	for left := n; left > 0; {
		at := fewest(now, full)
		if at < 0 {
			return cmp.Or(restore(set, now, before), error(errNothing))
		}
		err := set(at, now[at]+1)
		if err == nil {
			now[at]++
			left--
			continue
		}
		if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeServiceQuotaExceeded {
			return errors.Join(err, restore(set, now, before))
		}
		full[at] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n == 0 {
		delete(p.held, holder)
	} else {
		p.held[holder] = now
	}
	return nil
}

// fewest is the member with the fewest slots of those that are not full; below 0
// there is none.
func fewest(now []int, full []bool) int {
	at := -1
	for i := range now {
		if !full[i] && (at < 0 || now[i] < now[at]) {
			at = i
		}
	}
	return at
}

// restore sets aside what was so before.
func restore(set func(i, n int) error, now, before []int) error {
	var errs []error
	for i := range now {
		want := 0
		if before != nil {
			want = before[i]
		}
		if now[i] != want {
			errs = append(errs, set(i, want))
		}
	}
	return errors.Join(errs...)
}

var errNothing = apierr.QuotaExceeded("The model's servers cannot set as much throughput aside.")
