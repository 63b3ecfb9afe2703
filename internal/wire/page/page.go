// Package page cuts lists into pages, and writes and reads the tokens that lead from
// one page to the next.
//
// A token holds a place in a list, opaque to clients, and only goes on with the list
// that it was made for. It is no secret and grants nothing: a place is a key or a
// moment, and whoever shows a token is authorised like anybody else.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrToken says that a token was not made here, or for another list. Each API has an
// error of its own for it.
var ErrToken = errors.New("page: not a token of this list")

// sumSize is the length of a token's check sum in bytes.
const sumSize = 8

// Token writes the token of a place. list is all that the list depends on: its
// operation, account and filters, as far as a token must not serve for another one.
// A token fits the patterns of all APIs, of which Service Quotas' is the narrowest,
// and never looks like an option on a command line.
func Token(list, place string) string {
	return base64.RawStdEncoding.EncodeToString([]byte(sum(list, place) + place))
}

// Place reads a token of Token; "" is the place before the first item.
//
// Errors: ErrToken.
func Place(list, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(token)
	if err != nil || len(raw) <= sumSize {
		return "", ErrToken
	}
	place := string(raw[sumSize:])
	if string(raw[:sumSize]) != sum(list, place) {
		return "", ErrToken
	}
	return place, nil
}

func sum(list, place string) string {
	s := sha256.Sum256([]byte(list + "\x00" + place))
	return string(s[:sumSize])
}

// Sorted returns the page behind a token, of at most size items, and the token of the
// next page, "" at the end. items are in the order of their keys, none of which is
// empty; i is the index of an item. What comes and goes between two pages neither
// repeats nor hides another item.
//
// Errors: ErrToken.
func Sorted[T any](items []T, key func(i int, item *T) string, list, token string, size int) (some []T, next string, err error) {
	after, err := Place(list, token)
	if err != nil {
		return nil, "", err
	}
	first := 0
	for first < len(items) && key(first, &items[first]) <= after {
		first++
	}
	some, next = cut(items, first, key, list, size)
	return some, next, nil
}

// Named is Sorted for items in any order: a token names the last item of the page
// before it, which must still be there.
//
// Errors: ErrToken.
func Named[T any](items []T, key func(i int, item *T) string, list, token string, size int) (some []T, next string, err error) {
	after, err := Place(list, token)
	if err != nil {
		return nil, "", err
	}
	first := 0
	if after != "" {
		for first < len(items) && key(first, &items[first]) != after {
			first++
		}
		if first++; first > len(items) {
			return nil, "", ErrToken
		}
	}
	some, next = cut(items, first, key, list, size)
	return some, next, nil
}

func cut[T any](items []T, first int, key func(i int, item *T) string, list string, size int) (some []T, next string) {
	end := min(len(items), first+size)
	if end < len(items) {
		next = Token(list, key(end-1, &items[end-1]))
	}
	return slices.Clip(items[first:end]), next
}

// Moment is the place right behind something that was made at a time, to the
// millisecond, and has an id.
func Moment(made time.Time, id string) string {
	return strconv.FormatInt(made.UnixMilli(), 10) + "." + id
}

// ReadMoment reads a place of Moment. Errors: ErrToken.
func ReadMoment(place string) (made time.Time, id string, err error) {
	ms, id, ok := strings.Cut(place, ".")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || !ok || id == "" {
		return time.Time{}, "", ErrToken
	}
	return time.UnixMilli(n).UTC(), id, nil
}
