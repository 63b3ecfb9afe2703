package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// attempt is one request of the matrix on its way.
type attempt struct {
	f    *fixture
	svc  *awsapi.Service
	op   *awsapi.Operation
	r    *http.Request
	body []byte
}

// signed signs the request with anything but what change alters.
func (a *attempt) signed(t *testing.T, change func(*signing)) {
	t.Helper()
	s := signing{
		cred:   a.f.credentials(),
		region: "us-east-1", service: a.svc.SigningName, at: time.Now(), body: a.body,
	}
	if change != nil {
		change(&s)
	}
	if err := sigv4.Sign(a.r, s.body, s.cred, s.region, s.service, s.at); err != nil {
		t.Fatal(err)
	}
}

type signing struct {
	cred            sigv4.Credentials
	region, service string
	at              time.Time
	body            []byte
}

// presigned moves the signature into the query, by the AWS SDK's signer.
func (a *attempt) presigned(t *testing.T, at time.Time) {
	t.Helper()
	q := a.r.URL.Query()
	q.Set("X-Amz-Expires", "60")
	a.r.URL.RawQuery = q.Encode()
	sum := sha256.Sum256(a.body)
	cred := aws.Credentials{AccessKeyID: a.f.key.ID, SecretAccessKey: string(a.f.key.Secret.Reveal())}
	target, header, err := v4.NewSigner().PresignHTTP(t.Context(), cred, a.r, hex.EncodeToString(sum[:]), a.svc.SigningName, "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), a.r.Method, target, bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	for _, name := range []string{"Content-Type", "X-Amz-Target"} {
		if v := a.r.Header.Get(name); v != "" {
			r.Header.Set(name, v)
		}
	}
	a.r = r
}

func (a *attempt) bearer(token secret.Value) {
	a.r.Header.Set("Authorization", "Bearer "+string(token.Reveal()))
}

// form is one way to say who calls. code is the refusal; "" means accepted.
// unread forms are refused from the headers alone.
type form struct {
	name   string
	make   func(*testing.T, *attempt)
	code   string
	status int
	unread bool
}

const (
	accepted = ""
	missing  = apierr.CodeMissingAuth
	unknown  = apierr.CodeUnrecognizedClient
	invalid  = apierr.CodeInvalidSignature
	broken   = apierr.CodeIncompleteSignature
	denied   = apierr.CodeAccessDenied
)

