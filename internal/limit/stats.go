package limit

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// Stats tells what a Slots does and has done since it was made.
type Stats struct {
	Slots   int // in open groups
	Busy    int // leased
	Waiting int // in all lines
	Held    int // set aside for holders, leased or not
	Tokens  int // leased
	Budget  int // tokens that all open groups may hold; 0 means no limit

	Granted uint64 // leases
	Full    uint64 // asks refused because the line was full
	Late    uint64 // asks refused because their wait was over
	Left    uint64 // callers who went away while they waited

	Waits Waits // of those who were granted a slot
	Ahead Ahead // how many stood in line when somebody joined it
}

// Stats returns the numbers of this moment.
func (s *Slots) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Busy, out.Waiting = s.load()
	for _, p := range s.holders {
		out.Held += p.n
	}
	for i := range s.groups {
		g := &s.groups[i]
		out.Tokens += g.tokens
		if g.open {
			out.Slots += g.end - g.first
			out.Budget += s.tokens
		}
	}
	return out
}

// Waits counts waits by length.
type Waits struct {
	Counts [waitBounds + 1]uint64 // Counts[i]: longer than bound i-1, at most bound i; the last: longer than all
	Sum    time.Duration
}

const waitBounds = 18

// Bound is the longest wait that is counted in Counts[i]: 1 ms for 0, then twice
// as long each, to 131 s.
func (*Waits) Bound(i int) time.Duration { return time.Millisecond << i }

func (w *Waits) add(d time.Duration) {
	w.Sum += d
	i := 0
	if d > time.Millisecond {
		i = bits.Len64(uint64((d - 1) / time.Millisecond)) // #nosec G115 -- not negative
	}
	w.Counts[min(i, waitBounds)]++
}

// Ahead counts places in a line.
type Ahead struct {
	Counts [aheadBounds + 1]uint64 // Counts[i]: more than bound i-1, at most bound i; the last: more than all
	Sum    uint64
}

const aheadBounds = 14

// Bound is the most callers ahead that are counted in Counts[i]: none for 0, 1 for
// 1, then twice as many each, to 4,096.
func (*Ahead) Bound(i int) int { return 1 << i >> 1 }

func (a *Ahead) add(n int) {
	a.Sum += uint64(n) // #nosec G115 -- not negative
	i := 0
	if n > 0 {
		i = bits.Len(uint(n-1)) + 1
	}
	a.Counts[min(i, aheadBounds)]++
}

// pace measures how fast slots become free while callers wait for them.
type pace struct {
	last time.Time     // a slot became free and somebody waited; zero: nobody waits
	gap  time.Duration // between two of them, on average; 0 when unknown
}

// freed notes that a slot became free while somebody waits.
func (p *pace) freed(now time.Time) {
	if !p.last.IsZero() {
		if gap := now.Sub(p.last); p.gap == 0 {
			p.gap = gap
		} else {
			p.gap += (gap - p.gap) / 8
		}
	}
	p.last = now
}

// rest notes that nobody waits.
func (p *pace) rest() { p.last = time.Time{} }

// Bounds of RetryAfter: some SDKs do wait as long as they are told.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 30 * time.Second
)

// after is when to come back so that n callers will have gone before, and up to half
// as much later: those who are refused together shall not come back together.
func (p *pace) after(n int) time.Duration {
	d := max(time.Duration(n)*p.gap, minRetryAfter)
	return min(d+rand.N(d/2), maxRetryAfter) // #nosec G404 -- no secret
}
