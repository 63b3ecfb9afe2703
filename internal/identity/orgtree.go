package identity

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
)

// Limits of an organisation. Source: "Quotas for AWS Organizations"; the numbers
// of accounts, units and policies are what AWS grants at most.
const (
	maxUnitDepth       = 5 // organisational units below each other
	maxMembers         = 10000
	maxUnits           = 2000
	maxControlPolicies = 10000
	maxControlAttached = 5 // policies of the type at one root, unit or account
)

// FullAccessPolicy is the id of the service control policy that allows
// everything. It is AWS's own, attached wherever something new appears, and can
// neither be changed nor deleted.
const FullAccessPolicy = "p-FullAWSAccess"

// fullAccessText is what FullAccessPolicy says.
const fullAccessText = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// Organization is an organisation: a root, units below it, accounts in them.
type Organization struct {
	ID         string // "o-" and 10 characters
	Root       string // "r-" and 4 characters
	Management string // account that owns it
	Created    time.Time
	Control    bool     // service control policies are enabled
	Attached   []string // ids of service control policies at the root
	Tags       Tags     // of the root
}

// ARN names the organisation.
func (o *Organization) ARN() string { return o.arn("organization", "") }

// RootARN names its root.
func (o *Organization) RootARN() string { return o.arn("root", o.Root) }

// arn names a thing of a sort in the organisation.
func (o *Organization) arn(sort, id string) string {
	name := "arn:aws:organizations::" + o.Management + ":" + sort + "/" + o.ID
	if id != "" {
		name += "/" + id
	}
	return name
}

// Unit is an organisational unit.
type Unit struct {
	ID       string // "ou-", the root's 4 characters, "-" and 8 characters
	Parent   string // id of the root or of a unit
	Name     string // unique among the units of its parent
	Created  time.Time
	Attached []string
	Tags     Tags
}

// Member is an account's place in the organisation.
type Member struct {
	Account  string // 12 digits
	Parent   string // id of the root or of a unit
	Joined   time.Time
	Request  string // "car-...", the CreateAccount that made it; "" for an account that was there before
	Attached []string
	Tags     Tags
}

// ControlPolicy is a service control policy.
type ControlPolicy struct {
	ID          string // "p-" and 8 characters
	Name        string // unique in the organisation
	Description string
	Text        string
	Created     time.Time
	Tags        Tags

	document *policy.Document
}

// AWSManaged says that the policy is AWS's own.
func (p *ControlPolicy) AWSManaged() bool { return p.ID == FullAccessPolicy }

// The kinds of records that make up the organisation. They belong to the
// installation, which has one organisation at most.
var (
	orgKind     = kind[Organization]{name: "org/organization", id: func(*Organization) string { return "organization" }}
	unitKind    = kind[Unit]{name: "org/unit", id: func(u *Unit) string { return u.ID }}
	memberKind  = kind[Member]{name: "org/member", id: func(m *Member) string { return m.Account }}
	requestKind = kind[AccountRequest]{name: "org/request", id: func(r *AccountRequest) string { return r.ID }}
	controlKind = kind[ControlPolicy]{
		name: "org/policy", id: func(p *ControlPolicy) string { return p.ID }, label: func(p *ControlPolicy) string { return p.Name },
		prepare: func(p *ControlPolicy) (err error) {
			p.document, err = policy.Parse([]byte(p.Text), policy.ServiceControl)
			return err
		},
	}
)

// orgTree is the organisation as it stands in one state.
type orgTree struct {
	org      *Organization // nil: there is none
	units    map[string]*Unit
	members  map[string]*Member
	policies map[string]*ControlPolicy
}

// treeOf returns the organisation of a state. It copies nothing.
func treeOf(s *state) orgTree {
	return orgTree{
		org:   find(s, &orgKind, "", "organization"),
		units: all(s, &unitKind, "").byID, members: all(s, &memberKind, "").byID, policies: all(s, &controlKind, "").byID,
	}
}

// bindOrganization adds what the organisation says about an account.
func bindOrganization(s *state, account string, v *access.Policies) {
	t := treeOf(s)
	if t.org == nil || t.members[account] == nil {
		return
	}
	v.Control, v.OrgID, v.OrgPath = t.control(account), t.org.ID, t.path(account)
}

