package page_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/wire/page"
)

func key(_ int, s *string) string { return *s }

// walk reads a list to its end, with a change of it after the first page.
func walk(t *testing.T, cut func(items []string, token string) ([]string, string, error), items []string, change func([]string) []string) []string {
	t.Helper()
	var seen []string
	token := ""
	for {
		some, next, err := cut(items, token)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, some...)
		if token = next; token == "" {
			return seen
		}
		items, change = change(items), func(s []string) []string { return s }
	}
}

func same(s []string) []string { return s }

// TestTokenPattern holds tokens against the narrowest pattern of an API, that of
// Service Quotas.
func TestTokenPattern(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^[a-zA-Z0-9/+]*={0,2}$`)
	for i := range 1000 {
		place := strings.Repeat("~ÿ?>", i%3) + fmt.Sprint(i)
		token := page.Token("list", place)
		if !pattern.MatchString(token) {
			t.Fatalf("token %q", token)
		}
		if got, err := page.Place("list", token); err != nil || got != place {
			t.Fatalf("place %q, %v, want %q", got, err, place)
		}
	}
}

func TestSorted(t *testing.T) {
	t.Parallel()
	all := []string{"a", "b", "c", "d", "e"}
	for size := 1; size <= 6; size++ {
		cut := func(items []string, token string) ([]string, string, error) {
			return page.Sorted(items, key, "list", token, size)
		}
		if got := walk(t, cut, all, same); !slices.Equal(got, all) {
			t.Errorf("pages of %d: %q", size, got)
		}
	}
	two := func(items []string, token string) ([]string, string, error) {
		return page.Sorted(items, key, "list", token, 2)
	}
	change := func([]string) []string { return []string{"aa", "c", "cc", "d", "e"} } // the last one shown is gone
	if got := walk(t, two, all, change); !slices.Equal(got, []string{"a", "b", "c", "cc", "d", "e"}) {
		t.Errorf("a list that changes: %q", got)
	}
	if some, next, err := page.Sorted(nil, key, "list", "", 2); len(some) != 0 || next != "" || err != nil {
		t.Errorf("no items: %q, %q, %v", some, next, err)
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	all := []string{"e", "a", "d", "b"}
	for size := 1; size <= 5; size++ {
		cut := func(items []string, token string) ([]string, string, error) {
			return page.Named(items, key, "list", token, size)
		}
		if got := walk(t, cut, all, same); !slices.Equal(got, all) {
			t.Errorf("pages of %d: %q", size, got)
		}
	}
	_, next, err := page.Named(all, key, "list", "", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := page.Named([]string{"e", "d"}, key, "list", next, 2); !errors.Is(err, page.ErrToken) {
		t.Errorf("behind what is gone: %v", err)
	}
	if some, end, err := page.Named([]string{"e", "a"}, key, "list", next, 2); len(some) != 0 || end != "" || err != nil {
		t.Errorf("behind the last one: %q, %q, %v", some, end, err)
	}
}

func TestTokenOfAnotherList(t *testing.T) {
	t.Parallel()
	token := page.Token("mine", "place")
	if got, err := page.Place("mine", token); got != "place" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for name, bad := range map[string]struct{ list, token string }{
		"another list": {"yours", token}, "cut off": {"mine", token[:4]}, "changed": {"mine", token[:len(token)-2] + "AA"}, "no base64": {"mine", "?"}, "no place": {"mine", page.Token("mine", "")},
	} {
		if got, err := page.Place(bad.list, bad.token); !errors.Is(err, page.ErrToken) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 7e6, time.UTC)
	if made, id, err := page.ReadMoment(page.Moment(at, "a.b")); !made.Equal(at) || id != "a.b" || err != nil {
		t.Errorf("%v, %q, %v", made, id, err)
	}
	for _, bad := range []string{"", "5", "5.", ".x", "x.y", fmt.Sprint(at)} {
		if made, id, err := page.ReadMoment(bad); !errors.Is(err, page.ErrToken) {
			t.Errorf("%q: %v, %q, %v", bad, made, id, err)
		}
	}
}
