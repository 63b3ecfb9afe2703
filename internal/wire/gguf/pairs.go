package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Types of metadata values.
const (
	typeUint8   = 0
	typeInt8    = 1
	typeUint16  = 2
	typeInt16   = 3
	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9
	typeUint64  = 10
	typeInt64   = 11
	typeFloat64 = 12
)

// width is the size of a value of a fixed-size type; 0 for others.
func width(typ uint32) int64 {
	switch typ {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	case typeUint64, typeInt64, typeFloat64:
		return 8
	}
	return 0
}

// value is one metadata value that the header needs. At most one field beside
// num is set.
type value struct {
	typ   uint32
	num   int64 // integers and booleans
	real  float64
	text  string
	texts []string
	nums  []int64 // integer and boolean arrays
	types []TokenType
}

// wanted says how the value of a key is kept; the others are passed over.
func wanted(key string) bool {
	switch {
	case key == "tokenizer.chat_template":
		return true
	case strings.HasPrefix(key, "tokenizer.ggml."):
		switch strings.TrimPrefix(key, "tokenizer.ggml.") {
		case "merges", "scores", "precompiled_charsmap":
			return false
		}
		return true
	case strings.HasPrefix(key, "general."):
		switch strings.TrimPrefix(key, "general.") {
		case "architecture", "name", "license", "size_label", "file_type", "alignment":
			return true
		}
		return false
	case key == "split.count":
		return true
	}
	_, field, ok := strings.Cut(key, ".")
	if !ok {
		return false
	}
	switch field {
	case "context_length", "embedding_length", "block_count", "pooling_type",
		"attention.head_count", "attention.head_count_kv",
		"attention.key_length", "attention.value_length", "attention.sliding_window":
		return true
	}
	return false
}

func readPairs(in *input, n int) (map[string]value, error) {
	kv := make(map[string]value)
	seen := make(map[string]struct{}, min(n, 1024))
	for i := range n {
		key, err := in.text(maxKey)
		if err != nil {
			return nil, in.fail(fmt.Sprintf("key of metadata pair %d", i), err)
		}
		if key == "" || strings.ContainsRune(key, 0) {
			return nil, fmt.Errorf("%w: key of metadata pair %d is empty or holds a NUL byte", ErrFormat, i)
		}
		if _, dup := seen[key]; dup {
			return nil, fmt.Errorf("%w: key %q appears twice", ErrFormat, clip(key))
		}
		seen[key] = struct{}{}
		typ, err := in.u32()
		if err != nil {
			return nil, in.fail("type of "+clip(key), err)
		}
		v, err := readValue(in, key, typ)
		if err != nil {
			return nil, in.fail("value of "+clip(key), err)
		}
		if wanted(key) {
			kv[key] = v
		}
	}
	return kv, nil
}

func readValue(in *input, key string, typ uint32) (value, error) {
	v := value{typ: typ}
	switch typ {
	case typeString:
		if !wanted(key) {
			n, err := in.u64()
			if err != nil {
				return v, err
			}
			if n > math.MaxInt64 {
				return v, errShort
			}
			return v, in.skip(int64(n))
		}
		var err error
		v.text, err = in.text(maxText)
		return v, err
	case typeArray:
		return readArray(in, key)
	}
	w := width(typ)
	if w == 0 {
		return v, fmt.Errorf("%w: unknown type %d", ErrFormat, typ)
	}
	bits, err := in.uint(w)
	if err != nil {
		return v, err
	}
	switch typ {
	case typeBool:
		if bits > 1 {
			return v, fmt.Errorf("%w: a boolean holds %d", ErrFormat, bits)
		}
		v.num = int64(bits) // #nosec G115 -- 0 or 1
	case typeFloat32:
		v.real = float64(math.Float32frombits(uint32(bits))) // #nosec G115 -- four bytes were read
	case typeFloat64:
		v.real = math.Float64frombits(bits)
	default:
		if v.num, err = integer(typ, bits); err != nil {
			return v, err
		}
	}
	return v, nil
}

