package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// Credentials sign a request.
type Credentials struct {
	AccessKeyID  string
	Secret       secret.Value
	SessionToken string // "" for a long-term key
}

// Sign signs an outgoing request in its Authorization header. It sets
// X-Amz-Date, and X-Amz-Security-Token when there is a session token, and signs
// host, content-type and every x-amz- and x-amzn-bedrock- header; none of them
// may change afterwards. body is the whole body.
//
// Errors: a request without host or with a query that cannot be signed.
func Sign(r *http.Request, body []byte, creds Credentials, region, service string, now time.Time) error {
	path, raw := Target(r)
	q, err := parseQuery(raw)
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if host == "" {
		return fmt.Errorf("sign request: it has no host")
	}
	stamp := now.UTC().Format(isoBasic)
	r.Header.Set("X-Amz-Date", stamp)
	if creds.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", creds.SessionToken)
	}
	names := []string{"host"}
	for name := range r.Header {
		if mustSign(name) || name == "Content-Type" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	list := strings.Join(names, ";")
	s := Signed{stamp: stamp, scope: stamp[:8] + "/" + region + "/" + service + "/" + terminator}
	signed := *r
	signed.Host = host
	if err := s.setCanonical(&signed, path, q, names, list); err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	bodySum := sha256.Sum256(body)
	sum := sha256.Sum256(hex.AppendEncode(s.canon, bodySum[:]))
	key := derive(creds.Secret, s.scope)
	mac := sign(hmac.New(sha256.New, key[:]), s.stamp, s.scope, sum)
	r.Header.Set("Authorization", algorithm+" Credential="+creds.AccessKeyID+"/"+s.scope+
		", SignedHeaders="+list+", Signature="+hex.EncodeToString(mac[:]))
	return nil
}
