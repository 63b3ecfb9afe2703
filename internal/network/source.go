// Package network knows where connections come from and where they may go: the
// source of each request, the rules of a listener, records of flows, and the one
// dialer for everything that leaves this machine.
//
// It speaks addresses and connections, not HTTP: the composition root puts it
// under an HTTP server and an HTTP client.
package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Source is where a request came from: the facts that decide conditions such as
// aws:SourceIp, aws:SourceVpce and aws:SecureTransport, whether a bearer key is
// safe, and which endpoint policy holds. The zero value says nothing is known: no
// address, not encrypted, not of this machine.
//
// Slices are shared by all requests of a listener: do not change them.
type Source struct {
	// Listener is the name of the listener that took the connection, e.g. "default".
	Listener string
	// IP is the client's address: the connection's peer, or what a trusted proxy
	// tells of it. IPv4 addresses are never in their IPv6 form, and no address has
	// a zone. Invalid (the zero Addr) for unix sockets.
	IP netip.Addr
	// Port of the client; 0 when it is not known, as behind proxies that tell the
	// address alone.
	Port uint16
	// TLS tells that nobody could read along: the client's connection is encrypted
	// up to this server, or up to a trusted proxy on this machine, or that proxy
	// itself reaches us encrypted.
	TLS bool
	// VPCE and VPC are the ids of the private endpoint and the network that the
	// listener stands for, e.g. "vpce-0a1b2c3d"; "" for none.
	VPCE, VPC string
	// Hosts are the public names under which clients reach the listener; signatures
	// over any other Host header are to be refused. Empty allows any. Names are in
	// lower case, with a port only where clients write one.
	Hosts []string
	// EndpointPolicy is the text of the listener's endpoint policy (IAM JSON); nil
	// allows everything. The same listener gives the same slice until its file is
	// read again.
	EndpointPolicy []byte
	// Loopback tells that the client itself is on this machine: a loopback address
	// or a unix socket, and no proxy in between.
	Loopback bool
	// Unix tells that the connection came through a unix socket, from a process of
	// the server's own user.
	Unix bool
	// ClientCert is the subject of the verified client certificate, as RFC 2253
	// writes it, e.g. "CN=batch,O=Example"; "" without one.
	ClientCert string
}

// HostAllowed reports whether host, as it stands in a Host header, is one that
// signatures may be over.
func (s Source) HostAllowed(host string) bool {
	return len(s.Hosts) == 0 || slices.Contains(s.Hosts, lower(host))
}

// lower is strings.ToLower for ASCII: names of hosts have no other letters.
func lower(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

type sourceKey struct{}

// WithSource returns a context whose requests come from s.
func WithSource(ctx context.Context, s Source) context.Context {
	return context.WithValue(ctx, sourceKey{}, s)
}

type connKey struct{}

// WithConn returns a context whose requests come over c, as c's own Source tells it
// until WithSource says otherwise. Whoever terminates TLS or trusts a proxy must say so.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// ConnOf returns the connection of a request; nil when nobody told.
func ConnOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// SourceOf returns where the request of ctx came from; the zero Source when
// nobody told.
func SourceOf(ctx context.Context) Source {
	if s, ok := ctx.Value(sourceKey{}).(Source); ok {
		return s
	}
	if c := ConnOf(ctx); c != nil {
		return c.Source()
	}
	return Source{}
}

// Direct is the Source of a connection without a listener's rules, as in tests
// and embedded handlers. remote is "IP:PORT", as http.Request.RemoteAddr is; any
// other text gives a Source without an address, which is not of this machine.
func Direct(remote string, secure Encryption) Source {
	s := Source{TLS: secure == Encrypted}
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		s.IP, s.Port = plain(ap.Addr()), ap.Port()
		s.Loopback = s.IP.IsLoopback()
	}
	return s
}

// Encryption says whether a connection is encrypted.
type Encryption int

// The two kinds of connections.
const (
	Plaintext Encryption = iota
	Encrypted
)

// plain takes the zone off an address, and IPv4 out of its IPv6 form.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// ParseHost reads the public name of a listener as clients write it in their Host
// header: "bedrock.example.com", "bedrock.example.com:8443" or an address.
func ParseHost(text string) (string, error) {
	host, tail := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 && (strings.Count(text, ":") == 1 || strings.Contains(text, "]:")) {
		if n, err := strconv.ParseUint(text[i+1:], 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("%q has a port that is not 1 to 65535", text)
		}
		host, tail = text[:i], text[i:]
	}
	host, err := unbracket(host)
	if err == nil {
		host, err = hostName(host)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not the name of a host: %w", text, err)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + tail, nil
}

// ParsePrefixes reads networks and single addresses: "10.0.0.0/8", "192.0.2.7".
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor an address", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
