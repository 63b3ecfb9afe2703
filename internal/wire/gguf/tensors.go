package gguf

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// block is the layout of a tensor type: bytes per block of elements.
type block struct {
	elements, bytes uint64
}

// layout tells the layout of a tensor type, as ggml defines it.
func layout(typ uint32) (block, bool) {
	switch typ {
	case 0: // F32
		return block{1, 4}, true
	case 1: // F16
		return block{1, 2}, true
	case 2: // Q4_0
		return block{32, 18}, true
	case 3: // Q4_1
		return block{32, 20}, true
	case 6: // Q5_0
		return block{32, 22}, true
	case 7: // Q5_1
		return block{32, 24}, true
	case 8: // Q8_0
		return block{32, 34}, true
	case 9: // Q8_1
		return block{32, 36}, true
	case 10: // Q2_K
		return block{256, 84}, true
	case 11: // Q3_K
		return block{256, 110}, true
	case 12: // Q4_K
		return block{256, 144}, true
	case 13: // Q5_K
		return block{256, 176}, true
	case 14: // Q6_K
		return block{256, 210}, true
	case 15: // Q8_K
		return block{256, 292}, true
	case 16: // IQ2_XXS
		return block{256, 66}, true
	case 17: // IQ2_XS
		return block{256, 74}, true
	case 18: // IQ3_XXS
		return block{256, 98}, true
	case 19: // IQ1_S
		return block{256, 50}, true
	case 20: // IQ4_NL
		return block{32, 18}, true
	case 21: // IQ3_S
		return block{256, 110}, true
	case 22: // IQ2_S
		return block{256, 82}, true
	case 23: // IQ4_XS
		return block{256, 136}, true
	case 24: // I8
		return block{1, 1}, true
	case 25: // I16
		return block{1, 2}, true
	case 26: // I32
		return block{1, 4}, true
	case 27, 28: // I64, F64
		return block{1, 8}, true
	case 29: // IQ1_M
		return block{256, 56}, true
	case 30: // BF16
		return block{1, 2}, true
	case 34: // TQ1_0
		return block{256, 54}, true
	case 35: // TQ2_0
		return block{256, 66}, true
	case 39: // MXFP4
		return block{32, 17}, true
	case 40: // NVFP4
		return block{64, 36}, true
	case 41: // Q1_0
		return block{128, 18}, true
	}
	return block{}, false
}

// readTensors reads the descriptions of all tensors and checks that each lies
// where the ones before it end, and inside the file.
func (h *Header) readTensors(in *input) error {
	names := make(map[string]struct{}, min(h.Tensors, 4096))
	var next uint64 // where the next tensor must begin, from the start of the data
	var elements, size uint64
	for i := range h.Tensors {
		name, err := in.text(maxName)
		if err != nil {
			return in.fail(fmt.Sprintf("name of tensor %d", i), err)
		}
		if name == "" || strings.ContainsRune(name, 0) {
			return fmt.Errorf("%w: name of tensor %d is empty or holds a NUL byte", ErrFormat, i)
		}
		if _, dup := names[name]; dup {
			return fmt.Errorf("%w: tensor %q appears twice", ErrFormat, clip(name))
		}
		names[name] = struct{}{}
		n, bytes, offset, err := readTensor(in)
		if err != nil {
			return in.fail("tensor "+clip(name), err)
		}
		if offset != next {
			return fmt.Errorf("%w: tensor %s begins at %d, expected %d", ErrFormat, clip(name), offset, next)
		}
		a := uint64(h.Alignment)
		if bytes > uint64(h.Size) || next > uint64(h.Size) { // #nosec G115 -- Size is not negative
			return fmt.Errorf("%w: tensor %s lies beyond the end of the file", ErrFormat, clip(name))
		}
		next += (bytes + a - 1) / a * a
		elements += n
		size += bytes
		if elements > math.MaxInt64 {
			return fmt.Errorf("%w: too many parameters", ErrFormat)
		}
	}
	a := int64(h.Alignment)
	h.DataOffset = (in.offset() + a - 1) / a * a
	// The last tensor may lack its padding: llama.cpp's own writer pads, others
	// do not.
	room := h.Size - h.DataOffset
	if h.Tensors > 0 && (room < 0 || next > uint64(room)+uint64(h.Alignment)-1 || size > uint64(room)) {
		return fmt.Errorf("%w: the tensors need %d bytes, the file has %d left", ErrFormat, size, max(room, 0))
	}
	h.Parameters = int64(elements) // #nosec G115 -- checked above
	h.TensorBytes = int64(size)    // #nosec G115 -- at most the file size
	return nil
}

// readTensor reads a description after its name: elements, bytes and offset.
func readTensor(in *input) (elements, size, offset uint64, err error) {
	dims, err := in.u32()
	if err != nil {
		return 0, 0, 0, err
	}
	if dims == 0 || dims > maxDims {
		return 0, 0, 0, fmt.Errorf("%w: %d dimensions, 1 to %d are allowed", ErrFormat, dims, maxDims)
	}
	elements = 1
	var row uint64
	for i := range dims {
		d, err := in.u64()
		if err != nil {
			return 0, 0, 0, err
		}
		if i == 0 {
			row = d
		}
		hi, lo := bits.Mul64(elements, d)
		if d == 0 || hi != 0 || lo > math.MaxInt64 {
			return 0, 0, 0, fmt.Errorf("%w: dimension %d is %d", ErrFormat, i, d)
		}
		elements = lo
	}
	typ, err := in.u32()
	if err != nil {
		return 0, 0, 0, err
	}
	b, ok := layout(typ)
	if !ok {
		return 0, 0, 0, fmt.Errorf("%w: tensor type %d is unknown", ErrFormat, typ)
	}
	if row%b.elements != 0 {
		return 0, 0, 0, fmt.Errorf("%w: rows of %d elements do not divide into blocks of %d", ErrFormat, row, b.elements)
	}
	hi, size := bits.Mul64(elements/b.elements, b.bytes)
	if hi != 0 || size > math.MaxInt64 {
		return 0, 0, 0, fmt.Errorf("%w: the tensor is too large", ErrFormat)
	}
	offset, err = in.u64()
	return elements, size, offset, err
}
