package app

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// tiny writes a model file that has a header and one tensor.
func tiny(t *testing.T, name string, pairs ...gguf.Pair) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path) // in the test's own folder
	if err != nil {
		t.Fatal(err)
	}
	err = gguf.Write(f, pairs, []gguf.Tensor{{Name: "t", Type: gguf.TensorF32, Dims: []uint64{1}, Data: func(w io.Writer) error {
		_, err := w.Write(make([]byte, 4))
		return err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func llamaArch(more ...gguf.Pair) []gguf.Pair {
	return append([]gguf.Pair{{Key: "general.architecture", Value: "llama"}, {Key: "llama.context_length", Value: uint32(4096)}}, more...)
}

func run(t *testing.T, data string, args ...string) (status int, out string) {
	t.Helper()
	var b bytes.Buffer
	status = cli.Main(append(args, "--data", data), cli.IO{In: strings.NewReader(""), Out: &b, Err: &b}, Program{})
	return status, b.String()
}

func TestImportedModels(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	template := gguf.Pair{Key: "tokenizer.chat_template", Value: "{{ messages }}"}
	for id, file := range map[string]string{
		"chatty":                tiny(t, "a.gguf", llamaArch(template, gguf.Pair{Key: "general.name", Value: "A Very Long Name Of A Model"})...),
		"base_Model.v2":         tiny(t, "b.gguf", llamaArch()...),
		"vectors":               tiny(t, "c.gguf", gguf.Pair{Key: "general.architecture", Value: "bert"}, gguf.Pair{Key: "bert.embedding_length", Value: uint32(12)}, gguf.Pair{Key: "bert.context_length", Value: uint32(512)}),
		"pooled":                tiny(t, "d.gguf", llamaArch(template, gguf.Pair{Key: "llama.pooling_type", Value: uint32(3)}, gguf.Pair{Key: "llama.embedding_length", Value: uint32(8)})...),
		"judge":                 tiny(t, "e.gguf", llamaArch(gguf.Pair{Key: "llama.pooling_type", Value: uint32(4)})...),
		"base-model-v2":         tiny(t, "f.gguf", gguf.Pair{Key: "general.architecture", Value: "llama"}),
		"x":                     tiny(t, "g.gguf", llamaArch(template)...),
		"smollm2-135m-instruct": tiny(t, "h.gguf", llamaArch(template)...), // takes the place of the catalogue's
	} {
		if status, out := run(t, data, "models", "import", file, "--id", id); status != 0 {
			t.Fatalf("import %s: %s", id, out)
		}
	}
	l, err := Program{}.Open(t.Context(), cli.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // read only
	type want struct {
		weights, mode, family string
		context, dimensions   int
		streaming             bool
	}
	wanted := map[string]want{
		"local.chatty":          {"chatty", "chat", "openai", 4096, 0, true},
		"local.base-model-v2":   {"base-model-v2", "completion", "titan", 2048, 0, true},
		"local.base-model-v2-2": {"base_Model.v2", "completion", "titan", 4096, 0, true},
		"local.vectors":         {"vectors", "embed", "titan", 512, 12, false},
		"local.pooled":          {"pooled", "embed", "titan", 4096, 8, false},
		"local.x0":              {"x", "chat", "openai", 4096, 0, true},
	}
	if got := l.Catalog.Weights(); slices.ContainsFunc(got, func(w catalog.Weights) bool { return w.ID == "judge" }) {
		t.Error("a judge of texts is served")
	}
	for id, w := range wanted {
		target, err := l.Catalog.Resolve(t.Context(), id, "us-east-1", l.Account)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		got := want{target.Weights.ID, target.Weights.Mode, target.Model.Family, target.Weights.ContextTokens, target.Model.Dimensions, target.Model.Streaming}
		if got != w || target.Model.Provider != "Local" || target.Model.StandIn || len(target.Model.Name) > 20 || target.Model.Name == "" {
			t.Errorf("%s: %+v %+v", id, got, target.Model)
		}
		if text := target.Weights.Mode != "embed"; text != (target.Weights.DefaultTokens > 0) || (target.Weights.TemplateBytes > 0) != (target.Weights.Mode == "chat") {
			t.Errorf("%s: %+v", id, target.Weights)
		}
		if status, out := run(t, data, "models", "show", id, "--json"); status != 0 || !strings.Contains(out, `"`+id+`"`) {
			t.Errorf("show %s: %d %s", id, status, out)
		}
	}
	n := 0
	for _, m := range l.Catalog.List(catalog.Filter{}) {
		if m.Provider == "Local" {
			n++
		}
	}
	if n != len(wanted) {
		t.Errorf("%d local models, want %d", n, len(wanted))
	}
	if status, out := run(t, data, "models", "rm", "judge"); status != 0 {
		t.Errorf("remove what is not served: %s", out)
	}
	if status, out := run(t, data, "models", "import", writeFile(t, "x.gguf", "no model")); status != 1 || !strings.Contains(out, "GGUF") {
		t.Errorf("import of something else: %d %s", status, out)
	}
}

// A damaged file of one's own stops neither the server nor the other models.
func TestDamagedLocalModel(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if status, out := run(t, data, "models", "import", tiny(t, "a.gguf", llamaArch()...), "--id", "mine"); status != 0 {
		t.Fatal(out)
	}
	files, err := filepath.Glob(filepath.Join(data, "models", "mine", "*.gguf"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], bytes.Repeat([]byte("x"), len(b)), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := run(t, data, "models", "list"); status != 0 || strings.Contains(out, "local.mine") || !strings.Contains(out, "anthropic.claude-v2") {
		t.Errorf("%d %s", status, out)
	}
}
