package meter_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/meter"
)

// dropper has records of the given times.
type dropper struct {
	times []time.Time
	most  int // largest limit that was asked for
	err   error
}

func (d *dropper) DropUsage(_ context.Context, t time.Time, limit int) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.most = max(d.most, limit)
	n := 0
	for len(d.times) > 0 && n < limit && d.times[0].Before(t) {
		d.times = d.times[1:]
		n++
	}
	return n, nil
}

// prune runs a pruner for some time of the bubble's clock.
func prune(t *testing.T, d *dropper, keep, run time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), run)
	defer stop()
	if err := (meter.Pruner{Store: d, Keep: keep}).Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestPruner(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		d := &dropper{}
		for i := range 5000 { // one a minute, the last one now
			d.times = append(d.times, time.Now().Add(time.Duration(i-4999)*time.Minute))
		}
		prune(t, d, 0, 48*time.Hour)
		if len(d.times) != 5000 {
			t.Fatalf("0 keeps %d of 5000 records", len(d.times))
		}
		d.err = errDisk
		prune(t, d, 3*day, 90*time.Minute)
		d.err = nil
		// In the meantime 49.5 hours have gone.
		prune(t, d, 3*day, time.Minute)
		if want := int((3*day - 49*time.Hour - 30*time.Minute) / time.Minute); len(d.times) != want {
			t.Errorf("%d records are left, want %d", len(d.times), want)
		}
		if d.most > 1000 {
			t.Errorf("%d records in one transaction", d.most)
		}
		prune(t, d, 3*day, 3*day)
		if len(d.times) != 0 {
			t.Errorf("%d records are left three days later", len(d.times))
		}
	})
}
