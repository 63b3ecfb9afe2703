package jsonschema

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// runes is a set of code points: pairs of first and last, in order and apart.
type runes []rune

func (s runes) empty() bool { return len(s) == 0 }

// single returns the only member of a set of one.
func (s runes) single() (rune, bool) {
	if len(s) == 2 && s[0] == s[1] {
		return s[0], true
	}
	return 0, false
}

// with returns the union of two sets.
func (s runes) with(t runes) runes {
	pairs := make([][2]rune, 0, (len(s)+len(t))/2)
	for _, set := range []runes{s, t} {
		for i := 0; i < len(set); i += 2 {
			pairs = append(pairs, [2]rune{set[i], set[i+1]})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	var out runes
	for _, p := range pairs {
		if n := len(out); n > 0 && p[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], p[1])
			continue
		}
		out = append(out, p[0], p[1])
	}
	return out
}

// and returns the members that both sets have.
func (s runes) and(t runes) runes {
	var out runes
	for i, j := 0, 0; i < len(s) && j < len(t); {
		lo, hi := max(s[i], t[j]), min(s[i+1], t[j+1])
		if lo <= hi {
			out = append(out, lo, hi)
		}
		if s[i+1] < t[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return out
}

// legible are the code points that may stand in a JSON string as they are and
// that a reader can see, escaped those that are written with a backslash, and
// rest all others. Nothing changes these sets.
var (
	legible = runes{' ', '!', '#', '[', ']', '~', 0xa0, 0xd7ff, 0xe000, 0xfffd, 0x10000, 0x1fffd, 0x20000, 0x2fffd, 0x30000, 0x3fffd}
	escaped = runes{'\t', '\n', '"', '"', '\\', '\\'}
	rest    = runes{0, 0x1f, 0x7f, 0x9f, 0xfffe, 0xffff, 0x1fffe, 0x1ffff, 0x2fffe, 0x2ffff, 0x3fffe, utf8.MaxRune}
)

// class returns a GBNF character class.
func (s runes) class() string {
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(s); i += 2 {
		writeClassRune(&b, s[i])
		if s[i+1] != s[i] {
			if s[i+1] > s[i]+1 {
				b.WriteByte('-')
			}
			writeClassRune(&b, s[i+1])
		}
	}
	b.WriteByte(']')
	return b.String()
}

func writeClassRune(b *strings.Builder, r rune) {
	switch {
	case isWord(r):
		b.WriteRune(r)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02X`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04X`, r)
	default:
		fmt.Fprintf(b, `\U%08X`, r)
	}
}

// longClass is the length from which a class becomes a rule of its own.
const longClass = 48

// char returns the expression for one character of the set; in a JSON string
// (quoted) what must be escaped is. Control characters are left out unless the
// set has nothing else.
func (w *writer) char(s runes, quoted bool) fragment {
	key := charKey{&s[0], len(s), quoted}
	f, ok := w.chars[key]
	if !ok {
		f = w.newChar(s, quoted)
		w.chars[key] = f
	}
	return f
}

// charKey is one set, by where it lies in memory: no set is changed.
type charKey struct {
	first  *rune
	length int
	quoted bool
}

func (w *writer) newChar(s runes, quoted bool) fragment {
	if r, one := s.single(); one {
		if quoted {
			return literal(escapeRune(r))
		}
		return literal(string(r))
	}
	if !quoted {
		return fragment{s.class(), 1}
	}
	var parts []fragment
	if plain := s.and(legible); !plain.empty() {
		class := plain.class()
		if r, one := plain.single(); one {
			class = Literal(string(r))
		}
		if len(class) > longClass {
			class = w.rule(class)
		}
		parts = append(parts, fragment{class, 1})
	}
	more := s.and(escaped)
	if len(parts) == 0 && more.empty() {
		more = s.and(rest)
		if lots := more.and(runes{0x7f, utf8.MaxRune}); !lots.empty() {
			parts, more = append(parts, fragment{lots.class(), 1}), nil
		}
	}
	for i := 0; i < len(more); i += 2 {
		for r := more[i]; r <= more[i+1]; r++ {
			parts = append(parts, fragment{Literal(escapeRune(r)), 1})
		}
	}
	return w.union(parts)
}
