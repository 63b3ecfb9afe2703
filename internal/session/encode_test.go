package session

import (
	"bytes"
	"testing"
)

// FuzzDecode: what stands in a token is ours, but nothing in it may crash a server
// that another version has made a token for.
func FuzzDecode(f *testing.F) {
	var c packer
	f.Add([]byte{})
	f.Add([]byte{60, 1, 2})
	f.Fuzz(func(t *testing.T, plain []byte) {
		p, sec, err := decode(plain)
		if err == nil && (p.Session == nil || len(sec) != secretBytes) {
			t.Fatal("half a session")
		}
		packed, err := c.pack(plain)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := unpack(packed); err != nil && len(plain) <= maxUnpacked || err == nil && !bytes.Equal(back, plain) {
			t.Fatalf("packing changes %q: %v", plain, err)
		}
	})
}

// A part that unpacks to far more than it is does not fill the memory.
func TestUnpackIsBounded(t *testing.T) {
	t.Parallel()
	var c packer
	bomb, err := c.pack(make([]byte, maxUnpacked+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unpack(bomb); err == nil {
		t.Error("unpacked")
	}
	fits, err := c.pack(make([]byte, maxUnpacked))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := unpack(fits); err != nil || len(out) != maxUnpacked {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
