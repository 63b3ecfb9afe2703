// Package keystest has a keys.Store in memory, for tests.
package keystest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/outcrop/outcrop/internal/keys"
)

// Store keeps keys in memory. The zero value is ready. It is safe for concurrent
// use.
type Store struct {
	// Fail, when set, is asked before each call with the method's name, and its
	// error is the call's.
	Fail func(method string) error

	mu      sync.Mutex
	rows    map[string]keys.Stored
	reads   int
	changes int64
}

// Reads tells how often GetKey was called.
func (s *Store) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// PutKey stores k.
func (s *Store) PutKey(ctx context.Context, k keys.Stored) error {
	return s.do(ctx, "PutKey", func() error {
		if _, ok := s.rows[k.ID]; ok {
			return fmt.Errorf("keystest: key %s exists", k.ID)
		}
		if s.rows == nil {
			s.rows = make(map[string]keys.Stored)
		}
		k.Sealed = slices.Clone(k.Sealed)
		s.rows[k.ID] = k
		s.changes++
		return nil
	})
}

// GetKey returns a key.
func (s *Store) GetKey(ctx context.Context, id string) (k keys.Stored, err error) {
	err = s.do(ctx, "GetKey", func() error {
		s.reads++
		var ok bool
		if k, ok = s.rows[id]; !ok {
			return keys.ErrNotFound
		}
		k.Sealed = slices.Clone(k.Sealed)
		return nil
	})
	return k, err
}

// ListKeys returns all keys, oldest first.
func (s *Store) ListKeys(ctx context.Context) (out []keys.Stored, err error) {
	err = s.do(ctx, "ListKeys", func() error {
		for _, k := range s.rows {
			k.Sealed = slices.Clone(k.Sealed)
			out = append(out, k)
		}
		slices.SortFunc(out, func(a, b keys.Stored) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		return nil
	})
	return out, err
}

// SetKeyStatus changes a key's status.
func (s *Store) SetKeyStatus(ctx context.Context, id string, status keys.Status) error {
	return s.do(ctx, "SetKeyStatus", func() error {
		k, ok := s.rows[id]
		if !ok {
			return keys.ErrNotFound
		}
		k.Status = status
		s.rows[id] = k
		s.changes++
		return nil
	})
}

// KeysRevision counts the changes.
func (s *Store) KeysRevision(ctx context.Context) (n int64, err error) {
	err = s.do(ctx, "KeysRevision", func() error {
		n = s.changes
		return nil
	})
	return n, err
}

// SetKeyUse notes the last use of a key.
func (s *Store) SetKeyUse(ctx context.Context, id string, u keys.Use) error {
	return s.do(ctx, "SetKeyUse", func() error {
		if k, ok := s.rows[id]; ok && !u.At.Before(k.Used.At) {
			k.Used = u
			s.rows[id] = k
		}
		return nil
	})
}

// DeleteKey removes a key.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	return s.do(ctx, "DeleteKey", func() error {
		if _, ok := s.rows[id]; !ok {
			return keys.ErrNotFound
		}
		delete(s.rows, id)
		s.changes++
		return nil
	})
}

func (s *Store) do(ctx context.Context, method string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Fail != nil {
		if err := s.Fail(method); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}
