package limit

import (
	"container/list"
	"time"
)

// Tier is how urgent a caller is. The words are those of Bedrock's service tiers;
// the zero value is the default one.
type Tier int8

// The tiers, the most urgent first.
const (
	Reserved Tier = -2
	Priority Tier = -1
	Default  Tier = 0
	Flex     Tier = 1
)

const tiers = 4

// TierOf reads the name of a tier. Every other text is the default tier.
func TierOf(name string) Tier {
	switch name {
	case "reserved":
		return Reserved
	case "priority":
		return Priority
	case "flex":
		return Flex
	}
	return Default
}

// queue orders those who wait: by tier, then so that scopes get equal shares, then
// by age. It is not safe for concurrent use.
//
// A waiter moves up one tier with every step of its wait, so that nobody starves.
// Shares are counted in tokens, as start-time fair queueing does it: each scope has
// a virtual time that grows with what it is given, and the one that is furthest
// behind comes next. A scope that was idle starts at the time of those who were
// not: it has saved nothing up. When all are idle, all are even.
type queue struct {
	step   time.Duration // wait that is worth one tier
	now    float64       // virtual time of the last grant to somebody who waited
	top    float64       // greatest virtual time of any scope
	came   uint64        // counts waiters: orders those of the same moment
	scopes map[string]*scope
	lined  []*scope // that have waiters
	active int      // waiters and leases
	n      int      // waiters
}

func newQueue(step time.Duration) queue {
	return queue{step: max(step, 1), scopes: map[string]*scope{}}
}

// scope is one account in the queue.
type scope struct {
	due     float64          // virtual time at which it has had what it was given
	waiting [tiers]list.List // of *waiter, oldest first
	n       int              // waiters
	at      int              // place in queue.lined while n > 0
	active  int              // waiters and leases
}

// maxIdle is how many scopes are remembered for what they were given lately; of
// more, the idle ones are forgotten.
const maxIdle = 1024

// enter makes a scope active: it waits, or has a slot.
func (q *queue) enter(name string) *scope {
	s := q.scopes[name]
	if s == nil {
		if len(q.scopes) >= maxIdle {
			q.forget()
		}
		s = new(scope)
		q.scopes[name] = s
	}
	if s.active == 0 {
		s.due = max(s.due, q.now)
	}
	s.active++
	q.active++
	return s
}

// leave undoes one enter.
func (q *queue) leave(s *scope) {
	s.active--
	if q.active--; q.active == 0 {
		q.now = q.top
	}
}

// forget drops idle scopes: those that are owed no wait any more, or else all.
func (q *queue) forget() {
	for name, s := range q.scopes {
		if s.active == 0 && s.due <= q.now {
			delete(q.scopes, name)
		}
	}
	if len(q.scopes) < maxIdle/2 {
		return
	}
	for name, s := range q.scopes {
		if s.active == 0 {
			delete(q.scopes, name)
		}
	}
}

// charge counts tokens that a scope is given; they may be negative when fewer were
// used than were set aside.
func (q *queue) charge(s *scope, tokens int) {
	s.due += float64(tokens)
	q.top = max(q.top, s.due)
}

// push queues a waiter of an active scope.
func (q *queue) push(w *waiter) {
	s := w.scope
	q.came++
	w.came = q.came
	w.at = s.waiting[w.tier-Reserved].PushBack(w)
	if s.n++; s.n == 1 {
		s.at = len(q.lined)
		q.lined = append(q.lined, s)
	}
	q.n++
}

// remove takes a waiter out.
func (q *queue) remove(w *waiter) {
	s := w.scope
	s.waiting[w.tier-Reserved].Remove(w.at)
	if s.n--; s.n == 0 {
		last := q.lined[len(q.lined)-1]
		q.lined[s.at], last.at = last, s.at
		q.lined[len(q.lined)-1] = nil
		q.lined = q.lined[:len(q.lined)-1]
	}
	q.n--
}

// refuse takes a waiter out and tells it that it waits in vain.
func (q *queue) refuse(w *waiter, err error) {
	q.remove(w)
	q.leave(w.scope)
	w.err = err
	close(w.lease)
}

// crowding returns whom a newcomer of a scope may take the place of: the last one,
// of the least urgent tier, of the scope with most waiters, provided that it keeps
// no fewer than the newcomer's scope then has. nil when there is none.
func (q *queue) crowding(name string) *waiter {
	var most *scope
	for _, s := range q.lined {
		if most == nil || s.n > most.n {
			most = s
		}
	}
	n := 0
	if s := q.scopes[name]; s != nil {
		n = s.n
	}
	if most == nil || most.n <= n+1 {
		return nil
	}
	for i := tiers - 1; i >= 0; i-- {
		if back := most.waiting[i].Back(); back != nil {
			return back.Value.(*waiter)
		}
	}
	return nil
}

// first returns who comes next; nil when nobody waits.
func (q *queue) first(now time.Time) *waiter {
	var best *waiter
	var level int
	for _, s := range q.lined {
		for i := range s.waiting {
			front := s.waiting[i].Front()
			if front == nil {
				continue
			}
			w := front.Value.(*waiter)
			l := max(i-int(now.Sub(w.since)/q.step), 0)
			switch {
			case best == nil || l < level:
			case l > level || s.due > best.scope.due:
				continue
			case s.due == best.scope.due && w.came > best.came:
				continue
			}
			best, level = w, l
		}
	}
	return best
}

// take removes w because it gets what it waits for.
func (q *queue) take(w *waiter) {
	q.remove(w)
	q.now = max(q.now, w.scope.due)
}
