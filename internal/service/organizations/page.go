package organizations

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	pageSize  = 20 // items of a page at most
	tokenMark = "1:"
)

// page returns the part of a list that a caller asked for, and the token of the
// next one, nil at the end. items are in the order of their keys, which are
// unique; a token names the last key of the page before, so that what comes and
// goes in between shifts nothing.
func page[T any](items []T, key func(T) string, token *string, most *int32) ([]T, *string, error) {
	if t := deref(token); t != "" {
		b, err := base64.RawURLEncoding.DecodeString(t)
		after, ok := strings.CutPrefix(string(b), tokenMark)
		if err != nil || !ok {
			return nil, nil, invalid("INVALID_NEXT_TOKEN", "NextToken: use the token that the operation answered with before")
		}
		for len(items) > 0 && key(items[0]) <= after {
			items = items[1:]
		}
	}
	n := pageSize
	if most != nil {
		n = min(n, int(*most))
	}
	if len(items) <= n {
		return items, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(tokenMark + key(items[n-1])))
	return items[:n], &next, nil
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
