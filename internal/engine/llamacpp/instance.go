package llamacpp

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// instance is one loaded, answering process. Requests enter it and leave it, so
// that it is never taken away while in use.
type instance struct {
	proc   *process
	client *client
	facts  *facts

	suspected chan struct{} // a request found the connection broken; buffered 1

	mu     sync.Mutex
	users  int
	closed bool // no more users: it leaves, or is suspected dead
	used   time.Time

	stalled atomic.Bool  // killed by the watchdog
	asking  atomic.Int64 // requests that wait for the server's next word
	heard   atomic.Int64 // unix nanoseconds of the last sign of work
	gaps    histogram    // between tokens
}

// enter takes the instance for one request; false means that it is no more.
func (i *instance) enter() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || i.proc.gone() {
		return false
	}
	i.users++
	return true
}

// leave ends the use that enter began.
func (i *instance) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users--
	i.used = time.Now()
}

// retire closes the instance to new users if it has none.
func (i *instance) retire() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.users > 0 || i.closed {
		return false
	}
	i.closed = true
	return true
}

// shut closes the instance to new users.
func (i *instance) shut() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
}

// reopen takes back a suspicion.
func (i *instance) reopen() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = false
}

// wake takes back that the instance slept.
func (i *instance) wake() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed, i.used = false, time.Now()
}

// load returns the number of users and when the last one left.
func (i *instance) load() (users int, used time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.users, i.used
}

// suspect closes the instance until its owner has looked whether it lives.
func (i *instance) suspect() {
	i.shut()
	select {
	case i.suspected <- struct{}{}:
	default:
	}
}

// ask begins a wait for the server, answered ends it. Only a server that is
// waited for can be found hung: a reader who takes his time says nothing of it.
func (i *instance) ask() {
	if i.asking.Add(1) == 1 {
		i.heard.Store(time.Now().UnixNano())
	}
}

func (i *instance) answered() {
	i.asking.Add(-1)
	i.heard.Store(time.Now().UnixNano())
}

// stallAfter is how long a busy instance may be silent: 20 times the 99th
// percentile of the gaps between tokens, at least floor.
func (i *instance) stallAfter(floor time.Duration) time.Duration {
	return max(floor, 20*i.gaps.p99())
}

// silent tells how long the server has kept everybody waiting who waits.
func (i *instance) silent() (d time.Duration, waiting bool) {
	waiting = i.asking.Load() > 0
	return time.Since(time.Unix(0, i.heard.Load())), waiting
}

// histogram counts durations by powers of two of a microsecond. It is safe for
// concurrent use and never allocates.
type histogram struct{ counts [40]atomic.Uint32 }

func (h *histogram) add(d time.Duration) {
	us := max(d.Microseconds(), 0)
	h.counts[min(bits.Len64(uint64(us)), len(h.counts)-1)].Add(1) // #nosec G115 -- not negative
}

// p99 is an upper bound of the 99th percentile; 0 without data.
func (h *histogram) p99() time.Duration {
	var total uint64
	for i := range h.counts {
		total += uint64(h.counts[i].Load())
	}
	if total == 0 {
		return 0
	}
	above := total / 100 // may lie over the bound
	for i := len(h.counts) - 1; i >= 0; i-- {
		n := uint64(h.counts[i].Load())
		if n > above {
			return time.Microsecond << i
		}
		above -= n
	}
	return 0
}
