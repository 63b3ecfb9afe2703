package enginetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/convert"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/pypi"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// Installation is the real engine and the default models on this machine.
type Installation struct {
	Python  string // the interpreter itself, no link to it
	Site    string // folder of the unpacked engine
	Build   string
	Weights []catalog.Weights // the default ones
	Files   map[string]string // of them, by id
}

// Installed returns what is installed in the user's cache folder, for all tests of
// the machine. The first run downloads it.
func Installed(t testing.TB) Installation {
	t.Helper()
	i, err := installed()
	if err != nil {
		t.Fatalf("install the engine and its models: %v", err)
	}
	return i
}

var installed = sync.OnceValues(func() (i Installation, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return i, err
	}
	dir := filepath.Join(cache, "outcrop")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cat, err := catalog.New(catalog.Options{})
	if err != nil {
		return i, err
	}
	get := fetch.New(fetch.Config{})
	store, err := weights.New(weights.Config{
		Dir: filepath.Join(dir, "models"), Sources: []weights.Source{&pypi.Source{}}, Fetch: get, Convert: convert.Convert,
	})
	if err != nil {
		return i, err
	}
	i.Files = map[string]string{}
	for _, w := range cat.Weights() {
		if !w.Default {
			continue
		}
		path, ok := store.Path(w.ID)
		if !ok {
			if err := store.Pull(ctx, w, weights.Silent); err != nil {
				return i, err
			}
			path, _ = store.Path(w.ID)
		}
		i.Weights = append(i.Weights, w)
		i.Files[w.ID] = path
	}
	in := wheel.Installer{Source: &pypi.Source{}, Fetch: get}
	i.Build = wheel.LlamaCPP().Version
	i.Site, err = in.Install(ctx, wheel.LlamaCPP(), filepath.Join(dir, "engines", "llama.cpp"), weights.Silent)
	if err != nil {
		return i, err
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return i, err
	}
	exe, err := exec.CommandContext(ctx, python, "-I", "-S", "-c", "import sys; print(sys.executable)").Output() // #nosec G204 -- the Python of this machine
	i.Python = strings.TrimSpace(string(exe))
	return i, err
})
