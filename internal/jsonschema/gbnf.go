package jsonschema

import (
	"fmt"
	"strings"
)

// Options bound what a grammar lets an engine write. The zero value is meant
// for answers of 512 tokens. Where a schema itself wants more, as with minItems,
// the schema wins.
type Options struct {
	// Length is the length in characters that a whole value should stay below; 0
	// means 800. When the other bounds allow longer texts they are lowered, in
	// up to six steps, until the longest text fits or nothing is left to lower.
	Length int
	// String is the length in code points of strings that the schema leaves
	// open; 0 means 64.
	String int
	// Items is the number of items of arrays that the schema leaves open; 0
	// means 4.
	Items int
	// Recursion is how often a schema may stand within itself; 0 means 4.
	Recursion int
}

// OptionsFor returns bounds for answers of that many tokens; more tokens admit
// longer strings and arrays. 0 or less is the zero value.
//
// A token is taken for 25/16 characters. Small weights, which write digits and
// rare letters one by one, made 1.4 to a token in 150 tool inputs, 1.1 at worst;
// hardly any text comes near the longest that its grammar admits.
func OptionsFor(tokens int) Options {
	if tokens <= 0 {
		return Options{}
	}
	return Options{
		Length: max(40, tokens*25/16),
		String: min(max(16, tokens/8), maxChars),
		Items:  min(max(2, tokens/128), 32),
	}
}

// Grammar collects rules of GBNF, the grammar language of llama.cpp. Rules with
// the same body are written once. The zero value is ready to use; a Grammar must
// not be used concurrently.
type Grammar struct {
	Options Options

	names  []string
	bodies map[string]string // by name
	shared map[string]string // names by body
	effort int               // steps of the schemas so far
}

// Rule adds a rule and returns its name: name itself, or name with a number
// where another body has that name already. Names consist of letters, digits
// and hyphens; other characters are replaced by hyphens. The engine starts at the
// rule "root".
func (g *Grammar) Rule(name, body string) string {
	name = ruleName(name)
	for base, n := name, 2; ; n++ {
		old, taken := g.bodies[name]
		if !taken {
			break
		}
		if old == body {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if g.bodies == nil {
		g.bodies, g.shared = map[string]string{}, map[string]string{}
	}
	g.names = append(g.names, name)
	g.bodies[name] = body
	if _, ok := g.shared[body]; !ok && name != "root" {
		g.shared[body] = name
	}
	return name
}

// String returns the grammar, one rule per line in the order of their making.
func (g *Grammar) String() string {
	var b strings.Builder
	for _, name := range g.names {
		b.WriteString(name)
		b.WriteString(" ::= ")
		b.WriteString(g.bodies[name])
		b.WriteByte('\n')
	}
	return b.String()
}

// Spent reports whether the schemas so far took as much work as one grammar may:
// only simple ones are added from now on.
func (g *Grammar) Spent() bool { return g.effort >= maxTotal }

// Len returns the number of rules.
func (g *Grammar) Len() int { return len(g.names) }

// Literal returns the GBNF expression for a text as it stands.
func Literal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func ruleName(s string) string {
	return strings.Map(func(r rune) rune {
		if isWord(r) && r != '_' {
			return r
		}
		return '-'
	}, s)
}

// fragment is a GBNF expression that may stand in a sequence, and the length of
// the longest text that it admits.
type fragment struct {
	expr string
	max  int
}

func literal(s string) fragment { return fragment{Literal(s), len([]rune(s))} }

// maxRules is the number of rules that one schema may need.
const maxRules = 8_000

// writer adds rules to a grammar under a prefix, on approval: they become part
// of the grammar at commit.
type writer struct {
	to     *Grammar
	prefix string
	names  []string
	bodies []string
	shared map[string]string
	chars  map[charKey]fragment
	taken  int
}

func newWriter(g *Grammar, prefix string) *writer {
	return &writer{to: g, prefix: ruleName(prefix), shared: map[string]string{}, chars: map[charKey]fragment{}}
}

// rule returns the name of a rule with that body.
func (w *writer) rule(body string) string {
	if name, ok := w.to.shared[body]; ok {
		return name
	}
	if name, ok := w.shared[body]; ok {
		return name
	}
	name := ""
	for used := true; used; {
		w.taken++
		name = fmt.Sprintf("%s-%d", w.prefix, w.taken)
		_, used = w.to.bodies[name]
	}
	w.names, w.bodies = append(w.names, name), append(w.bodies, body)
	w.shared[body] = name
	return name
}

func (w *writer) full() bool { return len(w.names) > maxRules }

func (w *writer) commit() {
	for i, name := range w.names {
		w.to.Rule(name, w.bodies[i])
	}
}

// union returns a fragment for any of the given ones.
func (w *writer) union(list []fragment) fragment {
	var parts []string
	longest := 0
	seen := map[string]bool{}
	for _, f := range list {
		longest = max(longest, f.max)
		if !seen[f.expr] {
			seen[f.expr] = true
			parts = append(parts, f.expr)
		}
	}
	if len(parts) == 1 {
		return fragment{parts[0], longest}
	}
	return fragment{w.rule(strings.Join(parts, " | ")), longest}
}
