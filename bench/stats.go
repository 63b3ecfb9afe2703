package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// quantile returns the q-quantile (0..1) of sorted values, between neighbours by
// proportion. It is NaN without values.
func quantile(sorted []float64, q float64) float64 {
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

// median does not change its argument.
func median(values []float64) float64 {
	s := slices.Clone(values)
	slices.Sort(s)
	return quantile(s, 0.5)
}

// interval is the 95 % bootstrap interval of the median: the middle 95 % of the
// medians of 10,000 samples drawn from values with replacement. The draws are
// seeded, so equal values have equal intervals.
func interval(values []float64) [2]float64 {
	const draws = 10_000
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- resampling, not a secret
	medians := make([]float64, draws)
	sample := make([]float64, len(values))
	for i := range medians {
		for j := range sample {
			sample[j] = values[r.IntN(len(values))]
		}
		slices.Sort(sample)
		medians[i] = quantile(sample, 0.5)
	}
	slices.Sort(medians)
	return [2]float64{quantile(medians, 0.025), quantile(medians, 0.975)}
}

// micros turns durations into sorted microseconds.
func micros(ds []time.Duration) []float64 {
	out := make([]float64, len(ds))
	for i, d := range ds {
		out[i] = float64(d) / float64(time.Microsecond)
	}
	slices.Sort(out)
	return out
}
