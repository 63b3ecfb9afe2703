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

// covers tells whether every text that fits the pattern inner fits outer too.
func covers(outer, inner string) bool {
	// With the wildcards of inner taken for characters, of which only those of outer
	// fit, this is a match.
	o, i, star, mark := 0, 0, -1, 0
	for i < len(inner) {
		switch {
		case o < len(outer) && outer[o] == '*':
			star, mark = o, i
			o++
		case o < len(outer) && inner[i] != '*' && (outer[o] == '?' || outer[o] == inner[i]):
			o++
			i++
		case star >= 0:
			mark++
			o, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(outer[o:], "*") == ""
}

// overlap tells whether there is a text that fits both patterns.
func overlap(a, b string) bool {
	// reach[j] says whether the part of a so far can fit b[:j].
	reach := make([]bool, len(b)+1)
	reach[0] = true
	spread(reach, b)
	for i := range len(a) {
		next := make([]bool, len(b)+1)
		for j := range reach {
			if !reach[j] {
				continue
			}
			switch {
			case a[i] == '*':
				for k := j; k < len(next); k++ { // it takes any part of b
					next[k] = true
				}
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

// anyCovers tells whether one of the patterns covers inner.
func anyCovers(outer []string, inner string) bool {
	return slices.ContainsFunc(outer, func(o string) bool { return covers(o, inner) })
}

// lowered returns patterns in lower case.
func lowered(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}