func forms() []form {
	signed := func(change func(*signing)) func(*testing.T, *attempt) {
		return func(t *testing.T, a *attempt) { a.signed(t, change) }
	}
	header := func(name, value string) func(*testing.T, *attempt) {
		return func(t *testing.T, a *attempt) { a.r.Header.Set(name, value); a.signed(t, nil) }
	}
	return []form{
		{"header", signed(nil), accepted, 0, false},
		{"another region", signed(func(s *signing) { s.region = "eu-central-1" }), accepted, 0, false},
		{"presigned", func(t *testing.T, a *attempt) { a.presigned(t, time.Now()) }, accepted, 0, false},
		{"presigned a while ago", func(t *testing.T, a *attempt) { a.presigned(t, time.Now().Add(-45*time.Second)) }, accepted, 0, false},

		{"none", func(*testing.T, *attempt) {}, missing, 403, true},
		{"empty Authorization", func(_ *testing.T, a *attempt) { a.r.Header.Set("Authorization", "") }, missing, 403, true},
		{"blank Authorization", func(_ *testing.T, a *attempt) { a.r.Header.Set("Authorization", " \t ") }, missing, 403, true},
		{"basic", func(_ *testing.T, a *attempt) { a.r.SetBasicAuth("root", "root") }, broken, 400, true},
		{"scheme alone", func(_ *testing.T, a *attempt) { a.r.Header.Set("Authorization", "AWS4-HMAC-SHA256") }, broken, 400, true},
		{"Authorization twice", func(t *testing.T, a *attempt) {
			a.signed(t, nil)
			a.r.Header.Add("Authorization", a.r.Header.Get("Authorization"))
		}, broken, 400, true},
		{"header and query", func(t *testing.T, a *attempt) {
			a.presigned(t, time.Now())
			a.signed(t, nil)
		}, broken, 400, true},
		{"bearer and query", func(t *testing.T, a *attempt) {
			a.presigned(t, time.Now())
			a.bearer(a.f.bearer.Secret)
		}, broken, 400, true},
		{"unknown key", signed(func(s *signing) { s.cred.AccessKeyID = "AKIAAAAAAAAAAAAAAAAA" }), unknown, 403, true},
		{"no key", signed(func(s *signing) { s.cred.AccessKeyID = "" }), unknown, 403, true},
		{"disabled key", func(t *testing.T, a *attempt) {
			a.signed(t, func(s *signing) {
				s.cred = sigv4.Credentials{AccessKeyID: a.f.disabled.ID, Secret: a.f.disabled.Secret}
			})
		}, unknown, 403, true},
		{"bearer key's id", func(t *testing.T, a *attempt) {
			a.signed(t, func(s *signing) { s.cred = sigv4.Credentials{AccessKeyID: a.f.bearer.ID, Secret: a.f.bearer.Secret} })
		}, unknown, 403, true},
		{"session token", signed(func(s *signing) { s.cred.SessionToken = "token" }), unknown, 403, true},
		{"no such region", signed(func(s *signing) { s.region = "mars" }), invalid, 403, true},
		{"another service", signed(func(s *signing) { s.service = "s3" }), invalid, 403, true},
		{"expired", signed(func(s *signing) { s.at = s.at.Add(-5*time.Minute - time.Second) }), invalid, 403, true},
		{"of the future", signed(func(s *signing) { s.at = s.at.Add(5*time.Minute + 5*time.Second) }), invalid, 403, true},
		{"presigned and expired", func(t *testing.T, a *attempt) { a.presigned(t, time.Now().Add(-61*time.Second)) }, invalid, 403, true},
		{"unsigned payload", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), invalid, 403, true},
		{"streaming payload", header("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), invalid, 403, true},
		{"streaming events", header("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS"), invalid, 403, true},
		{"unsigned header", func(t *testing.T, a *attempt) {
			a.signed(t, nil)
			a.r.Header.Set("X-Amz-Other", "x")
		}, invalid, 403, true},
		{"wrong secret", signed(func(s *signing) { s.cred.Secret = secret.NewString("wrong") }), invalid, 403, false},
		{"no secret", signed(func(s *signing) { s.cred.Secret = secret.Value{} }), invalid, 403, false},
		{"other body", func(t *testing.T, a *attempt) {
			a.signed(t, nil)
			a.body = append([]byte(nil), append(a.body, ' ')...)
		}, invalid, 403, false},
		{"other body, told hash", func(t *testing.T, a *attempt) {
			sum := sha256.Sum256(a.body)
			a.r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
			a.signed(t, nil)
			a.body = append([]byte(nil), append(a.body, ' ')...)
		}, invalid, 403, false},
		{"other query", func(t *testing.T, a *attempt) {
			a.signed(t, nil)
			a.r.URL.RawQuery = "added=1"
		}, invalid, 403, false},
		{"presigned, other body", func(t *testing.T, a *attempt) {
			a.presigned(t, time.Now())
			a.body = append([]byte(nil), append(a.body, ' ')...)
		}, invalid, 403, false},
		{"region changed after signing", func(t *testing.T, a *attempt) {
			a.signed(t, nil)
			a.r.Header.Set("Authorization", strings.Replace(a.r.Header.Get("Authorization"), "us-east-1", "us-west-2", 1))
		}, invalid, 403, false},
		{"bad bearer", func(_ *testing.T, a *attempt) { a.bearer(secret.NewString("ABSKnothing")) }, denied, 403, true},
		{"empty bearer", func(_ *testing.T, a *attempt) { a.r.Header.Set("Authorization", "Bearer") }, denied, 403, true},
		{"access key as bearer", func(_ *testing.T, a *attempt) { a.bearer(a.f.key.Secret) }, denied, 403, true},
	}
}

// TestMatrix sends every operation of every service, bound or not, with every
// form of credentials. Nothing but a valid credential may reach a handler or the
// 501 behind it, and what the headers refuse must not cost a byte of the body.
func TestMatrix(t *testing.T) {
	t.Parallel()
	f := start(t)
	bound := map[string]bool{"Converse": true, "ConverseStream": true, "InvokeModel": true, "InvokeModelWithResponseStream": true, "GetCallerIdentity": true}
	operations := 0
	for _, svc := range services() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			operations++
			for _, fm := range forms() {
				// A body of events is signed in a way of its own, see TestDuplexSilence: no
				// other form is good enough, and all that is wrong stands in the headers.
				if op == rt.OpInvokeModelWithBidirectionalStream.Operation && (fm.code == accepted || fm.code == unknown) && fm.name != "no key" {
					fm.code, fm.status, fm.unread = invalid, 403, true
				}
				// Where the body may prove who calls, it has to be read first.
				if svc.Protocol == "query" && fm.code == missing {
					fm.unread = false
					if op.NoAuth {
						fm.code = accepted
					}
				}
				if svc.Protocol == "json" {
					if fm.status != 0 { // AWS JSON says all of it with 400
						fm.status = 400
					}
					if strings.HasPrefix(fm.name, "presigned") && fm.code == accepted { // a target cannot be presigned
						fm.code, fm.status, fm.unread = invalid, 400, true
					}
				}
				a := newAttempt(t, f, svc, op)
				fm.make(t, a)
				before, metered := f.handled(), f.records.count()
				got, consumed := a.send(t)
				name := svc.Name + " " + op.Name + " with " + fm.name
				switch {
				case fm.code != accepted:
					want := inProtocol(svc, fm.code)
					if got.code != want || got.status != fm.status {
						t.Errorf("%s: %d %s, want %d %s", name, got.status, got.code, fm.status, want)
					}
					if fm.unread && consumed > 0 {
						t.Errorf("%s: %d bytes of the body were read", name, consumed)
					}
					if f.handled() != before {
						t.Errorf("%s reached a handler", name)
					}
					if f.records.count() != metered {
						t.Errorf("%s is booked on %+v", name, f.records.last(t))
					}
				case !bound[op.Name]:
					if got.status != 501 || got.code != apierr.CodeNotImplemented {
						t.Errorf("%s: %d %s, want 501", name, got.status, got.code)
					}
				default:
					if got.status == 501 || got.status == 403 {
						t.Errorf("%s: %d %s", name, got.status, got.code)
					}
				}
				wellFormed(t, name, svc, got)
			}
		}
	}
	if operations < 500 {
		t.Errorf("only %d operations", operations)
	}
}

