package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	// firstRead is how much memory a body gets before its first byte has come.
	// It grows with what really arrives, so that a declared length alone holds
	// neither memory nor budget.
	firstRead = 16 << 10
	// lingerBytes is how much of a refused body is taken and dropped, so that a
	// client that sends everything before it reads sees the answer.
	lingerBytes = 64 << 20
)

// budget bounds the bytes that all request bodies hold together.
type budget struct {
	mu   sync.Mutex
	left int64
}

func newBudget(n int64) *budget { return &budget{left: n} }

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.left += n
	b.mu.Unlock()
}

// readBody reads the whole body under the operation's limit, the global budget
// and the rate that clients must keep. ServeHTTP gives q.held back: serve drops
// the bytes once they are decoded, but what was decoded from them has about
// their size.
func (g *Gateway) readBody(q *request) error {
	limit, size := g.maxBody(q), q.r.ContentLength
	if size == 0 {
		return nil
	}
	if size > limit {
		q.linger = true
		return tooLarge(limit)
	}
	most := size
	if size < 0 { // chunked: the size shows while reading
		most = limit
	}
	if err := g.fill(q, most); err != nil {
		return err
	}
	if size < 0 {
		// One byte over the limit tells a body that fits from one that does not.
		var over [1]byte
		n, err := io.ReadFull(q.r.Body, over[:])
		switch {
		case n > 0:
			q.linger = true
			return tooLarge(limit)
		case !errors.Is(err, io.EOF):
			return bodyError(err)
		}
	}
	q.arrived = true
	_ = q.rc.SetReadDeadline(time.Time{}) // not every test writer has one
	return nil
}

// fill reads up to most bytes of the body, fewer only when it is chunked.
func (g *Gateway) fill(q *request, most int64) error {
	start := time.Now()
	for {
		got := int64(len(q.body))
		if got == most {
			return nil
		}
		if got == int64(cap(q.body)) {
			if err := g.grow(q, nextRoom(got, most, q.r.ContentLength >= 0)); err != nil {
				return err
			}
		}
		// The client must stay ahead of the rate all the time, not on average.
		allowed := g.cfg.BodyGrace + time.Duration(float64(got)/float64(g.cfg.BodyRate)*float64(time.Second))
		_ = q.rc.SetReadDeadline(start.Add(allowed))
		n, err := q.r.Body.Read(q.body[got:cap(q.body)])
		q.body = q.body[:got+int64(n)]
		if errors.Is(err, io.EOF) && (int64(len(q.body)) == most || q.r.ContentLength < 0) {
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
	}
}

// nextRoom is how many bytes a body gets room for when got have filled what it
// had. A body of known length grows by steps of four that end at its length, so
// the rooms it outgrows are a third of it together; one of unknown length
// doubles, so that at most half of its room stays empty.
func nextRoom(got, most int64, known bool) int64 {
	if !known {
		return min(most, max(firstRead, 2*got))
	}
	room := most
	for room/4 >= max(firstRead, got+1) {
		room /= 4
	}
	return room
}

// grow gives the body room for n bytes.
func (g *Gateway) grow(q *request, n int64) error {
	if more := n - q.held; more > 0 {
		if !g.bodies.take(more) {
			return apierr.Unavailable("The server holds as many request bytes as it may. Try again.")
		}
		q.held = n
	}
	b := make([]byte, len(q.body), n)
	copy(b, q.body)
	q.body = b
	return nil
}

func bodyError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return apierr.New("RequestTimeoutException", http.StatusRequestTimeout, "The request body did not arrive in time.")
	}
	return apierr.New(apierr.CodeSerialization, http.StatusBadRequest, "The request body ended early.").WithCause(err)
}

func tooLarge(limit int64) error {
	return apierr.New(apierr.CodeRequestTooLarge, http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", limit)
}

// whole reports whether the body has arrived. Before that, net/http also ends
// the request's context when the body only comes too slowly.
func (q *request) whole() bool { return q.arrived || q.r.ContentLength == 0 }

// unread readies the connection of a request that is refused before its body
// has arrived. The connection ends after the answer, and what still comes is
// waited for only a short while: without this, net/http would wait for up to
// 256 KiB of it without limit of time before it answers.
func (g *Gateway) unread(q *request) {
	if q.whole() || q.r.ProtoMajor != 1 { // HTTP/2 resets the stream
		return
	}
	q.w.Header()["Connection"] = []string{"close"}
	_ = q.rc.SetReadDeadline(time.Now().Add(g.cfg.BodyGrace / 4))
}

// drain drops what comes of a body that is too large, after the answer is out.
// Only callers whose key is known get this far, and none who waits to be asked
// for the body.
func (q *request) drain() {
	if !q.linger || q.r.ProtoMajor != 1 || q.r.Header.Get("Expect") != "" || q.rc.Flush() != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, q.r.Body, lingerBytes) // the answer is out already
}