// integer widens an integer of a type. Unsigned values above the range of
// int64 are an error.
func integer(typ uint32, bits uint64) (int64, error) {
	switch typ {
	case typeInt8:
		return int64(int8(bits)), nil // #nosec G115 -- reinterpretation is meant
	case typeInt16:
		return int64(int16(bits)), nil // #nosec G115 -- reinterpretation is meant
	case typeInt32:
		return int64(int32(bits)), nil // #nosec G115 -- reinterpretation is meant
	case typeInt64:
		return int64(bits), nil // #nosec G115 -- reinterpretation is meant
	}
	if bits > math.MaxInt64 {
		return 0, fmt.Errorf("%w: the number %d is too large", ErrFormat, bits)
	}
	return int64(bits), nil
}

func readArray(in *input, key string) (value, error) {
	typ, err := in.u32()
	if err != nil {
		return value{}, err
	}
	v := value{typ: typeArray}
	if typ == typeArray {
		return v, fmt.Errorf("%w: arrays of arrays are not supported", ErrFormat)
	}
	least := width(typ)
	if typ == typeString {
		least = 8
	}
	if least == 0 {
		return v, fmt.Errorf("%w: unknown array type %d", ErrFormat, typ)
	}
	n, err := in.count("array length", maxArray, least)
	if err != nil {
		return v, err
	}
	switch {
	case typ == typeString:
		v.texts, err = readTexts(in, n, wanted(key))
		return v, err
	case !wanted(key), typ == typeFloat32, typ == typeFloat64:
		return v, in.skip(int64(n) * least)
	case key == "tokenizer.ggml.token_type":
		v.types, err = readTypes(in, n, typ)
		return v, err
	case n > maxPerLayer:
		return v, in.skip(int64(n) * least)
	}
	v.nums = make([]int64, 0, n)
	for range n {
		bits, err := in.uint(least)
		if err != nil {
			return v, err
		}
		num, err := integer(typ, bits)
		if err != nil {
			return v, err
		}
		v.nums = append(v.nums, num)
	}
	return v, nil
}

// readTexts reads n strings. All of them share one block of memory.
func readTexts(in *input, n int, keep bool) ([]string, error) {
	if keep && n > maxVocabulary {
		return nil, fmt.Errorf("%w: %d texts, at most %d are allowed", ErrFormat, n, maxVocabulary)
	}
	var (
		block strings.Builder
		ends  []int
		buf   []byte
	)
	if keep {
		block.Grow(n * 8)
		ends = make([]int, 0, n)
		buf = make([]byte, maxToken)
	}
	for i := range n {
		size, err := in.u64()
		if err != nil {
			return nil, err
		}
		if size > maxToken {
			return nil, fmt.Errorf("%w: element %d has %d bytes, at most %d are allowed", ErrFormat, i, size, maxToken)
		}
		if !keep {
			if err := in.skip(int64(size)); err != nil {
				return nil, err
			}
			continue
		}
		if err := in.take(int64(size)); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(in.r, buf[:size]); err != nil {
			return nil, err
		}
		block.Write(buf[:size])
		ends = append(ends, block.Len())
	}
	if !keep {
		return nil, nil
	}
	all := block.String()
	out := make([]string, n)
	from := 0
	for i, end := range ends {
		out[i] = all[from:end]
		from = end
	}
	return out, nil
}

func readTypes(in *input, n int, typ uint32) ([]TokenType, error) {
	if typ != typeInt32 && typ != typeUint32 {
		return nil, fmt.Errorf("%w: token types of value type %d, want 32-bit integers", ErrFormat, typ)
	}
	if n > maxVocabulary {
		return nil, fmt.Errorf("%w: %d token types, at most %d are allowed", ErrFormat, n, maxVocabulary)
	}
	out := make([]TokenType, n)
	for i := range out {
		b, err := in.bytes(4)
		if err != nil {
			return nil, err
		}
		t := binary.LittleEndian.Uint32(b)
		if t > uint32(TokenByte) {
			return nil, fmt.Errorf("%w: token %d has type %d", ErrFormat, i, t)
		}
		out[i] = TokenType(t) // #nosec G115 -- at most TokenByte
	}
	return out, nil
}

// clip shortens a name of the file for a message.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
