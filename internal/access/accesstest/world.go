// Package accesstest holds a second way to decide, written straight from AWS's
// pages, slow and plain, and a maker of random questions. Naive shares nothing
// with package access but the types of the facts, so what both say alike is
// probably right.
package accesstest

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
)

// World is one question with all the facts that it depends on. Policies are IAM
// JSON; "" is none.
type World struct {
	Principal call.Principal
	Source    call.Source // its EndpointPolicy counts
	Region    string
	Now       time.Time
	Keys      map[string][]string // what a handler adds, names in lower case

	Action   string
	Resource string // an ARN or "*"

	Identity, Session []string
	Boundary          string
	Control           [][]string
	PrincipalTags     map[string]string // those of the user or role
	OrgID, OrgPath    string

	Owner          string // account; "": as the ARN says
	ResourcePolicy string
	Trust          bool // ResourcePolicy is a trust policy
	ResourceTags   map[string]string
}

// documents parses texts that are known to be right.
func documents(kind policy.Kind, texts ...string) ([]*policy.Document, error) {
	var docs []*policy.Document
	for _, t := range texts {
		if t == "" {
			continue
		}
		d, err := policy.Parse([]byte(t), kind)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// Compiled is a World in the terms of package access. It implements
// access.Principals and access.Resources.
type Compiled struct {
	World  *World
	Bound  access.Policies
	Target access.Resource
}

// Compile parses the policies of w.
func (w *World) Compile() (*Compiled, error) {
	c := &Compiled{World: w}
	var err error
	if c.Bound.Identity, err = documents(policy.Identity, w.Identity...); err != nil {
		return nil, err
	}
	if c.Bound.Session, err = documents(policy.Session, w.Session...); err != nil {
		return nil, err
	}
	for _, level := range w.Control {
		docs, err := documents(policy.ServiceControl, level...)
		if err != nil {
			return nil, err
		}
		c.Bound.Control = append(c.Bound.Control, docs)
	}
	kind := policy.Resource
	if w.Trust {
		kind = policy.Trust
	}
	for _, one := range []struct {
		kind policy.Kind
		text string
		to   **policy.Document
	}{
		{policy.Boundary, w.Boundary, &c.Bound.Boundary},
		{kind, w.ResourcePolicy, &c.Target.Policy},
	} {
		docs, err := documents(one.kind, one.text)
		if err != nil {
			return nil, err
		}
		if len(docs) > 0 {
			*one.to = docs[0]
		}
	}
	c.Bound.Tags, c.Bound.OrgID, c.Bound.OrgPath = w.PrincipalTags, w.OrgID, w.OrgPath
	c.Target.Account, c.Target.Trust, c.Target.Tags = w.Owner, w.Trust, w.ResourceTags
	return c, nil
}

// Policies implements access.Principals.
func (c *Compiled) Policies(context.Context, *call.Principal) (*access.Policies, error) {
	return &c.Bound, nil
}

// Resource implements access.Resources.
func (c *Compiled) Resource(context.Context, string, string) (access.Resource, error) {
	return c.Target, nil
}

// Authorizer decides in this world alone.
func (c *Compiled) Authorizer() *access.Authorizer {
	return access.New(access.Config{
		Principals: c,
		Resources:  map[string]access.Resources{"bedrock": c, "iam": c},
		Now:        func() time.Time { return c.World.Now },
	})
}

// Request is the question as Decide takes it.
func (c *Compiled) Request() access.Request {
	w := c.World
	return access.Request{
		Principal: w.Principal, Action: w.Action, Resource: w.Resource, Policies: &c.Bound, Target: &c.Target,
		Source: w.Source, Region: w.Region, Keys: w.Keys, Now: w.Now,
	}
}

// Call is the question as Authorize takes it.
func (c *Compiled) Call() (*call.Call, call.Need) {
	w := c.World
	return &call.Call{Principal: w.Principal, Source: w.Source, Region: w.Region, Partition: "aws", Keys: w.Keys},
		call.Need{Action: w.Action, Resources: []string{w.Resource}}
}
