package cli_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

func TestBundle(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	dir := t.TempDir()
	model, err := os.Create(filepath.Join(dir, "tiny.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	err = gguf.Write(model, []gguf.Pair{{Key: "general.architecture", Value: "llama"}, {Key: "general.name", Value: "tiny"}, {Key: "llama.context_length", Value: uint32(64)}},
		[]gguf.Tensor{{Name: "t", Type: gguf.TensorF32, Dims: []uint64{1}, Data: func(w io.Writer) error { _, err := w.Write(make([]byte, 4)); return err }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := model.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "b.tar")
	if r := outcrop(t, from, "bundle", "make", file); r.status != 1 || !strings.Contains(r.err, "nothing is installed") {
		t.Errorf("nothing to pack: %+v", r)
	}
	if r := outcrop(t, from, "models", "import", model.Name()); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	made := outcrop(t, from, "bundle", "make", file, "--models", "tiny")
	if made.status != 0 || !strings.Contains(made.out, "models     tiny\n") || !strings.Contains(made.err, "engine is not installed") {
		t.Fatalf("%+v", made)
	}
	_, sum, _ := strings.Cut(made.out, "--sha256 ")
	sum, _, _ = strings.Cut(sum, "\n")
	if m := decode[bundle.Manifest](t, outcrop(t, to, "bundle", "show", file, "--json")); len(m.Files) != 2 || m.Models[0] != "tiny" {
		t.Errorf("%+v", m)
	}
	if r := outcrop(t, to, "bundle", "install", file, "--sha256", strings.Repeat("0", 64)); r.status != 1 || !strings.Contains(r.err, "wrong sha256") {
		t.Errorf("another digest: %+v", r)
	}
	if r := outcrop(t, to, "bundle", "install", file, "--sha256", sum); r.status != 0 || !strings.Contains(r.out, "serve --offline") {
		t.Fatalf("%+v", r)
	}
	if r := outcrop(t, to, "models", "list", "--weights"); !strings.Contains(r.out, "tiny") {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		args   []string
		status int
		part   string
	}{
		{[]string{"bundle"}, 2, "make"},
		{[]string{"bundle", "make"}, 2, "FILE is missing"},
		{[]string{"bundle", "make", file, "--models", "none"}, 1, `"none"`},
		{[]string{"bundle", "make", file, "--models", "smollm2-135m-instruct"}, 1, "outcrop models pull"},
		{[]string{"bundle", "make", filepath.Join(dir, "no", "b.tar")}, 1, "no such file"},
		{[]string{"bundle", "install", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"bundle", "install", model.Name()}, 1, "not a usable bundle"},
		{[]string{"bundle", "install", file, "--sha256", "abc"}, 2, "64"},
		{[]string{"bundle", "show", model.Name()}, 1, "not a usable bundle"},
		{[]string{"serve", "--tls", "other"}, 2, `"other"`},
	} {
		if r := outcrop(t, from, c.args...); r.status != c.status || !strings.Contains(r.err, c.part) {
			t.Errorf("%v: %+v, want %d and %q", c.args, r, c.status, c.part)
		}
	}
}
