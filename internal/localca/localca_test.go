package localca_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/localca"
)

func TestEnsureServesTrustedTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, err := localca.Ensure(dir, []string{"127.0.0.1", "localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()

	pem, err := os.ReadFile(localca.In(dir).CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	resp, err := trusting.Get(srv.URL)
	if err != nil {
		t.Fatalf("a client that trusts the authority: %v", err)
	}
	resp.Body.Close()
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}}}
	if resp, err := stranger.Get(srv.URL); err == nil {
		resp.Body.Close()
		t.Fatal("a client that does not trust the authority got an answer")
	}
}

func TestEnsureKeepsAndRenews(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	first, err := localca.Ensure(dir, []string{"127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := localca.Ensure(dir, []string{"127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Certificate[0]) != string(again.Certificate[0]) {
		t.Error("a good certificate was replaced")
	}
	later, err := localca.Ensure(dir, []string{"127.0.0.1"}, now.AddDate(0, 0, 380))
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Certificate[0]) == string(later.Certificate[0]) {
		t.Error("a certificate near its end was kept")
	}
	more, err := localca.Ensure(dir, []string{"127.0.0.1", "box.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(more.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.VerifyHostname("box.example"); err != nil {
		t.Errorf("new host: %v", err)
	}
	for _, f := range []string{localca.In(dir).Key, localca.In(dir).CAKey} {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", f, st.Mode().Perm())
		}
	}
}
