package jsonschema_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// gbnf is a grammar read back from its text, to make random sentences of it and
// to tell whether a text is one.
type gbnf struct{ rules map[string][][]symbol }

// symbol is a rule's name or a set of characters.
type symbol struct {
	rule string
	set  []rune // pairs
}

// readGBNF understands what the package writes: literals, classes, names and
// alternatives. An engine's parser takes more.
func readGBNF(t testing.TB, text string) *gbnf {
	t.Helper()
	g := &gbnf{rules: map[string][][]symbol{}}
	for line := range strings.Lines(text) {
		name, body, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ::= ")
		if !ok || g.rules[name] != nil {
			t.Fatalf("not a rule, or one of a name twice: %q", line)
		}
		g.rules[name] = readBody(t, body)
	}
	for name, ways := range g.rules {
		for _, way := range ways {
			for _, s := range way {
				if s.rule != "" && g.rules[s.rule] == nil {
					t.Fatalf("rule %s uses %s, which is not there", name, s.rule)
				}
			}
		}
	}
	return g
}

func readBody(t testing.TB, body string) [][]symbol {
	t.Helper()
	ways := [][]symbol{nil}
	for body != "" {
		last := &ways[len(ways)-1]
		switch c := body[0]; {
		case c == ' ':
			body = body[1:]
		case c == '|':
			ways, body = append(ways, nil), body[1:]
		case c == '"':
			body = body[1:]
			for body[0] != '"' {
				var r rune
				r, body = readRune(t, body)
				*last = append(*last, symbol{set: []rune{r, r}})
			}
			body = body[1:]
		case c == '[':
			var s symbol
			for body = body[1:]; body[0] != ']'; {
				var lo, hi rune
				lo, body = readRune(t, body)
				if hi = lo; body[0] == '-' {
					hi, body = readRune(t, body[1:])
				}
				s.set = append(s.set, lo, hi)
			}
			*last, body = append(*last, s), body[1:]
		default:
			n := strings.IndexFunc(body, func(r rune) bool {
				return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
			})
			if n < 0 {
				n = len(body)
			}
			if n == 0 {
				t.Fatalf("not GBNF: %q", body)
			}
			*last, body = append(*last, symbol{rule: body[:n]}), body[n:]
		}
	}
	return ways
}

func readRune(t testing.TB, s string) (rune, string) {
	t.Helper()
	if s[0] != '\\' {
		r, n := utf8.DecodeRuneInString(s)
		return r, s[n:]
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if digits == 0 {
		if !strings.ContainsRune(`"\`, rune(s[1])) {
			t.Fatalf("escape \\%c", s[1])
		}
		return rune(s[1]), s[2:]
	}
	r, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return rune(r), s[2+digits:]
}

// sentence makes a random sentence.
func (g *gbnf) sentence(rnd *rand.Rand) string {
	var b strings.Builder
	stack := []symbol{{rule: "root"}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.rule == "" {
			i := 2 * rnd.IntN(len(s.set)/2)
			lo, hi := s.set[i], s.set[i+1]
			switch rnd.IntN(4) {
			case 0:
				b.WriteRune(lo)
			case 1:
				b.WriteRune(hi)
			default:
				b.WriteRune(lo + rnd.Int32N(hi-lo+1))
			}
			continue
		}
		ways := g.rules[s.rule]
		way := ways[rnd.IntN(len(ways))]
		for i := len(way) - 1; i >= 0; i-- {
			stack = append(stack, way[i])
		}
	}
	return b.String()
}

// accepts reports whether a text is a sentence, the way that engines find out:
// with all that may come next, as stacks.
func (g *gbnf) accepts(text string) bool {
	stacks := map[string][]symbol{}
	g.expand(stacks, []symbol{{rule: "root"}})
	for _, r := range text {
		next := map[string][]symbol{}
		for _, s := range stacks {
			if len(s) > 0 && s[len(s)-1].has(r) {
				g.expand(next, s[:len(s)-1])
			}
		}
		stacks = next
	}
	_, done := stacks[""]
	return done
}

func (s symbol) has(r rune) bool {
	for i := 0; i < len(s.set); i += 2 {
		if s.set[i] <= r && r <= s.set[i+1] {
			return true
		}
	}
	return false
}

// expand adds the stacks that begin with a set, or are empty.
func (g *gbnf) expand(to map[string][]symbol, stack []symbol) {
	if len(stack) == 0 || stack[len(stack)-1].rule == "" {
		to[strings.Trim(fmt.Sprint(stack), "[]")] = stack
		return
	}
	for _, way := range g.rules[stack[len(stack)-1].rule] {
		next := append([]symbol(nil), stack[:len(stack)-1]...)
		for i := len(way) - 1; i >= 0; i-- {
			next = append(next, way[i])
		}
		g.expand(to, next)
	}
}
