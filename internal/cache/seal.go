package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// secrets are the keys of a cache.
type secrets struct {
	names  []byte      // for the sums of keys
	values cipher.AEAD // seals values
}

// newSecrets makes the keys from one secret.
func newSecrets(root [32]byte) (*secrets, error) {
	names, err := hkdf.Key(sha256.New, root[:], nil, "outcrop/cache/names/v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of caches: %w", err)
	}
	key, err := hkdf.Key(sha256.New, root[:], nil, "outcrop/cache/values/v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of caches: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of caches: %w", err)
	}
	values, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of caches: %w", err)
	}
	return &secrets{names, values}, nil
}

var errSeal = errors.New("cache: a value does not open under its key")

// seal encrypts a value: it opens under the key that it was made for, and no other.
func (s *secrets) seal(k Key, plain []byte) []byte {
	n := s.values.NonceSize()
	out := make([]byte, n, n+len(plain)+s.values.Overhead())
	_, _ = rand.Read(out) // never fails
	return s.values.Seal(out, out, plain, k.Sum[:])
}

// open undoes seal. Errors: errSeal.
func (s *secrets) open(k Key, sealed []byte) ([]byte, error) {
	n := s.values.NonceSize()
	if len(sealed) < n {
		return nil, errSeal
	}
	plain, err := s.values.Open(nil, sealed[:n], sealed[n:], k.Sum[:])
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}
