// Package convert turns embedding models in safetensors form into GGUF.
//
// It reads what sentence-transformers writes: config.json, tokenizer.json,
// modules.json with the pooling's config.json, and *.safetensors. BERT models
// with lower-cased WordPiece vocabularies are supported, which is what the
// engine's tokenizer can do; whatever else a folder holds is refused rather
// than turned into a model that gives wrong vectors.
//
// Inputs are untrusted: all sizes are checked against the files before use, and
// nothing but JSON and raw numbers is ever read.
package convert

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// ErrUnsupported is wrapped by errors about models that cannot be converted.
var ErrUnsupported = errors.New("this safetensors model cannot be converted")

// limits on the JSON files of a model, in bytes.
const (
	maxConfig    = 1 << 20
	maxTokenizer = 128 << 20
)

// Convert writes the model in src as GGUF to dst. Matrices become 16-bit
// floats, vectors and position tables stay 32-bit. It implements
// weights.Converter.
func Convert(ctx context.Context, src fs.FS, dst *os.File) error {
	c, err := readConfig(src)
	if err != nil {
		return err
	}
	voc, err := readVocabulary(src, c.VocabSize)
	if err != nil {
		return err
	}
	pooling, err := readPooling(src)
	if err != nil {
		return err
	}
	ts, err := openTensors(src)
	if err != nil {
		return err
	}
	defer ts.close()
	out, err := c.tensors(ctx, ts)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(dst, 1<<20)
	if err := gguf.Write(w, c.pairs(voc, pooling), out); err != nil {
		return err
	}
	return w.Flush()
}

// config is the part of config.json that matters.
type config struct {
	Architectures []string `json:"architectures"`
	Name          string   `json:"_name_or_path"`
	Layers        uint32   `json:"num_hidden_layers"`
	Positions     uint32   `json:"max_position_embeddings"`
	Hidden        uint32   `json:"hidden_size"`
	Inner         uint32   `json:"intermediate_size"`
	Heads         uint32   `json:"num_attention_heads"`
	Epsilon       float32  `json:"layer_norm_eps"`
	Activation    string   `json:"hidden_act"`
	PositionType  string   `json:"position_embedding_type"`
	Decoder       bool     `json:"is_decoder"`
	VocabSize     int      `json:"vocab_size"`
	TypeVocabSize uint32   `json:"type_vocab_size"`
}

func readConfig(src fs.FS) (*config, error) {
	c := &config{Epsilon: 1e-12, TypeVocabSize: 2}
	if err := readJSON(src, "config.json", maxConfig, c); err != nil {
		return nil, err
	}
	arch := strings.Join(c.Architectures, ", ")
	switch {
	case arch != "BertModel":
		return nil, fmt.Errorf("%w: its architecture is %q; only BertModel is supported, take other models as GGUF", ErrUnsupported, arch)
	case c.Decoder:
		return nil, fmt.Errorf("%w: it is a decoder", ErrUnsupported)
	case c.PositionType != "" && c.PositionType != "absolute":
		return nil, fmt.Errorf("%w: its positions are %q", ErrUnsupported, c.PositionType)
	case c.Activation != "" && c.Activation != "gelu":
		return nil, fmt.Errorf("%w: its activation is %q", ErrUnsupported, c.Activation)
	case c.Layers == 0 || c.Layers > 1000, c.Hidden == 0 || c.Hidden > 1<<16, c.Inner == 0 || c.Inner > 1<<20,
		c.Heads == 0 || c.Hidden%c.Heads != 0, c.Positions == 0 || c.Positions > 1<<20, c.TypeVocabSize == 0 || c.TypeVocabSize > 1<<10,
		c.VocabSize <= 0 || c.VocabSize > 1<<22, !(c.Epsilon > 0 && c.Epsilon < 1):
		return nil, fmt.Errorf("%w: config.json holds a size out of range", ErrUnsupported)
	}
	return c, nil
}

// readPooling returns how the model makes one vector of many tokens.
func readPooling(src fs.FS) (gguf.Pooling, error) {
	var modules []struct {
		Type string `json:"type"`
		Path string `json:"path"`
	}
	err := readJSON(src, "modules.json", maxConfig, &modules)
	if errors.Is(err, fs.ErrNotExist) {
		return gguf.PoolingMean, nil // what sentence-transformers does without it
	}
	if err != nil {
		return 0, err
	}
	pooling := gguf.PoolingUnset
	for _, m := range modules {
		kind := m.Type[strings.LastIndexByte(m.Type, '.')+1:]
		switch kind {
		case "Transformer", "Normalize": // vectors are made of length 1 anyway
		case "Pooling":
			if pooling, err = readPoolingConfig(src, m.Path); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("%w: it has a module of type %q", ErrUnsupported, kind)
		}
	}
	if pooling == gguf.PoolingUnset {
		return 0, fmt.Errorf("%w: it has no pooling", ErrUnsupported)
	}
	return pooling, nil
}

func readPoolingConfig(src fs.FS, dir string) (gguf.Pooling, error) {
	name := path.Join(dir, "config.json")
	if !fs.ValidPath(name) {
		return 0, fmt.Errorf("%w: modules.json names the folder %q", ErrUnsupported, dir)
	}
	var modes map[string]any
	if err := readJSON(src, name, maxConfig, &modes); err != nil {
		return 0, err
	}
	pooling := gguf.PoolingUnset
	for mode, on := range modes {
		if on != true || !strings.HasPrefix(mode, "pooling_mode_") {
			continue
		}
		next := gguf.PoolingUnset
		switch mode {
		case "pooling_mode_mean_tokens":
			next = gguf.PoolingMean
		case "pooling_mode_cls_token":
			next = gguf.PoolingCLS
		}
		if next == gguf.PoolingUnset || pooling != gguf.PoolingUnset {
			return 0, fmt.Errorf("%w: its pooling is neither the mean nor the first token alone", ErrUnsupported)
		}
		pooling = next
	}
	if pooling == gguf.PoolingUnset {
		return 0, fmt.Errorf("%w: its pooling is not set", ErrUnsupported)
	}
	return pooling, nil
}

// pairs is the metadata of the GGUF file.
func (c *config) pairs(v *vocabulary, pooling gguf.Pooling) []gguf.Pair {
	out := []gguf.Pair{
		{Key: "general.architecture", Value: "bert"},
		{Key: "general.file_type", Value: uint32(1)},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "bert.block_count", Value: c.Layers},
		{Key: "bert.context_length", Value: c.Positions},
		{Key: "bert.embedding_length", Value: c.Hidden},
		{Key: "bert.feed_forward_length", Value: c.Inner},
		{Key: "bert.attention.head_count", Value: c.Heads},
		{Key: "bert.attention.layer_norm_epsilon", Value: c.Epsilon},
		{Key: "bert.attention.causal", Value: false},
		{Key: "bert.pooling_type", Value: uint32(pooling)}, // #nosec G115 -- one of two small constants
	}
	if c.Name != "" && len(c.Name) < 256 {
		out = append(out, gguf.Pair{Key: "general.name", Value: c.Name})
	}
	return append(out, v.pairs(c.TypeVocabSize)...)
}

// readJSON reads one file of a model.
func readJSON(src fs.FS, name string, limit int64, into any) error {
	f, err := src.Open(name)
	if err != nil {
		return fmt.Errorf("safetensors model: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%w: %s is larger than %d bytes", ErrUnsupported, name, limit)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, name, err)
	}
	return nil
}
