package sigv4_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// TestRecordedClients verifies requests that unchanged clients sent with the key
// pair of AWS's documentation. testdata/clients.json has them as net/http hands
// them on, without User-Agent and Accept-Encoding, which no client signs.
func TestRecordedClients(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/clients.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Client string
		Time   time.Time
		Method string
		Target string
		Host   string
		Header http.Header
		Body   string
	}
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	if len(recorded) != 14 {
		t.Fatalf("got %d recorded requests, want 14", len(recorded))
	}
	for _, rec := range recorded {
		t.Run(rec.Client, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Method: rec.Method, RequestURI: rec.Target, Host: rec.Host, Header: rec.Header, ContentLength: int64(len(rec.Body))}
			opts := sigv4.Options{Services: []string{"bedrock", "sts"}}
			s, err := sigv4.Parse(r, rec.Time, opts)
			if err != nil {
				t.Fatal(err)
			}
			sec := secret.NewString("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
			if err := s.Verify(nil, sec, []byte(rec.Body)); err != nil {
				t.Fatal(err)
			}
			if got, want := s.SessionToken, rec.Header.Get("X-Amz-Security-Token"); got != want {
				t.Errorf("session token %q, want %q", got, want)
			}
			if s.Verify(nil, sec, []byte(rec.Body+" ")) == nil {
				t.Error("changed body accepted")
			}
		})
	}
}

// TestGoSDK runs the AWS SDK for Go against a server that verifies each request,
// over HTTP/1.1, cleartext HTTP/2 and TLS with HTTP/2.
func TestGoSDK(t *testing.T) {
	t.Parallel()
	verify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			var s *sigv4.Signed
			if s, err = sigv4.Parse(r, time.Now(), sigv4.Options{Services: []string{"bedrock", "sts"}}); err == nil {
				err = s.Verify(nil, secret.NewString(keySecret), body)
			}
		}
		if err != nil {
			t.Errorf("%s %s %s: %v", r.Proto, r.Method, r.RequestURI, err)
			http.Error(w, "refused", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/model/") || strings.HasPrefix(r.URL.Path, "/foundation") {
			_, _ = io.WriteString(w, "{}")
		}
	})
	for _, proto := range []string{"HTTP/1.1", "h2c", "h2"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(verify)
			client := http.Client{Transport: &http.Transport{}}
			switch proto {
			case "h2":
				srv.EnableHTTP2 = true
				srv.StartTLS()
				client = *srv.Client()
			case "h2c":
				srv.Config.Protocols = new(http.Protocols)
				srv.Config.Protocols.SetUnencryptedHTTP2(true)
				srv.Start()
				var only http.Protocols
				only.SetUnencryptedHTTP2(true)
				client.Transport = &http.Transport{Protocols: &only}
			default:
				srv.Start()
			}
			t.Cleanup(srv.Close)
			cfg := aws.Config{
				Region:           "eu-central-1",
				BaseEndpoint:     new(srv.URL),
				Credentials:      credentials.NewStaticCredentialsProvider(keyID, keySecret, "token/+="),
				HTTPClient:       &client,
				RetryMaxAttempts: 1,
			}
			ctx := context.Background()
			rt := bedrockruntime.NewFromConfig(cfg)
			for _, id := range []string{"anthropic.claude-v2:1", "arn:aws:bedrock:eu-central-1:000000000000:inference-profile/eu.x-v1:0"} {
				if _, err := rt.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: new(id), Body: []byte(`{"a":1}`), Trace: types.TraceEnabled,
					GuardrailIdentifier: new("gr1"), GuardrailVersion: new("DRAFT"), Accept: new("*/*")}); err != nil {
					t.Errorf("InvokeModel %s: %v", id, err)
				}
			}
			if _, err := bedrock.NewFromConfig(cfg).ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{ByProvider: new("a b+c~é/:")}); err != nil {
				t.Errorf("ListFoundationModels: %v", err)
			}
			if err := presigned(ctx, cfg, &client, expiring{v4.NewSigner()}); err != nil {
				t.Errorf("presigned GetCallerIdentity: %v", err)
			}
			if err := presigned(ctx, cfg, &client, v4.NewSigner()); err != nil {
				t.Errorf("presigned GetCallerIdentity as the SDK makes it, without X-Amz-Expires: %v", err)
			}
		})
	}
}

// presigned makes a presigned request with the SDK and sends it.
func presigned(ctx context.Context, cfg aws.Config, client *http.Client, signer sts.HTTPPresignerV4) error {
	pre, err := sts.NewPresignClient(sts.NewFromConfig(cfg), func(o *sts.PresignOptions) {
		o.Presigner = signer
	}).PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, pre.Method, pre.URL, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// expiring adds X-Amz-Expires, which the SDK leaves to its caller.
type expiring struct{ *v4.Signer }

func (e expiring) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "60")
	r.URL.RawQuery = q.Encode()
	return e.Signer.PresignHTTP(ctx, creds, r, hash, service, region, at, opts...)
}
