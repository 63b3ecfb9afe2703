package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// clientCertificates makes an authority for clients and a certificate of it, as
// PEM files. The certificate's file holds its key too.
func clientCertificates(t *testing.T, dir string) (authority, certificate string) {
	t.Helper()
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	write := func(name string, template *x509.Certificate) string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if ca == nil {
			ca, caKey = template, key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority = write("clients.pem", &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	certificate = write("batch.pem", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "batch"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return authority, certificate
}

// endpointPolicy lets through what the private listener is for.
const endpointPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["bedrock:InvokeModel","bedrock:List*","sts:*"],"Resource":"*"}]}`

// TestListeners runs clients/identity_network.py against a server with five doors:
// plain on loopback; a private one with client certificates, an endpoint id and an
// endpoint policy; one for another network; one behind a proxy with a public name;
// a unix socket. Every connection leaves a flow record.
func TestListeners(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(s.dir, "doors-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	authority, certificate := clientCertificates(t, dir)
	policy, socket := filepath.Join(dir, "policy.json"), filepath.Join(dir, "s.sock")
	if err := os.WriteFile(policy, []byte(endpointPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	private, office, proxied := freePort(t), freePort(t), freePort(t)
	srv := startFor(t, options{program: s.scripted, config: fmt.Sprintf(`
flow_log: true
listeners:
  - {name: local, address: "127.0.0.1:0"}
  - {name: private, address: "127.0.0.1:%d", tls: {self_signed: true, client_ca: %q}, vpce: vpce-0a1b2c3d, vpc: vpc-0a1b2c3d, policy: %q}
  - {name: office, address: "127.0.0.1:%d", allow: [192.0.2.0/24]}
  - {name: proxied, address: "127.0.0.1:%d", proxies: [127.0.0.1], hosts: ["bedrock.example.com:%d"]}
  - {name: socket, address: "unix:%s"}
`, private, authority, policy, office, proxied, proxied, socket)})
	runCases(t, srv, "identity_network.py", "CERTIFICATE="+certificate, "AUTHORITY="+filepath.Join(srv.data, "tls", "ca.pem"),
		fmt.Sprintf("PRIVATE=https://localhost:%d", private), fmt.Sprintf("OFFICE=http://127.0.0.1:%d", office), fmt.Sprintf("PROXIED=%d", proxied))

	t.Run("unix_socket", func(t *testing.T) {
		client := newGoClients(srv, func(c *aws.Config) {
			c.BaseEndpoint = aws.String("http://localhost")
			c.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}}
		}).sts
		if _, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
			t.Error(err)
		}
		if f, err := os.Stat(socket); err != nil || f.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v, %v", f, err)
		}
	})
	t.Run("flow_records", func(t *testing.T) {
		if err := srv.stop(); err != nil { // the last records are written
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(srv.data, "flow", "*.log"))
		if err != nil || len(files) == 0 {
			t.Fatalf("flow records %v, %v", files, err)
		}
		count := map[string]int{}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) == 14 && f[0] == "2" {
					count[f[2]+" "+f[12]]++
				} else if len(f) == 0 || f[0] != "version" {
					t.Errorf("record %q", line)
				}
			}
		}
		for _, want := range []string{"local ACCEPT", "private ACCEPT", "office REJECT", "proxied ACCEPT", "socket ACCEPT"} {
			if count[want] == 0 {
				t.Errorf("no record of %s", want)
			}
		}
		if count["office ACCEPT"] != 0 {
			t.Error("a connection from outside the list was accepted")
		}
		kinds := slices.Sorted(maps.Keys(count))
		t.Logf("records of %s", strings.Join(kinds, ", "))
		for _, k := range kinds {
			if strings.HasPrefix(k, "egress-") {
				t.Errorf("the server connected out: %s", k)
			}
		}
	})
}

// TestUnsafeListeners: what would let other machines in without encryption does not
// start.
func TestUnsafeListeners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "outcrop.yaml")
	for name, c := range map[string]struct {
		config string
		args   []string
		says   string
	}{
		"flag":     {"", []string{"--listen", "0.0.0.0:0"}, "needs TLS"},
		"IPv6":     {"", []string{"--listen", "[::]:0"}, "needs TLS"},
		"listener": {`listeners: [{name: door, address: "192.0.2.1:8443"}]`, nil, "listener door: listening on 192.0.2.1:8443 needs TLS"},
		"both":     {`listeners: [{name: door, address: "127.0.0.1:0"}]`, []string{"--listen", "127.0.0.1:0"}, "not both"},
		"policy": {
			`listeners: [{name: door, address: "127.0.0.1:0", policy: ` + config + `}]`, nil, "policy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf("models_dir: %q\nengines_dir: %q\n%s\n", s.models, s.engines, c.config)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			srv := &server{program: s.scripted, data: filepath.Join(dir, "data"), config: config}
			out, err := srv.cli(t.Context(), append([]string{"serve"}, c.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
