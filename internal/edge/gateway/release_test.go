package gateway

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory goes back once behind a burst, however many bodies it had, and never
// because of small ones.
func TestRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int64
		r := release{free: func() { freed.Add(1) }}
		check := func(when string, want int64) {
			t.Helper()
			time.Sleep(releaseWait)
			synctest.Wait()
			if n := freed.Load(); n != want {
				t.Fatalf("%s: memory went back %d times, want %d", when, n, want)
			}
		}
		for range 1000 {
			r.add(releaseLarge - 1)
		}
		check("small bodies", 0)
		r.add(releaseAfter - 1)
		check("too few bytes", 0)
		for range 20 {
			r.add(20_000_000)
		}
		check("a burst", 1)
		check("quiet", 1)
		r.add(releaseAfter)
		check("another burst", 2)
	})
}

// Memory goes back behind many new streams, and not because streams come and go.
func TestReleaseStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int64
		r := release{free: func() { freed.Add(1) }}
		check := func(when string, want int64) {
			t.Helper()
			time.Sleep(releaseWait)
			synctest.Wait()
			if n := freed.Load(); n != want {
				t.Fatalf("%s: memory went back %d times, want %d", when, n, want)
			}
		}
		for range 10 * releaseStreams {
			r.opened()
			r.closed()
		}
		check("one after the other", 0)
		for range releaseStreams {
			r.opened()
		}
		check("many at once", 1)
		for range releaseStreams - 1 {
			r.opened()
		}
		check("some more", 1)
		r.opened()
		check("many more", 2)
		for range 2 * releaseStreams {
			r.closed()
		}
		for range releaseStreams {
			r.opened()
		}
		check("gone and come again", 3)
	})
}

// A body of known length grows by steps of four that end at its length; one of
// unknown length doubles.
func TestRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most  int64
		known bool
	}{{1, true}, {firstRead, true}, {100_000, true}, {20_000_000, true}, {25_000_000, true}, {25_000_000, false}} {
		room, outgrown := int64(0), int64(0)
		for room < c.most {
			next := nextRoom(room, c.most, c.known)
			if next <= room || next > c.most || next > max(firstRead+4, 4*room+4) && next > 4*firstRead {
				t.Fatalf("%+v: from %d to %d", c, room, next)
			}
			outgrown += room
			room = next
		}
		if c.known && outgrown > c.most/3+1 {
			t.Errorf("%+v: rooms of %d bytes were outgrown", c, outgrown)
		}
	}
}
