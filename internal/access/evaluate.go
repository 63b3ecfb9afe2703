package access

import (
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Outcome is how a decision ends.
type Outcome uint8

// The outcomes. The zero value denies.
const (
	ImplicitDeny Outcome = iota // nothing allows it
	Allowed
	ExplicitDeny // a statement denies it
)

// String returns the outcome in the words of IAM's simulator: "allowed",
// "explicitDeny" or "implicitDeny".
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	default:
		return "implicitDeny"
	}
}

// query is one question and the facts that it is decided by. It is used by one
// goroutine at a time and used again for the next question.
type query struct {
	request   policy.Request
	who       caller
	principal *call.Principal
	said      []call.Said
	source    *call.Source
	mfa       time.Time // when the call itself proved a one-time code; zero: it did not
	region    string
	policies  *Policies
	endpoint  *policy.Document
	target    Resource
	owner     string // account of the target
	trust     bool   // the target's policy is a trust policy, and must allow
	now       func() time.Time
	at        time.Time // what now said; zero: not asked yet

	// Condition keys beside those that come from the facts above, by names in lower
	// case. Injected ones win over everything.
	injected, needKeys, callKeys map[string][]string

	found findings
	none  Policies // what binds those whom the directory does not know

	slots [slotCount][1]string
	made  []string
}

// finding is what the policies of one kind say together.
type finding struct {
	asked  bool // there are policies of the kind
	effect policy.Effect
	doc    *policy.Document // with the statement that decided
	match  policy.Match
}

// findings are by policy.Kind.
type findings [policy.Endpoint + 1]finding

// verdict is how a query ends.
type verdict struct {
	outcome Outcome
	root    bool        // allowed because a root may do everything
	by      policy.Kind // the kind that decided
}

// decider returns the kind of policy that decided, "" for the right of a root.
func (v verdict) decider() string {
	if v.root {
		return ""
	}
	return v.by.String()
}

// decide answers the query.
func (q *query) decide() verdict {
	v := q.decideOnce()
	if v.outcome == ImplicitDeny && q.request.Resource == everything && strings.EqualFold(q.request.Action, actionListModels) {
		return q.decideListing(v)
	}
	return v
}

// decideOnce goes through the kinds of policies in AWS's order.
func (q *query) decideOnce() verdict {
	q.ask()
	f := &q.found
	for _, kind := range order {
		if f[kind].effect == policy.Deny {
			return verdict{outcome: ExplicitDeny, by: kind}
		}
	}
	if f[policy.ServiceControl].silent() {
		return verdict{by: policy.ServiceControl}
	}
	own := q.resourceKind()
	granted := f[own].effect == policy.Allow
	if q.who == web && !f[own].match.Exact {
		granted = false // "everybody" means those whom AWS knows
	}
	same := q.owner == q.principal.Account
	allowed := verdict{outcome: Allowed, by: policy.Identity}
	reach := reachNothing
	switch {
	case q.who == service || q.who == web:
		reach = reachAll // nobody but the resource knows them
		if !granted {
			return verdict{by: own}
		}
	case !granted && (q.trust || !same):
		return verdict{by: own}
	case granted && same && q.limited():
		reach = q.reach(f[own].doc)
	}
	switch {
	case q.who == root:
		allowed.root = same && !q.trust
		if !allowed.root {
			allowed.by = own
		}
	case f[policy.Identity].effect == policy.Allow:
	case reach == reachNothing:
		return verdict{by: policy.Identity}
	default:
		allowed.by = own
	}
	if reach != reachAll {
		if f[policy.Boundary].silent() {
			return verdict{by: policy.Boundary}
		}
		if f[policy.Session].silent() {
			return verdict{by: policy.Session}
		}
	} else {
		allowed.by = own
	}
	if f[policy.Endpoint].silent() {
		return verdict{by: policy.Endpoint}
	}
	return allowed
}

// order is the order in which kinds are named when several deny.
var order = [...]policy.Kind{
	policy.ServiceControl, policy.Resource, policy.Trust, policy.Identity, policy.Boundary, policy.Session, policy.Endpoint,
}

// silent tells that there are policies but none of them allows.
func (f *finding) silent() bool { return f.asked && f.effect != policy.Allow }

// limited tells whether something other than the resource's policy lacks an Allow.
func (q *query) limited() bool {
	f := &q.found
	return q.who != root && f[policy.Identity].effect != policy.Allow || f[policy.Boundary].silent() || f[policy.Session].silent()
}

// resourceKind returns the kind of the target's policy.
func (q *query) resourceKind() policy.Kind {
	if q.trust {
		return policy.Trust
	}
	return policy.Resource
}

