package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/localca"
	"github.com/outcrop/outcrop/internal/network"
)

// open serves a configuration's listeners with h, or with one that tells the
// source of each request, until the test ends.
func openDoors(t *testing.T, c Config, h http.Handler, log *slog.Logger) *front {
	t.Helper()
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f, err := openFront(c, c.record, log)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := network.SourceOf(r.Context())
			_ = json.NewEncoder(w).Encode(map[string]any{
				"listener": s.Listener, "ip": s.IP.String(), "tls": s.TLS, "vpce": s.VPCE, "vpc": s.VPC, "policy": string(s.EndpointPolicy),
				"loopback": s.Loopback, "unix": s.Unix, "cert": s.ClientCert, "hosts": s.Hosts,
			})
		})
	}
	f.handle(h, nil)
	done := make(chan error, 1)
	go func() { done <- f.serve(context.Background()) }()
	t.Cleanup(func() {
		_ = f.cut()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.disconnect(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// told is what the handler of openDoors tells.
type told struct {
	Listener, IP, VPCE, VPC, Policy, Cert string
	TLS, Loopback, Unix                   bool
	Hosts                                 []string
}

// endpointPolicy is an endpoint policy that can be told from others.
func endpointPolicy(sid string) string {
	return `{"Statement":[{"Sid":"` + sid + `","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
}

// get asks a door over a connection of its own.
func get(f *front, door int, tc *tls.Config, header http.Header) (int, told, error) {
	d := f.doors[door]
	scheme := "http"
	if d.cfg.TLS.On() {
		scheme = "https"
	}
	address := d.listen.Addr()
	tr := &http.Transport{TLSClientConfig: tc, DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, scheme+"://localhost/", nil)
	if err != nil {
		return 0, told{}, err
	}
	if header != nil {
		r.Header = header
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return 0, told{}, err
	}
	defer resp.Body.Close()
	var v told
	if resp.StatusCode == http.StatusOK {
		err = json.NewDecoder(resp.Body).Decode(&v)
	}
	return resp.StatusCode, v, err
}

// clientCA makes an authority for clients and a certificate of it.
func clientCA(t *testing.T) (file string, client tls.Certificate) {
	t.Helper()
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = k
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &keys[0].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "batch", Organization: []string{"Example"}}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
	}
	own, err := x509.CreateCertificate(rand.Reader, leaf, ca, &keys[1].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{own}, PrivateKey: keys[1]}
}

// trusting is a client that trusts the local authority of a data directory.
func trusting(t *testing.T, data string) *tls.Config {
	t.Helper()
	b, err := os.ReadFile(localca.In(filepath.Join(data, "tls")).CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// TestListenersTruthTable: a private listener with client certificates and an open
// one, clients inside and outside of the networks, with and without a
// certificate, under an endpoint policy and without.
func TestListenersTruthTable(t *testing.T) {
	t.Parallel()
	clients, cert := clientCA(t)
	deny := writeFile(t, "policy.json", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`)
	cases := 0
	for _, private := range []bool{true, false} {
		for _, inside := range []bool{true, false} {
			for _, policy := range []bool{true, false} {
				l := Listener{Name: "door", Address: "127.0.0.1:0", TLS: TLS{SelfSigned: true}, Allow: []string{"10.0.0.0/8"}}
				if private {
					l.TLS.ClientCA, l.VPCE, l.VPC = clients, "vpce-0a1b2c3d", "vpc-0a1b2c3d"
				}
				if inside {
					l.Allow = append(l.Allow, "127.0.0.0/8")
				}
				if policy {
					l.Policy = deny
				}
				data := t.TempDir()
				f := openDoors(t, Config{DataDir: data, Listeners: []Listener{l}}, nil, nil)
				for _, shown := range []bool{true, false} {
					cases++
					tc := trusting(t, data)
					if shown {
						tc.Certificates = []tls.Certificate{cert}
					}
					name := fmt.Sprintf("private %v, inside %v, certificate %v, policy %v", private, inside, shown, policy)
					status, got, err := get(f, 0, tc, nil)
					if !inside || private && !shown {
						if err == nil {
							t.Errorf("%s: status %d", name, status)
						}
						continue
					}
					want := told{Listener: "door", IP: "127.0.0.1", TLS: true, Loopback: true}
					if private {
						want.VPCE, want.VPC, want.Cert = l.VPCE, l.VPC, "CN=batch,O=Example"
					}
					if policy {
						want.Policy = `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`
					}
					if err != nil || status != 200 || fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s: %d, %+v, %v", name, status, got, err)
					}
				}
			}
		}
	}
	if cases != 16 {
		t.Errorf("%d cases", cases)
	}
}

// TestForwarded: only a trusted proxy is believed, and clients that it tells of
// keep to the list.
func TestForwarded(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	f := openDoors(t, Config{DataDir: data, Listeners: []Listener{
		{Name: "direct", Address: "127.0.0.1:0"},
		{Name: "proxied", Address: "[::1]:0", Proxies: []string{"::1"}, Allow: []string{"198.51.100.0/24"}},
	}}, nil, nil)
	for _, header := range []http.Header{
		{"X-Forwarded-For": {"198.51.100.7"}}, {"X-Forwarded-For": {"10.0.0.1, 198.51.100.7"}}, {"Forwarded": {"for=198.51.100.7;proto=https"}},
		{"X-Forwarded-For": {"nonsense"}}, {"X-Forwarded-For": {"198.51.100.7"}, "Forwarded": {"for=198.51.100.8"}}, {"X-Real-Ip": {"198.51.100.7"}},
	} {
		status, got, err := get(f, 0, nil, header)
		if err != nil || status != 200 || got.IP != "127.0.0.1" || got.TLS || !got.Loopback {
			t.Errorf("%v from a stranger: %d, %+v, %v", header, status, got, err)
		}
	}
	for _, c := range []struct {
		header http.Header
		status int
		ip     string
		tls    bool
	}{
		{nil, 200, "::1", false},
		{http.Header{"X-Forwarded-For": {"198.51.100.7"}}, 200, "198.51.100.7", false},
		{http.Header{"X-Forwarded-For": {"1.1.1.1, 198.51.100.7"}, "X-Forwarded-Proto": {"https"}}, 200, "198.51.100.7", true},
		{http.Header{"Forwarded": {"for=198.51.100.7;proto=https"}}, 200, "198.51.100.7", true},
		{http.Header{"X-Forwarded-For": {"203.0.113.9"}}, 403, "", false},
		{http.Header{"X-Forwarded-For": {"198.51.100.7, 203.0.113.9"}}, 403, "", false},
		{http.Header{"X-Forwarded-For": {"nonsense"}}, 400, "", false},
		{http.Header{"X-Forwarded-For": {"198.51.100.7"}, "Forwarded": {"for=198.51.100.8"}}, 400, "", false},
	} {
		status, got, err := get(f, 1, nil, c.header)
		if err != nil || status != c.status || got.IP != c.ip || got.TLS != c.tls {
			t.Errorf("%v from a proxy: %d, %+v, %v", c.header, status, got, err)
		}
		if c.ip == "198.51.100.7" && got.Loopback {
			t.Errorf("%v: a forwarded client is of this machine", c.header)
		}
	}
}

func TestUnixListener(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "oc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := openDoors(t, Config{DataDir: dir, Listeners: []Listener{
		{Name: "local", Address: "unix:" + filepath.Join(dir, "s"), VPCE: "vpce-local"}, {Name: "tcp", Address: "127.0.0.1:0", Hosts: []string{"Bedrock.Example.com"}},
	}}, nil, nil)
	status, got, err := get(f, 0, nil, nil)
	if err != nil || status != 200 || !got.Unix || !got.Loopback || got.VPCE != "vpce-local" || got.IP != "invalid IP" {
		t.Errorf("%d, %+v, %v", status, got, err)
	}
	_, got, err = get(f, 1, nil, nil)
	if err != nil || fmt.Sprint(got.Hosts) != "[bedrock.example.com]" {
		t.Errorf("%+v, %v", got, err)
	}
	if e := f.endpoint(); e != "http://bedrock.example.com" {
		t.Errorf("endpoint %s", e)
	}
	if o := f.others(); len(o) != 1 || o[0] != "local unix:"+filepath.Join(dir, "s") {
		t.Errorf("others %v", o)
	}
}

