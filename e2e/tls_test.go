package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// httpsClient trusts the server's own certificate authority and nothing else.
func (s *server) httpsClient(t *testing.T) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(s.env["AWS_CA_BUNDLE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.env["AWS_CA_BUNDLE"])
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestTLS runs a server with its own certificate authority and calls it signed
// and with bearer keys, which the SDK for Go sends over TLS only.
func TestTLS(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: "tls: {self_signed: true}"})
	if !strings.HasPrefix(srv.endpoint, "https://") {
		t.Fatalf("endpoint %s", srv.endpoint)
	}
	in := func() *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(2)}
	}
	key := createKey(t, srv, "--bearer")
	bearerClient := func(t *testing.T, token string) *bedrockruntime.Client {
		return newGoClients(srv, func(c *aws.Config) {
			c.HTTPClient = srv.httpsClient(t)
			c.Credentials = nil
			c.BearerAuthTokenProvider, c.AuthSchemePreference = bearerToken(token), []string{"httpBearerAuth"}
		}).rt
	}
	t.Run("go_signed", func(t *testing.T) {
		if _, err := newGoClients(srv, func(c *aws.Config) { c.HTTPClient = srv.httpsClient(t) }).rt.Converse(t.Context(), in()); err != nil {
			t.Error(err)
		}
	})
	t.Run("go_bearer", func(t *testing.T) {
		rt := bearerClient(t, key.Secret)
		if _, err := rt.Converse(t.Context(), in()); err != nil {
			t.Fatal(err)
		}
		out, err := rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: in().ModelId, Messages: ask(), InferenceConfig: maxTokens(4)})
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		for range out.GetStream().Events() {
			events++
		}
		if err := out.GetStream().Err(); err != nil || events < 5 {
			t.Errorf("%d events, %v", events, err)
		}
	})
	t.Run("go_wrong_bearer", func(t *testing.T) {
		_, err := bearerClient(t, key.Secret[:len(key.Secret)-2]+"xx").Converse(t.Context(), in())
		fails[*types.AccessDeniedException](t, err, 403, "Authentication failed")
	})
	t.Run("go_unknown_authority", func(t *testing.T) {
		_, err := newGoClients(srv, func(c *aws.Config) { c.RetryMaxAttempts = 1 }).rt.Converse(t.Context(), in())
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a client that does not know the authority: %v", err)
		}
	})
	t.Run("boto3", func(t *testing.T) {
		runCases(t, srv, "boto3_tls.py", "BEARER="+key.Secret)
	})
	t.Run("javascript", func(t *testing.T) {
		runCases(t, srv, "js_tls.cjs", "BEARER="+key.Secret, "NODE_EXTRA_CA_CERTS="+srv.env["AWS_CA_BUNDLE"])
	})
	t.Run("awscli", func(t *testing.T) {
		var who struct{ Account string }
		awsJSON(t, srv, &who, "sts", "get-caller-identity")
	})
	t.Run("versions", func(t *testing.T) {
		for _, v := range []struct {
			alpn, proto string
		}{{"h2", "HTTP/2.0"}, {"http/1.1", "HTTP/1.1"}} {
			client := srv.httpsClient(t)
			tr, ok := client.Transport.(*http.Transport)
			if !ok {
				t.Fatal("not a transport")
			}
			tr.ForceAttemptHTTP2 = v.alpn == "h2"
			tr.TLSClientConfig.NextProtos = []string{v.alpn}
			resp, err := client.Get(srv.endpoint + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || resp.Proto != v.proto || resp.TLS.Version < tls.VersionTLS12 {
				t.Errorf("%s: status %d over %s", v.alpn, resp.StatusCode, resp.Proto)
			}
		}
		client := srv.httpsClient(t)
		client.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
		client.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS10
		if resp, err := client.Get(srv.endpoint + "/healthz"); err == nil {
			resp.Body.Close()
			t.Error("TLS 1.1 is accepted")
		}
	})
}
