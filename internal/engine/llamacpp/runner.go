package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// State is where a model's process stands.
type State string

// The states of a process.
const (
	Cold     State = "cold"     // not loaded; the next request loads it
	Loading  State = "loading"  // waiting for memory, starting, reading weights
	Ready    State = "ready"    // answers
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
	RSS      int64   // resident bytes; 0 when unknown
	Since    time.Time
	Restarts int    // starts after the first
	Busy     int    // leased slots
	Waiting  int    // callers in the queue
	Safe     bool   // runs in safe mode
	Build    string // of the server
	Err      string // why it failed last; "" when it did not
}

type key struct {
	weights string
	mode    engine.Mode
}

// runner looks after the process of one (weights, mode). Its goroutine, run,
// alone starts and stops the process and sets the state; requests only read it.
type runner struct {
	eng   *Engine
	key   key
	slots *limit.Slots
	log   *slog.Logger

	wake  chan struct{} // somebody wants the process; buffered 1
	leave chan struct{} // the ledger wants its memory; buffered 1

	queued atomic.Bool // the load waits for memory
	ready  atomic.Pointer[instance]
	facts  atomic.Pointer[facts]

	mu      sync.Mutex
	st      Status
	changed chan struct{} // closed and replaced when st changes
	tries   uint64        // loads that failed
	lastErr error         // of the last failed load
	closed  time.Time     // until then the circuit is open
	proc    *process      // while loading or ready
	starts  int
	waiters int // requests that wait for the process
}

func newRunner(e *Engine, k key) *runner {
	return &runner{
		eng: e, key: k,
		slots:   limit.NewSlots(limit.SlotsConfig{N: e.cfg.slots(k.mode), Wait: e.cfg.QueueWait, MaxQueue: e.cfg.Queue}),
		log:     e.cfg.Log.With("weights", k.weights, "mode", string(k.mode)),
		wake:    make(chan struct{}, 1),
		leave:   make(chan struct{}, 1),
		changed: make(chan struct{}),
		st:      Status{Weights: k.weights, Mode: k.mode, State: Cold, Since: e.cfg.Now()},
	}
}