// TestReloadUnderStreams: a thousand streams run while certificate and endpoint
// policy change, and again when a broken certificate comes. None is cut; new
// connections see what holds.
func TestReloadUnderStreams(t *testing.T) {
	t.Parallel()
	const conns, perConn = 10, 100
	data := t.TempDir()
	cert, err := localca.Ensure(filepath.Join(data, "one"), []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := localca.Ensure(filepath.Join(data, "two"), []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	one, two := localca.In(filepath.Join(data, "one")), localca.In(filepath.Join(data, "two"))
	policy := writeFile(t, "policy.json", endpointPolicy("one"))
	var begun sync.WaitGroup
	begun.Add(conns * perConn)
	finish := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/policy" {
			_, _ = w.Write(network.SourceOf(r.Context()).EndpointPolicy)
			return
		}
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		begun.Done()
		<-finish
		_, _ = io.WriteString(w, " end")
	})
	log := &bytes.Buffer{}
	f := openDoors(t, Config{DataDir: data, Listeners: []Listener{{Name: "door", Address: "127.0.0.1:0", TLS: TLS{Cert: one.Cert, Key: one.Key}, Policy: policy}}}, h,
		slog.New(slog.NewTextHandler(log, nil)))
	address := f.doors[0].listen.Addr().String()
	client := func() *http.Client {
		// Which authority signed does not matter here; the leaf is compared.
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true} // #nosec G402
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	results := make(chan string, conns*perConn)
	for range conns {
		c := client()
		for range perConn {
			go func() {
				resp, err := c.Get("https://" + address + "/")
				if err != nil {
					results <- err.Error()
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					b = []byte(err.Error())
				}
				results <- string(b)
			}()
		}
	}
	begun.Wait()
	look := func() (leaf []byte, policy string) {
		t.Helper()
		resp, err := client().Get("https://" + address + "/policy")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.TLS.PeerCertificates[0].Raw, string(b)
	}
	if leaf, p := look(); !bytes.Equal(leaf, cert.Certificate[0]) || p != endpointPolicy("one") {
		t.Errorf("before: policy %s", p)
	}
	for from, to := range map[string]string{two.Cert: one.Cert, two.Key: one.Key} {
		copyFile(t, from, to)
	}
	if err := os.WriteFile(policy, []byte(endpointPolicy("two")), 0o600); err != nil {
		t.Fatal(err)
	}
	f.reload()
	if leaf, p := look(); !bytes.Equal(leaf, second.Certificate[0]) || p != endpointPolicy("two") {
		t.Errorf("after the change: policy %s, log %s", p, log)
	}
	for _, name := range []string{one.Cert, policy} {
		if err := os.WriteFile(name, []byte("{nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.reload()
	if leaf, p := look(); !bytes.Equal(leaf, second.Certificate[0]) || p != endpointPolicy("two") || !strings.Contains(log.String(), "cannot be used") {
		t.Errorf("after the broken change: policy %s, log %s", p, log)
	}
	close(finish)
	for range conns * perConn {
		if got := <-results; got != "begin end" {
			t.Fatalf("a stream ended with %q", got)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// HTTP/2 without TLS knows its connection too.
func TestCleartextHTTP2(t *testing.T) {
	t.Parallel()
	f := openDoors(t, Config{DataDir: t.TempDir(), Listeners: []Listener{{Name: "door", Address: "127.0.0.1:0", VPCE: "vpce-1"}}}, nil, nil)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	c := &http.Client{Transport: &http.Transport{Protocols: p}}
	defer c.CloseIdleConnections()
	for range 2 {
		resp, err := c.Get("http://" + f.doors[0].listen.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		var v told
		err = json.NewDecoder(resp.Body).Decode(&v)
		_ = resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || v.VPCE != "vpce-1" || !v.Loopback {
			t.Errorf("HTTP/%d, %+v, %v", resp.ProtoMajor, v, err)
		}
	}
}

// A connection that is kept open tells the same source for every request.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	f := openDoors(t, Config{DataDir: t.TempDir(), Listeners: []Listener{{Name: "door", Address: "127.0.0.1:0"}}}, nil, nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	kept := false
	for range 3 {
		r, err := http.NewRequest(http.MethodGet, "http://"+f.doors[0].listen.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { kept = i.Reused }}))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var v told
		err = json.NewDecoder(resp.Body).Decode(&v)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || v.IP != "127.0.0.1" || v.Listener != "door" {
			t.Errorf("%+v, %v", v, err)
		}
	}
	if !kept {
		t.Error("the connection was not kept")
	}
}

func TestListenerErrors(t *testing.T) {
	t.Parallel()
	clients, _ := clientCA(t)
	for name, c := range map[string]struct{ text, part string }{
		"no name":              {"listeners: [{address: '127.0.0.1:0'}]", "name"},
		"odd name":             {"listeners: [{name: 'A B', address: '127.0.0.1:0'}]", "name"},
		"name of egress":       {"listeners: [{name: egress-models, address: '127.0.0.1:0'}]", "egress-"},
		"same name":            {"listeners: [{name: a, address: '127.0.0.1:1'}, {name: a, address: '127.0.0.1:2'}]", "twice"},
		"same address":         {"listeners: [{name: a, address: '127.0.0.1:1'}, {name: b, address: '127.0.0.1:1'}]", "twice"},
		"no address":           {"listeners: [{name: a}]", "HOST:PORT"},
		"both forms":           {"listen: 127.0.0.1:1\nlisteners: [{name: a, address: '127.0.0.1:1'}]", "either"},
		"both forms, tls":      {"tls: {self_signed: true}\nlisteners: [{name: a, address: '127.0.0.1:1'}]", "either"},
		"plain, everywhere":    {"listeners: [{name: a, address: '0.0.0.0:1'}]", "needs TLS"},
		"plain, elsewhere":     {"listeners: [{name: a, address: '192.0.2.1:1'}]", "needs TLS"},
		"clients without TLS":  {"listeners: [{name: a, address: '127.0.0.1:1', tls: {client_ca: x.pem}}]", "client_ca"},
		"allow":                {"listeners: [{name: a, address: '127.0.0.1:1', allow: [10.0.0.0/33]}]", "10.0.0.0/33"},
		"proxies":              {"listeners: [{name: a, address: '127.0.0.1:1', proxies: [proxy.example]}]", "proxy.example"},
		"hosts":                {"listeners: [{name: a, address: '127.0.0.1:1', hosts: ['https://x']}]", "hosts"},
		"vpce":                 {"listeners: [{name: a, address: '127.0.0.1:1', vpce: 'vpce-A'}]", "vpce"},
		"vpc":                  {"listeners: [{name: a, address: '127.0.0.1:1', vpc: vpce-1}]", "vpc"},
		"PROXY, no proxies":    {"listeners: [{name: a, address: '127.0.0.1:1', proxy_protocol: true}]", "proxies"},
		"socket with TLS":      {"listeners: [{name: a, address: 'unix:/x', tls: {self_signed: true}}]", "unix"},
		"socket with networks": {"listeners: [{name: a, address: 'unix:/x', allow: [10.0.0.0/8]}]", "unix"},
		"socket without path":  {"listeners: [{name: a, address: 'unix:'}]", "unix"},
		"egress, word":         {"egress: maybe", "off"},
		"egress, purpose":      {"egress: {training: []}", "training"},
		"egress, destination":  {"egress: {models: ['https://x']}", "https://x"},
		"egress, word of ours": {"egress: {oidc: [pip, 'a b']}", "a b"},
	} {
		_, err := LoadConfig(writeFile(t, "c.yaml", c.text+"\n"))
		if err == nil {
			var cfg Config
			cfg, err = LoadConfig(writeFile(t, "c.yaml", c.text+"\n"))
			if err == nil {
				_, err = cfg.withDefaults()
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want %q", name, err, c.part)
		}
	}
	for name, l := range map[string]Listener{
		"no certificate": {Name: "a", Address: "127.0.0.1:0", TLS: TLS{Cert: "/no/such.pem", Key: "/no/such.key"}},
		"no authority":   {Name: "a", Address: "127.0.0.1:0", TLS: TLS{SelfSigned: true, ClientCA: "/no/such.pem"}},
		"no policy":      {Name: "a", Address: "127.0.0.1:0", Policy: "/no/such.json"},
		"broken policy":  {Name: "a", Address: "127.0.0.1:0", Policy: clients},
		"policy of none": {Name: "a", Address: "127.0.0.1:0", Policy: writeFile(t, "p.json", `{"Statement":[{"Effect":"Perhaps","Action":"*","Resource":"*"}]}`)},
		"taken":          {Name: "a", Address: "256.0.0.1:1", InsecurePlaintext: true},
	} {
		c, err := Config{DataDir: t.TempDir(), Listeners: []Listener{l}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		f, err := openFront(c, nil, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = f.close()
			t.Errorf("%s: opened", name)
		}
	}
}

// Plaintext to other machines has to be asked for by name, and is told loudly.
func TestInsecurePlaintext(t *testing.T) {
	t.Parallel()
	log := &bytes.Buffer{}
	l := Listener{Name: "lab", Address: "0.0.0.0:0", InsecurePlaintext: true, Allow: []string{"127.0.0.1", "::1"}}
	f := openDoors(t, Config{DataDir: t.TempDir(), Listeners: []Listener{l}}, nil, slog.New(slog.NewTextHandler(log, nil)))
	if !strings.Contains(log.String(), "INSECURE") || !strings.Contains(log.String(), "lab") {
		t.Errorf("log %s", log)
	}
	if status, got, err := get(f, 0, nil, nil); err != nil || status != 200 || got.TLS {
		t.Errorf("%d, %+v, %v", status, got, err)
	}
}
