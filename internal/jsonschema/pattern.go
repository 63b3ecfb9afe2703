package jsonschema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits on patterns: their text in bytes, and the instructions that all of a
// schema compile to.
const (
	maxPattern  = 2_000
	maxPrograms = 100_000
)

// pattern is a regular expression of ECMA-262, translated to Go's.
type pattern struct {
	text string // as the schema spells it
	re   *regexp.Regexp
	prog *syntax.Prog
}

// MatchString reports whether s contains a match.
func (p *pattern) MatchString(s string) bool { return p.re.MatchString(s) }

// String returns the pattern as the schema spells it.
func (p *pattern) String() string { return p.text }

// compilePattern reads a pattern. The error is a clause for *Error.Reason.
func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("is longer than %d bytes", maxPattern)
	}
	translated, err := translate(text)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		if bad, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("is a pattern with %s", bad.Code)
		}
		return nil, errors.New("is not a pattern")
	}
	tree, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return nil, errors.New("is not a pattern")
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > maxPrograms {
		return nil, errors.New("is too large a pattern")
	}
	return &pattern{text: text, re: re, prog: prog}, nil
}

// White space and line ends of ECMA-262; Go's \s and . mean fewer of them.
const (
	spaces    = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpaces = `\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}` +
		`\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	notLineEnds = `[^\n\r\x{2028}\x{2029}]`
)

// translate rewrites a pattern of ECMA-262 so that Go's regexp means the same,
// and refuses what it cannot express.
func translate(text string) (string, error) {
	t := translation{in: text}
	for t.in != "" {
		if err := t.step(); err != nil {
			return "", err
		}
	}
	if t.class {
		return "", errors.New("is a pattern with an open [")
	}
	return t.out.String(), nil
}

type translation struct {
	in    string
	out   strings.Builder
	class bool // within [...]
}

func (t *translation) step() error {
	c, size := utf8.DecodeRuneInString(t.in)
	rest := t.in[size:]
	switch {
	case c == '\\':
		t.in = rest
		return t.escape()
	case t.class:
		switch c {
		case ']':
			t.class = false
		case '[', '&', '~':
			t.out.WriteByte('\\')
		}
	case c == '[':
		return t.open(rest)
	case c == '.':
		t.in = rest
		t.out.WriteString(notLineEnds)
		return nil
	case c == '(':
		return t.group(rest)
	}
	t.in = rest
	t.out.WriteRune(c)
	return nil
}

func (t *translation) open(rest string) error {
	switch {
	case strings.HasPrefix(rest, "^]"):
		t.in = rest[2:]
		t.out.WriteString(`[\x{0}-\x{10ffff}]`)
		return nil
	case strings.HasPrefix(rest, "]"):
		return errors.New("is a pattern with the empty class []")
	}
	t.class = true
	t.out.WriteByte('[')
	if strings.HasPrefix(rest, "^") {
		t.out.WriteByte('^')
		rest = rest[1:]
	}
	t.in = rest
	return nil
}

func (t *translation) group(rest string) error {
	switch {
	case !strings.HasPrefix(rest, "?"):
	case strings.HasPrefix(rest, "?="), strings.HasPrefix(rest, "?!"),
		strings.HasPrefix(rest, "?<="), strings.HasPrefix(rest, "?<!"):
		return errors.New("is a pattern with look-around, which is not supported")
	case strings.HasPrefix(rest, "?:"), strings.HasPrefix(rest, "?<"):
	default:
		return errors.New("is a pattern with a group of an unknown kind")
	}
	t.in = rest
	t.out.WriteByte('(')
	return nil
}

// escape translates what follows a backslash.
func (t *translation) escape() error {
	if t.in == "" {
		return errors.New("is a pattern that ends in a backslash")
	}
	c, size := utf8.DecodeRuneInString(t.in)
	t.in = t.in[size:]
	switch {
	case strings.ContainsRune("dDwWfnrtv", c):
		t.out.WriteByte('\\')
		t.out.WriteRune(c)
	case c == 's' || c == 'S':
		set := spaces
		if c == 'S' {
			set = notSpaces
		}
		if !t.class {
			set = "[" + set + "]"
		}
		t.out.WriteString(set)
	case c == 'b' && t.class:
		t.out.WriteString(`\x08`)
	case c == 'b' || c == 'B':
		t.out.WriteByte('\\')
		t.out.WriteRune(c)
	case c == 'p' || c == 'P':
		return t.property(c)
	case c == 'u' || c == 'x' || c == 'c' || c == '0':
		return t.number(c)
	case '1' <= c && c <= '9' || c == 'k':
		return errors.New("is a pattern with a back reference, which is not supported")
	case c < utf8.RuneSelf && (c == '_' || !isWord(c)) && c >= ' ':
		t.out.WriteByte('\\')
		t.out.WriteRune(c)
	default:
		return fmt.Errorf("is a pattern with the unknown escape \\%c", c)
	}
	return nil
}

func (t *translation) property(c rune) error {
	name, rest, ok := strings.Cut(t.in, "}")
	name, open := strings.CutPrefix(name, "{")
	if !ok || !open {
		return errors.New(`is a pattern with \p but without {...}`)
	}
	for _, long := range []string{"Script=", "sc=", "General_Category=", "gc="} {
		name = strings.TrimPrefix(name, long)
	}
	t.in = rest
	fmt.Fprintf(&t.out, `\%c{%s}`, c, name)
	return nil
}

// number translates escapes that give the number of a character.
func (t *translation) number(c rune) error {
	r, rest, ok := rune(0), t.in, true
	switch {
	case c == '0':
		ok = rest == "" || rest[0] < '0' || rest[0] > '9'
	case c == 'c':
		if ok = rest != "" && isWord(rune(rest[0])) && rest[0] >= 'A'; ok {
			r, rest = rune(rest[0])%32, rest[1:]
		}
	case c == 'x':
		r, rest, ok = hex(rest, 2)
	case strings.HasPrefix(rest, "{"):
		digits, after, closed := strings.Cut(rest[1:], "}")
		r, _, ok = hex(digits, len(digits))
		rest, ok = after, ok && closed
	default:
		r, rest, ok = hex(rest, 4)
		if low, found := strings.CutPrefix(rest, `\u`); ok && found && 0xd800 <= r && r < 0xdc00 {
			if l, after, pair := hex(low, 4); pair && 0xdc00 <= l && l < 0xe000 {
				r, rest = (r-0xd800)<<10+(l-0xdc00)+0x10000, after
			}
		}
	}
	if !ok || r > utf8.MaxRune || 0xd800 <= r && r < 0xe000 {
		return fmt.Errorf("is a pattern with a wrong \\%c escape", c)
	}
	t.in = rest
	fmt.Fprintf(&t.out, `\x{%x}`, r)
	return nil
}

func hex(s string, n int) (rune, string, bool) {
	if n == 0 || n > 6 || len(s) < n {
		return 0, s, false
	}
	r, err := strconv.ParseUint(s[:n], 16, 32)
	return rune(r), s[n:], err == nil
}

// isWord reports whether r belongs to \w.
func isWord(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
