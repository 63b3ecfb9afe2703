package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/llm"
)

var _ engine.Ranker = (*Engine)(nil)

// Rank scores documents by the server's reranker, in the form that llama-server,
// vLLM, Jina and Cohere share. Text is never read as special
// tokens. Tokens are those that the server counts.
//
// Scores that are no probabilities, as those of many rerankers on llama-server, are
// put into 0..1 by the logistic function, which keeps their order.
func (e *Engine) Rank(ctx context.Context, t engine.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	up, fa, err := e.find(ctx, t)
	if err != nil {
		return nil, err
	}
	size := len(r.Query) * len(r.Documents)
	for _, d := range r.Documents {
		size += len(d)
	}
	lease, err := up.Acquire(ctx, &t, size/bytesPerToken)
	if err != nil {
		return nil, err
	}
	used := 0
	defer func() { up.Slots.Release(lease, used) }()
	var out *llm.RankResponse
	err = e.with(ctx, up, func(ctx context.Context) (err error) {
		begin := time.Now()
		scores, tokens, err := up.rank(ctx, fa, r)
		if err != nil {
			return err
		}
		if fa.logits.Load() || beyond(scores) {
			fa.logits.Store(true)
			for i, s := range scores {
				scores[i] = 1 / (1 + math.Exp(-s))
			}
		}
		used = tokens
		out = &llm.RankResponse{Scores: scores, Tokens: tokens, Latency: time.Since(begin)}
		return nil
	})
	return out, err
}

// beyond reports whether a score is no probability.
func beyond(scores []float64) bool {
	for _, s := range scores {
		if s < 0 || s > 1 {
			return true
		}
	}
	return false
}

// rank asks for the scores of all documents, in their order.
func (u *upstream) rank(ctx context.Context, fa *facts, r *llm.RankRequest) ([]float64, int, error) {
	clean := make([]string, len(r.Documents))
	for i, d := range r.Documents {
		clean[i] = fa.turns.Guard.Clean(d, nil)
	}
	body := map[string]any{
		"model": fa.model, "query": fa.turns.Guard.Clean(r.Query, nil), "documents": clean, "top_n": len(clean), "return_documents": false,
	}
	var out struct {
		Results []struct {
			Index int          `json:"index"`
			Score *json.Number `json:"relevance_score"`
		} `json:"results"`
		Usage struct {
			Prompt int `json:"prompt_tokens"` // llama-server
			Total  int `json:"total_tokens"`  // vLLM, Jina
		} `json:"usage"`
		Meta struct {
			Tokens struct {
				Input int `json:"input_tokens"`
			} `json:"tokens"`
		} `json:"meta"` // Cohere
	}
	if err := u.call(ctx, "/v1/rerank", body, &out); err != nil {
		return nil, 0, err
	}
	if len(out.Results) != len(clean) {
		return nil, 0, fmt.Errorf("%d scores for %d documents: %w", len(out.Results), len(clean), remote.ErrBadJSON)
	}
	scores, seen := make([]float64, len(clean)), make([]bool, len(clean))
	for _, one := range out.Results {
		if one.Index < 0 || one.Index >= len(clean) || seen[one.Index] || one.Score == nil {
			return nil, 0, fmt.Errorf("the score of document %d: %w", one.Index, remote.ErrBadJSON)
		}
		s, err := one.Score.Float64()
		if err != nil || math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, 0, fmt.Errorf("the score of document %d: %w", one.Index, remote.ErrBadJSON)
		}
		scores[one.Index], seen[one.Index] = s, true
	}
	tokens := max(out.Usage.Prompt, out.Usage.Total, out.Meta.Tokens.Input)
	if tokens < 1 {
		return nil, 0, errNoUsage
	}
	return scores, tokens, nil
}

// testRank proves that the server ranks, by two documents one of which has nothing
// to do with the query, and learns what its scores are.
func (u *upstream) testRank(ctx context.Context, fa *facts) error {
	scores, _, err := u.rank(ctx, fa, &llm.RankRequest{Query: "What is granite?", Documents: []string{"Granite is a rock.", "7"}})
	if err != nil {
		return err
	}
	fa.logits.Store(beyond(scores))
	return nil
}
