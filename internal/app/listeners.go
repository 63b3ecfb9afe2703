package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/network"
)

// DefaultListener is the name of the one listener that `listen` and `tls` set up.
const DefaultListener = "default"

// Listener is one door of the server. See docs/network.md.
type Listener struct {
	// Name stands in flow records and conditions: 1 to 32 lower-case letters,
	// digits and '-', beginning with a letter. Required.
	Name string `yaml:"name"`
	// Address is HOST:PORT, or unix:PATH for a socket of the server's own user.
	Address string `yaml:"address"`
	TLS     TLS    `yaml:"tls"`
	// Allow are networks (10.0.0.0/8) and addresses of clients; empty allows all.
	Allow []string `yaml:"allow"`
	// VPCE and VPC make this a private endpoint: aws:SourceVpce, aws:SourceVpc.
	VPCE string `yaml:"vpce"`
	VPC  string `yaml:"vpc"`
	// Policy is a file with the endpoint policy, IAM JSON.
	Policy string `yaml:"policy"`
	// Hosts are the public names that signatures may be over; empty allows any.
	Hosts []string `yaml:"hosts"`
	// Proxies are the networks from which X-Forwarded-For, Forwarded and PROXY
	// headers are believed.
	Proxies []string `yaml:"proxies"`
	// ProxyProtocol makes connections begin with a PROXY protocol version 2 header.
	ProxyProtocol bool `yaml:"proxy_protocol"`
	// Metrics answers /metrics, the page for Prometheus, to whoever may connect.
	Metrics bool `yaml:"metrics"`
	// InsecurePlaintext allows a host that is not loopback without TLS.
	InsecurePlaintext bool `yaml:"insecure_plaintext"`
}

// TLS says how connections are encrypted. At most one way may be set.
type TLS struct {
	Cert string `yaml:"cert"` // PEM file with the chain, with Key
	Key  string `yaml:"key"`  // PEM file
	// SelfSigned makes a certificate authority and a certificate in the data
	// directory on first use. Clients trust <data>/tls/ca.pem (AWS_CA_BUNDLE).
	SelfSigned bool `yaml:"self_signed"`
	// ClientCA is a PEM file with authorities: clients must show a certificate of
	// one of them (mTLS).
	ClientCA string `yaml:"client_ca"`
}

// On reports whether connections are encrypted.
func (t TLS) On() bool { return t.Cert != "" || t.SelfSigned }

var listenerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// doors are the listeners of a configuration, whichever way they are written.
func (c Config) doors() []Listener {
	if len(c.Listeners) > 0 {
		return c.Listeners
	}
	return []Listener{{Name: DefaultListener, Address: c.Listen, TLS: c.TLS, Metrics: c.Metrics}}
}

// checkListeners refuses listeners that cannot work or are not safe.
func (c Config) checkListeners() error {
	if len(c.Listeners) == 0 {
		return c.doors()[0].check("listen address")
	}
	if c.Listen != "" || c.TLS != (TLS{}) || c.Metrics {
		return errors.New("listeners: set either listeners, or listen (--listen), tls (--tls) and metrics, not both")
	}
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, l := range c.Listeners {
		if !listenerName.MatchString(l.Name) || strings.HasPrefix(l.Name, "egress-") {
			return fmt.Errorf("listeners: name %q of number %d is not 1 to 32 lower-case letters, digits and '-', beginning with a letter, and not with egress-", l.Name, i+1)
		}
		if names[l.Name] || addresses[l.Address] {
			return fmt.Errorf("listeners: name or address of %s is there twice", l.Name)
		}
		names[l.Name] = true
		addresses[l.Address] = !strings.HasSuffix(l.Address, ":0") // any free port
		if err := l.check("address"); err != nil {
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
	}
	return nil
}

// path of a unix socket; false for TCP.
func (l Listener) path() (string, bool) { return strings.CutPrefix(l.Address, "unix:") }

func (l Listener) check(what string) error {
	if path, unix := l.path(); unix {
		if path == "" || l.TLS != (TLS{}) || l.ProxyProtocol || len(l.Proxies)+len(l.Allow) > 0 {
			return errors.New("a unix socket has a path, and neither tls nor allow, proxies or proxy_protocol: its file's owner alone may use it")
		}
	} else {
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			return fmt.Errorf("%s %q is not HOST:PORT, e.g. %s", what, l.Address, DefaultListen)
		}
		if !loopbackHost(host) && !l.TLS.On() && !l.InsecurePlaintext {
			return fmt.Errorf("listening on %s needs TLS: set tls.cert and tls.key, or tls.self_signed: true (--tls self), in the configuration", l.Address)
		}
	}
	if err := l.TLS.check(); err != nil {
		return err
	}
	if l.ProxyProtocol && len(l.Proxies) == 0 {
		return errors.New("proxy_protocol needs proxies: the networks of the load balancers")
	}
	for _, id := range []struct{ name, value, prefix string }{{"vpce", l.VPCE, "vpce-"}, {"vpc", l.VPC, "vpc-"}} {
		if id.value != "" && !network.ValidID(id.value, id.prefix) {
			return fmt.Errorf("%s: %q is not an id such as %s0a1b2c3d", id.name, id.value, id.prefix)
		}
	}
	_, err := l.rules()
	return err
}

