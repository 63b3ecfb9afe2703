package gguf

import (
	"fmt"
	"math"
	"strings"
)

// fill sets the fields that come from metadata.
func (h *Header) fill(kv map[string]value) error {
	f := fields{kv: kv}
	h.Architecture = f.text("general.architecture")
	if h.Architecture == "" && f.err == nil {
		return fmt.Errorf("%w: it does not name an architecture", ErrFormat)
	}
	if len(h.Architecture) > 64 || strings.ContainsAny(h.Architecture, "\x00/\\") {
		return fmt.Errorf("%w: architecture %q", ErrFormat, clip(h.Architecture))
	}
	h.Name = f.text("general.name")
	h.License = f.text("general.license")
	h.SizeLabel = f.text("general.size_label")
	h.FileType = FileType(f.number("general.file_type", int(FileTypeUnset)))
	h.SplitCount = f.number("split.count", 0)
	h.ChatTemplate = f.text("tokenizer.chat_template")

	if align := f.number("general.alignment", int(defaultAligned)); f.err == nil {
		if align < 8 || align > maxAlignment || align&(align-1) != 0 {
			return fmt.Errorf("%w: alignment %d is not a power of two from 8 to %d", ErrFormat, align, maxAlignment)
		}
		h.Alignment = uint32(align) // #nosec G115 -- bounded above
	}

	a := h.Architecture + "."
	h.ContextLength = f.number(a+"context_length", 0)
	h.EmbeddingLength = f.number(a+"embedding_length", 0)
	h.BlockCount = f.number(a+"block_count", 0)
	if h.BlockCount > maxPerLayer {
		return fmt.Errorf("%w: %d layers, at most %d are allowed", ErrFormat, h.BlockCount, maxPerLayer)
	}
	if heads := f.numbers(a + "attention.head_count"); len(heads) > 0 {
		h.HeadCount = heads[0]
	}
	h.HeadCountKV = f.numbers(a + "attention.head_count_kv")
	head := 0
	if h.HeadCount > 0 {
		head = h.EmbeddingLength / h.HeadCount
	}
	h.KeyLength = f.number(a+"attention.key_length", head)
	h.ValueLength = f.number(a+"attention.value_length", head)
	h.SlidingWindow = f.number(a+"attention.sliding_window", 0)
	h.Pooling = Pooling(f.number(a+"pooling_type", int(PoolingUnset)))
	h.Tokenizer = f.tokenizer()
	return f.err
}

// fields reads typed values and keeps the first error.
type fields struct {
	kv  map[string]value
	err error
}

func (f *fields) wrong(key, want string) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s is not %s", ErrFormat, clip(key), want)
	}
}

func (f *fields) text(key string) string {
	v, ok := f.kv[key]
	if !ok {
		return ""
	}
	if v.typ != typeString {
		f.wrong(key, "a text")
	}
	return v.text
}

// number reads an integer from 0 to the largest int32.
func (f *fields) number(key string, without int) int {
	v, ok := f.kv[key]
	if !ok {
		return without
	}
	switch v.typ {
	case typeString, typeArray, typeFloat32, typeFloat64, typeBool:
		f.wrong(key, "an integer")
		return without
	}
	if v.num < 0 || v.num > math.MaxInt32 {
		f.wrong(key, fmt.Sprintf("between 0 and %d", math.MaxInt32))
		return without
	}
	return int(v.num)
}

// numbers reads an integer or an array of them.
func (f *fields) numbers(key string) []int {
	v, ok := f.kv[key]
	if !ok {
		return nil
	}
	if v.typ != typeArray {
		return []int{f.number(key, 0)}
	}
	if v.nums == nil {
		f.wrong(key, "an array of integers")
		return nil
	}
	out := make([]int, len(v.nums))
	for i, n := range v.nums {
		if n < 0 || n > math.MaxInt32 {
			f.wrong(key, fmt.Sprintf("between 0 and %d", math.MaxInt32))
			return nil
		}
		out[i] = int(n)
	}
	return out
}

func (f *fields) flag(key string) *bool {
	v, ok := f.kv[key]
	if !ok {
		return nil
	}
	if v.typ != typeBool {
		f.wrong(key, "a boolean")
	}
	return new(v.num == 1)
}

func (f *fields) tokenizer() Tokenizer {
	const p = "tokenizer.ggml."
	t := Tokenizer{
		Model:  f.text(p + "model"),
		Pre:    f.text(p + "pre"),
		AddBOS: f.flag(p + "add_bos_token"),
		AddEOS: f.flag(p + "add_eos_token"),
	}
	if v, ok := f.kv[p+"tokens"]; ok {
		if v.texts == nil {
			f.wrong(p+"tokens", "an array of texts")
		}
		t.Tokens = v.texts
	}
	if v, ok := f.kv[p+"token_type"]; ok {
		if v.types == nil {
			f.wrong(p+"token_type", "an array of integers")
		}
		t.Types = v.types
	}
	if f.err == nil && t.Types != nil && len(t.Types) != len(t.Tokens) {
		f.err = fmt.Errorf("%w: %d tokens but %d token types", ErrFormat, len(t.Tokens), len(t.Types))
	}
	t.BOS = f.token(p+"bos_token_id", len(t.Tokens))
	t.EOS = f.token(p+"eos_token_id", len(t.Tokens))
	t.EOT = f.token(p+"eot_token_id", len(t.Tokens))
	t.EOM = f.token(p+"eom_token_id", len(t.Tokens))
	t.Unknown = f.token(p+"unknown_token_id", len(t.Tokens))
	t.Padding = f.token(p+"padding_token_id", len(t.Tokens))
	return t
}

// token reads a token id; None without one. Ids outside the vocabulary are an
// error, but for the all-ones value that some tools write for "none".
func (f *fields) token(key string, tokens int) int {
	if v, ok := f.kv[key]; ok && (v.num == math.MaxUint32 || v.num == -1) {
		return None
	}
	id := f.number(key, None)
	if id >= tokens && tokens > 0 {
		f.wrong(key, fmt.Sprintf("a token of the vocabulary of %d", tokens))
	}
	return id
}
