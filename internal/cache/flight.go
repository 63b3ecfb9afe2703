package cache

import (
	"context"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	// maxLog is how many bytes of a reply are kept for those who listen to it. A reply
	// that gets longer takes nobody else in, and forgets what all have read.
	maxLog = 1 << 20
	// eventCost is about what an event takes beside its text.
	eventCost = 192
	// patience is how long a reply waits for a listener who is maxLog behind all the
	// others; then the listener is let go.
	patience = 30 * time.Second
)

// flights are the generations under way that several calls may share. The zero
// value is ready.
type flights struct {
	mu  sync.Mutex
	all map[[32]byte]*flight
}

// flight is one generation and those who listen to it. It goes on while somebody
// does, whoever began it.
type flight struct {
	key    [32]byte
	owner  *flights
	cancel context.CancelFunc
	ended  chan struct{} // closed when the generation has left the engine
	moved  chan struct{} // a listener has read on or has left; 1 deep

	mu        sync.Mutex
	log       []llm.Event
	base      int // index of log[0] in the reply
	bytes     int // of log
	facts     call.Call
	how       string    // call.CacheHit when a reply was found after all; otherwise it is made
	usage     llm.Usage // so far
	done      bool
	err       error
	panicked  any
	listeners map[*listener]struct{}
}

// listener is one call's place in a flight.
type listener struct {
	flight *flight
	leads  bool
	pays   bool          // the reply counts for this call; guarded by flight.mu
	wake   chan struct{} // there is more; 1 deep
	next   int           // index of the next event
	err    error         // it was let go
}

// join returns a place in a flight that is under way; nil when there is none.
func (fs *flights) join(key [32]byte) *listener {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.all[key]
	if f == nil {
		return nil
	}
	return f.listen()
}

// lead returns a place in the flight of a key, and begins one with make when there
// is none. make runs in a goroutine of its own, under a context that ends with the
// last listener, and hands every event to f.add until that reports false. It may
// not keep c, which is a copy that only the flight uses.
func (fs *flights) lead(ctx context.Context, key [32]byte, c *call.Call, generate func(ctx context.Context, c *call.Call, f *flight)) *listener {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.all[key]; f != nil {
		return f.listen()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{
		key: key, owner: fs, cancel: cancel, ended: make(chan struct{}), moved: make(chan struct{}, 1),
		listeners: map[*listener]struct{}{},
	}
	if fs.all == nil {
		fs.all = map[[32]byte]*flight{}
	}
	fs.all[key] = f
	l := f.listen()
	l.leads, l.pays = true, true
	own := *c
	own.Keys, own.Needs, own.Metadata = nil, nil, nil
	go f.run(ctx, &own, generate)
	return l
}

// run makes the reply.
func (f *flight) run(ctx context.Context, c *call.Call, generate func(context.Context, *call.Call, *flight)) {
	defer close(f.ended)
	defer f.cancel()
	defer func() {
		p := recover() // the listeners go on with it, where it is told and logged
		f.owner.forget(f)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.done, f.panicked = true, p
		f.facts = facts(c)
		f.tell()
	}()
	generate(ctx, c, f)
}

// facts are what a generation tells of itself.
func facts(c *call.Call) call.Call {
	return call.Call{ServedBy: c.ServedBy, StandIn: c.StandIn, Inferred: c.Inferred, Server: c.Server, InferenceRegion: c.InferenceRegion, Queued: c.Queued}
}

// forget lets nobody else into a flight.
func (fs *flights) forget(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.all[f.key] == f {
		delete(fs.all, f.key)
	}
}

// listen takes a place at the beginning of the reply. The owner is locked.
func (f *flight) listen() *listener {
	l := &listener{flight: f, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[l] = struct{}{}
	l.wake <- struct{}{}
	return l
}

// tell wakes everybody. f is locked.
func (f *flight) tell() {
	for l := range f.listeners {
		notify(l.wake)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add hands an event to all listeners. It reports false when the generation is to
// end: after an error, and when nobody listens.
func (f *flight) add(ctx context.Context, c *call.Call, ev *llm.Event, err error) bool {
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
		return false
	}
	if !f.room(ctx, eventCost+len(ev.Text)) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base+len(f.log) == 0 {
		f.facts, f.how = facts(c), c.Cache
	}
	switch ev.Kind {
	case llm.Start, llm.Done:
		f.usage = ev.Usage
	case llm.Delta:
		f.usage.OutputTokens++
	}
	f.log = append(f.log, *ev)
	f.bytes += eventCost + len(ev.Text)
	f.tell()
	return ctx.Err() == nil
}

// room waits until n more bytes fit into the log. What everybody has read goes
// first; then the reply waits for the slowest listener, for as long as it has
// patience with it.
func (f *flight) room(ctx context.Context, n int) bool {
	f.mu.Lock()
	full := f.bytes+n > maxLog
	f.mu.Unlock()
	if !full {
		return true
	}
	f.owner.forget(f) // what came first will be gone
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		f.mu.Lock()
		f.trim()
		full = f.bytes+n > maxLog && len(f.log) > 0
		f.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-f.moved:
		case <-limit.C:
			f.expel()
			limit.Reset(patience)
		}
	}
}

// trim forgets what everybody has read. f is locked.
func (f *flight) trim() {
	first := f.base + len(f.log)
	for l := range f.listeners {
		if l.err == nil {
			first = min(first, l.next)
		}
	}
	for i := range f.log[:first-f.base] {
		f.bytes -= eventCost + len(f.log[i].Text)
	}
	clear(f.log[:first-f.base])
	f.log = f.log[first-f.base:]
	f.base = first
}

// expel lets those go who hold the beginning of the log.
func (f *flight) expel() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		if l.next == f.base && l.err == nil {
			l.err = apierr.ModelStreamError("The reply was made faster than the client read it, for too long.")
			notify(l.wake)
		}
	}
	notify(f.moved)
}

