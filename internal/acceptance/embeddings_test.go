package acceptance

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

//go:embed testdata/pairs.json
var pairFile []byte

// pair is two sentences.
type pair [2]string

// space is one kind of vectors.
type space struct {
	name  string
	model string
	ask   int // dimensions in the body; 0 leaves them out
	dims  int
}

func spaces() []space {
	return []space{
		{"MiniLM 384", minilm, 0, 384},
		{"Titan G1 1536", titanEmbedV1, 0, 1536},
		{"Titan V2 1024", titanEmbedV2, 0, 1024},
		{"Titan V2 512", titanEmbedV2, 512, 512},
		{"Titan V2 256", titanEmbedV2, 256, 256},
	}
}

// embedded is what a client is told of one text.
type embedded struct {
	raw    string // the vector as it stands in the answer
	vector []float64
	tokens int
}

func (s space) embed(ctx context.Context, c *client, text string) (embedded, error) {
	in := map[string]any{"inputText": text}
	if s.ask > 0 {
		in["dimensions"] = s.ask
	}
	body, err := json.Marshal(in)
	if err != nil {
		return embedded{}, err
	}
	out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(s.model), ContentType: aws.String("application/json"), Body: body})
	if err != nil {
		return embedded{}, err
	}
	var v struct {
		Embedding json.RawMessage `json:"embedding"`
		Tokens    int             `json:"inputTextTokenCount"`
	}
	if err := json.Unmarshal(out.Body, &v); err != nil {
		return embedded{}, err
	}
	e := embedded{raw: string(v.Embedding), tokens: v.Tokens}
	if err := json.Unmarshal(v.Embedding, &e.vector); err != nil {
		return e, err
	}
	if len(e.vector) != s.dims {
		return e, fmt.Errorf("%d dimensions, want %d", len(e.vector), s.dims)
	}
	if n := math.Sqrt(dot(e.vector, e.vector)); math.Abs(n-1) > 1e-5 {
		return e, fmt.Errorf("the vector has length %g, want 1", n)
	}
	if n, err := header(out.ResultMetadata, "X-Amzn-Bedrock-Input-Token-Count"); err != nil || n != e.tokens {
		return e, errors.Join(fmt.Errorf("the header tells %d tokens, the body %d", n, e.tokens), err)
	}
	return e, nil
}

func dot(a, b []float64) float64 {
	var s float64
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

func cosine(a, b []float64) float64 { return dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b)) }

// TestEmbeddings checks that vectors mean something, are the same each time, and
// keep what they mean in every length.
func TestEmbeddings(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	b := startBare(t, p, embedWeights, forEmbedding)
	c := p.account(t)
	var pairs struct {
		Near      []pair `json:"near"`
		Unrelated []pair `json:"unrelated"`
	}
	if err := json.Unmarshal(pairFile, &pairs); err != nil {
		t.Fatal(err)
	}
	if len(pairs.Near) != 25 || len(pairs.Unrelated) != 25 {
		t.Fatalf("%d near and %d unrelated pairs, want 25 of each", len(pairs.Near), len(pairs.Unrelated))
	}
	all := append(slices.Clone(pairs.Near), pairs.Unrelated...)
	texts := map[string]bool{}
	for _, pr := range all {
		texts[pr[0]], texts[pr[1]] = true, true
	}
	// The vectors of all texts in every space, each asked for twice, the second
	// time by another account and together with others.
	vectors := map[string]map[string]embedded{}
	for _, s := range spaces() {
		vectors[s.name] = map[string]embedded{}
		for text := range texts {
			e, err := s.embed(t.Context(), c, text)
			if err != nil {
				t.Fatalf("%s, %q: %v", s.name, text, err)
			}
			vectors[s.name][text] = e
			ids, err := b.plain(text)
			if err != nil {
				t.Fatal(err)
			}
			if e.tokens != len(ids) {
				t.Errorf("%s, %q: %d tokens, the bare engine counts %d", s.name, text, e.tokens, len(ids))
			}
		}
	}
	t.Run("meaning", func(t *testing.T) { testMeaning(t, vectors, pairs.Near, pairs.Unrelated) })
	t.Run("lengths", func(t *testing.T) { testLengths(t, vectors, all) })
	t.Run("same text", func(t *testing.T) { testSame(t, p, vectors) })
	t.Run("bare engine", func(t *testing.T) { testBareVectors(t, b, vectors["MiniLM 384"]) })
	t.Run("long texts", func(t *testing.T) { testLongTexts(t, p, b) })
}

// scores are the cosines of pairs in a space.
func scores(vectors map[string]embedded, pairs []pair) []float64 {
	out := make([]float64, len(pairs))
	for i, pr := range pairs {
		out[i] = cosine(vectors[pr[0]].vector, vectors[pr[1]].vector)
	}
	return out
}

func testMeaning(t *testing.T, vectors map[string]map[string]embedded, near, unrelated []pair) {
	for _, s := range spaces() {
		n, u := scores(vectors[s.name], near), scores(vectors[s.name], unrelated)
		bar := slices.Max(u)
		below := 0
		for i, x := range n {
			if x <= bar {
				below++
				t.Logf("%s: %.3f, not above %.3f: %q", s.name, x, bar, near[i])
			}
		}
		if below > 2 {
			t.Errorf("%s: %d near pairs do not score above every unrelated one", s.name, below)
		}
		t.Logf("%s: near pairs %.3f to %.3f, unrelated ones %.3f to %.3f, %d near pairs not above all unrelated ones",
			s.name, slices.Min(n), slices.Max(n), slices.Min(u), bar, below)
	}
}

