package iam

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// defaultItems is the size of a page when the caller names none.
const defaultItems = 100

// cut returns the items that one answer holds out of all, which stand in the order of
// their keys, and the marker of the next answer, nil when there is none.
//
// Errors: ValidationError 400 for a marker that no answer gave.
func cut[T any](all []T, key func(int, T) string, marker *string, most *int32) (items []T, next *string, truncated *bool, err error) {
	n := defaultItems
	if most != nil {
		n = int(*most)
	}
	items, more, err := page.Sorted(all, func(i int, v *T) string { return key(i, *v) }, "", text(marker), n)
	if err != nil || marker != nil && *marker == "" {
		return nil, nil, nil, invalid("Marker: is none that this operation returned")
	}
	if items == nil {
		items = []T{}
	}
	return items, maybe(more), new(more != ""), nil
}

// position is the key of items that have no order of their own: tags, attached
// policies.
func position[T any](i int, _ T) string { return fmt.Sprintf("%06d", i) }

// invalid is ValidationError 400.
func invalid(format string, args ...any) error {
	return apierr.New("ValidationError", http.StatusBadRequest, format, args...)
}

// noEntity is NoSuchEntity 404.
func noEntity(format string, args ...any) error {
	return apierr.New("NoSuchEntity", http.StatusNotFound, format, args...)
}

// mapped makes a slice of what fn makes of each item; never nil.
func mapped[A, B any](in []A, fn func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = fn(v)
	}
	return out
}

// kept returns the items that fn keeps, in a slice of its own.
func kept[T any](in []T, fn func(T) bool) []T {
	out := make([]T, 0, len(in))
	for _, v := range in {
		if fn(v) {
			out = append(out, v)
		}
	}
	return out
}

// text returns what p points to, "" for nil.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// maybe returns a pointer to s, nil for "".
func maybe(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// under reports whether path stands below prefix, which may be absent.
func under(path string, prefix *string) bool { return strings.HasPrefix(path, text(prefix)) }

// count makes the number of an answer.
func count(n int) *int32 {
	return new(int32(n)) // #nosec G115 -- counts of entities of one account
}
