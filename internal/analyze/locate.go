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

// node is a value of a JSON text and where it stands.
type node struct {
	begin, end int
	members    map[string]*node // of an object; of members with one name the first
	items      []*node          // of a list
}

// outline finds the values of a JSON text. A text that is no JSON has one value, or
// as many as can be read.
func outline(text []byte) *node {
	trimmed := bytes.TrimSpace(text)
	n := &node{begin: bytes.Index(text, trimmed)}
	n.end = n.begin + len(trimmed)
	n.read(trimmed, 0)
	return n
}

// read finds what is within a value.
func (n *node) read(raw []byte, depth int) {
	if depth > maxOutline || len(raw) == 0 || raw[0] != '{' && raw[0] != '[' {
		return
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return
	}
	for dec.More() {
		name := ""
		if raw[0] == '{' {
			t, err := dec.Token()
			if err != nil {
				return
			}
			name, _ = t.(string)
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return
		}
		end := int(dec.InputOffset())
		c := &node{begin: n.begin + end - len(v), end: n.begin + end}
		c.read(v, depth+1)
		if raw[0] == '[' {
			n.items = append(n.items, c)
			continue
		}
		if n.members == nil {
			n.members = map[string]*node{}
		}
		if n.members[name] == nil {
			n.members[name] = c
		}
	}
}

// maxOutline is how deep an outline goes: as deep as policies.
const maxOutline = 6

// find finds a value: path holds names of members and indices of lists. The index 0
// of what is no list is the thing itself, as in policies. It goes as deep as there
// is something, and says how deep.
func (n *node) find(path []any) (found *node, depth int) {
	for ; depth < len(path); depth++ {
		var next *node
		switch step := path[depth].(type) {
		case string:
			next = n.members[step]
		case int:
			if step < len(n.items) {
				next = n.items[step]
			} else if step == 0 {
				next = n
			}
		}
		if next == nil {
			return n, depth
		}
		n = next
	}
	return n, depth
}
