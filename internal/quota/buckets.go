package quota

import (
	"context"
	"time"
)

// Key names what is counted.
type Key struct {
	Account string // 12 digits
	Region  string // "" is all regions together
	Model   string
	Subject string // ARN of a principal or an inference profile; "" is the whole account
	Kind    Kind
}

// Shape is how a bucket fills and empties.
type Shape uint8

// The shapes.
const (
	// Rate refills evenly, Limit in a Window, up to Burst. Whoever finds at least one
	// unit in it gets all of Cost: the bucket goes into debt, and nobody else gets
	// anything until that is refilled. So large calls are not starved by small ones,
	// and the average keeps to Limit.
	Rate Shape = iota + 1
	// Period holds Limit in every Window; windows begin at multiples of it since the
	// Unix epoch. As with Rate, one unit that is left lets one call through.
	Period
	// Level holds Limit at one time. Settle gives all of Cost back.
	Level
)

// Charge is what one call takes of one bucket.
type Charge struct {
	Key    Key
	Shape  Shape
	Limit  int64         // at least 0; with 0 nothing is ever admitted
	Burst  int64         // Rate: at least 1 when Limit is
	Window time.Duration // Rate, Period
	Cost   int64         // what Take takes, at least 0
	Used   int64         // Rate, Period: what the call used in the end; set before Settle
	Mark   int64         // Period: the window that Take took from; only Buckets write it
}

// Refusal says which charge could not be taken.
type Refusal struct {
	Charge int           // index of the charge whose bucket takes longest; -1: all were taken
	Wait   time.Duration // until it can be taken, if nobody else takes; for Level a guess
}

// Buckets counts what is used. quotatest.Run tests an implementation. It is safe
// for concurrent use.
//
// The charges of one call are about the same account and model, so that an
// implementation may keep the buckets of these together.
type Buckets interface {
	// Take takes all charges or none. An error says that the buckets cannot be asked.
	Take(ctx context.Context, charges []Charge) (Refusal, error)
	// Settle sets the buckets of a call right, once, when it ends: to Used in place of
	// Cost. It is not broken off with ctx. An implementation that processes share must
	// also free what a process took that died.
	Settle(ctx context.Context, charges []Charge) error
}
