package restjson

import (
	"strconv"
	"strings"
)

// path is the place of a value in an input, spelled as AWS does: members by
// name, list items by their number from 1 and map values by their key, the last
// two followed by "member".
type path struct{ segs []segment }

type segment struct {
	name  string // member or map key
	index int    // list item from 0, or one of the two below
}

const (
	segMember = -1 - iota
	segKey
)

func (p *path) member(name string) { p.segs = append(p.segs, segment{name, segMember}) }
func (p *path) item(i int)         { p.segs = append(p.segs, segment{"", i}) }
func (p *path) key(k string)       { p.segs = append(p.segs, segment{k, segKey}) }
func (p *path) pop()               { p.segs = p.segs[:len(p.segs)-1] }

// String returns the path, or "body" for the root.
func (p *path) String() string {
	if len(p.segs) == 0 {
		return "body"
	}
	var b strings.Builder
	for i, s := range p.segs {
		if i > 0 {
			b.WriteByte('.')
		}
		switch s.index {
		case segMember:
			b.WriteString(s.name)
		case segKey:
			b.WriteString(clip(s.name))
			b.WriteString(".member")
		default:
			b.WriteString(strconv.Itoa(s.index + 1))
			b.WriteString(".member")
		}
	}
	return b.String()
}

// maxEcho is how much of a caller's value an error message repeats, in characters.
const maxEcho = 64

// clip cuts s to maxEcho characters.
func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	n := 0
	for i := range s {
		if n == maxEcho {
			return s[:i] + "..."
		}
		n++
	}
	return s
}
