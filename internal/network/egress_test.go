package network_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/network"
)

// names is a name service in memory. Each lookup of a name takes the next of its
// answers; the last one stays.
type names struct {
	mu      sync.Mutex
	answers map[string][][]string
	asked   []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	list, ok := n.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	var all []netip.Addr
	for _, a := range list[0] {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

// world is an Egress with nothing behind it.
type world struct {
	*network.Egress
	names  *names
	dir    string
	log    *network.FlowLog
	mu     sync.Mutex
	dialed []string
}

func newWorld(t *testing.T, models ...string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), names: &names{answers: map[string][][]string{
		"models.example.com":  {{"93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"}},
		"cdn.example.com":     {{"93.184.215.15"}},
		"mirror.corp.example": {{"10.1.2.3"}},
		"loopback.example":    {{"127.0.0.1"}},
		"loopback6.example":   {{"::1"}},
		"mapped.example":      {{"::ffff:127.0.0.1"}},
		"nat64.example":       {{"64:ff9b::7f00:1"}},
		"sixtofour.example":   {{"2002:7f00:1::1"}},
		"teredo.example":      {{"2001::7f00:1"}},
		"metadata.example":    {{"169.254.169.254"}},
		"metadata6.example":   {{"fd00:ec2::254"}},
		"alibaba.example":     {{"100.100.100.200"}},
		"azure.example":       {{"168.63.129.16"}},
		"linklocal.example":   {{"169.254.7.7"}},
		"linklocal6.example":  {{"fe80::1"}},
		"private10.example":   {{"10.0.0.1"}},
		"private172.example":  {{"172.16.0.1"}},
		"private192.example":  {{"192.168.1.1"}},
		"cgnat.example":       {{"100.64.0.1"}},
		"ula.example":         {{"fc00::1"}},
		"sitelocal.example":   {{"fec0::1"}},
		"multicast.example":   {{"224.0.0.1"}},
		"multicast6.example":  {{"ff02::1"}},
		"zero.example":        {{"0.0.0.0"}},
		"zero6.example":       {{"::"}},
		"broadcast.example":   {{"255.255.255.255"}},
		"future.example":      {{"240.0.0.1"}},
		"benchmark.example":   {{"198.18.0.1"}},
		"test1.example":       {{"192.0.2.1"}},
		"test2.example":       {{"198.51.100.1"}},
		"test3.example":       {{"203.0.113.1"}},
		"doc6.example":        {{"2001:db8::1"}},
		"compatible.example":  {{"::7f00:1"}},
		"ietf.example":        {{"192.0.0.170"}},
		"mixed.example":       {{"93.184.215.14", "10.0.0.1"}},
		"rebind.example":      {{"93.184.215.14"}, {"127.0.0.1"}},
		"localhost":           {{"127.0.0.1"}},
	}}}
	w.log = network.NewFlowLog(network.FlowConfig{Dir: w.dir, Account: account})
	var list []network.Destination
	for _, m := range models {
		d, err := network.ParseDestination(m)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	w.Egress = network.NewEgress(network.EgressConfig{
		Allow: map[network.Purpose][]network.Destination{network.Models: list}, Resolver: w.names, Flows: w.log,
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dialed = append(w.dialed, address)
			a, b := net.Pipe()
			_ = b.Close()
			return a, nil
		},
	})
	return w
}

// records closes the log and returns what it holds.
func (w *world) records(t *testing.T) [][]string {
	t.Helper()
	if err := errors.Join(w.Close(), w.log.Close()); err != nil {
		t.Fatal(err)
	}
	return flows(t, w.dir)
}

