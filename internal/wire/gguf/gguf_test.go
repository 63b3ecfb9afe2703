package gguf_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

func read(b []byte) (*gguf.Header, error) {
	return gguf.Read(bytes.NewReader(b), int64(len(b)))
}

func TestRead(t *testing.T) {
	t.Parallel()
	h, err := read(small())
	if err != nil {
		t.Fatal(err)
	}
	want := &gguf.Header{
		Version: 3, Architecture: "llama", Name: "Tiny", License: "apache-2.0", FileType: 3,
		Size: int64(len(small())), DataOffset: int64(len(small()) - 128), Alignment: 32,
		Tensors: 2, TensorBytes: 64 + 60, Parameters: 16 + 96,
		ContextLength: 8192, EmbeddingLength: 64, BlockCount: 2, HeadCount: 4, HeadCountKV: []int{2, 1},
		KeyLength: 16, ValueLength: 16, Pooling: gguf.PoolingUnset, ChatTemplate: "{{ messages }}",
		Tokenizer: gguf.Tokenizer{
			Model:  "gpt2",
			Tokens: []string{"<|endoftext|>", "<|im_start|>", "hello", "<td>", "<tool_call>", "[gMASK]", "\n\n", "<unk>", "List<T>"},
			Types:  []gguf.TokenType{3, 1, 1, 4, 4, 4, 4, 2, 1},
			BOS:    gguf.None, EOS: 0, EOT: gguf.None, EOM: gguf.None, Unknown: gguf.None, Padding: gguf.None,
			AddBOS: new(false),
		},
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if got := h.FileType.String(); got != "Q4_1" {
		t.Errorf("file type %q, want Q4_1", got)
	}
	// (2 + 1 heads) x (16 + 16) wide x 2 bytes x 100 tokens
	if got := h.KVBytes(100, 2); got != 19200 {
		t.Errorf("KVBytes = %d, want 19200", got)
	}
	special := []string{"<|endoftext|>", "<|im_start|>", "<tool_call>", "[gMASK]", "<unk>"}
	if d := cmp.Diff(special, h.Tokenizer.SpecialTokens()); d != "" {
		t.Errorf("special tokens (-want +got):\n%s", d)
	}
}

// TestTruncated cuts a good file at every byte: each cut is an error that
// wraps ErrFormat.
func TestTruncated(t *testing.T) {
	t.Parallel()
	b := small()
	for n := range len(b) - 4 { // the last tensor ends 4 bytes before its padding does
		if _, err := read(b[:n]); !errors.Is(err, gguf.ErrFormat) {
			t.Fatalf("cut at %d of %d: error %v, want ErrFormat", n, len(b), err)
		}
	}
}

// TestHostile holds one file per lie that a header can tell.
func TestHostile(t *testing.T) {
	t.Parallel()
	arch := func(b *builder) *builder { return b.str("general.architecture", "llama") }
	tests := []struct {
		name string
		file func(b *builder)
		want string
	}{
		{"not gguf", func(b *builder) { b.WriteString("PK\x03\x04 and more bytes") }, "letters GGUF"},
		{"empty", func(*builder) {}, "ends too early"},
		{"version 1", func(b *builder) { b.head(1, 0, 0) }, "version 1"},
		{"big endian", func(b *builder) { b.head(3<<24, 0, 0) }, "big-endian"},
		{"tensor count 2^63", func(b *builder) { b.head(3, 1<<63, 0) }, "tensor count"},
		{"tensor count over file", func(b *builder) { b.head(3, 1000, 0) }, "do not fit"},
		{"a million tensors", func(b *builder) { b.head(3, 1e6, 0); b.Write(make([]byte, 33e6)) }, "at most"},
		{"pair count 2^64-1", func(b *builder) { b.head(3, 0, math.MaxUint64) }, "metadata count"},
		{"key length 2^64-1", func(b *builder) { b.head(3, 0, 1).u64(math.MaxUint64).Write(make([]byte, 64)) }, "at most 65535"},
		{"key over file", func(b *builder) { b.head(3, 0, 1).u64(60000).Write(make([]byte, 64)) }, "ends too early"},
		{"empty key", func(b *builder) { b.head(3, 0, 1).num("", 1) }, "empty"},
		{"NUL in key", func(b *builder) { b.head(3, 0, 1).num("a\x00b", 1) }, "NUL"},
		{"key twice", func(b *builder) { b.head(3, 0, 2).num("a.b", 1).num("a.b", 2) }, "twice"},
		{"value type 13", func(b *builder) { b.head(3, 0, 1).text("a.b").u32(13).u64(0) }, "unknown type 13"},
		{"boolean 2", func(b *builder) { b.head(3, 0, 1).flag("a.b", 2) }, "boolean holds 2"},
		{"text 2^62", func(b *builder) { b.head(3, 0, 1).text("general.name").u32(8).u64(1 << 62) }, "at most"},
		{"skipped text 2^64-1", func(b *builder) { b.head(3, 0, 1).text("x").u32(8).u64(math.MaxUint64) }, "ends too early"},
		{"nested array", func(b *builder) { b.head(3, 0, 1).text("x").u32(9).u32(9).u64(1).u32(4).u64(1) }, "arrays of arrays"},
		{"array type 99", func(b *builder) { b.head(3, 0, 1).text("x").u32(9).u32(99).u64(1).u32(4) }, "array type 99"},
		{"array 2^61 of 8 bytes", func(b *builder) { b.head(3, 0, 1).text("x").u32(9).u32(10).u64(1 << 61).u64(1) }, "array length"},
		{"array over file", func(b *builder) { b.head(3, 0, 1).text("x").u32(9).u32(4).u64(1000) }, "do not fit"},
		{"vocabulary bomb", func(b *builder) {
			b.head(3, 0, 1).text("tokenizer.ggml.tokens").u32(9).u32(8).u64(1 << 26).u64(0)
		}, "do not fit"},
		{"token over limit", func(b *builder) {
			b.head(3, 0, 1).strs("tokenizer.ggml.tokens", strings.Repeat("a", 65537))
		}, "at most 65536"},
		{"architecture missing", func(b *builder) { b.head(3, 0, 1).num("a.b", 1) }, "architecture"},
		{"architecture a number", func(b *builder) { b.head(3, 0, 1).num("general.architecture", 1) }, "is not a text"},
		{"architecture a path", func(b *builder) { b.head(3, 0, 1).str("general.architecture", "../x") }, "architecture"},
		{"context a text", func(b *builder) { arch(b.head(3, 0, 2)).str("llama.context_length", "8192") }, "not an integer"},
		{"context 2^32-1", func(b *builder) { arch(b.head(3, 0, 2)).num("llama.context_length", math.MaxUint32) }, "not between"},
		{"layers 2^31-1", func(b *builder) { arch(b.head(3, 0, 2)).num("llama.block_count", math.MaxInt32) }, "layers"},
		{"heads an array of texts", func(b *builder) { arch(b.head(3, 0, 2)).strs("llama.attention.head_count", "4") }, "array of integers"},
		{"token types too few", func(b *builder) {
			arch(b.head(3, 0, 3)).strs("tokenizer.ggml.tokens", "a", "b").ints("tokenizer.ggml.token_type", 1)
		}, "2 tokens but 1"},
		{"token type 7", func(b *builder) { arch(b.head(3, 0, 2)).ints("tokenizer.ggml.token_type", 7) }, "has type 7"},
		{"end token outside", func(b *builder) {
			arch(b.head(3, 0, 3)).strs("tokenizer.ggml.tokens", "a").num("tokenizer.ggml.eos_token_id", 1)
		}, "vocabulary of 1"},
		{"alignment 0", func(b *builder) { arch(b.head(3, 0, 2)).num("general.alignment", 0) }, "alignment"},
		{"alignment 24", func(b *builder) { arch(b.head(3, 0, 2)).num("general.alignment", 24) }, "alignment"},
		{"alignment 2^31", func(b *builder) { arch(b.head(3, 0, 2)).num("general.alignment", 1<<30) }, "alignment"},
		{"tensor name too long", func(b *builder) {
			arch(b.head(3, 1, 1)).tensor(strings.Repeat("n", 64), 0, 0, 8).data(32)
		}, "at most 63"},
		{"tensor twice", func(b *builder) {
			arch(b.head(3, 2, 1)).tensor("a", 0, 0, 8).tensor("a", 0, 32, 8).data(64)
		}, "twice"},
		{"tensor without dimensions", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0).data(64) }, "0 dimensions"},
		{"tensor of 5 dimensions", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 1, 1, 1, 1, 1).data(64) }, "5 dimensions"},
		{"dimension 0", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 0).data(64) }, "dimension 0 is 0"},
		{"product overflows", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 1<<33, 1<<33).data(64) }, "dimension 1"},
		{"product overflows to small", func(b *builder) {
			arch(b.head(3, 1, 1)).tensor("a", 0, 0, 1<<32, 1<<32, 1<<32).data(64)
		}, "dimension"},
		{"bytes overflow", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 1<<62).data(64) }, "too large"},
		{"tensor type 4", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 4, 0, 32).data(64) }, "type 4 is unknown"},
		{"row not whole blocks", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 3, 0, 33).data(64) }, "blocks of 32"},
		{"offset past the end", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 1<<62, 8).data(64) }, "expected 0"},
		{"tensor overlaps", func(b *builder) {
			arch(b.head(3, 2, 1)).tensor("a", 0, 0, 8).tensor("b", 0, 0, 8).data(64)
		}, "expected 32"},
		{"tensor larger than file", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 1<<20).data(64) }, "beyond the end"},
		{"data missing", func(b *builder) { arch(b.head(3, 1, 1)).tensor("a", 0, 0, 16).data(32) }, "the file has 32 left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b builder
			tt.file(&b)
			_, err := read(b.Bytes())
			if !errors.Is(err, gguf.ErrFormat) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want ErrFormat with %q", err, tt.want)
			}
		})
	}
}

