package app

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapRoom is how much memory Go's heap may take besides request bodies, in
// bytes, before the garbage collector works harder.
const heapRoom = 256 << 20

// boundHeap makes the garbage collector run more often when the process nears
// what all bodies and its own needs take together. By itself it would let the
// heap grow to twice of what is in use, after a burst of large bodies to more
// than a gigabyte. An operator's GOMEMLIMIT counts more.
//
// It is a limit for the process, so only the program sets it, not New.
func boundHeap(bodies int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bodies + heapRoom)
	}
}

// heapGap is how much garbage may gather before the next collection, in bytes.
const heapGap = 32 << 20

// The bounds of what spacing sets, in percent of what a collection has
// to look at.
const (
	leastGap = 50
	mostGap  = 1000
)

// What run takes for calm, and for worth the work, in bytes.
const (
	calmGarbage  = 1 << 20 // made since the last look, at most
	worthGarbage = 4 << 20 // made since the last collection, at least
)

// calmLook is how often run looks.
const calmLook = 2 * time.Second

// spacing looks after Go's garbage collector. It lets about the same amount of
// garbage gather between any two collections: by itself Go waits until the heap
// has grown by what is in use, which is too early for a server that holds next to
// nothing, and too late for one that holds thousands of streams. And what a burst
// of calls has left behind goes back to the operating system when the burst is
// over, which Go by itself does minutes later.
//
// An operator's GOGC counts more. Like boundHeap it is for the program only.
type spacing struct {
	mu        sync.Mutex
	percent   int
	uses      []metrics.Sample // what a collection looks at
	collected uint64           // made, at the last collection
	looked    uint64           // made, at the last look
}

func newSpacing() *spacing {
	return &spacing{
		percent: 100,
		uses:    []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}},
	}
}

// run looks after the collector until ctx ends.
func (s *spacing) run(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	s.await(ctx)
	look := time.NewTicker(calmLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if s.calm(s.total()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// await has the next collection noticed, until ctx ends: it finds an object that
// nobody has.
func (s *spacing) await(ctx context.Context) {
	runtime.SetFinalizer(&struct{ s *spacing }{s}, func(*struct{ s *spacing }) {
		if ctx.Err() == nil {
			s.adapt()
			s.await(ctx)
		}
	})
}

// adapt sets the percentage after a collection. Setting it stops the program for
// a moment, so small changes are left out.
func (s *spacing) adapt() {
	made := s.total()
	s.mu.Lock()
	defer s.mu.Unlock()
	metrics.Read(s.uses)
	s.collected = made
	var used uint64
	for i := range s.uses {
		used += s.uses[i].Value.Uint64()
	}
	percent := gapPercent(used)
	if d := percent - s.percent; d > s.percent/8 || -d > s.percent/8 {
		s.percent = percent
		debug.SetGCPercent(percent)
	}
}

// gapPercent is what heapGap comes to, in percent of what is in use, in bytes.
func gapPercent(used uint64) int {
	return int(min(max(100*heapGap/max(used, 1), leastGap), mostGap)) // #nosec G115 -- at most mostGap
}

// calm reports whether next to nothing was allocated since the last look, and
// enough before to be worth a collection; made is all that was ever allocated.
func (s *spacing) calm(made uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	recent, garbage := made-s.looked, made-s.collected
	s.looked = made
	return recent < calmGarbage && garbage >= worthGarbage
}

// total is all that was ever allocated, in bytes.
func (*spacing) total() uint64 {
	made := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(made)
	return made[0].Value.Uint64()
}
