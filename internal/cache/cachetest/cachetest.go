// Package cachetest tests implementations of cache.Store: one suite for all.
package cachetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
)

// Account owns the values of the suite, Other is another account.
const (
	Account = "111122223333"
	Other   = "444455556666"
)

// Store is a store under test.
type Store struct {
	cache.Store
	// Pass lets at least d go by, for the store and nobody else; nil when the store
	// cannot be made older than it is.
	Pass func(d time.Duration)
}

// Run tests the stores that open makes. Each test opens its own, which must be
// empty and have room for a few MiB.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"nothing":             nothing,
		"what was put":        put,
		"replaced":            replaced,
		"accounts are apart":  apart,
		"any bytes":           anyBytes,
		"an end":              ends,
		"a new value, longer": longer,
		"many at once":        many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// KeyOf makes a key of an account from a number.
func KeyOf(account string, n int) cache.Key {
	k := cache.Key{Account: account}
	copy(k.Sum[:], fmt.Sprintf("%032d", n))
	return k
}

func mustPut(t *testing.T, s Store, k cache.Key, v []byte, ttl time.Duration) {
	t.Helper()
	if err := s.Put(t.Context(), k, v, ttl); err != nil {
		t.Fatalf("put %s: %v", k, err)
	}
}

func want(t *testing.T, s Store, k cache.Key, v []byte) {
	t.Helper()
	got, ok, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("get %s: %v", k, err)
	}
	if ok != (v != nil) || !bytes.Equal(got, v) {
		t.Errorf("get %s: %d bytes, %t; want %d bytes", k, len(got), ok, len(v))
	}
}

func nothing(t *testing.T, s Store) { want(t, s, KeyOf(Account, 1), nil) }

func put(t *testing.T, s Store) {
	for i := range 3 {
		mustPut(t, s, KeyOf(Account, i), []byte{byte(i), 1}, time.Minute)
	}
	for i := range 3 {
		want(t, s, KeyOf(Account, i), []byte{byte(i), 1})
	}
	want(t, s, KeyOf(Account, 3), nil)
}

func replaced(t *testing.T, s Store) {
	mustPut(t, s, KeyOf(Account, 1), []byte("a long first value"), time.Minute)
	mustPut(t, s, KeyOf(Account, 1), []byte("second"), time.Minute)
	want(t, s, KeyOf(Account, 1), []byte("second"))
}

func apart(t *testing.T, s Store) {
	mustPut(t, s, KeyOf(Account, 1), []byte("mine"), time.Minute)
	want(t, s, KeyOf(Other, 1), nil)
	mustPut(t, s, KeyOf(Other, 1), []byte("yours"), time.Minute)
	want(t, s, KeyOf(Account, 1), []byte("mine"))
	want(t, s, KeyOf(Other, 1), []byte("yours"))
}

func anyBytes(t *testing.T, s Store) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	k := cache.Key{Account: Account}
	copy(k.Sum[:], all[128:])
	for i, v := range [][]byte{all, large, []byte("\r\n"), {0}} {
		k.Sum[31] = byte(i)
		mustPut(t, s, k, v, time.Minute)
		want(t, s, k, v)
	}
}

func ends(t *testing.T, s Store) {
	if s.Pass == nil {
		return
	}
	mustPut(t, s, KeyOf(Account, 1), []byte("short"), 2*time.Second)
	mustPut(t, s, KeyOf(Account, 2), []byte("long"), time.Hour)
	want(t, s, KeyOf(Account, 1), []byte("short"))
	s.Pass(3 * time.Second)
	want(t, s, KeyOf(Account, 1), nil)
	want(t, s, KeyOf(Account, 2), []byte("long"))
}

func longer(t *testing.T, s Store) {
	if s.Pass == nil {
		return
	}
	mustPut(t, s, KeyOf(Account, 1), []byte("short"), 2*time.Second)
	mustPut(t, s, KeyOf(Account, 1), []byte("long"), time.Hour)
	s.Pass(3 * time.Second)
	want(t, s, KeyOf(Account, 1), []byte("long"))
}

// many writes and reads the same few keys from several goroutines: what is read was
// written, whole.
func many(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				k := KeyOf(Account, i%5)
				if err := s.Put(t.Context(), k, bytes.Repeat([]byte{byte(g)}, 1000+i), time.Minute); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				v, ok, err := s.Get(t.Context(), k)
				if err != nil || !ok || len(v) < 1000 || len(bytes.Trim(v, string(v[:1]))) != 0 {
					t.Errorf("get: %d bytes, %t, %v", len(v), ok, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
