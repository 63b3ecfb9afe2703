package workload

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// The system knows whose our own connections are, by IPv4 and by IPv6.
func TestPeerUID(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		defer func() { _ = l.Close() }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		peer, here := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
		uid, err := peerUID(peer, here)
		if err != nil || int(uid) != os.Getuid() {
			t.Errorf("%s: user %d, %v; want %d", address, uid, err, os.Getuid())
		}
		if uid, err := peerUID(netip.AddrPortFrom(peer.Addr(), 1), here); err == nil {
			t.Errorf("a connection that does not exist is of user %d", uid)
		}
	}
}

func TestFindUID(t *testing.T) {
	t.Parallel()
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:21EF 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0100007F:9C41 0100007F:21EF 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0
   2: 0100007F:21EF 0100007F:9C41 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0
   3: 0100007F:9C42 0100007F:21EF 01 00000000:00000000 00:00000000 00000000  oops        0 4 1 0
   4: short
   5: 00000000000000000000000001000000:9C43 00000000000000000000000001000000:21EF 01 00000000:00000000 00:00000000 00000000  1002        0 5 1 0
`
	here := netip.MustParseAddrPort("127.0.0.1:8687")
	find := func(peer string, here netip.AddrPort) (uint32, bool, error) {
		return findUID(strings.NewReader(table), netip.MustParseAddrPort(peer), here)
	}
	if uid, ok, err := find("127.0.0.1:40001", here); uid != 1000 || !ok || err != nil {
		t.Errorf("user %d, %t, %v", uid, ok, err)
	}
	if uid, ok, err := find("[::1]:40003", netip.MustParseAddrPort("[::1]:8687")); uid != 1002 || !ok || err != nil {
		t.Errorf("by IPv6: user %d, %t, %v", uid, ok, err)
	}
	if _, _, err := find("127.0.0.1:40002", here); err == nil {
		t.Error("a user that is no number is taken")
	}
	if _, ok, err := find("127.0.0.1:40009", here); ok || err != nil {
		t.Errorf("found %t, %v", ok, err)
	}
}
