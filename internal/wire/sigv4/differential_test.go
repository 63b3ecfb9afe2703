package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

var full = flag.Bool("full", false, "run the whole corpus (1,000,000 signed requests) instead of a seeded tenth")

// The keys that the checker knows. Both sign; a request of one key must not pass
// under the other's name.
const (
	keyID, keySecret     = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	otherID, otherSecret = "AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
)

// spec is a request to sign.
type spec struct {
	method, path, query string // path and query escaped
	headers             http.Header
	body                []byte
	token               string
	region, service     string
	now, at             time.Time // the server's clock, the signer's clock
	presign             bool
	sum                 bool // send x-amz-content-sha256
}

// checker counts verdicts and finds wrong ones.
type checker struct {
	t        testing.TB
	cache    *sigv4.KeyCache
	signer   *v4.Signer
	accepted int // verdicts that were rightly "accepted"
	refused  int // verdicts that were rightly "refused"
}

func newChecker(t testing.TB) *checker {
	return &checker{t: t, cache: sigv4.NewKeyCache(64), signer: v4.NewSigner()}
}

func (c *checker) verify(r *http.Request, body []byte, now time.Time) error {
	s, err := sigv4.Parse(r, now, sigv4.Options{Services: []string{"bedrock", "sts"}})
	if err != nil {
		return err
	}
	switch s.AccessKeyID {
	case keyID:
		return s.Verify(c.cache, secret.NewString(keySecret), body)
	case otherID:
		return s.Verify(c.cache, secret.NewString(otherSecret), body)
	}
	return sigv4.Unrecognized()
}

func (c *checker) accept(what string, r *http.Request, body []byte, now time.Time) {
	c.t.Helper()
	if err := c.verify(r, body, now); err != nil {
		c.t.Fatalf("%s: refused: %v\n%s", what, err, dump(r, body))
	}
	c.accepted++
}

func (c *checker) refuse(what string, r *http.Request, body []byte, now time.Time) {
	c.t.Helper()
	if c.verify(r, body, now) == nil {
		c.t.Fatalf("%s: accepted\n%s", what, dump(r, body))
	}
	c.refused++
}

func dump(r *http.Request, body []byte) string {
	return fmt.Sprintf("%s %q\nHost: %q\n%q\n%q", r.Method, r.RequestURI, r.Host, r.Header, body)
}

// send signs a spec with the AWS SDK and returns what a server reads off the wire.
func (c *checker) send(s spec) *http.Request {
	c.t.Helper()
	target := "http://127.0.0.1:8686" + s.path
	if s.query != "" {
		target += "?" + s.query
	}
	r, err := http.NewRequest(s.method, target, bytes.NewReader(s.body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = s.headers.Clone()
	sum := sha256.Sum256(s.body)
	hash := hex.EncodeToString(sum[:])
	if s.sum {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	creds := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: keySecret, SessionToken: s.token}
	if !s.presign {
		if err := c.signer.SignHTTP(context.Background(), creds, r, hash, s.service, s.region, s.at); err != nil {
			c.t.Fatal(err)
		}
		return c.wire(r)
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "600")
	r.URL.RawQuery = q.Encode()
	signed, headers, err := c.signer.PresignHTTP(context.Background(), creds, r, hash, s.service, s.region, s.at)
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := http.NewRequest(s.method, signed, bytes.NewReader(s.body))
	if err != nil {
		c.t.Fatal(err)
	}
	headers.Del("Host")
	headers.Del("Content-Length")
	p.Header = headers
	return c.wire(p)
}

// wire writes a request as a client does and reads it as a server does.
func (c *checker) wire(r *http.Request) *http.Request {
	c.t.Helper()
	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		c.t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&buf))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		c.t.Fatal(err)
	}
	return got
}

func clone(r *http.Request) *http.Request {
	c := *r
	c.Header = r.Header.Clone()
	return &c
}

