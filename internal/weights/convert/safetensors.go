package convert

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"slices"
)

// Limits on a safetensors header; the first is that of the format's own
// library.
const (
	maxHeader  = 100 << 20
	maxTensors = 100_000
	maxDims    = 8
)

// tensor is one tensor of a safetensors file.
type tensor struct {
	in     io.ReaderAt
	dtype  string
	shape  []uint64 // outermost first
	offset int64    // of its bytes in the file
	size   int64    // bytes
}

// tensors are all tensors of a model.
type tensors struct {
	named map[string]*tensor
	files []fs.File
}

func (t *tensors) close() {
	for _, f := range t.files {
		_ = f.Close()
	}
}

// openTensors reads the headers of all *.safetensors files in the folder.
func openTensors(src fs.FS) (*tensors, error) {
	names, err := fs.Glob(src, "*.safetensors")
	if err != nil {
		return nil, fmt.Errorf("safetensors model: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: it has no *.safetensors file", ErrUnsupported)
	}
	t := &tensors{named: make(map[string]*tensor)}
	for _, name := range names {
		if err := t.open(src, name); err != nil {
			t.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, nil
}

func (t *tensors) open(src fs.FS, name string) error {
	f, err := src.Open(name)
	if err != nil {
		return err
	}
	t.files = append(t.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in, ok := f.(io.ReaderAt)
	if !ok {
		return errors.New("the file cannot be read at places")
	}
	found, err := readHeader(in, info.Size())
	if err != nil {
		return err
	}
	for key, ten := range found {
		if _, dup := t.named[key]; dup {
			return fmt.Errorf("%w: tensor %q appears twice", ErrUnsupported, key)
		}
		t.named[key] = ten
	}
	return nil
}

// readHeader reads the header of a safetensors file of size bytes: 8 bytes of
// length, then JSON, then the tensors' bytes without gaps.
func readHeader(in io.ReaderAt, size int64) (map[string]*tensor, error) {
	var head [8]byte
	if _, err := in.ReadAt(head[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file is too short", ErrUnsupported)
		}
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > maxHeader || int64(n) > size-8 { // #nosec G115 -- compared after the first limit
		return nil, fmt.Errorf("%w: its header of %d bytes does not fit", ErrUnsupported, n)
	}
	text := make([]byte, n)
	if _, err := in.ReadAt(text, 8); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	data := 8 + int64(n) // #nosec G115 -- at most maxHeader
	return parseHeader(text, in, data, size-data)
}

// parseHeader reads the JSON of a header for data bytes that begin at base.
func parseHeader(text []byte, in io.ReaderAt, base, data int64) (map[string]*tensor, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrUnsupported, err)
	}
	if len(raw) > maxTensors {
		return nil, fmt.Errorf("%w: %d tensors", ErrUnsupported, len(raw))
	}
	out := make(map[string]*tensor, len(raw))
	var spans [][2]int64
	for name, b := range raw {
		if name == "__metadata__" {
			continue
		}
		var e struct {
			Dtype   string    `json:"dtype"`
			Shape   []uint64  `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %w", ErrUnsupported, name, err)
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if from > to || to > uint64(data) { // #nosec G115 -- data is not negative
			return nil, fmt.Errorf("%w: tensor %q lies outside the file", ErrUnsupported, name)
		}
		t := &tensor{in: in, dtype: e.Dtype, shape: e.Shape, offset: base + int64(from), size: int64(to - from)} // #nosec G115 -- at most data
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %w", ErrUnsupported, name, err)
		}
		out[name] = t
		spans = append(spans, [2]int64{t.offset, t.offset + t.size})
	}
	slices.SortFunc(spans, func(a, b [2]int64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for i := 1; i < len(spans); i++ {
		if spans[i][0] < spans[i-1][1] {
			return nil, fmt.Errorf("%w: tensors overlap", ErrUnsupported)
		}
	}
	return out, nil
}

// check compares the shape with the bytes.
func (t *tensor) check() error {
	var width uint64
	switch t.dtype {
	case "F32":
		width = 4
	case "F16", "BF16":
		width = 2
	case "I64", "U64", "F64":
		width = 8
	case "I32", "U32":
		width = 4
	case "I16", "U16":
		width = 2
	case "I8", "U8", "BOOL":
		width = 1
	default:
		return fmt.Errorf("number type %q", t.dtype)
	}
	if len(t.shape) > maxDims {
		return fmt.Errorf("%d dimensions", len(t.shape))
	}
	total := width
	for _, d := range t.shape {
		hi, lo := bits.Mul64(total, d)
		if hi != 0 || lo > math.MaxInt64 {
			return errors.New("its shape is too large")
		}
		total = lo
	}
	if total != uint64(t.size) { // #nosec G115 -- sizes are not negative
		return fmt.Errorf("%d bytes, its shape needs %d", t.size, total)
	}
	return nil
}
