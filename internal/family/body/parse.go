// Package body reads and writes the native JSON bodies of model families.
//
// Reading is strict, as at Bedrock: every key must be known, every value must
// have the right type and range, and what is wrong is named by its JSON pointer
// ("#/temperature: 2 is not less or equal to 1"). Keys are case-sensitive, a key
// may stand once only, text must be valid UTF-8. Writing never escapes HTML.
//
// The wording of the messages is that of the JSON schema validator which
// Bedrock uses; clients match on it.
package body

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of a body beyond its size in bytes, which the gateway bounds. They keep
// a hostile body from costing much more memory than its own length.
const (
	MaxDepth  = 100     // nesting of objects and arrays
	MaxValues = 250_000 // values of all kinds in one body
	maxNumber = 64      // characters of a number literal
)

// GuardrailConfig is the key that Bedrock takes out of every native body before
// the model sees it.
const GuardrailConfig = "amazon-bedrock-guardrailConfig"

// Kind is the type of a JSON value.
type Kind uint8

// The kinds of JSON values.
const (
	Null Kind = iota + 1
	Bool
	Number
	String
	Array
	Object
)

// node is a parsed value. Strings without escapes are parts of the body.
type node struct {
	kind Kind
	str  string // String: text; Number: literal; Bool: "true" or "false"
	kids []kid  // Array: key is ""; Object
}

type kid struct {
	key string
	val node
}

// Parse reads a body, whose root must be an object. The key GuardrailConfig of
// the root counts as read.
//
// Errors: ValidationException with Bedrock's text.
func Parse(data []byte) (*Value, error) {
	if !utf8.Valid(data) {
		return nil, malformed("the body is not valid UTF-8")
	}
	p := parser{s: string(data)}
	p.space()
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i != len(p.s) {
		return nil, syntax()
	}
	root := &Value{n: &n, r: &report{}}
	if n.kind != Object {
		root.mismatch("JSONObject")
		return nil, root.Err()
	}
	root.Skip(GuardrailConfig)
	return root, nil
}

func syntax() error {
	return apierr.Validation("Malformed input request, please reformat your input and try again.")
}

func malformed(what string) error {
	return apierr.Validation("Malformed input request: %s, please reformat your input and try again.", what)
}

type parser struct {
	s     string
	i     int
	count int
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (node, error) {
	if p.i >= len(p.s) {
		return node{}, syntax()
	}
	if p.count++; p.count > MaxValues {
		return node{}, malformed("#: more than " + strconv.Itoa(MaxValues) + " values")
	}
	switch c := p.s[p.i]; {
	case c == '"':
		s, err := p.string()
		return node{kind: String, str: s}, err
	case c == '{':
		return p.object(depth + 1)
	case c == '[':
		return p.array(depth + 1)
	case c == '-' || '0' <= c && c <= '9':
		s, err := p.number()
		return node{kind: Number, str: s}, err
	default:
		return p.word()
	}
}

func (p *parser) word() (node, error) {
	for _, w := range [...]node{{kind: Bool, str: "true"}, {kind: Bool, str: "false"}, {kind: Null, str: "null"}} {
		if strings.HasPrefix(p.s[p.i:], w.str) {
			p.i += len(w.str)
			return w, nil
		}
	}
	return node{}, syntax()
}

// open steps over an opening bracket and reports whether the bracket closes at
// once.
func (p *parser) open(depth int, closing byte) (bool, error) {
	if depth > MaxDepth {
		return false, malformed("#: nested deeper than " + strconv.Itoa(MaxDepth))
	}
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == closing {
		p.i++
		return true, nil
	}
	return false, nil
}

// next steps over a comma or the closing bracket and reports whether it was the
// bracket.
func (p *parser) next(closing byte) (bool, error) {
	p.space()
	if p.i >= len(p.s) {
		return false, syntax()
	}
	c := p.s[p.i]
	p.i++
	switch c {
	case closing:
		return true, nil
	case ',':
		p.space()
		return false, nil
	}
	return false, syntax()
}

func (p *parser) array(depth int) (node, error) {
	n := node{kind: Array}
	end, err := p.open(depth, ']')
	for !end && err == nil {
		var v node
		if v, err = p.value(depth); err != nil {
			break
		}
		n.kids = append(n.kids, kid{val: v})
		end, err = p.next(']')
	}
	return n, err
}

func (p *parser) object(depth int) (node, error) {
	n := node{kind: Object}
	var keys keySet
	end, err := p.open(depth, '}')
	for !end && err == nil {
		var key string
		if key, err = p.key(); err != nil {
			break
		}
		if !keys.add(n.kids, key) {
			return n, malformed("#: duplicate key [" + Show(key) + "]")
		}
		var v node
		if v, err = p.value(depth); err != nil {
			break
		}
		n.kids = append(n.kids, kid{key: key, val: v})
		end, err = p.next('}')
	}
	return n, err
}

func (p *parser) key() (string, error) {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		return "", syntax()
	}
	key, err := p.string()
	if err != nil {
		return "", err
	}
	p.space()
	if p.i >= len(p.s) || p.s[p.i] != ':' {
		return "", syntax()
	}
	p.i++
	p.space()
	return key, nil
}

