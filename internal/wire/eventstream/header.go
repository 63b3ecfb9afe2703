package eventstream

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Type is the wire type of a header's value.
type Type uint8

// The ten header types.
const (
	TypeTrue Type = iota
	TypeFalse
	TypeInt8
	TypeInt16
	TypeInt32
	TypeInt64
	TypeBytes
	TypeString
	TypeTimestamp
	TypeUUID
)

// Value is the typed value of a header. The zero Value is true.
type Value struct {
	typ  Type
	num  int64
	data []byte
}

// Header is one name with its value.
type Header struct {
	Name  string // 1 to 255 bytes
	Value Value
}

// BoolValue is a header value of type true or false.
func BoolValue(b bool) Value {
	if b {
		return Value{typ: TypeTrue}
	}
	return Value{typ: TypeFalse}
}

// Int8Value is a one-byte integer.
func Int8Value(n int8) Value { return Value{typ: TypeInt8, num: int64(n)} }

// Int16Value is a two-byte integer.
func Int16Value(n int16) Value { return Value{typ: TypeInt16, num: int64(n)} }

// Int32Value is a four-byte integer.
func Int32Value(n int32) Value { return Value{typ: TypeInt32, num: int64(n)} }

// Int64Value is an eight-byte integer.
func Int64Value(n int64) Value { return Value{typ: TypeInt64, num: n} }

// BytesValue is a string of at most 65,535 bytes of any kind. It keeps b.
func BytesValue(b []byte) Value { return Value{typ: TypeBytes, data: b} }

// StringValue is a text of at most 65,535 bytes.
func StringValue(s string) Value { return Value{typ: TypeString, data: []byte(s)} }

// TimestampValue is a point in time with milliseconds.
func TimestampValue(t time.Time) Value { return Value{typ: TypeTimestamp, num: t.UnixMilli()} }

// UUIDValue is a 16-byte identifier.
func UUIDValue(id [16]byte) Value { return Value{typ: TypeUUID, data: id[:]} }

// Type returns the wire type.
func (v Value) Type() Type { return v.typ }

// Bool tells whether v is the value true.
func (v Value) Bool() bool { return v.typ == TypeTrue }

// Int returns the value of an integer, or 0 for another type.
func (v Value) Int() int64 {
	if v.typ < TypeInt8 || v.typ > TypeInt64 {
		return 0
	}
	return v.num
}

// Bytes returns the value of a bytes, string or UUID header, else nil.
func (v Value) Bytes() []byte { return v.data }

// String returns the value of a string or bytes header as text, else "".
func (v Value) String() string {
	if v.typ != TypeString && v.typ != TypeBytes {
		return ""
	}
	return string(v.data)
}

// Time returns the value of a timestamp in UTC, or the zero time.
func (v Value) Time() time.Time {
	if v.typ != TypeTimestamp {
		return time.Time{}
	}
	return time.UnixMilli(v.num).UTC()
}

func (h *Header) check() error {
	if len(h.Name) == 0 || len(h.Name) > math.MaxUint8 {
		return fmt.Errorf("%w: header name of %d bytes", ErrMalformed, len(h.Name))
	}
	if len(h.Value.data) > math.MaxUint16 {
		return fmt.Errorf("%w: value of header %q", ErrTooLarge, h.Name)
	}
	return nil
}

// append writes h, which check has accepted.
func (h *Header) append(dst []byte) []byte {
	v := h.Value
	dst = append(dst, byte(len(h.Name))) // #nosec G115 -- checked
	dst = append(dst, h.Name...)
	dst = append(dst, byte(v.typ))
	switch v.typ {
	case TypeInt8:
		dst = append(dst, byte(v.num)) // #nosec G115 -- made from an int8
	case TypeInt16:
		dst = binary.BigEndian.AppendUint16(dst, uint16(v.num)) // #nosec G115 -- made from an int16
	case TypeInt32:
		dst = binary.BigEndian.AppendUint32(dst, uint32(v.num)) // #nosec G115 -- made from an int32
	case TypeInt64, TypeTimestamp:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v.num)) // #nosec G115 -- two's complement
	case TypeBytes, TypeString:
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(v.data))) // #nosec G115 -- checked
		dst = append(dst, v.data...)
	case TypeUUID:
		dst = append(dst, v.data...)
	}
	return dst
}

// decodeHeaders reads a whole header block.
func decodeHeaders(b []byte) ([]Header, error) {
	var out []Header
	seen := make(map[string]struct{}, 4)
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || len(b) < n+2 {
			return nil, fmt.Errorf("%w: header name", ErrMalformed)
		}
		h := Header{Name: string(b[1 : n+1])}
		if _, dup := seen[h.Name]; dup {
			return nil, fmt.Errorf("%w: header %q twice", ErrMalformed, h.Name)
		}
		seen[h.Name] = struct{}{}
		h.Value.typ = Type(b[n+1])
		rest, err := h.Value.decode(b[n+2:])
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Name, err)
		}
		b = rest
		out = append(out, h)
	}
	return out, nil
}

// decode reads the value of v.typ at the start of b and returns what follows.
func (v *Value) decode(b []byte) ([]byte, error) {
	need := 0
	switch v.typ {
	case TypeTrue, TypeFalse:
	case TypeInt8:
		need = 1
	case TypeInt16:
		need = 2
	case TypeInt32:
		need = 4
	case TypeInt64, TypeTimestamp:
		need = 8
	case TypeUUID:
		need = 16
	case TypeBytes, TypeString:
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: value", ErrMalformed)
		}
		need = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	default:
		return nil, fmt.Errorf("%w: type %d", ErrMalformed, v.typ)
	}
	if len(b) < need {
		return nil, fmt.Errorf("%w: value", ErrMalformed)
	}
	switch v.typ {
	case TypeInt8:
		v.num = int64(int8(b[0])) // #nosec G115 -- two's complement
	case TypeInt16:
		v.num = int64(int16(binary.BigEndian.Uint16(b))) // #nosec G115 -- two's complement
	case TypeInt32:
		v.num = int64(int32(binary.BigEndian.Uint32(b))) // #nosec G115 -- two's complement
	case TypeInt64, TypeTimestamp:
		v.num = int64(binary.BigEndian.Uint64(b)) // #nosec G115 -- two's complement
	case TypeBytes, TypeString, TypeUUID:
		v.data = b[:need:need]
	}
	return b[need:], nil
}
