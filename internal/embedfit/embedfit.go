// Package embedfit fits embedding vectors to the length that a caller asks for,
// when the weights that serve a model make vectors of another length.
//
// Longer: zeros are appended, which keeps every dot product and cosine exactly.
// Shorter: the vector is projected on a fixed orthonormal system and brought to
// length 1 again. A random orthonormal projection from n to k dimensions moves
// the cosine of two vectors by about sqrt((1-k/n)/k), 0.036 for 384 to 256, so
// rankings survive; a shorter result is a prefix of a longer one before the
// scaling.
//
// The projection is part of the product's data format: vectors that users have
// stored were made with it. It comes from integer arithmetic and operations
// that IEEE 754 rounds exactly, so it is the same on every platform, and it
// must never change.
package embedfit

import (
	"math"
	"sync"
)

// seed starts the generator of the projection; the dimension of the weights is
// added to it.
const seed = 0x6f757463726f7031

// Fitter fits vectors. The zero value is ready; it keeps the projections that
// it has made (4 bytes per source dimension and row) and is safe for concurrent
// use.
type Fitter struct {
	mu    sync.Mutex
	bases map[int]*basis // by source dimension
}

// Fit returns v with the given number of dimensions. With equal dimensions it
// is v itself; otherwise a new vector. A longer result keeps the length of v, a
// shorter one has length 1, or 0 when the projection of v is 0. dims below 1
// gives an empty vector.
func (f *Fitter) Fit(v []float32, dims int) []float32 {
	switch {
	case dims == len(v):
		return v
	case dims < 1:
		return []float32{}
	case dims > len(v):
		out := make([]float32, dims)
		copy(out, v)
		return out
	}
	rows := f.rows(len(v), dims)
	sums := make([]float64, dims)
	var square float64
	for i, row := range rows {
		s := dot(row, v)
		sums[i] = s
		square += float64(s * s)
	}
	scale := 0.0
	if square > 0 {
		scale = 1 / math.Sqrt(square)
	}
	out := make([]float32, dims)
	for i, s := range sums {
		out[i] = float32(s * scale)
	}
	return out
}

// SignBits returns 1 for each element above 0 and 0 for the others.
func SignBits(v []float32) []byte {
	out := make([]byte, len(v))
	for i, x := range v {
		if x > 0 {
			out[i] = 1
		}
	}
	return out
}

// rows returns the first n rows of the basis for vectors of from dimensions.
func (f *Fitter) rows(from, n int) [][]float32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bases[from]
	if b == nil {
		if f.bases == nil {
			f.bases = make(map[int]*basis)
		}
		b = &basis{dims: from, next: seed + uint64(from)}
		f.bases[from] = b
	}
	for len(b.rows) < n {
		b.grow()
	}
	return b.rows[:n:n]
}

// basis is an orthonormal system that grows row by row, by Gram-Schmidt on
// pseudo-random vectors. Row i depends on the rows before it only.
type basis struct {
	dims  int
	next  uint64 // state of the generator
	exact [][]float64
	rows  [][]float32 // exact, rounded
}

// grow adds one row. It must not be called when the system is complete.
func (b *basis) grow() {
	row := make([]float64, b.dims)
	for {
		for j := range row {
			row[j] = b.normal()
		}
		start := norm(row)
		// Twice is enough: the second pass removes what rounding left in the first.
		for range 2 {
			for _, e := range b.exact {
				d := dot(e, row)
				for j := range row {
					row[j] -= float64(d * e[j])
				}
			}
		}
		n := norm(row)
		if n <= start*1e-6 { // nearly in the span of the others
			continue
		}
		out := make([]float32, b.dims)
		for j := range row {
			row[j] /= n
			out[j] = float32(row[j])
		}
		b.exact = append(b.exact, row)
		b.rows = append(b.rows, out)
		return
	}
}

// normal returns the sum of twelve uniform 32-bit numbers less its mean: close
// to a normal distribution, and exact in a float64.
func (b *basis) normal() float64 {
	var s int64
	for range 6 {
		x := b.random()
		s += int64(x>>32) + int64(x&math.MaxUint32)
	}
	return float64(s - 6*math.MaxUint32)
}

// random is SplitMix64.
func (b *basis) random() uint64 {
	b.next += 0x9e3779b97f4a7c15
	z := b.next
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// The conversions keep compilers from fusing multiplication and addition, which
// would round differently from platform to platform.

// dot adds the products in four interleaved sums, which a processor can work on
// at once.
func dot[T float32 | float64](a, b []T) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+3 < len(a); i += 4 {
		s0 += float64(float64(a[i]) * float64(b[i]))
		s1 += float64(float64(a[i+1]) * float64(b[i+1]))
		s2 += float64(float64(a[i+2]) * float64(b[i+2]))
		s3 += float64(float64(a[i+3]) * float64(b[i+3]))
	}
	for ; i < len(a); i++ {
		s0 += float64(float64(a[i]) * float64(b[i]))
	}
	return (s0 + s1) + (s2 + s3)
}

func norm(a []float64) float64 { return math.Sqrt(dot(a, a)) }
