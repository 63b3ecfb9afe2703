package localca_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/localca"
)

// issuer is an authority of the test.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return issuer{c, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// pair returns a certificate and key in PEM for localhost, good for both sides.
func (i issuer) pair(t *testing.T, name string, rsaKey bool, ends time.Time) (cert, key []byte) {
	t.Helper()
	var public, private any
	if rsaKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		public, private = &k.PublicKey, k
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, private = &k.PublicKey, k
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: ends.Add(-2000 * time.Hour), NotAfter: ends, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, i.cert, public, i.key)
	if err != nil {
		t.Fatal(err)
	}
	p8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8})
}

func (i issuer) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(i.cert)
	return p
}

func put(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shake does a handshake and passes a byte each way. It returns the name in the
// server's certificate.
func shake(t *testing.T, server, client *tls.Config) (string, tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe has no room for the alerts of both sides
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	go func() {
		b, err := l.Accept()
		if err != nil {
			return
		}
		s := tls.Server(b, server)
		if s.Handshake() == nil {
			buf := make([]byte, 1)
			if _, err := io.ReadFull(s, buf); err == nil {
				_, _ = s.Write(buf)
			}
		}
		_ = b.Close()
	}()
	c := tls.Client(a, client)
	if err := c.Handshake(); err != nil {
		return "", tls.ConnectionState{}, err
	}
	buf := []byte("x")
	if _, err := c.Write(buf); err != nil {
		return "", tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(c, buf); err != nil { // under TLS 1.3 the server's refusal comes here
		return "", tls.ConnectionState{}, err
	}
	st := c.ConnectionState()
	return st.PeerCertificates[0].Subject.CommonName, st, nil
}

// TestHandshakes: TLS 1.2 with ephemeral keys and authenticated encryption, TLS
// 1.3, and nothing else.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newIssuer(t)
	var suites []*tls.CipherSuite
	suites = append(append(suites, tls.CipherSuites()...), tls.InsecureCipherSuites()...)
	tried, taken := 0, 0
	for _, kind := range []string{"ecdsa", "rsa"} {
		cert, key := ca.pair(t, kind, kind == "rsa", time.Now().Add(100*time.Hour))
		k, err := localca.NewKeeper(localca.KeeperConfig{Cert: put(t, filepath.Join(dir, kind+".pem"), cert), Key: put(t, filepath.Join(dir, kind+".key"), key)})
		if err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS10} // #nosec G402 -- what is refused must be asked for
		for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			c := client.Clone()
			c.MaxVersion = v
			c.CipherSuites = nil
			for _, s := range suites {
				c.CipherSuites = append(c.CipherSuites, s.ID)
			}
			if _, st, err := shake(t, k.Config(), c); err == nil {
				t.Errorf("%s: %s was taken", kind, tls.VersionName(st.Version))
			}
		}
		for _, s := range suites {
			if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			tried++
			c := client.Clone()
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{s.ID}
			_, st, err := shake(t, k.Config(), c)
			want := slices.Contains(localca.Suites(), s.ID) && strings.Contains(s.Name, "_"+strings.ToUpper(kind)+"_")
			if (err == nil) != want {
				t.Errorf("%s: %s: %v, want taken %v", kind, s.Name, err, want)
			}
			if err == nil {
				taken++
				if st.CipherSuite != s.ID || !strings.HasPrefix(s.Name, "TLS_ECDHE_") || !strings.Contains(s.Name, "GCM") && !strings.Contains(s.Name, "POLY1305") {
					t.Errorf("%s was taken", tls.CipherSuiteName(st.CipherSuite))
				}
			}
		}
		if _, st, err := shake(t, k.Config(), client); err != nil || st.Version != tls.VersionTLS13 {
			t.Errorf("%s: without limits: %s, %v", kind, tls.VersionName(st.Version), err)
		}
		http := client.Clone()
		http.NextProtos = []string{"h2", "http/1.1"}
		if _, st, err := shake(t, k.Config(), http); err != nil || st.NegotiatedProtocol != "h2" {
			t.Errorf("%s: protocol %q, %v", kind, st.NegotiatedProtocol, err)
		}
	}
	if tried < 24 || taken != 6 {
		t.Errorf("%d suites were tried, %d taken", tried, taken)
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := newIssuer(t), newIssuer(t)
	cert, key := ca.pair(t, "server", false, time.Now().Add(100*time.Hour))
	k, err := localca.NewKeeper(localca.KeeperConfig{
		Cert: put(t, filepath.Join(dir, "s.pem"), cert), Key: put(t, filepath.Join(dir, "s.key"), key), ClientCA: put(t, filepath.Join(dir, "ca.pem"), ca.pem),
	})
	if err != nil {
		t.Fatal(err)
	}
	own := func(i issuer, ends time.Duration) []tls.Certificate {
		c, err := tls.X509KeyPair(i.pair(t, "client", false, time.Now().Add(ends)))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	for name, c := range map[string]struct {
		certs []tls.Certificate
		want  bool
	}{
		"good":               {own(ca, time.Hour), true},
		"none":               {nil, false},
		"of another":         {own(other, time.Hour), false},
		"ended an hour ago":  {own(ca, -time.Hour), false},
		"not for clients":    {serverOnly(t, ca), false},
		"signed by a client": {signedBy(t, own(ca, time.Hour)[0]), false},
	} {
		for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12, MaxVersion: v}
			if c.certs != nil { // whatever authorities the server names
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.certs[0], nil }
			}
			if _, _, err := shake(t, k.Config(), client); (err == nil) != c.want {
				t.Errorf("%s, %s: %v, want taken %v", name, tls.VersionName(v), err, c.want)
			}
		}
	}
}

