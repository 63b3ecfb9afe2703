package inference_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/picture"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// studio is an engine that ranks and makes pictures.
type studio struct {
	*scripted.Engine
	asked *llm.PictureRequest
	reply *llm.PictureResponse
}

// Rank implements engine.Ranker.
func (s *studio) Rank(_ context.Context, t engine.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	return &llm.RankResponse{Scores: []float64{0.25, 0.75}, Tokens: 9}, nil
}

// Picture implements engine.Painter.
func (s *studio) Picture(_ context.Context, t engine.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	s.asked = r
	return s.reply, nil
}

func pngBytes(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func remote(mode string) *catalog.Target {
	return &catalog.Target{Model: catalog.Model{ID: "acme.x"}, Weights: catalog.Weights{ID: "w", Mode: mode, Source: catalog.Source{Upstream: "u"}}}
}

func TestRankByReranker(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: &studio{Engine: scripted.New()}, Fit: &embedfit.Fitter{}})
	c := newCall()
	resp, err := s.Rank(t.Context(), c, remote("rank"), &llm.RankRequest{Query: "q", Documents: []string{"a", "b"}})
	if err != nil || resp.Scores[1] != 0.75 || c.Usage.InputTokens != 9 || !c.Inferred || c.ServedBy != "w" {
		t.Errorf("%+v, %v, %+v", resp, err, c.Usage)
	}
	plain := inference.New(inference.Config{Engine: scripted.New(), Fit: &embedfit.Fitter{}})
	if _, err := plain.Rank(t.Context(), newCall(), remote("rank"), &llm.RankRequest{Query: "q"}); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("an engine that ranks nothing: %v", err)
	}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	good := &llm.PictureResponse{Images: [][]byte{pngBytes(t, 64, 64)}, Seeds: []int64{3}}
	ask := &llm.PictureRequest{Task: llm.TextToImage, Prompt: "a stone", Width: 128, Height: 64, Count: 1, Format: "jpeg"}
	for name, c := range map[string]struct {
		reply *llm.PictureResponse
		to    *catalog.Target
		ask   *llm.PictureRequest
		code  string
	}{
		"made":             {good, remote("image"), ask, ""},
		"text weights":     {good, remote("chat"), ask, apierr.CodeValidation},
		"too many":         {&llm.PictureResponse{Images: [][]byte{{1}, {2}}, Seeds: []int64{1, 2}}, remote("image"), ask, apierr.CodeModelError},
		"no picture":       {&llm.PictureResponse{Images: [][]byte{[]byte("hello")}, Seeds: []int64{1}}, remote("image"), ask, apierr.CodeModelError},
		"a mask in words":  {good, remote("image"), &llm.PictureRequest{Task: llm.Inpaint, MaskPrompt: "the sky", Count: 1}, apierr.CodeValidation},
		"a broken picture": {good, remote("image"), &llm.PictureRequest{Task: llm.ImageToImage, Images: []llm.Media{{Data: []byte{1}, Place: "init_image"}}, Count: 1}, apierr.CodeValidation},
	} {
		e := &studio{Engine: scripted.New(), reply: c.reply}
		s := inference.New(inference.Config{Engine: e, Fit: &embedfit.Fitter{}, Canvas: picture.NewCanvas(picture.Limits{})})
		cl := newCall()
		resp, err := s.Picture(t.Context(), cl, c.to, c.ask)
		if c.code != "" {
			if apierr.From(err) == nil || apierr.From(err).Code != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
			continue
		}
		if err != nil || len(resp.Images) != 1 || resp.Seeds[0] != 3 || !cl.Inferred || e.asked.Prompt != "a stone" {
			t.Errorf("%s: %+v, %v", name, resp, err)
			continue
		}
		cfg, format, err := image.DecodeConfig(bytes.NewReader(resp.Images[0]))
		if err != nil || !strings.EqualFold(format, "jpeg") || cfg.Width != 128 || cfg.Height != 64 {
			t.Errorf("%s: %s %+v, %v", name, format, cfg, err)
		}
	}
}
