package app

import (
	"runtime/metrics"
	"testing"
)

func TestGapPercent(t *testing.T) {
	t.Parallel()
	for used, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 8 << 20: 400, 32 << 20: 100, 50 << 20: 64, 64 << 20: 50, 1 << 40: 50} {
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
	if s.total() == 0 {
		t.Error("nothing was ever allocated")
	}
}

func TestCalm(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		collected, looked, made uint64
		want                    bool
	}{
		"a burst is over":          {0, 49*mb + mb/2, 50 * mb, true},
		"a burst":                  {0, 40 * mb, 50 * mb, false},
		"a collection just now":    {49 * mb, 50 * mb, 50 * mb, false},
		"nothing since the start":  {0, mb, mb, false},
		"slowly, but long enough":  {10 * mb, 14*mb - 1000, 14 * mb, true},
		"slowly, not long enough":  {10 * mb, 13*mb - 1000, 13 * mb, false},
		"not much, and not little": {10 * mb, 48 * mb, 50 * mb, false},
	} {
		s := newSpacing()
		s.collected, s.looked = tc.collected, tc.looked
		if got := s.calm(tc.made); got != tc.want {
			t.Errorf("%s: calm is %v", name, got)
		}
		if s.calm(tc.made + 2*mb) {
			t.Errorf("%s: calm right after 2 MB more", name)
		}
	}
}
