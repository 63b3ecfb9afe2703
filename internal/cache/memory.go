package cache

import (
	"context"
	"sync"
	"time"
)

// DefaultBytes is how much Memory keeps unless it is told otherwise.
const DefaultBytes = 64 << 20

// overhead is about what an entry takes beside its value.
const overhead = 256

// Memory keeps values in this process. It is bounded: when it is full, the account
// that has the most loses what it used least recently.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	all     *lru[[32]byte, []byte]
	evicted int64
}

// NewMemory returns an empty store of at most bytes; 0 means DefaultBytes. now is
// its clock; nil means time.Now.
func NewMemory(bytes int64, now func() time.Time) *Memory {
	if bytes == 0 {
		bytes = DefaultBytes
	}
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, all: newLRU[[32]byte, []byte](bytes, nil)}
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, k Key) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.all.get(k.Account, k.Sum, m.now())
	return v, ok, nil
}

// Put implements Store. A value that is larger than all of the room is not kept.
func (m *Memory) Put(_ context.Context, k Key, value []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.evicted += int64(m.all.put(k.Account, k.Sum, value, int64(len(value))+overhead, m.now().Add(ttl)))
	return nil
}

// Use is what a Memory holds.
type Use struct {
	Entries int
	Bytes   int64
	Evicted int64 // entries that went for others, so far
}

// Use tells what is held now, what has expired and was not looked for included.
func (m *Memory) Use() Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Use{Entries: m.all.count, Bytes: m.all.used, Evicted: m.evicted}
}
