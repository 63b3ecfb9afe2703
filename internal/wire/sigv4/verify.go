package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/outcrop/outcrop/internal/secret"
)

// Verify checks the payload hash and the signature against the secret of
// s.AccessKeyID and the body as received. keys may be nil: then the signing key
// is derived anew. The comparison takes the same time wherever two signatures
// differ.
//
// Errors: InvalidSignatureException (403). An empty secret never verifies.
func (s *Signed) Verify(keys *KeyCache, sec secret.Value, body []byte) error {
	return s.VerifySum(keys, sec, sha256.Sum256(body))
}

// VerifySum is Verify for a caller that hashed the body while reading it.
func (s *Signed) VerifySum(keys *KeyCache, sec secret.Value, body [sha256.Size]byte) error {
	if sec.IsZero() {
		return Mismatch()
	}
	if s.hasSum && subtle.ConstantTimeCompare(s.declared[:], body[:]) != 1 {
		return invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	if s.events {
		return invalid("x-amz-content-sha256: a payload signed in chunks (STREAMING-...) is not accepted by this operation; sign the SHA-256 of the body.")
	}
	var buf [2 * sha256.Size]byte
	hex.Encode(buf[:], body[:])
	_, err := s.verify(keys, sec, buf[:])
	return err
}

// verify checks the signature over the canonical request that ends in payload,
// and returns the signing key.
func (s *Signed) verify(keys *KeyCache, sec secret.Value, payload []byte) ([32]byte, error) {
	e := keys.get(s, sec)
	cached := e != nil
	if !cached {
		e = newEntry(sec, derive(sec, s.scope))
	}
	ok := s.matches(e, s.canon, payload)
	if !ok && s.alt != nil {
		ok = s.matches(e, s.alt, payload)
	}
	if !ok {
		return e.key, Mismatch()
	}
	if !cached {
		keys.put(s, e)
	}
	return e.key, nil
}

// matches compares the received signature with that of one canonical form.
func (s *Signed) matches(e *cacheEntry, canon, payload []byte) bool {
	sum := sha256.Sum256(append(canon, payload...)) // mostly fits in canon's spare room
	h := e.macs.Get().(hash.Hash)
	defer e.macs.Put(h)
	want := sign(h, s.stamp, s.scope, sum)
	return hmac.Equal(want[:], s.signature[:])
}

// sign is the signature of a canonical request with hash sum, by the HMAC of the
// signing key.
func sign(h hash.Hash, stamp, scope string, sum [sha256.Size]byte) (out [32]byte) {
	var buf [256]byte
	b := append(buf[:0], algorithm+"\n"...)
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	h.Reset()
	h.Write(hex.AppendEncode(b, sum[:]))
	h.Sum(out[:0])
	return out
}

// derive makes the signing key of a scope "yyyymmdd/region/service/aws4_request".
func derive(sec secret.Value, scope string) [32]byte {
	reveal := sec.Reveal()
	key := append(append(make([]byte, 0, 4+len(reveal)), "AWS4"...), reveal...)
	var out [32]byte
	for start, i := 0, 0; i <= len(scope); i++ {
		if i == len(scope) || scope[i] == '/' {
			out = mac(key, []byte(scope[start:i]))
			key, start = out[:], i+1
		}
	}
	return out
}

func mac(key, data []byte) (out [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	h.Sum(out[:0])
	return out
}

// KeyCache keeps signing keys by access key id, day, region and service. Only a
// key that has verified a request gets in, so strangers cannot push others out.
// A nil *KeyCache keeps nothing. It is safe for concurrent use.
type KeyCache struct {
	size int

	mu sync.RWMutex
	m  map[cacheKey]*cacheEntry
}

type cacheKey struct{ id, scope string }

type cacheEntry struct {
	secret []byte // the secret that key was derived from
	key    [32]byte
	macs   sync.Pool // of hash.Hash: HMACs of key, which cost more to make than to use
}

func newEntry(sec secret.Value, key [32]byte) *cacheEntry {
	e := &cacheEntry{secret: sec.Reveal(), key: key}
	e.macs.New = func() any { return hmac.New(sha256.New, e.key[:]) }
	return e
}

// NewKeyCache returns a cache of at most size signing keys; 0 means 1024. A full
// cache is emptied before the next key goes in.
func NewKeyCache(size int) *KeyCache {
	if size <= 0 {
		size = 1024
	}
	return &KeyCache{size: size, m: make(map[cacheKey]*cacheEntry)}
}

// get returns nil for a key that is not there.
func (c *KeyCache) get(s *Signed, sec secret.Value) *cacheEntry {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	e := c.m[cacheKey{s.AccessKeyID, s.scope}]
	c.mu.RUnlock()
	if e == nil || subtle.ConstantTimeCompare(e.secret, sec.Reveal()) != 1 {
		return nil
	}
	return e
}

func (c *KeyCache) put(s *Signed, e *cacheEntry) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= c.size {
		clear(c.m)
	}
	c.m[cacheKey{s.AccessKeyID, s.scope}] = e
}
