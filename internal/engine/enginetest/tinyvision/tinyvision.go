// Package tinyvision makes weights that see images and weigh less than a
// photograph: a language model of two layers with random weights, and the
// projector through which it sees. What they say is nonsense, but it comes
// through every step that real weights take, and it is the same each time.
package tinyvision

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// The sizes of the model. An image is scaled until its longer side has 256
// pixels, and cut into tiles of 4 tokens each.
const (
	context = 4096
	width   = 64
	layers  = 2
	heads   = 4
	inner   = 128

	eyeWidth  = 32
	eyeLayers = 1
	eyeHeads  = 2
	eyeInner  = 64
	tile      = 64 // pixels
	patch     = 16 // pixels
	shrink    = 2  // patches per token, each way
	largest   = 256
)

// chatTemplate is the model's form of a conversation. Content is a text, or a
// list of texts and images.
const chatTemplate = `{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}` +
	`{% if part.type == 'text' %}{{ part.text }}{% else %}<image>{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// Write makes both files in a folder and returns their paths. The same files
// come out every time.
func Write(dir string) (model, projector string, err error) {
	model, projector = filepath.Join(dir, "tinyvision.gguf"), filepath.Join(dir, "mmproj-tinyvision.gguf")
	if err := write(model, textPairs(), textTensors()); err != nil {
		return "", "", err
	}
	if err := write(projector, eyePairs(), eyeTensors()); err != nil {
		return "", "", err
	}
	return model, projector, nil
}

func write(path string, pairs []gguf.Pair, tensors []gguf.Tensor) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- the test chose the folder
	if err != nil {
		return fmt.Errorf("make tiny weights: %w", err)
	}
	w := bufio.NewWriter(f)
	if err = gguf.Write(w, pairs, tensors); err == nil {
		err = w.Flush()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("make tiny weights: %w", err)
	}
	return nil
}

func textPairs() []gguf.Pair {
	v := vocabulary()
	return []gguf.Pair{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.name", Value: "tinyvision"},
		{Key: "general.file_type", Value: uint32(0)},
		{Key: "llama.context_length", Value: uint32(context)},
		{Key: "llama.embedding_length", Value: uint32(width)},
		{Key: "llama.block_count", Value: uint32(layers)},
		{Key: "llama.feed_forward_length", Value: uint32(inner)},
		{Key: "llama.attention.head_count", Value: uint32(heads)},
		{Key: "llama.attention.head_count_kv", Value: uint32(heads)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
		{Key: "llama.rope.dimension_count", Value: uint32(width / heads)},
		{Key: "llama.rope.freq_base", Value: float32(10000)},
		{Key: "llama.vocab_size", Value: uint32(len(v.tokens))}, // #nosec G115 -- some hundred
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: "gpt-2"},
		{Key: "tokenizer.ggml.tokens", Value: v.tokens},
		{Key: "tokenizer.ggml.token_type", Value: v.types},
		{Key: "tokenizer.ggml.merges", Value: v.merges},
		{Key: "tokenizer.ggml.bos_token_id", Value: v.id("<|endoftext|>")},
		{Key: "tokenizer.ggml.eos_token_id", Value: v.id("<|im_end|>")},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
		{Key: "tokenizer.chat_template", Value: chatTemplate},
	}
}

func textTensors() []gguf.Tensor {
	v := uint64(len(vocabulary().tokens))
	out := []gguf.Tensor{random("token_embd.weight", 1, width, v)}
	for i := range layers {
		at := func(name string, dims ...uint64) {
			out = append(out, random(fmt.Sprintf("blk.%d.%s.weight", i, name), 1/math.Sqrt(float64(dims[0])), dims...))
		}
		out = append(out, ones(fmt.Sprintf("blk.%d.attn_norm.weight", i), width))
		for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			at(name, width, width)
		}
		out = append(out, ones(fmt.Sprintf("blk.%d.ffn_norm.weight", i), width))
		at("ffn_gate", width, inner)
		at("ffn_up", width, inner)
		at("ffn_down", inner, width)
	}
	return append(out, ones("output_norm.weight", width), random("output.weight", 1/math.Sqrt(width), width, v))
}

func eyePairs() []gguf.Pair {
	return []gguf.Pair{
		{Key: "general.architecture", Value: "clip"},
		{Key: "general.type", Value: "mmproj"},
		{Key: "general.name", Value: "tinyvision"},
		{Key: "general.file_type", Value: uint32(0)},
		{Key: "clip.has_vision_encoder", Value: true},
		{Key: "clip.projector_type", Value: "idefics3"},
		{Key: "clip.use_gelu", Value: true},
		{Key: "clip.vision.image_size", Value: uint32(tile)},
		{Key: "clip.vision.preproc_image_size", Value: uint32(largest)},
		{Key: "clip.vision.patch_size", Value: uint32(patch)},
		{Key: "clip.vision.embedding_length", Value: uint32(eyeWidth)},
		{Key: "clip.vision.feed_forward_length", Value: uint32(eyeInner)},
		{Key: "clip.vision.projection_dim", Value: uint32(width)},
		{Key: "clip.vision.block_count", Value: uint32(eyeLayers)},
		{Key: "clip.vision.attention.head_count", Value: uint32(eyeHeads)},
		{Key: "clip.vision.attention.layer_norm_epsilon", Value: float32(1e-6)},
		{Key: "clip.vision.image_mean", Value: []float32{0.5, 0.5, 0.5}},
		{Key: "clip.vision.image_std", Value: []float32{0.5, 0.5, 0.5}},
		{Key: "clip.vision.projector.scale_factor", Value: uint32(shrink)},
	}
}

func eyeTensors() []gguf.Tensor {
	side := uint64(tile / patch)
	out := []gguf.Tensor{
		random("v.patch_embd.weight", 0.05, patch, patch, 3, eyeWidth),
		random("v.patch_embd.bias", 0.1, eyeWidth),
		random("v.position_embd.weight", 0.5, eyeWidth, side*side),
	}
	for i := range eyeLayers {
		name := func(s string) string { return fmt.Sprintf("v.blk.%d.%s", i, s) }
		for _, s := range []string{"attn_q", "attn_k", "attn_v", "attn_out"} {
			out = append(out, random(name(s)+".weight", 1/math.Sqrt(eyeWidth), eyeWidth, eyeWidth), random(name(s)+".bias", 0.1, eyeWidth))
		}
		for _, s := range []string{"ln1", "ln2"} {
			out = append(out, ones(name(s)+".weight", eyeWidth), random(name(s)+".bias", 0.1, eyeWidth))
		}
		out = append(out,
			random(name("ffn_up.weight"), 1/math.Sqrt(eyeWidth), eyeWidth, eyeInner), random(name("ffn_up.bias"), 0.1, eyeInner),
			random(name("ffn_down.weight"), 1/math.Sqrt(eyeInner), eyeInner, eyeWidth), random(name("ffn_down.bias"), 0.1, eyeWidth))
	}
	return append(out,
		ones("v.post_ln.weight", eyeWidth), random("v.post_ln.bias", 0.1, eyeWidth),
		random("mm.model.fc.weight", 1/math.Sqrt(eyeWidth), eyeWidth*shrink*shrink, width))
}

// random is a tensor of normally distributed numbers that depend on its name.
func random(name string, deviation float64, dims ...uint64) gguf.Tensor {
	return tensor(name, dims, func(r *rand.Rand) float32 { return float32(r.NormFloat64() * deviation) })
}

func ones(name string, n uint64) gguf.Tensor {
	return tensor(name, []uint64{n}, func(*rand.Rand) float32 { return 1 })
}

func tensor(name string, dims []uint64, next func(*rand.Rand) float32) gguf.Tensor {
	return gguf.Tensor{Name: name, Type: gguf.TensorF32, Dims: dims, Data: func(w io.Writer) error {
		seed := uint64(14695981039346656037)
		for i := range len(name) {
			seed = (seed ^ uint64(name[i])) * 1099511628211
		}
		r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- meant to be the same each time
		n := uint64(1)
		for _, d := range dims {
			n *= d
		}
		b := make([]byte, 0, 4*n)
		for range n {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(next(r)))
		}
		_, err := w.Write(b)
		return err
	}}
}
