package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// Reason says why a policy does not pass a check.
type Reason struct {
	Statement int // index of the statement in the policy that was checked, from 0; -1: none of them
	Sid       string
	Text      string // one sentence
}

func reason(d *policy.Document, i int, format string, args ...any) Reason {
	return Reason{Statement: i, Sid: d.Statements()[i].Sid, Text: fmt.Sprintf(format, args...)}
}

// NewAccess says where a policy may allow what another one does not; none when it
// surely allows nothing new. It compares patterns, so it may find new access where
// several statements of the old policy make up for it together.
func NewAccess(old, changed *policy.Document) []Reason {
	var out []Reason
	before, after := rulesOf(old), rulesOf(changed)
	e := newEffort()
	for i := range after {
		if after[i].Effect != policy.Allow {
			continue
		}
		if gained := gains(e, before, &after[i], after); gained != "" {
			out = append(out, reason(changed, i, "New access in the statement with index %d: %s.", i, gained))
		}
	}
	for i := range before {
		if before[i].Effect == policy.Deny && !deniedStill(e, &before[i], after) {
			out = append(out, Reason{Statement: -1, Text: fmt.Sprintf("New access: the statement with index %d of the existing policy denies what the new one does not deny.", i)})
		}
	}
	return out
}

// gains names the first pair of action and resource that a rule allows and no rule
// of before does.
func gains(e *effort, before rules, s *rule, after rules) string {
	for _, a := range s.actionSpans() {
		for _, r := range s.resourceSpans() {
			p := pair{a, r, s}
			if !p.allowedBy(e, before) && !p.deniedBy(e, after) {
				return a.words + " on " + r.words
			}
		}
	}
	return ""
}

// span is a pattern that can be compared, or everything but some patterns.
type span struct {
	pattern string
	but     []string
	words   string
}

func (r *rule) actionSpans() []span { return spans(r.actions, r.except, r.Actions, r.NotActions) }

func (r *rule) resourceSpans() []span {
	return spans(r.resources, r.elsewhere, r.Resources, r.NotResources)
}

func spans(list, not, words, notWords []string) []span {
	if not != nil {
		return []span{{everything, not, "everything but " + strings.Join(notWords, " and ")}}
	}
	if list == nil { // trust policies name no resource
		return []span{{everything, nil, "it"}}
	}
	out := make([]span, len(list))
	for i, p := range list {
		out[i] = span{p, nil, words[i]}
	}
	return out
}

// within tells whether all of a span lies within a list, or outside of not.
func (s span) within(e *effort, list, not []string) bool {
	switch {
	case not != nil && s.but != nil: // it leaves out at least what not leaves out
		return !slices.ContainsFunc(not, func(n string) bool { return !e.anyCovers(s.but, n) })
	case not != nil:
		return !slices.ContainsFunc(not, func(n string) bool { return e.overlap(n, s.pattern) })
	case list == nil:
		return true
	}
	return e.anyCovers(list, s.pattern)
}

// meets tells whether a pattern and a list, or everything but not, may have
// something in common.
func (s span) meets(e *effort, list, not []string) bool {
	switch {
	case not != nil:
		return !e.anyCovers(not, s.pattern)
	case list == nil:
		return true
	}
	return slices.ContainsFunc(list, func(p string) bool { return e.overlap(p, s.pattern) })
}

// pair is an action and a resource under the principals and conditions of a rule.
type pair struct {
	action, resource span
	of               *rule
}

// allowedBy tells whether one rule allows all of the pair to everybody whom the
// statement lets in.
func (p *pair) allowedBy(e *effort, l rules) bool {
	return slices.ContainsFunc(l, func(r rule) bool {
		return r.Effect == policy.Allow && p.action.within(e, r.actions, r.except) && p.resource.within(e, r.resources, r.elsewhere) &&
			wider(r.Principals, p.of.Principals) && conditionsWithin(r.Conditions, p.of.Conditions)
	})
}

// deniedBy tells whether one rule denies all of the pair to everybody.
func (p *pair) deniedBy(e *effort, l rules) bool {
	return slices.ContainsFunc(l, func(r rule) bool {
		return r.Effect == policy.Deny && p.action.within(e, r.actions, r.except) && p.resource.within(e, r.resources, r.elsewhere) &&
			r.NotPrincipals == nil && wider(r.Principals, p.of.Principals) && len(r.Conditions) == 0
	})
}

