package policy

import (
	"strings"
	"unicode/utf8"
)

// tokenKind is what a part of a pattern stands for.
type tokenKind uint8

const (
	literal  tokenKind = iota // text as it is
	star                      // any number of characters
	question                  // one character
	variable                  // the value of a condition key
)

// token is a part of a pattern.
type token struct {
	kind     tokenKind
	text     string // of a literal; lower-case name of a variable's key
	fallback string // of a variable whose key is absent
	defaults bool   // the variable has a fallback
}

// pattern is text with wildcards and variables, ready to be matched.
type pattern struct {
	tokens    []token
	variables int // number of variable tokens
}

// fixedVariables is how many variables of one pattern are resolved without
// allocating.
const fixedVariables = 4

// matches tells whether s as a whole fits the pattern. With fold, ASCII letters
// fit without regard to case, and the literals are in lower case. A variable that
// has no value makes the pattern fit nothing.
func (p *pattern) matches(s string, fold bool, keys Keys) bool {
	switch {
	case p.variables == 0:
		return matchTokens(p.tokens, s, fold)
	case len(p.tokens) == 1:
		v, ok := p.tokens[0].resolve(keys)
		return ok && v == s
	}
	var fixed [2 * fixedVariables]token
	tokens := fixed[:0]
	for _, t := range p.tokens {
		if t.kind == variable {
			v, ok := t.resolve(keys)
			if !ok {
				return false
			}
			t = token{kind: literal, text: v}
		}
		tokens = append(tokens, t)
	}
	return matchTokens(tokens, s, fold)
}

// text returns the text of a pattern without wildcards, and whether all of its
// variables have a value.
func (p *pattern) text(keys Keys) (string, bool) {
	if len(p.tokens) == 1 && p.tokens[0].kind == literal {
		return p.tokens[0].text, true
	}
	var b strings.Builder
	for i := range p.tokens {
		text := p.tokens[i].text
		if p.tokens[i].kind == variable {
			var ok bool
			if text, ok = p.tokens[i].resolve(keys); !ok {
				return "", false
			}
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// matchTokens matches without variables. It takes the shortest text for each star
// and goes back to the last star alone, so its time is at most the product of both
// lengths.
func matchTokens(tokens []token, s string, fold bool) bool {
	at, pos := 0, 0
	lastStar, starPos := -1, 0
	for {
		if at == len(tokens) {
			if pos == len(s) {
				return true
			}
		} else {
			switch t := &tokens[at]; t.kind {
			case star:
				at++
				if at == len(tokens) {
					return true
				}
				if next := &tokens[at]; at == len(tokens)-1 && next.kind == literal {
					return len(s)-pos >= len(next.text) && equal(s[len(s)-len(next.text):], next.text, fold)
				}
				lastStar, starPos = at, pos
				continue
			case question:
				if pos == len(s) {
					return false // what follows only needs more
				}
				_, size := utf8.DecodeRuneInString(s[pos:])
				pos += size
				at++
				continue
			case literal, variable:
				if len(s)-pos >= len(t.text) && equal(s[pos:pos+len(t.text)], t.text, fold) {
					pos += len(t.text)
					at++
					continue
				}
			}
		}
		if lastStar < 0 || starPos == len(s) {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[starPos:])
		starPos += size
		if next := &tokens[lastStar]; next.kind == literal && !fold {
			i := strings.Index(s[starPos:], next.text)
			if i < 0 {
				return false
			}
			starPos += i
		}
		at, pos = lastStar, starPos
	}
}

// equal compares texts of equal length; with fold, low is in lower case.
func equal(s, low string, fold bool) bool {
	if !fold {
		return s == low
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != low[i] {
			return false
		}
	}
	return true
}

// wildcards makes a pattern of text in which * and ? are wildcards and nothing
// else is special.
func wildcards(text string) pattern {
	var p pattern
	begin := 0
	flush := func(end int) {
		if end > begin {
			p.tokens = append(p.tokens, token{kind: literal, text: text[begin:end]})
		}
		begin = end + 1
	}
	for i := range len(text) {
		switch text[i] {
		case '*':
			flush(i)
			p.addStar()
		case '?':
			flush(i)
			p.tokens = append(p.tokens, token{kind: question})
		}
	}
	flush(len(text))
	return p
}

// addStar adds a star unless the pattern ends in one.
func (p *pattern) addStar() {
	if n := len(p.tokens); n == 0 || p.tokens[n-1].kind != star {
		p.tokens = append(p.tokens, token{kind: star})
	}
}

// MatchAction tells whether an action such as "bedrock:InvokeModel" fits a
// pattern of the element Action: * stands for any number of characters, ? for
// one, case does not matter.
func MatchAction(pattern, action string) bool {
	p := wildcards(lower(pattern))
	return matchTokens(p.tokens, action, true)
}

// MatchResource tells whether an ARN fits a pattern of the element Resource
// without policy variables: * stands for any number of characters, colons and
// slashes included, ? for one, case matters.
func MatchResource(pattern, arn string) bool {
	p := wildcards(pattern)
	return matchTokens(p.tokens, arn, false)
}

// lower is strings.ToLower for ASCII letters alone.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
