package resource

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// MaxTags is how many tags a user may put on one resource.
const MaxTags = 50

// ErrTooManyTags says that a resource would have more than MaxTags tags.
var ErrTooManyTags = errors.New("resource: too many tags")

// Tags are the tags of a resource; nil when it has none. The caller must not
// change them.
func (b *Book) Tags(name string) map[string]string {
	a, err := arn.Parse(name)
	if err != nil {
		return nil
	}
	if f, ok := b.all.Get(keyOf(&a, "", name)); ok {
		return f.Tags
	}
	return nil
}

// Create keeps the tags of a resource that is about to be made. What an earlier
// resource of the same name left is gone. It is called before the resource is
// there, so that none is ever seen without its tags.
//
// Errors: ErrTooManyTags.
func (b *Book) Create(ctx context.Context, name string, tags map[string]string) error {
	if len(tags) > MaxTags {
		return ErrTooManyTags
	}
	return b.change(ctx, name, "", func(v *body) error {
		*v = body{Tags: maps.Clone(tags)}
		return nil
	})
}

// Tag adds tags, or changes their values. Keys that differ only in case are one
// key, as they are for conditions: the new spelling takes the place of the old.
//
// Errors: ErrTooManyTags.
func (b *Book) Tag(ctx context.Context, name string, tags map[string]string) error {
	return b.change(ctx, name, "", func(v *body) error {
		if v.Tags == nil {
			v.Tags = make(map[string]string, len(tags))
		}
		for k := range tags {
			maps.DeleteFunc(v.Tags, func(old, _ string) bool { return strings.EqualFold(old, k) })
		}
		maps.Copy(v.Tags, tags)
		if len(v.Tags) > MaxTags {
			return ErrTooManyTags
		}
		return nil
	})
}

// Untag takes tags off. Keys that are not there are passed over; a key is written
// exactly as it was put.
func (b *Book) Untag(ctx context.Context, name string, keys []string) error {
	return b.change(ctx, name, "", func(v *body) error {
		for _, k := range keys {
			delete(v.Tags, k)
		}
		return nil
	})
}

// Forget drops everything that is known of a resource that is gone.
func (b *Book) Forget(ctx context.Context, name string) error {
	return b.change(ctx, name, "", func(v *body) error {
		*v = body{}
		return nil
	})
}

// Tag is one tag as a caller wrote it.
type Tag struct{ Key, Value string }

// ReadTags checks tags beyond their form and returns them by key; nil for none.
//
// Errors: ErrTooManyTags; ValidationException for a key that stands twice, also in
// another case, and for keys of AWS.
func ReadTags(in []Tag) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > MaxTags {
		return nil, ErrTooManyTags
	}
	tags := make(map[string]string, len(in))
	seen := make(map[string]bool, len(in))
	for i, t := range in {
		if seen[strings.ToLower(t.Key)] {
			return nil, apierr.Validation("tags.%d.key: %s stands twice", i, t.Key)
		}
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return nil, apierr.Validation("tags.%d.key: keys that begin with aws: are reserved", i)
		}
		seen[strings.ToLower(t.Key)] = true
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// Requested gives the call the condition keys aws:RequestTag and aws:TagKeys of the
// tags that it sends. No tags leave both absent.
func Requested(c *call.Call, in []Tag) {
	if len(in) == 0 {
		return
	}
	keys := make([]string, len(in))
	values := make(map[string][]string, len(in))
	for i, t := range in {
		keys[i] = t.Key
		name := "aws:requesttag/" + strings.ToLower(t.Key)
		values[name] = append(values[name], t.Value)
	}
	c.SetKey("aws:tagkeys", keys...)
	for name, vs := range values {
		c.SetKey(name, vs...)
	}
}
