package vectors

import (
	"math"
	"testing"
)

func TestCut(t *testing.T) {
	t.Parallel()
	ids := func(n int) []int {
		out := []int{1}
		for i := range n {
			out = append(out, 100+i)
		}
		return append(out, 2)
	}
	for n, want := range map[int][]float64{0: {1}, 4: {1}, 5: {4, 1}, 8: {4, 4}, 9: {4, 4, 1}} {
		ws := Cut(3, ids(n), 6, []int{1}, []int{2})
		var next int
		for i, w := range ws {
			if w.Text != 3 || len(w.IDs) > 6 || w.IDs[0] != 1 || w.IDs[len(w.IDs)-1] != 2 || len(ws) != len(want) || w.weight != want[i] {
				t.Fatalf("%d tokens: %+v", n, ws)
			}
			for _, id := range w.IDs[1 : len(w.IDs)-1] {
				if id != 100+next {
					t.Fatalf("%d tokens: %+v", n, ws)
				}
				next++
			}
		}
		if next != n {
			t.Errorf("%d tokens: %d in pieces", n, next)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	of := func(sizes ...int) []Piece {
		var out []Piece
		for _, n := range sizes {
			out = append(out, Piece{IDs: make([]int, n)})
		}
		return out
	}
	for _, c := range []struct {
		all  []Piece
		want int
	}{{of(), 0}, {of(5000, 1), 1}, {of(1000, 1000, 100), 2}, {of(1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 8}} {
		if got := len(Batch(c.all)); got != c.want {
			t.Errorf("%d windows of %d in a batch, want %d", got, len(c.all), c.want)
		}
	}
}

func TestSums(t *testing.T) {
	t.Parallel()
	s := make(Sums, 2)
	s.Add(Piece{Text: 0, weight: 3}, []float32{1, 0})
	s.Add(Piece{Text: 0, weight: 4}, []float32{0, 1})
	s.Add(Whole(1), []float32{0, 0})
	for i, want := range [][]float64{{0.6, 0.8}, {0, 0}} {
		for j, x := range s.Unit(i) {
			if math.Abs(float64(x)-want[j]) > 1e-6 {
				t.Errorf("text %d: %v, want %v", i, s.Unit(i), want)
			}
		}
	}
}
