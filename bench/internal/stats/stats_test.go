package stats

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStatistics(t *testing.T) {
	t.Parallel()
	v := []float64{3, 1, 2, 4}
	if got := Median(v); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
	if diff := cmp.Diff([]float64{3, 1, 2, 4}, v); diff != "" {
		t.Errorf("median changed its argument:\n%s", diff)
	}
	if got := Quantile([]float64{0, 10}, 0.99); math.Abs(got-9.9) > 1e-9 {
		t.Errorf("quantile %v, want 9.9", got)
	}
	if got := Quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing is %v", got)
	}
	if got := Interval([]float64{5, 5, 5}); got != [2]float64{5, 5} {
		t.Errorf("interval of equal values is %v", got)
	}
	many := make([]float64, 101)
	for i := range many {
		many[i] = float64(i)
	}
	if got := Interval(many); got[0] < 30 || got[0] > 49 || got[1] < 51 || got[1] > 70 {
		t.Errorf("interval of 0..100 is %v", got)
	}
	if diff := cmp.Diff([]float64{1, 2000}, Micros([]time.Duration{2 * time.Millisecond, time.Microsecond})); diff != "" {
		t.Error(diff)
	}
}
