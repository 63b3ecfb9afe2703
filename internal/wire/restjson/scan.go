package restjson

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth = 100 // nested objects and arrays
	// maxKeys is how many keys the objects of a body may have together that the
	// API does not know or that stand in free-form documents: each is remembered
	// until its object ends, to find one that stands twice.
	maxKeys = 250_000
)

// scanner reads JSON text (RFC 8259) byte by byte. The caller has checked that
// buf is valid UTF-8.
type scanner struct {
	buf   []byte
	pos   int
	depth int
	count int      // keys that were added to any keySet
	keys  [][]byte // keys of the objects that skip is inside of
}

// fault is what can be wrong with JSON text. The zero value means nothing.
type fault string

const (
	faultSyntax    fault = "is not valid JSON"
	faultDepth     fault = "is nested too deeply"
	faultDuplicate fault = "has the same key twice"
	faultKeys      fault = "has too many keys"
	faultString    fault = "has a malformed string"
	faultNumber    fault = "has a malformed number"
)

// token is the first byte that tells what a value is.
func (s *scanner) token() byte {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// take consumes c if it is the next token.
func (s *scanner) take(c byte) bool {
	if s.token() != c {
		return false
	}
	s.pos++
	return true
}

// open consumes the bracket c and counts the depth.
func (s *scanner) open(c byte) fault {
	if !s.take(c) {
		return faultSyntax
	}
	if s.depth++; s.depth > maxDepth {
		return faultDepth
	}
	return ""
}

// more moves to the next element of an object or array that ends with end.
// first is true before the first element. done means that end was consumed.
func (s *scanner) more(end byte, first bool) (done bool, f fault) {
	if s.take(end) {
		s.depth--
		return true, ""
	}
	if !first {
		if !s.take(',') {
			return false, faultSyntax
		}
		if s.token() == end {
			return false, faultSyntax
		}
	}
	return false, ""
}

// null consumes null if it is next.
func (s *scanner) null() bool { return s.token() == 'n' && s.literal("null") }

// literal consumes word, which begins at the next token.
func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.buf[s.pos:], []byte(word)) {
		return false
	}
	s.pos += len(word)
	return true
}

// str consumes a string and returns what stands between its quotes; escaped
// tells that it holds backslashes, which are all well-formed.
func (s *scanner) str() (raw []byte, escaped bool, f fault) {
	if !s.take('"') {
		return nil, false, faultSyntax
	}
	start := s.pos
	for s.pos < len(s.buf) {
		switch c := s.buf[s.pos]; {
		case c == '"':
			raw = s.buf[start:s.pos]
			s.pos++
			return raw, escaped, ""
		case c == '\\':
			escaped = true
			if !s.escape() {
				return nil, false, faultString
			}
		case c < ' ':
			return nil, false, faultString
		default:
			s.pos++
		}
	}
	return nil, false, faultString
}

// escape consumes one escape sequence, or two that are a surrogate pair.
func (s *scanner) escape() bool {
	if s.pos+1 >= len(s.buf) {
		return false
	}
	switch s.buf[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
		n := escapedRune(s.buf[s.pos:])
		size := 6
		if isHigh(n) {
			if !isLow(escapedRune(s.buf[s.pos+6:])) {
				return false
			}
			size = 12
		} else if n < 0 || isLow(n) {
			return false
		}
		s.pos += size
		return true
	}
	return false
}

func isHigh(r rune) bool { return r >= 0xd800 && r < 0xdc00 }
func isLow(r rune) bool  { return r >= 0xdc00 && r < 0xe000 }

