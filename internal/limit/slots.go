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
	DefaultMaxQueue = 64
)

// SlotsConfig sizes a Slots.
type SlotsConfig struct {
	N        int           // slots; at least 1
	Wait     time.Duration // longest time in the queue; 0 means DefaultWait
	MaxQueue int           // callers that may wait at once; 0 means DefaultMaxQueue
	// Group is how many slots lie together in one process: slots [0, Group) are
	// group 0, the next ones group 1, and so on. 0 means that all are one group.
	Group int
	// Tokens is what the requests of one group may hold together, input and output:
	// the size of its key-value cache. 0 means that slots alone count.
	Tokens int
	// Most is what one request can hold at most: an Ask for more counts as one for
	// Most. 0 means Tokens. Without Tokens it has no meaning.
	Most int
	// Shut makes all groups begin shut; see Open.
	Shut bool
}

// Slots shares the slots of a model's processes among callers: by service tier, in
// equal shares of tokens among scopes, and of one scope the oldest first. Slots may
// be set aside for a holder, who alone is given them. A slot keeps the prompt
// state of its last user, so Slots also tracks whose state that is: a scope never
// gets to reuse another scope's.
//
// It is safe for concurrent use and starts no goroutine.
type Slots struct {
	wait     time.Duration
	maxQueue int
	size     int // slots of a group; the last one may have fewer
	tokens   int // budget of a group; 0 means none
	share    int // of the budget that one slot stands for
	most     int // tokens of one lease

	mu      sync.Mutex
	clock   uint64 // counts leases: orders slots by last use
	slots   []slot
	groups  []group
	demand  *pool   // those who hold nothing
	holders []*pool // in the order of their first Reserve
	owed    int     // slots set aside and not leased
	stats   Stats
}