// deniedStill tells whether what a rule denies is denied by rules, by each part of
// it under the same conditions or fewer.
func deniedStill(e *effort, d *rule, l rules) bool {
	for _, a := range d.actionSpans() {
		for _, res := range d.resourceSpans() {
			if !slices.ContainsFunc(l, func(r rule) bool {
				same := samePrincipals(r.NotPrincipals, d.NotPrincipals) && (d.NotPrincipals != nil || wider(r.Principals, d.Principals))
				return r.Effect == policy.Deny && a.within(e, r.actions, r.except) && res.within(e, r.resources, r.elsewhere) &&
					same && conditionsWithin(r.Conditions, d.Conditions)
			}) {
				return false
			}
		}
	}
	return true
}

// wider tells whether outer names everybody whom inner names.
func wider(outer, inner *policy.Principals) bool {
	if outer == nil || inner == nil {
		return outer == nil && inner == nil
	}
	if outer.Any || slices.Contains(outer.AWS, everything) {
		return true
	}
	if inner.Any {
		return false
	}
	for _, p := range inner.AWS {
		account := accountOf(p)
		if !slices.ContainsFunc(outer.AWS, func(o string) bool {
			return o == p || account != "" && (o == account || o == "arn:aws:iam::"+account+":root")
		}) {
			return false
		}
	}
	return subset(inner.Service, outer.Service) && subset(inner.Federated, outer.Federated) && subset(inner.CanonicalUser, outer.CanonicalUser)
}

func samePrincipals(a, b *policy.Principals) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Any == b.Any && subset(a.AWS, b.AWS) && subset(b.AWS, a.AWS) && subset(a.Service, b.Service) && subset(b.Service, a.Service) &&
		subset(a.Federated, b.Federated) && subset(b.Federated, a.Federated)
}

func subset(inner, outer []string) bool {
	return !slices.ContainsFunc(inner, func(s string) bool { return !slices.Contains(outer, s) })
}

// conditionsWithin tells whether the conditions of outer hold whenever those of
// inner do: each of outer stands in inner too, with the same values or, for
// operators that ask for one of their values, with fewer.
func conditionsWithin(outer, inner []policy.Condition) bool {
	for _, o := range outer {
		how, _ := bindingOf(o.Operator)
		if !slices.ContainsFunc(inner, func(i policy.Condition) bool {
			if !strings.EqualFold(i.Operator, o.Operator) || !strings.EqualFold(i.Key, o.Key) {
				return false
			}
			fewer, more := subset(i.Values, o.Values), subset(o.Values, i.Values)
			return how == bindsTo && fewer || how == bindsOff && more || fewer && more
		}) {
			return false
		}
	}
	return true
}

// Access is actions on resources. No actions mean any, no resources mean any.
type Access struct{ Actions, Resources []string }

// Granted says where a policy may allow some of an access: any of its actions on
// any of its resources. Conditions count as met.
func Granted(d *policy.Document, want Access) []Reason {
	var out []Reason
	l, e := rulesOf(d), newEffort()
	for i := range l {
		if l[i].Effect != policy.Allow {
			continue
		}
		if what := grantedBy(e, &l[i], l, want); what != "" {
			out = append(out, reason(d, i, "The statement with index %d allows %s.", i, what))
		}
	}
	return out
}

func grantedBy(e *effort, r *rule, all rules, want Access) string {
	actions, resources := want.Actions, want.Resources
	if len(actions) == 0 {
		actions = []string{everything}
	}
	if len(resources) == 0 {
		resources = []string{everything}
	}
	for _, a := range actions {
		for _, res := range resources {
			p := pair{span{pattern: strings.ToLower(a)}, span{pattern: resourcePattern(res, "")}, r}
			if p.action.meets(e, r.actions, r.except) && p.resource.meets(e, r.resources, r.elsewhere) && !p.deniedBy(e, all) {
				return a + " on " + res
			}
		}
	}
	return ""
}

// PublicAccess says where a policy of a resource, or a trust policy, lets in
// everybody. Conditions on who comes, or from which network, make it not public.
func PublicAccess(d *policy.Document) []Reason {
	var out []Reason
	all := d.Statements()
	for i := range all {
		s := &all[i]
		if s.Effect != policy.Allow || s.Principals == nil || !s.Principals.Any && !slices.Contains(s.Principals.AWS, everything) {
			continue
		}
		if l := limitsOf(d, s); !l.bound() && !l.other {
			out = append(out, reason(d, i, "The statement with index %d lets in everybody.", i))
		}
	}
	return out
}
