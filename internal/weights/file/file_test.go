package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights/file"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a model%.gguf")
	if err := os.WriteFile(path, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	var s file.Source
	if s.Accepts(catalog.Source{URL: "https://example.com"}) || !s.Accepts(catalog.Source{File: path}) {
		t.Error("Accepts answers wrongly")
	}
	art, err := s.Resolve(t.Context(), catalog.Source{File: path, SHA256: "ab"})
	if err != nil {
		t.Fatal(err)
	}
	p := art.Parts[0]
	if !strings.HasPrefix(p.URL, "file:///") || strings.Contains(p.URL, " ") || p.Size != 4 || p.SHA256 != "ab" || art.Origin != "file:"+path {
		t.Errorf("artifact %+v", art)
	}
	art, err = s.Resolve(t.Context(), catalog.Source{File: dir})
	if err != nil || art.Dir != dir || len(art.Parts) != 0 {
		t.Errorf("a folder: %+v, %v", art, err)
	}
	if _, err := s.Resolve(t.Context(), catalog.Source{File: filepath.Join(dir, "missing")}); err == nil {
		t.Error("a missing file is accepted")
	}
	if _, err := s.Resolve(t.Context(), catalog.Source{File: os.DevNull}); err == nil {
		t.Error("a device is accepted")
	}
}