// check signs s, wants it accepted, wants every equal form of it accepted and
// every change to what is signed refused.
func (c *checker) check(rng *rand.Rand, s spec) {
	c.t.Helper()
	r := c.send(s)
	c.accept("as signed", r, s.body, s.now)
	c.equalForms(rng, r, s)

	m := clone(r)
	if m.Method = mutate(rng, r.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"); m.Method != r.Method {
		c.refuse("method", m, s.body, s.now)
	}
	path, query, hasQuery := strings.Cut(r.RequestURI, "?")
	m = clone(r)
	if p := mutate(rng, path, "/%:~aA0-._25FE"); p != path && p != "" && p[0] == '/' && !strings.Contains(p, "?") {
		m.RequestURI = strings.Replace(r.RequestURI, path, p, 1)
		c.refuse("path", m, s.body, s.now)
	}
	m = clone(r)
	if q := mutate(rng, query, "&=%+;aA0-25FEX"); !samePairs(q, query) {
		m.RequestURI = path + "?" + q
		c.refuse("query", m, s.body, s.now)
	}
	if hasQuery && query != "" {
		pieces := strings.Split(query, "&")
		i := rng.IntN(len(pieces))
		m.RequestURI = path + "?" + strings.Join(slices.Delete(slices.Clone(pieces), i, i+1), "&")
		c.refuse("query pair dropped", m, s.body, s.now)
		m.RequestURI = path + "?" + query + "&" + pieces[i]
		c.refuse("query pair doubled", m, s.body, s.now)
	}
	m = clone(r)
	m.Host = mutate(rng, r.Host, "abc:.0123456789")
	if m.Host != r.Host {
		c.refuse("host", m, s.body, s.now)
	}
	body := []byte(mutate(rng, string(s.body), "{}x\x00 "))
	if !bytes.Equal(body, s.body) {
		c.refuse("body", r, body, s.now)
	}
	c.changedHeader(rng, r, s)
	m = clone(r)
	m.Header.Set("X-Amz-Extra", "1")
	c.refuse("unsigned x-amz- header added", m, s.body, s.now)
	if s.presign {
		c.changedParams(rng, r, s)
	} else {
		c.changedAuthorization(rng, r, s)
	}
	c.refuse("sent late", r, s.body, s.at.Add(10*time.Minute+time.Second))
	c.refuse("sent early", r, s.body, s.at.Add(-5*time.Minute-time.Second))
}

// equalForms wants the forms accepted that mean the same.
func (c *checker) equalForms(rng *rand.Rand, r *http.Request, s spec) {
	c.t.Helper()
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if query != "" {
		pieces := strings.Split(query, "&")
		rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		for i, p := range pieces {
			pieces[i] = respell(rng, p)
		}
		m := clone(r)
		q := strings.Join(pieces, "&")
		if !samePairs(q, query) {
			c.t.Fatalf("the test's own respelling changed %q to %q", query, q)
		}
		m.RequestURI = path + "?" + q
		c.accept("query reordered and respelled", m, s.body, s.now)
	}
	m := clone(r)
	for name, values := range m.Header {
		if name == "Authorization" || strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		for i, v := range values {
			values[i] = " " + strings.ReplaceAll(v, " ", "   ") + "  "
		}
		if rng.IntN(2) == 0 {
			for i, v := range values {
				values[i] = strings.TrimSpace(v)
			}
			m.Header[name] = []string{strings.Join(values, ",")}
		}
	}
	m.Header.Set("User-Agent", "other")
	m.Header.Set("Amz-Sdk-Extra", "attempt=2")
	m.RequestURI = "http://" + r.Host + r.RequestURI
	c.accept("header spacing, unsigned headers, absolute form", m, s.body, s.now)
}

