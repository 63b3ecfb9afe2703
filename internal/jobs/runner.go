package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Defaults of a Runner.
const (
	DefaultWorkers = 2
	// DefaultLease is how long a job stays with a server that died.
	DefaultLease = time.Minute
	// DefaultPoll is how often a runner looks for jobs that another server left.
	DefaultPoll = 10 * time.Second
	// DefaultKeep is how long a job can be asked about once it has ended.
	DefaultKeep = 7 * 24 * time.Hour
	// dropEvery is how often a runner drops older ones, dropBatch how many in one
	// transaction.
	dropEvery = 10 * time.Minute
	dropBatch = 500
	// MaxTries is how often a job is taken up before it fails: one that ends its
	// server each time must not do so for ever.
	MaxTries = 5
)

// Handler runs one job. Its error fails the job, with the text that failure
// makes of it; a nil error completes it. It returns soon after ctx ends, with
// any error: the job is then given back.
type Handler func(ctx context.Context, j Job) error

// Config of a Runner.
type Config struct {
	Store    Store              // required
	Handlers map[string]Handler // by kind; required
	// Failure makes the text for people of a handler's error; required. It must
	// not tell what the caller may not see.
	Failure func(error) string
	// Alone says that no other server works on the store: jobs of a server that
	// died are taken up at once, not when their leases end.
	Alone   bool
	Workers int              // jobs at once; 0 means DefaultWorkers
	Lease   time.Duration    // 0 means DefaultLease
	Poll    time.Duration    // 0 means DefaultPoll
	Keep    time.Duration    // how long ended jobs stay; 0 means DefaultKeep
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// Runner takes up jobs. It is safe for concurrent use.
type Runner struct {
	c     Config
	owner string
	kinds []string
	wake  chan struct{} // buffered 1
}

// NewRunner returns a runner that has not begun.
func NewRunner(c Config) *Runner {
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}
	if c.Lease <= 0 {
		c.Lease = DefaultLease
	}
	if c.Poll <= 0 {
		c.Poll = DefaultPoll
	}
	if c.Keep <= 0 {
		c.Keep = DefaultKeep
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{c: c, owner: uuid.NewString(), wake: make(chan struct{}, 1)}
	for kind := range c.Handlers {
		r.kinds = append(r.kinds, kind)
	}
	return r
}

// Wake tells the runner that a job was put.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// drop drops jobs that ended long ago, now and then, until ctx ends.
func (r *Runner) drop(ctx context.Context) {
	for {
		n, err := r.c.Store.DropJobs(ctx, r.kinds, r.c.Now().Add(-r.c.Keep), dropBatch)
		if err != nil && ctx.Err() == nil {
			r.c.Log.Error("old jobs stay: the store fails", "error", err)
		}
		wait := dropEvery
		if n == dropBatch {
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Run takes up jobs until ctx ends, then gives back what still runs. It drops
// jobs that ended longer ago than Keep. It returns nil, or why the store cannot
// be used.
func (r *Runner) Run(ctx context.Context) error {
	if r.c.Alone {
		if err := r.c.Store.FreeJobs(ctx); err != nil && ctx.Err() == nil {
			r.c.Log.Error("jobs of the last server wait until their leases end", "error", err)
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { r.drop(ctx) })
	free := make(chan struct{}, r.c.Workers)
	poll := time.NewTicker(r.c.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case free <- struct{}{}:
		}
		now := r.c.Now()
		j, err := r.c.Store.LeaseJob(ctx, r.kinds, r.owner, now, now.Add(r.c.Lease))
		if err == nil {
			running.Go(func() {
				defer func() { <-free }()
				r.run(ctx, j)
			})
			continue
		}
		<-free
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			r.c.Log.Error("no job can be taken up", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-poll.C:
		}
	}
}

// run works on one job and writes down how it ended.
func (r *Runner) run(ctx context.Context, j Job) {
	work, stop := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		r.keep(work, stop, j)
	}()
	err := r.handle(work, j)
	lost := work.Err() != nil && ctx.Err() == nil
	stop()
	<-renewed
	last := context.WithoutCancel(ctx)
	switch {
	case lost: // another runner has it
		return
	case ctx.Err() != nil && err != nil: // the server stops
		if err := r.c.Store.ReleaseJob(last, j, r.owner); err != nil {
			r.c.Log.Error("job not given back", "kind", j.Kind, "job", j.ID, "error", err)
		}
		return
	}
	j.Status, j.Ended = Completed, r.c.Now()
	if err != nil {
		j.Status, j.Failure = Failed, r.c.Failure(err)
	}
	j.Updated = j.Ended
	if err := r.c.Store.EndJob(last, j, r.owner); err != nil {
		r.c.Log.Error("job not ended", "kind", j.Kind, "job", j.ID, "error", err)
	}
}

// errTries fails a job that was taken up too often.
var errTries = errors.New("jobs: the server stopped each time while it worked on this job")

// handle calls the handler; a panic is its error.
func (r *Runner) handle(ctx context.Context, j Job) (err error) {
	if j.Tries > MaxTries {
		return errTries
	}
	defer func() {
		if p := recover(); p != nil {
			r.c.Log.Error("panic in a job", "kind", j.Kind, "job", j.ID, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fmt.Errorf("jobs: panic with a %T", p)
		}
	}()
	return r.c.Handlers[j.Kind](ctx, j)
}

// keep renews the lease until ctx ends. When it is lost, the work stops.
func (r *Runner) keep(ctx context.Context, stop context.CancelFunc, j Job) {
	t := time.NewTicker(r.c.Lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := r.c.Store.RenewJob(ctx, j, r.owner, r.c.Now().Add(r.c.Lease))
		if errors.Is(err, ErrLost) {
			stop()
			return
		}
		if err != nil && ctx.Err() == nil {
			r.c.Log.Error("lease not renewed", "kind", j.Kind, "job", j.ID, "error", err)
		}
	}
}
