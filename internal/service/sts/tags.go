package sts

import (
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// maxTags is how many tags a session may have, inherited ones included.
const maxTags = 50

// badge is what a session shall carry besides rights: its tags, and who is behind
// it.
type badge struct {
	tags           map[string]string // those of the request, and inherited ones
	transitive     []string          // sorted
	sourceIdentity string
}

// inherit reads what a request wants a session to carry, and adds what the
// caller's own session passes on: transitive tags and the source identity.
//
// Errors: ValidationError for a tag that cannot be; InvalidParameterValue for a
// transitive key without a tag, and for one that is inherited; AccessDenied for
// another source identity than the caller's.
func inherit(p *call.Principal, tags []api.Tag, transitive []string, sourceIdentity *string) (badge, error) {
	var b badge
	if err := b.setTags(tags, transitive); err != nil {
		return b, err
	}
	if sourceIdentity != nil {
		b.sourceIdentity = *sourceIdentity
	}
	from := p.Session
	if from == nil {
		return b, nil
	}
	for _, key := range from.TransitiveTags {
		if has(b.tags, key) {
			return b, badRequest(codeInvalidParameter, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		if b.tags == nil {
			b.tags = make(map[string]string)
		}
		b.tags[key] = from.Tags[key]
		b.transitive = append(b.transitive, key)
	}
	slices.Sort(b.transitive)
	if len(b.tags) > maxTags {
		return b, apierr.Validation("Tags: a session has at most %d tags, with those that it inherits it would have %d", maxTags, len(b.tags))
	}
	if from.SourceIdentity != "" {
		if b.sourceIdentity != "" && b.sourceIdentity != from.SourceIdentity {
			return b, apierr.AccessDenied("SourceIdentity: the session has one already, and it cannot be changed")
		}
		b.sourceIdentity = from.SourceIdentity
	}
	return b, nil
}

// setTags reads the tags of a request.
func (b *badge) setTags(tags []api.Tag, transitive []string) error {
	for i, t := range tags {
		if t.Key == nil || t.Value == nil {
			return apierr.Validation("Tags.member.%d: Key and Value must not be null", i+1)
		}
		if len(*t.Key) >= 4 && strings.EqualFold((*t.Key)[:4], "aws:") {
			return apierr.Validation("Tags.member.%d.Key: the prefix aws: is reserved", i+1)
		}
		if has(b.tags, *t.Key) {
			return apierr.Validation("Tags.member.%d.Key: duplicate tag keys found. Tag keys are case insensitive.", i+1)
		}
		if b.tags == nil {
			b.tags = make(map[string]string, len(tags))
		}
		b.tags[*t.Key] = *t.Value
	}
	for _, key := range transitive {
		if !has(b.tags, key) {
			return badRequest(codeInvalidParameter, "The specified transitive tag key must be included in the requested tags.")
		}
		for own := range b.tags {
			if strings.EqualFold(own, key) && !slices.Contains(b.transitive, own) {
				b.transitive = append(b.transitive, own)
			}
		}
	}
	return nil
}

// has reports whether there is a tag with a key, without regard to case.
func has(tags map[string]string, key string) bool {
	for k := range tags {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

// ask notes the condition keys of what a session shall carry, and the rights that
// the caller must have on resource for it. Inherited tags and an inherited source
// identity count like those of the request.
func (b *badge) ask(c *call.Call, resource string) {
	if len(b.tags) > 0 {
		for k, v := range b.tags {
			c.SetKey("aws:requesttag/"+strings.ToLower(k), v)
		}
		c.SetKey("aws:tagkeys", slices.Sorted(maps.Keys(b.tags))...)
		c.Need("sts:TagSession", resource)
	}
	if len(b.transitive) > 0 {
		c.SetKey("sts:transitivetagkeys", b.transitive...)
	}
	if b.sourceIdentity != "" {
		c.SetKey("sts:sourceidentity", b.sourceIdentity)
		c.Need("sts:SetSourceIdentity", resource)
	}
}

// mark lets a session carry b.
func (b *badge) mark(s *call.Session) {
	s.Tags, s.TransitiveTags, s.SourceIdentity = b.tags, b.transitive, b.sourceIdentity
}
