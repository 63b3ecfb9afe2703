// Package gguf reads the header of GGUF model files (versions 2 and 3, little
// endian): what the model is, its limits, its chat template, its vocabulary
// and where its tensors lie. It never reads tensor data.
//
// A model file is untrusted input. Every count and size that the file declares
// is checked against the file's real size before anything is allocated, sums
// and products are checked for overflow, and every tensor must lie inside the
// file at exactly the place where llama.cpp will look for it.
//
// Source: the GGUF specification of the ggml project, and the checks of its
// loader.
package gguf

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFormat is wrapped by every error that the contents of a file cause. An
// error without it came from reading.
var ErrFormat = errors.New("not a usable GGUF file")

// Limits on what a header may declare. They are far above every published
// model and keep a hostile file from costing memory.
const (
	maxPairs       = 1 << 16    // metadata pairs
	maxTensors     = 1 << 17    // tensors
	maxKey         = 1<<16 - 1  // bytes of a key, from the specification
	maxName        = 63         // bytes of a tensor name, from ggml
	maxDims        = 4          // dimensions of a tensor, from ggml
	maxText        = 16 << 20   // bytes of one text value
	maxToken       = 64 << 10   // bytes of one token
	maxVocabulary  = 1 << 23    // tokens
	maxArray       = 1 << 26    // elements of any array
	maxMetadata    = 1 << 30    // bytes of all metadata and tensor descriptions
	maxPerLayer    = 1 << 16    // elements of a per-layer array
	maxAlignment   = 1 << 20    // bytes
	defaultAligned = uint32(32) // bytes, from the specification
)

// Header is what a GGUF file says about itself.
type Header struct {
	Version      uint32 // 2 or 3
	Architecture string // "llama", "gemma3", "bert", ...
	Name         string // general.name
	License      string // general.license, as the author wrote it
	SizeLabel    string // general.size_label, e.g. "135M"
	FileType     FileType

	Size        int64 // bytes of the whole file
	DataOffset  int64 // where tensor data begins
	Alignment   uint32
	Tensors     int
	TensorBytes int64 // bytes of all tensors, without padding
	Parameters  int64 // elements of all tensors

	ContextLength   int // tokens the model was trained for; 0 when it does not say
	EmbeddingLength int // width of the hidden state, and of an embedding
	BlockCount      int // layers
	HeadCount       int // attention heads (of the first layer where they differ)
	HeadCountKV     []int
	KeyLength       int // width of one head's key
	ValueLength     int
	SlidingWindow   int // tokens seen by layers with local attention; 0 means none
	Pooling         Pooling
	SplitCount      int // files that make up the model; 0 or 1 means this one alone

	ChatTemplate string // Jinja text; "" for base and embedding models
	Tokenizer    Tokenizer
}

// Pooling says how an embedding model makes one vector of many tokens.
type Pooling int

// The poolings that llama.cpp knows.
const (
	PoolingUnset Pooling = -1
	PoolingNone  Pooling = 0
	PoolingMean  Pooling = 1
	PoolingCLS   Pooling = 2
	PoolingLast  Pooling = 3
	PoolingRank  Pooling = 4
)

// KVBytes is the size of the key and value cache for a number of tokens of
// context when an element takes elem bytes (2 for f16). It is an upper bound:
// layers with a sliding window need less.
func (h *Header) KVBytes(tokens int, elem float64) int64 {
	if tokens <= 0 || elem <= 0 {
		return 0
	}
	var perToken float64
	for layer := range h.BlockCount {
		heads := h.HeadCount
		if n := len(h.HeadCountKV); n == 1 {
			heads = h.HeadCountKV[0]
		} else if layer < n {
			heads = h.HeadCountKV[layer]
		}
		perToken += float64(heads) * float64(h.KeyLength+h.ValueLength) * elem
	}
	total := perToken * float64(tokens)
	if total > math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return int64(math.Ceil(total))
}

// Read reads the header of the GGUF file in r, which holds size bytes.
//
// Errors wrap ErrFormat when the contents are wrong, and r's error when
// reading fails. Read never panics and never allocates more than a small
// multiple of the metadata that is really there.
func Read(r io.ReaderAt, size int64) (*Header, error) {
	in := newInput(r, size)
	magic, err := in.bytes(4)
	if err != nil {
		return nil, in.fail("magic", err)
	}
	if string(magic) != "GGUF" {
		return nil, fmt.Errorf("%w: it does not begin with the letters GGUF", ErrFormat)
	}
	version, err := in.u32()
	if err != nil {
		return nil, in.fail("version", err)
	}
	switch version {
	case 2, 3:
	case 2 << 24, 3 << 24:
		return nil, fmt.Errorf("%w: big-endian files are not supported", ErrFormat)
	default:
		return nil, fmt.Errorf("%w: version %d, only 2 and 3 are supported", ErrFormat, version)
	}
	tensors, err := in.count("tensor count", maxTensors, minTensorInfo)
	if err != nil {
		return nil, err
	}
	pairs, err := in.count("metadata count", maxPairs, minPair)
	if err != nil {
		return nil, err
	}
	h := &Header{Version: version, Size: size, Tensors: tensors, Alignment: defaultAligned}
	kv, err := readPairs(in, pairs)
	if err != nil {
		return nil, err
	}
	if err := h.fill(kv); err != nil {
		return nil, err
	}
	if err := h.readTensors(in); err != nil {
		return nil, err
	}
	return h, nil
}