// changedHeader alters, drops and adds values of signed headers.
func (c *checker) changedHeader(rng *rand.Rand, r *http.Request, s spec) {
	c.t.Helper()
	names := strings.Split(signedHeaders(r, s), ";")
	name := http.CanonicalHeaderKey(names[rng.IntN(len(names))])
	values := r.Header[name]
	if len(values) == 0 {
		return // host
	}
	m := clone(r)
	delete(m.Header, name)
	if name != "Content-Length" { // net/http knows the length without the header
		c.refuse("signed header dropped", m, s.body, s.now)
	}
	m = clone(r)
	i := rng.IntN(len(values))
	m.Header[name][i] = mutate(rng, values[i], "aA0 ,\t")
	if canonValue(m.Header[name]) != canonValue(values) {
		c.refuse("signed header "+name, m, s.body, s.now)
	}
	m = clone(r)
	m.Header[name] = append(m.Header[name], "")
	c.refuse("signed header "+name+" doubled", m, s.body, s.now)
}

// canonValue is the test's own idea of when two header values mean the same.
func canonValue(values []string) string {
	var out []string
	for _, v := range values {
		out = append(out, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(out, ",")
}

func signedHeaders(r *http.Request, s spec) string {
	if s.presign {
		u, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			return "host"
		}
		return u.Query().Get("X-Amz-SignedHeaders")
	}
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ := strings.Cut(rest, ",")
	return list
}

// changedAuthorization alters parts of the Authorization header.
func (c *checker) changedAuthorization(rng *rand.Rand, r *http.Request, s spec) {
	c.t.Helper()
	auth := r.Header.Get("Authorization")
	list := signedHeaders(r, s)
	day := s.at.UTC().Format("20060102")
	changes := []struct{ what, auth string }{
		{"other key", strings.Replace(auth, keyID, otherID, 1)},
		{"unknown key", strings.Replace(auth, keyID, mutate(rng, keyID, "ABC234"), 1)},
		{"scope date", strings.Replace(auth, "/"+day+"/", "/"+s.at.AddDate(0, 0, 1).UTC().Format("20060102")+"/", 1)},
		{"scope region", strings.Replace(auth, "/"+s.region+"/", "/"+otherRegion(s.region)+"/", 1)},
		{"scope service", strings.Replace(auth, "/"+s.service+"/", "/"+map[string]string{"bedrock": "sts", "sts": "bedrock"}[s.service]+"/", 1)},
		{"terminator", strings.Replace(auth, "aws4_request", "aws5_request", 1)},
		{"algorithm", strings.Replace(auth, "SHA256", "SHA512", 1)},
		{"signed name less", strings.Replace(auth, list, dropName(rng, list), 1)},
		{"signed name more", strings.Replace(auth, list, list+";zzz", 1)},
		{"signature", auth[:len(auth)-64] + mutate(rng, auth[len(auth)-64:], "0123456789abcdef")},
		{"signature case", auth[:len(auth)-64] + strings.ToUpper(auth[len(auth)-64:])},
		{"part doubled", auth + ", Signature=" + auth[len(auth)-64:]},
	}
	for _, i := range rng.Perm(len(changes))[:3] {
		if changes[i].auth == auth {
			continue
		}
		m := clone(r)
		m.Header.Set("Authorization", changes[i].auth)
		c.refuse(changes[i].what, m, s.body, s.now)
	}
	m := clone(r)
	m.Header["Authorization"] = []string{auth, auth}
	c.refuse("two Authorization headers", m, s.body, s.now)
	m = clone(r)
	m.Header.Set("Authorization", strings.ReplaceAll(auth, ", ", ","))
	c.accept("parts without spaces", m, s.body, s.now)
	m = clone(r)
	m.Header.Set("X-Amz-Date", s.at.Add(time.Second).UTC().Format("20060102T150405Z"))
	c.refuse("date", m, s.body, s.now)
}

// changedParams alters parameters of a presigned request.
func (c *checker) changedParams(rng *rand.Rand, r *http.Request, s spec) {
	c.t.Helper()
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		c.t.Fatal(err)
	}
	cred := u.Query().Get("X-Amz-Credential")
	changes := []struct{ name, value string }{
		{"X-Amz-Algorithm", "AWS4-HMAC-SHA512"},
		{"X-Amz-Algorithm", ""},
		{"X-Amz-Credential", strings.Replace(cred, keyID, otherID, 1)},
		{"X-Amz-Credential", strings.Replace(cred, s.region, otherRegion(s.region), 1)},
		{"X-Amz-Date", s.at.Add(time.Second).UTC().Format("20060102T150405Z")},
		{"X-Amz-Date", ""},
		{"X-Amz-Expires", "601"},
		{"X-Amz-Expires", "604801"},
		{"X-Amz-Expires", "0"},
		{"X-Amz-Expires", "600.0"},
		{"X-Amz-SignedHeaders", ""},
		{"X-Amz-SignedHeaders", "x-nothing"},
		{"X-Amz-Signature", mutate(rng, u.Query().Get("X-Amz-Signature"), "0123456789abcdef")},
		{"X-Amz-Signature", ""},
		{"X-Amz-Security-Token", s.token + "x"},
	}
	for _, i := range rng.Perm(len(changes))[:3] {
		q := u.Query()
		if q.Get(changes[i].name) == changes[i].value {
			continue
		}
		q.Set(changes[i].name, changes[i].value)
		m := clone(r)
		m.RequestURI = u.EscapedPath() + "?" + q.Encode()
		c.refuse(changes[i].name+"="+changes[i].value, m, s.body, s.now)
	}
	m := clone(r)
	m.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+cred+", SignedHeaders=host, Signature="+u.Query().Get("X-Amz-Signature"))
	c.refuse("header and query", m, s.body, s.now)
	m.Header.Set("Authorization", "Bearer x")
	c.refuse("bearer and query", m, s.body, s.now)
}