// TestSSRF: addresses of many kinds that a list with a star must not open. None is
// dialled, and each leaves one REJECT.
func TestSSRF(t *testing.T) {
	t.Parallel()
	var hosts []string
	for h := range newWorld(t).names.answers {
		if strings.HasSuffix(h, ".example") && h != "rebind.example" && h != "mirror.corp.example" || h == "localhost" {
			hosts = append(hosts, h)
		}
	}
	hosts = append(hosts, "localhost.", "LOCALHOST", "LoopBack.Example", "loopback.example.",
		// Literal addresses.
		"127.0.0.1", "127.1.2.3", "10.0.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::8.8.8.8", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "2002:7f00:1::",
		// Numbers that some resolvers take for addresses.
		"2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0", "00000000", "127.0.0.01", "0x", "256.256.256.256", "127.0.0.1.", "1.2.3.4.5",
		// Letters that look like others or are folded into them.
		"１２７.０.０.１", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "localhost\u200b",
		// What is no host.
		"", ".", "..", "a..b", " ", "127.0.0.1 ", "127.0.0.1#.models.example.com", "models.example.com@127.0.0.1", "models.example.com\\@127.0.0.1", "models.example.com%00.evil", "a b", "[::1]", "models.example.com/", "*.example.com", "-a.example", strings.Repeat("a.", 130)+"example",
	)
	for _, list := range [][]string{{"*"}, {"*.example", "localhost.example", "*.example.com"}} {
		w := newWorld(t, list...)
		for i, h := range hosts {
			c, err := w.Dial(t.Context(), network.Models, net.JoinHostPort(h, "443"))
			if err == nil {
				_ = c.Close()
			}
			if !errors.Is(err, network.ErrEgress) {
				t.Errorf("list %v: %q: %v, want a refusal", list, h, err)
			}
			if n := i + 1; n != len(hosts) && len(w.dialed) != 0 {
				t.Fatalf("%q dials %v", h, w.dialed)
			}
		}
		rec := w.records(t)
		if len(rec) != len(hosts) || len(w.dialed) != 0 {
			t.Errorf("list %v: %d records of %d attempts, dialled %v", list, len(rec), len(hosts), w.dialed)
		}
		for _, f := range rec {
			if f[fAction] != "REJECT" || f[fInterface] != "egress-models" {
				t.Errorf("record %v", f)
			}
		}
	}
	if len(hosts) < 60 {
		t.Errorf("%d vectors", len(hosts))
	}
}

