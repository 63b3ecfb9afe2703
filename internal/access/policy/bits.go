package policy

import "unicode/utf8"

// maxTurns is how often matchTokens may turn back before matchBits goes on in its
// place: patterns that people write need a few turns, and patterns that were made to
// take long need millions.
const maxTurns = 128

// matchBits matches like matchTokens, all ways at once: bit i of a set says that the
// first i characters of the pattern, stars left out, may have been read. Its time is
// the length of the text times that of the pattern, divided by 64, whatever they are.
func matchBits(tokens []token, s string, fold bool) bool {
	p := spread(tokens)
	n := len(p.want)/64 + 1
	stayAtColon, stay := make([]uint64, n), make([]uint64, n) // where a star lets a character pass
	for i, how := range p.stars {
		bit := uint64(1) << (i % 64)
		if how == starFree {
			stayAtColon[i/64] |= bit
		}
		if how != starNone {
			stay[i/64] |= bit
		}
	}
	masks := make(map[rune][]uint64) // what a character fits
	at := make([]uint64, n)
	at[0] = 1
	for len(s) > 0 {
		c, size := unit(s)
		s = s[size:]
		if fold && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		fits, known := masks[c]
		if !known {
			fits = p.fits(c, n)
			masks[c] = fits
		}
		stays := stay
		if c == ':' {
			stays = stayAtColon
		}
		fits, stays = fits[:len(at)], stays[:len(at)]
		carry, alive := uint64(0), uint64(0)
		for i, now := range at {
			next := now & fits[i]
			now = next<<1 | carry | now&stays[i]
			carry = next >> 63
			alive |= now
			at[i] = now
		}
		if alive == 0 {
			return false
		}
	}
	end := len(p.want)
	return at[end/64]&(1<<(end%64)) != 0
}

// fits returns the set of places that a character fits, in n words.
func (p *spreadPattern) fits(c rune, n int) []uint64 {
	set := make([]uint64, n)
	for i, w := range p.want {
		if w == c || w == wantAny || w == wantInPart && c != ':' {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return set
}

// What one character of a spread pattern wants, beside a certain character.
const (
	wantAny    rune = -1
	wantInPart rune = -2 // any but a colon
)

// How far a star reaches.
const (
	starNone  = iota
	starBound // up to a colon
	starFree
)

// spreadPattern is a pattern character by character.
type spreadPattern struct {
	want  []rune
	stars []uint8 // stars[i] stands before want[i], the last one at the end
}

func spread(tokens []token) spreadPattern {
	p := spreadPattern{stars: []uint8{starNone}}
	add := func(w rune) {
		p.want, p.stars = append(p.want, w), append(p.stars, starNone)
	}
	for i := range tokens {
		switch t := &tokens[i]; t.kind {
		case star:
			how := uint8(starFree)
			if t.within {
				how = starBound
			}
			last := len(p.stars) - 1
			p.stars[last] = max(p.stars[last], how)
		case question:
			if t.within {
				add(wantInPart)
			} else {
				add(wantAny)
			}
		default:
			for text := t.text; text != ""; {
				c, size := unit(text)
				add(c)
				text = text[size:]
			}
		}
	}
	return p
}

// unit returns the first character of a text that is not empty. A byte that is part
// of none is a character of its own, different from all others.
func unit(s string) (rune, int) {
	c, size := utf8.DecodeRuneInString(s)
	if c == utf8.RuneError && size == 1 {
		return utf8.MaxRune + 1 + rune(s[0]), 1
	}
	return c, size
}
