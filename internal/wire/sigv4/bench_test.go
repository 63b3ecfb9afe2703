package sigv4

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// BenchmarkVerify is one header-signed request with a body of 1,024 bytes, from
// headers to verdict, with the signing key in the cache.
func BenchmarkVerify(b *testing.B) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sec := secret.NewString("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	body := bytes.Repeat([]byte("x"), 1024)
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8686/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse", nil)
	r.RequestURI = r.URL.EscapedPath()
	r.Header.Set("Content-Type", "application/json")
	if err := Sign(r, body, Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: sec}, "us-east-1", "bedrock", now); err != nil {
		b.Fatal(err)
	}
	opts := Options{Services: []string{"bedrock"}}
	cache := NewKeyCache(0)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(r, now, opts)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Verify(cache, sec, body); err != nil {
			b.Fatal(err)
		}
	}
}
