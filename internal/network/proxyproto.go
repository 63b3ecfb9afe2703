package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// The PROXY protocol, version 2, is what a load balancer sends before the first
// byte of a connection that it passes on: who the client is.
// Source: "The PROXY protocol, Versions 1 & 2" (haproxy, 2020/03/05), section 2.2;
// type 0xEA: AWS, "Edit target group attributes for your Network Load Balancer".
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16   // bytes of signature, version, family and length
	maxProxy       = 2048 // bytes that may follow; the protocol's smallest buffer is 536

	tlvCRC32C  = 0x03
	tlvSSL     = 0x20
	tlvAWS     = 0xEA
	awsVPCE    = 0x01
	sslClient  = 0x01 // the client is connected to the proxy over TLS
	maxVPCE    = 64   // bytes of an endpoint id
	tlvHead    = 3    // type and length
	crcBytes   = 4
	sslMinimum = 5 // client flags and verify result
)

// errProxy is a header that is none, or is broken.
var errProxy = errors.New("not a PROXY protocol version 2 header")

// proxied is what a header tells.
type proxied struct {
	local bool           // the proxy speaks for itself, as in a health check
	src   netip.AddrPort // the client
	dst   netip.AddrPort // what it connected to
	tls   bool           // the client reached the proxy over TLS
	vpce  string         // the endpoint of AWS PrivateLink that the client came through
}

// readProxy reads exactly one header. It never reads past it.
//
// Errors wrap errProxy, or are the reader's.
func readProxy(r io.Reader) (proxied, error) {
	var fixed [proxyFixed]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return proxied{}, fmt.Errorf("read a PROXY header: %w", err)
	}
	if string(fixed[:12]) != proxySignature {
		return proxied{}, errProxy
	}
	n := int(binary.BigEndian.Uint16(fixed[14:]))
	if n > maxProxy {
		return proxied{}, fmt.Errorf("%w: it has %d bytes, %d are allowed", errProxy, n, maxProxy)
	}
	whole := make([]byte, proxyFixed+n)
	copy(whole, fixed[:])
	if _, err := io.ReadFull(r, whole[proxyFixed:]); err != nil {
		return proxied{}, fmt.Errorf("read a PROXY header: %w", err)
	}
	return parseProxy(whole)
}

// parseProxy reads a whole header.
func parseProxy(b []byte) (proxied, error) {
	var p proxied
	body := b[proxyFixed:]
	switch b[12] {
	case 0x20:
		p.local = true
	case 0x21:
	default:
		return p, fmt.Errorf("%w: version and command %#02x", errProxy, b[12])
	}
	var addresses int
	switch b[13] {
	case 0x00: // unknown: the connection's own addresses hold
		p.local = true
	case 0x11:
		addresses = 12
	case 0x21:
		addresses = 36
	default:
		if !p.local { // its addresses would be ignored anyway
			return p, fmt.Errorf("%w: only TCP is served, not family %#02x", errProxy, b[13])
		}
		return p, nil
	}
	if len(body) < addresses {
		return p, fmt.Errorf("%w: its addresses are cut", errProxy)
	}
	if addresses > 0 {
		half := (addresses - 4) / 2
		src, _ := netip.AddrFromSlice(body[:half])
		dst, _ := netip.AddrFromSlice(body[half : 2*half])
		p.src = netip.AddrPortFrom(plain(src), binary.BigEndian.Uint16(body[2*half:]))
		p.dst = netip.AddrPortFrom(plain(dst), binary.BigEndian.Uint16(body[2*half+2:]))
	}
	if p.local {
		p.src, p.dst = netip.AddrPort{}, netip.AddrPort{}
	}
	return p, p.extras(b, proxyFixed+addresses)
}

// extras reads the type-length-value fields that begin at offset at of the
// header b. Unknown types are passed over.
func (p *proxied) extras(b []byte, at int) error {
	for at < len(b) {
		if len(b)-at < tlvHead {
			return fmt.Errorf("%w: a field is cut", errProxy)
		}
		kind, n := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		at += tlvHead
		if len(b)-at < n {
			return fmt.Errorf("%w: field %#02x is cut", errProxy, kind)
		}
		value := b[at : at+n]
		switch kind {
		case tlvCRC32C:
			if n != crcBytes || !checksum(b, at) {
				return fmt.Errorf("%w: wrong checksum", errProxy)
			}
		case tlvSSL:
			if n < sslMinimum {
				return fmt.Errorf("%w: field %#02x is cut", errProxy, kind)
			}
			p.tls = value[0]&sslClient != 0
		case tlvAWS:
			if n > 1 && n <= maxVPCE && value[0] == awsVPCE && ValidID(string(value[1:]), "vpce-") {
				p.vpce = string(value[1:])
			}
		}
		at += n
	}
	return nil
}

// checksum reports whether the CRC32c at offset at is that of the header with
// the checksum taken as zero.
func checksum(b []byte, at int) bool {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:at])
	sum = crc32.Update(sum, table, make([]byte, crcBytes))
	sum = crc32.Update(sum, table, b[at+crcBytes:])
	return bytes.Equal(binary.BigEndian.AppendUint32(nil, sum), b[at:at+crcBytes])
}

// ValidID reports whether s is prefix and then 1 to 32 lower-case letters or digits,
// which is the form of AWS's ids, such as "vpce-0a1b2c3d4e5f67890", and leaves room
// for names.
func ValidID(s, prefix string) bool {
	if len(s) <= len(prefix) || len(s) > len(prefix)+32 || s[:len(prefix)] != prefix {
		return false
	}
	for _, c := range []byte(s[len(prefix):]) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
