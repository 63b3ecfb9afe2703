// Package awsquery speaks the AWS query protocol of STS and IAM: requests are
// forms with dotted names, responses are XML.
//
// Like package restjson it walks the tables of package awsapi. It keeps no
// state; all functions are safe for concurrent use.
package awsquery

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of a form. The deepest name of an AWS API has 9 parts, the largest
// request some 200 parameters.
const (
	maxParams = 4096
	maxParts  = 16 // parts of a dotted name
)

// codeMalformed is the error code of a form that cannot be read.
const codeMalformed = "MalformedQueryString"

// Params is a form: its parameters in the order of their names, so that those
// below a dotted name stand together. It costs little more than the form itself,
// however the names are made.
type Params struct{ pairs []param }

type param struct{ name, value string }

// node is a name and what stands below it.
type node struct {
	name  string
	value string
	set   bool    // name itself has a value
	below []param // whose names go on after name and a dot
}

// root is the node that all parameters stand below.
func (p *Params) root() node { return node{below: p.pairs} }

// child returns the node of one more part; ok is false when there is nothing.
func (n *node) child(part string) (c node, ok bool) {
	c.name = join(n.name, part)
	i, found := search(n.below, c.name)
	if found {
		c.value, c.set = n.below[i].value, true
	}
	// '/' is the byte after '.', so what lies between begins with name and a dot.
	from, _ := search(n.below, c.name+".")
	to, _ := search(n.below, c.name+"/")
	c.below = n.below[from:to]
	return c, c.set || len(c.below) > 0
}

func search(pairs []param, name string) (int, bool) {
	return slices.BinarySearchFunc(pairs, name, func(p param, name string) int { return strings.Compare(p.name, name) })
}

// Action returns the name of the operation, "" when the form has none.
func (p *Params) Action() string { return p.Get("Action") }

// Version returns the API version, e.g. "2011-06-15"; "" when the form has none.
func (p *Params) Version() string { return p.Get("Version") }

// Get returns the value of a name, or "".
func (p *Params) Get(name string) string {
	if i, ok := search(p.pairs, name); ok {
		return p.pairs[i].value
	}
	return ""
}

// Parse reads a form. query is the raw query string, where presigned requests
// carry their parameters, and body a form body; either may be empty.
//
// Errors are MalformedQueryString 400: a bad percent escape, invalid UTF-8, a
// name that stands twice, a bare semicolon, over 4096 parameters, a name of over
// 16 parts.
func Parse(query string, body []byte) (*Params, error) {
	p := new(Params)
	for _, form := range []string{query, string(body)} {
		if form == "" {
			continue
		}
		for pair := range strings.SplitSeq(form, "&") {
			if pair == "" {
				continue
			}
			if err := p.add(pair); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(p.pairs, func(a, b param) int { return strings.Compare(a.name, b.name) })
	for i := range p.pairs[min(1, len(p.pairs)):] {
		if p.pairs[i].name == p.pairs[i+1].name {
			return nil, malformed("A parameter of the form stands twice: %.64q.", p.pairs[i].name)
		}
	}
	return p, nil
}

func (p *Params) add(raw string) error {
	n := len(p.pairs) + 1
	if n > maxParams {
		return malformed("The form has more than %d parameters.", maxParams)
	}
	rawName, rawValue, _ := strings.Cut(raw, "=")
	name, ok := unescape(rawName)
	value, ok2 := unescape(rawValue)
	if !ok || !ok2 {
		return malformed("Parameter %d of the form is not percent-encoded UTF-8.", n)
	}
	if strings.Count(name, ".") >= maxParts {
		return malformed("The name of parameter %d has more than %d parts.", n, maxParts)
	}
	p.pairs = append(p.pairs, param{name, value})
	return nil
}

func malformed(format string, args ...any) error {
	return apierr.New(codeMalformed, http.StatusBadRequest, format, args...)
}

// unescape decodes form encoding once: plus signs are spaces. A bare semicolon
// is refused, because parsers disagree on whether it separates parameters.
func unescape(s string) (string, bool) {
	if strings.ContainsAny(s, "%+;") {
		var b strings.Builder
		b.Grow(len(s))
		for i := 0; i < len(s); i++ {
			switch c := s[i]; c {
			case ';':
				return "", false
			case '+':
				b.WriteByte(' ')
			case '%':
				if i+2 >= len(s) {
					return "", false
				}
				hi, lo := unhex(s[i+1]), unhex(s[i+2])
				if hi < 0 || lo < 0 {
					return "", false
				}
				b.WriteByte(byte(hi<<4 | lo)) // #nosec G115 -- two hex digits
				i += 2
			default:
				b.WriteByte(c)
			}
		}
		s = b.String()
	}
	return s, utf8.ValidString(s)
}

// unhex returns the value of a hex digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
