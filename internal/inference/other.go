package inference

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// imageEmbed is the mode of weights that make vectors of texts and images; no
// engine runs them yet.
const imageEmbed = "image-embed"

// Embed makes one vector of dims numbers for each text, and notes the facts in
// c. Vectors keep length 1. Images are refused with ValidationException: no
// engine makes vectors of them yet.
func (s *Service) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	if len(r.Images) > 0 {
		return nil, laterEngine(t, "vectors of images")
	}
	resp, err := s.embed(ctx, c, t, r)
	if err != nil {
		return nil, err
	}
	for i, v := range resp.Vectors {
		resp.Vectors[i] = s.cfg.Fit.Fit(v, dims)
	}
	return resp, nil
}

// embed makes the vectors of the weights themselves.
func (s *Service) embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	switch t.Weights.Mode {
	case string(engine.Embed):
	case imageEmbed:
		return nil, laterEngine(t, "embeddings")
	default:
		return nil, apierr.Validation("The model %s does not make embeddings.", t.Model.ID)
	}
	et := s.note(c, t)
	c.Inferred = true
	start := s.cfg.Now()
	resp, err := s.cfg.Engine.Embed(ctx, et, r)
	if err != nil {
		c.Latency = s.cfg.Now().Sub(start)
		return nil, err
	}
	for _, n := range resp.Tokens {
		c.Usage.InputTokens += n
	}
	c.Latency = resp.Latency
	return resp, nil
}

// Rank scores documents against a query: by a reranker, when the weights are one,
// else by the cosine of their vectors; below 0 it is 0. Cosines are as relevant as
// the embedding weights are, and not calibrated as a reranker's scores.
func (s *Service) Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	if t.Weights.Mode == string(engine.Rank) {
		return s.rank(ctx, c, t, r)
	}
	texts := make([]string, 0, len(r.Documents)+1)
	texts = append(append(texts, r.Query), r.Documents...)
	resp, err := s.embed(ctx, c, t, &llm.EmbedRequest{Texts: texts})
	if err != nil {
		return nil, err
	}
	out := &llm.RankResponse{Scores: make([]float64, len(r.Documents)), Tokens: c.Usage.InputTokens, Latency: resp.Latency}
	for i := range out.Scores {
		out.Scores[i] = min(1, max(0, cosine(resp.Vectors[0], resp.Vectors[i+1])))
	}
	return out, nil
}

// rank asks a reranker.
func (s *Service) rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	et := s.note(c, t)
	c.Inferred = true
	start := s.cfg.Now()
	resp, err := engine.RankBy(ctx, s.cfg.Engine, et, r)
	if err != nil {
		c.Latency = s.cfg.Now().Sub(start)
		return nil, err
	}
	c.Usage.InputTokens, c.Latency = resp.Tokens, resp.Latency
	return resp, nil
}

// cosine of two vectors of length 1.
func cosine(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// laterEngine is the error for what no engine of this server makes yet.
func laterEngine(t *catalog.Target, what string) error {
	pull := ""
	if m := engine.Mode(t.Weights.Mode); t.Weights.ID != "" && m != engine.Embed && m != engine.Chat && m != engine.Completion {
		pull = " Its operator can install the weights now: outcrop models pull " + t.Weights.ID
	}
	return apierr.Validation("The model %s cannot make %s on this server: the engine for them comes with a later release.%s", t.Model.ID, what, pull)
}
