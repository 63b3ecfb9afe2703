package body

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNamed is the number of violations that an error names one by one.
const maxNamed = 16

// Range bounds a number. Both ends belong to it unless Above is set.
type Range struct {
	Min, Max float64
	Above    bool // the value must be greater than Min
}

// AtLeast is the range from low without an upper end.
func AtLeast(low float64) Range { return Range{Min: low, Max: math.Inf(1)} }

// Length bounds the characters of a string or the items of an array. Max 0
// means no upper end.
type Length struct{ Min, Max int }

// report collects what is wrong with one body.
type report struct {
	named []string
	count int
}

// Value is one value at its place in a body. A nil *Value is an absent value:
// all methods work on it and return zero values. What is wrong with a value is
// collected; Err tells it. A Value is used by one goroutine.
type Value struct {
	n    *node
	r    *report
	up   *Value
	name string // key or index under up
	read []bool // Object: which keys were asked for
}

// Kind returns the type of the value, 0 when it is absent.
func (v *Value) Kind() Kind {
	if v == nil {
		return 0
	}
	return v.n.kind
}

// Err returns nil, or a ValidationException that names every violation found
// in the whole body so far.
func (v *Value) Err() error {
	switch {
	case v == nil, v.r.count == 0:
		return nil
	case v.r.count > maxNamed:
		return malformed(strconv.Itoa(v.r.count) + " schema violations found")
	}
	return malformed(strings.Join(v.r.named, ""))
}

// Violate adds a violation at this place, e.g. "is not a valid colour".
func (v *Value) Violate(what string) {
	if v == nil {
		return
	}
	if v.r.count++; len(v.r.named) < maxNamed {
		v.r.named = append(v.r.named, v.Pointer()+": "+what)
	}
}

// Pointer is the place of the value as a JSON pointer, e.g. "#/messages/0/role".
func (v *Value) Pointer() string { return "#" + v.join("/") }

// Dotted is the place of the value in the other notation that Bedrock uses in
// messages, e.g. "messages.0.role". It is "" for the root.
func (v *Value) Dotted() string { return strings.TrimPrefix(v.join("."), ".") }

func (v *Value) join(sep string) string {
	var names []string
	for ; v != nil && v.up != nil; v = v.up {
		names = append(names, sep+Show(v.name))
	}
	slices.Reverse(names)
	return strings.Join(names, "")
}

func (v *Value) mismatch(want string) {
	v.Violate("expected type: " + want + ", found: " + v.found())
}

// found is the name of the value's type in messages.
func (v *Value) found() string {
	switch v.n.kind {
	case Null:
		return "Null"
	case Bool:
		return "Boolean"
	case Number:
		if strings.ContainsAny(v.n.str, ".eE") {
			return "Double"
		}
		return "Integer"
	case String:
		return "String"
	case Array:
		return "JSONArray"
	}
	return "JSONObject"
}

// Has reports whether the object has the key. It does not mark it as read.
func (v *Value) Has(key string) bool {
	return v.find(key) >= 0
}

func (v *Value) find(key string) int {
	if v.Kind() != Object {
		return -1
	}
	for i := range v.n.kids {
		if v.n.kids[i].key == key {
			return i
		}
	}
	return -1
}

// Object checks that the value is an object and returns it, nil when it is not.
func (v *Value) Object() *Value {
	if v == nil {
		return nil
	}
	if v.n.kind != Object {
		v.mismatch("JSONObject")
		return nil
	}
	return v
}

// Require adds a violation for every key that the object lacks.
func (v *Value) Require(keys ...string) {
	if v.Kind() != Object {
		return
	}
	for _, key := range keys {
		if !v.Has(key) {
			v.Violate("required key [" + key + "] not found")
		}
	}
}

// Get returns the value under key and marks the key as read. It is nil when the
// key is absent.
func (v *Value) Get(key string) *Value {
	i := v.find(key)
	if i < 0 {
		return nil
	}
	v.mark(i)
	return &Value{n: &v.n.kids[i].val, r: v.r, up: v, name: key}
}

func (v *Value) mark(i int) {
	if v.read == nil {
		v.read = make([]bool, len(v.n.kids))
	}
	v.read[i] = true
}

// Skip marks keys as read whatever their values are.
func (v *Value) Skip(keys ...string) {
	for _, key := range keys {
		if i := v.find(key); i >= 0 {
			v.mark(i)
		}
	}
}

// SkipAll marks every key of the object as read.
func (v *Value) SkipAll() {
	if v.Kind() != Object {
		return
	}
	for i := range v.n.kids {
		v.mark(i)
	}
}

