package embedfit

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestPadKeepsCosine checks that longer vectors have the same dot products.
func TestPadKeepsCosine(t *testing.T) {
	t.Parallel()
	var f Fitter
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := unit(r, 384), unit(r, 384)
		pa, pb := f.Fit(a, 1536), f.Fit(b, 1536)
		if len(pa) != 1536 || len(pb) != 1536 {
			t.Fatalf("lengths %d and %d, want 1536", len(pa), len(pb))
		}
		if d := math.Abs(cosine(a, b) - cosine(pa, pb)); d > 1e-6 {
			t.Fatalf("padding moved the cosine by %g", d)
		}
	}
}

// TestProjectKeepsRanking checks pairs of all degrees of likeness.
func TestProjectKeepsRanking(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to int
		least    float64
	}{{384, 256, 0.98}, {384, 128, 0.95}, {768, 512, 0.98}, {768, 256, 0.97}} {
		t.Run(fmt.Sprintf("%d to %d", c.from, c.to), func(t *testing.T) {
			t.Parallel()
			var f Fitter
			r := rand.New(rand.NewPCG(3, 4))
			var before, after []float64
			for i := range 500 {
				a, noise := unit(r, c.from), unit(r, c.from)
				near := float64(i) / 500
				b := make([]float32, c.from)
				for j := range b {
					b[j] = float32(near*float64(a[j]) + (1-near)*float64(noise[j]))
				}
				before = append(before, cosine(a, b))
				pa, pb := f.Fit(a, c.to), f.Fit(b, c.to)
				if n := math.Sqrt(dot32(pa, pa)); math.Abs(n-1) > 1e-6 {
					t.Fatalf("projected vector has length %g", n)
				}
				after = append(after, cosine(pa, pb))
			}
			s := spearman(before, after)
			t.Logf("Spearman %.4f", s)
			if s < c.least {
				t.Errorf("Spearman %.4f, want at least %.2f", s, c.least)
			}
		})
	}
}

// TestProjectionIsFixed pins the data format: stored vectors depend on it.
func TestProjectionIsFixed(t *testing.T) {
	t.Parallel()
	var f Fitter
	h := crc32.NewIEEE()
	for _, row := range f.rows(384, 256) {
		if err := binary.Write(h, binary.LittleEndian, row); err != nil {
			t.Fatal(err)
		}
	}
	const want = 0x7bc1e3f5
	if got := h.Sum32(); got != want {
		t.Errorf("checksum of the projection %#x, want %#x", got, uint32(want))
	}
}

func TestRowsAreOrthonormal(t *testing.T) {
	t.Parallel()
	var f Fitter
	rows := f.rows(96, 96)
	for i := range rows {
		for j := range i + 1 {
			want := 0.0
			if i == j {
				want = 1
			}
			if d := dot32(rows[i], rows[j]); math.Abs(d-want) > 1e-6 {
				t.Fatalf("row %d times row %d is %g, want %g", i, j, d, want)
			}
		}
	}
}

func TestShorterIsPrefix(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	v := unit(r, 384)
	var grown, fresh Fitter
	short := grown.Fit(v, 64)
	long := grown.Fit(v, 256)
	if !slices.Equal(fresh.Fit(v, 256), long) {
		t.Error("the order of requests changed the projection")
	}
	scale := short[0] / long[0]
	for i := range short {
		if d := math.Abs(float64(short[i] - long[i]*scale)); d > 1e-6 {
			t.Fatalf("element %d is off by %g", i, d)
		}
	}
}

func TestFitEdges(t *testing.T) {
	t.Parallel()
	var f Fitter
	v := []float32{0.6, 0.8}
	if got := f.Fit(v, 2); &got[0] != &v[0] {
		t.Error("equal dimensions made a copy")
	}
	if got := f.Fit(v, 0); len(got) != 0 {
		t.Errorf("0 dimensions gave %v", got)
	}
	if got := f.Fit([]float32{0, 0, 0}, 2); !slices.Equal(got, []float32{0, 0}) {
		t.Errorf("the zero vector gave %v", got)
	}
	if got := f.Fit(nil, 3); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("an empty vector gave %v", got)
	}
}

func TestSignBits(t *testing.T) {
	t.Parallel()
	if got := SignBits([]float32{0.1, 0, -0.1, 1e-30}); !slices.Equal(got, []byte{1, 0, 0, 1}) {
		t.Errorf("got %v", got)
	}
}

func TestFitterIsConcurrent(t *testing.T) {
	t.Parallel()
	var f, alone Fitter
	v := unit(rand.New(rand.NewPCG(7, 8)), 96)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			if got := f.Fit(v, 1+i*2); len(got) != 1+i*2 {
				t.Errorf("got %d dimensions", len(got))
			}
		})
	}
	wg.Wait()
	if !slices.Equal(f.Fit(v, 63), alone.Fit(v, 63)) {
		t.Error("concurrent use changed the projection")
	}
}

func BenchmarkFit(b *testing.B) {
	var f Fitter
	v := unit(rand.New(rand.NewPCG(9, 10)), 384)
	f.Fit(v, 256)
	for b.Loop() {
		f.Fit(v, 256)
	}
}

func BenchmarkBasis(b *testing.B) {
	for b.Loop() {
		var f Fitter
		f.rows(384, 256)
	}
}

func unit(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	l := float32(math.Sqrt(dot32(v, v)))
	for i := range v {
		v[i] /= l
	}
	return v
}

func dot32(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

func cosine(a, b []float32) float64 {
	return dot32(a, b) / math.Sqrt(dot32(a, a)*dot32(b, b))
}

func spearman(a, b []float64) float64 {
	ra, rb := ranks(a), ranks(b)
	n := float64(len(a))
	var s float64
	for i := range ra {
		d := ra[i] - rb[i]
		s += d * d
	}
	return 1 - 6*s/(n*(n*n-1))
}

func ranks(a []float64) []float64 {
	order := make([]int, len(a))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if a[i] < a[j] {
			return -1
		}
		return 1
	})
	out := make([]float64, len(a))
	for rank, i := range order {
		out[i] = float64(rank)
	}
	return out
}
