package remote

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// ErrStalled is the cause with which a request ends whose server took too long.
var ErrStalled = errors.New("the server stopped answering")

// Watch ends a request that its server does not go on with.
type Watch struct {
	fleet  *Fleet
	ctx    context.Context
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// Watch begins to watch a request, of which the first sign may take first. The
// caller ends it.
func (f *Fleet) Watch(ctx context.Context, first time.Duration) *Watch {
	w := &Watch{fleet: f}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(first, w.stall)
	f.open.add(w)
	return w
}

func (w *Watch) stall() { w.cancel(ErrStalled) }

// watches are the requests under way. It is safe for concurrent use.
type watches struct {
	mu    sync.Mutex
	all   map[*Watch]struct{}
	ended bool
}

// add takes a request in, which ends at once when all have.
func (o *watches) add(w *Watch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		w.cancel(errStopping)
		return
	}
	if o.all == nil {
		o.all = make(map[*Watch]struct{})
	}
	o.all[w] = struct{}{}
}

func (o *watches) drop(w *Watch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, w)
}

// end ends all of them, and those to come.
func (o *watches) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for w := range o.all {
		w.cancel(errStopping)
	}
	clear(o.all)
}

// Context is the request's: it ends with the one that Watch was given, with the
// fleet, with End, and when the server takes too long. Its cause says which, to
// Settled.
func (w *Watch) Context() context.Context { return w.ctx }

// Body is the answer of a watched request. The clock runs only while the server is
// waited for: what our own reader takes is not the server's time.
type Body struct {
	r    io.Reader
	w    *Watch
	idle time.Duration
	left time.Duration // until the next sign; 0 before the first, for which Watch's own time runs
}

// Body returns r as the body of the answer. Each sign may take idle after the one
// before.
func (w *Watch) Body(r io.Reader, idle time.Duration) *Body { return &Body{r: r, w: w, idle: idle} }

// Sign tells that the server goes on: bytes alone may mean nothing.
func (b *Body) Sign() {
	if b.left == 0 {
		b.w.timer.Stop()
	}
	b.left = b.idle
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return b.r.Read(p)
	}
	began := time.Now()
	b.w.timer.Reset(b.left)
	n, err := b.r.Read(p)
	b.w.timer.Stop()
	b.left = max(b.left-time.Since(began), 1)
	return n, err
}

// End ends the request, and with it its connection when the answer was not read to
// its end.
func (w *Watch) End() {
	w.fleet.open.drop(w)
	w.timer.Stop()
	w.cancel(nil)
}

// Within runs requests that may take d together. What goes wrong is turned into
// the error for the caller by failed, which gets the context of do; when ctx itself
// has ended, its error is returned.
func (f *Fleet) Within(ctx context.Context, d time.Duration, do func(context.Context) error, failed func(context.Context, error) error) error {
	w := f.Watch(ctx, d)
	defer w.End()
	err := do(w.ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return failed(w.ctx, err)
}

// Settled is the error for the caller where it does not hang on what the server
// said, nil elsewhere: an *apierr.Error within err as it is;
// ServiceUnavailableException when the fleet has ended; ModelTimeoutException, with
// the message late, when the server took too long. ctx is that of the Watch.
func Settled(ctx context.Context, err error, late string) *apierr.Error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return e
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStopping):
		return errStopping.WithCause(err)
	case errors.Is(cause, ErrStalled):
		return apierr.ModelTimeout("%s", late).WithCause(err)
	}
	return nil
}
