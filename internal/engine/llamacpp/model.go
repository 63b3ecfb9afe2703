package llamacpp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
)

type key struct {
	weights string
	mode    engine.Mode
}

// model is one (weights, mode): its slots, and the processes behind them. Each
// runner has one group of the slots; there is one runner more than processes may
// run for long, so that a new version of the weights can start beside the old one.
type model struct {
	eng     *Engine
	key     key
	pinned  bool
	kv      int // tokens that the slots of one process share; 0 when each has its own
	log     *slog.Logger
	slots   *limit.Slots
	runners []*runner // by group

	facts    atomic.Pointer[facts] // of the version that was read last
	standing atomic.Int64          // requests between their first look at a process and their slot

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a runner's state changes
	tries   uint64        // loads that failed
	lastErr error         // of the last failed load
	closed  time.Time     // until then the circuit is open
	waiters int           // requests that wait for a process
	bad     version       // one that did not come up in the place of an older one

	scale scaling // the keeper's
}

func newModel(e *Engine, k key, fa *facts) *model {
	each, most := e.cfg.slots(k.mode), e.cfg.Replicas
	c := limit.SlotsConfig{N: each * (most + 1), Group: each, Wait: e.cfg.QueueWait, MaxQueue: e.cfg.Queue, Shut: true}
	if fa.kv > 0 {
		c.Tokens, c.Most = fa.kv, fa.context
	}
	m := &model{
		eng: e, key: k, pinned: e.pinned[k.weights], kv: fa.kv, slots: limit.NewSlots(c), changed: make(chan struct{}),
		log: e.cfg.Log.With("weights", k.weights, "mode", string(k.mode)),
	}
	m.facts.Store(fa)
	for g := range most + 1 {
		m.runners = append(m.runners, newRunner(m, g))
	}
	return m
}

// ready returns an instance that answers, entered; nil when there is none.
func (m *model) ready() *instance {
	for _, r := range m.runners {
		if i := r.ready.Load(); i != nil && i.enter() {
			return i
		}
	}
	return nil
}

// acquire returns an instance, entered; the caller must leave it. It waits for a
// load in progress or starts one.
//
// Errors: ModelNotReadyException when the load fails, will take longer than
// LoadWait or the context's deadline, or the circuit is open;
// ServiceUnavailableException when the engine is stopping; the context's error.
func (m *model) acquire(ctx context.Context) (*instance, error) {
	if i := m.ready(); i != nil {
		return i, nil
	}
	m.wait(1)
	defer m.wait(-1)
	deadline := time.Now().Add(m.eng.cfg.LoadWait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	patience := time.NewTimer(time.Until(deadline))
	defer patience.Stop()
	look := time.NewTicker(lookAtLoad)
	defer look.Stop()
	var before uint64
	for first := true; ; first = false {
		m.mu.Lock()
		changed, tries, lastErr, closed := m.changed, m.tries, m.lastErr, m.closed
		m.mu.Unlock()
		if i := m.ready(); i != nil {
			return i, nil
		}
		switch {
		case first:
			before = tries
		case tries != before:
			return nil, lastErr
		}
		if wait := closed.Sub(m.eng.cfg.Now()); wait > 0 {
			e := notReady(m.key.weights, fmt.Sprintf("it failed %d times; the next try is in %s.", failuresToTry, wait.Round(time.Second)), lastErr)
			e.RetryAfter = wait
			return nil, e
		}
		r := m.poke()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-m.eng.stopping:
			return nil, errStopping
		case <-look.C:
			if left := r.remaining(); left > 2*time.Until(deadline) { // a guess, so it has to be off by far
				e := notReady(m.key.weights, fmt.Sprintf("it is still loading (%.0f %%). Try again in %s.", 100*r.status().Progress, left.Round(time.Second)), nil)
				e.RetryAfter = left
				return nil, e
			}
		case <-patience.C:
			if r.queued.Load() {
				return nil, notReady(m.key.weights, "other models are using the memory that it needs. Try again later.", nil)
			}
			e := notReady(m.key.weights, fmt.Sprintf("it is still loading (%.0f %%). Try again soon.", 100*r.status().Progress), nil)
			e.RetryAfter = max(min(r.remaining(), 30*time.Second), time.Second)
			return nil, e
		}
	}
}

// lookAtLoad is how often a request that waits for a load looks how far it is.
const lookAtLoad = time.Second

// lease waits for a process and for one of its slots. The caller must leave the
// instance and release the lease.
//
// Errors: those of acquire and of limit.Slots.Acquire.
func (m *model) lease(ctx context.Context, a limit.Ask) (limit.Lease, *instance, error) {
	m.standing.Add(1) // none of the idle processes leaves meanwhile
	defer m.standing.Add(-1)
	for {
		i, err := m.acquire(ctx) // loads before it queues
		if err != nil {
			return limit.Lease{}, nil, err
		}
		i.leave()
		l, err := m.slots.Acquire(ctx, a)
		if err != nil {
			return limit.Lease{}, nil, err
		}
		if i := m.runners[l.Group].ready.Load(); i != nil && i.enter() {
			return l, i, nil
		}
		m.slots.Release(l, 0) // its process went away: there are others, or it comes back
	}
}

// read finds the weights' file and reads its header, unless it is the one that was
// read last.
func (m *model) read(ctx context.Context) (*facts, error) {
	file, err := m.eng.file(ctx, m.key)
	if err != nil {
		return nil, err
	}
	if v, err := versionOf(file); err == nil {
		if fa := m.facts.Load(); fa.version == v {
			return fa, nil
		}
	}
	return m.eng.facts(file, m.key)
}

// poke asks a runner to bring its process up, and returns it: the one that is at it
// already, else one whose process sleeps, else a cold one.
func (m *model) poke() *runner {
	best := m.runners[0]
	for _, r := range m.runners[1:] {
		if r.eagerness() < best.eagerness() {
			best = r
		}
	}
	best.call()
	return best
}

// wait counts the requests that wait, so that the owner can tell a wish from a
// stale one.
func (m *model) wait(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters += n
}

func (m *model) wanted() bool {
	m.mu.Lock()
	n := m.waiters
	m.mu.Unlock()
	if n > 0 || m.standing.Load() > 0 {
		return true
	}
	_, waiting := m.slots.Load()
	return waiting > 0
}

// announce tells everybody who waits that something changed.
func (m *model) announce() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// failed notes that a process failed: while it loaded, and then nobody waits any
// longer, or in use.
func (m *model) failed(err error, loading bool, reopen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if loading {
		m.tries++
	}
	m.lastErr = err
	if !reopen.IsZero() {
		m.closed = reopen
	}
}

// status tells of the processes that there are, of the last one when there is none.
func (m *model) status() []Status {
	var out []Status
	last := m.runners[0].status()
	for _, r := range m.runners {
		s := r.status()
		if s.State != Cold && s.State != Stopped {
			out = append(out, s)
		}
		if s.Since.After(last.Since) && s.touched || !last.touched {
			last = s
		}
	}
	if len(out) == 0 {
		out = append(out, last)
	}
	_, out[0].Waiting = m.slots.Load()
	return out
}

// compareStatus orders by weights, mode and number.
func compareStatus(a, b Status) int {
	return cmp.Or(cmp.Compare(a.Weights, b.Weights), cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.Replica, b.Replica))
}
