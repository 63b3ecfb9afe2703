package web_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights/web"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	var s web.Source
	if s.Accepts(catalog.Source{File: "/x"}) || !s.Accepts(catalog.Source{URL: "https://example.com/m"}) {
		t.Error("Accepts answers wrongly")
	}
	art, err := s.Resolve(t.Context(), catalog.Source{URL: "https://example.com/m.gguf?key=sesame", SHA256: sum})
	if err != nil {
		t.Fatal(err)
	}
	if art.Origin != "https://example.com/m.gguf" || art.Parts[0].URL != "https://example.com/m.gguf?key=sesame" || art.SHA256 != sum {
		t.Errorf("artifact %+v", art)
	}
	for _, bad := range []catalog.Source{
		{URL: "https://example.com/m.gguf"},
		{URL: "https://example.com/m.gguf", SHA256: "abc"},
		{URL: "https://example.com/m.gguf", SHA256: strings.Repeat("zz", 32)},
		{URL: "ftp://example.com/m.gguf", SHA256: sum},
		{URL: "file:///m.gguf", SHA256: sum},
		{URL: "m.gguf", SHA256: sum},
		{URL: "https://me:sesame@example.com/m.gguf", SHA256: sum},
		{URL: "https://exa mple.com/sesame", SHA256: sum},
	} {
		_, err := s.Resolve(t.Context(), bad)
		if err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: error %v, want one without secrets", bad.URL, err)
		}
	}
}
