package identity

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTags is the most tags that an entity may have.
const maxTags = 50

// Tag is a tag of an entity.
type Tag struct {
	Key   string
	Value string
}

// Tags are the tags of an entity in the order in which they were put. Keys differ
// by more than case.
type Tags []Tag

// Map returns the tags as a map; nil when there are none.
func (t Tags) Map() map[string]string {
	if len(t) == 0 {
		return nil
	}
	m := make(map[string]string, len(t))
	for _, tag := range t {
		m[tag.Key] = tag.Value
	}
	return m
}

func (t Tags) index(key string) int {
	return slices.IndexFunc(t, func(x Tag) bool { return strings.EqualFold(x.Key, key) })
}

// CheckTags checks tags as a caller sends them.
//
// Errors: InvalidInput for a key that stands twice, has no 1 to 128 characters or
// begins with "aws:", and for a value over 256 characters; LimitExceeded beyond 50.
func CheckTags(tags Tags) error {
	if len(tags) > maxTags {
		return apiError(codeLimit, "Tags: at most %d tags are allowed", maxTags)
	}
	for i, t := range tags {
		switch n := utf8.RuneCountInString(t.Key); {
		case n < 1 || n > 128 || !tagText(t.Key):
			return apiError(codeInvalidInput, "Tags.member.%d.Key: must have 1 to 128 letters, digits, spaces and characters of _.:/=+-@", i+1)
		case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
			return apiError(codeInvalidInput, "Tags.member.%d.Key: the prefix aws: is reserved", i+1)
		case utf8.RuneCountInString(t.Value) > 256 || !tagText(t.Value):
			return apiError(codeInvalidInput, "Tags.member.%d.Value: must have at most 256 letters, digits, spaces and characters of _.:/=+-@", i+1)
		case tags[:i].index(t.Key) >= 0:
			return apiError(codeInvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	return nil
}

func tagText(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Zs, r) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return true
}

// With returns t with tags put over it. Errors: as CheckTags.
func (t Tags) With(tags Tags) (Tags, error) {
	if err := CheckTags(tags); err != nil {
		return nil, err
	}
	out := slices.Clone(t)
	for _, tag := range tags {
		if i := out.index(tag.Key); i >= 0 {
			out[i] = tag
		} else {
			out = append(out, tag)
		}
	}
	if len(out) > maxTags {
		return nil, apiError(codeLimit, "Tags: at most %d tags are allowed on an entity", maxTags)
	}
	return out, nil
}

// Without returns t without the tags of the keys; keys that are not there are no
// error.
func (t Tags) Without(keys []string) Tags {
	return slices.DeleteFunc(slices.Clone(t), func(x Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, x.Key) })
	})
}