// Close adds a violation for every key of the object that was not read.
func (v *Value) Close() {
	if v.Kind() != Object {
		return
	}
	for i := range v.n.kids {
		switch {
		case v.read != nil && v.read[i]:
		case v.r.count > maxNamed: // the count alone is told
			v.r.count++
		default:
			v.Violate("extraneous key [" + Show(v.n.kids[i].key) + "] is not permitted")
		}
	}
}

// Text returns the text of a string of the given length.
func (v *Value) Text(l Length) string {
	if v == nil {
		return ""
	}
	if v.n.kind != String {
		v.mismatch("String")
		return ""
	}
	if l.Min > 0 || l.Max > 0 {
		n := utf8.RuneCountInString(v.n.str)
		if n < l.Min {
			v.Violate("expected minLength: " + strconv.Itoa(l.Min) + ", actual: " + strconv.Itoa(n))
		}
		if l.Max > 0 && n > l.Max {
			v.Violate("expected maxLength: " + strconv.Itoa(l.Max) + ", actual: " + strconv.Itoa(n))
		}
	}
	return v.n.str
}

// Enum returns the text of a string that is one of the given words, "" when it
// is not.
func (v *Value) Enum(words ...string) string {
	if v.Kind() == String && !slices.Contains(words, v.n.str) {
		v.Violate(Show(v.n.str) + " is not a valid enum value")
		return ""
	}
	return v.Text(Length{})
}

// Bool returns the value of a boolean, nil when it is absent or not one.
func (v *Value) Bool() *bool {
	if v == nil {
		return nil
	}
	if v.n.kind != Bool {
		v.mismatch("Boolean")
		return nil
	}
	return new(v.n.str == "true")
}

// Num returns the value of a number, nil when it is absent or wrong.
func (v *Value) Num(r Range) *float64 {
	if v == nil {
		return nil
	}
	if v.n.kind != Number {
		v.mismatch("Number")
		return nil
	}
	f, err := strconv.ParseFloat(v.n.str, 64)
	if err != nil { // beyond what a float64 holds
		v.Violate(v.n.str + " is not less or equal to " + number(math.MaxFloat64))
		return nil
	}
	if !v.within(f, r) {
		return nil
	}
	return &f
}

// Int returns the value of a whole number, written without fraction or
// exponent, nil when it is absent or wrong.
func (v *Value) Int(r Range) *int {
	if v == nil {
		return nil
	}
	if v.n.kind != Number || strings.ContainsAny(v.n.str, ".eE") {
		v.mismatch("Integer")
		return nil
	}
	r.Min, r.Max = max(r.Min, math.MinInt32), min(r.Max, math.MaxInt32)
	f, err := strconv.ParseFloat(v.n.str, 64)
	if err != nil || !v.within(f, r) {
		return nil
	}
	return new(int(f))
}

func (v *Value) within(f float64, r Range) bool {
	switch {
	case r.Above && f <= r.Min:
		v.Violate(v.n.str + " is not greater than " + number(r.Min))
	case f < r.Min:
		v.Violate(v.n.str + " is not greater or equal to " + number(r.Min))
	case f > r.Max:
		v.Violate(v.n.str + " is not less or equal to " + number(r.Max))
	default:
		return true
	}
	return false
}

func number(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Items returns the items of an array of the given length.
func (v *Value) Items(l Length) []*Value {
	if v == nil {
		return nil
	}
	if v.n.kind != Array {
		v.mismatch("JSONArray")
		return nil
	}
	n := len(v.n.kids)
	if n < l.Min {
		v.Violate("expected minimum item count: " + strconv.Itoa(l.Min) + ", found: " + strconv.Itoa(n))
	}
	if l.Max > 0 && n > l.Max {
		v.Violate("expected maximum item count: " + strconv.Itoa(l.Max) + ", found: " + strconv.Itoa(n))
		return nil
	}
	items := make([]*Value, n)
	for i := range items {
		items[i] = &Value{n: &v.n.kids[i].val, r: v.r, up: v, name: strconv.Itoa(i)}
	}
	return items
}

// Texts returns the texts of an array of strings, each at least one character.
func (v *Value) Texts(l Length) []string {
	items := v.Items(l)
	if len(items) == 0 {
		return nil
	}
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = item.Text(Length{Min: 1})
	}
	return out
}

// Show prepares a caller's own key or word for a message: short, one line.
func Show(s string) string {
	const most = 64
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("...")
			break
		}
		if r < 0x20 || r == 0x7f || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
