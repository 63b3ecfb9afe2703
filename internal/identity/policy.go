package identity

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// maxVersions is how many versions a managed policy may have.
const maxVersions = 5

// Policy is a managed policy.
type Policy struct {
	ID          string // "ANPA..."
	Account     string // "aws" for those of AWS
	Name        string
	Path        string
	Description string `json:",omitempty"`
	Created     time.Time
	Updated     time.Time
	Default     string          // id of the version in force
	Next        int             // number of the next version
	Versions    []PolicyVersion // oldest first, 1 to 5
	Tags        Tags            `json:",omitempty"`
}

// PolicyVersion is a version of a managed policy.
type PolicyVersion struct {
	ID      string // "v1"
	Text    string // IAM JSON as it was put
	Created time.Time
	doc     *policy.Document
}

// Document returns the compiled policy.
func (v *PolicyVersion) Document() *policy.Document { return v.doc }

var policyKind = kind[Policy]{
	name: "iam/policy", id: func(p *Policy) string { return p.ID }, label: func(p *Policy) string { return p.Name },
	prepare: (*Policy).prepare,
}

func (p *Policy) prepare() error {
	for i := range p.Versions {
		if v := &p.Versions[i]; v.doc == nil {
			var err error
			if v.doc, err = parse(v.Text, policy.Identity); err != nil {
				return err
			}
		}
	}
	return nil
}

// ARN returns the policy's ARN.
func (p *Policy) ARN() string { return arnOf(p.Account, "policy", p.Path, p.Name) }

// Version returns a version, or nil.
func (p *Policy) Version(id string) *PolicyVersion {
	if i := slices.IndexFunc(p.Versions, func(v PolicyVersion) bool { return v.ID == id }); i >= 0 {
		return &p.Versions[i]
	}
	return nil
}

// Document returns the compiled version that is in force.
func (p *Policy) Document() *policy.Document { return p.Version(p.Default).doc }

// Policy returns the managed policy that an ARN names for an account: one of its
// own or one of AWS; nil for any other.
func (d *Directory) Policy(acct, policyARN string) *Policy {
	return d.policyIn(d.state.Load(), acct, policyARN)
}

func (d *Directory) policyIn(s *state, acct, policyARN string) *Policy {
	if p := d.managed[policyARN]; p != nil {
		return p
	}
	owner, kind, path, name, ok := splitARN(policyARN)
	if !ok || kind != "policy" || owner != acct {
		return nil
	}
	if p := named(s, &policyKind, acct, name); p != nil && p.Path == path {
		return p
	}
	return nil
}

// LocalPolicies returns the managed policies that an account made, by name.
func (d *Directory) LocalPolicies(acct string) []*Policy {
	return sorted(d.state.Load(), &policyKind, acct)
}

func noPolicy(policyARN string) error {
	return apiError(codeNoSuchEntity, "Policy %s was not found.", policyARN)
}

// checkManaged checks the text of a managed policy.
func checkManaged(text string) (*policy.Document, error) {
	doc, err := parse(text, policy.Identity)
	if err != nil {
		return nil, err
	}
	if policy.Size([]byte(text), policy.Identity) > policy.MaxManaged {
		return nil, apiError(codeLimit, "Cannot exceed quota for PolicySize: %d", policy.MaxManaged)
	}
	return doc, nil
}

// NewPolicy says what managed policy to make.
type NewPolicy struct {
	Name        string // required
	Path        string // "" is "/"
	Description string
	Text        string // required, IAM JSON
	Tags        Tags
}

// CreatePolicy makes a managed policy, whose first version is v1.
//
// Errors: EntityAlreadyExists, also for a name that differs in case alone;
// MalformedPolicyDocument; LimitExceeded over 6144 characters without white space;
// ValidationError, InvalidInput.
func (d *Directory) CreatePolicy(ctx context.Context, acct string, in NewPolicy) (*Policy, error) {
	path, err := checkPath("Path", in.Path)
	if err != nil {
		return nil, err
	}
	if err := checkName("PolicyName", in.Name, 128); err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	doc, err := checkManaged(in.Text)
	if err != nil {
		return nil, err
	}
	now := d.second()
	p := &Policy{
		ID: newID(policyPrefix), Account: acct, Name: in.Name, Path: path, Description: in.Description, Created: now, Updated: now,
		Default: "v1", Next: 2, Versions: []PolicyVersion{{ID: "v1", Text: in.Text, Created: now, doc: doc}}, Tags: slices.Clone(in.Tags),
	}
	return p, d.change(ctx, func(t *tx) error {
		if old := taken(t.state, &policyKind, acct, in.Name); old != nil {
			return apiError(codeExists, "A policy called %s already exists. Duplicate names are not allowed.", old.Name)
		}
		if err := full(t.state, &policyKind, acct, "PoliciesPerAccount", maxPolicies); err != nil {
			return err
		}
		return put(t, &policyKind, acct, p)
	})
}

// editPolicy puts a changed copy of a managed policy. fn must not change what its
// slices hold, but put others in their place.
func (d *Directory) editPolicy(ctx context.Context, acct, policyARN string, fn func(t *tx, p *Policy) error) error {
	return d.change(ctx, func(t *tx) error {
		p := d.policyIn(t.state, acct, policyARN)
		if p == nil {
			return noPolicy(policyARN)
		}
		if p.Account != acct {
			return unmodifiablePolicy(p)
		}
		c := *p
		if err := fn(t, &c); err != nil {
			return err
		}
		return put(t, &policyKind, acct, &c)
	})
}

