package llamacpp

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// One request to the server holds at most embedBatch windows and, unless it is
// one window, embedTokensMax tokens: the server does not notice that a caller of
// this endpoint has gone, and it must answer before it counts as hung.
const (
	embedBatch     = 8
	embedTokensMax = 2048
)

// tokenize returns the ids of a text in which no special token is read. special
// adds those that the tokenizer puts around every input.
func tokenize(ctx context.Context, c *client, text string, special bool) ([]int, error) {
	return tokens(ctx, c, map[string]any{"content": text, "add_special": special, "parse_special": false})
}

// tokenizeParsed returns the ids as /completion reads a prompt.
func tokenizeParsed(ctx context.Context, c *client, text string) ([]int, error) {
	return tokens(ctx, c, map[string]any{"content": text, "add_special": true, "parse_special": true})
}

func tokens(ctx context.Context, c *client, body map[string]any) ([]int, error) {
	var out struct {
		Tokens []int `json:"tokens"`
	}
	if err := c.call(ctx, "/tokenize", body, &out); err != nil {
		return nil, err
	}
	return out.Tokens, nil
}

// embedTokens returns one vector per list of token ids, in their order.
func embedTokens(ctx context.Context, c *client, inputs [][]int) ([][]float32, error) {
	var out struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := c.call(ctx, "/v1/embeddings", map[string]any{"input": inputs}, &out); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(inputs))
	for _, d := range out.Data {
		if d.Index >= 0 && d.Index < len(vectors) {
			vectors[d.Index] = d.Embedding
		}
	}
	for i, v := range vectors {
		if len(v) == 0 || len(v) != len(vectors[0]) {
			return nil, fmt.Errorf("vector %d of %d has %d dimensions: %w", i, len(vectors), len(v), errBadJSON)
		}
	}
	return vectors, nil
}

// window is a piece of a text that fits the weights.
type window struct {
	text   int // index of the text
	ids    []int
	weight float64 // tokens of the text in it
}

// windows cuts a text's ids, its special tokens included, into pieces that fit.
func (fa *facts) windows(text int, ids []int) []window {
	if len(ids) <= fa.context {
		return []window{{text, ids, 1}}
	}
	inner := ids[len(fa.prefix) : len(ids)-len(fa.suffix)]
	room := fa.context - len(fa.prefix) - len(fa.suffix)
	var out []window
	for len(inner) > 0 {
		n := min(room, len(inner))
		w := make([]int, 0, n+len(fa.prefix)+len(fa.suffix))
		w = append(append(append(w, fa.prefix...), inner[:n]...), fa.suffix...)
		out = append(out, window{text, w, float64(n)})
		inner = inner[n:]
	}
	return out
}

// Embed makes one vector of length 1 per text. Text is never read as special
// tokens. A text's Tokens are its ids as the tokenizer gives them, those it
// puts around the input included; a text that is longer than the weights can
// take is read in windows, whose vectors are averaged by their tokens.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	run, err := e.runner(ctx, t)
	if err != nil {
		return nil, err
	}
	out := &llm.EmbedResponse{Vectors: make([][]float32, len(r.Texts)), Tokens: make([]int, len(r.Texts))}
	var (
		all   []window
		took  time.Duration
		begin time.Time
	)
	err = e.with(ctx, t, func(inst *instance) error {
		begin = time.Now()
		all = all[:0]
		for i, text := range r.Texts {
			ids, err := tokenize(ctx, inst.client, text, true)
			if err != nil {
				return err
			}
			out.Tokens[i] = len(ids)
			all = append(all, inst.facts.windows(i, ids)...)
		}
		took = time.Since(begin)
		return nil
	})
	if err == nil && r.Check != nil {
		err = r.Check(out.Tokens)
	}
	if err != nil {
		return nil, err
	}
	sums := make([][]float64, len(r.Texts))
	for len(all) > 0 {
		part := batch(all)
		all = all[len(part):]
		inputs := make([][]int, len(part))
		for i := range part {
			inputs[i] = part[i].ids
		}
		tokens := 0
		for _, ids := range inputs {
			tokens += len(ids)
		}
		lease, err := run.slots.Acquire(ctx, limit.Ask{Scope: t.Scope, Tier: limit.TierOf(t.Tier), Tokens: tokens})
		if err != nil {
			return nil, err
		}
		var vectors [][]float32
		err = e.with(ctx, t, func(inst *instance) (err error) {
			begin = time.Now()
			vectors, err = embedTokens(ctx, inst.client, inputs)
			return err
		})
		run.slots.Release(lease, tokens)
		if err != nil {
			return nil, err
		}
		took += time.Since(begin)
		for i, w := range part {
			sums[w.text] = add(sums[w.text], vectors[i], w.weight)
		}
	}
	for i, s := range sums {
		out.Vectors[i] = unit(s)
	}
	out.Latency = took
	return out, nil
}

// batch returns the first windows that go into one request.
func batch(all []window) []window {
	n, sum := 0, 0
	for n < len(all) && n < embedBatch && (n == 0 || sum+len(all[n].ids) <= embedTokensMax) {
		sum += len(all[n].ids)
		n++
	}
	return all[:n]
}

// add adds v, times weight, to sum.
func add(sum []float64, v []float32, weight float64) []float64 {
	if sum == nil {
		sum = make([]float64, len(v))
	}
	for i, x := range v {
		sum[i] += weight * float64(x)
	}
	return sum
}

// unit scales a vector to length 1; a zero vector stays one.
func unit(sum []float64) []float32 {
	var sq float64
	for _, x := range sum {
		sq += x * x
	}
	scale := 1.0
	if sq > 0 {
		scale = 1 / math.Sqrt(sq)
	}
	v := make([]float32, len(sum))
	for i, x := range sum {
		v[i] = float32(x * scale)
	}
	return v
}