// inProtocol is the word of the query protocol for an error, where it differs.
func inProtocol(svc *awsapi.Service, code string) string {
	if svc.Protocol != "query" {
		return code
	}
	switch code {
	case unknown:
		return "InvalidClientTokenId"
	case invalid:
		return "SignatureDoesNotMatch"
	}
	return strings.TrimSuffix(code, "Exception")
}

// TestBearer sends every operation with a good bearer key: it counts only where
// the API takes such keys, and only over TLS or from this machine.
func TestBearer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, remote string
		tls, ok      bool
	}{
		{"loopback", "127.0.0.1:1", false, true},
		{"loopback of IPv6", "[::1]:1", false, true},
		{"elsewhere", "192.0.2.7:1", false, false},
		{"elsewhere over TLS", "192.0.2.7:1", true, true},
		{"unknown place", "@", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, withTLS(c.tls))
			for _, svc := range services() {
				for i := range svc.Operations {
					op := &svc.Operations[i]
					a := newAttempt(t, f, svc, op)
					a.bearer(f.bearer.Secret)
					r, b := received(a.r, a.body)
					r.RemoteAddr = c.remote
					w := httptest.NewRecorder()
					f.handler.ServeHTTP(w, r)
					got := read(t, w.Result())
					name := svc.Name + " " + op.Name
					if c.ok && op.Bearer {
						if got.status == 403 {
							t.Errorf("%s: %d %s", name, got.status, got.code)
						}
						continue
					}
					want := 403
					if svc.Protocol == "json" {
						want = 400
					}
					if got.code != inProtocol(svc, denied) || got.status != want || b.read > 0 {
						t.Errorf("%s: %d %s after %d bytes, want %d %s after none", name, got.status, got.code, b.read, want, denied)
					}
				}
			}
		})
	}
}

