package cache

import (
	"container/list"
	"time"
)

// lru keeps values of accounts within a budget for all of them. When there is no
// room, the account that has the most loses what it used least recently: nobody
// can push out those who have less. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	budget   int64 // of the costs of all values
	used     int64
	count    int
	accounts map[string]*shelf[K, V]
	drop     func(account string, k K, v V) // told of every value that goes; nil tells nobody
}

// shelf is what one account has.
type shelf[K comparable, V any] struct {
	used  int64
	all   map[K]*list.Element // of *item[K, V]
	order *list.List          // most recently used first
}

type item[K comparable, V any] struct {
	key     K
	value   V
	cost    int64
	expires time.Time
}

func newLRU[K comparable, V any](budget int64, drop func(string, K, V)) *lru[K, V] {
	return &lru[K, V]{budget: budget, accounts: map[string]*shelf[K, V]{}, drop: drop}
}

// get returns a value that has not expired, and counts as its use.
func (l *lru[K, V]) get(account string, k K, now time.Time) (v V, ok bool) {
	s := l.accounts[account]
	if s == nil {
		return v, false
	}
	e := s.all[k]
	if e == nil {
		return v, false
	}
	it := e.Value.(*item[K, V])
	if !now.Before(it.expires) {
		l.remove(account, k)
		return v, false
	}
	s.order.MoveToFront(e)
	return it.value, true
}

// put keeps a value, and reports how many others had to go for it. One that costs
// more than the whole budget is not kept.
func (l *lru[K, V]) put(account string, k K, v V, cost int64, expires time.Time) (evicted int) {
	l.remove(account, k)
	if cost > l.budget {
		return 0
	}
	for l.used+cost > l.budget {
		l.evict()
		evicted++
	}
	s := l.accounts[account]
	if s == nil {
		s = &shelf[K, V]{all: map[K]*list.Element{}, order: list.New()}
		l.accounts[account] = s
	}
	s.all[k] = s.order.PushFront(&item[K, V]{key: k, value: v, cost: cost, expires: expires})
	s.used += cost
	l.used += cost
	l.count++
	return evicted
}

// evict drops the oldest value of the account that has the most.
func (l *lru[K, V]) evict() {
	var most *shelf[K, V]
	var account string
	for name, s := range l.accounts {
		if most == nil || s.used > most.used {
			most, account = s, name
		}
	}
	l.remove(account, most.order.Back().Value.(*item[K, V]).key)
}

// remove drops a value, if it is there.
func (l *lru[K, V]) remove(account string, k K) {
	s := l.accounts[account]
	if s == nil {
		return
	}
	e := s.all[k]
	if e == nil {
		return
	}
	it := s.order.Remove(e).(*item[K, V])
	delete(s.all, k)
	if len(s.all) == 0 {
		delete(l.accounts, account)
	}
	s.used -= it.cost
	l.used -= it.cost
	l.count--
	if l.drop != nil {
		l.drop(account, k, it.value)
	}
}
