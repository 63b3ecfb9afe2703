package cache_test

import (
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/cache/cachetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(*testing.T) cachetest.Store {
		now := newClock()
		return cachetest.Store{Store: cache.NewMemory(0, now.Now), Pass: now.Add}
	})
}

// TestMemoryBound: the room is never passed, what was used last stays, and an
// account cannot push out those who have less.
func TestMemoryBound(t *testing.T) {
	t.Parallel()
	const room = 10 * (1000 + 256)
	m := cache.NewMemory(room, nil)
	put := func(account string, n int) {
		t.Helper()
		if err := m.Put(t.Context(), cachetest.KeyOf(account, n), make([]byte, 1000), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	has := func(account string, n int) bool {
		t.Helper()
		_, ok, err := m.Get(t.Context(), cachetest.KeyOf(account, n))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for n := range 3 {
		put(cachetest.Other, n)
	}
	for n := range 7 {
		put(cachetest.Account, n)
	}
	has(cachetest.Account, 0) // used: 1 is the oldest now
	for n := 7; n < 100; n++ {
		put(cachetest.Account, n)
		if u := m.Use(); u.Bytes > room || u.Entries > 10 {
			t.Fatalf("holds %+v", u)
		}
		if n == 7 && (has(cachetest.Account, 1) || !has(cachetest.Account, 0)) {
			t.Error("not the oldest went first")
		}
	}
	for n := range 3 {
		if !has(cachetest.Other, n) {
			t.Error("one account pushed another one out")
		}
	}
	if err := m.Put(t.Context(), cachetest.KeyOf(cachetest.Other, 9), make([]byte, room), time.Hour); err != nil || has(cachetest.Other, 9) {
		t.Errorf("more than all of the room was kept, %v", err)
	}
	if u := m.Use(); u.Evicted != 93 || u.Entries != 10 {
		t.Errorf("holds %+v", u)
	}
}