// A bearer key that is disabled is worth nothing.
func TestBearerDisabled(t *testing.T) {
	t.Parallel()
	f := start(t)
	k, err := f.keys.Create(t.Context(), keys.CreateInput{Account: account, Kind: keys.Bearer})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.keys.Disable(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/model/m/converse", strings.NewReader(converseBody))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+string(k.Secret.Reveal()))
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if got := read(t, w.Result()); got.code != denied || f.handled() != 0 {
		t.Errorf("%d %s, %d handled", got.status, got.code, f.handled())
	}
}

// The one query service does not answer for the scope of another.
func TestQueryScope(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := newAttempt(t, f, services()[4], &services()[4].Operations[0])
	a.signed(t, func(s *signing) { s.service = "bedrock" })
	got, _ := a.send(t)
	if got.code != "SignatureDoesNotMatch" {
		t.Errorf("%d %s", got.status, got.code)
	}
}

func newAttempt(t *testing.T, f *fixture, svc *awsapi.Service, op *awsapi.Operation) *attempt {
	t.Helper()
	a := &attempt{f: f, svc: svc, op: op, body: []byte(converseBody)}
	contentType, target := "application/json", ""
	switch svc.Protocol {
	case "query":
		a.body = []byte("Action=" + op.Name + "&Version=" + svc.APIVersion)
		contentType = "application/x-www-form-urlencoded"
	case "json":
		contentType, target = awsjson.ContentType(svc), svc.TargetPrefix+"."+op.Name
	}
	r, err := http.NewRequestWithContext(t.Context(), op.Method, "http://localhost"+pathOf(svc, op), bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	a.r = r
	if op.Name == "ConverseStream" {
		f.stream = nil // its handler must fail without one
	}
	return a
}

// send gives the request to the gateway and tells how much of the body was read.
func (a *attempt) send(t *testing.T) (answer, int) {
	t.Helper()
	r, b := received(a.r, a.body)
	w := httptest.NewRecorder()
	a.f.handler.ServeHTTP(w, r)
	return read(t, w.Result()), b.read
}

// requestIDs reads the header under the very spelling that AWS uses.
func requestIDs(h http.Header) []string { return map[string][]string(h)["x-amzn-RequestId"] }

// wellFormed checks that an answer has the form of its protocol.
func wellFormed(t *testing.T, name string, svc *awsapi.Service, a answer) {
	t.Helper()
	if ids := requestIDs(a.header); len(ids) != 1 || len(ids[0]) != 36 {
		t.Errorf("%s: request ids %q", name, ids)
	}
	if a.status < 400 {
		return
	}
	if svc.Protocol == "query" {
		if !strings.HasPrefix(a.body, "<ErrorResponse") || !strings.Contains(a.body, "<Message>") {
			t.Errorf("%s: %s", name, a.body)
		}
		return
	}
	form := "application/json"
	if svc.Protocol == "json" {
		form = awsjson.ContentType(svc)
	}
	if a.code == "" || a.message == "" || a.header.Get("Content-Type") != form {
		t.Errorf("%s: error of form %q %q, %s", name, a.code, a.header.Get("Content-Type"), a.body)
	}
}