// parent returns the id that a root, unit or account lies below; "" for the root
// and for what is not there.
func (t orgTree) parent(id string) string {
	if u := t.units[id]; u != nil {
		return u.Parent
	}
	if m := t.members[id]; m != nil {
		return m.Parent
	}
	return ""
}

// isParent tells whether accounts and units may lie below id.
func (t orgTree) isParent(id string) bool {
	return t.org != nil && (id == t.org.Root || t.units[id] != nil)
}

// above returns id and what it lies below, the root first. It is nil when id is
// not there, or when a broken chain does not end at the root.
func (t orgTree) above(id string) []string {
	if t.org == nil {
		return nil
	}
	var chain []string
	for at := id; at != ""; at = t.parent(at) {
		if len(chain) > maxUnitDepth+2 {
			return nil
		}
		chain = append(chain, at)
	}
	if len(chain) == 0 || chain[len(chain)-1] != t.org.Root {
		return nil
	}
	slices.Reverse(chain)
	return chain
}

// depth is how many units lie above and at id: 0 for the root.
func (t orgTree) depth(id string) int { return max(0, len(t.above(id))-1) }

// attached returns the ids of the policies at a root, unit or account.
func (t orgTree) attached(id string) []string {
	switch {
	case t.org == nil:
		return nil
	case id == t.org.Root:
		return t.org.Attached
	case t.units[id] != nil:
		return t.units[id].Attached
	case t.members[id] != nil:
		return t.members[id].Attached
	}
	return nil
}

// control returns the service control policies that bind an account, one slice for
// each level from the root down. nil: none do, for the management account, for an
// account outside of the organisation, and while the policy type is disabled.
func (t orgTree) control(account string) [][]*policy.Document {
	if t.org == nil || !t.org.Control || account == t.org.Management || t.members[account] == nil {
		return nil
	}
	chain := t.above(account)
	if chain == nil {
		return [][]*policy.Document{{}} // a tree that cannot be read allows nothing
	}
	levels := make([][]*policy.Document, 0, len(chain))
	for _, id := range chain {
		level := []*policy.Document{}
		for _, p := range t.attached(id) {
			if c := t.policies[p]; c != nil {
				level = append(level, c.document)
			}
		}
		levels = append(levels, level)
	}
	return levels
}

// path is aws:PrincipalOrgPaths of an account: organisation, root and units, each
// with a slash behind it. "" outside of the organisation.
func (t orgTree) path(account string) string {
	chain := t.above(account)
	if chain == nil || t.members[account] == nil {
		return ""
	}
	return t.org.ID + "/" + strings.Join(chain[:len(chain)-1], "/") + "/"
}

// targets returns the ids of what a policy is attached to, in their order.
func (t orgTree) targets(policyID string) []string {
	var out []string
	if t.org == nil {
		return nil
	}
	if slices.Contains(t.org.Attached, policyID) {
		out = append(out, t.org.Root)
	}
	for _, id := range slices.Sorted(maps.Keys(t.units)) {
		if slices.Contains(t.units[id].Attached, policyID) {
			out = append(out, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.members)) {
		if slices.Contains(t.members[id].Attached, policyID) {
			out = append(out, id)
		}
	}
	return out
}

// unitsBelow returns the units right below a parent, by name.
func (t orgTree) unitsBelow(parent string) []*Unit {
	var out []*Unit
	for _, u := range t.units {
		if u.Parent == parent {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *Unit) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// membersBelow returns the accounts right below a parent, by number; all when
// parent is "".
func (t orgTree) membersBelow(parent string) []*Member {
	var out []*Member
	for _, m := range t.members {
		if parent == "" || m.Parent == parent {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *Member) int { return cmp.Compare(a.Account, b.Account) })
	return out
}

// allPolicies returns the service control policies, by id.
func (t orgTree) allPolicies() []*ControlPolicy {
	return slices.SortedFunc(maps.Values(t.policies), func(a, b *ControlPolicy) int { return cmp.Compare(a.ID, b.ID) })
}
