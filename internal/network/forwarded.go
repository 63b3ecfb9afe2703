package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxHops bounds how many proxies a request may have come through.
const maxHops = 64

// The reasons for which Resolve refuses a request.
var (
	// ErrForwarded: a trusted proxy's headers cannot be read, or contradict each other.
	ErrForwarded = errors.New("the headers of the proxy do not tell who the client is")
	// ErrNotAllowed: the client is outside of the listener's allow-list.
	ErrNotAllowed = errors.New("the client's address is not allowed on this listener")
)

// Headers are what proxies tell of a request, as received: one string per header
// line.
type Headers struct {
	For       []string // X-Forwarded-For
	Proto     []string // X-Forwarded-Proto
	Forwarded []string // Forwarded, RFC 7239
}

// Resolve finds the client behind the trusted proxies of a listener. s is the
// Source of the connection; its peer must be one of proxies, or the headers count
// for nothing and s comes back as it is.
//
// The headers are read from their end, which the proxy nearest to this server
// wrote: the first address that is no trusted proxy is the client. Whatever stands
// to the left of it may be made up and is never looked at. When both kinds of
// headers are there they must tell the same client, since a proxy that writes one
// kind lets the other pass. A request without them is the proxy's own.
//
// Errors: ErrForwarded; ErrNotAllowed when allow is not empty and the client is
// not in it.
func Resolve(s Source, h Headers, proxies, allow []netip.Prefix) (Source, error) {
	if !s.IP.IsValid() || !contains(proxies, s.IP) {
		return s, nil
	}
	var told []hop
	for _, kind := range []struct {
		lines []string
		read  func(string) (hop, error)
	}{{h.For, bare}, {h.Forwarded, element}} {
		if list := entries(kind.lines); len(list) > 0 {
			c, err := client(list, kind.read, proxies)
			if err != nil {
				return s, err
			}
			told = append(told, c)
		}
	}
	switch {
	case len(told) == 0: // the proxy may speak for itself, wherever it is
		return s, nil
	case len(told) == 2 && told[0].addr.Addr() != told[1].addr.Addr():
		return s, fmt.Errorf("%w: X-Forwarded-For and Forwarded differ", ErrForwarded)
	}
	// Nobody may read along between the proxy and us for its word on TLS to count.
	safe := s.TLS || s.IP.IsLoopback()
	if protos := append(entries(h.Proto), told[len(told)-1].protos...); len(protos) > 0 {
		s.TLS = safe
		for _, p := range protos {
			s.TLS = s.TLS && lower(p) == "https"
		}
	}
	last := told[len(told)-1].addr
	s.IP, s.Port, s.Loopback = last.Addr(), last.Port(), false
	if len(allow) > 0 && !contains(allow, s.IP) {
		return s, ErrNotAllowed
	}
	return s, nil
}

// contains reports whether a lies in one of the prefixes.
func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hop is one station of a request.
type hop struct {
	addr   netip.AddrPort // zero when the station tells none
	protos []string       // of this station and those after it
}

// client walks a list of stations from its end to the first that is no proxy;
// the leftmost when all are.
func client(list []string, read func(string) (hop, error), proxies []netip.Prefix) (hop, error) {
	if len(list) > maxHops {
		list = list[len(list)-maxHops:]
	}
	var last hop
	var protos []string
	for i := len(list) - 1; i >= 0; i-- {
		h, err := read(list[i])
		if err != nil {
			return hop{}, err
		}
		if h.addr == (netip.AddrPort{}) {
			return hop{}, fmt.Errorf("%w: a station has no address", ErrForwarded)
		}
		protos = append(protos, h.protos...)
		last = hop{h.addr, protos}
		if !contains(proxies, h.addr.Addr()) {
			break
		}
	}
	return last, nil
}

// entries splits header lines at their commas, but for those inside quotes, and
// leaves out what is empty.
func entries(lines []string) []string {
	var all []string
	for _, line := range lines {
		for _, e := range split(line, ',') {
			if e = strings.Trim(e, " \t"); e != "" {
				all = append(all, e)
			}
		}
	}
	return all
}

// split cuts s at each sep outside of quoted strings.
func split(s string, sep byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// bare reads a station of X-Forwarded-For: an address, with or without a port.
func bare(s string) (hop, error) {
	a, err := station(s)
	return hop{addr: a}, err
}

// element reads a station of Forwarded: "for=192.0.2.1;proto=https".
func element(s string) (hop, error) {
	var h hop
	seen := map[string]bool{}
	for _, pair := range split(s, ';') {
		name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		name = lower(name)
		if !ok || seen[name] {
			return hop{}, fmt.Errorf("%w: Forwarded is malformed", ErrForwarded)
		}
		seen[name] = true
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1] // no address or scheme has anything to escape
		}
		switch name {
		case "for":
			a, err := station(value)
			if err != nil {
				return hop{}, err
			}
			h.addr = a
		case "proto":
			h.protos = []string{value}
		}
	}
	return h, nil
}

// station reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and
// "[2001:db8::1]:80".
func station(s string) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(plain(ap.Addr()), ap.Port()), nil
	}
	inner := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		inner = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(inner)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: a station is not an IP address", ErrForwarded)
	}
	return netip.AddrPortFrom(plain(a), 0), nil
}
