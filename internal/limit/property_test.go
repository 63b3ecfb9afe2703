package limit_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/outcrop/outcrop/internal/limit"
)

// schedule is a random course of events around one Slots, and what a plain model
// says of it.
type schedule struct {
	t   *rapid.T
	s   *limit.Slots
	cfg limit.SlotsConfig

	mu      sync.Mutex
	granted []held // since the last look
	leases  map[int]held
	open    []bool
	set     map[string]int // slots set aside
	cancel  map[int]context.CancelFunc
	asked   int
	waiting map[int]limit.Ask
	wg      sync.WaitGroup
}

type held struct {
	ask   limit.Ask
	lease limit.Lease
}

func newSchedule(t *rapid.T) *schedule {
	c := limit.SlotsConfig{N: rapid.IntRange(1, 8).Draw(t, "slots"), Wait: time.Minute, MaxQueue: rapid.IntRange(1, 20).Draw(t, "line")}
	c.Group = rapid.IntRange(0, c.N).Draw(t, "group")
	if rapid.Bool().Draw(t, "budget") {
		c.Tokens = rapid.IntRange(8, 100).Draw(t, "tokens")
		c.Most = rapid.IntRange(0, c.Tokens).Draw(t, "most")
	}
	x := &schedule{t: t, cfg: c, s: limit.NewSlots(c), leases: map[int]held{}, set: map[string]int{}, cancel: map[int]context.CancelFunc{}, waiting: map[int]limit.Ask{}}
	if x.cfg.Group == 0 {
		x.cfg.Group = c.N
	}
	if x.cfg.Most == 0 {
		x.cfg.Most = c.Tokens
	}
	for i := 0; i < c.N; i += x.cfg.Group {
		x.open = append(x.open, true)
	}
	return x
}

func (x *schedule) ask() {
	a := limit.Ask{
		Scope:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(x.t, "scope"),
		Tier:     limit.Tier(rapid.IntRange(-2, 1).Draw(x.t, "tier")),
		Tokens:   rapid.IntRange(0, 120).Draw(x.t, "tokens"),
		Reserved: rapid.SampledFrom([]string{"", "", "", "h1", "h2"}).Draw(x.t, "holder"),
	}
	ctx, cancel := context.WithCancel(context.Background())
	x.asked++
	n := x.asked
	x.cancel[n], x.waiting[n] = cancel, a
	x.wg.Go(func() {
		l, err := x.s.Acquire(ctx, a)
		x.mu.Lock()
		defer x.mu.Unlock()
		if delete(x.waiting, n); err == nil {
			x.granted = append(x.granted, held{a, l})
		}
	})
}

func (x *schedule) room(h held) int { return min(max(h.ask.Tokens, 1), x.cfg.Most) }

// count adds up what is leased.
func (x *schedule) count() (tokens map[int]int, busy map[string]int, free int) {
	tokens, busy = map[int]int{}, map[string]int{}
	taken := map[int]int{}
	for _, h := range x.leases {
		tokens[h.lease.Group] += x.room(h)
		busy[h.ask.Reserved]++
		taken[h.lease.Group]++
	}
	for g, open := range x.open {
		if open {
			free += min(x.cfg.Group, x.cfg.N-g*x.cfg.Group) - taken[g]
		}
	}
	return tokens, busy, free
}

// allFit tells whether there is a place for whichever of those who wait comes first.
func (x *schedule) allFit(tokens map[int]int) bool {
	taken := map[int]int{}
	for _, h := range x.leases {
		taken[h.lease.Group]++
	}
	for _, a := range x.waiting {
		fits := false
		for g, open := range x.open {
			place := open && taken[g] < min(x.cfg.Group, x.cfg.N-g*x.cfg.Group)
			fits = fits || place && (x.cfg.Tokens == 0 || tokens[g]+x.room(held{ask: a}) <= x.cfg.Tokens)
		}
		if !fits {
			return false
		}
	}
	return true
}

// look takes in what was granted in one step and holds it against the rules. calm
// says that the step took nothing away from anybody.
func (x *schedule) look(calm bool) {
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	demanded := false
	for _, h := range x.granted {
		if _, twice := x.leases[h.lease.ID]; twice || h.lease.ID < 0 || h.lease.ID >= x.cfg.N {
			x.t.Fatalf("slot %d leased twice, or not there", h.lease.ID)
		}
		if h.lease.Group != h.lease.ID/x.cfg.Group || h.lease.Slot != h.lease.ID%x.cfg.Group || !x.open[h.lease.Group] {
			x.t.Fatalf("slot %d as %d of group %d, open %v", h.lease.ID, h.lease.Slot, h.lease.Group, x.open)
		}
		x.leases[h.lease.ID] = h
		demanded = demanded || h.ask.Reserved == ""
	}
	fresh := x.granted
	x.granted = nil
	tokens, busy, free := x.count()
	for g, n := range tokens {
		if x.cfg.Tokens > 0 && n > x.cfg.Tokens {
			x.t.Fatalf("%d tokens in group %d, more than %d", n, g, x.cfg.Tokens)
		}
	}
	owed := 0
	for holder, n := range x.set {
		owed += max(n-busy[holder], 0)
	}
	for _, h := range fresh {
		if r := h.ask.Reserved; r != "" && busy[r] > x.set[r] {
			x.t.Fatalf("%s has %d slots, of %d set aside", r, busy[r], x.set[r])
		}
	}
	if calm && demanded && free < owed {
		x.t.Fatalf("%d slots free, %d owed to holders: others were given them", free, owed)
	}
	got, waiting := x.s.Load()
	if got != len(x.leases) || waiting != len(x.waiting) {
		x.t.Fatalf("%d busy, %d waiting; want %d and %d", got, waiting, len(x.leases), len(x.waiting))
	}
	if len(x.set) == 0 && waiting > 0 && x.allFit(tokens) {
		x.t.Fatalf("%d wait while there is place for each", waiting)
	}
}

