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
	// releaseStreams is how many more streams than the last time must be open.
	// What opening them took would stay for as long as they are quiet.
	releaseStreams = 200
)

// release gives memory back to the system behind a burst of large bodies or of
// streams that stay open. Go's runtime would keep it for minutes, until its next
// collection: an idle server makes nearly no garbage, and neither do streams.
type release struct {
	free func()

	mu      sync.Mutex
	done    int64 // bytes of large bodies since the last time
	waiting bool
	open    int // streams
	least   int // fewest that were open since the last time
}

// opened tells of a stream that is open now; closed tells of its end.
func (r *release) opened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	if r.open >= r.least+max(releaseStreams, r.least/4) {
		r.later()
	}
}

func (r *release) closed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.least = min(r.least, r.open)
}

// add tells of n bytes that nobody uses any more.
func (r *release) add(n int64) {
	if n < releaseLarge {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done += n; r.done >= releaseAfter {
		r.later()
	}
}

// later frees memory in a while, once. The caller holds the lock.
func (r *release) later() {
	if r.waiting {
		return
	}
	r.waiting = true
	time.AfterFunc(releaseWait, func() {
		r.mu.Lock()
		r.done, r.waiting, r.least = 0, false, r.open
		r.mu.Unlock()
		r.free()
	})
}
