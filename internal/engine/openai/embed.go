package openai

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/engine/vectors"
	"github.com/outcrop/outcrop/internal/llm"
)

// Embed makes one vector of length 1 per text. Text is never read as special
// tokens. A text's Tokens are those that the server counts.
//
// Of llama-server and vLLM, a text that is longer than the weights can take is read
// in pieces, whose vectors are averaged by their tokens. The others take each text
// by itself and refuse one that is too long (ValidationException); they count while
// they embed, so Check comes after the work.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	up, fa, err := e.find(ctx, t)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, text := range r.Texts {
		size += len(text)
	}
	lease, err := up.Acquire(ctx, &t, size/bytesPerToken)
	if err != nil {
		return nil, err
	}
	used := 0
	defer func() { up.Slots.Release(lease, used) }()
	var out *llm.EmbedResponse
	var refusal error
	err = e.with(ctx, up, func(ctx context.Context) (err error) {
		begin := time.Now()
		out, err = up.embed(ctx, fa, r.Texts, func(tokens []int) error {
			for _, n := range tokens {
				used += n
			}
			if r.Check != nil {
				refusal = r.Check(tokens)
			}
			return refusal
		})
		if err == nil {
			out.Latency = time.Since(begin)
		}
		return err
	})
	if refusal != nil {
		return nil, refusal
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// embed makes the vectors; check is told the tokens of all texts.
func (u *upstream) embed(ctx context.Context, fa *facts, texts []string, check func([]int) error) (*llm.EmbedResponse, error) {
	out := &llm.EmbedResponse{Vectors: make([][]float32, len(texts)), Tokens: make([]int, len(texts))}
	sums := make(vectors.Sums, len(texts))
	ask := func() error {
		if check == nil {
			return nil
		}
		return check(out.Tokens)
	}
	if !fa.counts() {
		for i, text := range texts {
			v, n, err := u.vectorsOf(ctx, fa, []string{fa.turns.Guard.Clean(text, nil)}, 1)
			if err != nil {
				return nil, err
			}
			if n < 1 {
				return nil, errNoUsage
			}
			out.Tokens[i] = n
			sums.Add(vectors.Whole(i), v[0])
		}
		if err := ask(); err != nil {
			return nil, err
		}
	} else {
		var all []vectors.Piece
		for i, text := range texts {
			ids, err := u.embedIDs(ctx, fa, text)
			if err != nil {
				return nil, err
			}
			out.Tokens[i] = len(ids)
			all = append(all, vectors.Cut(i, ids, fa.context, fa.prefix, fa.suffix)...)
		}
		if err := ask(); err != nil {
			return nil, err
		}
		for len(all) > 0 {
			part := vectors.Batch(all)
			all = all[len(part):]
			inputs := make([][]int, len(part))
			for i := range part {
				inputs[i] = part[i].IDs
			}
			vs, _, err := u.vectorsOf(ctx, fa, inputs, len(inputs))
			if err != nil {
				return nil, err
			}
			for i, p := range part {
				sums.Add(p, vs[i])
			}
		}
	}
	for i := range texts {
		out.Vectors[i] = sums.Unit(i)
	}
	return out, nil
}

// embedIDs are the ids of a text in which no special token is read.
func (u *upstream) embedIDs(ctx context.Context, fa *facts, text string) ([]int, error) {
	if fa.kind == VLLM {
		return u.tokenizeVLLM(ctx, fa, fa.turns.Guard.Clean(text, nil), true)
	}
	return u.tokenize(ctx, text, true, false)
}

// vectorsOf asks for the vectors of n inputs: texts, or lists of ids.
func (u *upstream) vectorsOf(ctx context.Context, fa *facts, inputs any, n int) ([][]float32, int, error) {
	var out struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
		Usage struct {
			Prompt int `json:"prompt_tokens"`
		} `json:"usage"`
	}
	body := map[string]any{"model": fa.model, "input": inputs, "encoding_format": "float"}
	if err := u.call(ctx, "/v1/embeddings", body, &out); err != nil {
		return nil, 0, err
	}
	vs := make([][]float32, n)
	for _, d := range out.Data {
		if d.Index >= 0 && d.Index < n {
			vs[d.Index] = d.Embedding
		}
	}
	dims := cmp.Or(fa.dims, len(vs[0]))
	for i, v := range vs {
		if len(v) == 0 || len(v) != dims {
			return nil, 0, fmt.Errorf("vector %d of %d has %d dimensions, not %d: %w", i, n, len(v), dims, remote.ErrBadJSON)
		}
	}
	return vs, out.Usage.Prompt, nil
}
