package profile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/profile"
)

// shelf is a store of profiles by id that counts how often it is asked.
type shelf struct {
	profile.Store
	all   map[string]profile.Profile
	asked int
	// before is called once a profile was read, before it is returned.
	before func()
	fail   error
}

func (s *shelf) GetProfile(_ context.Context, account, region, id string) (profile.Profile, error) {
	s.asked++
	p, ok := s.all[id]
	if s.before != nil {
		s.before()
	}
	if s.fail != nil {
		return profile.Profile{}, s.fail
	}
	if !ok || p.Account != account || p.Region != region {
		return profile.Profile{}, profile.ErrNotFound
	}
	return p, nil
}

func (s *shelf) DeleteProfile(_ context.Context, _, _, id string) error {
	delete(s.all, id)
	return nil
}

const (
	account = "111122223333"
	region  = "us-east-1"
)

func newShelf() *shelf {
	return &shelf{all: map[string]profile.Profile{"one": {ID: "one", Account: account, Region: region}}}
}

func TestCache(t *testing.T) {
	t.Parallel()
	s := newShelf()
	c := profile.NewCache(s)
	for range 3 {
		if p, err := c.GetProfile(t.Context(), account, region, "one"); err != nil || p.ID != "one" {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if s.asked != 1 {
		t.Errorf("the store was asked %d times", s.asked)
	}
	for _, k := range [][3]string{{"444455556666", region, "one"}, {account, "us-west-2", "one"}, {account, region, "two"}} {
		if _, err := c.GetProfile(t.Context(), k[0], k[1], k[2]); !errors.Is(err, profile.ErrNotFound) {
			t.Errorf("%q: %v", k, err)
		}
	}
	s.all["two"] = profile.Profile{ID: "two", Account: account, Region: region}
	if _, err := c.GetProfile(t.Context(), account, region, "two"); err != nil {
		t.Errorf("a profile made after it was asked for: %v", err)
	}
	if err := c.DeleteProfile(t.Context(), account, region, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetProfile(t.Context(), account, region, "one"); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("a deleted profile: %v", err)
	}
}

// What is deleted while it is being read is not remembered.
func TestCacheRace(t *testing.T) {
	t.Parallel()
	s := newShelf()
	c := profile.NewCache(s)
	s.before = func() {
		s.before = nil
		if err := c.DeleteProfile(t.Context(), account, region, "one"); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.GetProfile(t.Context(), account, region, "one"); err != nil {
		t.Errorf("read before it was deleted: %v", err)
	}
	if _, err := c.GetProfile(t.Context(), account, region, "one"); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("read afterwards: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := newShelf()
	c := profile.NewCache(s)
	for i := range 10_001 {
		id := fmt.Sprint(i)
		s.all[id] = profile.Profile{ID: id, Account: account, Region: region}
		if _, err := c.GetProfile(t.Context(), account, region, id); err != nil {
			t.Fatal(err)
		}
	}
	s.asked = 0
	if _, err := c.GetProfile(t.Context(), account, region, "0"); err != nil || s.asked != 1 {
		t.Errorf("the first of too many is still there: asked %d times, %v", s.asked, err)
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	s := newShelf()
	exists := profile.Exists(s)
	for id, want := range map[string]bool{"one": true, "two": false} {
		if got, err := exists(t.Context(), account, region, id); got != want || err != nil {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	s.fail = errors.New("disk on fire")
	if got, err := exists(t.Context(), account, region, "one"); got || !errors.Is(err, s.fail) {
		t.Errorf("a broken store: %v, %v", got, err)
	}
}
