package sigv4_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

var (
	testNow  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	testOpts = sigv4.Options{Services: []string{"bedrock"}}
)

// signed is a good request; each test spoils one thing.
func signed(t *testing.T) *http.Request {
	t.Helper()
	r := received(http.MethodPost, "/model/anthropic.claude-v2%3A1/invoke?b=2&a=%3B")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Bedrock-Trace", "ENABLED")
	sign(t, r)
	return r
}

func received(method, target string) *http.Request {
	return &http.Request{Method: method, RequestURI: target, Host: "127.0.0.1:8686", Header: http.Header{}, ContentLength: 2}
}

func sign(t *testing.T, r *http.Request) {
	t.Helper()
	creds := sigv4.Credentials{AccessKeyID: keyID, Secret: secret.NewString(keySecret)}
	if err := sigv4.Sign(r, []byte("{}"), creds, "us-east-1", "bedrock", testNow); err != nil {
		t.Fatal(err)
	}
}

func verdict(r *http.Request, now time.Time) error {
	s, err := sigv4.Parse(r, now, testOpts)
	if err != nil {
		return err
	}
	return s.Verify(nil, secret.NewString(keySecret), []byte("{}"))
}

// presignedTarget is a well-formed presigned request with no true signature.
const presignedTarget = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-east-1%2Fbedrock%2Faws4_request" +
	"&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" +
	"0000000000000000000000000000000000000000000000000000000000000000"

