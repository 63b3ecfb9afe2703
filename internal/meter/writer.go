package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrStopped says that a record came after the writer's end.
var ErrStopped = errors.New("meter: the writer has stopped")

// Config of a Writer.
type Config struct {
	Store    Store         // required
	Interval time.Duration // longest wait of a record for its commit; 0 means 200 ms
	Batch    int           // records per commit; 0 means 256
	Queue    int           // records waiting at most, at least Batch; 0 means 4096
	// Strict makes Add return only after the record is durable.
	Strict bool
	Log    *slog.Logger // nil discards
}

// Writer stores usage records in groups, so that a call does not wait for the
// disk.
//
// What may be lost: on kill -9 or loss of power, the records of the last
// Interval and those that wait for a commit under way, never more than Queue;
// nothing at all with Strict, and nothing at a clean stop. This is the one
// exception to the rule that whatever was acknowledged survives.
//
// While the store fails, records wait and are tried again (a store takes a
// record twice without counting it twice). Before the queue is full, Ready tells
// that no new call should be let in. When it is full, Add blocks: calls slow down
// rather than go unmetered.
//
// It is safe for concurrent use.
type Writer struct {
	c     Config
	wake  chan struct{} // holds a value when records wait
	full  chan struct{} // holds a value when a whole batch waits
	space *sync.Cond    // signalled when records leave the queue, or at the end

	mu      sync.Mutex // guards what follows
	pending []entry
	stopped bool
	failing bool // the store did not take the last batch
}

// entry is a record on its way. done is nil unless someone waits for it.
type entry struct {
	record Record
	came   time.Time
	done   chan error
}

const (
	firstRetry = 100 * time.Millisecond // then doubled each time
	lastRetry  = 5 * time.Second
	// putTimeout bounds one commit.
	putTimeout = 15 * time.Second
	// stopGrace is how long Run keeps trying to store what is left at its end.
	stopGrace = 5 * time.Second
)

// NewWriter makes a writer. It stores nothing until Run runs.
func NewWriter(c Config) *Writer {
	if c.Interval <= 0 {
		c.Interval = 200 * time.Millisecond
	}
	if c.Batch <= 0 {
		c.Batch = 256
	}
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	c.Queue = max(c.Queue, c.Batch)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{c: c, wake: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	w.space = sync.NewCond(&w.mu)
	return w
}

// Add hands a record over. It blocks only while the queue is full or, with
// Strict, until the record is durable; it takes no context, because a client
// that went away is still metered.
//
// Errors: ErrStopped after the end of Run; with Strict also the store's error,
// in which case the record is not tried again.
func (w *Writer) Add(r Record) error {
	e := entry{record: r, came: time.Now()}
	if w.c.Strict {
		e.done = make(chan error, 1)
	}
	w.mu.Lock()
	for len(w.pending) >= w.c.Queue && !w.stopped {
		w.space.Wait()
	}
	if w.stopped {
		w.mu.Unlock()
		return ErrStopped
	}
	w.pending = append(w.pending, e)
	n := len(w.pending)
	w.mu.Unlock()
	if n == 1 {
		signal(w.wake)
	}
	if n == w.c.Batch {
		signal(w.full)
	}
	if w.c.Strict {
		return <-e.done
	}
	return nil
}

// Ready reports whether new calls can be metered: it is false while the store
// fails and half of the queue is taken. The other half is for the calls that run.
func (w *Writer) Ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.failing || len(w.pending) < w.c.Queue/2
}

// signal puts a value into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run stores records until ctx ends, then what is left. Cancel ctx only when no
// more calls arrive: a later Add fails. Run must be called once.
//
// Errors: the store's, when records were left that it would not take within 5 s.
func (w *Writer) Run(ctx context.Context) error {
	wait := firstRetry // after the next failure
	for ctx.Err() == nil {
		if !w.gather(ctx) {
			continue
		}
		// A commit that has begun is not broken off by the server's stop.
		err := w.commit(context.WithoutCancel(ctx), putTimeout)
		switch {
		case err == nil && wait > firstRetry:
			w.c.Log.Info("usage records are stored again")
			wait = firstRetry
		case err != nil:
			if wait == firstRetry {
				w.c.Log.Error("the store does not take usage records; they wait and are tried again", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, lastRetry)
		}
	}
	return w.finish(context.WithoutCancel(ctx))
}

// gather waits until a commit is due: Interval after the oldest record came, or
// when a whole batch is there, or at the first record when Strict. It reports
// false when nothing is due yet.
func (w *Writer) gather(ctx context.Context) bool {
	n, oldest := w.waiting()
	if n == 0 {
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
		return false
	}
	left := w.c.Interval - time.Since(oldest)
	if w.c.Strict || n >= w.c.Batch || left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.full:
	case <-timer.C:
	}
	return false
}

// commit stores one batch. When the store fails, the batch stays in the queue;
// with Strict its callers get the error instead.
func (w *Writer) commit(ctx context.Context, limit time.Duration) error {
	batch := w.next()
	records := make([]Record, len(batch))
	for i := range batch {
		records[i] = batch[i].record
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := w.c.Store.PutUsage(ctx, records)
	w.mu.Lock()
	w.failing = err != nil
	w.mu.Unlock()
	if err == nil || w.c.Strict {
		w.remove(batch, err)
	}
	return err
}

// finish stores what is left and lets no more records in.
func (w *Writer) finish(ctx context.Context) error {
	end := time.Now().Add(stopGrace)
	err := context.DeadlineExceeded
	for {
		w.mu.Lock()
		n := len(w.pending)
		if n == 0 || !time.Now().Before(end) {
			left := w.pending
			w.stopped, w.pending = true, nil
			w.space.Broadcast()
			w.mu.Unlock()
			for _, e := range left {
				if e.done != nil {
					e.done <- ErrStopped
				}
			}
			if n > 0 {
				return fmt.Errorf("meter: %d usage records are lost, the store did not take them within %v of the stop: %w", n, stopGrace, err)
			}
			return nil
		}
		w.mu.Unlock()
		if err = w.commit(ctx, time.Until(end)); err != nil && !w.c.Strict {
			time.Sleep(min(firstRetry, time.Until(end)))
		}
	}
}

// waiting returns how many records wait and when the oldest of them came.
func (w *Writer) waiting() (int, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return 0, time.Time{}
	}
	return len(w.pending), w.pending[0].came
}

// next returns the oldest waiting records, at most a batch. They stay in the
// queue, so that they keep their room while the store fails.
func (w *Writer) next() []entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]entry(nil), w.pending[:min(len(w.pending), w.c.Batch)]...)
}

// remove takes the records of batch, the oldest ones, out of the queue.
func (w *Writer) remove(batch []entry, err error) {
	w.mu.Lock()
	n := copy(w.pending, w.pending[len(batch):])
	clear(w.pending[n:])
	w.pending = w.pending[:n]
	w.space.Broadcast()
	w.mu.Unlock()
	for _, e := range batch {
		if e.done != nil {
			e.done <- err
		}
	}
}
