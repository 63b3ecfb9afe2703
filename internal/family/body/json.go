package body

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
)

// JSON returns the value as compact JSON with its keys in the caller's order,
// whatever its type is; nil when it is absent. All keys below it count as read:
// it is for values of the caller's own making, such as the schema of a tool.
func (v *Value) JSON() []byte {
	if v == nil {
		return nil
	}
	v.SkipAll()
	return v.n.append(nil)
}

func (n *node) append(b []byte) []byte {
	switch n.kind {
	case String:
		return AppendString(b, n.str)
	case Array:
		b = append(b, '[')
		for i := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = n.kids[i].val.append(b)
		}
		return append(b, ']')
	case Object:
		b = append(b, '{')
		for i := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(AppendString(b, n.kids[i].key), ':')
			b = n.kids[i].val.append(b)
		}
		return append(b, '}')
	}
	return append(b, n.str...)
}

// Base64 returns the bytes of a string in standard base64, with padding. Line
// breaks in it do no harm. The string must hold at least one byte.
func (v *Value) Base64() []byte {
	if v == nil {
		return nil
	}
	if v.n.kind != String {
		v.mismatch("String")
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(v.n.str)
	switch {
	case err != nil:
		v.Violate("string is not valid base64")
	case len(data) == 0:
		v.Violate("expected minLength: 1, actual: 0")
	}
	if err != nil || len(data) == 0 {
		return nil
	}
	return data
}

// Long is Int for whole numbers beyond 32 bits, at most 2^53.
func (v *Value) Long(r Range) *int64 {
	if v == nil {
		return nil
	}
	if v.n.kind != Number || strings.ContainsAny(v.n.str, ".eE") {
		v.mismatch("Integer")
		return nil
	}
	const exact = 1 << 53
	r.Min, r.Max = max(r.Min, -exact), min(r.Max, exact)
	f, err := strconv.ParseFloat(v.n.str, 64)
	if err != nil {
		f = math.Inf(1)
	}
	if !v.within(f, r) {
		return nil
	}
	return new(int64(f))
}

// OneOf returns a whole number that is one of the given ones, nil when it is
// absent or another.
func (v *Value) OneOf(numbers ...int) *int {
	n := v.Int(Range{Min: math.MinInt32, Max: math.MaxInt32})
	if n != nil && !slices.Contains(numbers, *n) {
		v.Violate(v.n.str + " is not a valid enum value")
		return nil
	}
	return n
}
