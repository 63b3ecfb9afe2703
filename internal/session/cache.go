package session

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
)

// opened is what a token holds.
type opened struct {
	principal call.Principal
	secret    secret.Value
}

// cacheKey is a hash of an access key id and its token: whoever reads memory finds
// no tokens, and no comparison tells how much of a guess was right.
type cacheKey [sha256.Size]byte

func keyOf(id, token string) cacheKey {
	var buf [2 << 10]byte // larger tokens are rare
	return sha256.Sum256(append(append(buf[:0], id...), token...))
}

// cache keeps the sessions that were used last. Only tokens that opened get in, so
// strangers push none out. It is safe for concurrent use.
type cache struct {
	size int

	mu    sync.Mutex
	items map[cacheKey]*list.Element
	order *list.List // of entry; the last used is in front
}

type entry struct {
	key cacheKey
	opened
}

func newCache(size int) *cache {
	return &cache{size: size, items: make(map[cacheKey]*list.Element), order: list.New()}
}

func (c *cache) get(k cacheKey) (opened, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return opened{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).opened, true
}

func (c *cache) put(k cacheKey, o opened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[k]; ok {
		return
	}
	if c.order.Len() >= c.size {
		c.remove(c.order.Back())
	}
	c.items[k] = c.order.PushFront(&entry{k, o})
}

func (c *cache) drop(k cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[k]; ok {
		c.remove(e)
	}
}

// remove takes an element out; the caller holds the lock.
func (c *cache) remove(e *list.Element) {
	c.order.Remove(e)
	delete(c.items, e.Value.(*entry).key)
}
