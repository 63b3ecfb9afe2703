package access

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// actionBearer is what a caller with a bearer key needs beside the action itself.
const actionBearer = "bedrock:CallWithBearerToken"

// everything is the resource of an action that names none.
const everything = "*"

// Authorize returns nil when c's principal may do n.Action on all of n.Resources,
// and everything in c.Needs, and with a bearer key bedrock:CallWithBearerToken too.
// Each resource is an ARN, or "*" for an action that names none; no resource at
// all is the same as "*". What is neither is refused.
//
// It sets c.Decision, unless it fails; a refusal is a decision.
//
// Errors: AccessDeniedException (403) in AWS's words, which name principal, action,
// resource and the kind of policy that decided, followed by the encoded reason if
// Config.Seal is set; anything else is trouble inside.
func (a Authorizer) Authorize(ctx context.Context, c *call.Call, n call.Need) error {
	e := a.withDefaults()
	c.Decision = call.Decision{}
	who := whoIs(&c.Principal)
	if isOpen(n.Action) && who != web && len(c.Needs) == 0 {
		c.Decision = call.Decision{Made: true, Allowed: true, Open: true}
		return nil
	}
	if who == nobody {
		c.Decision = call.Decision{Made: true}
		return apierr.AccessDenied("An anonymous caller is not authorized to perform: %s", n.Action)
	}
	if unfit(&c.Principal, n.Action) {
		c.Decision = call.Decision{Made: true}
		return sigv4.Unrecognized()
	}
	q := e.queries.Get().(*query)
	defer e.release(q)
	if err := e.prepare(ctx, q, c, who); err != nil {
		return err
	}
	if c.Principal.Bearer {
		if _, err := e.authorizeNeed(ctx, q, c, &call.Need{Action: actionBearer}); err != nil {
			return err
		}
	}
	first, err := e.authorizeNeed(ctx, q, c, &n)
	if err != nil {
		return err
	}
	for i := range c.Needs {
		if _, err := e.authorizeNeed(ctx, q, c, &c.Needs[i]); err != nil {
			return err
		}
	}
	c.Decision = call.Decision{Made: true, Allowed: true, By: first.decider()}
	return nil
}

// prepare fills q with the facts of a call.
func (e *engine) prepare(ctx context.Context, q *query, c *call.Call, who caller) error {
	q.who = who
	q.principal, q.source, q.said = &c.Principal, &c.Source, c.Said
	q.region, q.callKeys, q.mfa = c.Region, c.Keys, c.MFA
	q.now = e.cfg.Now
	q.policies = &q.none
	if e.cfg.Principals != nil && who.hasPolicies() {
		p, err := e.cfg.Principals.Policies(ctx, &c.Principal)
		if err != nil {
			return fmt.Errorf("policies of %s: %w", c.Principal.ARN, err)
		}
		if p != nil {
			q.policies = p
		}
	}
	if c.Source.EndpointPolicy != nil {
		d, err := e.endpoints.document(c.Source.EndpointPolicy)
		if err != nil {
			return fmt.Errorf("endpoint policy of listener %s: %w", c.Source.Listener, err)
		}
		q.endpoint = d
	}
	return nil
}

// authorizeNeed decides over one need of a call. It returns the decision over the
// first resource. A refusal is written into the call and returned as an error.
func (e *engine) authorizeNeed(ctx context.Context, q *query, c *call.Call, n *call.Need) (verdict, error) {
	var first verdict
	one := [1]string{everything}
	resources := n.Resources
	if len(resources) == 0 {
		resources = one[:]
	}
	for i, r := range resources {
		v := verdict{by: policy.Identity}
		if known, err := e.aim(ctx, q, n, r); err != nil {
			return first, err
		} else if known {
			v = q.decide()
		}
		if v.outcome != Allowed {
			c.Decision = call.Decision{Made: true, By: v.decider()}
			return first, e.refusal(q, &v)
		}
		if i == 0 {
			first = v
		}
	}
	return first, nil
}

