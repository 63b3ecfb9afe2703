package identity

import (
	"context"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Resource returns what is known of an IAM ARN: its owner, its tags, and the trust
// policy of a role. It implements access.Resources for "iam".
//
// An ARN that names nothing still has an owner, the account that stands in it.
func (d *Directory) Resource(_ context.Context, resourceARN, _ string) (access.Resource, error) {
	a, err := arn.Parse(resourceARN)
	if err != nil {
		return access.Resource{}, nil //nolint:nilerr // what is no ARN is nothing that is known here
	}
	out := access.Resource{Account: a.Account}
	acct, kind, path, name, ok := splitARN(resourceARN)
	if !ok {
		return out, nil
	}
	s := d.state.Load()
	if t := treeOf(s); t.members[acct] != nil {
		out.OrgID = t.org.ID
	}
	switch kind {
	case "role":
		if r := named(s, &roleKind, acct, name); r != nil && r.Path == path {
			out.Policy, out.Trust, out.Tags = r.trust, true, r.Tags.Map()
		}
	case "user":
		if u := named(s, &userKind, acct, name); u != nil && u.Path == path {
			out.Tags = u.Tags.Map()
		}
	case "mfa":
		if m := named(s, &mfaKind, acct, name); m != nil && m.Path == path {
			out.Tags = m.Tags.Map()
		}
	case "oidc-provider":
		if p := oidcByARN(s, acct, resourceARN); p != nil {
			out.Tags = p.Tags.Map()
		}
	case "policy":
		if p := d.policyIn(s, acct, resourceARN); p != nil {
			out.Tags = p.Tags.Map()
		}
	case "instance-profile":
		if p := named(s, &profileKind, acct, name); p != nil && p.Path == path {
			out.Tags = p.Tags.Map()
		}
	}
	return out, nil
}
