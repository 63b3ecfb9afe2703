package weights_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine/enginetest/tinyvision"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/file"
)

// byURL resolves each source to the file at its own address.
type byURL struct{ *shelf }

func (byURL) Resolve(_ context.Context, c catalog.Source) (weights.Artifact, error) {
	return weights.Artifact{Origin: c.URL, Parts: []weights.Part{{URL: c.URL}}}, nil
}

// vision is a store over a shelf with weights and their projector.
func vision(t *testing.T) (*weights.Store, *shelf, catalog.Weights, string) {
	t.Helper()
	model, projector, err := tinyvision.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for at, path := range map[string]string{"mem:model": model, "mem:eye": projector} {
		if files[at], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	src, dir := &shelf{files: files}, t.TempDir()
	s, err := weights.New(weights.Config{Dir: dir, Sources: []weights.Source{byURL{src}}, Fetch: src})
	if err != nil {
		t.Fatal(err)
	}
	w := catalog.Weights{ID: "v", Source: catalog.Source{URL: "mem:model"}, Projector: &catalog.Source{URL: "mem:eye"}}
	return s, src, w, dir
}

// A projector comes and goes with its weights and is no weights itself.
func TestProjector(t *testing.T) {
	t.Parallel()
	s, src, w, dir := vision(t)
	if err := s.Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	path, ok := s.Projector("v")
	d, err := s.Show("v")
	if !ok || err != nil || d.Projector != path {
		t.Errorf("projector %q, shown %q, %v", path, d.Projector, err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].ID != "v" {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := s.Pull(t.Context(), w, nil); err != nil || src.count() != 2 {
		t.Errorf("second pull: %v after %d downloads", err, src.count())
	}
	if err := s.Verify(t.Context(), "v", nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	b := src.files["mem:eye"]
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), "v", nil); !errors.Is(err, weights.ErrDigest) {
		t.Errorf("verify of a changed projector: %v", err)
	}
	if err := s.Remove(t.Context(), "v"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Projector("v"); ok {
		t.Error("the projector stayed")
	}
	want := []string{".projectors/.locks/v.lock"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("left after remove (-want +got):\n%s", diff)
	}
}

// Weights count as installed only when their projector is there too, and get it
// later when the catalogue names one later.
func TestProjectorFails(t *testing.T) {
	t.Parallel()
	s, src, w, _ := vision(t)
	eye := src.files["mem:eye"]
	delete(src.files, "mem:eye")
	if err := s.Pull(t.Context(), w, nil); err == nil {
		t.Error("pulled without the projector")
	}
	if _, ok := s.Path("v"); ok {
		t.Error("installed without the projector")
	}
	src.files["mem:eye"] = src.files["mem:model"]
	if err := s.Pull(t.Context(), w, nil); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("a projector that is none: %v", err)
	}
	src.files["mem:eye"] = eye
	blind := w
	blind.Projector = nil
	if err := s.Pull(t.Context(), blind, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Projector("v"); ok {
		t.Error("a projector without having asked for one")
	}
	if err := s.Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Projector("v"); !ok {
		t.Error("no projector")
	}
}

func TestImportProjector(t *testing.T) {
	t.Parallel()
	model, projector, err := tinyvision.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := weights.New(weights.Config{Dir: t.TempDir(), Sources: []weights.Source{file.Source{}}, Fetch: fetch.New(fetch.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Import(t.Context(), "v", projector, nil); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("a projector as weights: %v", err)
	}
	if err := s.ImportProjector(t.Context(), "v", model, nil); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("weights as a projector: %v", err)
	}
	if err := errors.Join(s.ImportProjector(t.Context(), "v", projector, nil), s.Import(t.Context(), "v", model, nil)); err != nil {
		t.Fatal(err)
	}
	if path, ok := s.Projector("v"); !ok || filepath.Ext(path) != ".gguf" {
		t.Errorf("projector %q", path)
	}
}
