package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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
const heapGap = 64 << 20

// The bounds of what spaceCollections sets, in percent of what a collection has
// to look at.
const (
	leastGap = 50
	mostGap  = 1000
)

// spaceCollections lets about the same amount of garbage gather between any two
// collections. By itself Go waits until the heap has grown by what is in use,
// which is too early for a server that holds next to nothing, and too late for
// one that holds thousands of streams. An operator's GOGC counts more.
//
// Like boundHeap it is for the program only.
func spaceCollections() {
	if os.Getenv("GOGC") != "" {
		return
	}
	newSpacing().await()
}

// spacing is the state between two collections.
type spacing struct {
	percent int
	uses    []metrics.Sample
}

func newSpacing() *spacing {
	return &spacing{percent: 100, uses: []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}}
}

// await has the next collection noticed: it finds an object that nobody has.
func (s *spacing) await() {
	runtime.SetFinalizer(&struct{ s *spacing }{s}, func(*struct{ s *spacing }) {
		s.adapt()
		s.await()
	})
}

// adapt sets the percentage after a collection. Setting it stops the program for
// a moment, so small changes are left out.
func (s *spacing) adapt() {
	metrics.Read(s.uses)
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
