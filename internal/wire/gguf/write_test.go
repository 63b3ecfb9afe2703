package gguf_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

func zeros(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(make([]byte, n))
		return err
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := gguf.Write(&b, []gguf.Pair{
		{"general.architecture", "bert"},
		{"bert.context_length", uint32(512)},
		{"bert.pooling_type", int32(1)},
		{"bert.attention.layer_norm_epsilon", float32(1e-12)},
		{"tokenizer.ggml.add_bos_token", true},
		{"tokenizer.ggml.add_eos_token", false},
		{"tokenizer.ggml.tokens", []string{"[PAD]", "a"}},
		{"tokenizer.ggml.token_type", []int32{3, 1}},
		{"tokenizer.ggml.scores", []float32{0, 1}},
	}, []gguf.Tensor{
		{Name: "a", Type: gguf.TensorF32, Dims: []uint64{3, 3}, Data: zeros(36)},
		{Name: "b", Type: gguf.TensorF16, Dims: []uint64{5}, Data: zeros(10)},
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := gguf.Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	want := gguf.Tokenizer{
		Tokens: []string{"[PAD]", "a"}, Types: []gguf.TokenType{3, 1},
		BOS: gguf.None, EOS: gguf.None, EOT: gguf.None, EOM: gguf.None, Unknown: gguf.None, Padding: gguf.None,
		AddBOS: new(true), AddEOS: new(false),
	}
	if d := cmp.Diff(want, h.Tokenizer); d != "" {
		t.Errorf("tokenizer (-want +got):\n%s", d)
	}
	if h.ContextLength != 512 || h.Pooling != gguf.PoolingMean || h.TensorBytes != 46 || h.Parameters != 14 {
		t.Errorf("header %+v", h)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		pairs   []gguf.Pair
		tensors []gguf.Tensor
		want    string
	}{
		{"value type", []gguf.Pair{{"a.b", 1}}, nil, "type int"},
		{"empty key", []gguf.Pair{{"", "x"}}, nil, "key"},
		{"tensor name", nil, []gguf.Tensor{{Name: strings.Repeat("n", 64), Dims: []uint64{1}}}, "out of range"},
		{"tensor type", nil, []gguf.Tensor{{Name: "a", Type: 99, Dims: []uint64{1}}}, "out of range"},
		{"no dimensions", nil, []gguf.Tensor{{Name: "a"}}, "out of range"},
		{"dimension 0", nil, []gguf.Tensor{{Name: "a", Dims: []uint64{0}}}, "out of range"},
		{"overflow", nil, []gguf.Tensor{{Name: "a", Dims: []uint64{1 << 40, 1 << 40}}}, "out of range"},
		{"part of a block", nil, []gguf.Tensor{{Name: "a", Type: 3, Dims: []uint64{33}}}, "whole blocks"},
		{"too little data", nil, []gguf.Tensor{{Name: "a", Dims: []uint64{2}, Data: zeros(4)}}, "4 bytes instead of 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := gguf.Write(io.Discard, tt.pairs, tt.tensors)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
