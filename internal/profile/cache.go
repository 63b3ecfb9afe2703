package profile

import (
	"context"
	"sync"
)

// cacheSize is how many profiles a Cache remembers at most.
const cacheSize = 10_000

// Cache is a Store that remembers the profiles that it was asked for by id, so that
// a call through one reads no database. Profiles never change, and only the server
// deletes any. It is safe for concurrent use.
type Cache struct {
	Store

	mu      sync.RWMutex
	found   map[cacheKey]Profile
	deletes int // how many have begun or ended: what was read meanwhile may be gone
}

type cacheKey struct{ account, region, id string }

// NewCache returns a cache over s.
func NewCache(s Store) *Cache {
	return &Cache{Store: s, found: map[cacheKey]Profile{}}
}

// GetProfile implements Store.
func (c *Cache) GetProfile(ctx context.Context, account, region, id string) (Profile, error) {
	k := cacheKey{account, region, id}
	c.mu.RLock()
	p, ok := c.found[k]
	deletes := c.deletes
	c.mu.RUnlock()
	if ok {
		return p, nil
	}
	p, err := c.Store.GetProfile(ctx, account, region, id)
	if err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deletes == deletes {
		if len(c.found) >= cacheSize {
			clear(c.found)
		}
		c.found[k] = p
	}
	return p, nil
}

// DeleteProfile implements Store.
func (c *Cache) DeleteProfile(ctx context.Context, account, region, id string) error {
	c.forget(cacheKey{account, region, id})
	defer c.forget(cacheKey{account, region, id})
	return c.Store.DeleteProfile(ctx, account, region, id)
}

func (c *Cache) forget(k cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.found, k)
	c.deletes++
}
