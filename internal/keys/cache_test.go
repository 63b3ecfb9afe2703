package keys_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// TestDisabledElsewhere shows that a key which another process disables is dead
// within a second, and that no look-up within it reaches the store.
func TestDisabledElsewhere(t *testing.T) {
	t.Parallel()
	st, root, c := new(keystest.Store), rootKey(t), &clock{start}
	server := keys.New(keys.Config{Store: st, Root: root, Now: c.now})
	command := keys.New(keys.Config{Store: st, Root: root, Now: c.now})
	ctx := t.Context()
	k := create(t, command, keys.SigV4)
	look := func() error { _, _, err := server.LookupSigV4(ctx, k.ID); return err }
	if err := look(); err != nil {
		t.Fatal(err)
	}
	if err := command.Disable(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	reads := st.Reads()
	c.t = c.t.Add(time.Second - 1)
	if err := look(); err != nil || st.Reads() != reads {
		t.Errorf("within the second: %v, %d reads", err, st.Reads()-reads)
	}
	c.t = c.t.Add(1)
	wantCode(t, look(), apierr.CodeUnrecognizedClient)
	if err := command.Enable(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(time.Second)
	if err := look(); err != nil {
		t.Errorf("after it was enabled: %v", err)
	}
}

// TestFollow shows that a key in use is read again only when keys have changed, and
// that a change of another process is known with the next look.
func TestFollow(t *testing.T) {
	t.Parallel()
	st, root, c := new(keystest.Store), rootKey(t), &clock{start}
	server := keys.New(keys.Config{Store: st, Root: root, Now: c.now})
	command := keys.New(keys.Config{Store: st, Root: root, Now: c.now})
	ctx := t.Context()
	k, other := create(t, command, keys.SigV4), create(t, command, keys.SigV4)
	look := func(id string) error { _, _, err := server.LookupSigV4(ctx, id); return err }
	follow := func() {
		t.Helper()
		if err := server.Follow(ctx); err != nil {
			t.Fatal(err)
		}
	}
	follow()
	if err := errors.Join(look(k.ID), look(other.ID)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, look("AKIAAAAAAAAAAAAAAAAA"), apierr.CodeUnrecognizedClient)
	reads := st.Reads()
	for range 20 { // ten seconds, a look every half
		c.t = c.t.Add(500 * time.Millisecond)
		follow()
		if err := look(k.ID); err != nil {
			t.Fatal(err)
		}
		wantCode(t, look("AKIAAAAAAAAAAAAAAAAA"), apierr.CodeUnrecognizedClient)
	}
	if st.Reads() != reads {
		t.Errorf("a key in use was read %d times", st.Reads()-reads)
	}
	if err := command.Disable(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	follow()
	wantCode(t, look(k.ID), apierr.CodeUnrecognizedClient)
	if err := look(other.ID); err != nil {
		t.Error(err)
	}
	// When the store cannot be asked, nothing is believed for longer than a second.
	if err := command.Disable(ctx, other.ID); err != nil {
		t.Fatal(err)
	}
	st.Fail = func(method string) error {
		if method == "KeysRevision" {
			return errors.New("disk on fire")
		}
		return nil
	}
	if err := server.Follow(ctx); err == nil {
		t.Error("trouble with the store was not told")
	}
	c.t = c.t.Add(time.Second)
	wantCode(t, look(other.ID), apierr.CodeUnrecognizedClient)
}

func TestUnknownKeysAreRemembered(t *testing.T) {
	t.Parallel()
	s, st, c := newService(t)
	k := create(t, s, keys.SigV4)
	look := func(id string) { _, _, _ = s.LookupSigV4(t.Context(), id) }
	look(k.ID)
	reads := st.Reads()
	for range 100 {
		look("AKIAAAAAAAAAAAAAAAAA")
	}
	if got := st.Reads() - reads; got != 1 {
		t.Errorf("100 look-ups of one unknown id made %d reads, want 1", got)
	}
	for i := range 5000 { // strangers must not push the known key out
		look(fmt.Sprintf("AKIA%016d", i))
	}
	reads = st.Reads()
	look(k.ID)
	if st.Reads() != reads {
		t.Error("strangers pushed a known key out of the cache")
	}
	c.t = c.t.Add(time.Second)
	look("AKIAAAAAAAAAAAAAAAAA")
	if st.Reads() != reads+1 {
		t.Error("an unknown id was remembered for longer than a second")
	}
}

// TestChangeDuringLookup disables a key after a look-up has read its row and
// before it returns: what was read must not come back from memory.
func TestChangeDuringLookup(t *testing.T) {
	t.Parallel()
	st := &lateStore{Store: new(keystest.Store)}
	s := keys.New(keys.Config{Store: st, Root: rootKey(t), Now: (&clock{start}).now})
	k := create(t, s, keys.SigV4)
	st.during = func() {
		st.during = nil
		if err := s.Disable(t.Context(), k.ID); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.LookupSigV4(t.Context(), k.ID); err != nil {
		t.Errorf("the look-up that was first: %v", err)
	}
	_, _, err := s.LookupSigV4(t.Context(), k.ID)
	wantCode(t, err, apierr.CodeUnrecognizedClient)
}

// lateStore runs a hook between reading a row and returning it.
type lateStore struct {
	*keystest.Store
	during func()
}

func (s *lateStore) GetKey(ctx context.Context, id string) (keys.Stored, error) {
	k, err := s.Store.GetKey(ctx, id)
	if s.during != nil {
		s.during()
	}
	return k, err
}

// BenchmarkLookupSigV4 is the hot path: a known key in the cache.
func BenchmarkLookupSigV4(b *testing.B) {
	root, err := keys.LoadRootKey(filepath.Join(b.TempDir(), keys.RootKeyFile))
	if err != nil {
		b.Fatal(err)
	}
	s := keys.New(keys.Config{Store: new(keystest.Store), Root: root})
	k, err := s.Create(b.Context(), keys.CreateInput{Account: account})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.LookupSigV4(b.Context(), k.ID); err != nil {
			b.Fatal(err)
		}
	}
}
