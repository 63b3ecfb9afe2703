package limit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func acquire(t *testing.T, s *limit.Slots, scope string) limit.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), limit.Ask{Scope: scope})
	if err != nil {
		t.Fatalf("Acquire(%s): %v", scope, err)
	}
	return l
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}

func TestSlotsOwnership(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 2})

	a := acquire(t, s, "a")
	if a.ID != 0 || !a.Fresh {
		t.Fatalf("first lease %+v, want slot 0, fresh", a)
	}
	s.Keep(a)
	s.Release(a, 0)

	b := acquire(t, s, "b")
	if b.ID != 1 || !b.Fresh {
		t.Fatalf("second scope got %+v, want the unused slot 1, fresh", b)
	}
	s.Keep(b)
	s.Release(b, 0)

	a = acquire(t, s, "a")
	if a.ID != 0 || a.Fresh {
		t.Fatalf("returning scope got %+v, want its slot 0, not fresh", a)
	}
	s.Release(a, 0)

	c := acquire(t, s, "c")
	if c.ID != 1 || !c.Fresh {
		t.Fatalf("third scope got %+v, want the least recently used slot 1, fresh", c)
	}
	s.Keep(c)
	s.Release(c, 0)
	if b = acquire(t, s, "b"); !b.Fresh {
		t.Fatal("scope b was told to reuse a slot that c took over")
	}
}

func TestSlotsSecondOfOwnScopeIsWarmest(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 3})
	a0, a1 := acquire(t, s, "a"), acquire(t, s, "a")
	s.Keep(a0)
	s.Keep(a1)
	s.Release(a0, 0)
	s.Release(a1, 0)
	if l := acquire(t, s, "a"); l.ID != a1.ID || l.Fresh {
		t.Fatalf("got %+v, want slot %d, not fresh", l, a1.ID)
	}
}

// A request that failed before the server took its prompt must not count as the
// new owner: the slot still holds the old owner's prompt.
func TestSlotsUnconfirmedLeaseStaysFresh(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 1})
	a := acquire(t, s, "a")
	s.Keep(a)
	s.Release(a, 0)
	s.Release(acquire(t, s, "b"), 0) // no Keep
	if b := acquire(t, s, "b"); !b.Fresh {
		t.Fatal("b may reuse a's prompt state")
	} else {
		s.Release(b, 0)
	}
	if a = acquire(t, s, "a"); !a.Fresh {
		t.Fatal("a may reuse a slot of unknown content")
	}
}

func prefixed(t *testing.T, s *limit.Slots, scope string, p limit.Prefix) limit.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), limit.Ask{Scope: scope, Prefix: p})
	if err != nil {
		t.Fatalf("Acquire(%s): %v", scope, err)
	}
	s.Keep(l)
	s.Release(l, 0)
	return l
}

// A conversation comes back to its own slot, and takes no other one's as long as
// there is an unused one.
func TestSlotsConversations(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 3})
	talk := func(id uint64) limit.Prefix { return limit.Prefix{Head: 1, HeadSize: 10, Turn: id, Size: 100} }
	one, two := prefixed(t, s, "a", talk(1)), prefixed(t, s, "a", talk(2))
	if one.ID == two.ID {
		t.Fatalf("a second conversation took the slot of the first, with unused ones beside it")
	}
	for range 3 {
		if l := prefixed(t, s, "a", talk(1)); l.ID != one.ID || l.Fresh {
			t.Errorf("conversation 1 got %+v, want slot %d", l, one.ID)
		}
		if l := prefixed(t, s, "a", talk(2)); l.ID != two.ID || l.Fresh {
			t.Errorf("conversation 2 got %+v, want slot %d", l, two.ID)
		}
	}
	three := prefixed(t, s, "a", talk(3))
	if three.ID == one.ID || three.ID == two.ID || !three.Fresh {
		t.Errorf("conversation 3 got %+v, want the unused slot", three)
	}
	if l := prefixed(t, s, "a", talk(4)); l.ID != one.ID || l.Fresh {
		t.Errorf("conversation 4 got %+v, want the longest unused slot %d", l, one.ID)
	}
}

// Requests that share a long head and little else share the slot that holds it.
func TestSlotsSharedHead(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 3})
	ask := func(head, id uint64) limit.Prefix { return limit.Prefix{Head: head, HeadSize: 90, Turn: id, Size: 100} }
	first := prefixed(t, s, "a", ask(7, 1))
	if l := prefixed(t, s, "a", ask(7, 2)); l.ID != first.ID || l.Fresh {
		t.Errorf("got %+v, want slot %d", l, first.ID)
	}
	if l := prefixed(t, s, "a", ask(8, 3)); l.ID == first.ID {
		t.Error("another head took the slot, with unused ones beside it")
	}
	if l := prefixed(t, s, "b", ask(7, 2)); l.ID == first.ID || !l.Fresh {
		t.Errorf("another scope with the same words got %+v", l)
	}
	// Once the slot is somebody else's, its words help no more.
	for id := range uint64(3) {
		prefixed(t, s, "c", ask(20+id, 20+id))
	}
	if l := prefixed(t, s, "a", ask(7, 1)); !l.Fresh {
		t.Error("told to reuse what another scope left")
	}
}

