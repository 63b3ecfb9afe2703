// Package vectors cuts long texts into pieces that embedding weights can take,
// and joins the vectors of the pieces.
package vectors

import "math"

// One request to a server holds at most batchPieces pieces and, unless it is one
// piece, batchTokens tokens: servers do not notice that a caller of embeddings
// has gone, and must answer before they count as hung.
const (
	batchPieces = 8
	batchTokens = 2048
)

// Piece is a part of a text that fits the weights.
type Piece struct {
	Text   int // index of the text
	IDs    []int
	weight float64 // tokens of the text in it
}

// Cut cuts a text's ids into pieces of at most limit tokens. prefix and suffix
// are the special tokens that the tokenizer puts around every input; ids hold
// them, and so does each piece.
func Cut(text int, ids []int, limit int, prefix, suffix []int) []Piece {
	if len(ids) <= limit {
		return []Piece{{text, ids, 1}}
	}
	inner := ids[len(prefix) : len(ids)-len(suffix)]
	room := limit - len(prefix) - len(suffix)
	var out []Piece
	for len(inner) > 0 {
		n := min(room, len(inner))
		w := make([]int, 0, n+len(prefix)+len(suffix))
		w = append(append(append(w, prefix...), inner[:n]...), suffix...)
		out = append(out, Piece{text, w, float64(n)})
		inner = inner[n:]
	}
	return out
}

// Batch returns the first pieces that go into one request.
func Batch(all []Piece) []Piece {
	n, sum := 0, 0
	for n < len(all) && n < batchPieces && (n == 0 || sum+len(all[n].IDs) <= batchTokens) {
		sum += len(all[n].IDs)
		n++
	}
	return all[:n]
}

// Sums add up the vectors of the pieces of each text, by their tokens.
type Sums [][]float64

// Add adds the vector of a piece.
func (s Sums) Add(p Piece, v []float32) {
	if s[p.Text] == nil {
		s[p.Text] = make([]float64, len(v))
	}
	for i, x := range v {
		s[p.Text][i] += p.weight * float64(x)
	}
}

// Unit returns the vector of a text, scaled to length 1; a zero vector stays one.
func (s Sums) Unit(text int) []float32 {
	var sq float64
	for _, x := range s[text] {
		sq += x * x
	}
	scale := 1.0
	if sq > 0 {
		scale = 1 / math.Sqrt(sq)
	}
	v := make([]float32, len(s[text]))
	for i, x := range s[text] {
		v[i] = float32(x * scale)
	}
	return v
}

// Whole is the piece that is all of a text.
func Whole(text int) Piece { return Piece{Text: text, weight: 1} }