// set changes the state and tells everybody who waits.
func (r *runner) set(s State, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.State, r.st.Since = s, r.eng.cfg.Now()
	if change != nil {
		change()
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// acquire returns the instance, entered; the caller must leave it. It waits for
// a load in progress or starts one.
//
// Errors: ModelNotReadyException when the load fails, takes longer than
// LoadWait, or the circuit is open; ServiceUnavailableException when the engine
// is stopping; the context's error.
func (r *runner) acquire(ctx context.Context) (*instance, error) {
	if i := r.ready.Load(); i != nil && i.enter() {
		return i, nil
	}
	r.wait(1)
	defer r.wait(-1)
	patience := time.NewTimer(r.eng.cfg.LoadWait)
	defer patience.Stop()
	var before uint64
	for first := true; ; first = false {
		r.mu.Lock()
		changed, tries, lastErr, st, closed := r.changed, r.tries, r.lastErr, r.st, r.closed
		r.mu.Unlock()
		if i := r.ready.Load(); i != nil && i.enter() {
			return i, nil
		}
		switch {
		case first:
			before = tries
		case tries != before:
			return nil, lastErr
		}
		if wait := closed.Sub(r.eng.cfg.Now()); st.State == Failed && wait > 0 {
			return nil, notReady(r.key.weights, fmt.Sprintf("it failed %d times; the next try is in %s.", failuresToTry, wait.Round(time.Second)), lastErr)
		}
		select {
		case r.wake <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.eng.stopping:
			return nil, errStopping
		case <-patience.C:
			s := r.status()
			if r.queued.Load() {
				return nil, notReady(r.key.weights, "other models are using the memory that it needs. Try again later.", nil)
			}
			return nil, notReady(r.key.weights, fmt.Sprintf("it is still loading (%.0f %%). Try again soon.", 100*s.Progress), nil)
		}
	}
}

// wait counts the requests that wait, so that the owner can tell a wish from a
// stale one.
func (r *runner) wait(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters += n
}

func (r *runner) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiters > 0
}

// errStopping answers requests that meet the end of the engine.
var errStopping = apierr.Unavailable("The server is shutting down.")

// askToLeave tells the owner that the ledger wants the memory.
func (r *runner) askToLeave() {
	select {
	case r.leave <- struct{}{}:
	default:
	}
}

// idleSince reports whether the process is loaded and unused, and since when.
func (r *runner) idleSince() (time.Time, bool) {
	i := r.ready.Load()
	if i == nil {
		return time.Time{}, false
	}
	users, used := i.load()
	return used, users == 0
}

// status is a snapshot.
func (r *runner) status() Status {
	r.mu.Lock()
	s, p := r.st, r.proc
	r.mu.Unlock()
	if p != nil {
		s.PID = p.pid
		if s.Progress = p.loaded(); s.State == Ready {
			s.Progress = 1
		}
		s.RSS = residentBytes(p.pid)
	}
	s.Busy, s.Waiting = r.slots.Load()
	return s
}

// run owns the process until ctx ends.
func (r *runner) run(ctx context.Context) {
	defer r.set(Stopped, nil)
	var (
		c     circuit
		again bool // start without being asked: it crashed in use
	)
	for {
		if !again {
			select {
			case <-ctx.Done():
				return
			case <-r.leave: // nothing to leave
				continue
			case <-r.wake:
				if !r.wanted() {
					continue
				}
			}
		}
		select {
		case <-r.leave: // was meant for the process before
		default:
		}
		r.set(Loading, nil)
		inst, err := r.load(ctx, again)
		crashed := false
		if err == nil {
			crashed, err = r.serve(ctx, inst)
		}
		r.mu.Lock()
		r.proc = nil
		r.mu.Unlock()
		r.eng.ledger.release(r)
		r.eng.cards.release(r)
		if ctx.Err() != nil {
			return
		}
		if err == nil || errors.Is(err, errUnwanted) { // it left to make room, or never came
			again = false
			r.set(Cold, nil)
			continue
		}
		wait, open := c.fail(r.eng.cfg.Now())
		if !crashed && !countsAsFailure(err) {
			wait, open = 0, false // nothing of its own is broken
			c.failures = c.failures[:len(c.failures)-1]
		}
		// After a crash in use it comes back by itself, until the circuit opens.
		again = (again || crashed) && !open
		facts := []any{"err", err, "retry_in", wait, "circuit_open", open}
		if cause := errors.Unwrap(err); cause != nil {
			facts = append(facts, "cause", cause)
		}
		r.log.Error("engine process failed", facts...)
		r.set(Failed, func() {
			r.st.Err = publicReason(err)
			if !crashed {
				r.tries++
			}
			r.lastErr = r.loadError(err)
			if open {
				r.closed = r.eng.cfg.Now().Add(wait)
			}
		})
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// countsAsFailure is false for errors that say nothing about the process: no
// memory, missing weights.
func countsAsFailure(err error) bool {
	_, modelled := errors.AsType[*apierr.Error](err)
	return !modelled
}

// publicReason is what Status tells of an error.
func publicReason(err error) string {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// loadError is what callers get for a failed load.
func (r *runner) loadError(err error) error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return e
	}
	return notReady(r.key.weights, "it could not be loaded; the server's log tells why.", err)
}

// load brings the process up, in safe mode when the build turns out not to run
// on this CPU otherwise. again means that it is wanted even if nobody waits.
func (r *runner) load(ctx context.Context, again bool) (*instance, error) {
	host, err := r.eng.host(ctx)
	if err != nil {
		return nil, notReady(r.key.weights, "its engine is not installed; see outcrop doctor.", err)
	}
	fa := r.facts.Load()
	if fa == nil || r.st.Err != "" { // the file may have been replaced since
		if fa, err = r.eng.readFacts(ctx, r.key); err != nil {
			return nil, err
		}
		r.facts.Store(fa)
	}
	r.queued.Store(true)
	host, need := r.eng.cards.place(r, host, fa)
	err = r.eng.ledger.reserve(ctx, r, need, func() bool { return again || r.wanted() })
	r.queued.Store(false)
	if err != nil {
		return nil, err
	}
	safe := host.needsSafeMode()
	inst, err := r.spawn(ctx, host, fa, safe)
	if err != nil && len(host.Devices) > 0 && ctx.Err() == nil {
		inst, err = r.spawnOnCPU(ctx, host, fa, safe, err)
		host = host.onCPU()
	}
	if exit, ok := errors.AsType[*exitError](err); ok && exit.badInstruction() && !safe {
		r.log.Warn("the engine build crashed at warm-up; trying its safe mode", "signal", exit.signal.String())
		safe = true
		if inst, err = r.spawn(ctx, host, fa, safe); err == nil {
			if err := host.noteSafeMode(); err != nil {
				r.log.Warn("safe mode is not remembered", "err", err)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	r.eng.ledger.measured(r, residentBytes(inst.proc.pid))
	r.set(Ready, func() { r.st.Safe, r.st.Build, r.st.Err = safe, host.Build, "" })
	return inst, nil
}

// spawn starts a process and waits until it has passed its self-test.
func (r *runner) spawn(ctx context.Context, host Host, fa *facts, safe bool) (*instance, error) {
	begin := time.Now()
	socket, number, err := r.eng.newSocket()
	if err != nil {
		return nil, err
	}
	cfg := &r.eng.cfg
	l := launch{
		model: fa.file.Path, projector: fa.file.Projector, template: fa.file.Template, alias: r.key.weights, socket: socket, slots: cfg.slots(r.key.mode), context: fa.context,
		batch: fa.batch(r.key.mode), threads: cfg.Threads, embedding: r.key.mode == engine.Embed,
		pooling: fa.pooling, safe: safe,
	}
	p, err := r.eng.launch(host, l, number, fa.bytes)
	if err != nil {
		removeSocket(socket)
		return nil, err
	}
	r.mu.Lock()
	r.proc = p
	r.starts++
	r.st.Restarts = r.starts - 1
	r.mu.Unlock()

	inst := &instance{proc: p, client: newClient(socket), suspected: make(chan struct{}, 1), used: time.Now()}
	err = p.waitReady(ctx, cfg.LoadStall, inst.client.health)
	if err == nil {
		err = secureSocket(socket)
	}
	if err == nil {
		next := *fa
		next.turns.Edges = nil
		test, cancel := context.WithTimeout(ctx, cfg.LoadStall)
		err = selfTest(test, inst.client, r.key.mode, &next)
		cancel()
		inst.facts = &next
	}
	if err != nil {
		// A connection that breaks off means that the process is dying.
		if ctx.Err() != nil || !p.await(time.Second) {
			p.kill()
		} else {
			err = &exitError{state: p.state, signal: p.crashSignal()}
		}
		r.cleanUp(inst, socket)
		r.log.Error("engine process did not come up", "err", err, "safe", safe, "stderr", p.stderr.last(stderrKept))
		return nil, err
	}
	inst.proc.socket = socket
	r.facts.Store(inst.facts)
	r.slots.Reset(0)
	r.ready.Store(inst)
	r.log.Info("engine process ready", "pid", p.pid, "build", host.Build, "safe", safe, "took", time.Since(begin),
		"context", fa.context, "slots", cfg.slots(r.key.mode))
	return inst, nil
}

func (r *runner) cleanUp(inst *instance, socket string) {
	inst.client.close()
	removeSocket(socket)
}

// serve watches over a ready process until it is gone. It returns nil when the
// process was asked to leave, and otherwise why it ended.
func (r *runner) serve(ctx context.Context, inst *instance) (crashed bool, err error) {
	defer func() {
		r.ready.Store(nil)
		inst.shut()
		r.cleanUp(inst, inst.proc.socket)
	}()
	watch := time.NewTicker(max(r.eng.cfg.Stall/4, 10*time.Millisecond))
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			r.set(Draining, nil)
			inst.shut()
			r.drain(inst)
			inst.proc.stop(politeWait, termWait)
			return false, nil

		case <-inst.proc.exited:
			return true, r.crash(inst)

		case <-inst.suspected:
			if !inst.proc.await(300*time.Millisecond) && inst.client.health(ctx) == nil {
				inst.reopen()
				r.set(Ready, nil)
				continue
			}
			inst.proc.kill()
			return true, r.crash(inst)

		case <-r.leave:
			if !inst.retire() {
				r.eng.ledger.stays(r)
				continue
			}
			r.set(Draining, nil)
			inst.proc.stop(politeWait, termWait)
			r.log.Info("engine process left to make room")
			return false, nil

		case <-watch.C:
			limit := inst.stallAfter(r.eng.cfg.Stall)
			if silent, busy := inst.silent(); busy && silent > limit {
				r.log.Error("engine process makes no tokens", "silent", silent, "limit", limit, "slots", r.slots.String())
				inst.stalled.Store(true)
				inst.proc.kill()
				return true, fmt.Errorf("no token for %s: %w", silent.Round(time.Millisecond), errStalled)
			}
		}
	}
}

var errStalled = errors.New("the engine process hung")

// crash reports the end of a process that nobody asked for.
func (r *runner) crash(inst *instance) error {
	err := &exitError{state: inst.proc.state, signal: inst.proc.crashSignal()}
	r.log.Error("engine process died", "err", err, "stderr", inst.proc.stderr.last(stderrKept))
	return err
}

// drain waits a while for the requests in flight.
func (r *runner) drain(inst *instance) {
	deadline := time.NewTimer(r.eng.cfg.Drain)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if users, _ := inst.load(); users == 0 {
			return
		}
		select {
		case <-look.C:
		case <-inst.proc.exited:
			return
		case <-deadline.C:
			return
		}
	}
}
