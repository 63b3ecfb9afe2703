package analyze

import (
	"slices"
	"strings"
)

// matches tells whether a text fits a pattern: * stands for any number of
// characters, ? for one. Case matters.
func matches(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// The characters that stand in a pattern for what is special but for * and ?.
// resourcePattern makes them; no policy has them.
const (
	innerStar     = '\x01' // a star that stands for no colon
	innerQuestion = '\x02' // a ? that stands for no colon
	escapedStar   = "\x03"
	escapedQuery  = "\x04"
	variableMark  = "\x05" // around the name of a policy variable
	variableWild  = "\x06" // a wildcard within it
)

// maxEffort bounds the steps that one comparison of policies may take: far more
// than policies need that people write, and less than 100 ms.
const maxEffort = 20_000_000

// effort compares patterns until it has taken too many steps. Then it answers what
// is safe: that nothing is covered and that everything overlaps. It is not safe for
// concurrent use.
type effort struct {
	left  int
	known map[[2]string]bool // answers of covers
}

func newEffort() *effort { return &effort{left: maxEffort, known: map[[2]string]bool{}} }

// spend takes the steps of a comparison; false: there are none left.
func (e *effort) spend(a, b string) bool {
	e.left -= (len(a) + 1) * (len(b) + 1)
	return e.left >= 0
}

// covers tells whether every text that fits the pattern inner surely fits outer too.
func (e *effort) covers(outer, inner string) bool {
	if outer == everything || outer == inner {
		return true
	}
	if !strings.ContainsAny(outer, "*?\x01\x02") {
		return false
	}
	pair := [2]string{outer, inner}
	answer, ok := e.known[pair]
	if !ok {
		answer = e.spend(outer, inner) && covers(outer, inner)
		e.known[pair] = answer
	}
	return answer
}

// overlap tells whether there may be a text that fits both patterns.
func (e *effort) overlap(a, b string) bool {
	a, b = loosened(a), loosened(b)
	n := min(strings.IndexByte(a+"*", '*'), strings.IndexByte(b+"*", '*'), strings.IndexByte(a+"?", '?'), strings.IndexByte(b+"?", '?'))
	return a[:n] == b[:n] && (!e.spend(a, b) || overlap(a, b))
}

// anyCovers tells whether one of the patterns covers inner.
func (e *effort) anyCovers(outer []string, inner string) bool {
	return slices.ContainsFunc(outer, func(o string) bool { return e.covers(o, inner) })
}

// covers tells whether every text that fits the pattern inner fits outer too. The
// wildcards of inner are taken for characters, which only wildcards of outer fit.
func covers(outer, inner string) bool {
	reach := make([]bool, len(inner)+1)
	next := make([]bool, len(inner)+1)
	reach[0] = true
	for _, o := range []byte(outer) {
		clear(next)
		alive := false
		for j := range next {
			before := j > 0 && reach[j-1]
			switch o {
			case '*':
				next[j] = reach[j] || j > 0 && next[j-1]
			case innerStar:
				next[j] = reach[j] || j > 0 && next[j-1] && !strings.ContainsRune(":*?", rune(inner[j-1]))
			case '?':
				next[j] = before && inner[j-1] != '*' && inner[j-1] != innerStar
			case innerQuestion:
				next[j] = before && !strings.ContainsRune(":*?\x01", rune(inner[j-1]))
			default:
				next[j] = before && inner[j-1] == o
			}
			alive = alive || next[j]
		}
		if !alive {
			return false
		}
		reach, next = next, reach
	}
	return reach[len(inner)]
}

// overlap tells whether there is a text that fits both patterns, which have plain
// wildcards alone.
func overlap(a, b string) bool {
	// reach[j] says whether the part of a so far can fit b[:j].
	reach := make([]bool, len(b)+1)
	reach[0] = true
	spread(reach, b)
	for i := range len(a) {
		next := make([]bool, len(b)+1)
		for j := range reach {
			if a[i] == '*' { // it takes any part of b
				next[j] = reach[j] || j > 0 && next[j-1]
				continue
			}
			if !reach[j] {
				continue
			}
			switch {
			case j < len(b) && b[j] == '*':
				next[j] = true
			case j < len(b) && (a[i] == '?' || b[j] == '?' || a[i] == b[j]):
				next[j+1] = true
			}
		}
		spread(next, b)
		reach = next
	}
	return reach[len(b)]
}

// spread lets stars of b stand for nothing.
func spread(reach []bool, b string) {
	for j := range len(b) {
		if reach[j] && b[j] == '*' {
			reach[j+1] = true
		}
	}
}

// lowered returns patterns in lower case; nil for nil.
func lowered(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// loosened is a pattern with plain wildcards in place of all that is special.
func loosened(p string) string {
	if !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }) {
		return p
	}
	parts := strings.Split(p, variableMark)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "*"
	}
	return strings.NewReplacer("\x01", "*", "\x02", "?", escapedStar, "?", escapedQuery, "?").Replace(strings.Join(parts, ""))
}

// resourcePattern reads a pattern of the element Resource: policy variables and
// escapes, if the version of the policy knows them; wildcards that stay within a
// part of the ARN; parts that are left out at the end.
func resourcePattern(p, version string) string {
	if p == everything {
		return p
	}
	p = strings.Map(func(r rune) rune {
		if r < ' ' {
			return 0x7f
		}
		return r
	}, p)
	if missing := 5 - strings.Count(p, ":"); missing > 0 {
		p += strings.Repeat(":*", missing)
	}
	var b strings.Builder
	colons := 0
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case version == "2012-10-17" && strings.HasPrefix(p[i:], "${") && strings.IndexByte(p[i:], '}') > 0:
			n := strings.IndexByte(p[i:], '}')
			switch name := p[i+2 : i+n]; name {
			case "*":
				b.WriteString(escapedStar)
			case "?":
				b.WriteString(escapedQuery)
			case "$":
				b.WriteByte('$')
			default:
				b.WriteString(variableMark + strings.NewReplacer("*", variableWild, "?", variableWild).Replace(strings.ToLower(name)) + variableMark)
			}
			i += n
		case c == '*' && colons < 5 && i+1 < len(p) && p[i+1] != ':':
			b.WriteByte(innerStar)
		case c == '?' && colons < 5:
			b.WriteByte(innerQuestion)
		default:
			if c == ':' {
				colons++
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// resourcePatterns reads a list of patterns; nil stays nil.
func resourcePatterns(list []string, version string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = resourcePattern(p, version)
	}
	return out
}
