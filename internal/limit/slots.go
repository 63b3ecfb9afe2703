// Package limit decides who may use a scarce thing next and who has waited long
// enough.
package limit

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Defaults of SlotsConfig.
const (
	DefaultWait     = 30 * time.Second // under the 60 s after which SDKs give up reading
	DefaultMaxQueue = 5000
)

// SlotsConfig sizes a Slots.
type SlotsConfig struct {
	N        int           // slots; at least 1
	Wait     time.Duration // longest time in the queue; 0 means DefaultWait
	MaxQueue int           // callers that may wait at once; 0 means DefaultMaxQueue
}

// Slots shares the n slots of a model server among callers: by service tier, in
// equal shares of tokens among scopes, and of one scope the oldest first. A slot keeps the prompt state of its last user, so Slots also tracks
// whose state that is: a scope never gets to reuse another scope's.
//
// It is safe for concurrent use and starts no goroutine.
type Slots struct {
	wait     time.Duration
	maxQueue int

	mu    sync.Mutex
	clock uint64 // counts leases: orders slots by last use
	slots []slot
	free  int
	queue queue
}

// Ask is what a caller wants of a slot.
type Ask struct {
	Scope  string // whose state and whose share it is: the account
	Prefix Prefix
	Tier   Tier
	// Tokens is how much work the request may be, input and output together; at
	// least 1 is counted. Release tells what it was.
	Tokens int
}

// Prefix tells how a prompt begins, so that it may get the slot that holds the
// same beginning. The zero value tells nothing.
type Prefix struct {
	// Head is a hash of what many conversations share: tools and system text. 0
	// means there is none. HeadSize is its size, in any unit.
	Head     uint64
	HeadSize int
	// Turn is a hash of the head and of what tells a conversation from others;
	// Size is the size of the whole prompt.
	Turn uint64
	Size int
}

// slot is one place. owner is the scope whose state it holds; owned is false
// when it holds none, or an unknown one's.
type slot struct {
	owner  string
	owned  bool
	busy   bool
	used   uint64 // clock of the last lease; 0 means never
	prefix Prefix // of the prompt that it holds
}

type waiter struct {
	scope  string
	prefix Prefix
	tier   Tier
	tokens int
	since  time.Time
	came   uint64
	at     *list.Element
	lease  chan Lease // buffered 1: the grantor never blocks
}

// Lease is the right to use one slot until Release.
type Lease struct {
	ID int // number of the slot, from 0
	// Fresh says that the slot may hold state of another scope: the request
	// must tell the server not to reuse any (cache_prompt: false).
	Fresh bool

	scope  string
	prefix Prefix
	tokens int
	use    uint64
}

// NewSlots returns n free slots that nobody has used.
func NewSlots(c SlotsConfig) *Slots {
	if c.N < 1 {
		c.N = 1
	}
	if c.Wait <= 0 {
		c.Wait = DefaultWait
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	return &Slots{
		wait: c.Wait, maxQueue: c.MaxQueue, slots: make([]slot, c.N), free: c.N,
		queue: queue{step: max(c.Wait/tiers, 1), scopes: make(map[string]*scope)},
	}
}

// Acquire waits for a slot and leases it to a scope. Of several free slots it
// takes the one that saves most: one of the same scope that holds the same
// conversation, or the same head and little else; else one that holds nothing;
// else the longest unused one, whosever it is. Without a prefix, the last used
// slot of the same scope comes first.
//
// Of several who wait, the most urgent tier comes first, then the scope that has
// had least, then the oldest; a quarter of the longest wait is worth one tier.
//
// Errors: ThrottlingException when the queue is full or the wait is over; the
// context's error, as it is, when ctx ends first. Every lease must be released.
func (s *Slots) Acquire(ctx context.Context, a Ask) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return Lease{}, err
	}
	a.Tokens = max(a.Tokens, 1)
	s.mu.Lock()
	if s.free == 0 && s.queue.n >= s.maxQueue {
		s.mu.Unlock()
		return Lease{}, apierr.Throttling("Too many requests: %d are already waiting for this model. Try again later.", s.maxQueue)
	}
	sc := s.queue.enter(a.Scope)
	if s.free > 0 { // then nobody waits: Release hands slots straight on
		l := s.grant(s.pick(a.Scope, &a.Prefix), a.Scope, a.Prefix, a.Tokens)
		s.mu.Unlock()
		return l, nil
	}
	w := &waiter{scope: a.Scope, prefix: a.Prefix, tier: a.Tier, tokens: a.Tokens, since: time.Now(), lease: make(chan Lease, 1)}
	s.queue.push(w, sc)
	s.mu.Unlock()

	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	var err error
	select {
	case l := <-w.lease:
		return l, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = apierr.Throttling("Too many requests: no slot of this model became free within %s. Try again later.", s.wait)
	}
	s.mu.Lock()
	select {
	case l := <-w.lease: // granted while we were giving up: pass it on
		s.release(l, 0)
	default:
		s.queue.remove(w)
		s.queue.leave(w.scope)
	}
	s.mu.Unlock()
	return Lease{}, err
}

