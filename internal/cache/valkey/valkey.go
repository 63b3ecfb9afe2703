// Package valkey keeps cached replies in a Valkey or Redis server that several
// processes share. What it keeps is sealed: the server learns sizes, and which
// account has how many.
package valkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	client "github.com/valkey-io/valkey-go"

	"github.com/outcrop/outcrop/internal/cache"
)

// Defaults of Config.
const (
	DefaultPrefix  = "outcrop"
	DefaultTimeout = 250 * time.Millisecond
)

// maxValue is the largest value that is kept, in bytes: a larger one would hold up
// the others on the same connection.
const maxValue = 4 << 20

// pause is how long a server is left alone that did not answer: no call shall wait
// for a cache that is gone.
const pause = time.Second

// Config of a Store.
type Config struct {
	Client  client.Client // required; closed by its owner
	Prefix  string        // of all keys; "" means DefaultPrefix
	Timeout time.Duration // of one question; 0 means DefaultTimeout
}

// Store implements cache.Store. How much it keeps is the server's business: its
// maxmemory-policy should be one that evicts.
type Store struct {
	cfg  Config
	back atomic.Int64 // unix nanoseconds from which the server is asked again
}

var _ cache.Store = (*Store)(nil)

// New returns a Store. It asks the server nothing.
func New(c Config) *Store {
	c.Prefix, c.Timeout = cmp.Or(c.Prefix, DefaultPrefix), cmp.Or(c.Timeout, DefaultTimeout)
	return &Store{cfg: c}
}

// errAway says that the server did not answer a moment ago.
var errAway = errors.New("the server of the caches does not answer")

// Get implements cache.Store.
func (s *Store) Get(ctx context.Context, k cache.Key) ([]byte, bool, error) {
	if s.away() {
		return nil, false, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	v, err := s.cfg.Client.Do(ctx, s.cfg.Client.B().Get().Key(s.key(k)).Build()).AsBytes()
	if client.IsValkeyNil(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.failed("get", err)
	}
	return v, true, nil
}

// Put implements cache.Store. Values over 4 MiB are not kept.
func (s *Store) Put(ctx context.Context, k cache.Key, value []byte, ttl time.Duration) error {
	if len(value) > maxValue {
		return nil
	}
	if s.away() {
		return errAway
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	cmd := s.cfg.Client.B().Set().Key(s.key(k)).Value(client.BinaryString(value)).Px(max(ttl, time.Millisecond)).Build()
	if err := s.cfg.Client.Do(ctx, cmd).Error(); err != nil {
		return s.failed("put", err)
	}
	return nil
}

func (s *Store) key(k cache.Key) string { return s.cfg.Prefix + ":cache:" + k.String() }

func (s *Store) away() bool { return time.Now().UnixNano() < s.back.Load() }

// failed notes that the server did not answer. What it answered itself, such as that
// it has no memory left, holds up nobody.
func (s *Store) failed(what string, err error) error {
	if _, answered := client.IsValkeyErr(err); !answered {
		s.back.Store(time.Now().Add(pause).UnixNano())
	}
	return fmt.Errorf("%s: ask the server of the caches: %w", what, err)
}
