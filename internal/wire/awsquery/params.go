// Package awsquery speaks the AWS query protocol of STS and IAM: requests are
// forms with dotted names, responses are XML.
//
// Like package restjson it walks the tables of package awsapi. It keeps no
// state; all functions are safe for concurrent use.
package awsquery

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of a form. AWS's own largest request has some 200 parameters.
const (
	maxParams = 4096
	maxParts  = 32 // parts of a dotted name
)

// codeMalformed is the error code of a form that cannot be read.
const codeMalformed = "MalformedQueryString"

// Params is a form, its dotted names taken apart.
type Params struct {
	root node
	n    int
}

type node struct {
	value    string
	set      bool
	children map[string]*node
}

// Action returns the name of the operation, "" when the form has none.
func (p *Params) Action() string { return p.Get("Action") }

// Version returns the API version, e.g. "2011-06-15"; "" when the form has none.
func (p *Params) Version() string { return p.Get("Version") }

// Get returns the value of a name without dots, or "".
func (p *Params) Get(name string) string {
	if c := p.root.children[name]; c != nil {
		return c.value
	}
	return ""
}

// Parse reads a form. query is the raw query string, where presigned requests
// carry their parameters, and body a form body; either may be empty.
//
// Errors are MalformedQueryString 400: a bad percent escape, invalid UTF-8, a
// name that stands twice, a bare semicolon, over 4096 parameters.
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
	return p, nil
}

func (p *Params) add(pair string) error {
	if p.n++; p.n > maxParams {
		return malformed("The form has more than %d parameters.", maxParams)
	}
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, ok := unescape(rawName)
	value, ok2 := unescape(rawValue)
	if !ok || !ok2 {
		return malformed("Parameter %d of the form is not percent-encoded UTF-8.", p.n)
	}
	n := &p.root
	parts := 0
	for part := range strings.SplitSeq(name, ".") {
		if parts++; parts > maxParts {
			return malformed("The name of parameter %d has too many parts.", p.n)
		}
		next := n.children[part]
		if next == nil {
			next = new(node)
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[part] = next
		}
		n = next
	}
	if n.set {
		return malformed("Parameter %d of the form has a name that stands there already.", p.n)
	}
	n.value, n.set = value, true
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
