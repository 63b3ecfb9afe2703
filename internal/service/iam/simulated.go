package iam

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// badInput is InvalidInput 400.
func badInput(format string, args ...any) error {
	return apierr.New("InvalidInput", http.StatusBadRequest, format, args...)
}

// principalSimulation is a simulation with the policies that bind a user, group or
// role of an account, but for those that are left out. Errors: NoSuchEntity,
// InvalidInput.
func (s *Service) principalSimulation(ctx context.Context, acct, sourceARN string, without []api.PolicyIdentifier) (*simulation, error) {
	m := newSimulation()
	out := exclusions(without)
	boundary := ""
	bound := call.Principal{Type: call.Root, Account: acct} // for what the organisation says
	if u := s.userOf(acct, sourceARN); u != nil {
		m.caller = call.Principal{Type: call.User, Account: acct, ARN: u.ARN(), UserID: u.ID, Name: u.Name}
		m.grants(s, acct, identity.TypeUser, u.Name, &u.Grants, out)
		for _, g := range s.dir.GroupsOf(u) {
			m.grants(s, acct, identity.TypeGroup, g.Name, &g.Grants, out)
		}
		boundary, m.policies.Tags = u.Boundary, u.Tags.Map()
	} else if r := s.dir.RoleByARN(sourceARN); r != nil && r.Account == acct {
		m.caller = rolePrincipal(acct, r.ARN(), r.ID, r.Name)
		m.grants(s, acct, identity.TypeRole, r.Name, &r.Grants, out)
		boundary, m.policies.Tags = r.Boundary, r.Tags.Map()
	} else {
		groups := s.dir.Groups(acct)
		i := slices.IndexFunc(groups, func(g *identity.Group) bool { return g.ARN() == sourceARN })
		if i < 0 {
			return nil, noEntity("The policy source %s cannot be found.", sourceARN)
		}
		m.grants(s, acct, identity.TypeGroup, groups[i].Name, &groups[i].Grants, out)
	}
	if boundary != "" && !out.drops(api.PolicyIdentifierPolicyTypePermissionBoundary, boundary, nil) {
		if p := s.dir.Policy(acct, boundary); p != nil {
			m.policies.Boundary = p.Document()
			m.ids[m.policies.Boundary] = p.Name
		}
	}
	facts, err := s.dir.Policies(ctx, &bound)
	if err != nil {
		return nil, err
	}
	m.policies.OrgID, m.policies.OrgPath = facts.OrgID, facts.OrgPath
	if !out.drops(api.PolicyIdentifierPolicyTypeScp, "", nil) {
		m.policies.Control = facts.Control
	}
	return m, nil
}

// grants adds the policies of an identity.
func (m *simulation) grants(s *Service, acct string, t identity.Type, name string, g *identity.Grants, out exclusions) {
	for i := range g.Inline {
		in := &g.Inline[i]
		if !out.drops(api.PolicyIdentifierPolicyTypeInline, "", &inlineOf{t, name, in.Name}) {
			m.policies.Identity = append(m.policies.Identity, in.Document())
			m.ids[in.Document()] = string(t) + "_" + name + "_" + in.Name
		}
	}
	for _, a := range g.Attached {
		p := s.dir.Policy(acct, a)
		if p == nil {
			continue
		}
		kind := api.PolicyIdentifierPolicyTypeUserManaged
		if p.Account == "aws" {
			kind = api.PolicyIdentifierPolicyTypeAwsManaged
		}
		if !out.drops(kind, a, nil) {
			m.policies.Identity = append(m.policies.Identity, p.Document())
			m.ids[p.Document()] = p.Name
		}
	}
}

// exclusions are the policies that a simulation leaves out.
type exclusions []api.PolicyIdentifier

// inlineOf names an inline policy.
type inlineOf struct {
	kind        identity.Type
	owner, name string
}

// drops tells whether a policy is left out: by its kind, its ARN or its name.
func (x exclusions) drops(kind api.PolicyIdentifierPolicyType, policyARN string, in *inlineOf) bool {
	return slices.ContainsFunc(x, func(p api.PolicyIdentifier) bool {
		if p.PolicyType != nil {
			return *p.PolicyType == kind
		}
		if p.PolicyArn != nil {
			return *p.PolicyArn == policyARN
		}
		v := p.InlinePolicyIdentifier
		return v != nil && in != nil && text(v.PolicyName) == in.name && text(v.AttachmentName) == in.owner &&
			v.AttachmentType != nil && strings.EqualFold(string(*v.AttachmentType), string(in.kind))
	})
}
