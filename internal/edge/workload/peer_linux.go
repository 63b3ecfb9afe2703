package workload

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxSockets bounds how many sockets are looked through.
const maxSockets = 1 << 20

// peerUID returns the user that the other end of a loopback connection belongs to,
// as the kernel's tables of sockets tell.
func peerUID(peer, here netip.AddrPort) (uint32, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table) // #nosec G304 -- a table of the kernel
		if err != nil {
			if errors.Is(err, os.ErrNotExist) { // no IPv6
				continue
			}
			return 0, fmt.Errorf("user of a connection: %w", err)
		}
		uid, ok, err := findUID(f, peer, here)
		_ = f.Close() // read only
		if err != nil || ok {
			return uid, err
		}
	}
	return 0, errors.New("user of a connection: the system does not know it")
}

// findUID looks a connection up in a table: the socket whose own end is local and
// whose other end is remote.
func findUID(r io.Reader, local, remote netip.AddrPort) (uid uint32, ok bool, err error) {
	s := bufio.NewScanner(r)
	for n := 0; s.Scan(); n++ {
		if n > maxSockets {
			return 0, false, errors.New("user of a connection: too many connections")
		}
		f := strings.Fields(s.Text())
		if len(f) < 8 || !same(f[1], local) || !same(f[2], remote) {
			continue
		}
		id, err := strconv.ParseUint(f[7], 10, 32)
		if err != nil {
			return 0, false, fmt.Errorf("user of a connection: %w", err)
		}
		return uint32(id), true, nil
	}
	return 0, false, s.Err()
}

// same compares an address of a table, "0100007F:1F90", with one of ours. A table
// has each group of 4 bytes in the machine's order.
func same(text string, want netip.AddrPort) bool {
	host, port, ok := strings.Cut(text, ":")
	if !ok {
		return false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil || uint16(p) != want.Port() {
		return false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	return ok && a.Unmap() == want.Addr().Unmap().WithZone("")
}
