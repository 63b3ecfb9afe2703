package sigv4

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/secret"
)

// TestEvents verifies a request and its events as the AWS SDK signs them.
func TestEvents(t *testing.T) {
	t.Parallel()
	const key, sec = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	cred := aws.Credentials{AccessKeyID: key, SecretAccessKey: sec}
	now := time.Date(2026, 3, 4, 23, 59, 58, 0, time.UTC)
	request := func(payload string) *http.Request {
		r, err := http.NewRequest(http.MethodPost, "http://localhost:8686/model/m/invoke-with-bidirectional-stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Content-Sha256", payload)
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, payload, "bedrock", "us-east-1", now); err != nil {
			t.Fatal(err)
		}
		return r
	}
	opts := Options{Services: []string{"bedrock"}, Events: true}
	parse := func(r *http.Request) (*Signed, error) {
		s, err := Parse(r, now, opts)
		return s, err
	}
	open := func() (*Events, *v4.StreamSigner) {
		r := request(eventsPayload)
		s, err := parse(r)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := s.VerifyEvents(nil, secret.NewString(sec), 0)
		if err != nil {
			t.Fatal(err)
		}
		seed, err := v4.GetSignedRequestSignature(r)
		if err != nil {
			t.Fatal(err)
		}
		return chain, v4.NewStreamSigner(cred, "bedrock", "us-east-1", seed)
	}

	chain, signer := open()
	for i, payload := range []string{"one", "", strings.Repeat("x", 100_000), ""} {
		at := now.Add(time.Duration(i) * time.Second) // past midnight on the way
		sig, err := signer.GetSignature(t.Context(), dateHeader(at), []byte(payload), at)
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Verify(at, at, sig, []byte(payload)); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}

	for name, change := range map[string]func(date *time.Time, sig, payload *[]byte){
		"payload":      func(_ *time.Time, _, p *[]byte) { *p = []byte("onf") },
		"signature":    func(_ *time.Time, s, _ *[]byte) { *s = bytes.Repeat([]byte{1}, 32) },
		"no signature": func(_ *time.Time, s, _ *[]byte) { *s = nil },
		"milliseconds": func(d *time.Time, _, _ *[]byte) { *d = d.Add(time.Millisecond) },
		"too old":      func(d *time.Time, _, _ *[]byte) { *d = d.Add(-6 * time.Minute) },
	} {
		chain, signer := open()
		payload, at := []byte("one"), now
		sig, err := signer.GetSignature(t.Context(), dateHeader(at), payload, at)
		if err != nil {
			t.Fatal(err)
		}
		change(&at, &sig, &payload)
		if err := chain.Verify(now, at, sig, payload); err == nil {
			t.Errorf("%s changed: accepted", name)
		}
	}

	// The order counts: the second event alone is not the first.
	chain, signer = open()
	for range 2 {
		sig, err := signer.GetSignature(t.Context(), dateHeader(now), []byte("same"), now)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(sig) == hex.EncodeToString(chain.prev[:]) {
			t.Fatal("a signature came twice")
		}
		if err := chain.Verify(now, now, sig, []byte("same")); err != nil {
			t.Fatal(err)
		}
		if err := chain.Verify(now, now, sig, []byte("same")); err == nil {
			t.Fatal("an event counted twice")
		}
	}
	for _, payload := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", strings.Repeat("0", 64)} {
		if _, err := parse(request(payload)); err == nil {
			t.Errorf("%s: accepted", payload)
		}
	}
	s, err := parse(request(eventsPayload))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyEvents(nil, secret.NewString("other"), 0); err == nil {
		t.Error("another secret: accepted")
	}
	if err := s.Verify(nil, secret.NewString(sec), nil); err == nil {
		t.Error("a stream of events passed for a body")
	}
}
