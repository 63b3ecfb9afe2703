package limit_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// asker asks in the background.
type asker struct {
	lease  chan limit.Lease
	err    chan error
	cancel context.CancelFunc
}

func ask(t *testing.T, s *limit.Slots, a limit.Ask) *asker {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	x := &asker{make(chan limit.Lease, 1), make(chan error, 1), cancel}
	go func() {
		l, err := s.Acquire(ctx, a)
		if err != nil {
			x.err <- err
		} else {
			x.lease <- l
		}
	}()
	synctest.Wait()
	return x
}

// has tells whether it got its slot.
func (x *asker) has() bool {
	synctest.Wait()
	return len(x.lease) == 1
}

func TestGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 5, Group: 2, Shut: true})
		one, two := ask(t, s, limit.Ask{Scope: "a"}), ask(t, s, limit.Ask{Scope: "a"})
		if one.has() || two.has() {
			t.Fatal("a slot of a shut group was granted")
		}
		time.Sleep(3 * time.Second)
		s.Open(2) // of one slot
		if !one.has() || two.has() {
			t.Fatal("a group of one slot opened")
		}
		if l := <-one.lease; l.ID != 4 || l.Group != 2 || l.Slot != 0 || l.Waited != 3*time.Second {
			t.Errorf("%+v", l)
		}
		s.Open(0)
		s.Open(1)
		l := <-two.lease
		busy, _ := s.GroupLoad(l.Group)
		if busy != 1 || l.Group == 2 {
			t.Errorf("%+v, %d busy", l, busy)
		}
		// The group with most room comes first.
		if next := acquire(t, s, "b"); next.Group == l.Group || next.Waited != 0 {
			t.Errorf("%+v beside %+v", next, l)
		}
		s.Shut(0)
		s.Shut(1)
		three := ask(t, s, limit.Ask{Scope: "a"})
		s.Release(l, 0)
		if three.has() {
			t.Error("a slot of a shut group was granted")
		}
		if st := s.Stats(); st.Slots != 1 || st.Busy != 2 || st.Waiting != 1 || st.Granted != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// State is forgotten group by group.
func TestResetOfOneGroup(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 2, Group: 1})
	a, b := acquire(t, s, "a"), acquire(t, s, "a")
	for _, l := range []limit.Lease{a, b} {
		s.Keep(l)
		s.Release(l, 0)
	}
	s.Reset(a.Group)
	if l := acquire(t, s, "a"); l.ID != b.ID || l.Fresh {
		t.Errorf("%+v, want the other slot, whose state is known", l)
	}
	if l := acquire(t, s, "a"); l.ID != a.ID || !l.Fresh {
		t.Errorf("%+v", l)
	}
}

// Requests hold no more tokens than the budget, and who comes first is not
// overtaken by those that would fit.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 4, Tokens: 100})
		first := ask(t, s, limit.Ask{Scope: "a", Tokens: 60})
		large := ask(t, s, limit.Ask{Scope: "a", Tokens: 1000}) // counts as 100
		small := ask(t, s, limit.Ask{Scope: "a", Tokens: 10})
		if !first.has() || large.has() || small.has() {
			t.Fatal("want the first alone")
		}
		if busy, tokens := s.GroupLoad(0); busy != 1 || tokens != 60 {
			t.Errorf("%d busy, %d tokens", busy, tokens)
		}
		s.Release(<-first.lease, 60)
		if !large.has() || small.has() {
			t.Fatal("want the large one alone")
		}
		s.Release(<-large.lease, 100)
		if !small.has() {
			t.Fatal("the small one waits for nothing")
		}
	})
}

