package identity_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	acctA = "111122223333"
	acctB = "444455556666"

	allowInvoke = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}`
	trustA      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
)

// world is a directory over stores in memory.
type world struct {
	*identity.Directory
	records record.Store
	keys    *keys.Service
	root    *keys.RootKey
	now     time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{root: root, records: new(recordtest.Store), now: time.Date(2026, 5, 1, 12, 0, 0, 5e8, time.UTC)}
	w.keys = keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: func() time.Time { return w.now }})
	w.Directory = w.open(t)
	return w
}

// open opens a directory of another process over the same stores.
func (w *world) open(t testing.TB) *identity.Directory {
	t.Helper()
	d, err := identity.Open(t.Context(), identity.Config{Records: w.records, Keys: w.keys, Root: w.root, Management: acctA, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code is the code of an API error, "" of none.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("%v is no API error", err)
	}
	return e.Code
}

func (w *world) user(t testing.TB, acct, name string) *identity.User {
	t.Helper()
	u, err := w.CreateUser(t.Context(), acct, identity.NewUser{Name: name})
	must(t, err)
	return u
}

func TestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.Account(acctA)
	if a == nil || a.Status != identity.AccountActive || w.Management() != acctA {
		t.Fatalf("management account %+v", a)
	}
	u := w.user(t, acctA, "Ana")
	if u.ARN() != "arn:aws:iam::111122223333:user/Ana" || len(u.ID) != 21 || !u.Created.Equal(w.now.Truncate(time.Second)) {
		t.Errorf("user %+v", u)
	}
	if got := w.open(t).User(acctA, "Ana"); got == nil || got.ID != u.ID {
		t.Errorf("after opening again the user is %+v", got)
	}
	if _, err := identity.Open(t.Context(), identity.Config{Records: w.records, Keys: w.keys, Root: w.root, Management: "12"}); err == nil {
		t.Error("a management account of two digits is taken")
	}
}

// What one process writes, the other sees, and neither overwrites the other.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.open(t)
	changed := other.Changed()
	w.user(t, acctA, "ana")
	if other.User(acctA, "ana") != nil {
		t.Fatal("the other process knows without asking")
	}
	must(t, other.Refresh(t.Context()))
	if other.User(acctA, "ana") == nil {
		t.Fatal("the other process does not know after asking")
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not announced")
	}

	// Both know ana; now one makes a group behind the other's back.
	_, err := w.CreateGroup(t.Context(), acctA, "team", "")
	must(t, err)
	must(t, other.JoinGroup(t.Context(), acctA, "team", "ana"))
	if _, err := other.CreateGroup(t.Context(), acctA, "TEAM", ""); code(t, err) != "EntityAlreadyExists" {
		t.Errorf("a name that the other process gave: %v", err)
	}
	if err := w.DeleteGroup(t.Context(), acctA, "team"); code(t, err) != "DeleteConflict" {
		t.Errorf("a group that the other process filled: %v", err)
	}
}

// Run takes up what another process writes within a quarter of a second, also after
// the store was away.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := w.records.(*recordtest.Store)
		other := w.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		_, err := other.CreateUser(ctx, acctA, identity.NewUser{Name: "ana"})
		must(t, err)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if w.User(acctA, "ana") == nil {
			t.Error("the other process's user is not there")
		}
		store.Fail(errors.New("disk on fire"))
		time.Sleep(time.Second)
		synctest.Wait()
		if w.User(acctA, "ana") == nil {
			t.Error("the directory forgot while its store was away")
		}
		if _, err := w.CreateUser(ctx, acctA, identity.NewUser{Name: "bob"}); err == nil {
			t.Error("a user was made without a store")
		}
		if w.User(acctA, "bob") != nil {
			t.Error("a user is visible that is not durable")
		}
		store.Fail(nil)
		must(t, other.DeleteUser(ctx, acctA, "ana"))
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if w.User(acctA, "ana") != nil {
			t.Error("a user whom the other process deleted is still there")
		}
		cancel()
		must(t, <-done)
	})
}

// A process that is faster right before the write is made costs nothing but another try.
func TestLostRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := w.records.(*recordtest.Store)
	other := w.open(t)
	store.Before(func() {
		if _, err := other.CreateUser(t.Context(), acctA, identity.NewUser{Name: "ANA"}); err != nil {
			t.Error(err)
		}
	})
	if _, err := w.CreateUser(t.Context(), acctA, identity.NewUser{Name: "ana"}); code(t, err) != "EntityAlreadyExists" {
		t.Errorf("a name that was given a moment before: %v", err)
	}
	var again func()
	again = func() {
		must(t, other.TagUser(t.Context(), acctA, "ANA", identity.Tags{{Key: "a", Value: "b"}}))
		store.Before(again)
	}
	store.Before(again)
	if _, err := w.CreateUser(t.Context(), acctA, identity.NewUser{Name: "bob"}); code(t, err) != "ConcurrentModification" {
		t.Errorf("always too late: %v", err)
	}
}

// A record that cannot be read stops the start, and says which it is.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user(t, acctA, "ana")
	k := record.Key{Account: acctA, Kind: "iam/user", Name: u.ID}
	for _, body := range []string{`[]`, `{"ID":"x","Inline":[{"Name":"p","Text":"{"}]}`} {
		must(t, w.records.ApplyRecords(t.Context(), w.now, record.Change{Key: k, Body: []byte(body)}))
		_, err := identity.Open(t.Context(), identity.Config{Records: w.records, Keys: w.keys, Management: acctA})
		if err == nil || !strings.Contains(err.Error(), u.ID) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// BenchmarkCreateUser makes a user in an account of 2,000.
func BenchmarkCreateUser(b *testing.B) {
	w := newWorld(b)
	for i := range 2000 {
		w.user(b, acctA, fmt.Sprint("u", i))
	}
	for b.Loop() {
		w.user(b, acctA, "one")
		must(b, w.DeleteUser(b.Context(), acctA, "one"))
	}
}
