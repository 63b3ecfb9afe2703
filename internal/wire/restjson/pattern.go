package restjson

import (
	"regexp"
	"sync"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// pattern is a regular expression that is compiled when a value first needs it.
type pattern struct {
	source  string // in Go's syntax, anchored
	compile func() (*regexp.Regexp, error)
}

// patternOf returns the pattern of a string shape, or nil when every text fits.
// Shapes with equal expressions share one. c.mu is held.
func (c *Codec) patternOf(s *awsapi.Shape) *pattern {
	source := s.Regexp()
	if source == "" || anyText(s) {
		return nil
	}
	p := c.patterns[source]
	if p == nil {
		p = &pattern{source: source}
		p.compile = sync.OnceValues(func() (*regexp.Regexp, error) { return regexp.Compile(p.source) })
		c.patterns[source] = p
	}
	return p
}

// anyText tells patterns that only say "any text, line breaks too". They stand
// on prompts and documents, where running them would cost time for nothing. One
// that wants a character is covered by a minimum length.
func anyText(s *awsapi.Shape) bool {
	switch s.Pattern {
	case `[\s\S]*`, `^[\s\S]*$`:
		return true
	case `[\s\S]+`, `^[\s\S]+$`:
		return s.HasMin && s.Min >= 1
	}
	return false
}

// match tells whether the whole of s fits.
func (p *pattern) match(s string) (bool, error) {
	re, err := p.compile()
	if err != nil {
		return false, err
	}
	return re.MatchString(s), nil
}
