package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Names of the query parameters of a presigned request.
const (
	paramAlgorithm     = "X-Amz-Algorithm"
	paramCredential    = "X-Amz-Credential" // #nosec G101 -- a name
	paramDate          = "X-Amz-Date"
	paramExpires       = "X-Amz-Expires"
	paramSignedHeaders = "X-Amz-SignedHeaders"
	paramSignature     = "X-Amz-Signature"
	paramToken         = "X-Amz-Security-Token" // #nosec G101 -- a name
)

// authParts is what a request says about its signature, in either form.
type authParts struct {
	credential    string
	signedHeaders string
	signature     string
	token         string
	when          time.Time
	stamp         string // when, in ISO 8601 basic form
	expires       time.Duration
	byDate        bool // header form: the time stands in Date, not in X-Amz-Date
}

// headerParts reads the Authorization header and the headers that belong to it.
func headerParts(r *http.Request) (authParts, error) {
	var a authParts
	_, rest, _ := strings.Cut(strings.TrimSpace(r.Header["Authorization"][0]), " ")
	var seen [3]bool
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
		if !ok {
			return a, incomplete("Authorization: each part must be a key=value pair (missing equal-sign).")
		}
		var at int
		switch name {
		case "Credential":
			at, a.credential = 0, value
		case "SignedHeaders":
			at, a.signedHeaders = 1, value
		case "Signature":
			at, a.signature = 2, value
		default:
			return a, incomplete("Authorization: only Credential, SignedHeaders and Signature may be given.")
		}
		if seen[at] {
			return a, incomplete("Authorization: '%s' is given twice.", name)
		}
		seen[at] = true
	}
	var missing []string
	for _, m := range []struct{ name, value string }{{"Credential", a.credential}, {"SignedHeaders", a.signedHeaders}, {"Signature", a.signature}} {
		if m.value == "" {
			missing = append(missing, "Authorization header requires '"+m.name+"' parameter.")
		}
	}
	if missing != nil {
		return a, incomplete("%s", strings.Join(missing, " "))
	}
	tokens := r.Header["X-Amz-Security-Token"]
	if len(tokens) > 1 {
		return a, incomplete("X-Amz-Security-Token: only one such header may be sent, got %d.", len(tokens))
	}
	if len(tokens) == 1 {
		a.token = strings.TrimSpace(tokens[0])
	}
	return a, a.setHeaderTime(r)
}

// setHeaderTime reads the time of a header-signed request.
func (a *authParts) setHeaderTime(r *http.Request) error {
	stamps, name := r.Header["X-Amz-Date"], "X-Amz-Date"
	if len(stamps) == 0 {
		stamps, name, a.byDate = r.Header["Date"], "Date", true
	}
	switch {
	case len(stamps) == 0:
		return incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	case len(stamps) > 1:
		return incomplete("%s: only one such header may be sent, got %d.", name, len(stamps))
	}
	stamp := strings.TrimSpace(stamps[0])
	when, ok := parseStamp(stamp)
	if !ok && a.byDate {
		var err error
		when, err = http.ParseTime(stamp)
		ok = err == nil
	}
	if !ok {
		return incomplete("%s: date must be in ISO-8601 'basic format', e.g. 20260102T150405Z.", name)
	}
	a.when, a.stamp = when.UTC(), stamp
	if a.byDate {
		a.stamp = a.when.Format(isoBasic)
	}
	return nil
}

// queryParts reads the parameters of a presigned request.
func queryParts(r *http.Request, q query) (authParts, error) {
	var a authParts
	var alg, date, expires string
	for _, m := range []struct {
		name string
		to   *string
	}{
		{paramAlgorithm, &alg},
		{paramCredential, &a.credential},
		{paramDate, &date},
		{paramExpires, &expires},
		{paramSignedHeaders, &a.signedHeaders},
		{paramSignature, &a.signature},
		{paramToken, &a.token},
	} {
		value, n := q.lookup(m.name)
		if n > 1 {
			return a, incomplete("AWS query-string parameter '%s' is given %d times.", m.name, n)
		}
		if value == "" && m.name != paramToken && (m.name != paramExpires || n > 0) {
			return a, incomplete("AWS query-string parameters must include '%s'.", m.name)
		}
		*m.to = value
	}
	if alg != algorithm {
		return a, incomplete("X-Amz-Algorithm: only %s is supported.", algorithm)
	}
	if len(r.Header["X-Amz-Date"]) > 0 {
		return a, incomplete("X-Amz-Date: send the header or the query parameter, not both.")
	}
	if len(r.Header["X-Amz-Security-Token"]) > 0 {
		return a, incomplete("X-Amz-Security-Token: a presigned request carries it as a query parameter.")
	}
	when, ok := parseStamp(date)
	if !ok {
		return a, incomplete("X-Amz-Date: date must be in ISO-8601 'basic format', e.g. 20260102T150405Z.")
	}
	a.when, a.stamp = when, date
	if expires == "" { // as the Go SDK presigns: good as long as a signed header would be
		return a, nil
	}
	seconds, err := strconv.ParseUint(expires, 10, 32)
	if err != nil || seconds < 1 || seconds > uint64(MaxExpires/time.Second) {
		return a, incomplete("X-Amz-Expires: must be a number of seconds from 1 to %d.", MaxExpires/time.Second)
	}
	a.expires = time.Duration(seconds) * time.Second
	return a, nil
}

