package document

import (
	"strconv"
)

// token is one word of a page's program or of a character map.
type token struct {
	kind tokenKind
	text string  // name, text of a string, operator
	num  float64 // number
	list []token // array
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenNumber
	tokenName
	tokenString
	tokenArray
	tokenDict // its contents are not kept
	tokenOperator
	tokenClose // "]" or ">>"
)

// lexer reads the syntax that page programs and character maps share. It takes
// whatever comes: what is no token is left out.
// Source: ISO 32000-1:2008, 7.2 and 7.3.
type lexer struct {
	b []byte
	i int
}

// maxNesting of arrays and dictionaries.
const maxNesting = 32

// maxList is how many elements of an array are kept.
const maxList = 1 << 16

func (x *lexer) next() token { return x.token(0) }

func (x *lexer) token(depth int) token {
	for x.i < len(x.b) {
		switch c := x.b[x.i]; {
		case isWhite(c):
			x.i++
		case c == '%':
			for x.i < len(x.b) && x.b[x.i] != '\n' && x.b[x.i] != '\r' {
				x.i++
			}
		case c == '(':
			return token{kind: tokenString, text: x.literal()}
		case c == '<':
			if x.i+1 < len(x.b) && x.b[x.i+1] == '<' {
				x.i += 2
				return x.nested(tokenDict, depth)
			}
			return token{kind: tokenString, text: x.hex()}
		case c == '[':
			x.i++
			return x.nested(tokenArray, depth)
		case c == ']':
			x.i++
			return token{kind: tokenClose}
		case c == '>':
			x.i++
			if x.i < len(x.b) && x.b[x.i] == '>' {
				x.i++
			}
			return token{kind: tokenClose}
		case c == '/':
			x.i++
			return token{kind: tokenName, text: unescapeName(x.word())}
		case isDelimiter(c): // a stray ")", "{" or "}"
			x.i++
		default:
			return wordToken(x.word())
		}
	}
	return token{kind: tokenEnd}
}

func wordToken(w string) token {
	if c := w[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' {
		if n, err := strconv.ParseFloat(w, 64); err == nil {
			return token{kind: tokenNumber, num: n}
		}
	}
	return token{kind: tokenOperator, text: w}
}

func (x *lexer) nested(kind tokenKind, depth int) token {
	t := token{kind: kind}
	for {
		in := token{kind: tokenEnd}
		if depth < maxNesting {
			in = x.token(depth + 1)
		}
		if in.kind == tokenEnd || in.kind == tokenClose {
			return t
		}
		if kind == tokenArray && len(t.list) < maxList {
			t.list = append(t.list, in)
		}
	}
}

// word reads up to the next white space or delimiter.
func (x *lexer) word() string {
	start := x.i
	for x.i < len(x.b) && !isWhite(x.b[x.i]) && !isDelimiter(x.b[x.i]) {
		x.i++
	}
	return string(x.b[start:x.i])
}

func isWhite(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func isDelimiter(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

// unescapeName turns "#41" into "A".
func unescapeName(s string) string {
	for i := 0; i+2 < len(s); i++ {
		if s[i] != '#' {
			continue
		}
		if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
			s = s[:i] + string([]byte{byte(n)}) + s[i+3:]
		}
	}
	return s
}

// literal reads a string in parentheses.
func (x *lexer) literal() string {
	var b []byte
	depth := 0
	for x.i < len(x.b) {
		c := x.b[x.i]
		x.i++
		switch c {
		case '(':
			if depth++; depth > 1 {
				b = append(b, c)
			}
		case ')':
			if depth--; depth == 0 {
				return string(b)
			}
			b = append(b, c)
		case '\\':
			b = x.escape(b)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func (x *lexer) escape(b []byte) []byte {
	if x.i >= len(x.b) {
		return b
	}
	c := x.b[x.i]
	x.i++
	switch c {
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case '\r': // the line goes on
		if x.i < len(x.b) && x.b[x.i] == '\n' {
			x.i++
		}
		return b
	case '\n':
		return b
	}
	if c < '0' || c > '7' {
		return append(b, c)
	}
	n := int(c - '0')
	for range 2 {
		if x.i >= len(x.b) || x.b[x.i] < '0' || x.b[x.i] > '7' {
			break
		}
		n = n*8 + int(x.b[x.i]-'0')
		x.i++
	}
	return append(b, byte(n)) // #nosec G115 -- the high bit of \777 is dropped, as the format says
}

// hex reads a string in angle brackets.
func (x *lexer) hex() string {
	var b []byte
	x.i++
	half, have := byte(0), false
	for x.i < len(x.b) {
		c := x.b[x.i]
		x.i++
		var v byte
		switch {
		case c == '>':
			if have {
				b = append(b, half<<4)
			}
			return string(b)
		case c >= '0' && c <= '9':
			v = c - '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = c | 0x20 - 'a' + 10
		default:
			continue
		}
		if have {
			b = append(b, half<<4|v)
		}
		half, have = v, !have
	}
	return string(b)
}

// skipImage leaves out the bytes of an inline image, up to its end marker.
func (x *lexer) skipImage() {
	for x.i+2 < len(x.b) { // up to the data
		if w := x.next(); w.kind == tokenEnd || w.kind == tokenOperator && w.text == "ID" {
			break
		}
	}
	for ; x.i+2 < len(x.b); x.i++ {
		if isWhite(x.b[x.i]) && x.b[x.i+1] == 'E' && x.b[x.i+2] == 'I' && (x.i+3 == len(x.b) || isWhite(x.b[x.i+3])) {
			x.i += 3
			return
		}
	}
	x.i = len(x.b)
}
