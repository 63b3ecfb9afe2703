package iam

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// The condition keys of IAM that the input of a call has.
const (
	keyPolicyARN   = "iam:policyarn"
	keyBoundary    = "iam:permissionsboundary"
	keyResourceTag = "iam:resourcetag/"
	keyRequestTag  = "aws:requesttag/"
	keyTagKeys     = "aws:tagkeys"
	keyPassedTo    = "iam:passedtoservice"
)

// on makes the resources of a call that is about one entity.
func on[In any](resource func(c *call.Call, in *In) string) func(context.Context, *call.Call, *In) ([]string, error) {
	return func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		r := resource(c, in)
		if r == "" { // nothing was named: the right to all of them, and then validation says what is missing
			return nil, nil
		}
		return []string{r}, nil
	}
}

// arnOf is the ARN of an entity that does not exist, or not yet.
func arnOf(c *call.Call, kind string, path, name *string) string {
	p := text(path)
	if p == "" {
		p = "/"
	}
	return "arn:aws:iam::" + c.Principal.Account + ":" + kind + p + text(name)
}

// says is the ARN of an entity that there is. A refusal names one that is made from
// its name alone, as it does for an entity that there is not.
func says(c *call.Call, kind string, name *string, arn string) string {
	c.Says(arn, arnOf(c, kind, nil, name))
	return arn
}

// userARN is the ARN that a call about a user is decided on: that of the user as
// it really is, path and case included, so that a name written otherwise leads
// round no policy. Without a name it is the caller's own.
func (s *Service) userARN(c *call.Call, name *string) string {
	if name == nil {
		if c.Principal.Type == call.User || c.Principal.Type == call.Root {
			return c.Principal.ARN
		}
		return "*"
	}
	if u := s.dir.User(c.Principal.Account, *name); u != nil {
		entityKeys(c, u.Tags, u.Boundary)
		return says(c, "user", name, u.ARN())
	}
	return arnOf(c, "user", nil, name)
}

func (s *Service) groupARN(c *call.Call, name *string) string {
	if g := s.dir.Group(c.Principal.Account, text(name)); g != nil {
		return says(c, "group", name, g.ARN())
	}
	return arnOf(c, "group", nil, name)
}

func (s *Service) roleARN(c *call.Call, name *string) string {
	if r := s.dir.Role(c.Principal.Account, text(name)); r != nil {
		entityKeys(c, r.Tags, r.Boundary)
		return says(c, "role", name, r.ARN())
	}
	return arnOf(c, "role", nil, name)
}

func (s *Service) profileARN(c *call.Call, name *string) string {
	if p := s.dir.InstanceProfile(c.Principal.Account, text(name)); p != nil {
		entityKeys(c, p.Tags, "")
		return says(c, "instance-profile", name, p.ARN())
	}
	return arnOf(c, "instance-profile", nil, name)
}

func (s *Service) policyARN(c *call.Call, policyARN *string) string {
	if p := s.dir.Policy(c.Principal.Account, text(policyARN)); p != nil {
		entityKeys(c, p.Tags, "")
	}
	return text(policyARN)
}

// entityKeys gives a call the condition keys that the entity it is about has.
func entityKeys(c *call.Call, tags identity.Tags, boundary string) {
	for _, t := range tags {
		c.SetKey(keyResourceTag+strings.ToLower(t.Key), t.Value)
	}
	if boundary != "" {
		c.SetKey(keyBoundary, boundary)
	}
}

// tagsOf reads the tags of an input.
func tagsOf(in []api.Tag) identity.Tags {
	return mapped(in, func(t api.Tag) identity.Tag { return identity.Tag{Key: text(t.Key), Value: text(t.Value)} })
}

// requestTags gives a call the condition keys of the tags that it puts.
func requestTags(c *call.Call, in []api.Tag) {
	if len(in) == 0 {
		return
	}
	names := make([]string, len(in))
	for i, t := range in {
		names[i] = text(t.Key)
		c.SetKey(keyRequestTag+strings.ToLower(text(t.Key)), text(t.Value))
	}
	c.SetKey(keyTagKeys, names...)
}

// tagNew is requestTags for a call that makes something: it needs the permission to
// tag it as well, decided before anything is made.
func tagNew(c *call.Call, in []api.Tag, action, resource string) {
	if len(in) > 0 {
		requestTags(c, in)
		c.Need(action, resource)
	}
}
