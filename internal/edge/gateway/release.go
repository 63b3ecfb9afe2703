package gateway

import (
	"sync"
	"time"
)

const (
	// releaseAfter is how many bytes of large bodies must be done with before
	// memory goes back to the system, and releaseLarge what makes a body large.
	releaseAfter = 64 << 20
	releaseLarge = 1 << 20
	// releaseWait is how long that waits for more, so that it comes at most so
	// often. It takes a collection, of some ten milliseconds beside the calls.
	releaseWait = 2 * time.Second
)

// release gives memory back to the system behind a burst of large bodies. Go's
// runtime would keep it for minutes, until its next collection: an idle server
// makes nearly no garbage.
type release struct {
	free func()

	mu      sync.Mutex
	done    int64 // bytes of large bodies since the last time
	waiting bool
}

// add tells of n bytes that nobody uses any more.
func (r *release) add(n int64) {
	if n < releaseLarge {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done += n; r.done < releaseAfter || r.waiting {
		return
	}
	r.waiting = true
	time.AfterFunc(releaseWait, func() {
		r.mu.Lock()
		r.done, r.waiting = 0, false
		r.mu.Unlock()
		r.free()
	})
}
