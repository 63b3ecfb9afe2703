package valkey

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	client "github.com/valkey-io/valkey-go"

	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/quota/quotatest"
	"github.com/outcrop/outcrop/internal/valkeytest"
)

func dial(tb testing.TB, s *valkeytest.Server) client.Client {
	tb.Helper()
	c, err := client.NewClient(client.ClientOption{InitAddress: []string{s.Address}, DisableCache: true, ForceSingleClient: true, PipelineMultiplex: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// renewing is Buckets whose Run is always just about to tick: the clock of the suite
// jumps.
type renewing struct{ *Buckets }

func (r renewing) Take(ctx context.Context, c []quota.Charge) (quota.Refusal, error) {
	if err := r.renew(ctx); err != nil {
		return quota.Refusal{}, err
	}
	return r.Buckets.Take(ctx, c)
}

// The same suite as in process, on a real server.
func TestBuckets(t *testing.T) {
	t.Parallel()
	c := dial(t, valkeytest.Start(t, ""))
	quotatest.Run(t, func(t *testing.T, clock *quotatest.Clock) quota.Buckets {
		return renewing{New(Config{Client: c, Prefix: t.Name(), Timeout: time.Minute, Now: clock.Now})}
	})
}

func tokens(cost int64) quota.Charge {
	k := quota.Key{Account: "111122223333", Model: "m", Kind: quota.Tokens}
	return quota.Charge{Key: k, Shape: quota.Rate, Limit: 6000, Burst: 100, Window: time.Minute, Cost: cost}
}

func place() quota.Charge {
	k := quota.Key{Account: "111122223333", Model: "m", Kind: quota.Concurrent}
	return quota.Charge{Key: k, Shape: quota.Level, Limit: 3, Cost: 1}
}

// Processes share what they count, down to the last token.
func TestProcessesShare(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, "")
	clock := quotatest.NewClock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 4 {
		b := New(Config{Client: dial(t, s), Timeout: time.Minute, Now: clock.Now})
		for range 4 {
			wg.Go(func() {
				for range 25 {
					r, err := b.Take(t.Context(), []quota.Charge{tokens(1)})
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
	}
	wg.Wait()
	if got != 100 {
		t.Errorf("%d tokens were let through, want 100", got)
	}
}

// What a dead process held is free after half a minute, and not before; what a
// living one holds is not.
func TestDeadProcess(t *testing.T) {
	t.Parallel()
	clock := quotatest.NewClock()
	c := dial(t, valkeytest.Start(t, ""))
	living, dead := New(Config{Client: c, Timeout: time.Minute, Now: clock.Now}), New(Config{Client: c, Timeout: time.Minute, Now: clock.Now})
	takes := func(b *Buckets, want bool) {
		t.Helper()
		r, err := b.Take(t.Context(), []quota.Charge{place()})
		if err != nil {
			t.Fatal(err)
		}
		if (r.Charge < 0) != want {
			t.Fatalf("taken: %v, want %v", r.Charge < 0, want)
		}
	}
	takes(dead, true)
	takes(dead, true)
	takes(living, true)
	for range 2 {
		clock.Add(renewal)
		if err := living.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		takes(living, false)
	}
	clock.Add(renewal)
	if err := living.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	takes(living, true)
	takes(living, true)
	takes(living, false)
}

// A process goes on counting what it holds when the server lost everything, and
// corrects the server where an answer was lost.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, "")
	c := dial(t, s)
	b := New(Config{Client: c, Timeout: 10 * time.Second})
	for range 2 {
		if _, err := b.Take(t.Context(), []quota.Charge{place()}); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop(t)
	if _, err := b.Take(t.Context(), []quota.Charge{place()}); err == nil {
		t.Fatal("a server that is gone let a call through")
	}
	s.Restart(t)
	for ok := false; !ok; { // until the client has connected again
		_, err := b.Take(t.Context(), []quota.Charge{tokens(1)})
		ok = err == nil || t.Context().Err() != nil
	}
	for b.renew(t.Context()) != nil && t.Context().Err() == nil { // over another connection
	}
	got := 0
	for range 5 {
		r, err := b.Take(t.Context(), []quota.Charge{place()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Charge < 0 {
			got++
		}
	}
	if got != 1 {
		t.Errorf("%d were let through beside the two that are running, want 1", got)
	}
}

// What is given back for calls that the server forgot makes no room for others.
func TestServerForgetsUse(t *testing.T) {
	t.Parallel()
	c := dial(t, valkeytest.Start(t, ""))
	clock := quotatest.NewClock()
	b := New(Config{Client: c, Timeout: time.Minute, Now: clock.Now})
	day := func() []quota.Charge {
		k := quota.Key{Account: "111122223333", Model: "m", Kind: quota.TokensDay}
		return []quota.Charge{{Key: k, Shape: quota.Period, Limit: 100, Window: 24 * time.Hour, Cost: 50}}
	}
	running := day()
	if _, err := b.Take(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), c.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := b.Settle(t.Context(), running); err != nil { // nothing was used
		t.Fatal(err)
	}
	got := 0
	for range 5 {
		r, err := b.Take(t.Context(), day())
		if err != nil {
			t.Fatal(err)
		}
		if r.Charge < 0 {
			got++
		}
	}
	if got != 2 {
		t.Errorf("%d calls of 50 tokens were let through, want 2", got)
	}
}

// Every key of a call has the same hash slot, whatever the model's name holds.
func TestHashSlot(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	for _, model := range []string{"m", "a}b", "{x", "arn:aws:bedrock:us-east-1::foundation-model/m", "%7d"} {
		seen := map[string]bool{}
		for _, region := range []string{"", "us-east-1"} {
			for _, subject := range []string{"", "arn:aws:iam::111122223333:user/{ann}"} {
				for _, kind := range quota.Kinds() {
					k := b.key(&quota.Key{Account: "111122223333", Region: region, Model: model, Subject: subject, Kind: kind})
					slot, ok := hashTag(k)
					if !ok || seen[k] {
						t.Errorf("key %q", k)
					}
					if want, _ := hashTag(b.key(&quota.Key{Account: "111122223333", Model: model, Kind: quota.Tokens})); slot != want {
						t.Errorf("slots %q and %q", slot, want)
					}
					seen[k] = true
				}
			}
		}
	}
}

// hashTag is the part of a key that tells its slot.
func hashTag(k string) (string, bool) {
	for i := range len(k) {
		if k[i] != '{' {
			continue
		}
		for j := i + 1; j < len(k); j++ {
			if k[j] == '}' {
				return k[i+1 : j], j > i+1
			}
		}
	}
	return "", false
}

func BenchmarkTakeSettle(b *testing.B) {
	s := valkeytest.Start(b, "")
	buckets := New(Config{Client: dial(b, s), Timeout: time.Minute})
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				c := tokens(1)
				c.Limit, c.Burst = 1<<40, 1<<40
				p := place()
				p.Limit = 1 << 20
				for pb.Next() {
					charges := []quota.Charge{c, p}
					if r, err := buckets.Take(b.Context(), charges); err != nil || r.Charge >= 0 {
						b.Fatal(r, err)
					}
					if err := buckets.Settle(b.Context(), charges); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
