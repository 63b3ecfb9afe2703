package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Target splits the request-target as it was received into the escaped path and
// the raw query. An absolute-form target ("POST http://host/path HTTP/1.1") loses
// its scheme and authority; an empty path is "/". For a request that was not
// received (RequestURI is empty) it is what a client would send.
func Target(r *http.Request) (path, rawQuery string) {
	t := r.RequestURI
	if t == "" && r.URL != nil {
		t = r.URL.RequestURI()
	}
	if !strings.HasPrefix(t, "/") {
		if _, rest, ok := strings.Cut(t, "://"); ok {
			t = rest[authorityLen(rest):]
		}
	}
	path, rawQuery, _ = strings.Cut(t, "?")
	if path == "" {
		path = "/"
	}
	return path, rawQuery
}

// authorityLen is the length of the authority that s starts with.
func authorityLen(s string) int {
	if i := strings.IndexAny(s, "/?"); i >= 0 {
		return i
	}
	return len(s)
}

// appendPath appends the canonical form of an escaped path: every byte but
// A-Z a-z 0-9 - . _ ~ / is percent-encoded, percent signs too.
func appendPath(b []byte, path string) []byte {
	for i := range len(path) {
		if c := path[i]; c == '/' || isUnreserved(c) {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b
}

// query is a raw query in canonical encoding, sorted.
type query []param

type param struct{ key, value string }

// parseQuery brings each name and value into canonical encoding and sorts them.
// It fails where net/url.ParseQuery would drop a pair.
func parseQuery(raw string) (query, error) {
	if raw == "" {
		return nil, nil
	}
	buf := make([]byte, 0, len(raw)+len(raw)/2+16)
	ends := make([][2]int, 0, strings.Count(raw, "&")+1) // ends of key and value in buf
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		key, value, _ := strings.Cut(piece, "=")
		var ok1, ok2 bool
		buf, ok1 = appendRecoded(buf, key)
		end := len(buf)
		buf, ok2 = appendRecoded(buf, value)
		if !ok1 || !ok2 {
			return nil, incomplete("The query string has a broken percent escape or a bare semicolon.")
		}
		ends = append(ends, [2]int{end, len(buf)})
	}
	text, start := string(buf), 0
	q := make(query, len(ends))
	for i, e := range ends {
		q[i] = param{text[start:e[0]], text[e[0]:e[1]]}
		start = e[1]
	}
	slices.SortFunc(q, func(a, b param) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return q, nil
}

// appendRecoded appends s decoded as a query component and encoded again in
// canonical form. It reports whether s could be decoded.
func appendRecoded(b []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '%':
			if i+2 >= len(s) {
				return b, false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return b, false
			}
			c = hi<<4 | lo
			i += 2
		case '+':
			c = ' '
		case ';':
			return b, false
		}
		if isUnreserved(c) {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b, true
}

// lookup returns the decoded value of the first parameter called name, which has
// unreserved characters only, and how many there are.
func (q query) lookup(name string) (string, int) {
	value, n := "", 0
	for _, p := range q {
		if p.key == name {
			if n == 0 {
				value = decode(p.value)
			}
			n++
		}
	}
	return value, n
}

// decode undoes the canonical encoding.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// hasAuth reports whether any parameter belongs to a presigned request.
func (q query) hasAuth() bool {
	for _, p := range q {
		switch p.key {
		case paramAlgorithm, paramCredential, paramDate, paramExpires, paramSignedHeaders, paramSignature, paramToken:
			return true
		}
	}
	return false
}

// appendQuery appends the canonical query, which leaves the signature out.
func appendQuery(b []byte, q query) []byte {
	first := true
	for _, p := range q {
		if p.key == paramSignature {
			continue
		}
		if !first {
			b = append(b, '&')
		}
		first = false
		b = append(b, p.key...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

// signedNames splits and checks SignedHeaders.
func signedNames(r *http.Request, a authParts) ([]string, error) {
	names := strings.Split(a.signedHeaders, ";")
	host := false
	for i, n := range names {
		if n != ":authority" && !validHeaderName(n) {
			return nil, incomplete("SignedHeaders: must be lower-case header names, separated by semicolons.")
		}
		if i > 0 && names[i-1] >= n {
			return nil, incomplete("SignedHeaders: must be sorted, each name once.")
		}
		host = host || n == "host" || n == ":authority"
	}
	if !host {
		return nil, invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if a.byDate && !slices.Contains(names, "date") {
		return nil, invalid("'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		if mustSign(name) && !containsFold(names, name) {
			return nil, invalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(name))
		}
	}
	return names, nil
}

// mustSign reports whether a header, when sent, has to be signed.
func mustSign(name string) bool {
	return hasPrefixFold(name, "X-Amz-") || hasPrefixFold(name, "X-Amzn-Bedrock-")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func containsFold(list []string, s string) bool {
	for _, v := range list {
		if strings.EqualFold(v, s) {
			return true
		}
	}
	return false
}

// setCanonical builds the canonical request up to its last line.
func (s *Signed) setCanonical(r *http.Request, path string, q query, names []string, list string) error {
	b := make([]byte, 0, 768+len(path))
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, path)
	b = append(b, '\n')
	b = appendQuery(b, q)
	b = append(b, '\n')
	head := len(b)
	odd := false
	for _, n := range names {
		values, ok := headerValues(r, n)
		if !ok {
			return invalid("The header '%s' is in SignedHeaders but not in the request.", n)
		}
		odd = odd || oddSpace(values)
		b = appendHeader(b, n, values, appendSpaced)
	}
	b = append(b, '\n')
	b = append(b, list...)
	b = append(b, '\n')
	s.canon = b
	if odd {
		alt := append(make([]byte, 0, cap(b)), b[:head]...)
		for _, n := range names {
			values, _ := headerValues(r, n)
			alt = appendHeader(alt, n, values, appendFolded)
		}
		alt = append(alt, '\n')
		alt = append(alt, list...)
		s.alt = append(alt, '\n')
	}
	return nil
}

// headerValues returns the values of a signed header as received. The few that
// net/http takes out of the header map come from where it puts them.
func headerValues(r *http.Request, name string) ([]string, bool) {
	switch name {
	case "host", ":authority":
		return []string{r.Host}, true
	case "transfer-encoding":
		return r.TransferEncoding, len(r.TransferEncoding) > 0
	}
	var buf [64]byte
	key, upper := buf[:0], true
	for i := range len(name) {
		c := name[i]
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = c == '-'
		key = append(key, c)
	}
	values, ok := r.Header[string(key)]
	if !ok && name == "content-length" && r.ContentLength >= 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}, true
	}
	return values, ok
}

func appendHeader(b []byte, name string, values []string, value func([]byte, string) []byte) []byte {
	b = append(b, name...)
	b = append(b, ':')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = value(b, v)
	}
	return append(b, '\n')
}

// appendSpaced appends v without outer white space and with runs of spaces as
// one: what the specification and the Go SDK say.
func appendSpaced(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	if !strings.Contains(v, "  ") {
		return append(b, v...)
	}
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' { // v[0] is no space
			b = append(b, v[i])
		}
	}
	return b
}

// appendFolded appends v with every run of white space as one space: what the
// Python, JavaScript and Java SDKs do.
func appendFolded(b []byte, v string) []byte {
	first := true
	for word := range strings.FieldsSeq(v) {
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(b, word...)
	}
	return b
}

// oddSpace reports whether a value may hold white space other than the space.
func oddSpace(values []string) bool {
	for _, v := range values {
		for i := range len(v) {
			if c := v[i]; c < ' ' || c > '~' {
				return true
			}
		}
	}
	return false
}

func validHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isUnreserved(c byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex is the value of a hexadecimal digit of either case, or 255.
func unhex(c byte) byte {
	if 'A' <= c && c <= 'F' {
		return c - 'A' + 10
	}
	return lowerHex(c)
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}