// ask lets all policies speak.
func (q *query) ask() {
	p, f := q.policies, &q.found
	*f = findings{}
	f[policy.ServiceControl] = q.levels(p.Control)
	if q.target.Policy != nil {
		f[q.resourceKind()] = q.one(q.target.Policy)
	}
	f[policy.Identity] = q.documents(p.Identity)
	if p.Boundary != nil {
		f[policy.Boundary] = q.one(p.Boundary)
	}
	f[policy.Session] = q.documents(p.Session)
	if q.who == bounded {
		f[policy.Session].asked = true // without one there is nothing it may do
	}
	if q.endpoint != nil {
		f[policy.Endpoint] = q.one(q.endpoint)
	}
}

// one asks one document.
func (q *query) one(d *policy.Document) finding {
	m := d.Evaluate(&q.request)
	return finding{asked: true, effect: m.Effect, doc: d, match: m}
}

// documents asks documents of which one must allow and none may deny.
func (q *query) documents(docs []*policy.Document) finding {
	best := finding{asked: len(docs) > 0}
	for _, d := range docs {
		switch m := d.Evaluate(&q.request); {
		case m.Effect == policy.Deny:
			return finding{asked: true, effect: policy.Deny, doc: d, match: m}
		case m.Effect == policy.Allow && best.effect == policy.None:
			best = finding{asked: true, effect: policy.Allow, doc: d, match: m}
		}
	}
	return best
}

// levels asks the levels of an organisation, each of which must allow.
func (q *query) levels(levels [][]*policy.Document) finding {
	sum := finding{asked: len(levels) > 0}
	quiet := false
	for _, docs := range levels {
		f := q.documents(docs)
		switch f.effect {
		case policy.Deny:
			return f
		case policy.None:
			quiet = true
		case policy.Allow:
			sum = f
		}
	}
	if quiet {
		return finding{asked: true}
	}
	return sum
}

// reach says how far an Allow of a resource's policy goes within one account.
type reach uint8

const (
	reachNothing  reach = iota // it names the account, which leaves it to the identity's policies
	reachIdentity              // it names the role: boundary and session policies must allow too
	reachAll                   // it names the principal itself, or everybody
)

// reach finds the widest Allow of the policy of a resource in the caller's own
// account.
// Source: IAM user guide, "Policy evaluation for requests within a single account",
// table of resource-based policies and implicit denies.
func (q *query) reach(d *policy.Document) reach {
	if q.who == root {
		return reachAll // naming the account names its root
	}
	best := reachNothing
	statements := d.Statements()
	role, _, _ := strings.Cut(q.request.Principal.UserID, ":")
	for m := range d.Matches(&q.request) {
		if m.Effect != policy.Allow {
			continue
		}
		s := &statements[m.Statement]
		switch {
		case m.Exact, s.Principals == nil, s.Principals.Any, slices.Contains(s.Principals.AWS, everything):
			return reachAll
		case q.request.Principal.RoleARN == "":
		case slices.Contains(s.Principals.AWS, q.request.Principal.RoleARN), slices.Contains(s.Principals.AWS, role):
			best = reachIdentity
		}
	}
	return best
}

// actionListModels is the action that is also granted by foundation models.
const actionListModels = "bedrock:ListFoundationModels"

// decideListing decides over ListFoundationModels once nothing has allowed it on
// "*", which is the one resource that it has on AWS. Policies in circulation allow
// it on ARNs of foundation models, so it is allowed too where the whole decision
// allows it on an ARN of the request's region that a statement names. That ARN is
// then left as the query's resource.
func (q *query) decideListing(v verdict) verdict {
	prefix := "arn:" + q.partition() + ":bedrock:" + q.region + "::"
	found := q.found
	var tried []string
	for _, name := range q.modelNames() {
		q.request.Resource = prefix + name
		if slices.Contains(tried, q.request.Resource) {
			continue
		}
		tried = append(tried, q.request.Resource)
		if w := q.decideOnce(); w.outcome == Allowed {
			return w
		}
	}
	q.request.Resource, q.found = everything, found
	return v
}

// modelNames returns the names of foundation models that the policies have, each with as little as possible in the place of wildcards, and before them
// one that stands for all.
func (q *query) modelNames() []string {
	const kind = "foundation-model/"
	names := []string{kind + "*"}
	add := func(docs ...*policy.Document) {
		for _, d := range docs {
			for i := range d.Statements() {
				for _, r := range d.Statements()[i].Resources {
					parts := strings.SplitN(r, ":", 6)
					if len(parts) == 6 && strings.HasPrefix(parts[5], kind) {
						name := strings.ReplaceAll(parts[5], "?", "x")
						names = append(names, strings.ReplaceAll(name, "*", ""))
					}
				}
			}
		}
	}
	add(q.policies.Identity...)
	add(q.policies.Session...)
	for _, d := range [...]*policy.Document{q.policies.Boundary, q.endpoint} {
		if d != nil {
			add(d)
		}
	}
	for _, level := range q.policies.Control {
		add(level...)
	}
	return names
}

// partition returns the partition of the request.
func (q *query) partition() string {
	if q.region == "" {
		return arn.PartitionAWS
	}
	return arn.Partition(q.region)
}
