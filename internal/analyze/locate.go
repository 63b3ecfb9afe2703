package analyze

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Position is a place in a text.
type Position struct {
	Line   int // from 1
	Column int // in characters, from 0
	Offset int // in characters, from 0
}

// positionOf is the place of a byte offset.
func positionOf(text []byte, offset int) Position {
	before := text[:min(offset, len(text))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Position{
		Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(before[start:]), Offset: utf8.RuneCount(before),
	}
}

// locate finds a value in a JSON text: path holds names of members and indices of
// lists. The index 0 of what is no list is the thing itself, as in policies. It
// goes as deep as there is something, and says how deep.
func locate(text []byte, path []any) (begin, end, depth int) {
	trimmed := bytes.TrimSpace(text)
	begin = bytes.Index(text, trimmed)
	end = begin + len(trimmed)
	raw := trimmed
	for ; depth < len(path); depth++ {
		name, isName := path[depth].(string)
		index, isIndex := path[depth].(int)
		isList := len(raw) > 0 && raw[0] == '['
		if isIndex && index == 0 && !isList {
			continue
		}
		var b, e int
		ok := false
		switch {
		case isName:
			b, e, ok = child(raw, '{', func(_ int, n string) bool { return n == name })
		case isList:
			b, e, ok = child(raw, '[', func(i int, _ string) bool { return i == index })
		}
		if !ok {
			return begin, end, depth
		}
		begin, end, raw = begin+b, begin+e, raw[b:e]
	}
	return begin, end, depth
}

// child finds a member of an object, or an item of a list.
func child(raw []byte, open json.Delim, is func(index int, name string) bool) (begin, end int, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != open {
		return 0, 0, false
	}
	for i := 0; dec.More(); i++ {
		name := ""
		if open == '{' {
			t, err := dec.Token()
			if err != nil {
				return 0, 0, false
			}
			name, _ = t.(string)
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return 0, 0, false
		}
		if is(i, name) {
			end = int(dec.InputOffset())
			return end - len(v), end, true
		}
	}
	return 0, 0, false
}