func unmodifiablePolicy(p *Policy) error {
	return apiError("AccessDenied", "Policy %s is managed by AWS and cannot be changed.", p.ARN())
}

// AddPolicyVersion makes a version of a managed policy, and the one in force when
// inForce says so.
//
// Errors: NoSuchEntity; MalformedPolicyDocument; LimitExceeded beyond 5 versions.
func (d *Directory) AddPolicyVersion(ctx context.Context, acct, policyARN, text string, inForce Force) (*PolicyVersion, error) {
	doc, err := checkManaged(text)
	if err != nil {
		return nil, err
	}
	var made *PolicyVersion
	err = d.editPolicy(ctx, acct, policyARN, func(_ *tx, p *Policy) error {
		if len(p.Versions) >= maxVersions {
			return apiError(codeLimit, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		now := d.second()
		made = &PolicyVersion{ID: "v" + strconv.Itoa(p.Next), Text: text, Created: now, doc: doc}
		p.Versions = append(slices.Clone(p.Versions), *made)
		p.Next++
		if inForce {
			p.Default, p.Updated = made.ID, now
		}
		return nil
	})
	return made, err
}

// Force says whether a new version of a policy is in force at once.
type Force bool

// The choices.
const (
	Standby Force = false
	InForce Force = true
)

// SetDefaultPolicyVersion puts a version of a managed policy in force.
// Errors: NoSuchEntity.
func (d *Directory) SetDefaultPolicyVersion(ctx context.Context, acct, policyARN, version string) error {
	return d.editPolicy(ctx, acct, policyARN, func(_ *tx, p *Policy) error {
		if p.Version(version) == nil {
			return noVersion(p, version)
		}
		p.Default, p.Updated = version, d.second()
		return nil
	})
}

func noVersion(p *Policy, version string) error {
	return apiError(codeNoSuchEntity, "Policy %s version %s does not exist or is not attachable.", p.ARN(), version)
}

// DeletePolicyVersion deletes a version that is not in force. Errors:
// NoSuchEntity; DeleteConflict for the one in force.
func (d *Directory) DeletePolicyVersion(ctx context.Context, acct, policyARN, version string) error {
	return d.editPolicy(ctx, acct, policyARN, func(_ *tx, p *Policy) error {
		switch {
		case p.Version(version) == nil:
			return noVersion(p, version)
		case p.Default == version:
			return apiError(codeDeleteConflict, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.DeleteFunc(slices.Clone(p.Versions), func(v PolicyVersion) bool { return v.ID == version })
		return nil
	})
}

// DeletePolicy deletes a managed policy. Errors: NoSuchEntity; DeleteConflict
// while it is attached, bounds somebody or has more than one version.
func (d *Directory) DeletePolicy(ctx context.Context, acct, policyARN string) error {
	return d.change(ctx, func(t *tx) error {
		p := d.policyIn(t.state, acct, policyARN)
		if p == nil {
			return noPolicy(policyARN)
		}
		if p.Account != acct {
			return unmodifiablePolicy(p)
		}
		switch u := countUsage(t.state, acct)[policyARN]; {
		case u.Attached > 0 || u.Bounds > 0:
			return apiError(codeDeleteConflict, "Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return apiError(codeDeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		remove(t, &policyKind, acct, p)
		return nil
	})
}

// TagPolicy puts tags on a managed policy. Errors: NoSuchEntity and as CheckTags.
func (d *Directory) TagPolicy(ctx context.Context, acct, policyARN string, tags Tags) error {
	return d.editPolicy(ctx, acct, policyARN, func(_ *tx, p *Policy) (err error) {
		p.Tags, err = p.Tags.With(tags)
		return err
	})
}

// UntagPolicy takes tags off a managed policy. Errors: NoSuchEntity.
func (d *Directory) UntagPolicy(ctx context.Context, acct, policyARN string, tagKeys []string) error {
	return d.editPolicy(ctx, acct, policyARN, func(_ *tx, p *Policy) error {
		p.Tags = p.Tags.Without(tagKeys)
		return nil
	})
}

// Usage counts the identities of an account that use a managed policy.
type Usage struct {
	Attached int // as permissions
	Bounds   int // as permissions boundary
}

// PolicyUsage counts the uses of all managed policies in an account by their ARNs.
func (d *Directory) PolicyUsage(acct string) map[string]Usage {
	return countUsage(d.state.Load(), acct)
}

func countUsage(s *state, acct string) map[string]Usage {
	uses := make(map[string]Usage)
	count := func(boundary string, g *Grants) {
		for _, a := range g.Attached {
			u := uses[a]
			u.Attached++
			uses[a] = u
		}
		if boundary != "" {
			u := uses[boundary]
			u.Bounds++
			uses[boundary] = u
		}
	}
	for _, u := range all(s, &userKind, acct).byID {
		count(u.Boundary, &u.Grants)
	}
	for _, g := range all(s, &groupKind, acct).byID {
		count("", &g.Grants)
	}
	for _, r := range all(s, &roleKind, acct).byID {
		count(r.Boundary, &r.Grants)
	}
	return uses
}
