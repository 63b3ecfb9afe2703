package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"strings"
	"testing"
)

// header makes a PROXY header.
func header(command, family byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := append([]byte(proxySignature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	return append(b, all...)
}

func pair(src, dst string) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	b := append(s.Addr().AsSlice(), d.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.Port()), d.Port())
}

func field(kind byte, value ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value))), value...)
}

// summed fills the checksum that stands at the end of a header.
func summed(b []byte) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return binary.BigEndian.AppendUint32(b[:len(b)-4], sum)
}

func TestReadProxy(t *testing.T) {
	t.Parallel()
	v4, v6 := pair("198.51.100.7:4711", "192.0.2.1:443"), pair("[2001:db8::7]:4711", "[2001:db8::1]:443")
	vpce := append([]byte{awsVPCE}, "vpce-0a1b2c3d"...)
	for name, c := range map[string]struct {
		in     []byte
		src    string
		local  bool
		tls    bool
		vpce   string
		refuse string
	}{
		"IPv4":                 {in: header(0x21, 0x11, v4), src: "198.51.100.7:4711"},
		"IPv6":                 {in: header(0x21, 0x21, v6), src: "[2001:db8::7]:4711"},
		"IPv4 in IPv6":         {in: header(0x21, 0x21, pair("[::ffff:198.51.100.7]:1", "[::1]:2")), src: "198.51.100.7:1"},
		"endpoint of AWS":      {in: header(0x21, 0x11, v4, field(tlvAWS, vpce...)), src: "198.51.100.7:4711", vpce: "vpce-0a1b2c3d"},
		"endpoint, hostile":    {in: header(0x21, 0x11, v4, field(tlvAWS, append([]byte{awsVPCE}, "vpce-a\nb"...)...)), src: "198.51.100.7:4711"},
		"TLS to the proxy":     {in: header(0x21, 0x11, v4, field(tlvSSL, 1, 0, 0, 0, 0)), src: "198.51.100.7:4711", tls: true},
		"no TLS to the proxy":  {in: header(0x21, 0x11, v4, field(tlvSSL, 0, 0, 0, 0, 1)), src: "198.51.100.7:4711"},
		"unknown field":        {in: header(0x21, 0x11, v4, field(0x55, 1, 2, 3), field(0x04)), src: "198.51.100.7:4711"},
		"checksum":             {in: summed(header(0x21, 0x11, v4, field(tlvCRC32C, 0, 0, 0, 0))), src: "198.51.100.7:4711"},
		"of the proxy itself":  {in: header(0x20, 0x00), local: true},
		"local with addresses": {in: header(0x20, 0x11, v4), local: true},
		"unknown family":       {in: header(0x21, 0x00), local: true},
		"local, odd family":    {in: header(0x20, 0x31, make([]byte, 216)), local: true},
		"wrong checksum":       {in: header(0x21, 0x11, v4, field(tlvCRC32C, 1, 2, 3, 4)), refuse: "checksum"},
		"short checksum":       {in: header(0x21, 0x11, v4, field(tlvCRC32C, 1)), refuse: "checksum"},
		"version 1":            {in: []byte("PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"), refuse: "not a PROXY"},
		"no header":            {in: []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), refuse: "not a PROXY"},
		"version 3":            {in: header(0x31, 0x11, v4), refuse: "version"},
		"command 2":            {in: header(0x22, 0x11, v4), refuse: "command"},
		"UDP":                  {in: header(0x21, 0x12, v4), refuse: "family"},
		"unix":                 {in: header(0x21, 0x31, make([]byte, 216)), refuse: "family"},
		"addresses are cut":    {in: header(0x21, 0x11, v4[:11]), refuse: "cut"},
		"IPv6 as IPv4's size":  {in: header(0x21, 0x21, v4), refuse: "cut"},
		"field's head is cut":  {in: header(0x21, 0x11, v4, []byte{1, 0}), refuse: "cut"},
		"field is cut":         {in: header(0x21, 0x11, v4, []byte{1, 0, 9, 1}), refuse: "cut"},
		"TLS field is cut":     {in: header(0x21, 0x11, v4, field(tlvSSL, 1)), refuse: "cut"},
		"too long":             {in: header(0x21, 0x11, make([]byte, maxProxy+1)), refuse: "bytes"},
		"longer than told":     {in: header(0x21, 0x11, v4)[:20], refuse: "EOF"},
		"nothing":              {in: nil, refuse: "EOF"},
	} {
		after := "GET / HTTP/1.1\r\n"
		in := io.MultiReader(bytes.NewReader(c.in), strings.NewReader(after))
		if c.refuse == "EOF" {
			in = bytes.NewReader(c.in)
		}
		p, err := readProxy(in)
		if c.refuse != "" {
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%s: %+v, %v; want an error with %q", name, p, err, c.refuse)
			}
			continue
		}
		src := ""
		if p.src.IsValid() {
			src = p.src.String()
		}
		if err != nil || src != c.src || p.local != c.local || p.tls != c.tls || p.vpce != c.vpce {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if rest, _ := io.ReadAll(in); string(rest) != after {
			t.Errorf("%s: %q is left, want the request", name, rest)
		}
	}
}

// FuzzProxy: any bytes give an error or a valid client, and never more is read
// than the header says.
func FuzzProxy(f *testing.F) {
	v4 := pair("198.51.100.7:4711", "192.0.2.1:443")
	f.Add(header(0x21, 0x11, v4))
	f.Add(header(0x21, 0x21, pair("[2001:db8::7]:1", "[::1]:2"), field(tlvSSL, 1, 0, 0, 0, 0)))
	f.Add(summed(header(0x21, 0x11, v4, field(tlvCRC32C, 0, 0, 0, 0))))
	f.Add(header(0x20, 0x00))
	f.Add([]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		p, err := readProxy(r)
		if err != nil {
			if !errors.Is(err, errProxy) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v is of no known kind", err)
			}
			return
		}
		if p.local == p.src.IsValid() || p.src.Addr().Is4In6() || p.src.Addr().Zone() != "" {
			t.Fatalf("%+v", p)
		}
		if p.vpce != "" && !ValidID(p.vpce, "vpce-") {
			t.Fatalf("endpoint %q", p.vpce)
		}
		if read := len(b) - r.Len(); read != proxyFixed+int(binary.BigEndian.Uint16(b[14:])) {
			t.Fatalf("%d bytes were read of a header of %d", read, proxyFixed+int(binary.BigEndian.Uint16(b[14:])))
		}
	})
}