// Ask is what a caller wants of a slot.
type Ask struct {
	Scope  string // whose state and whose share it is: the account
	Prefix Prefix
	Tier   Tier
	// Tokens is how much work the request may be, input and output together; at
	// least 1 is counted. Release tells what it was.
	Tokens int
	// Reserved is the holder whose slots are asked for: those that Reserve set
	// aside and no others. "" asks for the slots that are set aside for nobody.
	Reserved string
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

// group is the slots of one process.
type group struct {
	first, end int // slots[first:end]
	open       bool
	free       int // slots
	tokens     int // leased
}

// pool is those who share some number of slots, and wait for them in one line.
type pool struct {
	holder string // "" for those who hold nothing
	n      int    // slots set aside for the holder
	busy   int    // leases
	queue  queue
	pace   pace
}

type waiter struct {
	scope  *scope
	name   string // of the scope
	prefix Prefix
	tier   Tier
	work   int
	room   int
	since  time.Time
	came   uint64
	at     *list.Element
	lease  chan Lease // buffered 1: the grantor never blocks; closed when it waits in vain
	err    error      // why; set before lease is closed
}

// Lease is the right to use one slot until Release.
type Lease struct {
	ID    int // number of the slot, from 0
	Group int // number of its group, from 0
	Slot  int // number of the slot in its group, from 0
	// Fresh says that the slot may hold state of another scope: the request
	// must tell the server not to reuse any (cache_prompt: false).
	Fresh bool
	// Waited is how long the caller stood in line; 0 when a slot was free.
	Waited time.Duration

	name   string
	scope  *scope
	pool   *pool
	prefix Prefix
	work   int // charged to the scope
	room   int // taken from the group's budget
	use    uint64
}

// NewSlots returns free slots that nobody has used.
func NewSlots(c SlotsConfig) *Slots {
	c.N = max(c.N, 1)
	if c.Wait <= 0 {
		c.Wait = DefaultWait
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	if c.Group <= 0 || c.Group > c.N {
		c.Group = c.N
	}
	c.Tokens = max(c.Tokens, 0)
	if c.Most <= 0 || c.Most > c.Tokens {
		c.Most = c.Tokens
	}
	s := &Slots{
		wait: c.Wait, maxQueue: c.MaxQueue, size: c.Group, tokens: c.Tokens, most: c.Most,
		share: c.Tokens / c.Group, slots: make([]slot, c.N),
	}
	s.demand = &pool{queue: newQueue(c.Wait / tiers)}
	for i := 0; i < c.N; i += c.Group {
		end := min(i+c.Group, c.N)
		s.groups = append(s.groups, group{first: i, end: end, open: !c.Shut, free: end - i})
	}
	return s
}

// Acquire waits for a slot and leases it to a scope. Of several free slots it
// takes the one that saves most: one of the same scope that holds the same
// conversation, or the same head and little else; else one that holds nothing;
// else one of the least busy group, the longest unused one, whosever it is.
// Without a prefix, the last used slot of the same scope comes first.
//
// Of several who wait, the most urgent tier comes first, then the scope that has
// had least, then the oldest; a quarter of the longest wait is worth one tier. Who
// comes first is not overtaken, also when only the others' tokens would fit. When
// the line is full, whoever comes is refused; but if his scope has fewer in it than
// another one, the last of that one is refused in his place: no flood of one scope
// keeps the others out.
//
// Errors: ThrottlingException when the queue is full or the wait is over, with a
// RetryAfter by the pace at which slots become free; ModelNotReadyException when
// nothing is set aside for a.Reserved, ResourceNotFoundException when that ends
// while the caller waits; the context's error, as it is, when ctx ends first. Every
// lease must be released.
func (s *Slots) Acquire(ctx context.Context, a Ask) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return Lease{}, err
	}
	work := max(a.Tokens, 1)
	room := min(work, s.most)
	s.mu.Lock()
	p := s.pool(a.Reserved)
	if p == nil || p != s.demand && p.n == 0 {
		s.mu.Unlock()
		return Lease{}, apierr.ModelNotReady("The model is not ready: nothing is set aside for this provisioned throughput yet. Try again soon.")
	}
	if p.queue.n == 0 {
		if i, g := s.place(p, a.Scope, &a.Prefix, room); i >= 0 {
			l := s.grant(i, g, Lease{name: a.Scope, scope: p.queue.enter(a.Scope), pool: p, prefix: a.Prefix, work: work, room: room})
			s.stats.Waits.add(0)
			s.mu.Unlock()
			return l, nil
		}
	}
	if p.queue.n >= s.maxQueue {
		e := apierr.Throttling("Too many requests: %d are already waiting for this model. Try again later.", s.maxQueue)
		e.RetryAfter = p.pace.after(p.queue.n / 2)
		s.stats.Full++
		other := p.queue.crowding(a.Scope)
		if other == nil {
			s.mu.Unlock()
			return Lease{}, e
		}
		p.queue.refuse(other, e)
	}
	w := &waiter{
		scope: p.queue.enter(a.Scope), name: a.Scope, prefix: a.Prefix, tier: a.Tier, work: work, room: room,
		since: time.Now(), lease: make(chan Lease, 1),
	}
	s.stats.Ahead.add(p.queue.n)
	p.queue.push(w)
	s.mu.Unlock()
	return s.stand(ctx, p, w)
}

// stand waits in the line of p.
func (s *Slots) stand(ctx context.Context, p *pool, w *waiter) (Lease, error) {
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	late := false
	select {
	case l, ok := <-w.lease:
		if !ok {
			return Lease{}, w.err
		}
		return l, nil
	case <-ctx.Done():
	case <-timer.C:
		late = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case l, ok := <-w.lease: // granted while we were giving up: pass it on
		if !ok {
			return Lease{}, w.err
		}
		s.release(l, 0)
	default:
		p.queue.remove(w)
		p.queue.leave(w.scope)
		s.dispatch(time.Now()) // it may have stood in the way of smaller ones
	}
	if !late {
		s.stats.Left++
		return Lease{}, ctx.Err()
	}
	s.stats.Late++
	e := apierr.Throttling("Too many requests: no slot of this model became free within %s. Try again later.", s.wait)
	e.RetryAfter = p.pace.after(p.queue.n / 2)
	return Lease{}, e
}