func TestEgressAllows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list []string
		to   string
		want string // what is dialled; "" for a refusal
	}{
		"in full":                         {[]string{"models.example.com"}, "models.example.com:443", "93.184.215.14:443"},
		"case and last dot":               {[]string{"Models.Example.com."}, "MODELS.example.COM.:443", "93.184.215.14:443"},
		"other port":                      {[]string{"models.example.com"}, "models.example.com:80", ""},
		"port of the list":                {[]string{"models.example.com:8443"}, "models.example.com:8443", "93.184.215.14:8443"},
		"other host":                      {[]string{"models.example.com"}, "cdn.example.com:443", ""},
		"host below":                      {[]string{"*.example.com"}, "cdn.example.com:443", "93.184.215.15:443"},
		"the name itself is not below":    {[]string{"*.cdn.example.com"}, "cdn.example.com:443", ""},
		"end of another name":             {[]string{"*.ample.com"}, "cdn.example.com:443", ""},
		"star":                            {[]string{"*"}, "cdn.example.com:8080", "93.184.215.15:8080"},
		"private, in full":                {[]string{"mirror.corp.example"}, "mirror.corp.example:443", "10.1.2.3:443"},
		"private, below":                  {[]string{"*.corp.example"}, "mirror.corp.example:443", ""},
		"private, below and its network":  {[]string{"*.corp.example", "10.1.0.0/16"}, "mirror.corp.example:443", "10.1.2.3:443"},
		"private, star and other network": {[]string{"*", "10.2.0.0/16"}, "mirror.corp.example:443", ""},
		"network alone opens no name":     {[]string{"10.1.0.0/16"}, "mirror.corp.example:443", ""},
		"network, address":                {[]string{"10.1.0.0/16"}, "10.1.2.3:9000", "10.1.2.3:9000"},
		"network with a port":             {[]string{"10.1.0.0/16:443"}, "10.1.2.3:9000", ""},
		"one address":                     {[]string{"10.1.2.3:9000"}, "10.1.2.3:9000", "10.1.2.3:9000"},
		"one IPv6 address":                {[]string{"[2606:4700::1111]:53"}, "[2606:4700::1111]:53", "[2606:4700::1111]:53"},
		"loopback, in full":               {[]string{"localhost:8080"}, "localhost:8080", "127.0.0.1:8080"},
		"metadata, in full":               {[]string{"metadata.example"}, "metadata.example:443", ""},
		"metadata, its network":           {[]string{"169.254.0.0/16", "*"}, "169.254.169.254:80", ""},
		"link-local, in full":             {[]string{"linklocal.example"}, "linklocal.example:443", ""},
		"link-local, its network":         {[]string{"linklocal.example", "169.254.7.0/24"}, "linklocal.example:443", "169.254.7.7:443"},
		"multicast, in full":              {[]string{"multicast.example"}, "multicast.example:443", ""},
		"empty list":                      {nil, "models.example.com:443", ""},
		"no port":                         {[]string{"*"}, "models.example.com", ""},
		"port 0":                          {[]string{"*"}, "models.example.com:0", ""},
		"port too large":                  {[]string{"*"}, "models.example.com:70000", ""},
	} {
		w := newWorld(t, c.list...)
		conn, err := w.Dial(t.Context(), network.Models, c.to)
		if c.want == "" {
			if !errors.Is(err, network.ErrEgress) || len(w.dialed) > 0 {
				t.Errorf("%s: %v, dialled %v", name, err, w.dialed)
			}
			continue
		}
		if err != nil || len(w.dialed) != 1 || w.dialed[0] != c.want {
			t.Errorf("%s: %v, dialled %v, want %s", name, err, w.dialed, c.want)
			continue
		}
		_ = conn.Close()
		if rec := w.records(t); len(rec) != 1 || rec[0][fAction] != "ACCEPT" || net.JoinHostPort(rec[0][fDst], rec[0][fDstPort]) != c.want {
			t.Errorf("%s: records %v", name, rec)
		}
	}
}

// TestRebind: the first answer is checked and dialled, whatever the second says;
// when the second is asked for, it is refused.
func TestRebind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "*")
	c, err := w.Dial(t.Context(), network.Models, "rebind.example:443")
	if err != nil || len(w.names.asked) != 1 || len(w.dialed) != 1 || w.dialed[0] != "93.184.215.14:443" {
		t.Fatalf("%v, asked %v, dialled %v", err, w.names.asked, w.dialed)
	}
	_ = c.Close()
	if _, err := w.Dial(t.Context(), network.Models, "rebind.example:443"); !errors.Is(err, network.ErrEgress) || len(w.dialed) != 1 {
		t.Errorf("after the rebinding: %v, dialled %v", err, w.dialed)
	}
}

// A name that is not in the list is not even looked up: its labels may carry data.
func TestNoLookup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "models.example.com")
	_, err := w.Dial(t.Context(), network.Models, "c2VjcmV0.evil.example:443")
	if !errors.Is(err, network.ErrEgress) || len(w.names.asked) != 0 || !strings.Contains(err.Error(), "egress.models") {
		t.Errorf("%v, asked %v", err, w.names.asked)
	}
	if _, err := w.Dial(t.Context(), network.OIDC, "models.example.com:443"); !errors.Is(err, network.ErrEgress) {
		t.Errorf("the list of another purpose: %v", err)
	}
}

// A letter of another script makes another name.
func TestHomograph(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "models.example.com")
	if _, err := w.Dial(t.Context(), network.Models, "mоdels.example.com:443"); !errors.Is(err, network.ErrEgress) || len(w.names.asked) != 0 {
		t.Errorf("%v, asked %v", err, w.names.asked)
	}
}

