// Package stats sums up what was measured.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Quantile returns the q-quantile (0..1) of sorted values, between neighbours by
// proportion. It is NaN without values.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Sorted returns the values in order, in a slice of their own.
func Sorted(values []float64) []float64 {
	s := slices.Clone(values)
	slices.Sort(s)
	return s
}

// Median does not change its argument.
func Median(values []float64) float64 {
	return Quantile(Sorted(values), 0.5)
}

// Interval is the 95 % bootstrap interval of the median: the middle 95 % of the
// medians of 10,000 samples drawn from values with replacement. The draws are
// seeded, so equal values have equal intervals.
func Interval(values []float64) [2]float64 {
	const draws = 10_000
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- resampling, not a secret
	medians := make([]float64, draws)
	sample := make([]float64, len(values))
	for i := range medians {
		for j := range sample {
			sample[j] = values[r.IntN(len(values))]
		}
		slices.Sort(sample)
		medians[i] = Quantile(sample, 0.5)
	}
	slices.Sort(medians)
	return [2]float64{Quantile(medians, 0.025), Quantile(medians, 0.975)}
}

// Micros turns durations into sorted microseconds.
func Micros(ds []time.Duration) []float64 {
	out := make([]float64, len(ds))
	for i, d := range ds {
		out[i] = float64(d) / float64(time.Microsecond)
	}
	slices.Sort(out)
	return out
}
