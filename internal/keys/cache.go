package keys

import (
	"sync"
	"time"
)

const (
	// cacheTTL is how long a looked-up key is believed after it was read, or after the
	// store has told that no key changed. It bounds how long a key lives on after
	// another process disabled or deleted it.
	cacheTTL = time.Second
	// followEvery is how often Run asks whether another process changed a key.
	followEvery = cacheTTL / 4
	maxHits     = 4096 // known keys in the cache
	maxMisses   = 1024 // unknown ids; apart, so that strangers push no key out
)

// opened is a key with its secret unsealed.
type opened struct {
	key    Key
	secret []byte // SigV4: the secret; Bearer: SHA-256 of the token
}

type cached struct {
	opened
	until time.Time
}

// cache remembers look-ups for cacheTTL, counted from before the store was asked,
// and longer while the store tells that nothing changed. It is safe for concurrent
// use.
type cache struct {
	mu     sync.RWMutex
	hits   map[string]cached
	misses map[string]time.Time
	epoch  uint64 // grows when this process changes a key, and when another one did
	// checked is when the store last told that what stands here is true.
	checked  time.Time
	revision int64 // of the keys, at checked
}

// confirm takes the store's revision, asked for at a moment: what was read before a
// change is dropped, all else is good for cacheTTL from then on.
func (c *cache) confirm(at time.Time, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision != c.revision {
		c.epoch++
		clear(c.hits)
		clear(c.misses)
		c.revision = revision
	}
	c.checked = at
}

// get returns what is known of id: the key, or that there is none.
func (c *cache) get(id string, now time.Time) (o opened, found, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	confirmed := now.Before(c.checked.Add(cacheTTL))
	if h, ok := c.hits[id]; ok && (confirmed || now.Before(h.until)) {
		return h.opened, true, true
	}
	until, ok := c.misses[id]
	return opened{}, false, ok && (confirmed || now.Before(until))
}

// at returns the epoch that a look-up starts in.
func (c *cache) at() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.epoch
}

// put remembers a look-up that started in epoch at time start. What a change has
// overtaken is dropped.
func (c *cache) put(epoch uint64, start time.Time, id string, o opened, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if found {
		room(c.hits, maxHits, func(h cached) bool { return start.Before(h.until) })
		c.hits[id] = cached{o, start.Add(cacheTTL)}
		return
	}
	room(c.misses, maxMisses, start.Before)
	c.misses[id] = start.Add(cacheTTL)
}

// forget drops what is known of id, and look-ups that are under way.
func (c *cache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.hits, id)
	delete(c.misses, id)
}

// room makes place for one more entry: first the dead ones go, then all.
func room[V any](m map[string]V, most int, live func(V) bool) {
	if len(m) < most {
		return
	}
	for id, v := range m {
		if !live(v) {
			delete(m, id)
		}
	}
	if len(m) >= most {
		clear(m)
	}
}