// Keep records that the server has taken the prompt of a lease into its slot,
// so what the slot holds now is of the lease's scope alone. Call it when the
// first answer of the request arrives. A fresh lease that ends without Keep
// leaves the slot's content unknown, and its next user is fresh again.
func (s *Slots) Keep(l Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.held(l); sl != nil {
		sl.owner, sl.owned, sl.prefix = l.scope, true, l.prefix
	}
}

// Release gives the slot back, to the next waiting caller if there is one. used is
// how much work the request was, in tokens; what was set aside beyond it does not
// count against the scope's share. A second Release of the same lease does nothing.
func (s *Slots) Release(l Lease, used int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(l, used)
}

// Reset forgets what the slots hold: the server behind them is a new one.
func (s *Slots) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		s.slots[i].owner, s.slots[i].owned, s.slots[i].prefix = "", false, Prefix{}
	}
}

// Load tells how many slots are leased and how many callers wait.
func (s *Slots) Load() (busy, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.slots) - s.free, s.queue.n
}

// String describes the load for logs.
func (s *Slots) String() string {
	busy, waiting := s.Load()
	return fmt.Sprintf("%d of %d slots busy, %d waiting", busy, len(s.slots), waiting)
}

// held returns the slot that l leases, or nil when l was released.
func (s *Slots) held(l Lease) *slot {
	if l.ID < 0 || l.ID >= len(s.slots) {
		return nil
	}
	sl := &s.slots[l.ID]
	if !sl.busy || sl.used != l.use {
		return nil
	}
	return sl
}

// The ranks of a free slot for a caller.
const (
	rankUseless = iota + 1 // holds another scope's state, or what the caller cannot use
	rankUnowned            // holds nothing
	rankHead               // the caller's own head, and little that would be lost
	rankSame               // the caller's own conversation
)

// rank tells how well a free slot suits a caller.
func (sl *slot) rank(scope string, p *Prefix) int {
	switch held := &sl.prefix; {
	case !sl.owned:
		return rankUnowned
	case sl.owner != scope:
		return rankUseless
	case *p == (Prefix{}) || p.Turn != 0 && p.Turn == held.Turn:
		return rankSame
	case p.Head != 0 && p.Head == held.Head && held.Size-held.HeadSize <= held.HeadSize:
		return rankHead
	}
	return rankUseless
}

// pick returns the free slot that suits best. There must be one. Of equals it
// takes the warmest of the same conversation, and the coldest of all others.
func (s *Slots) pick(scope string, p *Prefix) int {
	best, rank := -1, 0
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.busy {
			continue
		}
		r := sl.rank(scope, p)
		if r < rank {
			continue
		}
		if r == rank {
			if warmer := sl.used >= s.slots[best].used; warmer != (r == rankSame) {
				continue
			}
		}
		best, rank = i, r
	}
	return best
}

// grant leases slot i, which must be free, to a scope that has entered the queue.
func (s *Slots) grant(i int, scope string, p Prefix, tokens int) Lease {
	s.clock++
	sl := &s.slots[i]
	l := Lease{ID: i, Fresh: !sl.owned || sl.owner != scope, scope: scope, prefix: p, tokens: tokens, use: s.clock}
	s.queue.charge(s.queue.scopes[scope], float64(tokens))
	if l.Fresh { // unknown until Keep
		sl.owner, sl.owned, sl.prefix = "", false, Prefix{}
	}
	sl.busy, sl.used = true, s.clock
	s.free--
	return l
}

func (s *Slots) release(l Lease, used int) {
	sl := s.held(l)
	if sl == nil {
		return
	}
	sl.busy = false
	s.free++
	s.queue.charge(s.queue.scopes[l.scope], float64(used-l.tokens))
	s.queue.leave(l.scope)
	if w := s.queue.pop(time.Now()); w != nil {
		w.lease <- s.grant(s.pick(w.scope, &w.prefix), w.scope, w.prefix, w.tokens)
	}
}