// aim points q at an action on a resource. known is false when the resource is
// neither an ARN nor "*", which nobody may do anything with.
func (e *engine) aim(ctx context.Context, q *query, n *call.Need, resource string) (known bool, err error) {
	q.needKeys = n.Keys
	q.target = Resource{}
	q.request = policy.Request{Action: n.Action, Resource: resource, Keys: q}
	if resource == everything {
		q.setOwner("")
		return true, nil
	}
	parts, err := arn.Parse(resource)
	if err != nil {
		q.setOwner("")
		return false, nil // what is no ARN is refused, which is no failure
	}
	if r := e.cfg.Resources[parts.Service]; r != nil {
		if q.target, err = r.Resource(ctx, resource, q.principal.Account); err != nil {
			return false, fmt.Errorf("resource %s: %w", resource, err)
		}
	}
	q.setOwner(parts.Account)
	return true, nil
}

// setOwner finds whom the target belongs to, given the account in its ARN, and
// whether its policy is asked at all.
func (q *query) setOwner(account string) {
	if q.target.Account != "" {
		account = q.target.Account
	}
	if q.owner = account; account == "" || account == "aws" {
		q.owner = q.principal.Account
	}
	q.trust = false
	switch {
	case hasPrefix(q.request.Action, "sts:AssumeRole"):
		q.trust = true // a role that nobody knows trusts nobody
	case q.target.Trust && hasPrefix(q.request.Action, "sts:"):
		q.trust = true
	case q.target.Trust:
		q.target.Policy = nil // managing a role is not assuming it
	}
	q.request.Principal = q.name()
}

// hasPrefix is strings.HasPrefix without regard to case.
func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// release empties a query for its next use.
func (e *engine) release(q *query) {
	made := q.made
	clear(made)
	if cap(made) > maxMade {
		made = nil
	}
	*q = query{made: made[:0]}
	e.queries.Put(q)
}

// maxMade is how many values of condition keys a query keeps room for.
const maxMade = 256

// endpoints are the policies of listeners, compiled, by their texts.
type endpoints struct {
	mu     sync.RWMutex
	byText map[string]*policy.Document
}

// maxEndpoints bounds what is remembered; listeners change with the
// configuration alone.
const maxEndpoints = 256

// document returns the compiled policy of a text.
func (e *endpoints) document(text []byte) (*policy.Document, error) {
	e.mu.RLock()
	d := e.byText[string(text)]
	e.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	d, err := policy.Parse(text, policy.Endpoint)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byText == nil || len(e.byText) >= maxEndpoints {
		e.byText = make(map[string]*policy.Document)
	}
	e.byText[string(text)] = d
	return d, nil
}

// caller says what a principal is, as far as decisions differ by it.
type caller uint8

const (
	nobody   caller = iota // unsigned
	root                   // of an account
	identity               // a user or a role's session
	bounded                // a federated user, who has what its session policies give it
	service                // Outcrop itself
	web                    // somebody whom an identity provider knows
)

// hasPolicies tells whether the directory knows what binds the caller.
func (c caller) hasPolicies() bool { return c == root || c == identity || c == bounded }

// whoIs sorts a principal.
func whoIs(p *call.Principal) caller {
	switch {
	case p.Type == call.AWSService:
		if p.Name == "" {
			return nobody
		}
		return service
	case p.Account == "":
		if p.Session != nil && p.Session.Provider != "" {
			return web
		}
		return nobody
	case p.Type == call.Root, p.Type == "" && strings.HasSuffix(p.ARN, ":root"):
		return root
	case p.Type == call.FederatedUser:
		return bounded
	}
	return identity
}

// name says who asks, in the terms of the element Principal.
func (q *query) name() policy.Principal {
	p := q.principal
	switch q.who {
	case service:
		return policy.Principal{Service: p.Name}
	case web:
		return policy.Principal{Federated: provider(p.Session.Provider, q.partition(), q.owner)}
	case nobody:
		return policy.Principal{Anonymous: true}
	}
	n := policy.Principal{ARN: p.ARN, Account: p.Account, UserID: p.UserID}
	if p.Session != nil {
		n.RoleARN = p.Session.RoleARN
	}
	return n
}

// provider returns an identity provider as policies name it: a few by their hosts,
// all others by the ARN that they have in an account.
func provider(host, partition, account string) string {
	switch host {
	case "accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com":
		return host
	}
	if strings.HasPrefix(host, "arn:") {
		return host
	}
	return "arn:" + partition + ":iam::" + account + ":oidc-provider/" + host
}

// clock returns the time of the decision, which is the same throughout.
func (q *query) clock() time.Time {
	if q.at.IsZero() {
		q.at = q.now()
	}
	return q.at
}