// A waiter gets the freed slot with its own prefix noted.
func TestSlotsPrefixOfWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1})
		held := acquire(t, s, "a")
		var wg sync.WaitGroup
		wg.Go(func() { prefixed(t, s, "a", limit.Prefix{Head: 5, HeadSize: 5, Turn: 6, Size: 7}) })
		synctest.Wait()
		s.Keep(held)
		s.Release(held, 0)
		wg.Wait()
		if l := prefixed(t, s, "a", limit.Prefix{Turn: 6, Size: 7}); l.Fresh {
			t.Errorf("%+v", l)
		}
	})
}

func TestSlotsReset(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 1})
	a := acquire(t, s, "a")
	s.Keep(a)
	s.Release(a, 0)
	s.Reset(0)
	if a = acquire(t, s, "a"); !a.Fresh {
		t.Fatal("not fresh after Reset")
	}
}

func TestSlotsReleaseTwice(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 1})
	a := acquire(t, s, "a")
	s.Release(a, 0)
	b := acquire(t, s, "b")
	s.Release(a, 0) // stale: must not free b's slot
	s.Keep(a)       // stale: must not claim b's slot
	if busy, _ := s.Load(); busy != 1 {
		t.Fatalf("%d slots busy, want 1", busy)
	}
	s.Keep(b)
	s.Release(b, 0)
	if l := acquire(t, s, "b"); l.Fresh {
		t.Fatal("stale Keep took the slot over")
	}
}

func TestSlotsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1})
		held := acquire(t, s, "a")
		var (
			wg    sync.WaitGroup
			order []int
		)
		for i := range 20 {
			wg.Go(func() {
				l, err := s.Acquire(t.Context(), limit.Ask{Scope: "a"})
				if err != nil {
					t.Errorf("waiter %d: %v", i, err)
					return
				}
				order = append(order, i) // one at a time: the only slot guards it
				time.Sleep(time.Second)
				s.Release(l, 0)
			})
			synctest.Wait()
		}
		if busy, waiting := s.Load(); busy != 1 || waiting != 20 {
			t.Fatalf("load %d busy %d waiting, want 1 and 20", busy, waiting)
		}
		s.Release(held, 0)
		wg.Wait()
		for i, got := range order {
			if i != got {
				t.Fatalf("served in order %v", order)
			}
		}
	})
}

func TestSlotsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1})
		l := acquire(t, s, "a")
		start := time.Now()
		_, err := s.Acquire(t.Context(), limit.Ask{Scope: "b"})
		wantCode(t, err, apierr.CodeThrottling)
		if d := time.Since(start); d != limit.DefaultWait {
			t.Fatalf("gave up after %s, want %s", d, limit.DefaultWait)
		}
		if _, waiting := s.Load(); waiting != 0 {
			t.Fatalf("%d still queued", waiting)
		}
		s.Release(l, 0)
		s.Release(acquire(t, s, "b"), 0)
	})
}

func TestSlotsCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1})
		l := acquire(t, s, "a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := s.Acquire(ctx, limit.Ask{Scope: "b"})
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		if _, err := s.Acquire(ctx, limit.Ask{Scope: "b"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		s.Release(l, 0)
		s.Release(acquire(t, s, "a"), 0)
		if busy, waiting := s.Load(); busy != 0 || waiting != 0 {
			t.Fatalf("load %s, want none", s)
		}
	})
}

func TestSlotsQueueBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1, MaxQueue: 2, Wait: time.Minute})
		l := acquire(t, s, "a")
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if l, err := s.Acquire(t.Context(), limit.Ask{Scope: "a"}); err == nil {
					s.Release(l, 0)
				}
			})
		}
		synctest.Wait()
		_, err := s.Acquire(t.Context(), limit.Ask{Scope: "a"})
		wantCode(t, err, apierr.CodeThrottling)
		s.Release(l, 0)
		wg.Wait()
	})
}

// Many callers, some of whom give up: no slot is lost and none is leased twice.
func TestSlotsStress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3
		s := limit.NewSlots(limit.SlotsConfig{N: n, Wait: 40 * time.Millisecond})
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			held [n]bool
		)
		for i := range 300 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%17) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%29)*time.Millisecond)
				defer cancel()
				l, err := s.Acquire(ctx, limit.Ask{Scope: string(rune('a' + i%5))})
				if err != nil {
					return
				}
				mu.Lock()
				if held[l.ID] {
					t.Errorf("slot %d leased twice", l.ID)
				}
				held[l.ID] = true
				mu.Unlock()
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				mu.Lock()
				held[l.ID] = false
				mu.Unlock()
				s.Keep(l)
				s.Release(l, 0)
			})
		}
		wg.Wait()
		if busy, waiting := s.Load(); busy != 0 || waiting != 0 {
			t.Fatalf("load %s at the end", s)
		}
	})
}

func BenchmarkSlots(b *testing.B) {
	s := limit.NewSlots(limit.SlotsConfig{N: 4})
	for b.Loop() {
		l, err := s.Acquire(b.Context(), limit.Ask{Scope: "a"})
		if err != nil {
			b.Fatal(err)
		}
		s.Keep(l)
		s.Release(l, 0)
	}
}
