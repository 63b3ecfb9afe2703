package sigv4

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// Parts of a short-term Bedrock API key.
const (
	ShortTermPrefix = "bedrock-api-key-"
	// MaxShortTerm is the longest life of a short-term key.
	MaxShortTerm = 12 * time.Hour

	shortTermHost   = "bedrock.amazonaws.com"
	shortTermAction = "CallWithBearerToken"
	maxShortTermLen = 16 << 10 // characters; one with a session token has some 2,000
)

// ParseShortTerm reads a short-term Bedrock API key, which a client makes from an
// access key without asking anyone: "bedrock-api-key-" and the base64 of a
// presigned POST to bedrock.amazonaws.com/?Action=CallWithBearerToken, with
// "&Version=1" behind the signature. As with Parse, the signature is still to be
// verified, over an empty body.
//
// Errors: as Parse; a key that lives longer than MaxShortTerm is refused.
// Source: what aws-bedrock-token-generator 1.1.0 makes.
func ParseShortTerm(token string, now time.Time) (*Signed, error) {
	rest, ok := strings.CutPrefix(token, ShortTermPrefix)
	if !ok || len(rest) > maxShortTermLen {
		return nil, badShortTerm()
	}
	text, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, badShortTerm()
	}
	raw, ok := strings.CutPrefix(string(text), shortTermHost+"/?")
	if !ok {
		return nil, badShortTerm()
	}
	if raw, ok = strings.CutSuffix(raw, "&Version=1"); !ok {
		return nil, badShortTerm()
	}
	q, err := parseQuery(raw)
	if err != nil {
		return nil, err
	}
	if action, n := q.lookup("Action"); n != 1 || action != shortTermAction {
		return nil, badShortTerm()
	}
	r := &http.Request{Method: http.MethodPost, Host: shortTermHost, RequestURI: "/?" + raw, Header: http.Header{}}
	s, err := Parse(r, now, Options{Services: []string{"bedrock"}})
	if err != nil {
		return nil, err
	}
	if s.Expires > MaxShortTerm {
		return nil, invalid("X-Amz-Expires: a short-term API key lives for at most %d seconds.", MaxShortTerm/time.Second)
	}
	return s, nil
}

func badShortTerm() error {
	return incomplete("The short-term API key is malformed.")
}