func testLengths(t *testing.T, vectors map[string]map[string]embedded, pairs []pair) {
	own := scores(vectors["MiniLM 384"], pairs)
	for _, s := range spaces()[1:] {
		got := scores(vectors[s.name], pairs)
		worst := 0.0
		for i := range got {
			worst = max(worst, math.Abs(got[i]-own[i]))
		}
		rank := spearman(own, got)
		switch {
		case s.dims > 384 && worst > 1e-6:
			t.Errorf("%s: a cosine differs by %g from that of the weights' own vectors", s.name, worst)
		case rank < 0.95:
			t.Errorf("%s: Spearman's correlation with the ranking of the weights' own vectors is %.4f", s.name, rank)
		}
		t.Logf("%s: cosines differ by at most %.2g, Spearman's correlation %.4f", s.name, worst, rank)
	}
}

// spearman is the correlation of the ranks of two lists without ties.
func spearman(a, b []float64) float64 {
	ra, rb := ranks(a), ranks(b)
	var sq float64
	for i := range ra {
		sq += (ra[i] - rb[i]) * (ra[i] - rb[i])
	}
	n := float64(len(a))
	return 1 - 6*sq/(n*(n*n-1))
}

func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(v[i], v[j]) })
	out := make([]float64, len(v))
	for rank, i := range order {
		out[i] = float64(rank)
	}
	return out
}

// testSame asks for every vector again, by another account, in another order
// and many at a time.
func testSame(t *testing.T, p *product, vectors map[string]map[string]embedded) {
	c := p.account(t)
	type item struct {
		space space
		text  string
	}
	work := make(chan item)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for it := range work {
				e, err := it.space.embed(t.Context(), c, it.text)
				switch {
				case err != nil:
					t.Errorf("%s, %q: %v", it.space.name, it.text, err)
				case e.raw != vectors[it.space.name][it.text].raw:
					t.Errorf("%s, %q: another vector the second time", it.space.name, it.text)
				}
			}
		})
	}
	asked := 0
	for _, s := range spaces() {
		for text := range vectors[s.name] {
			work <- item{s, text}
			asked++
		}
	}
	close(work)
	wg.Wait()
	t.Logf("%d vectors asked for again, four at a time: the same to the last digit", asked)
}

// testBareVectors compares vectors with those of the bare engine.
func testBareVectors(t *testing.T, b *bare, vectors map[string]embedded) {
	worst := 0.0
	for text, e := range vectors {
		ids, err := b.plain(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := b.embed(ids)
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, distance(e.vector, v))
	}
	if worst > 1e-6 {
		t.Errorf("an element differs by %g from the bare engine's", worst)
	}
	t.Logf("%d vectors: elements differ by at most %.2g from the bare engine's", len(vectors), worst)
}

func distance(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d float64
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// testLongTexts embeds texts that the weights read in windows. The tokens are
// those of the whole text, and the vector is the mean of the windows', weighted
// by their tokens.
func testLongTexts(t *testing.T, p *product, b *bare) {
	const sentence = "The lighthouse keeper wrote down the weather every evening before he lit the lamp. "
	c := p.account(t)
	s := spaces()[0]
	texts := map[string]string{
		"just fits":          strings.Repeat("a ", 509) + "a",
		"one token too many": strings.Repeat("a ", 510) + "a",
		"two windows":        strings.Repeat(sentence, 45),
	}
	if *full {
		texts["many windows"] = strings.Repeat(sentence, 120) + strings.Repeat("Dogs bark at night. ", 60)
		texts["no spaces"] = strings.Repeat("岩", 700)
		texts["special tokens"] = strings.Repeat("[SEP] [CLS] [MASK] words ", 120)
	}
	for name, text := range texts {
		got, err := s.embed(t.Context(), c, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ids, err := b.plain(text)
		if err != nil {
			t.Fatal(err)
		}
		if got.tokens != len(ids) {
			t.Errorf("%s: %d tokens, the bare engine counts %d", name, got.tokens, len(ids))
		}
		want, windows, err := b.windows(ids)
		if err != nil {
			t.Fatal(err)
		}
		d := distance(got.vector, want)
		if d > 1e-6 {
			t.Errorf("%s: an element differs by %g from the mean of the windows", name, d)
		}
		t.Logf("%s: %d tokens in %d windows, elements differ by at most %.2g", name, got.tokens, windows, d)
	}
}

// windows is the vector of ids that are cut into windows of 512, each with the
// first and the last id around it.
func (b *bare) windows(ids []int) ([]float64, int, error) {
	const room = 510
	first, inner, last := ids[0], ids[1:len(ids)-1], ids[len(ids)-1]
	sum := make([]float64, 384)
	n := 0
	for part := range slices.Chunk(inner, room) {
		n++
		v, err := b.embed(append(append([]int{first}, part...), last))
		if err != nil {
			return nil, n, err
		}
		for i := range sum {
			sum[i] += v[i] * float64(len(part))
		}
	}
	length := math.Sqrt(dot(sum, sum))
	for i := range sum {
		sum[i] /= length
	}
	return sum, n, nil
}
