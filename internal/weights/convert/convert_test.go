package convert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// safetensors writes a file with the tensors; number i of each holds i+1.
func safetensors(shapes map[string][]uint64, dtype string) []byte {
	header := make(map[string]any)
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n := uint64(1)
		for _, d := range shapes[name] {
			n *= d
		}
		from := len(data)
		for i := range n {
			f := float32(i + 1)
			switch dtype {
			case "F32":
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(f))
			case "F16":
				data = binary.LittleEndian.AppendUint16(data, narrow(f))
			default: // BF16
				data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(f)>>16))
			}
		}
		header[name] = map[string]any{"dtype": dtype, "shape": shapes[name], "data_offsets": []int{from, len(data)}}
	}
	header["__metadata__"] = map[string]string{"format": "pt"}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), data...)
}

// shapes of a BERT with one layer, 4 wide, 8 inside, 6 tokens, 5 positions.
func shapes() map[string][]uint64 {
	c := &config{Layers: 1, Hidden: 4, Inner: 8, Heads: 2, Positions: 5, VocabSize: 6, TypeVocabSize: 2}
	out := map[string][]uint64{
		"embeddings.position_ids": {1, 5},
		"pooler.dense.weight":     {4, 4},
		"pooler.dense.bias":       {4},
	}
	for _, w := range c.wanted() {
		out[w.from] = w.shape
	}
	return out
}

const (
	goodConfig = `{"architectures": ["BertModel"], "_name_or_path": "tiny", "num_hidden_layers": 1, "hidden_size": 4, "intermediate_size": 8,
		"num_attention_heads": 2, "max_position_embeddings": 5, "vocab_size": 6, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}`
	goodTokenizer = `{"normalizer": {"type": "BertNormalizer", "lowercase": true},
		"added_tokens": [{"id": 0, "content": "[PAD]", "special": true}, {"id": 1, "content": "[UNK]", "special": true},
			{"id": 2, "content": "[CLS]", "special": true}, {"id": 3, "content": "[SEP]", "special": true}],
		"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4, "##s": 5}}}`
	goodModules = `[{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
		{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]`
	goodPooling = `{"word_embedding_dimension": 4, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}`
)

func model() fstest.MapFS {
	return fstest.MapFS{
		"config.json":           {Data: []byte(goodConfig)},
		"tokenizer.json":        {Data: []byte(goodTokenizer)},
		"modules.json":          {Data: []byte(goodModules)},
		"1_Pooling/config.json": {Data: []byte(goodPooling)},
		"model.safetensors":     {Data: safetensors(shapes(), "F32")},
	}
}

// run converts the files of m, which it writes to a folder first: real files
// can be read at places.
func run(t *testing.T, m fstest.MapFS) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	for name, f := range m {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Convert(t.Context(), os.DirFS(dir), out); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b, nil
}

func TestConvert(t *testing.T) {
	t.Parallel()
	for _, dtype := range []string{"F32", "F16", "BF16"} {
		for _, prefix := range []string{"", "bert."} {
			t.Run(dtype+prefix, func(t *testing.T) {
				t.Parallel()
				m := model()
				named := make(map[string][]uint64)
				for name, s := range shapes() {
					named[prefix+name] = s
				}
				m["model.safetensors"].Data = safetensors(named, dtype)
				b, err := run(t, m)
				if err != nil {
					t.Fatal(err)
				}
				h, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				if h.Architecture != "bert" || h.Name != "tiny" || h.ContextLength != 5 || h.EmbeddingLength != 4 || h.BlockCount != 1 ||
					h.HeadCount != 2 || h.Pooling != gguf.PoolingMean || h.FileType.String() != "F16" || h.Tensors != 5+16 {
					t.Errorf("header %+v", h)
				}
				if d := cmp.Diff([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁cat", "s"}, h.Tokenizer.Tokens); d != "" {
					t.Errorf("tokens (-want +got):\n%s", d)
				}
				if d := cmp.Diff([]gguf.TokenType{3, 3, 3, 3, 1, 1}, h.Tokenizer.Types); d != "" {
					t.Errorf("types (-want +got):\n%s", d)
				}
				if h.Tokenizer.BOS != 2 || h.Tokenizer.Unknown != 1 || h.Tokenizer.Padding != 0 {
					t.Errorf("special tokens %+v", h.Tokenizer)
				}
				// The first tensor: 24 numbers from 1 on, 16 bits each; then the
				// positions, 20 numbers of 32 bits.
				data := b[h.DataOffset:]
				for i := range 24 {
					if got := widen(binary.LittleEndian.Uint16(data[2*i:])); got != float32(i+1) {
						t.Fatalf("number %d is %v", i, got)
					}
				}
				data = data[64:]
				for i := range 20 {
					if got := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])); got != float32(i+1) {
						t.Fatalf("position number %d is %v", i, got)
					}
				}
			})
		}
	}
}

