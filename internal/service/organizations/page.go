package organizations

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// pageSize is how many items a page has at most.
const pageSize = 20

// cut returns the part of a list that a caller asked for, and the token of the next
// one, nil at the end. items are in the order of their keys, which are unique.
func cut[T any](items []T, key func(T) string, token *string, most *int32) ([]T, *string, error) {
	n := pageSize
	if most != nil {
		n = min(n, int(*most))
	}
	items, next, err := page.Sorted(items, func(_ int, v *T) string { return key(*v) }, "", deref(token), n)
	if err != nil {
		return nil, nil, invalid("INVALID_NEXT_TOKEN", "NextToken: use the token that the operation answered with before")
	}
	if next == "" {
		return items, nil, nil
	}
	return items, &next, nil
}

// invalid is InvalidInputException with a reason.
func invalid(reason, format string, args ...any) error {
	e := apierr.New("InvalidInputException", http.StatusBadRequest, format, args...)
	e.Fields = map[string]string{"Reason": reason}
	return e
}

// notFound is one of the exceptions for things that are not there.
func notFound(code, message string) error {
	return apierr.New(code, http.StatusBadRequest, "%s", message)
}
