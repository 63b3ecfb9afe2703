// Package quotatest tests implementations of quota.Buckets: one suite for all.
package quotatest

import (
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/quota"
)

// Clock is a clock that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at the beginning of a day of UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock on.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run tests the buckets that open makes. Each test opens its own, which must be
// empty and go by the clock.
func Run(t *testing.T, open func(t *testing.T, clock *Clock) quota.Buckets) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *fixture){
		"rate keeps to its limit":          rateKeepsToItsLimit,
		"rate lets a burst through":        rateBurst,
		"rate goes into debt":              rateDebt,
		"rate settles exactly":             rateSettles,
		"a reservation that is given back": rateGivenBack,
		"period":                           period,
		"level":                            level,
		"limit zero":                       zero,
		"all or nothing":                   allOrNothing,
		"keys are apart":                   apart,
		"a limit that changes":             changes,
		"two callers at once":              atOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := NewClock()
			test(t, &fixture{t: t, clock: clock, b: open(t, clock)})
		})
	}
}

type fixture struct {
	t     *testing.T
	clock *Clock
	b     quota.Buckets
}

// take takes charges; it returns -1 when it got them, and the charge that was
// refused otherwise.
func (f *fixture) take(c ...quota.Charge) (int, time.Duration) {
	f.t.Helper()
	r, err := f.b.Take(f.t.Context(), c)
	if err != nil {
		f.t.Fatal(err)
	}
	return r.Charge, r.Wait
}

func (f *fixture) settle(c ...quota.Charge) {
	f.t.Helper()
	if err := f.b.Settle(f.t.Context(), c); err != nil {
		f.t.Fatal(err)
	}
}

// wants takes charges n times, and fails unless exactly want were taken.
func (f *fixture) wants(n, want int, c ...quota.Charge) {
	f.t.Helper()
	got := 0
	for range n {
		if i, _ := f.take(c...); i < 0 {
			got++
		}
	}
	if got != want {
		f.t.Fatalf("%d of %d were let through, want %d", got, n, want)
	}
}

func key(kind quota.Kind) quota.Key {
	return quota.Key{Account: "111122223333", Region: "us-east-1", Model: "m", Kind: kind}
}

func rate(limit, burst, cost int64) quota.Charge {
	return quota.Charge{Key: key(quota.Tokens), Shape: quota.Rate, Limit: limit, Burst: burst, Window: time.Minute, Cost: cost}
}

// Ten times as much as the limit is asked for, for three minutes.
func rateKeepsToItsLimit(t *testing.T, f *fixture) {
	const limit, cost, minutes = 6000, 20, 3
	var admitted int64
	for range minutes * 60 * 10 { // every 100 ms, 5 calls of 20 tokens: 60,000 a minute
		f.clock.Add(100 * time.Millisecond)
		for range 5 {
			c := rate(limit, limit/10, 2*cost) // twice what it uses in the end
			if i, _ := f.take(c); i < 0 {
				admitted += cost
				c.Used = cost
				f.settle(c)
			}
		}
	}
	if low, high := int64(limit*minutes*95/100), int64(limit*minutes*105/100); admitted < low || admitted > high {
		t.Fatalf("%d tokens were let through in %d minutes, want %d to %d", admitted, minutes, low, high)
	}
}

func rateBurst(t *testing.T, f *fixture) {
	c := rate(60, 6, 1)
	f.wants(10, 6, c)
	_, wait := f.take(c)
	if wait <= 0 || wait > time.Second+time.Millisecond {
		t.Fatalf("the wait is %v, want a second: the limit is one in each", wait)
	}
	f.clock.Add(wait)
	f.wants(2, 1, c)
	f.clock.Add(time.Hour) // no more than the burst is saved up
	f.wants(10, 6, c)
}

func rateDebt(t *testing.T, f *fixture) {
	f.wants(1, 1, rate(60, 6, 30)) // more than is there
	small := rate(60, 6, 1)
	_, wait := f.take(small)
	if want := 25 * time.Second; wait < want-time.Second || wait > want+time.Second {
		t.Fatalf("the wait is %v, want %v: 24 of debt and one to take", wait, want)
	}
	f.clock.Add(wait - time.Second)
	f.wants(1, 0, small)
	f.clock.Add(time.Second)
	f.wants(2, 1, small)
}