// events are what the listener hears. begin is told, once, before the first event,
// what the generation has told of itself.
func (l *listener) events(ctx context.Context, begin func(facts call.Call, how string)) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		defer l.leave()
		began := false
		for {
			select {
			case <-ctx.Done():
				yield(llm.Event{}, ctx.Err())
				return
			case <-l.wake:
			}
			for {
				ev, more, err := l.read()
				if err != nil || more {
					if !began {
						began = true
						begin(l.flight.told())
					}
					if !yield(ev, err) || err != nil {
						return
					}
					continue
				}
				if l.over() {
					return
				}
				break
			}
		}
	}
}

// read returns the next event, or why there is none any more.
func (l *listener) read() (ev llm.Event, more bool, err error) {
	f := l.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	switch i := l.next - f.base; {
	case l.err != nil:
		return ev, false, l.err
	case i < len(f.log):
		l.next++
		notify(f.moved)
		return f.log[i], true, nil
	case f.done && f.panicked != nil:
		panic(f.panicked)
	case f.done:
		return ev, false, f.err
	}
	return ev, false, nil
}

// told is what the generation has told of itself.
func (f *flight) told() (facts call.Call, how string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.facts, f.how
}

// over reports whether the reply ended and was heard to its end.
func (l *listener) over() bool {
	f := l.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done && l.next == f.base+len(f.log)
}

// leave gives the place up. The last one to leave ends the generation and waits
// until the engine is free of it. Who leaves before the end does not pay for those who
// stay: one of them does.
func (l *listener) leave() {
	f := l.flight
	f.owner.mu.Lock()
	f.mu.Lock()
	delete(f.listeners, l)
	for o := range f.listeners {
		if !l.pays || f.done {
			break
		}
		l.pays, o.pays = false, true
	}
	last := len(f.listeners) == 0
	if last && f.owner.all[f.key] == f { // one that comes now begins anew
		delete(f.owner.all, f.key)
	}
	f.mu.Unlock()
	f.owner.mu.Unlock()
	notify(f.moved)
	if last {
		f.cancel()
		<-f.ended
	}
}

// bill is what the reply used when it counts for this call, which has left; of a reply
// that was found after all, nothing was.
func (l *listener) bill() (u llm.Usage, ok bool) {
	f := l.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.usage, l.pays && f.how != call.CacheHit
}