func otherRegion(region string) string {
	if region == "us-west-2" {
		return "us-east-1"
	}
	return "us-west-2"
}

func dropName(rng *rand.Rand, list string) string {
	names := strings.Split(list, ";")
	i := rng.IntN(len(names))
	return strings.Join(slices.Delete(names, i, i+1), ";")
}

// samePairs is the test's own idea of when two queries mean the same: the pairs
// that net/url reads, in any order. A query that net/url cannot read is not the
// same as any other.
func samePairs(a, b string) bool {
	pa, ok := pairs(a)
	pb, ok2 := pairs(b)
	return ok && ok2 && slices.Equal(pa, pb)
}

func pairs(raw string) ([]string, bool) {
	q, err := url.ParseQuery(raw)
	var out []string
	for k, values := range q {
		for _, v := range values {
			out = append(out, strconv.Quote(k)+strconv.Quote(v))
		}
	}
	slices.Sort(out)
	return out, err == nil
}

// respell writes some characters of a query piece in another encoding.
func respell(rng *rand.Rand, piece string) string {
	var b strings.Builder
	for i := 0; i < len(piece); i++ {
		switch ch := piece[i]; {
		case ch == '%' && i+2 < len(piece):
			if e := piece[i : i+3]; e == "%20" && rng.IntN(2) == 0 {
				b.WriteByte('+')
			} else {
				b.WriteString(strings.ToLower(e))
			}
			i += 2
		case ch != '=' && ch != '%' && ch != '+' && rng.IntN(4) == 0:
			fmt.Fprintf(&b, "%%%02x", ch)
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// mutate changes, inserts or deletes one byte.
func mutate(rng *rand.Rand, s, alphabet string) string {
	ch := alphabet[rng.IntN(len(alphabet))]
	i := rng.IntN(len(s) + 1)
	switch op := rng.IntN(3); {
	case op == 0 || i == len(s):
		return s[:i] + string([]byte{ch}) + s[i:]
	case op == 1:
		return s[:i] + s[i+1:]
	default:
		return s[:i] + string([]byte{ch}) + s[i+1:]
	}
}
