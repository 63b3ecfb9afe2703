package session_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// FuzzOpen: a token opens when it is exactly the one that was issued for the key,
// and whatever else is sent gets the one error.
func FuzzOpen(f *testing.F) {
	s, _ := newService(f)
	c := issue(f, s, role())
	f.Add(c.AccessKeyID, "", uint16(0), byte(0))
	f.Add(c.AccessKeyID, c.Token, uint16(3), byte(1))
	f.Add("ASIAQNZGKIQY56JQ7WML", "AQ", uint16(0), byte(0xff))
	f.Fuzz(func(t *testing.T, id, token string, at uint16, flip byte) {
		if _, _, err := s.Open(id, token); err == nil && (id != c.AccessKeyID || token != c.Token) {
			t.Fatalf("%q opens with %q", token, id)
		} else if err != nil {
			refused(t, err, apierr.CodeUnrecognizedClient)
		}
		b := []byte(c.Token)
		b[int(at)%len(b)] ^= flip
		_, _, err := s.Open(c.AccessKeyID, string(b))
		if (err == nil) != (flip == 0) {
			t.Fatalf("byte %d ^ %#x: %v", int(at)%len(b), flip, err)
		}
	})
}
