package analyze

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// external finds trust policies and policies of resources that let in who is not of
// the account.
func (r *review) external() {
	for _, role := range r.dir.Roles(r.account) {
		if role.ServiceLinked() == "" {
			r.lets(role.ARN(), role.Created, role.TrustDocument())
		}
	}
	if r.resources == nil {
		return
	}
	for name, d := range r.resources.Policies(r.account) {
		r.lets(name, time.Time{}, d)
	}
}

// outsider is somebody whom a policy lets in.
type outsider struct {
	principal  string
	words      string
	public     bool
	actions    map[string]bool
	conditions map[string]string
}

// lets finds whom a policy lets in, with one finding for each.
func (r *review) lets(resource string, since time.Time, d *policy.Document) {
	all := map[string]*outsider{}
	statements := d.Statements()
	for i := range statements {
		s := &statements[i]
		if s.Effect != policy.Allow || s.Principals == nil {
			continue
		}
		limits := limitsOf(d, s)
		for _, o := range r.outsiders(s, limits) {
			known := all[o.principal]
			if known == nil {
				known, all[o.principal] = &o, &o
				o.actions, o.conditions = map[string]bool{}, map[string]string{}
			}
			for _, a := range s.Actions {
				known.actions[a] = true
			}
			for _, a := range s.NotActions {
				known.actions["everything but "+a] = true
			}
			for _, c := range s.Conditions {
				known.conditions[c.Key] = strings.Join(c.Values, ",")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o := all[name]
		actions := slices.Sorted(maps.Keys(o.actions))
		detail := "Lets in " + o.words + ": " + brief(actions)
		if len(o.conditions) > 0 {
			detail += ", if " + strings.Join(slices.Sorted(maps.Keys(o.conditions)), ", ")
		}
		r.add(Finding{
			Type: ExternalAccess, Resource: resource, Principals: []string{o.principal}, Public: o.public, Actions: actions,
			Conditions: o.conditions, Began: since, Detail: detail, Advice: adviceFor(o),
		}, o.principal)
	}
}

func adviceFor(o *outsider) string {
	switch {
	case o.public:
		return "Name who may, or ask for aws:PrincipalOrgID or aws:PrincipalAccount in a condition."
	case strings.HasSuffix(o.principal, ".amazonaws.com"):
		return "Ask for aws:SourceAccount or aws:SourceArn in a condition, so that nobody uses the service against you."
	}
	return "Keep it only if you know who that is and why."
}

// outsiders are those whom a statement lets in and who are not of the account.
func (r *review) outsiders(s *policy.Statement, l limits) []outsider {
	var out []outsider
	p := s.Principals
	if p.Any || slices.Contains(p.AWS, everything) {
		out = r.everybody(out, l)
	}
	for _, name := range p.AWS {
		account := accountOf(name)
		if account == "" || account == r.account || !l.admit(account) {
			continue
		}
		out = append(out, outsider{principal: name, words: r.stranger(account, name)})
	}
	for _, name := range p.Federated {
		out = append(out, outsider{principal: name, words: "who signs in with " + name[strings.LastIndexByte(name, ':')+1:]})
	}
	for _, name := range p.Service {
		if !l.source {
			out = append(out, outsider{principal: name, words: "the service " + name + " on anybody's behalf"})
		}
	}
	return out
}

// everybody are those who "*" lets in under limits.
func (r *review) everybody(out []outsider, l limits) []outsider {
	if !l.bound() {
		return append(out, outsider{principal: everything, words: "everybody", public: !l.other})
	}
	for _, account := range l.accounts {
		if account != r.account {
			root := "arn:aws:iam::" + account + ":root"
			out = append(out, outsider{principal: root, words: r.stranger(account, root)})
		}
	}
	for _, org := range l.organisations {
		out = append(out, outsider{principal: org, words: "everybody of organization " + org})
	}
	return out
}

// stranger tells who a principal of another account is.
func (r *review) stranger(account, name string) string {
	words := "account " + account
	if a := r.dir.Account(account); a != nil && a.Name != "" {
		words += " (" + a.Name + ")"
	}
	if a, err := arn.Parse(name); err == nil && a.Resource != "root" {
		words = a.Resource + " of " + words
	}
	return words
}

// accountOf is the account of a principal of the kind AWS; "" for "*" and for ids
// of principals that are gone.
func accountOf(name string) string {
	if arn.ValidAccount(name) {
		return name
	}
	if a, err := arn.Parse(name); err == nil {
		return a.Account
	}
	return ""
}

// limits are what conditions on the caller leave of everybody. Without accounts
// and organisations everybody is left.
type limits struct {
	accounts      []string
	organisations []string
	source        bool // a service has to say on whose behalf it comes
	other         bool // some other fixed fact about the caller or the network
}

// bound tells whether the limits leave only some of everybody.
func (l *limits) bound() bool { return len(l.accounts)+len(l.organisations) > 0 }

// admit tells whether the limits leave an account. Of organisations nobody knows
// here who belongs to them.
func (l *limits) admit(account string) bool {
	return len(l.accounts) == 0 || slices.Contains(l.accounts, account)
}

// limitsOf collects the limits of a statement that allows: those of its own
// conditions, and those of statements that deny all of it to everybody else.
func limitsOf(d *policy.Document, s *policy.Statement) limits {
	var l limits
	for _, c := range s.Conditions {
		key := strings.ToLower(c.Key)
		how, optional := bindingOf(c.Operator)
		if how == bindsTo && (!optional || strings.HasPrefix(key, "aws:principal")) { // who signs has those
			l.add(key, c.Values)
		}
	}
	all := d.Statements()
	for i := range all {
		n := &all[i]
		if n.Effect != policy.Deny || len(n.Conditions) != 1 || n.Principals == nil || !n.Principals.Any && !slices.Contains(n.Principals.AWS, everything) || !about(n, s) {
			continue
		}
		if how, _ := bindingOf(n.Conditions[0].Operator); how == bindsOff {
			l.add(strings.ToLower(n.Conditions[0].Key), n.Conditions[0].Values)
		}
	}
	return l
}

// about tells whether a statement is about everything that s is about.
func about(n, s *policy.Statement) bool {
	if n.NotActions != nil || n.NotResources != nil || s.NotActions != nil && !slices.Contains(n.Actions, everything) {
		return false
	}
	e, outer := newEffort(), lowered(n.Actions)
	for _, a := range s.Actions {
		if !e.anyCovers(outer, strings.ToLower(a)) {
			return false
		}
	}
	if n.Resources == nil || slices.Contains(n.Resources, everything) { // trust policies have none
		return true
	}
	for _, r := range s.Resources {
		if !e.anyCovers(n.Resources, r) {
			return false
		}
	}
	return s.NotResources == nil
}

// binds says how an operator binds a key to fixed values.
type binds uint8

const (
	bindsNot binds = iota
	bindsTo        // only these values pass
	bindsOff       // all other values pass
)

// bindingOf sorts an operator. optional tells that a caller without the key passes.
// ForAllValues binds nobody: callers without the key pass.
func bindingOf(op string) (how binds, optional bool) {
	op, optional = strings.CutSuffix(strings.TrimPrefix(strings.ToLower(op), "foranyvalue:"), "ifexists")
	switch op {
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress":
		return bindsTo, optional
	case "stringnotequals", "stringnotequalsignorecase", "stringnotlike", "arnnotequals", "arnnotlike", "notipaddress":
		return bindsOff, optional
	}
	return bindsNot, optional
}

// add takes the fixed values of a condition key, in lower case, for limits. Values
// with wildcards where the account stands bind nobody.
func (l *limits) add(key string, values []string) {
	var accounts []string
	for _, v := range values {
		account := v
		if strings.HasPrefix(v, "arn:") {
			parts := strings.SplitN(v, ":", 6)
			if len(parts) < 6 {
				return
			}
			account = parts[4]
		}
		accounts = append(accounts, account)
	}
	valid := !slices.ContainsFunc(accounts, func(a string) bool { return !arn.ValidAccount(a) })
	fixed := !slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "*?$") })
	switch key {
	case "aws:principalaccount", "aws:principalarn":
		if valid {
			l.accounts = append(l.accounts, accounts...)
		}
	case "aws:sourceaccount", "aws:sourcearn", "aws:sourceowner":
		if valid {
			l.accounts, l.source = append(l.accounts, accounts...), true
		}
	case "aws:principalorgid", "aws:principalorgpaths":
		for _, v := range values {
			org, _, _ := strings.Cut(v, "/")
			if org != "" && !strings.ContainsAny(org, "*?$") {
				l.organisations = append(l.organisations, org)
			}
		}
	case "aws:sourceorgid", "aws:sourceorgpaths":
		l.source = l.source || fixed
	case "aws:sourcevpc", "aws:sourcevpce":
		l.other = l.other || fixed
	case "aws:sourceip":
		everywhere := slices.ContainsFunc(values, func(v string) bool { return strings.HasSuffix(v, "/0") })
		l.other = l.other || !everywhere
	}
}