// escapedRune reads \uXXXX at the start of b, or returns -1.
func escapedRune(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// escapeLen is the length of the well-formed escape sequence, or surrogate pair of
// them, that b begins with.
func escapeLen(b []byte) int {
	switch {
	case b[1] != 'u':
		return 2
	case isHigh(escapedRune(b)):
		return 12
	}
	return 6
}

// appendUnescaped appends the text of a string that str returned.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i:]
		c := raw[1]
		if c != 'u' {
			if j := strings.IndexByte("bfnrt", c); j >= 0 {
				c = "\b\f\n\r\t"[j]
			}
			dst = append(dst, c)
			raw = raw[2:]
			continue
		}
		r := escapedRune(raw)
		raw = raw[6:]
		if isHigh(r) {
			r = 0x10000 + (r-0xd800)<<10 + (escapedRune(raw) - 0xdc00)
			raw = raw[6:]
		}
		dst = utf8.AppendRune(dst, r)
	}
}

// number consumes a number and returns its text; whole tells that it has
// neither fraction nor exponent.
func (s *scanner) number() (raw []byte, whole bool, f fault) {
	s.token()
	start := s.pos
	if s.at('-') {
		s.pos++
	}
	switch {
	case s.at('0'):
		s.pos++
	case !s.digits():
		return nil, false, faultNumber
	}
	whole = true
	if s.at('.') {
		whole = false
		s.pos++
		if !s.digits() {
			return nil, false, faultNumber
		}
	}
	if s.at('e') || s.at('E') {
		whole = false
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if !s.digits() {
			return nil, false, faultNumber
		}
	}
	return s.buf[start:s.pos], whole, ""
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.buf) && s.buf[s.pos] == c }

// digits consumes one or more digits.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.buf) && s.buf[s.pos] >= '0' && s.buf[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// skip consumes one value of any kind, checking it in full.
func (s *scanner) skip() fault {
	switch c := s.token(); c {
	case '{':
		return s.skipObject()
	case '[':
		if f := s.open('['); f != "" {
			return f
		}
		for first := true; ; first = false {
			done, f := s.more(']', first)
			if done || f != "" {
				return f
			}
			if f := s.skip(); f != "" {
				return f
			}
		}
	case '"':
		_, _, f := s.str()
		return f
	case 't', 'f', 'n':
		if s.literal("true") || s.literal("false") || s.literal("null") {
			return ""
		}
		return faultSyntax
	default:
		if c != '-' && (c < '0' || c > '9') {
			return faultSyntax
		}
		_, _, f := s.number()
		return f
	}
}

func (s *scanner) skipObject() fault {
	if f := s.open('{'); f != "" {
		return f
	}
	set := s.newKeySet()
	defer set.close()
	for first := true; ; first = false {
		done, f := s.more('}', first)
		if done || f != "" {
			return f
		}
		raw, escaped, f := s.str()
		if f != "" {
			return f
		}
		if escaped {
			raw = appendUnescaped(nil, raw)
		}
		if f := set.add(raw); f != "" {
			return f
		}
		if !s.take(':') {
			return faultSyntax
		}
		if f := s.skip(); f != "" {
			return f
		}
	}
}

// keySet finds keys that stand twice in one object. Small objects are searched
// in a line on a stack that all open objects share, large ones through a map.
type keySet struct {
	s     *scanner
	base  int
	large map[string]struct{}
}

func (s *scanner) newKeySet() keySet { return keySet{s: s, base: len(s.keys)} }

// add takes one more key.
func (k *keySet) add(key []byte) fault {
	const small = 24
	if k.s.count++; k.s.count > maxKeys {
		return faultKeys
	}
	own := k.s.keys[k.base:]
	if k.large == nil && len(own) == small {
		k.large = make(map[string]struct{}, 4*small)
		for _, o := range own {
			k.large[string(o)] = struct{}{}
		}
	}
	if k.large != nil {
		if _, dup := k.large[string(key)]; dup {
			return faultDuplicate
		}
		k.large[string(key)] = struct{}{}
		return ""
	}
	for _, o := range own {
		if bytes.Equal(o, key) {
			return faultDuplicate
		}
	}
	k.s.keys = append(k.s.keys, key)
	return ""
}

func (k *keySet) close() { k.s.keys = k.s.keys[:k.base] }
