package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// wantedTensor is a tensor of the engine's BERT and where it comes from.
type wantedTensor struct {
	to, from string
	shape    []uint64 // outermost first
	wide     bool     // stays 32-bit
}

// wanted lists every tensor of the model, in the order of the file.
func (c *config) wanted() []wantedTensor {
	h, in := uint64(c.Hidden), uint64(c.Inner)
	matrix := func(to, from string, out, in uint64) wantedTensor {
		return wantedTensor{to: to + ".weight", from: from + ".weight", shape: []uint64{out, in}}
	}
	vector := func(to, from string, n uint64) wantedTensor {
		return wantedTensor{to: to, from: from, shape: []uint64{n}, wide: true}
	}
	var ws []wantedTensor
	linear := func(to, from string, out, in uint64) {
		ws = append(ws, matrix(to, from, out, in), vector(to+".bias", from+".bias", out))
	}
	norm := func(to, from string) {
		ws = append(ws, vector(to+".weight", from+".weight", h), vector(to+".bias", from+".bias", h))
	}
	types := matrix("token_types", "embeddings.token_type_embeddings", uint64(c.TypeVocabSize), h)
	positions := matrix("position_embd", "embeddings.position_embeddings", uint64(c.Positions), h)
	types.wide, positions.wide = true, true
	ws = append(ws,
		matrix("token_embd", "embeddings.word_embeddings", uint64(c.VocabSize), h), // #nosec G115 -- checked positive
		positions, types)
	norm("token_embd_norm", "embeddings.LayerNorm")
	for i := range c.Layers {
		to, from := fmt.Sprintf("blk.%d.", i), fmt.Sprintf("encoder.layer.%d.", i)
		linear(to+"attn_q", from+"attention.self.query", h, h)
		linear(to+"attn_k", from+"attention.self.key", h, h)
		linear(to+"attn_v", from+"attention.self.value", h, h)
		linear(to+"attn_output", from+"attention.output.dense", h, h)
		norm(to+"attn_output_norm", from+"attention.output.LayerNorm")
		linear(to+"ffn_up", from+"intermediate.dense", in, h)
		linear(to+"ffn_down", from+"output.dense", h, in)
		norm(to+"layer_output_norm", from+"output.LayerNorm")
	}
	return ws
}

// tensors prepares the tensors to write. One that is missing, of another shape,
// or left over is an error: the model would not be the one that was trained.
func (c *config) tensors(ctx context.Context, ts *tensors) ([]gguf.Tensor, error) {
	byName := make(map[string]*tensor, len(ts.named))
	for name, t := range ts.named {
		byName[strings.TrimPrefix(name, "bert.")] = t
	}
	var out []gguf.Tensor
	for _, w := range c.wanted() {
		t, ok := byName[w.from]
		if !ok {
			return nil, fmt.Errorf("%w: tensor %s is missing", ErrUnsupported, w.from)
		}
		delete(byName, w.from)
		if !slices.Equal(t.shape, w.shape) {
			return nil, fmt.Errorf("%w: tensor %s has the shape %v, config.json says %v", ErrUnsupported, w.from, t.shape, w.shape)
		}
		switch t.dtype {
		case "F32", "F16", "BF16":
		default:
			return nil, fmt.Errorf("%w: tensor %s holds numbers of type %s", ErrUnsupported, w.from, t.dtype)
		}
		dims := slices.Clone(w.shape)
		slices.Reverse(dims)
		typ := gguf.TensorF16
		if w.wide {
			typ = gguf.TensorF32
		}
		out = append(out, gguf.Tensor{Name: w.to, Type: typ, Dims: dims, Data: func(w io.Writer) error {
			return t.write(ctx, w, typ)
		}})
	}
	for name := range byName {
		switch {
		case strings.HasPrefix(name, "pooler."), name == "embeddings.position_ids":
		default:
			return nil, fmt.Errorf("%w: it holds a tensor that BERT does not have: %s", ErrUnsupported, name)
		}
	}
	return out, nil
}

// write writes the tensor's numbers as 16-bit or 32-bit floats.
func (t *tensor) write(ctx context.Context, w io.Writer, typ uint32) error {
	in := io.NewSectionReader(t.in, t.offset, t.size)
	width := 2
	if t.dtype == "F32" {
		width = 4
	}
	buf := make([]byte, 64<<10)
	var out []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(in, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if n%width != 0 {
			return errors.New("the file became shorter while it was read")
		}
		out = out[:0]
		for b := buf[:n]; len(b) > 0; {
			var f float32
			switch t.dtype {
			case "F32":
				f, b = math.Float32frombits(binary.LittleEndian.Uint32(b)), b[4:]
			case "BF16":
				f, b = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b))<<16), b[2:]
			default:
				f, b = widen(binary.LittleEndian.Uint16(b)), b[2:]
			}
			if typ == gguf.TensorF32 {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
			} else {
				out = binary.LittleEndian.AppendUint16(out, narrow(f))
			}
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
}

// widen turns a 16-bit float into a 32-bit one, exactly.
func widen(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch exp {
	case 0: // zero and subnormal numbers: frac x 2^-24
		f := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// narrow rounds a 32-bit float to the nearest 16-bit one, ties to even; what is
// too large becomes infinite.
func narrow(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	exp := int(bits>>23) & 0xff
	frac := bits & 0x7fffff
	if exp == 0xff {
		if frac != 0 {
			return sign | 0x7e00
		}
		return sign | 0x7c00
	}
	shift := uint32(13)
	e := exp - 112
	switch {
	case e >= 31:
		return sign | 0x7c00
	case e < -10:
		return sign
	case e <= 0: // subnormal
		frac |= 0x800000
		shift = uint32(14 - e) // #nosec G115 -- 14 to 24
		e = 0
	}
	half := uint32(1) << (shift - 1)
	rest := frac & (1<<shift - 1)
	out := frac >> shift
	if rest > half || rest == half && out&1 == 1 {
		out++ // may carry into the exponent, which is right
	}
	return sign | uint16(uint32(e)<<10+out) // #nosec G115 -- at most infinity
}