// When who comes first goes away, the next ones take his place at once.
func TestBudgetHeadLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 4, Tokens: 100, Wait: 10 * time.Second})
		ask(t, s, limit.Ask{Scope: "a", Tokens: 60})
		large := ask(t, s, limit.Ask{Scope: "a", Tokens: 100})
		small := ask(t, s, limit.Ask{Scope: "a", Tokens: 10})
		large.cancel()
		if !small.has() {
			t.Error("the small one still waits")
		}
		ask(t, s, limit.Ask{Scope: "a", Tokens: 100})
		time.Sleep(5 * time.Second)
		late := ask(t, s, limit.Ask{Scope: "a", Tokens: 10})
		time.Sleep(6 * time.Second)
		if !late.has() {
			t.Error("it still waits behind one whose time is over")
		}
		if st := s.Stats(); st.Left != 1 || st.Late != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 3})
		mine := limit.Ask{Scope: "a", Reserved: "mine"}
		if _, err := s.Acquire(t.Context(), mine); err == nil {
			t.Fatal("nothing is set aside, and it was granted")
		} else {
			wantCode(t, err, apierr.CodeModelNotReady)
		}
		if err := s.Reserve("mine", 1); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{2, 3} {
			wantCode(t, s.Reserve("yours", n), apierr.CodeServiceQuotaExceeded)
		}
		var others []*asker
		for range 3 {
			others = append(others, ask(t, s, limit.Ask{Scope: "a", Tier: limit.Reserved}))
		}
		if !others[1].has() || others[2].has() {
			t.Fatal("a slot that is set aside was granted to another one")
		}
		one, two := ask(t, s, mine), ask(t, s, mine)
		if !one.has() || two.has() {
			t.Fatal("the holder gets what is his, and no more")
		}
		if err := s.Reserve("mine", 2); err != nil {
			t.Fatal(err)
		}
		s.Release(<-others[0].lease, 0)
		if !two.has() || others[2].has() {
			t.Fatal("the holder's second slot went to another one")
		}
		if his, all := s.Reserved("mine"); his != 2 || all != 2 || s.Stats().Held != 2 {
			t.Errorf("%d of %d set aside", his, all)
		}
		three := ask(t, s, mine)
		if err := s.Reserve("mine", 0); err != nil {
			t.Fatal(err)
		}
		wantCode(t, <-three.err, apierr.CodeResourceNotFound)
		s.Release(<-one.lease, 0) // leases run on
		if !others[2].has() {
			t.Error("what was given back was not granted")
		}
		if err := s.Reserve("mine", 0); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
}

// More slots for a holder are granted to those who wait for them.
func TestReserveMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 4})
		if err := s.Reserve("h", 1); err != nil {
			t.Fatal(err)
		}
		mine := limit.Ask{Scope: "a", Reserved: "h"}
		one, two := ask(t, s, mine), ask(t, s, mine)
		if !one.has() || two.has() {
			t.Fatal("want one of two")
		}
		if err := s.Reserve("h", 2); err != nil || !two.has() {
			t.Errorf("the second slot was not granted: %v", err)
		}
	})
}

// What is set aside leaves a request of the largest size its place.
func TestReserveLeavesTokens(t *testing.T) {
	t.Parallel()
	for most, want := range map[int]int{0: 0, 100: 0, 50: 2, 25: 3, 1: 3} {
		s := limit.NewSlots(limit.SlotsConfig{N: 8, Group: 4, Tokens: 100, Most: most})
		n := 0
		for s.Reserve("h", n+1) == nil {
			n++
		}
		if n != want {
			t.Errorf("requests of up to %d tokens: %d slots can be set aside, want %d", most, n, want)
		}
	}
}

