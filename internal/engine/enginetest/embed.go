package enginetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
)

func (s *suite) vectors(t *testing.T, texts ...string) *llm.EmbedResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := s.Engine.Embed(ctx, s.Embed, &llm.EmbedRequest{Texts: texts})
	if err != nil {
		t.Fatalf("Embed: %v", err)
	}
	if len(resp.Vectors) != len(texts) || len(resp.Tokens) != len(texts) {
		t.Fatalf("%d vectors and %d token counts for %d texts", len(resp.Vectors), len(resp.Tokens), len(texts))
	}
	return resp
}

// Cosine is the similarity of two vectors, -1..1.
func Cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

func (s *suite) embed(t *testing.T) {
	if s.Embed.Weights == "" {
		return
	}
	info, err := s.Engine.Info(t.Context(), s.Embed)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"The cat sat on the mat.", "Stock prices fell sharply on Monday.", "x", "The cat sat on the mat."}
	resp := s.vectors(t, texts...)
	for i, v := range resp.Vectors {
		if len(v) != info.Dimensions {
			t.Errorf("text %d: %d dimensions, want %d", i, len(v), info.Dimensions)
		}
		var sum float64
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if math.Abs(math.Sqrt(sum)-1) > 1e-4 {
			t.Errorf("text %d: length %g, want 1", i, math.Sqrt(sum))
		}
		if resp.Tokens[i] < 1 {
			t.Errorf("text %d: %d tokens", i, resp.Tokens[i])
		}
	}
	if c := Cosine(resp.Vectors[0], resp.Vectors[3]); c < 0.9999 {
		t.Errorf("the same text twice: cosine %g", c)
	}
	if c := Cosine(resp.Vectors[0], resp.Vectors[1]); c > 0.9 {
		t.Errorf("different texts: cosine %g", c)
	}
	refusal := errors.New("too many")
	var told []int
	none, err := s.Engine.Embed(t.Context(), s.Embed, &llm.EmbedRequest{Texts: texts, Check: func(tokens []int) error {
		told = slices.Clone(tokens)
		return refusal
	}})
	if none != nil || !errors.Is(err, refusal) || !slices.Equal(told, resp.Tokens) {
		t.Errorf("Check was told %v of %v, and its error became %v", told, resp.Tokens, err)
	}
	if resp.Tokens[0] <= resp.Tokens[2] {
		t.Errorf("tokens %v: a sentence has more than one letter", resp.Tokens)
	}
	for i, text := range texts { // alone or among others: the same vector, the same order
		one := s.vectors(t, text)
		if c := Cosine(one.Vectors[0], resp.Vectors[i]); c < 0.9999 {
			t.Errorf("text %d alone: cosine %g with the batched one", i, c)
		}
		if one.Tokens[0] != resp.Tokens[i] {
			t.Errorf("text %d alone: %d tokens, batched %d", i, one.Tokens[0], resp.Tokens[i])
		}
	}
}

// embedSame asks for the same vectors alone, together and from many callers at a
// time. People find a text again by its vector, so it is the same to the last
// bit, whatever else the engine works on.
func (s *suite) embedSame(t *testing.T) {
	if s.Embed.Weights == "" {
		return
	}
	texts := []string{
		"The tide was out.", "A", "Basalt columns stand in rows along the shore of the northern island.",
		"Zwei Möwen streiten um ein Brötchen.", "rock, paper, scissors", strings.Repeat("grey gravel ", 40),
	}
	want := make([][]float32, len(texts))
	for i, text := range texts {
		want[i] = s.vectors(t, text).Vectors[0]
	}
	for i, v := range s.vectors(t, texts...).Vectors {
		if !slices.Equal(v, want[i]) {
			t.Errorf("text %d: another vector among others than alone", i)
		}
	}
	var wg sync.WaitGroup
	for caller := range 4 {
		wg.Go(func() {
			for i := range 3 * len(texts) {
				i = (i + caller) % len(texts)
				resp, err := s.Engine.Embed(t.Context(), s.Embed, &llm.EmbedRequest{Texts: texts[i : i+1]})
				if err != nil {
					t.Errorf("Embed: %v", err)
				} else if !slices.Equal(resp.Vectors[0], want[i]) {
					t.Errorf("text %d: another vector beside other callers than alone", i)
				}
			}
		})
	}
	wg.Wait()
}

// embedLong reads a text that is over the input limit of common embedding
// weights: it must give a vector near to that of its parts, and its real count.
func (s *suite) embedLong(t *testing.T) {
	if s.Embed.Weights == "" {
		return
	}
	part := "Ships sail on the sea and carry goods from port to port. "
	long := strings.Repeat(part, 85)
	resp := s.vectors(t, long, "short", long)
	if resp.Tokens[0] < 1000 || resp.Tokens[0] != resp.Tokens[2] {
		t.Errorf("tokens %v, want more than 1000 for the long texts", resp.Tokens)
	}
	if c := Cosine(resp.Vectors[0], resp.Vectors[2]); c < 0.9999 {
		t.Errorf("the same long text twice: cosine %g", c)
	}
}
