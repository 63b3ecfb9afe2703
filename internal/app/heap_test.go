package app

import (
	"runtime/metrics"
	"testing"
)

func TestGapPercent(t *testing.T) {
	t.Parallel()
	for used, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 16 << 20: 400, 64 << 20: 100, 100 << 20: 64, 128 << 20: 50, 1 << 40: 50} {
		if got := gapPercent(used); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d %%", used, got, want)
		}
	}
}

// TestSpacingReads proves that the runtime knows what spacing asks it for.
func TestSpacingReads(t *testing.T) {
	t.Parallel()
	s := newSpacing()
	metrics.Read(s.uses)
	for _, u := range s.uses {
		if u.Value.Kind() != metrics.KindUint64 {
			t.Errorf("%s is %v", u.Name, u.Value.Kind())
		}
	}
}
