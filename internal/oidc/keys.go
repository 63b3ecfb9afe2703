package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// source is where the keys of an issuer come from, and those that are known.
type source struct {
	issuer Issuer
	gate   chan struct{} // one fetch at a time

	mu      sync.RWMutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys came; zero: never, or from a file
	tried   time.Time // when they were last asked for
}

func (s *source) known() (keys []jose.JSONWebKey, fetched, tried time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys, s.fetched, s.tried
}

// keysFor returns the keys of an issuer that may have signed a token with a key id
// and an algorithm, at least one.
//
// Errors: errNoKey; *apierr.Error IDPCommunicationError when nothing is known and
// the issuer does not answer.
func (v *Verifier) keysFor(ctx context.Context, s *source, kid string, alg jose.SignatureAlgorithm) ([]jose.JSONWebKey, error) {
	keys, fetched, _ := s.known()
	found := match(keys, kid, alg)
	if s.issuer.File != "" {
		if found == nil {
			return nil, errNoKey
		}
		return found, nil
	}
	if found != nil && v.cfg.Now().Sub(fetched) < v.cfg.TTL {
		return found, nil
	}
	err := v.refresh(ctx, s)
	keys, fetched, _ = s.known()
	if fetched.IsZero() || v.cfg.Now().Sub(fetched) >= staleFor*v.cfg.TTL {
		return nil, unreachable(err)
	}
	if found = match(keys, kid, alg); found == nil {
		return nil, errNoKey
	}
	return found, nil
}

// refresh fetches the keys of an issuer, unless that was tried within the floor.
func (v *Verifier) refresh(ctx context.Context, s *source) error {
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now := v.cfg.Now()
	if _, _, tried := s.known(); !tried.IsZero() && now.Sub(tried) < v.cfg.Floor {
		return errors.New("oidc: asked for the keys a moment ago")
	}
	// One caller's patience must not decide for those who wait behind it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	text, err := v.cfg.Fetch(ctx, s.issuer.URL, MaxKeys)
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = readKeys(text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = now
	if err != nil {
		v.cfg.Log.Warn("the keys of an identity provider could not be fetched", "issuer", s.issuer.Issuer, "error", err)
		return fmt.Errorf("fetch the keys of %s: %w", s.issuer.Issuer, err)
	}
	s.keys, s.fetched = keys, now
	return nil
}

// readKeys reads a JSON Web Key Set. Keys of sorts that no token may be signed
// with are left out, so that one of them does not spoil the others.
//
// Errors: no JSON, or no usable key.
func readKeys(text []byte) ([]jose.JSONWebKey, error) {
	if len(text) > MaxKeys {
		return nil, fmt.Errorf("a key set of more than %d bytes", MaxKeys)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" || !strong(k.Key) {
			continue
		}
		k.Certificates = nil
		keys = append(keys, k)
	}
	if keys == nil {
		return nil, errors.New("a key set without a public key for signatures")
	}
	return keys, nil
}

// strong refuses RSA keys that are too short to be believed, or so long that
// checking one signature would be work for an attacker to ask for.
func strong(key any) bool {
	if k, ok := key.(*rsa.PublicKey); ok {
		return k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192 && k.E >= 3
	}
	return true
}

// match returns the keys with an id that fit an algorithm; those without an id
// when the token names none.
func match(keys []jose.JSONWebKey, kid string, alg jose.SignatureAlgorithm) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, k := range keys {
		if (kid == "" || k.KeyID == kid) && (k.Algorithm == "" || k.Algorithm == string(alg)) && fits(k.Key, alg) {
			out = append(out, k)
		}
	}
	return out
}

// fits tells whether a key is of the sort that an algorithm signs with.
func fits(key any, alg jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return alg == jose.RS256 || alg == jose.RS384 || alg == jose.RS512 || alg == jose.PS256
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && k.Curve.Params().BitSize == 256 || alg == jose.ES384 && k.Curve.Params().BitSize == 384
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	default:
		return false
	}
}
