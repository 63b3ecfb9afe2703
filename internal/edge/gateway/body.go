package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// A client must deliver its body at no less than this rate, after a grace
// period: slower ones are cut off, so they cannot hold connections and memory.
const (
	bodyGrace   = 20 * time.Second
	bodyMinRate = 32 << 10 // bytes per second
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
// and a deadline. The bytes stay valid until the request ends.
func (g *Gateway) readBody(q *request) error {
	limit := g.maxBody(q)
	size := q.r.ContentLength
	if size == 0 {
		return nil
	}
	if size > limit {
		return tooLarge(limit)
	}
	hold := size
	if size < 0 { // chunked: the size shows while reading
		hold = min(limit, 1<<20)
	}
	if !g.bodies.take(hold) {
		return apierr.Unavailable("The server holds as many request bytes as it may. Try again.")
	}
	q.release = func() { g.bodies.give(hold); q.release = nil }
	allowed := bodyGrace + time.Duration(limit/bodyMinRate)*time.Second
	if size > 0 {
		allowed = bodyGrace + time.Duration(size/bodyMinRate)*time.Second
	}
	_ = q.rc.SetReadDeadline(time.Now().Add(allowed)) // not every test writer has one
	var err error
	if size > 0 {
		q.body = make([]byte, size)
		_, err = io.ReadFull(q.r.Body, q.body)
	} else {
		q.body, err = g.readChunked(q.r.Body, limit, &hold)
	}
	if err != nil {
		return bodyError(err, limit)
	}
	_ = q.rc.SetReadDeadline(time.Time{})
	return nil
}

// readChunked reads a body of unknown size and grows hold with it.
func (g *Gateway) readChunked(r io.Reader, limit int64, hold *int64) ([]byte, error) {
	var buf bytes.Buffer
	for {
		n, err := io.CopyN(&buf, r, 64<<10)
		if int64(buf.Len()) > limit {
			return nil, &http.MaxBytesError{Limit: limit}
		}
		if more := int64(buf.Len()) - *hold; more > 0 {
			if !g.bodies.take(more) {
				return nil, apierr.Unavailable("The server holds as many request bytes as it may. Try again.")
			}
			*hold += more
		}
		if errors.Is(err, io.EOF) {
			return buf.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return buf.Bytes(), nil
		}
	}
}

func bodyError(err error, limit int64) error {
	var big *http.MaxBytesError
	var api *apierr.Error
	switch {
	case errors.As(err, &big):
		return tooLarge(limit)
	case errors.As(err, &api):
		return api
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierr.New("RequestTimeoutException", http.StatusRequestTimeout, "The request body did not arrive in time.")
	default:
		return apierr.New(apierr.CodeSerialization, http.StatusBadRequest, "The request body ended early.").WithCause(err)
	}
}

func tooLarge(limit int64) error {
	return apierr.New(apierr.CodeRequestTooLarge, http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", limit)
}
