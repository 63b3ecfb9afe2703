package inference_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestRank(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: scripted.New(), Fit: &embedfit.Fitter{}})
	c := newCall()
	resp, err := s.Rank(t.Context(), c, embedTarget(), &llm.RankRequest{Query: "a b", Documents: []string{"other words", "a b", "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Scores) != 3 || resp.Scores[1] < 0.999 || resp.Tokens != 15 || c.Usage.InputTokens != 15 || !c.Inferred {
		t.Errorf("%+v, usage %+v", resp, c.Usage)
	}
	for i, score := range resp.Scores {
		if score < 0 || score > 1 || i != 1 && score > 0.5 {
			t.Errorf("document %d: score %f", i, score)
		}
	}
	if _, err := s.Rank(t.Context(), newCall(), target(1000, 100), &llm.RankRequest{Query: "a"}); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("ranked by a text model: %v", err)
	}
}

// What no engine makes yet is refused in a way that no SDK tries again, with the
// command that brings the weights where there are some.
func TestLaterEngines(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: scripted.New(), Fit: &embedfit.Fitter{}})
	paint := &catalog.Target{Model: catalog.Model{ID: "stability.x"}, Weights: catalog.Weights{ID: "painter", Mode: "image"}}
	see := &catalog.Target{Model: catalog.Model{ID: "amazon.titan-embed-image-v1"}, Weights: catalog.Weights{ID: "clip", Mode: "image-embed"}}
	_, noPicture := s.Picture(t.Context(), newCall(), paint, &llm.PictureRequest{})
	_, noVector := s.Embed(t.Context(), newCall(), see, &llm.EmbedRequest{Images: []llm.Media{{}}}, 384)
	_, noText := s.Embed(t.Context(), newCall(), see, &llm.EmbedRequest{Texts: []string{"a"}}, 384)
	_, textWeights := s.Embed(t.Context(), newCall(), embedTarget(), &llm.EmbedRequest{Images: []llm.Media{{}}}, 384)
	for name, c := range map[string]struct {
		err  error
		pull string
	}{
		"picture": {noPicture, "outcrop models pull painter"}, "vector of an image": {noVector, "outcrop models pull clip"},
		"vector by image weights": {noText, "outcrop models pull clip"}, "image for text weights": {textWeights, ""},
	} {
		e := apierr.From(c.err)
		if e == nil || e.Code != apierr.CodeValidation || !strings.HasSuffix(e.Message, c.pull) || c.pull == "" && strings.Contains(e.Message, "pull") {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	for _, tg := range []*catalog.Target{paint, see} {
		if err := errorOf(s.Generate(t.Context(), newCall(), tg, said(1, nil))); apierr.From(err).Code != apierr.CodeValidation {
			t.Errorf("text of %s: %v", tg.Model.ID, err)
		}
	}
}
