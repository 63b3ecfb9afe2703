package app

import (
	"os"
	"runtime/debug"
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
