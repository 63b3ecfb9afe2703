package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Request is a question to Decide, with the facts to decide it by.
type Request struct {
	// Principal is who asks. The zero value is an identity without a name of the
	// account that the resource belongs to, if Policies is set.
	Principal call.Principal
	Action    string // "bedrock:InvokeModel"; case does not matter
	Resource  string // an ARN, or "*"; "" is the same as "*"
	// Policies binds the principal; nil: what Config.Principals says.
	Policies *Policies
	// Target is what is known of the resource; nil: what Config.Resources says.
	Target   *Resource
	Endpoint *policy.Document // policy of the VPC endpoint; nil: that of Source, if any
	Source   call.Source
	Region   string // "" means that the request has no region
	// Keys are condition keys, by names in lower case. They win over those that
	// come from the other facts; an empty list takes a key away.
	Keys map[string][]string
	Now  time.Time // zero: the Authorizer's clock
}

// Decision is the answer to a Request.
type Decision struct {
	Outcome Outcome
	// By is the kind of policy that decided, unless Root is true.
	By   policy.Kind
	Root bool // allowed because the root of an account may do everything in it
	// CrossAccount tells that the resource belongs to another account.
	CrossAccount bool
	// Layers is what the policies of each kind say together. Kinds of which there
	// are none are missing, but for policy.Identity.
	Layers map[policy.Kind]Outcome
	// Matched are the statements that decided: all that deny after an explicit deny,
	// all that allow otherwise, none after an implicit deny.
	Matched []Statement
	// Missing are the condition keys that the policies read and that the request does
	// not have, as they are written in the policies, sorted without regard to case.
	Missing []string
}

// Statement is a statement that decided.
type Statement struct {
	Kind     policy.Kind
	Document *policy.Document // that has it
	Index    int              // in the document's statements
	Sid      string
	Effect   policy.Effect
	// Begin and End are where it stands in the document's text, as IAM's simulator
	// counts.
	Begin, End Position
}

// Decide answers a question by the same rules as Authorize, apart from the list of
// open actions and bedrock:CallWithBearerToken, and tells how it came to it.
//
// Errors: trouble of Principals or Resources, which is none when both are injected;
// a policy in Source that cannot be read.
func (a Authorizer) Decide(ctx context.Context, r Request) (Decision, error) {
	e := a.withDefaults()
	q := e.queries.Get().(*query)
	defer e.release(q)
	if err := e.simulate(ctx, q, &r); err != nil {
		return Decision{}, err
	}
	v := q.decide()
	d := Decision{
		Outcome: v.outcome, By: v.by, Root: v.root,
		CrossAccount: q.owner != q.principal.Account && q.who != service && q.who != web,
		Layers:       make(map[policy.Kind]Outcome),
	}
	for _, kind := range order {
		if f := &q.found[kind]; f.asked || kind == policy.Identity {
			d.Layers[kind] = outcome(f.effect)
		}
	}
	missing := map[string]string{}
	for kind, doc := range q.all() {
		for _, name := range doc.ContextKeys() {
			if low := strings.ToLower(name); missing[low] == "" {
				if _, ok := q.Values(low); !ok {
					missing[low] = name
				}
			}
		}
		d.Matched = q.appendMatched(d.Matched, v.outcome, kind, doc)
	}
	for _, name := range missing {
		d.Missing = append(d.Missing, name)
	}
	slices.SortFunc(d.Missing, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return d, nil
}

// simulate fills q with the facts of a request.
func (e *engine) simulate(ctx context.Context, q *query, r *Request) error {
	q.who = whoIs(&r.Principal)
	if q.who == nobody && r.Policies != nil {
		q.who = identity
	}
	q.principal, q.source, q.region = &r.Principal, &r.Source, r.Region
	q.injected, q.endpoint = r.Keys, r.Endpoint
	q.now, q.at = e.cfg.Now, r.Now
	if r.Endpoint == nil && r.Source.EndpointPolicy != nil {
		d, err := e.endpoints.document(r.Source.EndpointPolicy)
		if err != nil {
			return fmt.Errorf("endpoint policy of listener %s: %w", r.Source.Listener, err)
		}
		q.endpoint = d
	}
	q.policies = &q.none
	switch {
	case r.Policies != nil:
		q.policies = r.Policies
	case e.cfg.Principals != nil && q.who.hasPolicies():
		p, err := e.cfg.Principals.Policies(ctx, &r.Principal)
		if err != nil {
			return fmt.Errorf("policies of %s: %w", r.Principal.ARN, err)
		}
		if p != nil {
			q.policies = p
		}
	}
	resource := r.Resource
	if resource == "" {
		resource = everything
	}
	q.request = policy.Request{Action: r.Action, Resource: resource, Keys: q}
	account := ""
	if parts, err := arn.Parse(resource); err == nil {
		account = parts.Account
		if known := e.cfg.Resources[parts.Service]; known != nil && r.Target == nil {
			if q.target, err = known.Resource(ctx, resource, r.Principal.Account); err != nil {
				return fmt.Errorf("resource %s: %w", resource, err)
			}
		}
	}
	if r.Target != nil {
		q.target = *r.Target
	}
	q.setOwner(account)
	if q.who == identity && r.Principal.Account == "" {
		q.owner = ""
	}
	return nil
}

// all yields the documents that take part, in the order of evaluation.
func (q *query) all() func(yield func(policy.Kind, *policy.Document) bool) {
	return func(yield func(policy.Kind, *policy.Document) bool) {
		p := q.policies
		each := func(kind policy.Kind, docs ...*policy.Document) bool {
			for _, d := range docs {
				if d != nil && !yield(kind, d) {
					return false
				}
			}
			return true
		}
		for _, level := range p.Control {
			if !each(policy.ServiceControl, level...) {
				return
			}
		}
		_ = each(q.resourceKind(), q.target.Policy) && each(policy.Identity, p.Identity...) &&
			each(policy.Boundary, p.Boundary) && each(policy.Session, p.Session...) && each(policy.Endpoint, q.endpoint)
	}
}

// appendMatched appends the statements of a document that led to an outcome.
func (q *query) appendMatched(to []Statement, o Outcome, kind policy.Kind, d *policy.Document) []Statement {
	if o == ImplicitDeny {
		return to
	}
	var spans []span
	for m := range d.Matches(&q.request) {
		if outcome(m.Effect) != o {
			continue
		}
		if spans == nil {
			spans = statementSpans(d.Text())
		}
		s := Statement{Kind: kind, Document: d, Index: m.Statement, Sid: m.Sid, Effect: m.Effect}
		if m.Statement < len(spans) {
			s.Begin, s.End = position(d.Text(), spans[m.Statement].begin), position(d.Text(), spans[m.Statement].end)
		}
		to = append(to, s)
	}
	return to
}

// outcome says what an effect comes to, taken alone.
func outcome(e policy.Effect) Outcome {
	switch e {
	case policy.Allow:
		return Allowed
	case policy.Deny:
		return ExplicitDeny
	default:
		return ImplicitDeny
	}
}
