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
	fallback string // of a variable whose key has no value
	defaults bool   // the variable has a fallback
	several  bool   // the variable's key may have several values, so it has none here
	within   bool   // of a wildcard: does not stand for a colon
}

// pattern is text with wildcards and variables, ready to be matched.
type pattern struct {
	tokens    []token
	variables int   // number of variable tokens
	shape     shape // set by seal
}

// shape tells patterns that are matched by a look.
type shape uint8

const (
	general shape = iota
	exact         // one literal
	prefix        // a literal and a star for all characters
	all           // that star alone
)

// seal notes the shape of a pattern that is complete.
func (p *pattern) seal() {
	free := func(i int) bool { return p.tokens[i].kind == star && !p.tokens[i].within }
	switch n := len(p.tokens); {
	case n == 1 && p.tokens[0].kind == literal:
		p.shape = exact
	case n == 1 && free(0):
		p.shape = all
	case n == 2 && p.tokens[0].kind == literal && free(1):
		p.shape = prefix
	}
}

// fits tells whether s as a whole fits a pattern without variables. With fold,
// ASCII letters fit without regard to case, and the literals are in lower case.
func (p *pattern) fits(s string, fold bool) bool {
	switch p.shape {
	case exact:
		return len(s) == len(p.tokens[0].text) && equal(s, p.tokens[0].text, fold)
	case prefix:
		low := p.tokens[0].text
		return len(s) >= len(low) && equal(s[:len(low)], low, fold)
	case all:
		return true
	default:
		return matchTokens(p.tokens, s, fold)
	}
}

// fixedVariables is how many variables of one pattern are resolved without
// allocating.
const fixedVariables = 4

// matches tells whether s as a whole fits the pattern, case included. A variable
// that has no value makes the pattern fit nothing.
func (p *pattern) matches(s string, keys Keys) bool {
	switch {
	case p.variables == 0:
		return p.fits(s, false)
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
	return matchTokens(tokens, s, false)
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
// and goes back to the last star alone; if that may not stand for colons, then also
// to the last one that may. Later stars can take what earlier ones leave, so no
// other way needs to be tried. What would take long is left to matchBits.
func matchTokens(tokens []token, s string, fold bool) bool {
	if n := len(tokens); n > 1 && tokens[n-1].kind == literal {
		// The end tells most misfits at once.
		end := tokens[n-1].text
		if len(s) < len(end) || !equal(s[len(s)-len(end):], end, fold) {
			return false
		}
	}
	at, pos := 0, 0
	inner, outer := turn{at: -1}, turn{at: -1}
	for turns := 0; ; {
		if at == len(tokens) {
			if pos == len(s) {
				return true
			}
		} else {
			switch t := &tokens[at]; t.kind {
			case star:
				at++
				if t.within {
					inner = turn{at, pos}
					continue
				}
				if at == len(tokens) {
					return true
				}
				if next := &tokens[at]; at == len(tokens)-1 && next.kind == literal {
					return len(s)-pos >= len(next.text) && equal(s[len(s)-len(next.text):], next.text, fold)
				}
				inner, outer = turn{at: -1}, turn{at, pos}
				if !outer.find(tokens, s, fold) {
					return false
				}
				pos = outer.pos
				continue
			case question:
				if pos == len(s) {
					return false // what follows only needs more
				}
				if !t.within || s[pos] != ':' {
					_, size := utf8.DecodeRuneInString(s[pos:])
					pos += size
					at++
					continue
				}
			case literal, variable:
				if len(s)-pos >= len(t.text) && equal(s[pos:pos+len(t.text)], t.text, fold) {
					pos += len(t.text)
					at++
					continue
				}
			}
		}
		if turns++; turns > maxTurns {
			return matchBits(tokens, s, fold)
		}
		switch {
		case inner.at >= 0 && inner.pos < len(s) && s[inner.pos] != ':':
			inner.advance(s)
			at, pos = inner.at, inner.pos
			continue
		case outer.at < 0 || outer.pos == len(s):
			return false
		}
		outer.advance(s)
		if !outer.find(tokens, s, fold) {
			return false
		}
		inner = turn{at: -1}
		at, pos = outer.at, outer.pos
	}
}

// turn is where matching goes on when it failed: at a token, behind a star, and at
// a place of the text, up to which the star reaches.
type turn struct{ at, pos int }

// advance lets the star reach one character further.
func (t *turn) advance(s string) {
	_, size := utf8.DecodeRuneInString(s[t.pos:])
	t.pos += size
}

// find lets the star reach up to where the literal behind it comes next, if one is
// there. It is false when that comes no more.
func (t *turn) find(tokens []token, s string, fold bool) bool {
	if next := &tokens[t.at]; next.kind == literal && !fold {
		i := strings.Index(s[t.pos:], next.text)
		if i < 0 {
			return false
		}
		t.pos += i
	}
	return true
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
	p.seal()
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
	return p.fits(action, true)
}

// MatchResource tells whether an ARN fits a pattern of the element Resource
// without policy variables. * stands for any number of characters, ? for one, case
// matters. In the first five parts of the pattern a wildcard stays within the part;
// but a star at the end of a part may reach beyond it.
//
// Source: IAM user guide, "IAM JSON policy elements: Resource".
func MatchResource(pattern, arn string) bool {
	p := wildcards(pattern)
	p.bindParts()
	return p.fits(arn, false)
}

// bindParts makes a pattern of text that of an ARN: wildcards in the first five
// parts do not stand for colons, apart from a star at the end of a part.
func (p *pattern) bindParts() {
	defer p.seal()
	p.shape = general
	colons := 0
	for i := range p.tokens {
		t := &p.tokens[i]
		if t.kind == literal {
			colons += strings.Count(t.text, ":")
		}
		if colons >= arnParts-1 {
			return
		}
		last := i == len(p.tokens)-1 || p.tokens[i+1].kind == literal && p.tokens[i+1].text[0] == ':'
		t.within = t.kind == question || t.kind == star && !last
	}
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