func TestFirstTokenPooling(t *testing.T) {
	t.Parallel()
	m := model()
	m["1_Pooling/config.json"].Data = []byte(`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`)
	b, err := run(t, m)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := gguf.Read(bytes.NewReader(b), int64(len(b))); err != nil || h.Pooling != gguf.PoolingCLS {
		t.Errorf("pooling %v, %v", h, err)
	}
}

// TestSeveralFiles: the tensors may be spread over files.
func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	m := model()
	first, second := make(map[string][]uint64), make(map[string][]uint64)
	for name, s := range shapes() {
		if strings.HasPrefix(name, "encoder") {
			first[name] = s
		} else {
			second[name] = s
		}
	}
	delete(m, "model.safetensors")
	m["model-00001-of-00002.safetensors"] = &fstest.MapFile{Data: safetensors(first, "F32")}
	m["model-00002-of-00002.safetensors"] = &fstest.MapFile{Data: safetensors(second, "F32")}
	if _, err := run(t, m); err != nil {
		t.Fatal(err)
	}
	second["encoder.layer.0.output.dense.bias"] = []uint64{4}
	m["model-00002-of-00002.safetensors"].Data = safetensors(second, "F32")
	if _, err := run(t, m); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a tensor in both files: error %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	replace := func(file, old, new string) func(fstest.MapFS) {
		return func(m fstest.MapFS) {
			b := bytes.Replace(m[file].Data, []byte(old), []byte(new), 1)
			if bytes.Equal(b, m[file].Data) {
				panic("nothing replaced")
			}
			m[file].Data = b
		}
	}
	header := func(text string, data int) func(fstest.MapFS) {
		return func(m fstest.MapFS) {
			b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
			m["model.safetensors"].Data = append(append(b, text...), make([]byte, data)...)
		}
	}
	reshape := func(name string, shape ...uint64) func(fstest.MapFS) {
		return func(m fstest.MapFS) {
			s := shapes()
			if shape == nil {
				delete(s, name)
			} else {
				s[name] = shape
			}
			m["model.safetensors"].Data = safetensors(s, "F32")
		}
	}
	tests := []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"no config", func(m fstest.MapFS) { delete(m, "config.json") }, "config.json"},
		{"no tokenizer", func(m fstest.MapFS) { delete(m, "tokenizer.json") }, "tokenizer.json"},
		{"no tensors", func(m fstest.MapFS) { delete(m, "model.safetensors") }, "no *.safetensors"},
		{"pickle instead", func(m fstest.MapFS) {
			m["pytorch_model.bin"] = m["model.safetensors"]
			delete(m, "model.safetensors")
		}, "no *.safetensors"},
		{"config not JSON", func(m fstest.MapFS) { m["config.json"].Data = []byte("{") }, "config.json"},
		{"config too large", func(m fstest.MapFS) { m["config.json"].Data = make([]byte, maxConfig+1) }, "larger"},
		{"other architecture", replace("config.json", "BertModel", "LlamaForCausalLM"), "take other models as GGUF"},
		{"relative positions", replace("config.json", `"vocab_size"`, `"position_embedding_type": "relative_key", "vocab_size"`), "positions"},
		{"decoder", replace("config.json", `"vocab_size"`, `"is_decoder": true, "vocab_size"`), "decoder"},
		{"other activation", replace("config.json", "gelu", "relu"), "relu"},
		{"no layers", replace("config.json", `"num_hidden_layers": 1`, `"num_hidden_layers": 0`), "out of range"},
		{"many layers", replace("config.json", `"num_hidden_layers": 1`, `"num_hidden_layers": 4294967295`), "out of range"},
		{"heads do not divide", replace("config.json", `"num_attention_heads": 2`, `"num_attention_heads": 3`), "out of range"},
		{"huge vocabulary", replace("config.json", `"vocab_size": 6`, `"vocab_size": 99999999999`), "out of range"},
		{"epsilon 0", replace("config.json", "1e-12", "0"), "out of range"},
		{"cased", replace("tokenizer.json", `"lowercase": true`, `"lowercase": false`), "lower-cased"},
		{"byte pairs", replace("tokenizer.json", "WordPiece", "BPE"), "WordPiece"},
		{"token outside", replace("tokenizer.json", `"cat": 4`, `"cat": 6`), "outside the vocabulary"},
		{"token negative", replace("tokenizer.json", `"cat": 4`, `"cat": -1`), "outside the vocabulary"},
		{"two tokens, one id", replace("tokenizer.json", `"cat": 4`, `"cat": 5`), "twice"},
		{"no end token", replace("tokenizer.json", `"[SEP]": 3`, `"[sep]": 3`), "twice"},
		{"further module", replace("modules.json", "models.Normalize", "models.Dense"), `type "Dense"`},
		{"no pooling", replace("modules.json", "models.Pooling", "models.Normalize"), "no pooling"},
		{"pooling outside", replace("modules.json", "1_Pooling", "../x"), "folder"},
		{"largest pooling", replace("1_Pooling/config.json", `"pooling_mode_mean_tokens": true`, `"pooling_mode_max_tokens": true`), "neither"},
		{"two poolings", replace("1_Pooling/config.json", `"pooling_mode_cls_token": false`, `"pooling_mode_cls_token": true`), "neither"},
		{"pooling unset", replace("1_Pooling/config.json", `"pooling_mode_mean_tokens": true`, `"pooling_mode_mean_tokens": false`), "not set"},
		{"tensor missing", reshape("embeddings.LayerNorm.weight"), "missing"},
		{"tensor of another shape", reshape("embeddings.LayerNorm.weight", 5), "config.json says"},
		{"tensor left over", reshape("classifier.weight", 4), "does not have"},
		{"file of 4 bytes", func(m fstest.MapFS) { m["model.safetensors"].Data = []byte("GGUF") }, "too short"},
		{"header longer than file", header("", 0), "header"},
		{"header 2^64-1", func(m fstest.MapFS) { m["model.safetensors"].Data = bytes.Repeat([]byte{255}, 100) }, "does not fit"},
		{"header not JSON", header("[1]", 0), "header"},
		{"offsets beyond", header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4), "outside the file"},
		{"offsets backwards", header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "outside the file"},
		{"offset negative", header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-1,7]}}`, 8), `"a"`},
		{"offset 2^63", header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}}`, 8), "outside the file"},
		{"shape too large", header(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}`, 8), "too large"},
		{"shape does not fit", header(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "its shape needs 12"},
		{"many dimensions", header(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, 4), "9 dimensions"},
		{"unknown numbers", header(`{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, 1), "F8_E4M3"},
		{"unknown field", header(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "unknown field"},
		{"overlap", header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := model()
			tt.change(m)
			_, err := run(t, m)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if !errors.Is(err, ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v wraps neither ErrUnsupported nor fs.ErrNotExist", err)
			}
		})
	}
}

