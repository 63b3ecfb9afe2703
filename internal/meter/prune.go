package meter

import (
	"context"
	"log/slog"
	"time"
)

const (
	// pruneBatch is how many records one transaction drops: calls of a few
	// milliseconds, which writes of others can come between.
	pruneBatch = 1000
	// prunePause is left to others after each.
	prunePause = 50 * time.Millisecond
	// pruneEvery is how often a Pruner looks for old records.
	pruneEvery = time.Hour
)

// Dropper is what a Pruner needs of a store.
type Dropper interface {
	// DropUsage drops at most limit records of calls that started before t, the
	// oldest first, and returns how many. It is durable when it returns.
	DropUsage(ctx context.Context, t time.Time, limit int) (int, error)
}

// Pruner drops usage records that are older than an operator wants to keep.
type Pruner struct {
	Store Dropper          // required
	Keep  time.Duration    // how long records are kept; 0 keeps all
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards
}

// Run drops old records, now and then every hour, until ctx ends. It always
// returns nil: when the store fails, the records stay until it works again.
func (p Pruner) Run(ctx context.Context) error {
	if p.Keep <= 0 {
		<-ctx.Done()
		return nil
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	for {
		wait := pruneEvery
		switch n, err := p.Store.DropUsage(ctx, p.Now().Add(-p.Keep), pruneBatch); {
		case err != nil && ctx.Err() == nil:
			p.Log.Error("old usage records stay: the store fails", "error", err)
		case n == pruneBatch:
			wait = prunePause
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
