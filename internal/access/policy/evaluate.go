package policy

import (
	"iter"
	"strings"
)

// Keys are the condition keys of a request.
type Keys interface {
	// Values returns the values of the key with the name in lower case, such as
	// "aws:principaltag/team". ok is false when the request does not have the
	// key; an empty list counts as that too. The caller does not change the list.
	Values(name string) (values []string, ok bool)
}

// Request is one question: may the principal do the action on the resource?
type Request struct {
	Principal Principal
	Action    string // "bedrock:InvokeModel"
	Resource  string // an ARN, or "*" for an action that has no resources
	Keys      Keys   // nil for none
}

// Match is what a document says about a request.
type Match struct {
	Effect    Effect
	Statement int    // index of the statement that decided; -1 when none applies
	Sid       string // of that statement
	// Exact tells of an Allow that the element Principal names the principal's own
	// ARN or unique id (of a session: the session's), its service or its identity
	// provider, not merely its account, its role or everybody.
	Exact bool
}

// Evaluate says what the document says about r. Every statement counts: one that
// denies beats all that allow, and of those that allow, one that names the
// principal exactly is told before others; then the first in the text is.
//
// It allocates nothing unless a condition compares bytes, or has policy variables
// in an ARN or in a comparison without regard to case, or more than eight parts
// around its variables.
func (d *Document) Evaluate(r *Request) Match {
	best := Match{Statement: -1}
	service, name, _ := strings.Cut(r.Action, ":")
	for i := range d.compiled {
		s := &d.compiled[i]
		if s.effect == Allow && best.Effect == Allow && (best.Exact || !s.needPrincipal) {
			continue // can change nothing any more
		}
		how, ok := s.applies(r, service, name)
		if !ok {
			continue
		}
		m := Match{Effect: s.effect, Statement: i, Sid: d.statements[i].Sid, Exact: how == bySelf && s.effect == Allow}
		if s.effect == Deny {
			return m
		}
		if best.Effect == None || m.Exact {
			best = m
		}
	}
	return best
}

// Matches yields every statement that applies to r, in the order of the text.
func (d *Document) Matches(r *Request) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		service, name, _ := strings.Cut(r.Action, ":")
		for i := range d.compiled {
			s := &d.compiled[i]
			how, ok := s.applies(r, service, name)
			if ok && !yield(Match{Effect: s.effect, Statement: i, Sid: d.statements[i].Sid, Exact: how == bySelf && s.effect == Allow}) {
				return
			}
		}
	}
}

// applies tells whether the statement is about r, whose action has been cut at its
// colon, and how it names the principal.
func (s *statement) applies(r *Request, service, name string) (named, bool) {
	if s.hasAction(service, name) == s.not.action {
		return notNamed, false
	}
	how := notNamed
	switch {
	case !s.needPrincipal:
	case s.not.principal:
		if s.principals.spares(&r.Principal) {
			return notNamed, false
		}
	default:
		if how = s.principals.find(&r.Principal); how == notNamed {
			return notNamed, false
		}
	}
	if !s.ignoreTarget && s.hasResource(r) == s.not.resource {
		return notNamed, false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r.Keys) {
			return notNamed, false
		}
	}
	return how, true
}

// hasAction tells whether a pattern fits the action.
func (s *statement) hasAction(service, name string) bool {
	for i := range s.actions {
		a := &s.actions[i]
		if a.service == "" {
			return true
		}
		if len(a.service) != len(service) || !equal(service, a.service, true) {
			continue
		}
		for j := range a.names {
			if a.names[j].fits(name, true) {
				return true
			}
		}
	}
	return false
}

// hasResource tells whether a pattern fits the resource.
func (s *statement) hasResource(r *Request) bool {
	if s.anyResource {
		return true
	}
	for i := range s.resources {
		if s.resources[i].matches(r.Resource, r.Keys) {
			return true
		}
	}
	return false
}
