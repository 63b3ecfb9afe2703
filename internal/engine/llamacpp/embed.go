package llamacpp

import (
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/vectors"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
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

// Embed makes one vector of length 1 per text. Text is never read as special
// tokens. A text's Tokens are its ids as the tokenizer gives them, those it
// puts around the input included; a text that is longer than the weights can
// take is read in windows, whose vectors are averaged by their tokens.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	m, err := e.of(ctx, t)
	if err != nil {
		return nil, err
	}
	out := &llm.EmbedResponse{Vectors: make([][]float32, len(r.Texts)), Tokens: make([]int, len(r.Texts))}
	var (
		all   []vectors.Piece
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
			all = append(all, vectors.Cut(i, ids, inst.facts.context, inst.facts.prefix, inst.facts.suffix)...)
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
	sums := make(vectors.Sums, len(r.Texts))
	for len(all) > 0 {
		part := vectors.Batch(all)
		all = all[len(part):]
		inputs := make([][]int, len(part))
		for i := range part {
			inputs[i] = part[i].IDs
		}
		tokens := 0
		for _, ids := range inputs {
			tokens += len(ids)
		}
		made, n, err := e.embedBatch(ctx, m, t, inputs, tokens)
		if err != nil {
			return nil, err
		}
		took += n
		for i, p := range part {
			sums.Add(p, made[i])
		}
	}
	for i := range sums {
		out.Vectors[i] = sums.Unit(i)
	}
	out.Latency = took
	return out, nil
}

// embedBatch makes the vectors of one batch, once more when its process was gone,
// and tells how long the server took.
func (e *Engine) embedBatch(ctx context.Context, m *model, t engine.Target, inputs [][]int, tokens int) (made [][]float32, took time.Duration, err error) {
	for try := 1; ; try++ {
		lease, inst, err := m.lease(ctx, limit.Ask{Scope: t.Scope, Tier: limit.TierOf(t.Tier), Tokens: tokens, Reserved: t.Reserved})
		if err != nil {
			return nil, 0, err
		}
		begin := time.Now()
		again, err := e.on(ctx, inst, func(i *instance) (err error) {
			made, err = embedTokens(ctx, i.client, inputs)
			return err
		})
		took = time.Since(begin)
		inst.leave()
		m.slots.Release(lease, tokens)
		if !again || try == 2 {
			return made, took, err
		}
	}
}
