package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signed is a request as an SDK would sign it. target is the path and query as
// they go over the wire.
func signed(t *testing.T, srv *server, method, target string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.endpoint+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(srv.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: "//" + u.Host + target} // as it is: no decoding, no cleaning
	if path, query, ok := strings.Cut(target, "?"); ok {
		r.URL.Opaque, r.URL.RawQuery = "//"+u.Host+path, query
	}
	r.Header.Set("Content-Type", "application/json")
	sign(t, srv, r, body)
	return r
}

// signedChunked is a POST whose body is sent without telling its length.
func signedChunked(t *testing.T, srv *server, target string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", srv.endpoint+target, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	sign(t, srv, r, body)
	return r
}

func sign(t *testing.T, srv *server, r *http.Request, body []byte) {
	t.Helper()
	sum := sha256.Sum256(body)
	c := aws.Credentials{AccessKeyID: srv.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: srv.env["AWS_SECRET_ACCESS_KEY"]}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), "bedrock", region, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// answer does a request and reads the whole response.
func answer(t *testing.T, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

const tinyConverse = `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":2}}`

// TestModelIDsOnTheWire sends model ids as different clients write them: with
// colons and slashes encoded, or bare.
func TestModelIDsOnTheWire(t *testing.T) {
	t.Parallel()
	arn := "arn:aws:bedrock:us-east-1::foundation-model/" + claudeHaiku
	for _, id := range []string{
		claudeHaiku,
		strings.ReplaceAll(claudeHaiku, ":", "%3A"),
		strings.ReplaceAll(claudeHaiku, ":", "%3a"),
		arn,
		url.PathEscape(arn),
		strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn),
		strings.ReplaceAll(arn, ":", "%3A"),
		"us." + claudeHaiku,
	} {
		resp, body := answer(t, http.DefaultClient, signed(t, s.server, "POST", "/model/"+id+"/converse", []byte(tinyConverse)))
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", id, resp.Status, body)
		}
	}
}

// priorKnowledge is a client that speaks HTTP/2 without TLS and without asking.
func priorKnowledge(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestHTTPVersions calls over HTTP/1.1 and over HTTP/2 without TLS, with prior
// knowledge. TestTLS has the ones with TLS.
func TestHTTPVersions(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		proto  string
		client *http.Client
	}{{"HTTP/1.1", http.DefaultClient}, {"HTTP/2.0", priorKnowledge(t)}} {
		resp, body := answer(t, v.client, signed(t, s.server, "POST", "/model/"+smollm+"/converse", []byte(tinyConverse)))
		if resp.StatusCode != 200 || resp.Proto != v.proto {
			t.Errorf("%s %s, want 200 over %s: %s", resp.Proto, resp.Status, v.proto, body)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			resp, err := v.client.Get(s.server.endpoint + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || string(b) != "ok\n" {
				t.Errorf("%s over %s: %s %q %v", path, v.proto, resp.Status, b, err)
			}
		}
	}
}

// TestBodyLimit sends the largest body that is taken and one more byte. The
// first is refused for what it says, the second for its size.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 25_000_000
	body := bytes.Repeat([]byte(" "), limit+1)
	copy(body, `{"prompt":"hi","colour":1}`)
	target := "/model/" + claudeV2 + "/invoke"
	h2c := priorKnowledge(t)
	for _, client := range []*http.Client{http.DefaultClient, h2c} {
		resp, text := answer(t, client, signed(t, s.server, "POST", target, body[:limit]))
		if resp.StatusCode != 400 || !strings.Contains(text, "colour") {
			t.Errorf("%d bytes over %s: %s %s", limit, resp.Proto, resp.Status, text)
		}
	}
	if resp, text := answer(t, h2c, signed(t, s.server, "POST", target, body)); resp.StatusCode != 413 {
		t.Errorf("%d bytes over %s: %s %s", limit+1, resp.Proto, resp.Status, text)
	}
	for _, chunked := range []bool{false, true} {
		r := signed(t, s.server, "POST", target, body)
		if chunked {
			r = signedChunked(t, s.server, target, body)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil { // the server may answer and close before the whole body is sent
			if !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "connection reset") {
				t.Errorf("%d bytes: %v", limit+1, err)
			}
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 413 || resp.Header.Get("x-amzn-ErrorType") != "RequestEntityTooLargeException" {
			t.Errorf("%d bytes: %s %s %v", limit+1, resp.Status, b, err)
		}
	}
}

// TestSlowClients connects and then dawdles with the header or the body. The
// server must cut both off and serve others meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	address := strings.TrimPrefix(s.server.endpoint, "http://")
	half := func(t *testing.T) string { // signed late: a signature is good for five minutes
		var head bytes.Buffer
		fmt.Fprintf(&head, "POST /model/%s/converse HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", smollm, address, len(tinyConverse))
		for name, values := range signed(t, s.server, "POST", "/model/"+smollm+"/converse", []byte(tinyConverse)).Header {
			fmt.Fprintf(&head, "%s: %s\r\n", name, values[0])
		}
		return head.String() + "\r\n" + tinyConverse[:10]
	}
	for _, v := range []struct {
		name   string
		first  func(*testing.T) string
		within time.Duration
	}{
		{"header", func(*testing.T) string { return "POST /model/x/converse HTTP/1.1\r\nHost: x\r\n" }, 20 * time.Second},
		{"body", half, 60 * time.Second},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, v.first(t)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := conn.SetReadDeadline(begin.Add(v.within)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn) // until the server closes
			if err != nil {
				t.Fatalf("not cut off within %s: %v", v.within, err)
			}
			if v.name == "body" {
				resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
				if err != nil {
					t.Fatalf("%v: %q", err, got)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("status %s", resp.Status)
				}
			}
			t.Logf("cut off after %s with %q", time.Since(begin), got)
		})
	}
}

