package cache

import (
	"context"
	"encoding/hex"
	"time"
)

// Key names a value. Sum is opaque: it depends on the account too, and on a secret,
// so that nobody can tell from it what was asked.
type Key struct {
	Account string // whose value it is; 12 digits
	Sum     [32]byte
}

// String is the account, a colon and the sum in hex.
func (k Key) String() string { return k.Account + ":" + hex.EncodeToString(k.Sum[:]) }

// Store keeps values for a while. Values are sealed bytes that need nothing beside
// them, so a store may be shared by several servers that have the same root key. It
// is safe for concurrent use. cachetest is the suite that each one passes.
type Store interface {
	// Get returns what Put kept under the key; ok is false when there is nothing, or
	// nothing any more. The caller does not change the value.
	Get(ctx context.Context, k Key) (value []byte, ok bool, err error)
	// Put keeps a value for ttl, which is above 0, in place of the one that was there.
	// It may forget any value at any time, and may keep none. The caller does not
	// change the value afterwards.
	Put(ctx context.Context, k Key, value []byte, ttl time.Duration) error
}