func (x *schedule) release(id int) {
	h := x.leases[id]
	delete(x.leases, id)
	x.s.Release(h.lease, rapid.IntRange(0, max(h.ask.Tokens, 1)).Draw(x.t, "used"))
}

func (x *schedule) step() {
	calm := true
	switch rapid.IntRange(0, 9).Draw(x.t, "event") {
	case 0, 1, 2, 3:
		x.ask()
	case 4, 5:
		if ids := slices.Sorted(maps.Keys(x.leases)); len(ids) > 0 {
			x.release(rapid.SampledFrom(ids).Draw(x.t, "lease"))
		}
	case 6:
		if ids := slices.Sorted(maps.Keys(x.cancel)); len(ids) > 0 {
			x.cancel[rapid.SampledFrom(ids).Draw(x.t, "caller")]()
		}
	case 7:
		holder, n := rapid.SampledFrom([]string{"h1", "h2"}).Draw(x.t, "holder"), rapid.IntRange(0, 5).Draw(x.t, "units")
		if err := x.s.Reserve(holder, n); err == nil {
			if x.set[holder] = n; n == 0 {
				delete(x.set, holder)
			}
		}
		calm = false
	case 8:
		g := rapid.IntRange(0, len(x.open)-1).Draw(x.t, "group")
		if x.open[g] = !x.open[g]; x.open[g] {
			x.s.Open(g)
		} else {
			x.s.Shut(g)
			calm = false
		}
	case 9:
		time.Sleep(time.Duration(rapid.IntRange(0, 40).Draw(x.t, "seconds")) * time.Second)
	}
	x.look(calm)
}

// end lets everybody finish.
func (x *schedule) end() {
	for g := range x.open {
		x.open[g] = true
		x.s.Open(g)
		x.look(false)
	}
	for len(x.leases) > 0 {
		x.release(slices.Sorted(maps.Keys(x.leases))[0])
		x.look(false)
	}
	busy, waiting := x.s.Load()
	if waiting > 0 && len(x.set) == 0 {
		x.t.Fatalf("%d wait for ever", waiting)
	}
	if s := x.s.Stats(); busy != 0 || s.Tokens != 0 || s.Busy != 0 || s.Slots != x.cfg.N {
		x.t.Fatalf("at the end: %+v", s)
	}
	for _, cancel := range x.cancel {
		cancel()
	}
	x.wg.Wait()
	if _, waiting := x.s.Load(); waiting != 0 {
		x.t.Fatalf("%d wait after they went away", waiting)
	}
}

// Never more leases than slots, nor more tokens than the budget; what is set aside
// goes to nobody else; a free slot is not kept from those who wait for it.
func TestSlotsOnRandomSchedules(t *testing.T) {
	t.Parallel()
	check(t, func(t *rapid.T, after func(func())) {
		x := newSchedule(t)
		after(func() {
			for _, cancel := range x.cancel {
				cancel()
			}
			x.wg.Wait()
		})
		for range 150 {
			x.step()
		}
		x.end()
	})
}

// check runs a property in bubbles of their own, each ended by what it named with
// after. A failure leaves its bubble only then.
func check(t *testing.T, property func(t *rapid.T, after func(func()))) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(*testing.T) {
			var end func()
			defer func() {
				failure = recover()
				if end != nil {
					end()
				}
			}()
			property(rt, func(f func()) { end = f })
		})
		if failure != nil {
			panic(failure)
		}
	})
}

// Scopes that always have somebody waiting get equal shares of tokens, within a
// tenth, however many callers they have and however large their requests are.
func TestSharesOnRandomLoads(t *testing.T) {
	t.Parallel()
	check(t, func(t *rapid.T, after func(func())) {
		s := limit.NewSlots(limit.SlotsConfig{N: rapid.IntRange(1, 6).Draw(t, "slots"), Wait: time.Hour, MaxQueue: 1000})
		scopes := rapid.IntRange(2, 4).Draw(t, "scopes")
		given := make([]int, scopes) // tokens
		var mu sync.Mutex
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		after(func() {
			cancel()
			wg.Wait()
		})
		for i := range scopes {
			// More callers than slots: the scope never runs out of them.
			callers, size := rapid.IntRange(8, 20).Draw(t, "callers"), rapid.IntRange(50, 500).Draw(t, "size")
			for range callers {
				wg.Go(func() {
					for ctx.Err() == nil {
						l, err := s.Acquire(ctx, limit.Ask{Scope: fmt.Sprint(i), Tokens: 2 * size})
						if err != nil {
							return
						}
						time.Sleep(time.Duration(size) * time.Millisecond)
						s.Release(l, size)
						mu.Lock()
						given[i] += size
						mu.Unlock()
					}
				})
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		got := slices.Clone(given)
		mu.Unlock()
		sum := 0
		for _, n := range got {
			sum += n
		}
		for i, n := range got {
			if even := float64(sum) / float64(scopes); float64(n) < 0.9*even || float64(n) > 1.1*even {
				t.Fatalf("scope %d was given %d of %v", i, n, got)
			}
		}
	})
}