func TestErrors(t *testing.T) {
	t.Parallel()
	const (
		missing    = apierr.CodeMissingAuth
		incomplete = apierr.CodeIncompleteSignature
		invalid    = apierr.CodeInvalidSignature
		unknown    = apierr.CodeUnrecognizedClient
	)
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	add := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add(name, value) }
	}
	query := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header = http.Header{}
			r.RequestURI = strings.Replace(presignedTarget, old, new, 1)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		code   string
		part   string // of the message
	}{
		{"no credentials", func(r *http.Request) { r.Header.Del("Authorization") }, missing, "Missing Authentication Token"},
		{"empty Authorization", set("Authorization", " "), missing, "Missing Authentication Token"},
		{"bearer", set("Authorization", "Bearer x"), missing, "Missing Authentication Token"},
		{"basic", set("Authorization", "Basic c2VjcmV0"), incomplete, "Authorization: unsupported type"},
		{"SigV4A", auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), incomplete, "Authorization: unsupported type"},
		{"two Authorization headers", add("Authorization", "x"), incomplete, "Authorization: only one"},
		{"scheme alone", set("Authorization", "AWS4-HMAC-SHA256"), incomplete, "key=value pair"},
		{"part twice", auth("Credential=", "SignedHeaders="), incomplete, "twice"},
		{"empty Credential", auth("Credential=AKIAIOSFODNN7EXAMPLE/20260102/us-east-1/bedrock/aws4_request", "Credential="), incomplete, "requires 'Credential' parameter"},
		{"unknown part", auth("SignedHeaders=", "Other=1, SignedHeaders="), incomplete, "only Credential"},
		{"part without value", auth("SignedHeaders=", "x, SignedHeaders="), incomplete, "missing equal-sign"},
		{"four scope elements", auth("/aws4_request", ""), incomplete, "exactly 5 slash-delimited elements"},
		{"six scope elements", auth("/aws4_request", "/aws4_request/x"), incomplete, "exactly 5 slash-delimited elements"},
		{"key id of odd characters", auth(keyID, "AKIA<script>"), unknown, "security token included in the request is invalid"},
		{"scope date", auth("/20260102/", "/20260103/"), invalid, "Date in Credential scope"},
		{"scope region", auth("/us-east-1/", "/moon/"), invalid, "scoped to a valid region"},
		{"scope service", auth("/bedrock/", "/s3/"), invalid, "correct service: 'bedrock'"},
		{"scope terminator", auth("/aws4_request", "/aws5_request"), invalid, "valid terminator: 'aws4_request'"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, incomplete, "either a 'X-Amz-Date' or a 'Date' header"},
		{"two dates", add("X-Amz-Date", "20260102T030405Z"), incomplete, "X-Amz-Date: only one"},
		{"odd date", set("X-Amz-Date", "2026-01-02T03:04:05Z"), incomplete, "ISO-8601"},
		{"date with a fraction", set("X-Amz-Date", "20260102T030405.5Z"), incomplete, "ISO-8601"},
		{"two session tokens", func(r *http.Request) { r.Header["X-Amz-Security-Token"] = []string{"a", "b"} }, incomplete, "X-Amz-Security-Token: only one"},
		{"unsigned session token", set("X-Amz-Security-Token", "a"), invalid, "'x-amz-security-token' must be a 'SignedHeader'"},
		{"unsigned bedrock header", set("X-Amzn-Bedrock-Guardrailidentifier", "a"), invalid, "'x-amzn-bedrock-guardrailidentifier' must be a 'SignedHeader'"},
		{"unsigned host", auth("content-type;host;", "content-type;"), invalid, "'Host' or ':authority'"},
		{"unsigned date", auth("host;x-amz-date;", "host;"), invalid, "'x-amz-date' must be a 'SignedHeader'"},
		{"signed header missing", func(r *http.Request) { r.Header.Del("Content-Type") }, invalid, "'content-type' is in SignedHeaders but not in the request"},
		{"signed headers unsorted", auth("content-type;host", "host;content-type"), incomplete, "must be sorted"},
		{"signed header twice", auth("host", "host;host"), incomplete, "must be sorted"},
		{"signed header in capitals", auth("content-type", "Content-Type"), incomplete, "lower-case"},
		{"signed header of odd characters", auth("content-type", "content type"), incomplete, "lower-case"},
		{"short signature", func(r *http.Request) {
			r.Header.Set("Authorization", strings.TrimRight(r.Header.Get("Authorization"), "0123456789abcdef")+"00")
		}, invalid, "does not match"},
		{"unsigned payload", set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), invalid, "UNSIGNED-PAYLOAD is not accepted"},
		{"payload in chunks", set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS"), invalid, "STREAMING-"},
		{"payload hash of odd form", set("X-Amz-Content-Sha256", "E3B0"), invalid, "64 lower-case hexadecimal digits"},
		{"two payload hashes", func(r *http.Request) { r.Header["X-Amz-Content-Sha256"] = []string{"a", "b"} }, incomplete, "only one"},
		{"broken escape", func(r *http.Request) { r.RequestURI += "%4" }, incomplete, "broken percent escape"},
		{"broken escape of digits", func(r *http.Request) { r.RequestURI += "%g0" }, incomplete, "broken percent escape"},
		{"bare semicolon", func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%3B", ";", 1) }, incomplete, "bare semicolon"},
		{"header and query", func(r *http.Request) { r.RequestURI += "&X-Amz-Signature=0" }, incomplete, "Only one auth mechanism"},
		{"header and escaped query", func(r *http.Request) { r.RequestURI += "&X-Amz%2dSignature=0" }, incomplete, "Only one auth mechanism"},
		{"changed header", func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-Trace", "DISABLED") }, invalid, "does not match"},

		{"presigned: wrong signature", query("", ""), invalid, "does not match"},
		{"presigned: no signature", query("&X-Amz-Signature", "&x"), incomplete, "must include 'X-Amz-Signature'"},
		{"presigned: no algorithm", query("X-Amz-Algorithm", "x"), incomplete, "must include 'X-Amz-Algorithm'"},
		{"presigned: other algorithm", query("HMAC-SHA256", "HMAC-SHA1"), incomplete, "only AWS4-HMAC-SHA256"},
		{"presigned: no credential", query("X-Amz-Credential", "x"), incomplete, "must include 'X-Amz-Credential'"},
		{"presigned: no date", query("X-Amz-Date", "x"), incomplete, "must include 'X-Amz-Date'"},
		{"presigned: empty expiry", query("Expires=60", "Expires="), incomplete, "must include 'X-Amz-Expires'"},
		{"presigned: expiry 0", query("Expires=60", "Expires=0"), incomplete, "from 1 to 604800"},
		{"presigned: expiry too long", query("Expires=60", "Expires=604801"), incomplete, "from 1 to 604800"},
		{"presigned: expiry no number", query("Expires=60", "Expires=1e3"), incomplete, "from 1 to 604800"},
		{"presigned: date twice", query("X-Amz-Date", "X-Amz-Date=20260102T030405Z&X-Amz-Date"), incomplete, "'X-Amz-Date' is given 2 times"},
		{"presigned: odd date", query("20260102T030405Z", "20260102"), incomplete, "ISO-8601"},
		{"presigned: date header", func(r *http.Request) {
			query("", "")(r)
			r.Header.Set("X-Amz-Date", "20260102T030405Z")
		}, incomplete, "not both"},
		{"presigned: token header", func(r *http.Request) {
			query("", "")(r)
			r.Header.Set("X-Amz-Security-Token", "x")
		}, incomplete, "as a query parameter"},
		{"presigned: unsigned x-amz- header", func(r *http.Request) {
			query("", "")(r)
			r.Header.Set("X-Amz-Meta", "x")
		}, invalid, "'x-amz-meta' must be a 'SignedHeader'"},
		{"presigned: bearer", func(r *http.Request) {
			query("", "")(r)
			r.Header.Set("Authorization", "bearer x")
		}, incomplete, "Only one auth mechanism"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := signed(t)
			if err := verdict(r, testNow); err != nil {
				t.Fatalf("unspoilt: %v", err)
			}
			c.change(r)
			err := verdict(r, testNow)
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Code != c.code || !strings.Contains(e.Message, c.part) {
				t.Fatalf("got %v, want %s with %q", err, c.code, c.part)
			}
			want := http.StatusForbidden
			if c.code == incomplete {
				want = http.StatusBadRequest
			}
			if e.HTTPStatus() != want {
				t.Errorf("status %d, want %d", e.HTTPStatus(), want)
			}
		})
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		offset time.Duration // of the server's clock
		skew   time.Duration
		want   string // message; "" means accepted
	}{
		{"in time", 0, 0, ""},
		{"at the late end", 5 * time.Minute, 0, ""},
		{"at the early end", -5 * time.Minute, 0, ""},
		{"late", 5*time.Minute + time.Second, 0, "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z (20260102T030906Z - 5 min.)"},
		{"early", -5*time.Minute - time.Second, 0, "Signature not yet current: 20260102T030405Z is still later than 20260102T030404Z (20260102T025904Z + 5 min.)"},
		{"wider", 14 * time.Minute, 15 * time.Minute, ""},
		{"narrower", 31 * time.Second, 30 * time.Second, "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z (20260102T030436Z - 30s.)"},
	} {
		_, err := sigv4.Parse(signed(t), testNow.Add(c.offset).In(time.FixedZone("x", 3600)), sigv4.Options{Services: testOpts.Services, Skew: c.skew})
		e, _ := errors.AsType[*apierr.Error](err)
		if c.want == "" && err != nil || c.want != "" && (e == nil || e.Message != c.want || e.Code != apierr.CodeInvalidSignature) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	r := received(http.MethodGet, presignedTarget)
	if _, err := sigv4.Parse(r, testNow.Add(60*time.Second), testOpts); err != nil {
		t.Errorf("presigned, at its last moment: %v", err)
	}
	_, err := sigv4.Parse(r, testNow.Add(61*time.Second), testOpts)
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Message != "Signature expired: 20260102T030505Z is now earlier than 20260102T030506Z (20260102T030405Z + 60 s.)" {
		t.Errorf("presigned, expired: got %v", err)
	}
	r = received(http.MethodGet, strings.Replace(presignedTarget, "&X-Amz-Expires=60", "", 1))
	if _, err := sigv4.Parse(r, testNow.Add(5*time.Minute), testOpts); err != nil {
		t.Errorf("presigned without an end, at its last moment: %v", err)
	}
	_, err = sigv4.Parse(r, testNow.Add(5*time.Minute+time.Second), testOpts)
	if e, ok := errors.AsType[*apierr.Error](err); !ok || !strings.HasPrefix(e.Message, "Signature expired: ") {
		t.Errorf("presigned without an end, late: got %v", err)
	}
}

// TestDateHeader signs with Date in place of X-Amz-Date, by hand: no SDK does.
func TestDateHeader(t *testing.T) {
	t.Parallel()
	for _, date := range []string{"Fri, 02 Jan 2026 03:04:05 GMT", "20260102T030405Z"} {
		mac := func(key []byte, data string) []byte {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(data))
			return h.Sum(nil)
		}
		body := sha256.Sum256([]byte("{}"))
		canon := sha256.Sum256([]byte("POST\n/a%252Fb\n\ndate:" + date + "\nhost:127.0.0.1:8686\n\ndate;host\n" + hex.EncodeToString(body[:])))
		key := []byte("AWS4" + keySecret)
		for _, part := range []string{"20260102", "us-east-1", "bedrock", "aws4_request"} {
			key = mac(key, part)
		}
		const scope = "20260102/us-east-1/bedrock/aws4_request"
		signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n20260102T030405Z\n"+scope+"\n"+hex.EncodeToString(canon[:])))
		r := received(http.MethodPost, "/a%2Fb")
		r.Header.Set("Date", date)
		const auth = "AWS4-HMAC-SHA256 Credential=" + keyID + "/" + scope + ",SignedHeaders="
		r.Header.Set("Authorization", auth+"date;host,Signature="+signature)
		if err := verdict(r, testNow); err != nil {
			t.Errorf("%s: %v", date, err)
		}
		r.Header.Set("Authorization", auth+"host,Signature="+signature)
		err := verdict(r, testNow)
		if e, ok := errors.AsType[*apierr.Error](err); !ok || !strings.Contains(e.Message, "'X-Amz-Date' or 'Date' must be a 'SignedHeader'") {
			t.Errorf("unsigned Date: got %v", err)
		}
	}
}

