package analyze

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// ErrNoPrincipal says that an account has no such user or role.
var ErrNoPrincipal = errors.New("analyze: no such user or role")

// Generated is a policy that was made from activity.
type Generated struct {
	Principal string // ARN
	// Policy allows what the principal did and nothing else, IAM JSON. It is "" when
	// the principal did nothing.
	Policy string
	Since  time.Time
	// Actions are what the policy allows, Unused what the principal may do now and
	// did not; by name.
	Actions, Unused []string
	// Exact tells that every resource is named. Else resources stand by their type,
	// because a principal used many of them or because the policy would be too long.
	Exact bool
}

// LeastPrivilege makes a policy of what a user or role of an account was allowed to
// do in the last days, 1 to MaxDays; 0 means DefaultDays.
//
// Errors: ErrNoPrincipal; days out of range.
func (a *Analyzer) LeastPrivilege(ctx context.Context, account, principalARN string, days int) (*Generated, error) {
	days = cmp.Or(days, DefaultDays)
	if days < 1 || days > MaxDays {
		return nil, fmt.Errorf("policy from activity: %d days are not 1 to %d", days, MaxDays)
	}
	return a.LeastPrivilegeSince(ctx, account, principalARN, a.now().UTC().Add(-time.Duration(days)*day))
}

// LeastPrivilegeSince is LeastPrivilege for the time since then, at most 400 days.
func (a *Analyzer) LeastPrivilegeSince(ctx context.Context, account, principalARN string, since time.Time) (*Generated, error) {
	s, err := a.subjectOf(account, principalARN)
	if err != nil {
		return nil, err
	}
	p, err := a.dir.Policies(ctx, &s.p)
	if err != nil {
		return nil, fmt.Errorf("policies of %s: %w", s.arn, err)
	}
	g := &Generated{Principal: s.arn, Since: since.UTC().Truncate(time.Second), Exact: true}
	did := a.dir.Activity(account, s.id, g.Since)
	used := map[string]bool{}
	for i := range did {
		used[strings.ToLower(did[i].Action)] = true
		g.Actions = append(g.Actions, did[i].Action)
	}
	b := boundsOf(p)
	for _, action := range b.granted(newCatalog()) {
		if !used[strings.ToLower(action)] {
			g.Unused = append(g.Unused, action)
		}
	}
	if len(did) == 0 {
		return g, nil
	}
	// The first that fits into a managed policy; the last one always counts.
	for _, widen := range []func(string) string{exactly, byType, anything} {
		text, exact := policyOf(did, widen)
		g.Policy, g.Exact = text, exact
		if policy.Size([]byte(text), policy.Identity) <= policy.MaxManaged {
			break
		}
	}
	return g, nil
}

// subjectOf finds a user or role of an account, also by the ARN of a session.
func (a *Analyzer) subjectOf(account, name string) (*subject, error) {
	parts, err := arn.Parse(name)
	if err != nil || parts.Account != account {
		return nil, ErrNoPrincipal
	}
	kind, path := parts.Split()
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case parts.Service == "iam" && kind == "user":
		if u := a.dir.User(account, last); u != nil && u.ARN() == name {
			return new(userSubject(u)), nil
		}
	case parts.Service == "iam" && kind == "role":
		if r := a.dir.RoleByARN(name); r != nil {
			return new(roleSubject(r)), nil
		}
	case parts.Service == "sts" && kind == "assumed-role":
		role, _, _ := strings.Cut(path, "/")
		if r := a.dir.Role(account, role); r != nil {
			return new(roleSubject(r)), nil
		}
	}
	return nil, ErrNoPrincipal
}

func exactly(resource string) string { return resource }

func anything(string) string { return everything }

// byType is the pattern of all resources of the kind that a pattern names.
func byType(resource string) string {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return everything
	}
	kind, _, ok := strings.Cut(parts[5], "/")
	if !ok {
		return everything
	}
	return strings.Join(parts[:5], ":") + ":" + kind + "/*"
}

// grant is a statement of a generated policy.
type grant struct {
	Sid      string
	Effect   string
	Action   []string
	Resource []string
}

// policyOf writes a policy that allows activity. Actions on the same resources
// share a statement.
func policyOf(did []identity.Activity, widen func(string) string) (text string, exact bool) {
	exact = true
	byResources := map[string]*grant{}
	for i := range did {
		set := map[string]bool{}
		for r := range did[i].Resources {
			w := widen(r)
			exact = exact && w == r && (r == everything || !strings.Contains(strings.ReplaceAll(r, "${*}", ""), "*"))
			set[w] = true
		}
		resources := slices.Sorted(maps.Keys(set))
		if set[everything] {
			resources = []string{everything}
		}
		service, _, _ := strings.Cut(did[i].Action, ":")
		key := service + " " + strings.Join(resources, " ")
		g := byResources[key]
		if g == nil {
			g = &grant{Effect: "Allow", Resource: resources}
			byResources[key] = g
		}
		g.Action = append(g.Action, did[i].Action)
	}
	doc := struct {
		Version   string
		Statement []*grant
	}{"2012-10-17", slices.Collect(maps.Values(byResources))}
	slices.SortFunc(doc.Statement, func(a, b *grant) int { return slices.Compare(a.Action, b.Action) })
	for i, g := range doc.Statement {
		service, _, _ := strings.Cut(g.Action[0], ":")
		g.Sid = fmt.Sprintf("%s%d", sidWord(service), i+1)
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil { // strings always have a form
		return "", false
	}
	return string(b), exact
}

// sidWord makes a word for a statement id of a service's prefix: "AccessAnalyzer".
func sidWord(service string) string {
	var b strings.Builder
	for _, part := range strings.Split(service, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
