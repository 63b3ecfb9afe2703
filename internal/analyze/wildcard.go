package analyze

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/identity"
)

// wildcards finds policies of identities that allow everything, or all of a
// service, on everything.
func (r *review) wildcards() {
	for _, u := range r.dir.Users(r.account) {
		r.grants(u.ARN(), u.Created, &u.Grants)
	}
	for _, g := range r.dir.Groups(r.account) {
		r.grants(g.ARN(), g.Created, &g.Grants)
	}
	for _, role := range r.dir.Roles(r.account) {
		if role.ServiceLinked() == "" {
			r.grants(role.ARN(), role.Created, &role.Grants)
		}
	}
}

func (r *review) grants(holder string, created time.Time, g *identity.Grants) {
	for i := range g.Inline {
		r.wide(holder, "Inline policy "+g.Inline[i].Name, created, g.Inline[i].Document())
	}
	for _, a := range g.Attached {
		if p := r.dir.Policy(r.account, a); p != nil {
			r.wide(holder, "Policy "+p.Name, later(created, p.Updated), p.Document())
		}
	}
}

// wide finds the wide statements of one policy of an identity.
func (r *review) wide(holder, name string, since time.Time, d *policy.Document) {
	var words, wide []string
	for i, s := range d.Statements() {
		if w := tooWide(&s); len(w) > 0 {
			words = append(words, fmt.Sprintf("statement %d", i+1))
			wide = append(wide, w...)
		}
	}
	if len(wide) == 0 {
		return
	}
	slices.Sort(wide)
	wide = slices.Compact(wide)
	r.add(Finding{
		Type: Wildcard, Resource: holder, Actions: wide, Began: since,
		Detail: fmt.Sprintf("%s allows %s on every resource (%s)", name, strings.Join(wide, ", "), strings.Join(words, ", ")),
		Advice: "Name the actions and resources that are needed.",
	}, name)
}

// tooWide returns the patterns of a statement that allow everything, or all of a
// service, on every resource; "everything but ..." is everything.
func tooWide(s *policy.Statement) []string {
	if s.Effect != policy.Allow || !slices.Contains(s.Resources, everything) && s.NotResources == nil {
		return nil
	}
	if s.NotActions != nil {
		return []string{"everything but " + strings.Join(s.NotActions, " and ")}
	}
	var out []string
	for _, a := range s.Actions {
		_, name, _ := strings.Cut(a, ":")
		if strings.Trim(a, "*:") == "" || name != "" && strings.Trim(name, "*") == "" {
			out = append(out, a)
		}
	}
	return out
}