// A name that nobody knows is an attempt all the same.
func TestUnknownName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "*")
	if _, err := w.Dial(t.Context(), network.Models, "nowhere.example.net:443"); err == nil || errors.Is(err, network.ErrEgress) {
		t.Errorf("%v", err)
	}
	if rec := w.records(t); len(rec) != 1 || rec[0][fAction] != "REJECT" || rec[0][fDst] != "-" {
		t.Errorf("records %v", rec)
	}
}

func TestOff(t *testing.T) {
	t.Parallel()
	any, err := network.ParseDestination("*")
	if err != nil {
		t.Fatal(err)
	}
	e := network.NewEgress(network.EgressConfig{
		Off: true, Allow: map[network.Purpose][]network.Destination{network.Models: {any}}, Resolver: &names{},
		Dial: func(context.Context, string, string) (net.Conn, error) { panic("dialled") },
	})
	e.Grant(network.Models, any)
	ctx := network.Permit(t.Context(), network.Models, any)
	if _, err := e.Dial(ctx, network.Models, "models.example.com:443"); !errors.Is(err, network.ErrEgress) || !strings.Contains(err.Error(), "off") {
		t.Errorf("%v", err)
	}
	if err := e.Check(ctx, network.Models, "models.example.com", 443); !errors.Is(err, network.ErrEgress) || !e.Off() {
		t.Errorf("%v", err)
	}
}

// What is permitted for one piece of work is not for another.
func TestPermit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := network.ParseDestination("mirror.corp.example:443")
	two, _ := network.ParseDestination("cdn.example.com:443")
	ctx := network.Permit(network.Permit(t.Context(), network.Models, one), network.Models, two)
	for _, to := range []string{"mirror.corp.example", "cdn.example.com"} {
		if err := w.Check(ctx, network.Models, to, 443); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if w.Check(t.Context(), network.Models, to, 443) == nil || w.Check(ctx, network.OIDC, to, 443) == nil {
			t.Errorf("%s is open beside the work", to)
		}
	}
	w.Grant(network.OIDC, two)
	if err := w.Check(t.Context(), network.OIDC, "cdn.example.com", 443); err != nil {
		t.Error(err)
	}
}

func TestParseDestination(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", ":443", "host:", "host:0", "host:65536", "host:x", "https://host", "host/path", "10.0.0.0/33", "10.0.0.0/8:0", "*.*", "**", "*x", "a.*.b",
		"2130706433", "0x7f.1", "127.1", "::ffff:127.0.0.1", "user@host", "a b", "[::1", "*.",
	} {
		if d, err := network.ParseDestination(bad); err == nil {
			t.Errorf("%q gives %+v", bad, d)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %v does not name it", bad, err)
		}
	}
	for _, good := range []string{"*", "a.example", "a.example:1", "*.example:8443", "10.0.0.0/8", "10.0.0.0/8:443", "fd00::/8", "::1", "[::1]:443", "[::1]", "bücher.example", "localhost", "xn--bcher-kva.example:443"} {
		if _, err := network.ParseDestination(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestParseHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Bedrock.Example.com": "bedrock.example.com", "bedrock.example.com:8443": "bedrock.example.com:8443", "10.0.0.1:80": "10.0.0.1:80",
		"[::1]:80": "[::1]:80", "::1": "[::1]", "a b": "", "": "", "host:0": "", "host:http": "", "https://host": "",
	} {
		got, err := network.ParseHost(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestParsePrefixes(t *testing.T) {
	t.Parallel()
	got, err := network.ParsePrefixes([]string{"10.1.2.3/8", "192.0.2.7", "::1", "::ffff:192.0.2.8"})
	if err != nil || fmt.Sprint(got) != "[10.0.0.0/8 192.0.2.7/32 ::1/128 192.0.2.8/32]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "host", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if _, err := network.ParsePrefixes([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