// serverOnly is a certificate of the authority that is not for clients.
func serverOnly(t *testing.T, i issuer) []tls.Certificate {
	t.Helper()
	return signed(t, i.cert, i.key, x509.ExtKeyUsageServerAuth)
}

// signedBy is a certificate that a client's own key signed.
func signedBy(t *testing.T, by tls.Certificate) []tls.Certificate {
	t.Helper()
	all := signed(t, by.Leaf, by.PrivateKey, x509.ExtKeyUsageClientAuth)
	all[0].Certificate = append(all[0].Certificate, by.Certificate...)
	return all
}

func signed(t *testing.T, by *x509.Certificate, key any, use x509.ExtKeyUsage) []tls.Certificate {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &own.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: own}}
}

// syncBuffer is a log that two goroutines use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestReload: new files are taken up, broken ones are not and are told of once.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newIssuer(t)
	pemFile, keyFile := filepath.Join(dir, "s.pem"), filepath.Join(dir, "s.key")
	write := func(name string, ends time.Duration) {
		cert, key := ca.pair(t, name, false, time.Now().Add(ends))
		put(t, pemFile, cert)
		put(t, keyFile, key)
	}
	write("first", time.Hour)
	log := &syncBuffer{}
	k, err := localca.NewKeeper(localca.KeeperConfig{Cert: pemFile, Key: keyFile, Every: time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := k.Config() // as a listener that was opened before
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	shows := func(want string) {
		t.Helper()
		if name, _, err := shake(t, server, client); err != nil || name != want {
			t.Errorf("the certificate of %q is shown, %v; want %q", name, err, want)
		}
	}
	shows("first")
	write("second", time.Hour)
	shows("first")
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	shows("second")
	for what, broken := range map[string]func(){
		"no PEM":        func() { put(t, pemFile, []byte("nonsense")) },
		"another's key": func() { c, _ := ca.pair(t, "x", false, time.Now().Add(time.Hour)); put(t, pemFile, c) },
		"ended":         func() { write("old", -time.Minute) },
		"gone":          func() { _ = os.Remove(keyFile) },
	} {
		broken()
		if err := k.Reload(); err == nil {
			t.Errorf("%s: taken", what)
		}
		shows("second")
	}
	if _, err := localca.NewKeeper(localca.KeeperConfig{Cert: pemFile, Key: keyFile}); err == nil {
		t.Error("a server starts without a key")
	}
	if _, err := localca.NewKeeper(localca.KeeperConfig{Dir: t.TempDir(), Hosts: []string{"localhost"}, ClientCA: put(t, filepath.Join(dir, "empty"), nil)}); err == nil {
		t.Error("a server starts without the authorities of its clients")
	}
}

// TestWatch: changed files are noticed, broken ones are told of once, and our own
// certificate is renewed in time.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca := newIssuer(t)
		cert, key := ca.pair(t, "first", false, time.Now().Add(9000*time.Hour))
		log := &syncBuffer{}
		files := localca.KeeperConfig{Cert: put(t, filepath.Join(dir, "s.pem"), cert), Key: put(t, filepath.Join(dir, "s.key"), key), Log: slog.New(slog.NewTextHandler(log, nil))}
		k, err := localca.NewKeeper(files)
		if err != nil {
			t.Fatal(err)
		}
		own, err := localca.NewKeeper(localca.KeeperConfig{Dir: t.TempDir(), Hosts: []string{"localhost"}, Every: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { _ = k.Run(ctx) })
		leaf := func(k *localca.Keeper) string {
			c, err := k.Config().GetConfigForClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Certificates[0].Leaf.SerialNumber.String()
		}
		first := leaf(k)
		time.Sleep(20 * time.Second)
		if leaf(k) != first || log.String() != "" {
			t.Errorf("unchanged files were taken up: %s", log.String())
		}
		put(t, files.Cert, []byte("half a file"))
		time.Sleep(20 * time.Second)
		if leaf(k) != first || strings.Count(log.String(), "cannot be used") != 1 {
			t.Errorf("a broken file: %s", log.String())
		}
		cert, key = ca.pair(t, "second", false, time.Now().Add(9000*time.Hour))
		put(t, files.Cert, cert)
		put(t, files.Key, key)
		time.Sleep(20 * time.Second)
		if leaf(k) == first {
			t.Errorf("new files were not taken up: %s", log.String())
		}
		cancel()
		done.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		done.Go(func() { _ = own.Run(ctx) })
		before := leaf(own)
		time.Sleep(360 * 24 * time.Hour)
		if leaf(own) != before {
			t.Error("renewed too early")
		}
		time.Sleep(10 * 24 * time.Hour)
		if leaf(own) == before {
			t.Error("our own certificate was not renewed")
		}
		cancel()
		done.Wait()
	})
}
