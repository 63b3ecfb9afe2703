package record

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"
)

// mirrorTries is how often a change is made again that another process came
// before.
const mirrorTries = 5

// Mirror keeps all records of one kind in memory, read into values of type T,
// which are never changed. A change is durable first and then seen by the next
// Get. It is safe for concurrent use.
type Mirror[T any] struct {
	store   Store
	kind    string
	read    func(r *Record) (T, error)
	now     func() time.Time
	changed func()

	writing sync.Mutex // held while something is changed or read anew
	seen    int64      // revision of the records at the last reading; guarded by writing

	mu  sync.RWMutex
	all map[Key]*mirrored[T]
}

// mirrored is one record.
type mirrored[T any] struct {
	value   T
	version int64
	updated time.Time
}

// NewMirror returns a mirror of the records of a kind that holds nothing before
// the first Follow. read turns a record into a value. changed is called after
// every change, also of another process, and must not wait; nil: nobody wants to
// know. now is the clock of changes; nil means time.Now.
func NewMirror[T any](s Store, kind string, read func(r *Record) (T, error), changed func(), now func() time.Time) *Mirror[T] {
	if changed == nil {
		changed = func() {}
	}
	if now == nil {
		now = time.Now
	}
	return &Mirror[T]{store: s, kind: kind, read: read, now: now, changed: changed, seen: -1, all: map[Key]*mirrored[T]{}}
}

// Get returns the value of a record. The kind of k need not be set.
func (m *Mirror[T]) Get(k Key) (T, bool) {
	e := m.get(k)
	if e == nil {
		var none T
		return none, false
	}
	return e.value, true
}

func (m *Mirror[T]) get(k Key) *mirrored[T] {
	k.Kind = m.kind
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all[k]
}

// All returns every value and the time of its last change, in no order.
func (m *Mirror[T]) All() iter.Seq2[Entry, T] {
	m.mu.RLock()
	all := maps.Clone(m.all)
	m.mu.RUnlock()
	return func(yield func(Entry, T) bool) {
		for k, e := range all {
			if !yield(Entry{k, e.updated}, e.value) {
				return
			}
		}
	}
}

// Entry is a record of a mirror.
type Entry struct {
	Key
	Updated time.Time
}

// Follow takes over what another process has changed. It costs one small query
// when nothing was.
func (m *Mirror[T]) Follow(ctx context.Context) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.follow(ctx)
}

func (m *Mirror[T]) follow(ctx context.Context) error {
	revision, err := m.store.RecordsRevision(ctx) // before the list: what comes between is read twice
	if err != nil {
		return fmt.Errorf("follow records %s: %w", m.kind, err)
	}
	if revision == m.seen {
		return nil
	}
	list, err := m.store.ListRecords(ctx, Query{Kind: m.kind, AllAccounts: true, AllRegions: true})
	if err != nil {
		return fmt.Errorf("follow records %s: %w", m.kind, err)
	}
	all := make(map[Key]*mirrored[T], len(list))
	changed := false
	for i := range list {
		r := &list[i]
		e := m.get(r.Key)
		if e == nil || e.version != r.Version || !e.updated.Equal(r.Updated) {
			if e, err = m.entry(r); err != nil {
				return err
			}
			changed = true
		}
		all[r.Key] = e
	}
	m.mu.Lock()
	changed = changed || len(all) != len(m.all)
	m.all = all
	m.mu.Unlock()
	m.seen = revision
	if changed {
		m.changed()
	}
	return nil
}

func (m *Mirror[T]) entry(r *Record) (*mirrored[T], error) {
	v, err := m.read(r)
	if err != nil {
		return nil, fmt.Errorf("record %s %s: %w", r.Kind, r.Name, err)
	}
	return &mirrored[T]{value: v, version: r.Version, updated: r.Updated}, nil
}

// ErrKeep is what an edit returns to leave a record as it is; Change then returns
// nil.
var ErrKeep = errors.New("record: nothing to change")

// Change replaces a record by what edit makes of its value: the body to store as
// JSON, or nil to delete it. ok is false when there is no record. edit may be asked
// again when another process came first; its error ends the change. The write is
// not broken off with ctx.
//
// Errors: ErrConflict when other processes always came first; those of the store.
func (m *Mirror[T]) Change(ctx context.Context, k Key, edit func(old T, ok bool) (body any, err error)) error {
	ctx = context.WithoutCancel(ctx) // a write of unknown outcome would leave memory and disk apart
	k.Kind = m.kind
	m.writing.Lock()
	defer m.writing.Unlock()
	for try := 1; ; try++ {
		if err := m.follow(ctx); err != nil {
			return err
		}
		err := m.once(ctx, k, edit)
		switch {
		case errors.Is(err, ErrKeep):
			return nil
		case errors.Is(err, ErrConflict) && try < mirrorTries:
			continue
		case err == nil:
			m.changed()
		}
		return err
	}
}

func (m *Mirror[T]) once(ctx context.Context, k Key, edit func(old T, ok bool) (body any, err error)) error {
	old, expect := m.get(k), Absent
	var value T
	if old != nil {
		value, expect = old.value, Expectation(old.version)
	}
	body, err := edit(value, old != nil)
	if err != nil {
		return err
	}
	if body == nil && old == nil {
		return ErrKeep
	}
	c := Delete(k, expect)
	var next *mirrored[T]
	// The store keeps milliseconds.
	now := m.now().UTC().Truncate(time.Millisecond)
	if body != nil {
		if c, err = Put(k, expect, body); err != nil {
			return err
		}
		if next, err = m.entry(&Record{Key: k, Body: c.Body, Version: max(int64(expect), 0) + 1, Updated: now}); err != nil {
			return err
		}
	}
	if err := m.store.ApplyRecords(ctx, now, c); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if next == nil {
		delete(m.all, k)
	} else {
		m.all[k] = next
	}
	return nil
}