func TestNoService(t *testing.T) {
	t.Parallel()
	if _, err := sigv4.Parse(signed(t), testNow, sigv4.Options{}); err == nil {
		t.Error("accepted with no service allowed")
	}
}

func TestEmptySecret(t *testing.T) {
	t.Parallel()
	r := received(http.MethodGet, "/")
	if err := sigv4.Sign(r, nil, sigv4.Credentials{AccessKeyID: keyID}, "us-east-1", "bedrock", testNow); err != nil {
		t.Fatal(err)
	}
	s, err := sigv4.Parse(r, testNow, testOpts)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verify(nil, secret.Value{}, nil) == nil {
		t.Error("an empty secret verified")
	}
}

// TestSignedOutlivesRequest changes the request between the two stages.
func TestSignedOutlivesRequest(t *testing.T) {
	t.Parallel()
	r := signed(t)
	s, err := sigv4.Parse(r, testNow, testOpts)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "changed")
	r.Method, r.RequestURI = "DELETE", "/"
	if err := s.Verify(nil, secret.NewString(keySecret), []byte("{}")); err != nil {
		t.Error(err)
	}
	s.SessionToken = "token"
	if got := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(got, "token") || !strings.HasPrefix(got, keyID+"/20260102/") {
		t.Errorf("prints as %q", got)
	}
	s.SessionToken = ""
	if s.AccessKeyID != keyID || s.Region != "us-east-1" || s.Partition != "aws" || s.Service != "bedrock" || s.Form != sigv4.Header || s.SessionToken != "" {
		t.Errorf("got %v in %s, %s, service %s", s, s.Region, s.Partition, s.Service)
	}
}

