package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// ending is how a process ended that had been ready.
type ending int

const (
	left     ending = iota // it was asked to
	crashed                // nobody asked for it
	outdated               // it slept, and its weights have a new version
)

// run owns the process until ctx ends.
func (r *runner) run(ctx context.Context) {
	defer r.set(Stopped, nil)
	var (
		c     circuit
		again bool // start without being asked: it crashed in use
	)
	for {
		why := none
		if !again {
			select {
			case <-ctx.Done():
				return
			case <-r.leave: // nothing to leave
				continue
			case <-r.wake:
				if why = r.order.Swap(none); why == none && (!r.model.wanted() || r.model.answers()) {
					continue
				}
			}
		}
		select {
		case <-r.leave: // was meant for the process before
		default:
		}
		r.set(Loading, nil)
		inst, err := r.load(ctx, why, again)
		how := left
		if err == nil {
			how, err = r.serve(ctx, inst)
		}
		r.mu.Lock()
		r.proc, r.bytes, r.loaded = nil, 0, time.Time{}
		r.mu.Unlock()
		r.old.Store(nil)
		r.eng.ledger.release(r)
		r.eng.cards.release(r)
		if ctx.Err() != nil {
			return
		}
		if err == nil || errors.Is(err, errUnwanted) { // it left, or never came
			again = how == outdated
			r.set(Cold, nil)
			if !again && r.model.wanted() && !r.model.answers() {
				r.model.poke()
			}
			continue
		}
		wait, open := c.fail(r.eng.cfg.Now())
		if how != crashed && !countsAsFailure(err) {
			wait, open = 0, false // nothing of its own is broken
			c.failures = c.failures[:len(c.failures)-1]
		}
		// After a crash in use it comes back by itself, until the circuit opens; what
		// is pinned comes back always.
		again = (again || how == crashed) && (!open || r.model.pinned)
		facts := []any{"err", err, "retry_in", wait, "circuit_open", open}
		if cause := errors.Unwrap(err); cause != nil {
			facts = append(facts, "cause", cause)
		}
		r.log.Error("engine process failed", facts...)
		var reopen time.Time
		if open {
			reopen = r.eng.cfg.Now().Add(wait)
		}
		r.model.failed(r.loadError(err), how != crashed, reopen)
		r.set(Failed, func() { r.st.Err = publicReason(err) })
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		if r.model.answers() {
			r.set(Cold, nil)
		} else if !again {
			r.call() // somebody may still wait
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
	return notReady(r.model.key.weights, "it could not be loaded; the server's log tells why.", err)
}

// load brings the process up, in safe mode when the build turns out not to run
// on this CPU otherwise. why says who wants it, if not those who wait for it; again
// that it comes back after a crash.
func (r *runner) load(ctx context.Context, why order, again bool) (*instance, error) {
	host, err := r.eng.host(ctx)
	if err != nil {
		return nil, notReady(r.model.key.weights, "its engine is not installed; see outcrop doctor.", err)
	}
	fa, err := r.model.read(ctx)
	if err != nil {
		if why == replace {
			r.model.reject(ctx)
		}
		return nil, err
	}
	host, need := r.eng.cards.place(r, host, fa)
	r.mu.Lock()
	r.bytes = need
	r.mu.Unlock()
	if err := r.admit(ctx, need, why, again); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.loaded = time.Now()
	r.mu.Unlock()
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
		if why == replace {
			r.model.reject(ctx)
		}
		return nil, err
	}
	r.eng.ledger.measured(r, memoryOf(inst.proc.pid))
	r.set(Ready, func() { r.st.Safe, r.st.Build, r.st.Err = safe, host.Build, "" })
	if old := r.old.Swap(nil); old != nil {
		old.part(drain)
	}
	return inst, nil
}

// admit waits for the memory of a load.
func (r *runner) admit(ctx context.Context, need int64, why order, again bool) error {
	if why == scale || why == replace {
		if r.eng.ledger.try(r, need) {
			return nil
		}
		if why == scale {
			return errUnwanted
		}
		if old := r.old.Load(); old != nil { // no room for both: callers wait in line
			r.log.Info("no memory for two versions of these weights: the old one leaves first")
			old.part(drain)
		}
	}
	r.queued.Store(true)
	defer r.queued.Store(false)
	return r.eng.ledger.reserve(ctx, r, need, func() bool {
		return again || why != none || r.model.pinned || r.model.wanted()
	})
}

// spawn starts a process and waits until it has passed its self-test.
func (r *runner) spawn(ctx context.Context, host Host, fa *facts, safe bool) (*instance, error) {
	begin := time.Now()
	socket, number, err := r.eng.newSocket()
	if err != nil {
		return nil, err
	}
	cfg, k := &r.eng.cfg, r.model.key
	l := launch{
		model: fa.file.Path, projector: fa.file.Projector, template: fa.file.Template, alias: k.weights, socket: socket,
		slots: cfg.slots(k.mode), context: fa.context, batch: fa.batch(k.mode), threads: cfg.Threads,
		embedding: k.mode == engine.Embed, pooling: fa.pooling, safe: safe,
	}
	if fa.kv > 0 {
		l.kv = max(fa.kv, r.model.kv)
	}
	if !r.model.pinned {
		l.sleep = cfg.IdleSleep
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
		err = selfTest(test, inst.client, k.mode, &next)
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
	r.model.facts.Store(inst.facts)
	r.open(inst)
	r.log.Info("engine process ready", "pid", p.pid, "build", host.Build, "safe", safe, "took", time.Since(begin),
		"context", fa.context, "slots", l.slots, "replica", r.group)
	return inst, nil
}

// open lets requests at an instance that holds no prompts.
func (r *runner) open(inst *instance) {
	r.model.slots.Reset(r.group)
	r.ready.Store(inst)
	r.model.slots.Open(r.group)
}

func (r *runner) cleanUp(inst *instance, socket string) {
	inst.client.close()
	removeSocket(socket)
}

// serve watches over a ready process until it is gone. The error says why, unless
// it was asked to go.
func (r *runner) serve(ctx context.Context, inst *instance) (ending, error) {
	defer func() {
		r.ready.Store(nil)
		r.asleep.Store(nil)
		r.model.slots.Shut(r.group)
		inst.shut()
		r.cleanUp(inst, inst.proc.socket)
	}()
	watch := time.NewTicker(max(r.eng.cfg.Stall/4, 10*time.Millisecond))
	defer watch.Stop()
	var last <-chan time.Time // looks whether the last user of a draining process has left
	for {
		select {
		case <-ctx.Done():
			r.set(Draining, nil)
			inst.shut()
			r.finish(inst)
			inst.proc.stop(politeWait, termWait)
			return left, nil

		case <-inst.proc.exited:
			err := r.crash(inst)
			if last != nil || r.asleep.Load() != nil { // it is not missed
				return left, nil
			}
			return crashed, err

		case <-inst.suspected:
			if !inst.proc.await(300*time.Millisecond) && inst.client.health(ctx) == nil {
				inst.reopen()
				if last == nil {
					r.set(Ready, nil)
				}
				continue
			}
			inst.proc.kill()
			if err := r.crash(inst); last == nil {
				return crashed, err
			}
			return left, nil

		case why := <-r.leave:
			switch {
			case last != nil:
				continue
			case why == drain && r.asleep.Load() == nil:
				r.ready.Store(nil)
				r.model.slots.Shut(r.group)
				r.set(Draining, nil)
				look := time.NewTicker(20 * time.Millisecond)
				defer look.Stop()
				last = look.C
				continue
			case why != drain && r.asleep.Load() == nil && !r.retire(inst):
				r.eng.ledger.stays(r)
				continue
			}
			r.set(Draining, nil)
			inst.proc.stop(politeWait, termWait)
			r.log.Info("engine process left", "why", why.String())
			return left, nil

		case <-last:
			if inst.retire() {
				inst.proc.stop(politeWait, termWait)
				r.log.Info("engine process left", "why", drain.String())
				return left, nil
			}

		case <-inst.proc.slept:
			if last == nil {
				r.doze(inst)
			}

		case <-r.wake:
			if o := r.order.Swap(none); r.asleep.Load() == nil || o == none && !r.model.wanted() {
				continue
			}
			if done, how, err := r.rouse(ctx, inst); done {
				return how, err
			}

		case <-watch.C:
			if last == nil && inst.proc.dozing.Load() && r.asleep.Load() == nil {
				r.doze(inst)
			}
			limit := inst.stallAfter(r.eng.cfg.Stall)
			if silent, busy := inst.silent(); busy && silent > limit {
				r.log.Error("engine process makes no tokens", "silent", silent, "limit", limit, "slots", r.model.slots.String())
				inst.stalled.Store(true)
				inst.proc.kill()
				return crashed, fmt.Errorf("no token for %s: %w", silent.Round(time.Millisecond), errStalled)
			}
		}
	}
}

var errStalled = errors.New("the engine process hung")

func (p parting) String() string {
	switch p {
	case evict:
		return "to make room"
	case unload:
		return "it was idle"
	}
	return "another took its place"
}

// doze takes note that the server has given its memory back, unless somebody is
// about to wake it: then it counts as awake.
func (r *runner) doze(inst *instance) {
	if !r.retire(inst) {
		return
	}
	r.asleep.Store(inst)
	r.eng.ledger.sleeps(r, memoryOf(inst.proc.pid))
	r.set(Sleeping, nil)
	r.log.Info("engine process sleeps", "pid", inst.proc.pid)
}

// rouse wakes a sleeping process, once there is memory for it. It returns done when
// the process is gone instead.
func (r *runner) rouse(ctx context.Context, inst *instance) (done bool, how ending, err error) {
	begin := time.Now()
	r.set(Loading, func() { r.loaded = begin })
	fa, err := r.model.read(ctx)
	if err == nil && fa.version != inst.facts.version {
		inst.proc.stop(politeWait, termWait)
		return true, outdated, nil
	}
	if err == nil {
		err = r.admit(ctx, r.bytes, none, false)
	}
	switch {
	case errors.Is(err, errUnwanted), ctx.Err() != nil:
		r.set(Sleeping, nil)
		return false, left, nil
	case err != nil:
		inst.proc.stop(politeWait, termWait)
		return true, left, err
	}
	// Any work wakes it. A server that cannot read its weights again ends itself.
	wake, cancel := context.WithTimeout(ctx, r.eng.cfg.LoadStall)
	_, err = tokenize(wake, inst.client, "a", false)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return false, left, nil
		}
		inst.proc.kill()
		return true, crashed, r.crash(inst)
	}
	r.asleep.Store(nil)
	inst.wake()
	r.open(inst)
	r.eng.ledger.measured(r, memoryOf(inst.proc.pid))
	r.set(Ready, nil)
	r.log.Info("engine process woke", "pid", inst.proc.pid, "took", time.Since(begin))
	return false, left, nil
}

// crash reports the end of a process that nobody asked for.
func (r *runner) crash(inst *instance) error {
	err := &exitError{state: inst.proc.state, signal: inst.proc.crashSignal()}
	r.log.Error("engine process died", "err", err, "stderr", inst.proc.stderr.last(stderrKept))
	return err
}

// finish waits a while for the requests in flight.
func (r *runner) finish(inst *instance) {
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
