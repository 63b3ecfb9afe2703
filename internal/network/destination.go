package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// httpsPort is the port of destinations that name none.
const httpsPort = 443

// Destination is one entry of an allow-list for egress.
type Destination struct {
	any    bool         // every public address
	host   string       // one name, or the text of one address; "" for the others
	suffix string       // ".example.com": every name below it
	prefix netip.Prefix // addresses, also private ones; zero for the others
	port   uint16       // 0: every port
}

// ParseDestination reads an entry of an allow-list:
//
//	models.example.com        one host at port 443
//	models.example.com:8443   at another port
//	*.example.com             every host below a name, at port 443
//	10.1.0.0/16               addresses at every port; 10.1.0.0/16:443 at one
//	[2001:db8::1]:8443        one address
//	*                         every public host at every port
//
// A host that is named in full may have a private address; hosts that a * stands
// for may not, unless another entry covers that address.
func ParseDestination(text string) (Destination, error) {
	wrong := func(why string) (Destination, error) {
		return Destination{}, fmt.Errorf("%q is not a destination such as models.example.com:443, *.example.com, 10.0.0.0/8 or *: %s", text, why)
	}
	if text == "*" {
		return Destination{any: true}, nil
	}
	host, port := text, uint16(httpsPort)
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !(strings.Count(text, ":") > 1 && !strings.Contains(text, "]:") && !strings.Contains(text, "/")) {
		if n, err := strconv.ParseUint(text[i+1:], 10, 16); err == nil && n > 0 {
			host, port = text[:i], uint16(n)
		} else if !strings.Contains(text, "/") && !strings.HasSuffix(text, "]") {
			return wrong("the port is not 1 to 65535")
		}
	}
	host, err := unbracket(host)
	if err != nil {
		return wrong(err.Error())
	}
	if strings.Contains(host, "/") {
		p, err := netip.ParsePrefix(host)
		if err != nil {
			return wrong("it has a / but is no CIDR")
		}
		if host == text {
			port = 0
		}
		return Destination{prefix: p.Masked(), port: port}, nil
	}
	below, wild := strings.CutPrefix(host, "*.")
	name, err := hostName(below)
	if err != nil {
		return wrong(err.Error())
	}
	if wild {
		return Destination{suffix: "." + name, port: port}, nil
	}
	return Destination{host: name, port: port}, nil
}

// unbracket takes the brackets off an IPv6 address.
func unbracket(host string) (string, error) {
	inner, open := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if open != closed || open && !strings.Contains(inner, ":") {
		return "", errors.New("its brackets hold no IPv6 address")
	}
	return inner, nil
}

// hostName brings a host into the one form in which hosts are compared: lower
// case, IDNA, without a last dot, addresses as netip writes them. It refuses
// numbers that some programs take for addresses (decimal, octal, hexadecimal,
// short forms) and IPv4 in the form of IPv6.
func hostName(host string) (string, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Is4In6() || a.Zone() != "" {
			return "", errors.New("the address has another form than its own")
		}
		return a.String(), nil
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || name == "" || len(name) > 253 || strings.Contains(name, "..") {
		return "", errors.New("it is no name of a host")
	}
	name = lower(name)
	if numeric(name[strings.LastIndexByte(name, '.')+1:]) {
		return "", errors.New("it is a number and no address")
	}
	return name, nil
}

// numeric reports whether the last label of a name makes it an address in the
// eyes of some resolvers.
// Source: WHATWG, "URL Standard", ends-in-a-number checker.
func numeric(label string) bool {
	digits, hex := label, strings.HasPrefix(label, "0x")
	if hex {
		digits = label[2:]
	}
	for _, c := range []byte(digits) {
		if (c < '0' || c > '9') && (!hex || c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// match says how well an entry covers a host.
type match int

const (
	noMatch  match = iota
	byStar         // public addresses only
	byName         // named in full, or its address is
	inPrefix       // its address is in a named network
)

// covers compares an entry with a host in the form of hostName.
func (d Destination) covers(host string, port uint16) match {
	if d.port != 0 && d.port != port {
		return noMatch
	}
	switch {
	case d.any:
		return byStar
	case d.host != "" && d.host == host:
		return byName
	case d.suffix != "" && strings.HasSuffix(host, d.suffix):
		return byStar
	case d.prefix.IsValid():
		if a, err := netip.ParseAddr(host); err == nil && d.prefix.Contains(a) {
			return inPrefix
		}
	}
	return noMatch
}

// coversAddr reports whether the entry names the network of an address.
func (d Destination) coversAddr(a netip.Addr, port uint16) bool {
	return d.prefix.IsValid() && d.prefix.Contains(a) && (d.port == 0 || d.port == port)
}

// reserved are the addresses that are not of the public internet.
// Source: IANA's registries of special-purpose addresses for IPv4 and IPv6.
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's own services, seen from its machines
	"::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
	"2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// never are the addresses that no entry opens: where clouds hand out credentials,
// and what is no single host.
var never = prefixes(
	"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32",
	"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128",
	"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8",
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}
