package bedrock

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/llm"
)

// codec is the native body of an embedding model. Each text goes in a request of
// its own, because only so its tokens are told.
type codec struct {
	body func(text string, dims int) any
	read func(a *answer, h http.Header) (vector []float32, tokens int)
}

// answer is what the models answer, taken together.
type answer struct {
	Embedding  []float32 `json:"embedding"`           // Titan
	Tokens     int       `json:"inputTextTokenCount"` // Titan
	Embeddings vectors   `json:"embeddings"`          // Cohere
}

// vectors are Cohere's: a list, or a list by type.
type vectors [][]float32

// UnmarshalJSON implements json.Unmarshaler.
func (v *vectors) UnmarshalJSON(b []byte) error {
	var typed struct {
		Float [][]float32 `json:"float"`
	}
	if len(b) > 0 && b[0] == '{' {
		err := json.Unmarshal(b, &typed)
		*v = typed.Float
		return err
	}
	return json.Unmarshal(b, (*[][]float32)(v))
}

// tokensHeader tells the input tokens of every InvokeModel.
const tokensHeader = "X-Amzn-Bedrock-Input-Token-Count" // #nosec G101 -- a name

// codecOf is the codec of a model by its id; nil for one that is not known.
//
// Source: Bedrock user guide, "Amazon Titan Text Embeddings" and "Cohere Embed".
func codecOf(model string) *codec {
	titan := func(a *answer, _ http.Header) ([]float32, int) { return a.Embedding, a.Tokens }
	switch {
	case strings.Contains(model, "amazon.titan-embed-text-v2"):
		return &codec{func(text string, dims int) any {
			return map[string]any{"inputText": text, "dimensions": dims, "normalize": true}
		}, titan}
	case strings.Contains(model, "amazon.titan-embed-image"):
		return &codec{func(text string, dims int) any {
			return map[string]any{"inputText": text, "embeddingConfig": map[string]int{"outputEmbeddingLength": dims}}
		}, titan}
	case strings.Contains(model, "amazon.titan-embed"):
		return &codec{func(text string, _ int) any { return map[string]string{"inputText": text} }, titan}
	case strings.Contains(model, "cohere.embed"):
		return &codec{func(text string, dims int) any {
			b := map[string]any{"texts": []string{text}, "input_type": "search_document", "truncate": "NONE"}
			if strings.Contains(model, "embed-v4") {
				b["embedding_types"], b["output_dimension"] = []string{"float"}, dims
			}
			return b
		}, func(a *answer, h http.Header) ([]float32, int) {
			n, err := strconv.Atoi(h.Get(tokensHeader))
			if err != nil || len(a.Embeddings) != 1 {
				return nil, 0
			}
			return a.Embeddings[0], n
		}}
	}
	return nil
}

// Embed makes one vector of length 1 per text. Tokens are those that the upstream
// counts while it embeds, so Check comes after the work. A text that the model
// there cannot take is refused (ValidationException).
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	up, err := e.find(t)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for _, text := range r.Texts {
		bytes += len(text)
	}
	lease, err := up.Acquire(ctx, &t, bytes/bytesPerToken)
	if err != nil {
		return nil, err
	}
	used := 0
	defer func() { up.Slots.Release(lease, used) }()
	begin := time.Now()
	out := &llm.EmbedResponse{Vectors: make([][]float32, len(r.Texts)), Tokens: make([]int, len(r.Texts))}
	c := codecOf(up.c.Model)
	for i, text := range r.Texts {
		err := e.with(ctx, up, func(ctx context.Context) error {
			var a answer
			h, err := up.call(ctx, "invoke", c.body(text, up.c.Dimensions), &a)
			if err != nil {
				return err
			}
			v, n := c.read(&a, h)
			if n < 1 {
				return errNoUsage
			}
			if len(v) != up.c.Dimensions {
				return fmt.Errorf("a vector of %d dimensions, not %d: %w", len(v), up.c.Dimensions, remote.ErrBadJSON)
			}
			if !unit(v) {
				return fmt.Errorf("a vector without direction: %w", remote.ErrBadJSON)
			}
			out.Vectors[i], out.Tokens[i] = v, n
			used += n
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if r.Check != nil {
		if err := r.Check(slices.Clone(out.Tokens)); err != nil {
			return nil, err
		}
	}
	out.Latency = time.Since(begin)
	return out, nil
}

// unit gives a vector the length 1, leaving one alone that has it; false for one
// that cannot have it.
func unit(v []float32) bool {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return false
	}
	const near = 1e-6
	if length := math.Sqrt(sum); math.Abs(length-1) > near {
		for i := range v {
			v[i] = float32(float64(v[i]) / length)
		}
	}
	return true
}