// TestRefusals sends what no SDK would send. Each answer must have AWS's form
// and show no inside.
func TestRefusals(t *testing.T) {
	t.Parallel()
	unsigned := func(t *testing.T, method, target string) *http.Request {
		r := signed(t, s.server, method, target, nil)
		r.Header.Del("Authorization")
		return r
	}
	for _, v := range []struct {
		name, code string
		status     int
		request    func(t *testing.T) *http.Request
	}{
		{"unknown_path", "UnknownOperationException", 404, func(t *testing.T) *http.Request { return signed(t, s.server, "GET", "/nowhere", nil) }},
		{"dot_segment", "", 400, func(t *testing.T) *http.Request {
			return signed(t, s.server, "POST", "/model/../model/x/converse", []byte(tinyConverse))
		}},
		{"unsigned", "MissingAuthenticationTokenException", 403, func(t *testing.T) *http.Request { return unsigned(t, "GET", "/foundation-models") }},
		{"garbled", "IncompleteSignatureException", 400, func(t *testing.T) *http.Request {
			r := unsigned(t, "GET", "/foundation-models")
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential")
			return r
		}},
		{"body_changed", "InvalidSignatureException", 403, func(t *testing.T) *http.Request {
			r := signed(t, s.server, "POST", "/model/"+smollm+"/converse", []byte(tinyConverse))
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(tinyConverse, "hi", "ho", 1)))
			r.Header.Del("X-Amz-Content-Sha256")
			return r
		}},
		{"not_json", "SerializationException", 400, func(t *testing.T) *http.Request {
			return signed(t, s.server, "POST", "/model/"+smollm+"/converse", []byte("{"))
		}},
		{"missing_member", "ValidationException", 400, func(t *testing.T) *http.Request {
			return signed(t, s.server, "POST", "/inference-profiles", []byte(`{"inferenceProfileName":"x"}`))
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			resp, body := answer(t, http.DefaultClient, v.request(t))
			code, _, _ := strings.Cut(resp.Header.Get("x-amzn-ErrorType"), ":")
			if resp.StatusCode != v.status || code == "" || v.code != "" && code != v.code {
				t.Errorf("%s %s %s, want %d %s", resp.Status, code, body, v.status, v.code)
			}
			var said struct{ Message string }
			if err := json.Unmarshal([]byte(body), &said); err != nil || said.Message == "" || resp.Header.Get("x-amzn-RequestId") == "" || resp.Header.Get("Date") == "" {
				t.Errorf("not an AWS error: %v %s", resp.Header, body)
			}
			for _, inside := range []string{"goroutine", ".go:", "sql", "panic"} {
				if strings.Contains(body, inside) {
					t.Errorf("the answer shows %q: %s", inside, body)
				}
			}
		})
	}
}
