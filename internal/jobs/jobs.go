// Package jobs keeps work that outlives the call which asked for it, and runs
// it: asynchronous invocations now, batches and imports later.
//
// A job is durable before it is acknowledged. A runner leases it for a while and
// renews the lease as long as it works, so a job whose server died is taken up
// again, by this server or another one. A job may therefore run more than once:
// its effects must be the same each time.
package jobs

import (
	"context"
	"errors"
	"time"
)

// Status says how far a job is.
type Status string

// The states of a job. It begins as Queued and ends as one of the last two.
const (
	Queued    Status = "Queued"
	Running   Status = "Running"
	Completed Status = "Completed"
	Failed    Status = "Failed"
)

// Ended reports whether nothing will change any more.
func (s Status) Ended() bool { return s == Completed || s == Failed }

// Job is one piece of work.
type Job struct {
	Account string // 12 digits
	Region  string
	Kind    string // which handler runs it, e.g. "async-invoke"
	ID      string // 12 characters [a-z0-9]; unique in account, region and kind
	Status  Status
	Spec    []byte // JSON that the handler understands; what only the run needs goes when the job ends
	Input   []byte // what the run needs and nobody else; emptied when the job ends
	Failure string // for people; Failed only
	Tries   int    // how often a runner has taken it up
	Created time.Time
	Updated time.Time
	Ended   time.Time // zero until then
}

// ErrExists says that there is a job of this id.
var ErrExists = errors.New("jobs: job exists")

// ErrNotFound says that there is no such job.
var ErrNotFound = errors.New("jobs: no such job")

// ErrLost says that another runner has taken the job over.
var ErrLost = errors.New("jobs: lease lost")

// Cursor is a place between two jobs of a list. The zero Cursor stands before
// the first.
type Cursor struct {
	Created time.Time
	ID      string
}

// IsZero reports whether c stands before the first job.
func (c Cursor) IsZero() bool { return c.ID == "" }

// Query selects jobs of one account, region and kind. Zero fields select all.
type Query struct {
	Account  string // required
	Region   string // required
	Kind     string // required
	Statuses []Status
	From, To time.Time // Created after From and before To
	Newest   bool      // newest first; else oldest first
	After    Cursor    // only jobs behind this place, in the order asked for
	Limit    int       // at most so many; at least 1
}

// Store keeps jobs. Every method is durable when it returns. It is safe for
// concurrent use.
type Store interface {
	// PutJob adds a job. Errors: ErrExists.
	PutJob(ctx context.Context, j Job) error
	// GetJob returns a job without its Input. Errors: ErrNotFound.
	GetJob(ctx context.Context, account, region, kind, id string) (Job, error)
	// ListJobs returns jobs without their Input.
	ListJobs(ctx context.Context, q Query) ([]Job, error)
	// LeaseJob takes the oldest job of the kinds that waits, or whose lease ended
	// before now, for owner until the given time: it becomes Running and counts a
	// try. Errors: ErrNotFound when there is none.
	LeaseJob(ctx context.Context, kinds []string, owner string, now, until time.Time) (Job, error)
	// RenewJob keeps a lease. Errors: ErrLost.
	RenewJob(ctx context.Context, j Job, owner string, until time.Time) error
	// EndJob ends a job as j says and drops its Input and its lease. Errors:
	// ErrLost.
	EndJob(ctx context.Context, j Job, owner string) error
	// FreeJobs ends the leases of all running jobs: for a server that knows that no
	// other works on the store. Their tries stay counted.
	FreeJobs(ctx context.Context) error
	// ReleaseJob gives a job back, to be taken up at once. Errors: ErrLost.
	ReleaseJob(ctx context.Context, j Job, owner string) error
	// DropJobs drops at most limit jobs of the kinds that ended before t, the
	// oldest first, and returns how many.
	DropJobs(ctx context.Context, kinds []string, t time.Time, limit int) (int, error)
}
