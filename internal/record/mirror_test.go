package record_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/record/recordtest"
)

var errDisk = errors.New("disk on fire")

// numbers is a mirror of records that hold a number each.
type numbers struct {
	*record.Mirror[int]
	changes int
}

func mirror(t *testing.T, s record.Store) *numbers {
	t.Helper()
	n := &numbers{}
	n.Mirror = record.NewMirror(s, "number", func(r *record.Record) (v int, err error) {
		if err = record.Read(*r, &v); err == nil && v < 0 {
			err = errors.New("negative")
		}
		return v, err
	}, func() { n.changes++ }, nil)
	if err := n.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.changes = 0
	return n
}

func key(name string) record.Key { return record.Key{Account: "111122223333", Name: name} }

// put stores v; nil deletes.
func (n *numbers) put(ctx context.Context, name string, v any) error {
	return n.Change(ctx, key(name), func(int, bool) (any, error) { return v, nil })
}

func (n *numbers) want(t *testing.T, name string, want int, there bool) {
	t.Helper()
	if v, ok := n.Get(key(name)); v != want || ok != there {
		t.Errorf("%s = %d, %v; want %d, %v", name, v, ok, want, there)
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a := mirror(t, s)
	for _, v := range []any{1, 2, nil, nil, 3} {
		if err := a.put(t.Context(), "x", v); err != nil {
			t.Fatal(err)
		}
	}
	a.want(t, "x", 3, true)
	if a.changes != 4 {
		t.Errorf("%d changes told, want 4: deleting nothing is none", a.changes)
	}
	for e, v := range a.All() {
		if e.Name != "x" || v != 3 || time.Since(e.Updated) > time.Minute {
			t.Errorf("All: %+v, %d", e, v)
		}
	}
	mirror(t, s).want(t, "x", 3, true) // it was durable
}

func TestMirrorFollows(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a, b := mirror(t, s), mirror(t, s)
	if err := errors.Join(a.put(t.Context(), "x", 1), a.put(t.Context(), "y", 2)); err != nil {
		t.Fatal(err)
	}
	b.want(t, "x", 0, false)
	for range 2 {
		if err := b.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.want(t, "x", 1, true)
	if b.changes != 1 {
		t.Errorf("%d changes told, want 1", b.changes)
	}
	if err := a.put(t.Context(), "x", nil); err != nil {
		t.Fatal(err)
	}
	// A change sees what others changed, without being told to follow.
	err := b.Change(t.Context(), key("x"), func(old int, ok bool) (any, error) {
		if ok || old != 0 {
			t.Errorf("edit got %d, %v", old, ok)
		}
		return nil, record.ErrKeep
	})
	if err != nil {
		t.Fatal(err)
	}
	b.want(t, "x", 0, false)
	b.want(t, "y", 2, true)
}

func TestMirrorConflict(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a, b := mirror(t, s), mirror(t, s)
	add := func(n *numbers, d int) error {
		return n.Change(t.Context(), key("sum"), func(old int, _ bool) (any, error) { return old + d, nil })
	}
	s.Before(func() {
		if err := add(b, 10); err != nil {
			t.Error(err)
		}
	})
	if err := add(a, 1); err != nil {
		t.Fatal(err)
	}
	a.want(t, "sum", 11, true)
	// Whoever always comes late gives up.
	n := 0
	err := a.Change(t.Context(), key("sum"), func(old int, _ bool) (any, error) {
		n++
		s.Before(func() {
			body := fmt.Appendf(nil, "%d", n)
			if err := s.ApplyRecords(t.Context(), time.Now(), record.Change{Key: record.Key{Account: "111122223333", Kind: "number", Name: "sum"}, Body: body}); err != nil {
				t.Error(err)
			}
		})
		return old + 1, nil
	})
	if !errors.Is(err, record.ErrConflict) || n != 5 {
		t.Errorf("after %d tries: %v", n, err)
	}
}

func TestMirrorFails(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a := mirror(t, s)
	if err := a.put(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	s.Fail(errDisk)
	if err := a.put(t.Context(), "x", 2); !errors.Is(err, errDisk) {
		t.Errorf("put on a broken disk: %v", err)
	}
	a.want(t, "x", 1, true)
	if err := a.Follow(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("follow on a broken disk: %v", err)
	}
	s.Fail(nil)
	if err := a.put(t.Context(), "x", -1); err == nil {
		t.Error("a value that cannot be read was stored")
	}
	if err := a.put(t.Context(), "x", make(chan int)); err == nil {
		t.Error("a value that is no JSON was stored")
	}
	mirror(t, s).want(t, "x", 1, true)
	bad := record.Change{Key: record.Key{Kind: "number", Name: "bad"}, Body: []byte("-1")}
	if err := s.ApplyRecords(t.Context(), time.Now(), bad); err != nil {
		t.Fatal(err)
	}
	if err := a.Follow(t.Context()); err == nil {
		t.Error("a record that cannot be read was passed over")
	}
	a.want(t, "x", 1, true)
}

// A cancelled caller leaves memory and disk the same.
func TestMirrorIgnoresCancel(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a := mirror(t, s)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := a.put(ctx, "x", 1); err != nil {
		t.Fatal(err)
	}
	a.want(t, "x", 1, true)
}

func TestMirrorConcurrently(t *testing.T) {
	t.Parallel()
	s := &recordtest.Store{}
	a, b := mirror(t, s), mirror(t, s)
	var wg sync.WaitGroup
	for _, n := range []*numbers{a, b, a} {
		wg.Go(func() {
			for range 20 {
				err := errors.New("first")
				for err != nil {
					err = n.Change(t.Context(), key("sum"), func(old int, _ bool) (any, error) { return old + 1, nil })
					if err != nil && !errors.Is(err, record.ErrConflict) {
						t.Error(err)
						return
					}
				}
				n.Get(key("sum"))
			}
		})
	}
	wg.Wait()
	mirror(t, s).want(t, "sum", 60, true)
}
