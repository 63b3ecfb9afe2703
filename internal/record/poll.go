package record

import (
	"context"
	"log/slog"
	"time"
)

// Chore is what is done again and again beside the calls, such as taking over what
// other processes have changed.
type Chore struct {
	Every time.Duration // from one start to the next; required
	Do    func(ctx context.Context) error
	Fails string // what is logged when Do begins to fail; "" when nobody wants to know
}

// Poll does chores, one at a time, until ctx ends: each for the first time when its
// Every has passed, and at once when it is overdue. A chore that fails is done again
// when it is due again, and is logged once, until it has succeeded in between; one
// that ctx broke off is not. log may be nil when no chore has Fails.
func Poll(ctx context.Context, log *slog.Logger, chores ...Chore) {
	due, failing := make([]time.Time, len(chores)), make([]bool, len(chores))
	start := time.Now()
	for i, c := range chores {
		due[i] = start.Add(c.Every)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := 0
		for i := range due {
			if due[i].Before(due[next]) {
				next = i
			}
		}
		timer.Reset(time.Until(due[next]))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if ctx.Err() != nil {
				return
			}
		}
		c := chores[next]
		due[next] = time.Now().Add(c.Every)
		err := c.Do(ctx)
		if err != nil && !failing[next] && ctx.Err() == nil && c.Fails != "" {
			log.Error(c.Fails, "error", err)
		}
		failing[next] = err != nil
	}
}
