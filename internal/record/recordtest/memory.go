// Package recordtest is a store of records in memory, for tests of the domain
// packages. It is no conformance suite: storetest holds that.
package recordtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/record"
)

// Store keeps records in memory. The zero Store is empty and ready. Several
// mirrors over one Store are as several processes over one database.
type Store struct {
	mu       sync.Mutex
	all      map[record.Key]record.Record
	revision int64
	fail     error
	before   func()
}

// Fail makes every method return err; nil ends that.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Before has f called once, right before the next change is made: the place where
// another process may come first.
func (s *Store) Before(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// GetRecord implements record.Store.
func (s *Store) GetRecord(_ context.Context, k record.Key) (record.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.all[k]
	if s.fail == nil && !ok {
		return r, record.ErrNotFound
	}
	return r, s.fail
}

// ListRecords implements record.Store.
func (s *Store) ListRecords(_ context.Context, q record.Query) ([]record.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	var out []record.Record
	for _, r := range s.all {
		if r.Kind == q.Kind && (q.AllAccounts || r.Account == q.Account) && (q.AllRegions || r.Region == q.Region) &&
			strings.HasPrefix(r.Name, q.Prefix) && r.Name > q.After {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b record.Record) int {
		return slices.Compare([]string{a.Account, a.Region, a.Name}, []string{b.Account, b.Region, b.Name})
	})
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

// ApplyRecords implements record.Store.
func (s *Store) ApplyRecords(_ context.Context, now time.Time, changes ...record.Change) error {
	s.mu.Lock()
	before := s.before
	s.before = nil
	s.mu.Unlock()
	if before != nil {
		before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	next := maps.Clone(s.all)
	if next == nil {
		next = map[record.Key]record.Record{}
	}
	for _, c := range changes {
		old, ok := next[c.Key]
		if c.Expect == record.Absent && ok || c.Expect > 0 && old.Version != int64(c.Expect) {
			return record.ErrConflict
		}
		if c.Body == nil {
			delete(next, c.Key)
			continue
		}
		next[c.Key] = record.Record{Key: c.Key, Body: slices.Clone(c.Body), Version: old.Version + 1, Updated: now.UTC().Truncate(time.Millisecond)}
	}
	s.all = next
	s.revision++
	return nil
}

// RecordsRevision implements record.Store.
func (s *Store) RecordsRevision(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, s.fail
}