func TestDeclaredHash(t *testing.T) {
	t.Parallel()
	r := received(http.MethodPost, "/")
	r.Header.Set("X-Amz-Content-Sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a") // of {}
	sign(t, r)
	if err := verdict(r, testNow); err != nil {
		t.Fatal(err)
	}
	s, _ := sigv4.Parse(r, testNow, testOpts)
	err := s.Verify(nil, secret.NewString(keySecret), []byte("{ }"))
	if e, ok := errors.AsType[*apierr.Error](err); !ok || !strings.Contains(e.Message, "'x-amz-content-sha256' header does not match what was computed") {
		t.Errorf("got %v", err)
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	plain := received(http.MethodGet, "/")
	bearer := received(http.MethodGet, "/")
	bearer.Header.Set("Authorization", "  bearer   ABSKx ")
	for _, c := range []struct {
		name  string
		r     *http.Request
		want  sigv4.Form
		token string
	}{
		{"none", plain, sigv4.None, ""},
		{"bearer", bearer, sigv4.Bearer, "ABSKx"},
		{"header", signed(t), sigv4.Header, ""},
		{"query", received(http.MethodGet, presignedTarget), sigv4.Query, ""},
	} {
		got, err := sigv4.Detect(c.r)
		if err != nil || got != c.want || string(sigv4.BearerToken(c.r).Reveal()) != c.token {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for target, want := range map[string][2]string{
		"/":                           {"/", ""},
		"/a%2Fb?c=d?e":                {"/a%2Fb", "c=d?e"},
		"/a?":                         {"/a", ""},
		"//a//b":                      {"//a//b", ""},
		"http://h:1/a%3Ab?c":          {"/a%3Ab", "c"},
		"https://h":                   {"/", ""},
		"https://h?c":                 {"/", "c"},
		"/redirect/http://other/path": {"/redirect/http://other/path", ""},
		"*":                           {"*", ""},
	} {
		path, query := sigv4.Target(&http.Request{RequestURI: target})
		if got := [2]string{path, query}; got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

// TestKeyCache verifies under many scopes with a cache of two, and with a secret
// that changed under the same key id.
func TestKeyCache(t *testing.T) {
	t.Parallel()
	cache := sigv4.NewKeyCache(2)
	for _, sec := range []string{keySecret, otherSecret, keySecret} {
		for _, region := range []string{"us-east-1", "us-west-2", "eu-west-1", "us-east-1"} {
			r := received(http.MethodPost, "/")
			creds := sigv4.Credentials{AccessKeyID: keyID, Secret: secret.NewString(sec)}
			if err := sigv4.Sign(r, nil, creds, region, "bedrock", testNow); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s, err := sigv4.Parse(r, testNow, testOpts)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Verify(cache, secret.NewString(sec+"x"), nil); err == nil {
					t.Error("wrong secret accepted")
				}
				if err := s.Verify(cache, secret.NewString(sec), nil); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
