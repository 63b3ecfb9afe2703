package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// The tensor types that Write's callers make themselves.
const (
	TensorF32 uint32 = 0
	TensorF16 uint32 = 1
)

// Pair is one metadata pair to write. Value is a string, uint32, int32,
// float32, bool, []string, []int32 or []float32.
type Pair struct {
	Key   string
	Value any
}

// Tensor is one tensor to write.
type Tensor struct {
	Name string
	Type uint32
	Dims []uint64 // innermost first
	// Data writes exactly the tensor's bytes, little endian.
	Data func(w io.Writer) error
}

// Write writes a GGUF file, version 3 with an alignment of 32 bytes. Pairs and
// tensors keep their order. It does not buffer.
func Write(w io.Writer, pairs []Pair, tensors []Tensor) error {
	b := []byte("GGUF")
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(pairs)))
	for _, p := range pairs {
		var err error
		if b, err = appendPair(b, p); err != nil {
			return err
		}
	}
	sizes := make([]uint64, len(tensors))
	var offset uint64
	for i, t := range tensors {
		size, err := t.size()
		if err != nil {
			return err
		}
		sizes[i] = size
		b = appendText(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Dims))) // #nosec G115 -- size checks that it is small
		for _, d := range t.Dims {
			b = binary.LittleEndian.AppendUint64(b, d)
		}
		b = binary.LittleEndian.AppendUint32(b, t.Type)
		b = binary.LittleEndian.AppendUint64(b, offset)
		offset += padded(size)
	}
	b = append(b, make([]byte, padded(uint64(len(b)))-uint64(len(b)))...)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write GGUF header: %w", err)
	}
	for i, t := range tensors {
		c := &counter{w: w}
		if err := t.Data(c); err != nil {
			return fmt.Errorf("write tensor %s: %w", t.Name, err)
		}
		if c.n != sizes[i] {
			return fmt.Errorf("write tensor %s: %d bytes instead of %d", t.Name, c.n, sizes[i])
		}
		if _, err := w.Write(make([]byte, padded(c.n)-c.n)); err != nil {
			return fmt.Errorf("write tensor %s: %w", t.Name, err)
		}
	}
	return nil
}

// size is the number of bytes of the tensor's data.
func (t *Tensor) size() (uint64, error) {
	l, ok := layout(t.Type)
	if !ok || t.Name == "" || len(t.Name) > maxName || len(t.Dims) == 0 || len(t.Dims) > maxDims {
		return 0, fmt.Errorf("tensor %q cannot be written: its name, type or dimensions are out of range", clip(t.Name))
	}
	elements := uint64(1)
	for _, d := range t.Dims {
		hi, lo := bits.Mul64(elements, d)
		if hi != 0 || lo > math.MaxInt64/l.bytes || d == 0 {
			return 0, fmt.Errorf("tensor %s cannot be written: its size is out of range", t.Name)
		}
		elements = lo
	}
	if t.Dims[0]%l.elements != 0 {
		return 0, fmt.Errorf("tensor %s cannot be written: its rows are not whole blocks", t.Name)
	}
	return elements / l.elements * l.bytes, nil
}

func padded(n uint64) uint64 {
	const a = uint64(defaultAligned)
	return (n + a - 1) / a * a
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func appendPair(b []byte, p Pair) ([]byte, error) {
	if p.Key == "" || len(p.Key) > maxKey {
		return nil, errors.New("a metadata key is empty or too long")
	}
	b = appendText(b, p.Key)
	le := binary.LittleEndian
	head := func(element uint32, n int) {
		b = le.AppendUint32(b, typeArray)
		b = le.AppendUint32(b, element)
		b = le.AppendUint64(b, uint64(n)) // #nosec G115 -- a length
	}
	switch v := p.Value.(type) {
	case string:
		b = appendText(le.AppendUint32(b, typeString), v)
	case uint32:
		b = le.AppendUint32(le.AppendUint32(b, typeUint32), v)
	case int32:
		b = le.AppendUint32(le.AppendUint32(b, typeInt32), uint32(v)) // #nosec G115 -- reinterpretation is meant
	case float32:
		b = le.AppendUint32(le.AppendUint32(b, typeFloat32), math.Float32bits(v))
	case bool:
		b = le.AppendUint32(b, typeBool)
		if v {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	case []string:
		head(typeString, len(v))
		for _, s := range v {
			b = appendText(b, s)
		}
	case []int32:
		head(typeInt32, len(v))
		for _, n := range v {
			b = le.AppendUint32(b, uint32(n)) // #nosec G115 -- reinterpretation is meant
		}
	case []float32:
		head(typeFloat32, len(v))
		for _, f := range v {
			b = le.AppendUint32(b, math.Float32bits(f))
		}
	default:
		return nil, fmt.Errorf("metadata %s: values of type %T are not supported", p.Key, v)
	}
	return b, nil
}

// counter counts the bytes that pass.
type counter struct {
	w io.Writer
	n uint64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += uint64(n) // #nosec G115 -- not negative
	return n, err
}
