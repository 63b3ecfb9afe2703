package promptrouter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/record/recordtest"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

var errDisk = errors.New("disk on fire")

func nothing() error { return nil }

func open(t *testing.T, records *recordtest.Store) *promptrouter.Service {
	t.Helper()
	s, err := promptrouter.Open(t.Context(), promptrouter.Config{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func router(id, name string) promptrouter.Router {
	return promptrouter.Router{
		Account: account, Region: region, ID: id, Name: name, Description: "a router",
		Models: []string{"one", "two"}, Fallback: "two", Difference: 12.5,
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := &recordtest.Store{}
		s := open(t, records)
		for i, name := range []string{"b", "a"} {
			if err := s.Create(t.Context(), router(fmt.Sprintf("id%d", i), name), nothing); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the test's own clock
		}
		list := s.List(account, region)
		if len(list) != 2 || list[0].Name != "b" || list[1].Name != "a" {
			t.Fatalf("the oldest is not first: %+v", list)
		}
		want := router("id0", "b")
		want.Created = list[0].Created
		want.Updated = want.Created
		if got, ok := s.Lookup(account, region, "id0"); !ok || want.Created.IsZero() {
			t.Errorf("a router that was made: %v, %+v", ok, got)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		for _, k := range [][3]string{{"444455556666", region, "id0"}, {account, "us-west-2", "id0"}, {account, region, "id9"}} {
			if _, ok := s.Lookup(k[0], k[1], k[2]); ok {
				t.Errorf("%q has a router", k)
			}
			if there, err := s.Exists(t.Context(), k[0], k[1], k[2]); there || err != nil {
				t.Errorf("%q exists: %v", k, err)
			}
			if err := s.Delete(t.Context(), k[0], k[1], k[2]); !errors.Is(err, promptrouter.ErrNone) {
				t.Errorf("%q deleted: %v", k, err)
			}
		}
		if n := len(s.List(account, "us-west-2")); n != 0 {
			t.Errorf("another region lists %d", n)
		}
		if err := s.Delete(t.Context(), account, region, "id0"); err != nil {
			t.Fatal(err)
		}
		if _, ok := open(t, records).Lookup(account, region, "id0"); ok {
			t.Error("a deleted router is there after a restart")
		}
		if _, ok := open(t, records).Lookup(account, region, "id1"); !ok {
			t.Error("a router is gone after a restart")
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	records := &recordtest.Store{}
	s := open(t, records)
	if err := s.Create(t.Context(), router("id", "name"), nothing); err != nil {
		t.Fatal(err)
	}
	never := func() error { t.Error("asked although there is nothing to make"); return nil }
	if err := s.Create(t.Context(), router("id", "name"), never); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := s.Create(t.Context(), router("id", "other"), never); !errors.Is(err, promptrouter.ErrExists) {
		t.Errorf("an id that is taken: %v", err)
	}
	if err := s.Create(t.Context(), router("other", "name"), never); !errors.Is(err, promptrouter.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := s.Create(t.Context(), router("other", "other"), func() error { return errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("what comes before fails: %v", err)
	}
	far := router("id", "name")
	far.Region = "eu-central-1"
	if err := s.Create(t.Context(), far, nothing); err != nil {
		t.Errorf("the same in another region: %v", err)
	}
	records.Fail(errDisk)
	if err := s.Create(t.Context(), router("other", "other"), never); !errors.Is(err, errDisk) {
		t.Errorf("on a broken disk: %v", err)
	}
	if _, err := promptrouter.Open(t.Context(), promptrouter.Config{Records: records}); !errors.Is(err, errDisk) {
		t.Errorf("opened on a broken disk: %v", err)
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	s := open(t, &recordtest.Store{})
	for i := range promptrouter.MaxPerRegion {
		if err := s.Create(t.Context(), router(fmt.Sprintf("id%03d", i), fmt.Sprint(i)), nothing); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Create(t.Context(), router("more", "more"), nothing); !errors.Is(err, promptrouter.ErrMany) {
		t.Errorf("one router too many: %v", err)
	}
}

// What one process makes, another one sees.
func TestRunFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := &recordtest.Store{}
		a, b := open(t, records), open(t, records)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		if err := a.Create(ctx, router("id", "name"), nothing); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, ok := b.Lookup(account, region, "id"); !ok {
			t.Error("a router of another process was not seen")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStronger(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		difficulty, difference float64
		want                   bool
	}{
		{0, 0, false}, {0.5, 0, false}, {0.51, 0, true}, {1, 0, true},
		{0.54, 10, false}, {0.56, 10, true}, {0.75, 50, false}, {0.76, 50, true}, {1, 99, true}, {1, 100, false}, {2, 100, false}, {-1, 0, false},
	} {
		if got := promptrouter.Stronger(tc.difficulty, tc.difference); got != tc.want {
			t.Errorf("difficulty %v, difference %v: %v", tc.difficulty, tc.difference, got)
		}
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	if a, b := promptrouter.NewID(), promptrouter.NewID(); len(a) != 12 || a == b {
		t.Errorf("%q, %q", a, b)
	}
}
