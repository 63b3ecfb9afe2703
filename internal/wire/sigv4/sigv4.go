// Package sigv4 verifies AWS Signature Version 4 on received requests, and signs
// requests for Outcrop's own client. It does no I/O and reads no body.
//
// A request passes three stages, so that it can be refused from its headers
// alone, before its body is read, and so that no stage can be left out:
//
//	signed, err := sigv4.Parse(r, now, opts)        // form, date, scope, signed headers
//	secret := ... look up signed.AccessKeyID ...    // known key?
//	err = signed.Verify(cache, secret, body)        // payload hash and signature
//
// # Canonical form
//
// The path is taken as received on the wire (escaped) and percent-encoded once
// more, as AWS does for every service but S3. Nothing is normalised: dot and
// empty segments stay as they are, because routing refuses them. The query is
// taken raw; each name and value is decoded once ("+" is a space, as in
// net/url.ParseQuery) and encoded again, then sorted. A query that
// net/url.ParseQuery would read otherwise than the signature does (a broken
// percent escape, a bare ";") is refused. Header values lose outer white space,
// and runs of spaces inside count as one.
//
// # What must be signed
//
// Host (or ":authority", which the JavaScript SDK signs over cleartext HTTP/2),
// the date, and every header that starts with "x-amz-" or "x-amzn-bedrock-".
// No SDK needs an exception: boto3, the Go, JavaScript and Java SDKs and curl
// all sign each such header that they send.
//
// Source: IAM user guide, "Create a signed AWS API request"; the messages follow
// what AWS's front end answers.
package sigv4

import (
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	isoBasic   = "20060102T150405Z"

	// DefaultSkew is how far a signature's time may be from the server's clock.
	DefaultSkew = 5 * time.Minute
	// MaxExpires is the longest life of a presigned request.
	MaxExpires = 604800 * time.Second
)

// Form is the way in which a request says who sent it.
type Form int

// The forms of authentication.
const (
	None   Form = iota // no credentials
	Header             // SigV4 in the Authorization header
	Query              // SigV4 in the query: a presigned request
	Bearer             // Authorization: Bearer
)

// Options bound what Parse accepts.
type Options struct {
	// Services are the names that a credential scope may carry, e.g. "bedrock",
	// "sts". Required: with none every request is refused.
	Services []string
	// Skew is the clock difference allowed; 0 means DefaultSkew.
	Skew time.Duration
	// Events asks for a body of signed events: the request must say
	// "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-EVENTS", and is verified by
	// VerifyEvents. Without it such a request is refused.
	Events bool
}

// Signed is a request whose form, date, scope and signed headers are in order
// and whose signature is still to be verified. It is used by one goroutine at a
// time and holds nothing of the request that can change under it.
type Signed struct {
	Form         Form // Header or Query
	AccessKeyID  string
	Region       string // of the credential scope, e.g. "us-east-1"
	Partition    string // of Region, e.g. "aws"
	Service      string // of the credential scope, e.g. "bedrock"
	SessionToken string // "" when the request has none; always part of what is signed
	Time         time.Time
	// Expires is how long a presigned request is good: 1 second to MaxExpires. 0
	// when it does not say; then, as for Header, Skew is what counts.
	Expires time.Duration

	scope     string // yyyymmdd/region/service/aws4_request
	stamp     string // Time as signed
	signature [32]byte
	declared  [32]byte // body hash told by x-amz-content-sha256
	hasSum    bool
	events    bool   // the body is a stream of signed events
	canon     []byte // canonical request without its last line, the payload hash
	alt       []byte // the same with all inner white space folded; nil when equal
}

// String names the key and the scope, and nothing that must not be printed.
func (s *Signed) String() string { return s.AccessKeyID + "/" + s.scope }

// GoString is String.
func (s *Signed) GoString() string { return s.String() }

// Detect tells which form of authentication a request uses. It reads the
// Authorization header and the query, nothing else.
//
// Errors: IncompleteSignatureException (400) when there is more than one form,
// more than one Authorization header, an unknown scheme or a query that cannot
// be read. None is not an error here.
func Detect(r *http.Request) (Form, error) {
	_, raw := Target(r)
	q, err := parseQuery(raw)
	if err != nil {
		return None, err
	}
	return detect(r, q)
}

func detect(r *http.Request, q query) (Form, error) {
	form := None
	switch lines := r.Header["Authorization"]; {
	case len(lines) > 1:
		return None, incomplete("Authorization: only one such header may be sent, got %d.", len(lines))
	case len(lines) == 0 || strings.TrimSpace(lines[0]) == "":
	default:
		scheme, _, _ := strings.Cut(strings.TrimSpace(lines[0]), " ")
		switch {
		case scheme == algorithm:
			form = Header
		case strings.EqualFold(scheme, "Bearer"):
			form = Bearer
		default:
			return None, incomplete("Authorization: unsupported type; send %s or Bearer.", algorithm)
		}
	}
	if !q.hasAuth() {
		return form, nil
	}
	if form != None {
		return None, incomplete("Only one auth mechanism is allowed: send the Authorization header or the X-Amz-Algorithm query parameters, not both.")
	}
	return Query, nil
}

// BearerToken returns the token of an "Authorization: Bearer" header, and the
// zero value when the request has none.
func BearerToken(r *http.Request) secret.Value {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return secret.Value{}
	}
	return secret.NewString(strings.TrimSpace(token))
}

// Parse checks everything of a signed request that can be checked without the
// secret and without the body. now is the server's time.
//
// Errors, all *apierr.Error: MissingAuthenticationTokenException (403) without
// SigV4 credentials, IncompleteSignatureException (400) for a malformed or
// doubled part, InvalidSignatureException (403) for a date, scope or set of
// signed headers that cannot be accepted. None of them tells the canonical
// request or echoes a header that could hold a secret.
func Parse(r *http.Request, now time.Time, opts Options) (*Signed, error) {
	path, raw := Target(r)
	q, err := parseQuery(raw)
	if err != nil {
		return nil, err
	}
	form, err := detect(r, q)
	if err != nil {
		return nil, err
	}
	var a authParts
	switch form {
	case Header:
		a, err = headerParts(r)
	case Query:
		a, err = queryParts(r, q)
	default:
		return nil, MissingToken()
	}
	if err != nil {
		return nil, err
	}
	s := &Signed{Form: form, Expires: a.expires, SessionToken: a.token, Time: a.when, stamp: a.stamp}
	if err := s.setScope(a, opts); err != nil {
		return nil, err
	}
	if err := s.checkTime(now, opts); err != nil {
		return nil, err
	}
	if !decodeHex32(&s.signature, a.signature) {
		return nil, Mismatch()
	}
	if err := s.setPayload(r, opts); err != nil {
		return nil, err
	}
	names, err := signedNames(r, a)
	if err != nil {
		return nil, err
	}
	return s, s.setCanonical(r, path, q, names, a.signedHeaders)
}