// failing gives an error of its own.
type failing struct{}

var errDisk = errors.New("disk gone")

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestReadError(t *testing.T) {
	t.Parallel()
	_, err := gguf.Read(failing{}, 100)
	if !errors.Is(err, errDisk) || errors.Is(err, gguf.ErrFormat) {
		t.Errorf("error %v, want the reader's own and not ErrFormat", err)
	}
	if _, err := gguf.Read(bytes.NewReader(nil), -5); !errors.Is(err, gguf.ErrFormat) {
		t.Errorf("negative size: error %v, want ErrFormat", err)
	}
}

func TestSpecialTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		typ  gguf.TokenType
		want bool
	}{
		{"<pad>", gguf.TokenControl, true},
		{"anything", gguf.TokenControl, true},
		{"<unk>", gguf.TokenUnknown, true},
		{"[multimodal]", gguf.TokenUserDefined, true},
		{"<start_of_image>", gguf.TokenUserDefined, true},
		{"<think>", gguf.TokenUserDefined, true},
		{"</think>", gguf.TokenUserDefined, true},
		{"<s>", gguf.TokenUserDefined, true},
		{" <|user|> ", gguf.TokenUserDefined, true},
		{"<｜User｜>", gguf.TokenUserDefined, true},
		{"<table>", gguf.TokenUserDefined, false},
		{"</blockquote>", gguf.TokenUserDefined, false},
		{"<h1>", gguf.TokenUserDefined, false},
		{"\n\n\n", gguf.TokenUserDefined, false},
		{"    ", gguf.TokenUserDefined, false},
		{"<>", gguf.TokenUserDefined, false},
		{"<|eot_id|>", gguf.TokenNormal, true},
		{"<｜end▁of▁sentence｜>", gguf.TokenNormal, true},
		{"▁<PRE>", gguf.TokenNormal, true},
		{"<fim_prefix>", gguf.TokenUnset, true},
		{"<T>", gguf.TokenNormal, false},
		{"<||>", gguf.TokenNormal, false},
		{"<0x0A>", gguf.TokenByte, false},
		{"<unused7>", gguf.TokenUnused, false},
		{"", gguf.TokenControl, false},
	}
	for _, tt := range tests {
		tok := gguf.Tokenizer{
			Tokens: []string{tt.text}, Types: []gguf.TokenType{tt.typ},
			BOS: gguf.None, EOS: gguf.None, EOT: gguf.None, EOM: gguf.None,
		}
		if got := len(tok.SpecialTokens()) == 1; got != tt.want {
			t.Errorf("%q of type %d: special %v, want %v", tt.text, tt.typ, got, tt.want)
		}
	}
	tok := gguf.Tokenizer{Tokens: []string{"STOP", "\n"}, BOS: gguf.None, EOS: 0, EOT: 1, EOM: gguf.None}
	if d := cmp.Diff([]string{"STOP"}, tok.SpecialTokens()); d != "" {
		t.Errorf("named end tokens (-want +got):\n%s", d)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(small())
	var v2 builder
	f.Add(v2.head(2, 0, 1).str("general.architecture", "bert").data(0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &counting{r: bytes.NewReader(b)}
		h, err := gguf.Read(r, int64(len(b)))
		if err != nil {
			if !errors.Is(err, gguf.ErrFormat) {
				t.Fatalf("error without ErrFormat: %v", err)
			}
			return
		}
		if h.TensorBytes < 0 || h.TensorBytes > int64(len(b)) || h.Parameters < 0 {
			t.Fatalf("%d bytes and %d parameters in a file of %d", h.TensorBytes, h.Parameters, len(b))
		}
		if h.Tensors > 0 && h.DataOffset+h.TensorBytes > int64(len(b)) {
			t.Fatalf("data at %d with %d bytes in a file of %d", h.DataOffset, h.TensorBytes, len(b))
		}
		if h.KVBytes(1<<20, 2) < 0 {
			t.Fatal("negative cache size")
		}
		for _, s := range h.Tokenizer.SpecialTokens() {
			if s == "" {
				t.Fatal("empty special token")
			}
		}
	})
}