// parseStamp reads a time in exactly the form 20060102T150405Z.
func parseStamp(s string) (time.Time, bool) {
	if len(s) != len(isoBasic) { // time.Parse would let fractions of a second pass
		return time.Time{}, false
	}
	t, err := time.Parse(isoBasic, s)
	return t, err == nil
}

// setScope checks the credential scope and keeps its parts.
func (s *Signed) setScope(a authParts, opts Options) error {
	id, scope, _ := strings.Cut(a.credential, "/")
	day, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, term, ok := strings.Cut(rest, "/")
	if !ok || strings.Contains(term, "/") {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if !validKeyID(id) {
		return Unrecognized()
	}
	var problems []string
	if term != terminator {
		problems = append(problems, "Credential should be scoped with a valid terminator: 'aws4_request'.")
	}
	if !arn.ValidRegion(region) {
		problems = append(problems, "Credential should be scoped to a valid region.")
	}
	if !slices.Contains(opts.Services, service) {
		problems = append(problems, "Credential should be scoped to correct service: '"+strings.Join(opts.Services, "', '")+"'.")
	}
	if day != a.stamp[:8] {
		problems = append(problems, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if problems != nil {
		return invalid("%s", strings.Join(problems, " "))
	}
	s.AccessKeyID, s.Region, s.Partition, s.Service, s.scope = id, region, arn.Partition(region), service, scope
	return nil
}

// checkTime holds the signature's time against the server's clock.
func (s *Signed) checkTime(now time.Time, opts Options) error {
	skew := opts.Skew
	if skew == 0 {
		skew = DefaultSkew
	}
	now = now.UTC()
	if latest := now.Add(skew); s.Time.After(latest) {
		return invalid("Signature not yet current: %s is still later than %s (%s + %s.)",
			s.stamp, latest.Format(isoBasic), now.Format(isoBasic), minutes(skew))
	}
	if s.Expires > 0 {
		if end := s.Time.Add(s.Expires); now.After(end) {
			return invalid("Signature expired: %s is now earlier than %s (%s + %d s.)",
				end.Format(isoBasic), now.Format(isoBasic), s.stamp, s.Expires/time.Second)
		}
		return nil
	}
	if earliest := now.Add(-skew); s.Time.Before(earliest) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %s.)",
			s.stamp, earliest.Format(isoBasic), now.Format(isoBasic), minutes(skew))
	}
	return nil
}

func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return d.String()
}

// setPayload reads x-amz-content-sha256, when the request has it.
func (s *Signed) setPayload(r *http.Request, opts Options) error {
	sums := r.Header["X-Amz-Content-Sha256"]
	if opts.Events {
		if len(sums) != 1 || strings.TrimSpace(sums[0]) != eventsPayload {
			return invalid("x-amz-content-sha256: this operation takes a stream of signed events; the header must be %s.", eventsPayload)
		}
		s.events = true
		return nil
	}
	if len(sums) == 0 {
		return nil
	}
	if len(sums) > 1 {
		return incomplete("x-amz-content-sha256: only one such header may be sent, got %d.", len(sums))
	}
	sum := strings.TrimSpace(sums[0])
	switch {
	case sum == "UNSIGNED-PAYLOAD":
		return invalid("x-amz-content-sha256: UNSIGNED-PAYLOAD is not accepted; sign the SHA-256 of the body.")
	case strings.HasPrefix(sum, "STREAMING-"):
		return invalid("x-amz-content-sha256: a payload signed in chunks (STREAMING-...) is not accepted by this operation; sign the SHA-256 of the body.")
	case !decodeHex32(&s.declared, sum):
		return invalid("x-amz-content-sha256: must be the SHA-256 of the body as 64 lower-case hexadecimal digits.")
	}
	s.hasSum = true
	return nil
}

// validKeyID reports whether id has the characters of an access key id
// (IAM: \w+, at most 128).
func validKeyID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !isAlnum(c) && c != '_' {
			return false
		}
	}
	return true
}

// decodeHex32 reads 64 lower-case hexadecimal digits.
func decodeHex32(dst *[32]byte, s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range dst {
		hi, lo := lowerHex(s[2*i]), lowerHex(s[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func lowerHex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
