package identity

import (
	"cmp"
	"context"
	"slices"
)

// RoleTemplate is a ready role for the people of a team: a name, what it is for,
// and the built-in policies that it has.
type RoleTemplate struct {
	Name     string   // of the role that is made from it
	Persona  string   // whose it is, e.g. "ML engineer"
	Policies []string // ARNs of managed policies
	Trust    string   // who may assume it, IAM JSON; "" means AccountTrust
}

// RoleTemplates returns the ready roles: ML engineer, data scientist, application
// developer and operations. Their policies are managed policies below the path
// /outcrop/, which every account can attach.
func RoleTemplates() []RoleTemplate {
	own := func(name string) []string { return []string{arnOf(managedOwner, "policy", "/outcrop/", name)} }
	return []RoleTemplate{
		{Name: "MLEngineer", Persona: "ML engineer", Policies: own("OutcropMLEngineer")},
		{Name: "DataScientist", Persona: "data scientist", Policies: own("OutcropDataScientist")},
		{Name: "ApplicationDeveloper", Persona: "application developer", Policies: own("OutcropApplicationDeveloper")},
		{Name: "Operations", Persona: "operations", Policies: own("OutcropOperations")},
	}
}

// AccountTrust is the trust policy that leaves it to an account's own policies who
// of it may assume a role.
func AccountTrust(acct string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + acct + `:root"},"Action":"sts:AssumeRole"}]}`
}

// CreateRoleFrom makes the role of a template in an account, with its policies.
// Unless the template says otherwise, whoever of the account may call
// sts:AssumeRole on it can use it.
//
// Errors: EntityAlreadyExists; NoSuchEntity for a policy; MalformedPolicyDocument
// for the trust policy; ValidationError for the name.
func (d *Directory) CreateRoleFrom(ctx context.Context, acct string, t RoleTemplate) (*Role, error) {
	r, err := d.makeRole(acct, "/", NewRole{Name: t.Name, Trust: cmp.Or(t.Trust, AccountTrust(acct)), Description: "Made from the template for " + t.Persona})
	if err != nil {
		return nil, err
	}
	r.Attached = slices.Clone(t.Policies)
	return r, d.change(ctx, func(x *tx) error {
		for _, a := range t.Policies {
			if d.policyIn(x.state, acct, a) == nil {
				return apiError(codeNoSuchEntity, "Policy %s does not exist or is not attachable.", a)
			}
		}
		return d.putNewRole(x, r)
	})
}
