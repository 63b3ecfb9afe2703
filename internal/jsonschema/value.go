package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNumberText is the longest text of a number and the largest power of ten
// that it may have: exact arithmetic on more would cost memory without end.
const maxNumberText = 400

// object is a JSON object that keeps the order of its members.
type object struct {
	keys []string
	vals map[string]any
}

// fault says what is wrong with a JSON text, and where.
type fault struct{ pointer, reason string }

func (f *fault) Error() string { return f.pointer + ": " + f.reason }

// read returns the one JSON value in raw: nil, bool, json.Number, string, []any
// or *object. It refuses what JSON leaves open: two members of one name, bytes
// that are not UTF-8, nesting deeper than depth and numbers beyond
// maxNumberText.
func read(raw []byte, depth int) (any, *fault) {
	if !utf8.Valid(raw) {
		return nil, &fault{"", "is not UTF-8"}
	}
	if !json.Valid(raw) {
		return nil, &fault{"", "is not one JSON value"}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	r := reader{dec: dec, depth: depth}
	v, err := r.value("", 0)
	if err != nil {
		if f, ok := errors.AsType[*fault](err); ok {
			return nil, f
		}
		return nil, &fault{"", "is not one JSON value"}
	}
	return v, nil
}

type reader struct {
	dec   *json.Decoder
	depth int
}

func (r *reader) value(at string, depth int) (any, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if !smallNumber(t) {
			return nil, &fault{at, fmt.Sprintf("has a number of more than %d digits", maxNumberText)}
		}
		return t, nil
	case json.Delim:
		if depth++; depth > r.depth {
			return nil, &fault{at, fmt.Sprintf("is nested deeper than %d levels", r.depth)}
		}
		if t == '[' {
			return r.array(at, depth)
		}
		return r.object(at, depth)
	default:
		return t, nil
	}
}

func (r *reader) array(at string, depth int) (any, error) {
	list := []any{}
	for r.dec.More() {
		v, err := r.value(at+"/"+strconv.Itoa(len(list)), depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := r.dec.Token()
	return list, err
}

func (r *reader) object(at string, depth int) (any, error) {
	o := &object{vals: map[string]any{}}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		if _, twice := o.vals[key]; twice {
			return nil, &fault{at, "has two members of one name"}
		}
		v, err := r.value(at+"/"+escapePointer(key), depth)
		if err != nil {
			return nil, err
		}
		o.keys, o.vals[key] = append(o.keys, key), v
	}
	_, err := r.dec.Token()
	return o, err
}

// smallNumber reports whether a number is small enough to compute with.
func smallNumber(n json.Number) bool {
	s := string(n)
	if len(s) > maxNumberText {
		return false
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	exp, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
	return err == nil && -maxNumberText <= exp && exp <= maxNumberText
}

// plain turns a value of read into the one that encoding/json would make.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plain(e)
		}
		return list
	case *object:
		m := make(map[string]any, len(v.keys))
		for k, e := range v.vals {
			m[k] = plain(e)
		}
		return m
	default:
		return v
	}
}

// compact returns the JSON text of a value of read, without white space and
// with as few escapes as JSON allows. Numbers keep their own text.
func compact(v any) string {
	var b strings.Builder
	writeCompact(&b, v)
	return b.String()
}

func writeCompact(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(string(v))
	case string:
		b.WriteByte('"')
		for _, r := range v {
			b.WriteString(escapeRune(r))
		}
		b.WriteByte('"')
	case []any:
		for i, e := range v {
			b.WriteByte("[,"[min(i, 1)])
			writeCompact(b, e)
		}
		if len(v) == 0 {
			b.WriteByte('[')
		}
		b.WriteByte(']')
	case *object:
		for i, k := range v.keys {
			b.WriteByte("{,"[min(i, 1)])
			writeCompact(b, k)
			b.WriteByte(':')
			writeCompact(b, v.vals[k])
		}
		if len(v.keys) == 0 {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	}
}

// escapeRune returns r as it stands in a JSON string.
func escapeRune(r rune) string {
	switch r {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	}
	if r < 0x20 {
		return fmt.Sprintf(`\u%04x`, r)
	}
	return string(r)
}

func escapePointer(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}
