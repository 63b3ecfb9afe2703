package network_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/network"
)

// served is a guarded listener whose connections are answered with their source.
type served struct {
	net.Listener
	done chan struct{} // one for each connection that ended
}

// echo serves a listener: it reads a line, answers with the connection's source
// and closes.
func echo(t *testing.T, l net.Listener, r network.Rules) served {
	t.Helper()
	s := served{network.Guard(l, r), make(chan struct{}, 1000)}
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				line := make([]byte, 5)
				if _, err := io.ReadFull(c, line); err == nil {
					src := c.(*network.Conn).Source()
					_, _ = io.WriteString(c, src.IP.String()+" "+src.VPCE+" "+strconv.FormatBool(src.Loopback)+" "+strconv.FormatBool(src.TLS))
				}
				_ = c.Close()
				s.done <- struct{}{}
			}()
		}
	}()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func tcp(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask sends bytes and returns the answer; "" when the connection is cut.
func ask(t *testing.T, l net.Listener, send ...[]byte) string {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range send {
		if _, err := c.Write(b); err != nil {
			return ""
		}
	}
	b, _ := io.ReadAll(c) // a reset is a cut
	return string(b)
}

func proxyHeader(src string) []byte {
	a := netip.MustParseAddrPort(src)
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	b = append(append(b, a.Addr().AsSlice()...), 127, 0, 0, 1)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, a.Port()), 443)
}

func TestGuard(t *testing.T) {
	t.Parallel()
	hello := []byte("hello")
	for name, c := range map[string]struct {
		rules network.Rules
		send  [][]byte
		want  string
	}{
		"open":                  {network.Rules{}, [][]byte{hello}, "127.0.0.1  true false"},
		"allowed":               {network.Rules{Allow: nets(t, "127.0.0.0/8"), VPCE: "vpce-1"}, [][]byte{hello}, "127.0.0.1 vpce-1 true false"},
		"not allowed":           {network.Rules{Allow: nets(t, "10.0.0.0/8")}, [][]byte{hello}, ""},
		"a proxy is allowed":    {network.Rules{Allow: nets(t, "10.0.0.0/8"), Proxies: nets(t, "127.0.0.1")}, [][]byte{hello}, "127.0.0.1  true false"},
		"header":                {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1")}, [][]byte{proxyHeader("198.51.100.7:1"), hello}, "198.51.100.7  false false"},
		"header, in pieces":     {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1")}, [][]byte{proxyHeader("198.51.100.7:1")[:9], proxyHeader("198.51.100.7:1")[9:], hello}, "198.51.100.7  false false"},
		"header from loopback":  {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1")}, [][]byte{proxyHeader("127.0.0.1:1"), hello}, "127.0.0.1  false false"},
		"client allowed":        {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1"), Allow: nets(t, "198.51.100.7")}, [][]byte{proxyHeader("198.51.100.7:1"), hello}, "198.51.100.7  false false"},
		"client not allowed":    {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1"), Allow: nets(t, "198.51.100.8")}, [][]byte{proxyHeader("198.51.100.7:1"), hello}, ""},
		"no header":             {network.Rules{ProxyProtocol: true, Proxies: nets(t, "127.0.0.1")}, [][]byte{bytes.Repeat(hello, 5)}, ""},
		"header from a client":  {network.Rules{ProxyProtocol: true, Proxies: nets(t, "10.0.0.1")}, [][]byte{proxyHeader("198.51.100.7:1"), hello}, ""},
		"header is not spoken":  {network.Rules{Proxies: nets(t, "127.0.0.1")}, [][]byte{proxyHeader("198.51.100.7:1")}, "127.0.0.1  true false"},
		"allowed, yet no proxy": {network.Rules{ProxyProtocol: true, Allow: nets(t, "127.0.0.1"), Proxies: nets(t, "10.0.0.1")}, [][]byte{proxyHeader("198.51.100.7:1"), hello}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, echo(t, tcp(t), c.rules), c.send...); got != c.want {
				t.Errorf("answer %q, want %q", got, c.want)
			}
		})
	}
}

// TestRecords: as many records as connections, accepted and refused, with the
// bytes that passed.
func TestRecords(t *testing.T) {
	t.Parallel()
	const each = 60
	dir := t.TempDir()
	log := network.NewFlowLog(network.FlowConfig{Dir: dir, Account: account})
	open := echo(t, tcp(t), network.Rules{Name: "open", Flows: log})
	shut := echo(t, tcp(t), network.Rules{Name: "shut", Flows: log, Allow: nets(t, "10.0.0.0/8")})
	balanced := echo(t, tcp(t), network.Rules{Name: "balanced", Flows: log, ProxyProtocol: true, Proxies: nets(t, "127.0.0.1"), Allow: nets(t, "198.51.100.7")})
	answers := 0
	for range each {
		answers += len(ask(t, open, []byte("hello")))
		if got := ask(t, shut, []byte("hello")); got != "" {
			t.Fatalf("a refused client gets %q", got)
		}
		answers += len(ask(t, balanced, proxyHeader("198.51.100.7:4711"), []byte("hello")))
		ask(t, balanced, proxyHeader("198.51.100.8:4711"), []byte("hello"))
	}
	for range each {
		<-open.done
		<-balanced.done
		<-balanced.done
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	count, sum := map[string]int{}, 0
	for _, f := range flows(t, dir) {
		count[f[fInterface]+" "+f[fSrc]+" "+f[fAction]]++
		n, err := strconv.Atoi(f[fBytes])
		if err != nil || f[fProtocol] != "6" || f[fDst] != "127.0.0.1" || f[fStatus] != "OK" {
			t.Fatalf("record %v", f)
		}
		if f[fInterface] == "shut" && (n != 0 || f[fPackets] != "0") {
			t.Errorf("%d bytes of a refused connection were read", n)
		}
		sum += n
	}
	want := map[string]int{"open 127.0.0.1 ACCEPT": each, "shut 127.0.0.1 REJECT": each, "balanced 198.51.100.7 ACCEPT": each, "balanced 198.51.100.8 REJECT": each}
	for k, n := range want {
		if count[k] != n {
			t.Errorf("%d records of %q, want %d", count[k], k, n)
		}
	}
	if len(count) != len(want) || log.Lost() != 0 {
		t.Errorf("records %v, %d lost", count, log.Lost())
	}
	if in := each * (5 + (28 + 5) + 28); sum != answers+in {
		t.Errorf("%d bytes are recorded, %d passed", sum, answers+in)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // no file modes there
	}
	dir, err := os.MkdirTemp("", "oc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := network.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := ask(t, echo(t, l, network.Rules{Name: "local", Allow: nets(t, "10.0.0.0/8")}), []byte("hello")); got != "invalid IP  true false" {
		t.Errorf("answer %q", got)
	}
	if _, err := network.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a socket in use: %v", err)
	}
	// A dead server leaves its file.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := network.ListenUnix(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := network.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file of somebody: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
}
