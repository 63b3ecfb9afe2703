package quota

import (
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

const (
	shards     = 64
	maxGroups  = 1 << 20 // of all shards: buckets of one account, region, model and subject
	firstSweep = 256     // groups of a shard before the first look for idle ones
	// fullWait is how long a call has to wait that needs a new bucket while there are
	// maxGroups in use, and how long a shard waits before it looks again.
	fullWait = time.Second
	// levelWait is the guess for a bucket that empties when some call ends.
	levelWait = time.Second
	// hair is what sums of fractions may be off.
	hair = 1e-6
)

// Memory counts in this process. Buckets that are as good as new are forgotten, so
// memory is bounded by what is in use.
type Memory struct {
	now    func() time.Time
	seed   maphash.Seed
	max    int // groups of a shard
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	all   map[place]*group
	sweep int // groups at which idle ones are looked for
	swept time.Time
	_     [40]byte // a cache line of its own
}

// place is a Key without its kind.
type place struct{ account, region, model, subject string }

// group is the buckets of a place, by their kinds. Those whose shape is 0 were
// never asked for.
type group [kinds]bucket

// bucket is one bucket. left is what it holds, below 0 when it is in debt; for Level
// it is unused.
type bucket struct {
	shape  Shape
	left   float64
	burst  float64
	perNS  float64
	at     time.Time // Rate: when left was true
	mark   int64     // Period: the window
	used   int64     // Period: of the window; Level: now
	window int64     // Period, in ns
}

// NewMemory returns empty buckets. now is their clock; nil means time.Now.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{now: now, seed: maphash.MakeSeed(), max: maxGroups / shards}
	for i := range m.shards {
		m.shards[i].all, m.shards[i].sweep = map[place]*group{}, firstSweep
	}
	return m
}

// Len is how many accounts, models and subjects have buckets here.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.all)
		s.mu.Unlock()
	}
	return n
}

// shard is where the buckets of a call are.
func (m *Memory) shard(k *Key) *shard {
	h := maphash.String(m.seed, k.Account) ^ maphash.String(m.seed, k.Model)*31
	return &m.shards[h%shards]
}

// Take implements Buckets.
func (m *Memory) Take(_ context.Context, charges []Charge) (Refusal, error) {
	none := Refusal{Charge: -1}
	if len(charges) == 0 {
		return none, nil
	}
	now := m.now()
	s := m.shard(&charges[0].Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := none
	var g *group
	for i := range charges {
		c := &charges[i]
		if i == 0 || !together(&c.Key, &charges[i-1].Key) {
			if g = s.all[at(&c.Key)]; g == nil {
				if len(s.all) >= s.sweep && !s.forget(now, m.max) {
					return Refusal{i, fullWait}, nil
				}
				g = new(group)
				s.all[at(&c.Key)] = g
			}
		}
		b := g.bucket(c, now)
		if wait := b.wait(c, now); wait > 0 && wait > out.Wait {
			out = Refusal{i, wait}
		}
	}
	if out.Charge >= 0 {
		return out, nil
	}
	for i := range charges {
		c := &charges[i]
		if i == 0 || !together(&c.Key, &charges[i-1].Key) {
			g = s.all[at(&c.Key)]
		}
		g[c.Key.Kind.index()].take(c)
	}
	return none, nil
}

// Settle implements Buckets.
func (m *Memory) Settle(_ context.Context, charges []Charge) error {
	if len(charges) == 0 {
		return nil
	}
	now := m.now()
	s := m.shard(&charges[0].Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	var g *group
	for i := range charges {
		c := &charges[i]
		if i == 0 || !together(&c.Key, &charges[i-1].Key) {
			if g = s.all[at(&c.Key)]; g == nil { // as good as new meanwhile
				g = new(group)
				s.all[at(&c.Key)] = g
			}
		}
		g.bucket(c, now).settle(c, now)
	}
	return nil
}

// together reports whether the buckets of two charges of a call are of one group.
func together(a, b *Key) bool { return a.Subject == b.Subject && a.Region == b.Region }

func at(k *Key) place { return place{k.Account, k.Region, k.Model, k.Subject} }

// bucket is the bucket of a charge, full when it is new.
func (g *group) bucket(c *Charge, now time.Time) *bucket {
	b := &g[c.Key.Kind.index()]
	if b.shape == 0 {
		b.left, b.at = float64(c.Burst), now
	}
	return b
}

// wait brings the bucket up to now and to the limits of c, and tells how long c has
// to wait for it.
func (b *bucket) wait(c *Charge, now time.Time) time.Duration {
	b.shape = c.Shape
	if c.Shape == Level {
		if b.used+c.Cost > c.Limit {
			return levelWait
		}
		return 0
	}
	b.window = int64(c.Window)
	if c.Shape == Period {
		b.roll(now)
		c.Mark = b.mark
		if b.used >= c.Limit {
			return time.Duration((b.mark+1)*b.window - now.UnixNano())
		}
		return 0
	}
	b.burst, b.perNS = float64(c.Burst), float64(c.Limit)/float64(c.Window)
	b.refill(now)
	need := min(1, float64(c.Cost)) - hair
	switch {
	case c.Limit <= 0:
		return c.Window
	case b.left >= need:
		return 0
	}
	return time.Duration(math.Ceil(min((need-b.left)/b.perNS, float64(math.MaxInt64/2))))
}

func (b *bucket) take(c *Charge) {
	if c.Shape == Rate {
		b.left -= float64(c.Cost)
		return
	}
	b.used += c.Cost
}

func (b *bucket) settle(c *Charge, now time.Time) {
	switch c.Shape {
	case Level:
		b.shape, b.used = c.Shape, max(0, b.used-c.Cost)
	case Period:
		b.shape, b.window = c.Shape, int64(c.Window)
		b.roll(now)
		if b.mark == c.Mark { // what is over counts no more
			b.used += c.Used - c.Cost
		}
	case Rate:
		b.shape, b.burst, b.perNS = c.Shape, float64(c.Burst), float64(c.Limit)/float64(c.Window)
		b.refill(now)
		b.left = min(b.left+float64(c.Cost-c.Used), b.burst)
	}
}

// refill adds what came in since the last time.
func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.left += float64(d) * b.perNS
		b.at = now
	}
	b.left = min(b.left, b.burst)
}

// roll begins a new window when the last one is over.
func (b *bucket) roll(now time.Time) {
	if mark := now.UnixNano() / b.window; mark > b.mark {
		b.mark, b.used = mark, 0
	}
}

// idle reports whether a new bucket would be no different.
func (b *bucket) idle(now time.Time) bool {
	switch b.shape {
	case Level:
		return b.used <= 0
	case Period:
		b.roll(now)
		return b.used <= 0
	}
	b.refill(now)
	return b.left >= b.burst
}

// forget drops idle buckets; false when there is no room for another one.
func (s *shard) forget(now time.Time, most int) bool {
	if len(s.all) >= most && now.Sub(s.swept) < fullWait {
		return false
	}
	s.swept = now
	for k, g := range s.all {
		idle := true
		for i := range g {
			idle = idle && (g[i].shape == 0 || g[i].idle(now))
		}
		if idle {
			delete(s.all, k)
		}
	}
	s.sweep = min(max(firstSweep, 2*len(s.all)), most)
	return len(s.all) < most
}
