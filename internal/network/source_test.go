package network_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/network"
)

func TestSourceOf(t *testing.T) {
	t.Parallel()
	if s := network.SourceOf(t.Context()); s.IP.IsValid() || s.TLS || s.Loopback || s.Listener != "" {
		t.Errorf("a context without a source gives %+v", s)
	}
	in := network.Source{Listener: "private", VPCE: "vpce-1", TLS: true}
	if s := network.SourceOf(network.WithSource(t.Context(), in)); s.Listener != "private" || s.VPCE != "vpce-1" || !s.TLS {
		t.Errorf("got %+v, want %+v", s, in)
	}
}

func TestDirect(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]struct {
		ip       string
		port     uint16
		loopback bool
	}{
		"127.0.0.1:80":              {"127.0.0.1", 80, true},
		"[::1]:80":                  {"::1", 80, true},
		"[::ffff:127.0.0.1]:1":      {"127.0.0.1", 1, true},
		"192.0.2.7:65535":           {"192.0.2.7", 65535, false},
		"[fe80::1%eth0]:9":          {"fe80::1", 9, false},
		"@":                         {"invalid IP", 0, false},
		"":                          {"invalid IP", 0, false},
		"localhost:80":              {"invalid IP", 0, false},
		"127.0.0.1.example.com:443": {"invalid IP", 0, false},
	} {
		s := network.Direct(remote, network.Plaintext)
		if s.IP.String() != want.ip || s.Port != want.port || s.Loopback != want.loopback || s.TLS {
			t.Errorf("%q: %+v, want %+v", remote, s, want)
		}
	}
	if !network.Direct("192.0.2.7:1", network.Encrypted).TLS {
		t.Error("an encrypted connection is not")
	}
}

func TestHostAllowed(t *testing.T) {
	t.Parallel()
	some := network.Source{Hosts: []string{"bedrock.example.com", "bedrock.example.com:8443"}}
	for host, want := range map[string]bool{
		"bedrock.example.com": true, "BEDROCK.example.com": true, "bedrock.example.com:8443": true,
		"bedrock.example.com:443": false, "evil.example.com": false, "": false, "127.0.0.1:8686": false,
	} {
		if some.HostAllowed(host) != want {
			t.Errorf("%q: %v, want %v", host, !want, want)
		}
		if !(network.Source{}).HostAllowed(host) {
			t.Errorf("%q is refused by a listener that names no hosts", host)
		}
	}
}