// counting fails a read outside the file.
type counting struct{ r *bytes.Reader }

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > c.r.Size() {
		return 0, io.ErrUnexpectedEOF
	}
	return c.r.ReadAt(p, off)
}

func BenchmarkRead(b *testing.B) {
	file := small()
	for b.Loop() {
		if _, err := read(file); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLongest holds the bounds on what one token stands for against tokens whose
// length is known.
func TestLongest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tok      gguf.Tokenizer
		all, ink int
	}{
		"byte pairs":       {gguf.Tokenizer{Model: "gpt2", Tokens: []string{"a", "ĊĠĠĠ", "ĠcafÃ©"}}, 6, 7},
		"sentence pieces":  {gguf.Tokenizer{Model: "llama", Tokens: []string{"a", "▁▁▁▁▁▁▁", "▁the"}}, 7, 3},
		"added as text":    {gguf.Tokenizer{Model: "gpt2", Tokens: []string{"Ġa", "ĠĠ"}, Types: []gguf.TokenType{1, 4}}, 4, 4},
		"plain newlines":   {gguf.Tokenizer{Model: "llama", Tokens: []string{"ab", "\n\n\n"}, Types: []gguf.TokenType{1, 4}}, 3, 2},
		"word pieces":      {gguf.Tokenizer{Model: "bert", Tokens: []string{"a"}}, 0, 0},
		"no vocabulary":    {gguf.Tokenizer{Model: "gpt2"}, 0, 0},
		"no tokenizer":     {gguf.Tokenizer{}, 0, 0},
		"three byte signs": {gguf.Tokenizer{Model: "llama", Tokens: []string{"\u4f60\u597d"}}, 6, 6},
	} {
		if all, ink := c.tok.Longest(); all != c.all || ink != c.ink {
			t.Errorf("%s: Longest() = %d, %d; want %d, %d", name, all, ink, c.all, c.ink)
		}
	}
}
