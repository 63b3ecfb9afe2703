package agreement_test

import (
	"context"
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// engine uses 10 tokens in every call, and counts the calls.
type engine struct{ calls int }

func (e *engine) use(c *call.Call) {
	e.calls++
	c.Usage = llm.Usage{InputTokens: 4, OutputTokens: 6}
}

func (e *engine) Generate(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		e.use(c)
		_ = yield(llm.Event{Kind: llm.Start}, nil) && yield(llm.Event{Kind: llm.Done}, nil)
	}
}

func (e *engine) Embed(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.EmbedRequest, _ int) (*llm.EmbedResponse, error) {
	e.use(c)
	return &llm.EmbedResponse{}, nil
}

func (e *engine) Rank(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.RankRequest) (*llm.RankResponse, error) {
	e.use(c)
	return &llm.RankResponse{}, nil
}

func (e *engine) Picture(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.PictureRequest) (*llm.PictureResponse, error) {
	e.use(c)
	return &llm.PictureResponse{}, nil
}

func (e *engine) Count(_ context.Context, _ *call.Call, _ *catalog.Target, _ *llm.Request) (int, error) {
	e.calls++
	return 1, nil
}

// TestGate closes every way to a model to an account without access, and counts
// what one with access uses.
func TestGate(t *testing.T) {
	t.Parallel()
	s, m := open(t, agreement.Config{}), target()
	e := &engine{}
	g := agreement.Gate{Inference: e, Agreements: s}
	ways := map[string]func() error{
		"generate": func() error {
			for _, err := range g.Generate(t.Context(), newCall(dev), m, &llm.Request{}) {
				return err // a reply that is cut counts too
			}
			return errors.New("no event")
		},
		"embed": func() error { _, err := g.Embed(t.Context(), newCall(dev), m, &llm.EmbedRequest{}, 0); return err },
		"rank":  func() error { _, err := g.Rank(t.Context(), newCall(dev), m, &llm.RankRequest{}); return err },
		"picture": func() error {
			_, err := g.Picture(t.Context(), newCall(dev), m, &llm.PictureRequest{})
			return err
		},
		"count": func() error { _, err := g.Count(t.Context(), newCall(dev), m, &llm.Request{}); return err },
	}
	for name, way := range ways {
		if err := way(); err == nil {
			t.Errorf("%s: open without access", name)
		}
	}
	if e.calls != 0 {
		t.Errorf("%d calls came through", e.calls)
	}
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
	ok(t, s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{MonthlyTokens: 1000}))
	for name, way := range ways {
		if err := way(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.Used(dev, m.Model.ID); n != 40 || e.calls != len(ways) {
		t.Errorf("%d tokens in %d calls, want 40 in %d", n, e.calls, len(ways))
	}
}
