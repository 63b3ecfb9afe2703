package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

const (
	tokenVersion = 1
	nonceSize    = 12
	tagSize      = 16
	// maxToken bounds what is looked at, in characters. A token with all that Issue
	// lets through stays well below.
	maxToken = 16 << 10
)

var errToken = errors.New("session: not a token of this installation")

// sealer turns sessions into tokens: base64 of
//
//	version (1 byte) | nonce (12) | AES-256-GCM of (length (4) | plain | padding)
//
// Each access key id has a key of its own, so a token opens under no other id, and
// no key ever sees more than a few nonces.
type sealer struct{ root [32]byte }

// aead is the cipher of one access key id.
func (s sealer) aead(id string) (cipher.AEAD, error) {
	m := hmac.New(sha256.New, s.root[:])
	m.Write([]byte(id))
	block, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// bound is the data that a token is tied to, besides what is in it.
func bound(id string) []byte { return append([]byte{tokenVersion, '|'}, id...) }

// seal makes a token of at least minimum characters.
func (s sealer) seal(id string, plain []byte, minimum int) string {
	a, err := s.aead(id)
	if err != nil {
		panic(err) // AES takes every key of 32 bytes
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(plain))) // #nosec G115 -- some KiB
	body = append(body, plain...)
	if short := (minimum*3+3)/4 - (1 + nonceSize + len(body) + tagSize); short > 0 {
		body = append(body, make([]byte, short)...)
	}
	out := make([]byte, 1+nonceSize, 1+nonceSize+len(body)+tagSize)
	out[0] = tokenVersion
	_, _ = rand.Read(out[1:]) // never fails
	return base64.RawURLEncoding.EncodeToString(a.Seal(out, out[1:], body, bound(id)))
}

// unseal undoes seal.
func (s sealer) unseal(id, token string) ([]byte, error) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // the decoder would skip them
		return nil, errToken
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1+nonceSize+4+tagSize || raw[0] != tokenVersion {
		return nil, errToken
	}
	a, err := s.aead(id)
	if err != nil {
		return nil, err
	}
	body, err := a.Open(nil, raw[1:1+nonceSize], raw[1+nonceSize:], bound(id))
	if err != nil {
		return nil, errToken
	}
	n := binary.BigEndian.Uint32(body)
	if uint64(n) > uint64(len(body)-4) {
		return nil, errToken
	}
	return body[4 : 4+n], nil
}
