package restjson

import (
	"hash/maphash"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// pattern is a regular expression that is compiled when a value first needs it.
//
// It remembers a few short texts that fitted: a server sees the same model ids
// and ARNs again and again, and matching one costs as much as decoding a
// request.
type pattern struct {
	source  string // in Go's syntax, anchored
	compile func() (*regexp.Regexp, error)
	seed    maphash.Seed
	fitted  [16]atomic.Pointer[string]
}

const maxRemembered = 160 // bytes of a text that a pattern remembers

// patternOf returns the pattern of a string shape, or nil when every text fits.
// Shapes with equal expressions share one. c.mu is held.
func (c *Codec) patternOf(s *awsapi.Shape) *pattern {
	source := s.Regexp()
	if source == "" || anyText(s) {
		return nil
	}
	p := c.patterns[source]
	if p == nil {
		p = &pattern{source: source, seed: maphash.MakeSeed()}
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

// match tells whether the whole of s fits. A secret text is not remembered.
func (p *pattern) match(s string, secret bool) (bool, error) {
	secret = secret || len(s) > maxRemembered
	var slot *atomic.Pointer[string]
	if !secret {
		slot = &p.fitted[maphash.String(p.seed, s)%uint64(len(p.fitted))]
		if old := slot.Load(); old != nil && *old == s {
			return true, nil
		}
	}
	re, err := p.compile()
	if err != nil {
		return false, err
	}
	ok := re.MatchString(s)
	if ok && !secret {
		kept := strings.Clone(s)
		slot.Store(&kept)
	}
	return ok, nil
}