// TestIntegers: integer tensors are refused where numbers belong.
func TestIntegers(t *testing.T) {
	t.Parallel()
	m := model()
	b := m["model.safetensors"].Data
	m["model.safetensors"].Data = bytes.ReplaceAll(b, []byte(`"dtype":"F32"`), []byte(`"dtype":"I32"`))
	if _, err := run(t, m); err == nil || !strings.Contains(err.Error(), "type I32") {
		t.Errorf("error %v", err)
	}
}

// TestHalf goes through all 65,536 16-bit floats, and through the values half
// way between neighbours.
func TestHalf(t *testing.T) {
	t.Parallel()
	for i := range 1 << 16 {
		h := uint16(i)
		f := widen(h)
		if f != f { // NaN
			if narrow(f)&0x7c00 != 0x7c00 || narrow(f)&0x3ff == 0 {
				t.Fatalf("%#04x: NaN becomes %#04x", h, narrow(f))
			}
			continue
		}
		if got := narrow(f); got != h {
			t.Fatalf("%#04x is %v and becomes %#04x", h, f, got)
		}
		if h&0x7fff >= 0x7bff {
			continue // no finite neighbour
		}
		next := widen(h + 1)
		mid := float32((float64(f) + float64(next)) / 2)
		even := h + h&1
		if got := narrow(mid); got != even {
			t.Fatalf("%v, between %#04x and %#04x, becomes %#04x, want the even one", mid, h, h+1, got)
		}
		if got := narrow(math.Nextafter32(mid, f)); got != h {
			t.Fatalf("just below half from %#04x becomes %#04x", h, got)
		}
		if got := narrow(math.Nextafter32(mid, next)); got != h+1 {
			t.Fatalf("just above half from %#04x becomes %#04x", h, got)
		}
	}
	for f, want := range map[float32]uint16{65519: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, -1e30: 0xfc00, 1e-30: 0, float32(math.Inf(1)): 0x7c00} {
		if got := narrow(f); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", f, got, want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	b := safetensors(shapes(), "F32")
	f.Add(b)
	f.Add([]byte(fmt.Sprintf("\x40\x00\x00\x00\x00\x00\x00\x00%-64s1234", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := readHeader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error without ErrUnsupported: %v", err)
			}
			return
		}
		for name, ten := range found {
			if ten.offset < 8 || ten.size < 0 || ten.offset+ten.size > int64(len(b)) {
				t.Fatalf("tensor %q at %d with %d bytes in a file of %d", name, ten.offset, ten.size, len(b))
			}
		}
	})
}
