package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// margin is memory that a load must leave free.
const margin = 256 << 20

// ledger admits loads to memory. An entry is an estimate until the process has
// loaded, what was measured if that is more, and what was measured while it sleeps.
type ledger struct {
	limit int64                 // bytes for all engines; 0 means no limit
	free  func() (int64, error) // memory that the machine has available; nil means unknown

	mu      sync.Mutex
	entries map[*runner]*entry
	changed chan struct{} // closed and replaced whenever waiting may be over
}

type entry struct {
	bytes    int64
	estimate int64
	loading  bool // not yet resident
	evicting bool // asked to leave
}

func newLedger(limit int64, free func() (int64, error)) *ledger {
	return &ledger{limit: limit, free: free, entries: map[*runner]*entry{}, changed: make(chan struct{})}
}

// reserve admits a load of need bytes for r. When they are not there it evicts
// idle processes, the least recently used first, and waits while the load is
// wanted.
//
// Errors: ModelNotReadyException when the memory can never be there;
// errUnwanted; the context's.
func (l *ledger) reserve(ctx context.Context, r *runner, need int64, wanted func() bool) error {
	if l.limit > 0 && need > l.limit {
		return apierr.ModelNotReady("The model %q needs %s of memory; engines may use %s.", r.model.key.weights, size(need), size(l.limit))
	}
	for {
		l.mu.Lock()
		short := l.short(r, need)
		if short <= 0 {
			l.entries[r] = &entry{bytes: need, estimate: need, loading: true}
			l.mu.Unlock()
			return nil
		}
		changed := l.changed
		victim := l.victim(r, short)
		l.mu.Unlock()
		if victim != nil {
			victim.part(evict)
		}
		if !wanted() {
			return errUnwanted
		}
		// Users that leave a process are not announced, so look again.
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
		again.Stop()
	}
}

// try admits a load only when its memory is there.
func (l *ledger) try(r *runner, need int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && need > l.limit || l.short(r, need) > 0 {
		return false
	}
	l.entries[r] = &entry{bytes: need, estimate: need, loading: true}
	return true
}

// errUnwanted ends a load for which nobody waits any more.
var errUnwanted = errors.New("nobody waits for the load any more")

// short returns how many bytes are missing for r to take need in all.
func (l *ledger) short(r *runner, need int64) int64 {
	var sum, coming int64
	for o, e := range l.entries {
		if o == r { // it sleeps
			continue
		}
		sum += e.bytes
		if e.loading {
			coming += e.bytes
		}
	}
	var short int64
	if l.limit > 0 {
		short = sum + need - l.limit
	}
	if l.free != nil && len(l.entries) > 0 {
		// With nothing loaded the machine's own figure is no reason to refuse:
		// the system may still drop caches.
		if free, err := l.free(); err == nil {
			short = max(short, need+coming+margin-free)
		}
	}
	return short
}

// victim picks the idle process that was used least recently and is not pinned,
// unless those that are leaving already give enough.
func (l *ledger) victim(by *runner, short int64) *runner {
	var (
		oldest *runner
		used   time.Time
	)
	for r, e := range l.entries {
		if r == by || r.model.pinned {
			continue
		}
		if e.evicting {
			short -= e.bytes
			continue
		}
		at, idle := r.idleSince()
		if idle && (oldest == nil || at.Before(used)) {
			oldest, used = r, at
		}
	}
	if short <= 0 || oldest == nil {
		return nil
	}
	l.entries[oldest].evicting = true
	return oldest
}

// measured notes what the process of r takes. Less than was estimated counts for
// nothing: it has yet to work.
func (l *ledger) measured(r *runner, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[r]; e != nil {
		e.loading = false
		e.bytes = max(bytes, e.estimate)
		l.announce()
	}
}

// sleeps notes what r's process still takes while it sleeps; 0 means unknown.
func (l *ledger) sleeps(r *runner, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[r]; e != nil && bytes > 0 {
		e.bytes = bytes
		l.announce()
	}
}

// stays takes back that r was asked to leave: it became busy.
func (l *ledger) stays(r *runner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[r]; e != nil {
		e.evicting = false
		l.announce()
	}
}

// release takes r's process out: it is gone.
func (l *ledger) release(r *runner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, r)
	l.announce()
}

func (l *ledger) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// size writes a number of bytes for people.
func size(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}
