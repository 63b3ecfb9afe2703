package analyze

import (
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
	"github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

const everything = "*"

// catalog is all actions that there are, in lower case, with their names.
type catalog struct {
	names map[string]string
	order []string // in lower case
}

func newCatalog() *catalog {
	c := &catalog{names: map[string]string{}}
	for _, p := range actions.Prefixes() {
		for _, a := range p.Actions {
			name := p.Name + ":" + a.Name
			c.names[strings.ToLower(name)] = name
		}
	}
	for _, op := range outcrop.Model.Operations { // AWS's tables know nothing of them
		c.names[strings.ToLower(op.Action)] = op.Action
	}
	c.order = slices.Sorted(maps.Keys(c.names))
	return c
}

// any tells whether a pattern, in lower case, fits some action.
func (c *catalog) any(pattern string) bool {
	return slices.ContainsFunc(c.order, func(a string) bool { return matches(pattern, a) })
}

// rules are statements with patterns that can be compared.
type rules []rule

type rule struct {
	*policy.Statement
	actions, except      []string // in lower case
	resources, elsewhere []string // see resourcePattern
}

func rulesOf(docs ...*policy.Document) rules {
	var out rules
	for _, d := range docs {
		if d == nil {
			continue
		}
		all := d.Statements()
		for i := range all {
			s := &all[i]
			out = append(out, rule{
				s, lowered(s.Actions), lowered(s.NotActions),
				resourcePatterns(s.Resources, d.Version()), resourcePatterns(s.NotResources, d.Version()),
			})
		}
	}
	return out
}

// names tells whether the rule is about an action, which is in lower case.
func (r *rule) names(action string) bool {
	fits := func(p string) bool { return matches(p, action) }
	if r.NotActions != nil {
		return !slices.ContainsFunc(r.except, fits)
	}
	return slices.ContainsFunc(r.actions, fits)
}

// blanket tells whether a rule holds for every resource and every caller.
func (r *rule) blanket() bool {
	return len(r.Conditions) == 0 && slices.Contains(r.Resources, everything)
}

// allow tells whether a rule allows an action on something.
func (l rules) allow(action string) bool {
	for i := range l {
		if l[i].Effect == policy.Allow && l[i].names(action) {
			return true
		}
	}
	return false
}

// forbid tells whether a rule denies an action on everything.
func (l rules) forbid(action string) bool {
	for i := range l {
		if l[i].Effect == policy.Deny && l[i].blanket() && l[i].names(action) {
			return true
		}
	}
	return false
}

// bounds are all rules that bind a principal, those of the identity first.
type bounds struct {
	identity rules
	limits   []rules // each has to allow too
}

func boundsOf(p *access.Policies) bounds {
	b := bounds{identity: rulesOf(p.Identity...)}
	if p.Boundary != nil {
		b.limits = append(b.limits, rulesOf(p.Boundary))
	}
	for _, level := range p.Control {
		b.limits = append(b.limits, rulesOf(level...))
	}
	return b
}

// permit tells whether the principal may do an action, in lower case, on something.
// Conditions count as met.
func (b *bounds) permit(action string) bool {
	if !b.identity.allow(action) || b.identity.forbid(action) {
		return false
	}
	for _, l := range b.limits {
		if !l.allow(action) || l.forbid(action) {
			return false
		}
	}
	return true
}

// granted lists the actions that a principal may do on something, by name:
// wildcards stand for all actions that are known; actions of services that nobody
// knows stand as they are written.
func (b *bounds) granted(c *catalog) []string {
	var out []string
	open := lowered(access.OpenActions()) // which need no permission
	for _, a := range c.order {
		if !slices.Contains(open, a) && b.permit(a) {
			out = append(out, c.names[a])
		}
	}
	seen := map[string]bool{}
	for i := range b.identity {
		r := &b.identity[i]
		if r.Effect != policy.Allow {
			continue
		}
		for j, low := range r.actions {
			service, _, ok := strings.Cut(low, ":")
			known := service == outcrop.Model.SigningName || actions.Of(service) != nil || strings.ContainsAny(service, "*?")
			if ok && !seen[low] && !known && b.permit(low) {
				seen[low] = true
				out = append(out, r.Actions[j])
			}
		}
	}
	slices.Sort(out)
	return out
}
