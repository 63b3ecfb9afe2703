package limit_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/limit"
)

// line is callers that wait behind one busy slot; order tells who got it, in turn.
type line struct {
	t     *testing.T
	slots *limit.Slots
	first limit.Lease
	order chan string
	n     int
}

func newLine(t *testing.T, c limit.SlotsConfig) *line {
	t.Helper()
	c.N = 1
	l := &line{t: t, slots: limit.NewSlots(c), order: make(chan string, 10_000)}
	var err error
	if l.first, err = l.slots.Acquire(t.Context(), limit.Ask{Scope: "first"}); err != nil {
		t.Fatal(err)
	}
	return l
}

// wait queues a caller who uses what it asks for, once it has the slot.
func (l *line) wait(name string, a limit.Ask) {
	l.t.Helper()
	l.n++
	go func() {
		lease, err := l.slots.Acquire(l.t.Context(), a)
		if err != nil {
			l.order <- "!" + name
			return
		}
		l.order <- name
		l.slots.Release(lease, a.Tokens)
	}()
	synctest.Wait() // it stands in line
}

// run lets the slot go and returns the names in the order of their turns.
func (l *line) run() string {
	l.slots.Release(l.first, 0)
	synctest.Wait()
	var b strings.Builder
	for range l.n {
		b.WriteString(<-l.order)
	}
	return b.String()
}

func TestOneScopeIsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, limit.SlotsConfig{})
		for _, name := range []string{"1", "2", "3", "4"} {
			l.wait(name, limit.Ask{Scope: "a", Tokens: 10})
		}
		if got := l.run(); got != "1234" {
			t.Errorf("order %s", got)
		}
	})
}

// A scope that floods the line does not keep another one from its share.
func TestSharesAreEqual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, limit.SlotsConfig{})
		for range 20 {
			l.wait("a", limit.Ask{Scope: "a", Tokens: 100})
		}
		for range 5 {
			l.wait("b", limit.Ask{Scope: "b", Tokens: 100})
		}
		if got := l.run(); got[:10] != "ababababab" {
			t.Errorf("order %s", got)
		}
	})
}

// Shares are of tokens, not of calls.
func TestSharesAreOfTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, limit.SlotsConfig{MaxQueue: 10_000})
		r := rand.New(rand.NewPCG(1, 2))
		given := map[byte]int{}
		sizes := map[byte][]int{}
		for range 300 {
			small, large := 10+r.IntN(20), 500+r.IntN(1000)
			sizes['s'], sizes['l'] = append(sizes['s'], small), append(sizes['l'], large)
			l.wait("s", limit.Ask{Scope: "small", Tokens: small})
			l.wait("l", limit.Ask{Scope: "large", Tokens: large})
		}
		for _, c := range []byte(l.run()) {
			given[c] += sizes[c][0]
			sizes[c] = sizes[c][1:]
			if len(sizes['s']) == 0 { // from here on there is nobody to share with
				break
			}
		}
		if s, b := given['s'], given['l']; b > s+2*1500 || s > b+2*1500 {
			t.Errorf("%d tokens to the small ones, %d to the large", s, b)
		}
	})
}

// What was set aside and not used does not count.
func TestSharesAreSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1})
		lease, err := s.Acquire(t.Context(), limit.Ask{Scope: "b", Tokens: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		l := &line{t: t, slots: s, order: make(chan string, 10)}
		l.wait("a", limit.Ask{Scope: "a", Tokens: 100})
		l.wait("b", limit.Ask{Scope: "b", Tokens: 100})
		l.wait("a", limit.Ask{Scope: "a", Tokens: 100})
		s.Release(lease, 1)
		synctest.Wait()
		if got := <-l.order + <-l.order + <-l.order; got != "aba" {
			t.Errorf("order %s", got)
		}
	})
}

// Urgent tiers come first, and waiting makes urgent.
func TestTiers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pause time.Duration
		want  string
	}{
		"at once":           {0, "rpdf"},
		"before a step":     {14 * time.Second, "rpdf"},
		"one step up":       {16 * time.Second, "prdf"}, // nothing is above reserved: the older one comes first
		"as far up as goes": {50 * time.Second, "fdpr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, limit.SlotsConfig{Wait: time.Minute})
				for _, w := range []struct {
					name string
					tier limit.Tier
				}{{"f", limit.Flex}, {"d", limit.Default}, {"p", limit.Priority}, {"r", limit.Reserved}} {
					l.wait(w.name, limit.Ask{Scope: "a" + w.name, Tokens: 10, Tier: w.tier})
				}
				time.Sleep(c.pause) // a step is a quarter of a minute
				if got := l.run(); got != c.want {
					t.Errorf("order %s, want %s", got, c.want)
				}
			})
		})
	}
}

// A flood of urgent callers does not starve the least urgent one.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1, Wait: 40 * time.Second})
		stop := make(chan struct{})
		var flood sync.WaitGroup
		for range 8 {
			flood.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if l, err := s.Acquire(t.Context(), limit.Ask{Scope: "urgent", Tier: limit.Reserved, Tokens: 10}); err == nil {
						time.Sleep(100 * time.Millisecond)
						s.Release(l, 10)
					}
				}
			})
		}
		time.Sleep(time.Second)
		begin := time.Now()
		l, err := s.Acquire(t.Context(), limit.Ask{Scope: "patient", Tier: limit.Flex, Tokens: 10})
		if err != nil {
			t.Errorf("after %v: %v", time.Since(begin), err)
		} else {
			s.Release(l, 10)
		}
		close(stop)
		flood.Wait()
	})
}

// Who gives up leaves the line, and nothing of it stays.
func TestLeavingTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, limit.SlotsConfig{Wait: time.Second})
		l.wait("a", limit.Ask{Scope: "a", Tokens: 10})
		l.wait("b", limit.Ask{Scope: "b", Tokens: 10})
		time.Sleep(2 * time.Second)
		if got := <-l.order + <-l.order; len(got) != 4 || got[0] != '!' {
			t.Errorf("order %s", got)
		}
		if busy, waiting := l.slots.Load(); busy != 1 || waiting != 0 {
			t.Errorf("%d busy, %d waiting", busy, waiting)
		}
		l.slots.Release(l.first, 0)
	})
}

func TestTierNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]limit.Tier{"reserved": limit.Reserved, "priority": limit.Priority, "default": limit.Default, "flex": limit.Flex, "": limit.Default, "gold": limit.Default} {
		if got := limit.TierOf(name); got != want {
			t.Errorf("%q is tier %d", name, got)
		}
	}
}