// A refusal tells when to come back: when half of the line will have gone, or a bit
// later.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1, MaxQueue: 8, Wait: time.Hour})
		refused := func() time.Duration {
			t.Helper()
			_, err := s.Acquire(t.Context(), limit.Ask{Scope: "a"})
			wantCode(t, err, apierr.CodeThrottling)
			return apierr.From(err).RetryAfter
		}
		held := acquire(t, s, "a")
		var line []*asker
		join := func() { line = append(line, ask(t, s, limit.Ask{Scope: "a"})) }
		for range 8 {
			join()
		}
		if got := refused(); got < time.Second || got > 1500*time.Millisecond {
			t.Errorf("before anything is known: %v", got)
		}
		for range 5 { // a slot each 3 seconds
			time.Sleep(3 * time.Second)
			s.Release(held, 0)
			held = <-line[0].lease
			line = line[1:]
			join()
		}
		if got := refused(); got < 12*time.Second || got > 18*time.Second {
			t.Errorf("4 callers of 3 s each ahead: %v", got)
		}
		time.Sleep(time.Hour)
		for _, x := range line {
			if e := apierr.From(<-x.err); e.RetryAfter < time.Second {
				t.Errorf("too late: %v", e.RetryAfter)
			}
		}
		if st := s.Stats(); st.Full != 2 || st.Late != 8 || st.Granted != 6 || st.Ahead.Counts[0] != 1 || st.Ahead.Counts[4] != 3+5 || st.Waits.Counts[0] != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A scope that fills the line keeps no other one out of it.
func TestFullLineIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(limit.SlotsConfig{N: 1, MaxQueue: 4})
		acquire(t, s, "flood")
		var flood []*asker
		for i := range 4 {
			flood = append(flood, ask(t, s, limit.Ask{Scope: "flood", Tier: limit.Tier(i % 2)}))
		}
		one, two := ask(t, s, limit.Ask{Scope: "b"}), ask(t, s, limit.Ask{Scope: "b"})
		if _, waiting := s.Load(); waiting != 4 {
			t.Fatalf("%d wait", waiting)
		}
		// The last of the flood, those of the flexible tier first.
		for _, i := range []int{3, 1} {
			wantCode(t, <-flood[i].err, apierr.CodeThrottling)
		}
		for _, scope := range []string{"b", "flood"} { // two each by now
			wantCode(t, <-ask(t, s, limit.Ask{Scope: scope}).err, apierr.CodeThrottling)
		}
		three := ask(t, s, limit.Ask{Scope: "c"})
		if len(one.err)+len(three.err) != 0 || len(two.err)+len(flood[2].err)+len(flood[0].err) != 1 {
			t.Error("a third scope found no place")
		}
		if st := s.Stats(); st.Full != 5 || st.Waiting != 4 {
			t.Errorf("%+v", st)
		}
	})
}

func TestStatsBounds(t *testing.T) {
	t.Parallel()
	var w limit.Waits
	if w.Bound(0) != time.Millisecond || w.Bound(10) != 1024*time.Millisecond || w.Bound(len(w.Counts)-2) != 131072*time.Millisecond {
		t.Error("bounds of waits")
	}
	var a limit.Ahead
	for i, want := range []int{0, 1, 2, 4, 8} {
		if a.Bound(i) != want {
			t.Errorf("bound %d is %d", i, a.Bound(i))
		}
	}
}

// A lease costs no memory, whoever asks.
func TestSlotsAllocations(t *testing.T) {
	s := limit.NewSlots(limit.SlotsConfig{N: 8, Group: 4, Tokens: 1000, Most: 100})
	if err := s.Reserve("h", 2); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, a := range []limit.Ask{{Scope: "a", Tokens: 10}, {Scope: "a", Reserved: "h", Tokens: 10}} {
		if n := testing.AllocsPerRun(100, func() {
			l, err := s.Acquire(ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			s.Keep(l)
			s.Release(l, 5)
		}); n != 0 {
			t.Errorf("%+v: %v allocations", a, n)
		}
	}
}

// Scopes that come and go without number leave nothing behind.
func TestSlotsForgetScopes(t *testing.T) {
	t.Parallel()
	s := limit.NewSlots(limit.SlotsConfig{N: 2})
	held := acquire(t, s, "busy") // never idle
	for i := range 5000 {
		s.Release(acquire(t, s, strconv.Itoa(i)), 1)
	}
	if n := s.Scopes(); n > 1024 {
		t.Errorf("%d scopes are remembered", n)
	}
	s.Release(held, 0)
}