func (t TLS) check() error {
	switch {
	case t.SelfSigned && (t.Cert != "" || t.Key != ""):
		return errors.New("tls: set either cert and key, or self_signed, not both")
	case (t.Cert == "") != (t.Key == ""):
		return errors.New("tls: cert and key go together")
	case t.ClientCA != "" && !t.On():
		return errors.New("tls: client_ca needs cert and key, or self_signed")
	}
	return nil
}

// rules are those of the listener that its configuration alone decides.
func (l Listener) rules() (network.Rules, error) {
	r := network.Rules{Name: l.Name, ProxyProtocol: l.ProxyProtocol, VPCE: l.VPCE, VPC: l.VPC}
	var err error
	if r.Allow, err = network.ParsePrefixes(l.Allow); err != nil {
		return r, fmt.Errorf("allow: %w", err)
	}
	if r.Proxies, err = network.ParsePrefixes(l.Proxies); err != nil {
		return r, fmt.Errorf("proxies: %w", err)
	}
	for _, h := range l.Hosts {
		name, err := network.ParseHost(h)
		if err != nil {
			return r, fmt.Errorf("hosts: %w", err)
		}
		r.Hosts = append(r.Hosts, name)
	}
	return r, nil
}

// public reports whether other machines can reach the listener.
func (l Listener) public() bool {
	host, _, err := net.SplitHostPort(l.Address)
	return err == nil && !loopbackHost(host)
}

// endpoint is the URL for clients; listening is the address that is really
// listened on, with its port.
func (l Listener) endpoint(listening string) string {
	if path, unix := l.path(); unix {
		return "unix:" + path
	}
	scheme := "http://"
	if l.TLS.On() {
		scheme = "https://"
	}
	if len(l.Hosts) > 0 { // signatures over anything else are refused
		if len(l.Proxies) > 0 && !l.ProxyProtocol {
			scheme = "https://" // the proxy's
		}
		return scheme + strings.ToLower(l.Hosts[0])
	}
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return scheme + listening
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// main is the index of the listener that clients of this machine are pointed at:
// the first on loopback, else the first of TCP, else the first.
func mainDoor(all []Listener) int {
	tcp := slices.IndexFunc(all, func(l Listener) bool { _, unix := l.path(); return !unix })
	if local := slices.IndexFunc(all, func(l Listener) bool { _, unix := l.path(); return !unix && !l.public() }); local >= 0 {
		tcp = local
	}
	return max(tcp, 0)
}

// certificateHosts are the names and addresses that the certificate of the local
// authority is for: those under which this machine is reached, and the public ones.
func certificateHosts(all []Listener) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(h string) {
		if h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	for _, l := range all {
		if !l.TLS.SelfSigned {
			continue
		}
		for _, h := range l.Hosts {
			if host, _, err := net.SplitHostPort(h); err == nil {
				h = host
			}
			add(strings.ToLower(strings.Trim(h, "[]")))
		}
		host, _, _ := net.SplitHostPort(l.Address) // check has seen it
		if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
			add(host)
			continue
		}
		for _, h := range machine() {
			add(h)
		}
	}
	return hosts
}

// machine are this machine's name and addresses, as far as it tells.
func machine() []string {
	var all []string
	if name, err := os.Hostname(); err == nil {
		if name, err = network.ParseHost(name); err == nil {
			all = append(all, name)
		}
	}
	addrs, _ := net.InterfaceAddrs() // without them, the certificate is for fewer names
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			all = append(all, p.Addr().String())
		}
	}
	return all
}

// readPolicy reads an endpoint policy. Errors name the statement and the element.
func readPolicy(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxPolicy {
		return nil, fmt.Errorf("endpoint policy %s: it has more than %d bytes", file, maxPolicy)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(filepath.Clean(file))
	}
	if err != nil {
		return nil, fmt.Errorf("endpoint policy: %w", err)
	}
	if _, err := policy.Parse(b, policy.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint policy %s: %w", file, err)
	}
	return b, nil
}

// maxPolicy is the size of an endpoint policy in bytes.
// Source: AWS PrivateLink guide, "Control access to VPC endpoints using endpoint policies".
const maxPolicy = 20480