// keySet finds repeated keys: by search in a small object, by map in a large one.
type keySet map[string]struct{}

func (k *keySet) add(have []kid, key string) bool {
	const small = 16
	if len(have) < small {
		for i := range have {
			if have[i].key == key {
				return false
			}
		}
		return true
	}
	if *k == nil {
		*k = make(keySet, 2*small)
		for i := range have {
			(*k)[have[i].key] = struct{}{}
		}
	}
	if _, ok := (*k)[key]; ok {
		return false
	}
	(*k)[key] = struct{}{}
	return true
}

func (p *parser) number() (string, error) {
	start := p.i
	if p.s[p.i] == '-' {
		p.i++
	}
	switch whole := p.digits(); {
	case whole == "", len(whole) > 1 && whole[0] == '0':
		return "", syntax()
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		if p.digits() == "" {
			return "", syntax()
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if p.digits() == "" {
			return "", syntax()
		}
	}
	if p.i-start > maxNumber {
		return "", malformed("#: a number has more than " + strconv.Itoa(maxNumber) + " characters")
	}
	return p.s[start:p.i], nil
}

func (p *parser) digits() string {
	start := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.s[start:p.i]
}

// string reads a string literal. An escaped half of a surrogate pair becomes
// U+FFFD.
func (p *parser) string() (string, error) {
	p.i++
	start := p.i
	var out []byte // nil as long as the literal has no escape
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			part := p.s[start:p.i]
			p.i++
			if out == nil {
				return part, nil
			}
			return string(append(out, part...)), nil
		case c < 0x20:
			return "", syntax()
		case c == '\\':
			out = append(out, p.s[start:p.i]...)
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
			start = p.i
		default:
			p.i++
		}
	}
	return "", syntax()
}

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.i+1 >= len(p.s) {
		return nil, syntax()
	}
	c := p.s[p.i+1]
	p.i += 2
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
	default:
		return nil, syntax()
	}
	r, ok := p.hex4()
	if !ok {
		return nil, syntax()
	}
	if utf16.IsSurrogate(r) {
		mark := p.i
		low := rune(0)
		if strings.HasPrefix(p.s[p.i:], `\u`) {
			p.i += 2
			if low, ok = p.hex4(); !ok {
				return nil, syntax()
			}
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			p.i = mark
		}
	}
	return utf8.AppendRune(out, r), nil
}

func (p *parser) hex4() (rune, bool) {
	if p.i+4 > len(p.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.s[p.i:p.i+4], 16, 16)
	if err != nil {
		return 0, false
	}
	p.i += 4
	return rune(n), true
}
