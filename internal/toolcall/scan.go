package toolcall

import "bytes"

// verdict is what a text so far can be.
type verdict uint8

const (
	no verdict = iota
	more
	yes
)

// begins returns how many bytes at the end of text may begin the marker.
func begins(text []byte, marker string) int {
	for n := min(len(marker)-1, len(text)); n > 0; n-- {
		if string(text[len(text)-n:]) == marker[:n] {
			return n
		}
	}
	return 0
}

// cursor reads a text that may go on.
type cursor struct {
	text []byte
	at   int
	v    verdict // yes while all that was wanted came
}

func (c *cursor) space() {
	for c.at < len(c.text) && bytes.IndexByte([]byte(" \t\r\n"), c.text[c.at]) >= 0 {
		c.at++
	}
}

// want reads white space and then exactly s.
func (c *cursor) want(s string) {
	if c.v != yes {
		return
	}
	c.space()
	for i := range len(s) {
		switch {
		case c.at == len(c.text):
			c.v = more
			return
		case c.text[c.at] != s[i]:
			c.v = no
			return
		}
		c.at++
	}
}

// head reads `{"name":"...","arguments":` and tells where the arguments, which
// begin with a brace, begin.
func head(text []byte) (name string, n int, v verdict) {
	c := cursor{text: text, v: yes}
	c.want("{")
	c.want(`"name"`)
	c.want(":")
	c.want(`"`)
	if c.v != yes {
		return "", 0, c.v
	}
	end := bytes.IndexByte(text[c.at:], '"')
	if end < 0 {
		return "", 0, more
	}
	name = string(text[c.at : c.at+end])
	c.at += end + 1
	c.want(",")
	c.want(`"arguments"`)
	c.want(":")
	c.want("{")
	return name, c.at - 1, c.v
}

// tail reads the brace that ends a call, and the marker behind it.
func tail(text []byte, marker string) (n int, v verdict) {
	c := cursor{text: text, v: yes}
	c.want("}")
	if marker != "" {
		c.want(marker)
	}
	return c.at, c.v
}

// value follows a JSON array or object to its end, however it is cut into
// pieces. It looks at brackets and strings only: what it finds may be no JSON.
type value struct {
	depth  int
	quoted bool
	escape bool
}

// push reads on and returns how many bytes belong to the value, and whether it
// has ended.
func (v *value) push(text []byte) (n int, whole bool) {
	for i, c := range text {
		switch {
		case v.escape:
			v.escape = false
		case v.quoted:
			v.escape, v.quoted = c == '\\', c != '"'
		case c == '"':
			v.quoted = true
		case c == '{' || c == '[':
			v.depth++
		case c == '}' || c == ']':
			if v.depth--; v.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(text), false
}
