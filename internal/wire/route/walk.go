package route

import (
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// walker is the state of one match. It lives on the stack.
type walker struct {
	method string
	segs   [maxSegments]string // decoded
	n      int
	slash  bool // the path ends in a slash that is not its first byte
	deep   bool // more segments than any operation has

	spans       [maxLabels]span
	labels      int
	found       []row
	otherMethod bool // the path is known with another method
}

// span is the range of segments that a label took.
type span struct{ from, to int }

// walk matches segs[i:] below n, trying literals, then the label with as few
// segments as possible.
func (w *walker) walk(n *node, i int) bool {
	if w.deep {
		return false
	}
	if i == w.n {
		return w.finish(n)
	}
	if next := n.literals[w.segs[i]]; next != nil && w.walk(next, i+1) {
		return true
	}
	next := n.label
	if next == nil {
		return false
	}
	most := i + 1
	if next.greedy || strings.HasPrefix(w.segs[i], "arn:") {
		most = w.n
	}
	w.labels++
	for to := i + 1; to <= most; to++ {
		w.spans[w.labels-1] = span{i, to}
		if w.walk(next, to) {
			return true
		}
	}
	w.labels--
	return false
}

// finish looks the method up among the templates that end at n.
func (w *walker) finish(n *node) bool {
	ends := n.ends[0]
	if w.slash {
		ends = n.ends[1]
	}
	for i := range ends {
		if ends[i].method == w.method {
			w.found = ends[i].rows
			return true
		}
	}
	w.otherMethod = w.otherMethod || len(ends) > 0
	return false
}

// split cuts path into decoded segments.
func (w *walker) split(path string) error {
	if path == "" || path[0] != '/' {
		return apierr.Validation("The request path must begin with a slash.")
	}
	rest := path[1:]
	for rest != "" {
		seg, after, more := strings.Cut(rest, "/")
		text, err := segment(seg)
		if err != nil {
			return err
		}
		if w.n == maxSegments {
			w.deep = true
		} else {
			w.segs[w.n] = text
			w.n++
		}
		w.slash = more && after == ""
		rest = after
	}
	return nil
}

// segment decodes one segment and refuses what no label may hold.
func segment(seg string) (string, error) {
	if seg == "" {
		return "", apierr.Validation("The request path has an empty segment.")
	}
	text := seg
	if strings.IndexByte(seg, '%') >= 0 {
		var ok bool
		if text, ok = unescape(seg); !ok {
			return "", apierr.Validation("The request path has a malformed percent escape.")
		}
	}
	if !utf8.ValidString(text) {
		return "", apierr.Validation("The request path is not valid UTF-8.")
	}
	dots := true // so far the current piece between slashes is made of dots only
	size := 0
	for i := 0; i <= len(text); i++ {
		if i == len(text) || text[i] == '/' {
			if dots && (size == 1 || size == 2) {
				return "", apierr.Validation("The request path has a dot segment.")
			}
			dots, size = true, 0
			continue
		}
		if text[i] < ' ' || text[i] == 0x7f {
			return "", apierr.Validation("The request path has a control character.")
		}
		dots = dots && text[i] == '.'
		size++
	}
	return text, nil
}

// unescape decodes the percent escapes of s once. ok is false when one is
// malformed.
func unescape(s string) (text string, ok bool) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo)) // #nosec G115 -- two hex digits
		i += 2
	}
	return b.String(), true
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
