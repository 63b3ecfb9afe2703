package agreement

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// Inference runs requests on the weights of a target. inference.Service implements
// it.
type Inference interface {
	Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events
	Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error)
	Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error)
	Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error)
	Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error)
}

// Gate is an Inference that serves only accounts with access to the model, and
// counts what they use. Services check access themselves, before they read a body;
// the gate stands before the engine, where nothing comes past it.
type Gate struct {
	Inference           // what is behind the gate; required
	Agreements *Service // required
}

// Generate implements Inference.
func (g Gate) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	if err := g.Agreements.Check(c, t); err != nil {
		return llm.Fail(err)
	}
	events := g.Inference.Generate(ctx, c, t, r)
	return func(yield func(llm.Event, error) bool) {
		defer g.Agreements.Count(c, t) // also of a reply that is cut short
		events(yield)
	}
}

// Embed implements Inference.
func (g Gate) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error) {
	if err := g.Agreements.Check(c, t); err != nil {
		return nil, err
	}
	defer g.Agreements.Count(c, t)
	return g.Inference.Embed(ctx, c, t, r, dims)
}

// Rank implements Inference.
func (g Gate) Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	if err := g.Agreements.Check(c, t); err != nil {
		return nil, err
	}
	defer g.Agreements.Count(c, t)
	return g.Inference.Rank(ctx, c, t, r)
}

// Picture implements Inference.
func (g Gate) Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	if err := g.Agreements.Check(c, t); err != nil {
		return nil, err
	}
	defer g.Agreements.Count(c, t)
	return g.Inference.Picture(ctx, c, t, r)
}

// Count implements Inference.
func (g Gate) Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error) {
	if err := g.Agreements.Check(c, t); err != nil {
		return 0, err
	}
	return g.Inference.Count(ctx, c, t, r)
}
