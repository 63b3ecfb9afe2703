package quota_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/quota/quotatest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	quotatest.Run(t, func(_ *testing.T, clock *quotatest.Clock) quota.Buckets { return quota.NewMemory(clock.Now) })
}

// Buckets that are full again are forgotten; those in use are not.
func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	clock := quotatest.NewClock()
	m := quota.NewMemory(clock.Now)
	charge := func(i int) []quota.Charge {
		return []quota.Charge{{
			Key:   quota.Key{Account: fmt.Sprintf("%012d", i), Model: "m", Kind: quota.Requests},
			Shape: quota.Rate, Limit: 60, Burst: 6, Window: time.Minute, Cost: 6,
		}}
	}
	const many = 50_000
	for i := range many {
		if r, err := m.Take(t.Context(), charge(i)); err != nil || r.Charge >= 0 {
			t.Fatalf("account %d: %+v, %v", i, r, err)
		}
		clock.Add(time.Millisecond)
	}
	if n := m.Len(); n > 20_000 { // 6 s of them are in use
		t.Errorf("%d buckets are kept, want those in use and as many again", n)
	}
	if r, err := m.Take(t.Context(), charge(many-1)); err != nil || r.Charge != 0 {
		t.Errorf("a bucket in use was forgotten: %+v, %v", r, err)
	}
}

// The way of every call: three buckets are taken from and set right.
func BenchmarkMemory(b *testing.B) {
	m := quota.NewMemory(nil)
	charges := []quota.Charge{
		{Shape: quota.Rate, Limit: quota.MaxValue, Burst: quota.MaxValue, Window: time.Minute},
		{Shape: quota.Rate, Limit: quota.MaxValue, Burst: quota.MaxValue, Window: time.Minute},
		{Shape: quota.Level, Limit: 100},
	}
	for i, k := range []quota.Kind{quota.Requests, quota.Tokens, quota.Concurrent} {
		charges[i].Key = quota.Key{Account: "111122223333", Region: "us-east-1", Model: "anthropic.claude-3-haiku-20240307-v1:0", Kind: k}
		charges[i].Cost, charges[i].Used = 1, 1
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := m.Take(b.Context(), charges); err != nil || r.Charge >= 0 {
			b.Fatal(r, err)
		}
		if err := m.Settle(b.Context(), charges); err != nil {
			b.Fatal(err)
		}
	}
}
