package llamacpp

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// State is where a model's process stands.
type State string

// The states of a process.
const (
	Cold     State = "cold"     // not loaded; the next request loads it
	Loading  State = "loading"  // waiting for memory, starting, reading weights
	Ready    State = "ready"    // answers
	Sleeping State = "sleeping" // has given its weights' memory back; the next request wakes it
	Draining State = "draining" // leaves when its last request ends
	Stopped  State = "stopped"  // the engine has ended
	Failed   State = "failed"   // waits before it is tried again
)

// Status describes one process for people.
type Status struct {
	Weights  string
	Mode     engine.Mode
	State    State
	Progress float64 // of loading, 0..1
	PID      int     // 0 without a process
	// Memory is the proportional set size, in bytes: what the process shares with
	// others counts in part. Where the system does not tell, it is the resident
	// memory; 0 when unknown. Estimate is what its load was admitted with.
	Memory   int64
	Estimate int64
	Since    time.Time
	Restarts int    // starts after the first
	Busy     int    // leased slots
	Waiting  int    // callers in the queue of these weights, told by the first process
	Replica  int    // number among the processes of the same weights and mode, from 0
	Pinned   bool   // never leaves
	Safe     bool   // runs in safe mode
	Build    string // of the server
	Err      string // why it failed last; "" when it did not

	touched bool // its state was ever set
}

// runner looks after the process of one group of a model's slots. Its goroutine,
// run, alone starts and stops the process and sets the state; requests only read it.
type runner struct {
	eng   *Engine
	model *model
	group int // of the model's slots
	log   *slog.Logger

	wake  chan struct{} // somebody wants the process; buffered 1
	leave chan parting  // somebody wants it gone; buffered 1
	order atomic.Int32  // why the keeper wants the process; an order

	queued atomic.Bool // the load waits for memory
	ready  atomic.Pointer[instance]
	asleep atomic.Pointer[instance] // what ready was before it fell asleep
	old    atomic.Pointer[runner]   // whose process this one is to replace

	mu     sync.Mutex
	st     Status
	proc   *process // while loading or ready
	bytes  int64    // estimate of the process
	loaded time.Time
	starts int
}

// order is why a process is wanted, when it is not by callers who wait for it.
type order = int32

const (
	none    order = iota
	keep          // it is pinned or preloaded
	scale         // callers have waited long for a slot; only if there is memory
	replace       // its weights have a new version
)

// parting is why a process is to go.
type parting int

const (
	evict  parting = iota // the ledger wants its memory, if it is idle
	unload                // it was idle for long, if it still is
	drain                 // when its last request ends: another one has its place
)

func newRunner(m *model, group int) *runner {
	return &runner{
		eng: m.eng, model: m, group: group, log: m.log,
		wake:  make(chan struct{}, 1),
		leave: make(chan parting, 1),
		st:    Status{Weights: m.key.weights, Mode: m.key.mode, State: Cold, Since: m.eng.cfg.Now(), Replica: group, Pinned: m.pinned},
	}
}

// set changes the state and tells everybody who waits.
func (r *runner) set(s State, change func()) {
	r.mu.Lock()
	r.st.State, r.st.Since, r.st.touched = s, r.eng.cfg.Now(), true
	if change != nil {
		change()
	}
	r.mu.Unlock()
	r.model.announce()
}

func (r *runner) state() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.State
}

// eagerness orders runners by how soon each would have a process that answers.
func (r *runner) eagerness() int {
	switch r.state() {
	case Ready: // just now
		return 0
	case Loading:
		return 1
	case Failed: // it comes back by itself
		return 2
	case Sleeping:
		return 3
	case Cold:
		return 4
	}
	return 5
}

// call wakes the owner.
func (r *runner) call() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// command wakes the owner for a reason of the keeper's.
func (r *runner) command(o order) {
	r.order.Store(o)
	r.call()
}

// part asks the process to go.
func (r *runner) part(p parting) {
	select {
	case r.leave <- p:
	default:
	}
}

// live reports whether there is a process, or soon will be.
func (r *runner) live() bool {
	switch r.state() {
	case Cold, Stopped, Draining:
		return false
	}
	return true
}

// errStopping answers requests that meet the end of the engine.
var errStopping = apierr.Unavailable("The server is shutting down.")

// idleSince reports whether the process is loaded and unused, and since when.
func (r *runner) idleSince() (time.Time, bool) {
	i := r.ready.Load()
	if i == nil {
		i = r.asleep.Load()
	}
	if i == nil || r.model.standing.Load() > 0 {
		return time.Time{}, false
	}
	users, used := i.load()
	return used, users == 0
}

// retire closes the instance to new users, if it has none and nobody is about to
// use it.
func (r *runner) retire(i *instance) bool {
	if r.model.standing.Load() > 0 || !i.retire() {
		return false
	}
	r.ready.Store(nil)
	r.model.slots.Shut(r.group)
	return true
}

// remaining is about how long a load will go on; 0 when that cannot be told.
func (r *runner) remaining() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.st.State != Loading || r.proc == nil || r.loaded.IsZero() {
		return 0
	}
	done, took := r.proc.loaded(), time.Since(r.loaded)
	if done < 0.05 || done >= 1 || took < 2*time.Second {
		return 0
	}
	return time.Duration(float64(took) * (1 - done) / done)
}

// status is a snapshot.
func (r *runner) status() Status {
	r.mu.Lock()
	s, p := r.st, r.proc
	s.Estimate = r.bytes
	r.mu.Unlock()
	if p != nil {
		s.PID = p.pid
		if s.Progress = p.loaded(); s.State == Ready || s.State == Sleeping {
			s.Progress = 1
		}
		s.Memory = memoryOf(p.pid)
	}
	if s.Estimate == 0 {
		s.Estimate = r.model.facts.Load().bytes
	}
	s.Busy, _ = r.model.slots.GroupLoad(r.group)
	return s
}