func rateSettles(_ *testing.T, f *fixture) {
	c := rate(600, 60, 50)
	f.wants(1, 1, c)
	c.Used = 10 // 40 come back: 50 are there
	f.settle(c)
	f.wants(100, 50, rate(600, 60, 1))
	c.Cost, c.Used = 0, 10 // more was used than was taken
	f.settle(c)
	f.clock.Add(time.Second) // 10 come in, and pay the debt
	f.wants(1, 0, rate(600, 60, 1))
	f.clock.Add(time.Second)
	f.wants(100, 10, rate(600, 60, 1))
}

func rateGivenBack(_ *testing.T, f *fixture) {
	c := rate(600, 60, 60)
	f.wants(1, 1, c)
	f.clock.Add(time.Minute) // full again
	f.settle(c)              // nothing was used; the bucket holds no more than its burst
	f.wants(100, 60, rate(600, 60, 1))
}

func period(t *testing.T, f *fixture) {
	c := quota.Charge{Key: key(quota.TokensDay), Shape: quota.Period, Limit: 100, Window: 24 * time.Hour, Cost: 30}
	f.wants(10, 4, c) // the fourth goes over the limit
	i, wait := f.take(c)
	if i != 0 || wait <= 0 || wait > 24*time.Hour {
		t.Fatalf("the wait is %v, want the rest of the day", wait)
	}
	f.clock.Add(wait)
	charges := []quota.Charge{c}
	if r, err := f.b.Take(t.Context(), charges); err != nil || r.Charge >= 0 {
		t.Fatalf("refused on the next day: %+v, %v", r, err)
	}
	charges[0].Used = 10
	f.settle(charges...)
	f.wants(100, 90, withCost(c, 1))
	f.clock.Add(24 * time.Hour)
	f.settle(charges...) // of a day that is over: it counts for nothing
	f.wants(200, 100, withCost(c, 1))
}

func withCost(c quota.Charge, cost int64) quota.Charge {
	c.Cost = cost
	return c
}

func level(_ *testing.T, f *fixture) {
	c := quota.Charge{Key: key(quota.Concurrent), Shape: quota.Level, Limit: 3, Cost: 1, Used: 1}
	f.wants(5, 3, c)
	f.clock.Add(time.Hour) // time gives nothing back
	f.wants(1, 0, c)
	f.settle(c)
	f.wants(5, 1, c)
}

func zero(_ *testing.T, f *fixture) {
	f.wants(1, 0, rate(0, 1, 1))
	f.wants(1, 0, quota.Charge{Key: key(quota.TokensDay), Shape: quota.Period, Window: time.Hour, Cost: 1})
	f.wants(1, 0, quota.Charge{Key: key(quota.Concurrent), Shape: quota.Level, Cost: 1})
}

func allOrNothing(t *testing.T, f *fixture) {
	other := rate(60, 2, 1)
	other.Key.Kind = quota.Requests
	f.wants(2, 2, other)
	if i, _ := f.take(rate(60, 6, 1), other); i != 1 {
		t.Fatalf("charge %d was refused, want 1", i)
	}
	f.wants(10, 6, rate(60, 6, 1)) // nothing was taken of the first
}

func apart(_ *testing.T, f *fixture) {
	c := rate(60, 6, 1)
	f.wants(7, 6, c)
	for _, change := range []func(*quota.Key){
		func(k *quota.Key) { k.Account = "444455556666" },
		func(k *quota.Key) { k.Region = "us-west-2" },
		func(k *quota.Key) { k.Model = "n" },
		func(k *quota.Key) { k.Subject = "arn:aws:iam::111122223333:user/ann" },
		func(k *quota.Key) { k.Kind = quota.Requests },
	} {
		d := c
		change(&d.Key)
		f.wants(7, 6, d)
	}
}

func changes(_ *testing.T, f *fixture) {
	f.wants(10, 6, rate(60, 6, 1))
	f.clock.Add(10 * time.Second)
	f.wants(10, 1, rate(60, 1, 1)) // a smaller burst holds at once
	f.clock.Add(time.Second)       // a higher limit fills faster
	f.wants(20, 10, rate(600, 60, 1))
}

func atOnce(t *testing.T, f *fixture) {
	const callers, each = 8, 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range callers {
		wg.Go(func() {
			for range each {
				c := rate(6000, 100, 1)
				r, err := f.b.Take(t.Context(), []quota.Charge{c})
				if err != nil {
					t.Error(err)
					return
				}
				if r.Charge < 0 {
					mu.Lock()
					got++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if got != 100 {
		t.Fatalf("%d were let through, want 100", got)
	}
}