// Keep records that the server has taken the prompt of a lease into its slot,
// so what the slot holds now is of the lease's scope alone. Call it when the
// first answer of the request arrives. A fresh lease that ends without Keep
// leaves the slot's content unknown, and its next user is fresh again.
func (s *Slots) Keep(l Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.held(l); sl != nil {
		sl.owner, sl.owned, sl.prefix = l.name, true, l.prefix
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

// Open lets the slots of a group be granted, to those who wait first: its process
// answers. Opening an open group does nothing.
func (s *Slots) Open(group int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := &s.groups[group]; !g.open {
		g.open = true
		s.dispatch(time.Now())
	}
}

// Shut keeps the slots of a group from being granted; its leases run on. Shutting
// a shut group does nothing.
func (s *Slots) Shut(group int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[group].open = false
}

// Reset forgets what the slots of a group hold: the server behind them is a new
// one.
func (s *Slots) Reset(group int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.groups[group]
	for i := g.first; i < g.end; i++ {
		s.slots[i].owner, s.slots[i].owned, s.slots[i].prefix = "", false, Prefix{}
	}
}

// Load tells how many slots are leased and how many callers wait.
func (s *Slots) Load() (busy, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load()
}

func (s *Slots) load() (busy, waiting int) {
	busy, waiting = len(s.slots), s.demand.queue.n
	for _, p := range s.holders {
		waiting += p.queue.n
	}
	for i := range s.groups {
		busy -= s.groups[i].free
	}
	return busy, waiting
}

// GroupLoad tells how many slots of a group are leased, and how many tokens.
func (s *Slots) GroupLoad(group int) (busy, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.groups[group]
	return g.end - g.first - g.free, g.tokens
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

// grant leases slot i of group g, which must be free, on the terms of l.
func (s *Slots) grant(i, g int, l Lease) Lease {
	s.clock++
	sl := &s.slots[i]
	l.ID, l.Group, l.Slot, l.use = i, g, i-s.groups[g].first, s.clock
	l.Fresh = !sl.owned || sl.owner != l.name
	if l.Fresh { // unknown until Keep
		sl.owner, sl.owned, sl.prefix = "", false, Prefix{}
	}
	sl.busy, sl.used = true, s.clock
	s.groups[g].free--
	s.groups[g].tokens += l.room
	l.pool.queue.charge(l.scope, l.work)
	if l.pool.busy++; l.pool != s.demand {
		s.count()
	}
	s.stats.Granted++
	return l
}

func (s *Slots) release(l Lease, used int) {
	sl := s.held(l)
	if sl == nil {
		return
	}
	sl.busy = false
	s.groups[l.Group].free++
	s.groups[l.Group].tokens -= l.room
	p := l.pool
	p.queue.charge(l.scope, used-l.work)
	p.queue.leave(l.scope)
	if p.busy--; p != s.demand {
		s.forget(p)
		s.count()
	}
	if p == s.demand && p.queue.n == 0 && len(s.holders) == 0 {
		return // nobody waits
	}
	now := time.Now()
	if p.queue.n > 0 {
		p.pace.freed(now)
	}
	s.dispatch(now)
}

// dispatch grants what is free to those who wait, holders first.
func (s *Slots) dispatch(now time.Time) {
	for _, p := range s.holders {
		s.serve(p, now)
	}
	s.serve(s.demand, now)
}

// serve grants slots to those who wait in the line of p.
func (s *Slots) serve(p *pool, now time.Time) {
	for w := p.queue.first(now); w != nil; w = p.queue.first(now) {
		i, g := s.place(p, w.name, &w.prefix, w.room)
		if i < 0 {
			return
		}
		p.queue.take(w)
		waited := max(now.Sub(w.since), 1)
		w.lease <- s.grant(i, g, Lease{Waited: waited, name: w.name, scope: w.scope, pool: p, prefix: w.prefix, work: w.work, room: w.room})
		s.stats.Waits.add(waited)
	}
	p.pace.rest()
}
