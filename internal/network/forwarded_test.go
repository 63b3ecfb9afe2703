package network_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/network"
)

func nets(t *testing.T, list ...string) []netip.Prefix {
	t.Helper()
	p, err := network.ParsePrefixes(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestResolve(t *testing.T) {
	t.Parallel()
	const proxy, stranger = "10.0.0.1", "203.0.113.9"
	xff := func(v ...string) network.Headers { return network.Headers{For: v} }
	std := func(v ...string) network.Headers { return network.Headers{Forwarded: v} }
	for name, c := range map[string]struct {
		peer string
		h    network.Headers
		want string
		err  error
	}{
		"no header":                      {proxy, network.Headers{}, proxy, nil},
		"one client":                     {proxy, xff("198.51.100.7"), "198.51.100.7", nil},
		"client with a port":             {proxy, xff("198.51.100.7:4711"), "198.51.100.7", nil},
		"IPv6":                           {proxy, xff("2001:db8::7"), "2001:db8::7", nil},
		"IPv6 in brackets":               {proxy, xff("[2001:db8::7]"), "2001:db8::7", nil},
		"IPv6 with a port":               {proxy, xff("[2001:db8::7]:443"), "2001:db8::7", nil},
		"IPv4 in IPv6":                   {proxy, xff("::ffff:198.51.100.7"), "198.51.100.7", nil},
		"made-up address before":         {proxy, xff("127.0.0.1, 198.51.100.7"), "198.51.100.7", nil},
		"made-up line before":            {proxy, xff("127.0.0.1", "198.51.100.7"), "198.51.100.7", nil},
		"chain of proxies":               {proxy, xff("1.1.1.1, 198.51.100.7, 10.0.0.2, 10.0.0.3"), "198.51.100.7", nil},
		"proxies only":                   {proxy, xff("10.0.0.3, 10.0.0.2"), "10.0.0.3", nil},
		"nonsense before":                {proxy, xff("<script>, 198.51.100.7"), "198.51.100.7", nil},
		"from a stranger":                {stranger, xff("127.0.0.1"), stranger, nil},
		"from a stranger, standard":      {stranger, std("for=127.0.0.1"), stranger, nil},
		"from a stranger, nonsense":      {stranger, xff("nonsense"), stranger, nil},
		"standard":                       {proxy, std("for=198.51.100.7"), "198.51.100.7", nil},
		"standard, in full":              {proxy, std(`by=10.0.0.1;For="[2001:db8::7]:4711";host=x;proto=https`), "2001:db8::7", nil},
		"standard, two stations":         {proxy, std(`for=9.9.9.9, for="198.51.100.7:80"`), "198.51.100.7", nil},
		"standard, comma in quotes":      {proxy, std(`for=9.9.9.9;host="a,for=8.8.8.8", for=198.51.100.7`), "198.51.100.7", nil},
		"both agree":                     {proxy, network.Headers{For: []string{"198.51.100.7"}, Forwarded: []string{"for=198.51.100.7"}}, "198.51.100.7", nil},
		"both differ":                    {proxy, network.Headers{For: []string{"198.51.100.7"}, Forwarded: []string{"for=127.0.0.1"}}, "", network.ErrForwarded},
		"empty one does not hide other":  {proxy, network.Headers{For: []string{" , "}, Forwarded: []string{"for=198.51.100.7"}}, "198.51.100.7", nil},
		"unknown":                        {proxy, std("for=unknown"), "", network.ErrForwarded},
		"hidden":                         {proxy, std("for=_gazonk"), "", network.ErrForwarded},
		"no address":                     {proxy, std("proto=https"), "", network.ErrForwarded},
		"two addresses in one":           {proxy, std("for=1.1.1.1;for=2.2.2.2"), "", network.ErrForwarded},
		"a name":                         {proxy, xff("client.example.com"), "", network.ErrForwarded},
		"not in the list":                {proxy, xff("192.0.2.1"), "", network.ErrNotAllowed},
		"longest chain, made-up at head": {proxy, xff(strings.Repeat("192.0.2.1,", 100) + "198.51.100.7"), "198.51.100.7", nil},
	} {
		s := network.Source{IP: netip.MustParseAddr(c.peer), Port: 9}
		allow := nets(t, "198.51.100.0/24", "2001:db8::/32", "10.0.0.3")
		got, err := network.Resolve(s, c.h, nets(t, "10.0.0.0/24"), allow)
		if !errors.Is(err, c.err) || err == nil && got.IP.String() != c.want {
			t.Errorf("%s: %v, %v; want %s, %v", name, got.IP, err, c.want, c.err)
		}
	}
}

// The proxy's word on TLS counts when nobody can read along between it and us.
func TestResolveTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		peer  string
		conn  bool
		proto []string
		std   []string
		want  bool
	}{
		"TLS to the proxy, proxy here":        {"127.0.0.1", false, []string{"https"}, nil, true},
		"TLS to the proxy, proxy elsewhere":   {"10.0.0.1", false, []string{"https"}, nil, false},
		"TLS all the way":                     {"10.0.0.1", true, []string{"HTTPS"}, nil, true},
		"plain to the proxy":                  {"10.0.0.1", true, []string{"http"}, nil, false},
		"one of two hops is plain":            {"10.0.0.1", true, []string{"https, http"}, nil, false},
		"standard":                            {"127.0.0.1", false, nil, []string{"for=198.51.100.7;proto=https"}, true},
		"standard, plain":                     {"10.0.0.1", true, nil, []string{"for=198.51.100.7;proto=http"}, false},
		"proxy says nothing: our connection":  {"10.0.0.1", true, nil, nil, true},
		"proxy says nothing: plain":           {"127.0.0.1", false, nil, nil, false},
		"both kinds differ on TLS: not safe":  {"127.0.0.1", false, []string{"https"}, []string{"for=198.51.100.7;proto=http"}, false},
		"made-up https before a plain client": {"10.0.0.1", true, []string{"https", "http"}, nil, false},
	} {
		s := network.Source{IP: netip.MustParseAddr(c.peer), TLS: c.conn, Loopback: c.peer == "127.0.0.1"}
		h := network.Headers{For: []string{"198.51.100.7"}, Proto: c.proto, Forwarded: c.std}
		got, err := network.Resolve(s, h, nets(t, "10.0.0.0/24", "127.0.0.1"), nil)
		if err != nil || got.TLS != c.want || got.Loopback {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// FuzzResolve: whatever a client sends, its own address comes out when the proxy
// appends it.
func FuzzResolve(f *testing.F) {
	f.Add("127.0.0.1", "for=127.0.0.1")
	f.Add("a, b,,\",\"", `for="[::1]:1";proto=x, for=`)
	f.Fuzz(func(t *testing.T, xff, std string) {
		s := network.Source{IP: netip.MustParseAddr("10.0.0.1")}
		proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
		got, err := network.Resolve(s, network.Headers{For: []string{xff, "198.51.100.7"}}, proxies, nil)
		if err != nil || got.IP != netip.MustParseAddr("198.51.100.7") {
			t.Fatalf("X-Forwarded-For: %v, %v", got.IP, err)
		}
		got, err = network.Resolve(s, network.Headers{For: []string{xff, "198.51.100.7"}, Forwarded: []string{std}}, proxies, nil)
		if err == nil && got.IP != netip.MustParseAddr("198.51.100.7") {
			t.Fatalf("with Forwarded beside it: %v", got.IP)
		}
		stranger := network.Source{IP: netip.MustParseAddr("203.0.113.9")}
		got, err = network.Resolve(stranger, network.Headers{For: []string{xff}, Forwarded: []string{std}}, proxies, nil)
		if err != nil || got.IP != stranger.IP {
			t.Fatalf("a stranger: %v, %v", got.IP, err)
		}
	})
}
