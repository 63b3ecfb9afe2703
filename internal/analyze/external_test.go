package analyze_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/identity"
)

// TestExternal is a table of policies of a resource and whom they let in.
func TestExternal(t *testing.T) {
	t.Parallel()
	const resource = model + "m"
	st := func(effect, principal, more string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"bedrock:InvokeModel","Resource":"` + resource + `"` + more + `}`
	}
	cond := func(op, key, value string) string {
		return `,"Condition":{"` + op + `":{"` + key + `":` + value + `}}`
	}
	for name, c := range map[string]struct {
		policy string // statements
		want   string // principals; "!" marks public ones
	}{
		"own account":                {st("Allow", `{"AWS":"111122223333"}`, ""), ""},
		"own root and role":          {st("Allow", `{"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:role/x"]}`, ""), ""},
		"other account":              {st("Allow", `{"AWS":"444455556666"}`, ""), "444455556666"},
		"other role":                 {st("Allow", `{"AWS":["arn:aws:iam::444455556666:role/x","111122223333"]}`, ""), "arn:aws:iam::444455556666:role/x"},
		"everybody":                  {st("Allow", `"*"`, ""), "!*"},
		"everybody by AWS":           {st("Allow", `{"AWS":"*"}`, ""), "!*"},
		"denied":                     {st("Deny", `"*"`, ""), ""},
		"gone principal":             {st("Allow", `{"AWS":"AIDAEXAMPLEEXAMPLEEX"}`, ""), ""},
		"everybody of this account":  {st("Allow", `"*"`, cond("StringEquals", "aws:PrincipalAccount", `"111122223333"`)), ""},
		"everybody of two accounts":  {st("Allow", `"*"`, cond("StringEquals", "AWS:principalaccount", `["111122223333","444455556666"]`)), "arn:aws:iam::444455556666:root"},
		"everybody of a role":        {st("Allow", `"*"`, cond("ArnLike", "aws:PrincipalArn", `"arn:aws:iam::444455556666:role/*"`)), "arn:aws:iam::444455556666:root"},
		"a role of whatever account": {st("Allow", `"*"`, cond("ArnLike", "aws:PrincipalArn", `"arn:aws:iam::*:role/x"`)), "!*"},
		"an organization":            {st("Allow", `"*"`, cond("StringEquals", "aws:PrincipalOrgID", `"o-a1b2c3d4e5"`)), "o-a1b2c3d4e5"},
		"an organization's unit":     {st("Allow", `"*"`, cond("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", `"o-a1b2c3d4e5/r-ab12/ou-1/*"`)), "o-a1b2c3d4e5"},
		"any organization":           {st("Allow", `"*"`, cond("StringLike", "aws:PrincipalOrgID", `"o-*"`)), "!*"},
		"for all values":             {st("Allow", `"*"`, cond("ForAllValues:StringEquals", "aws:PrincipalOrgPaths", `"o-a1b2c3d4e5/r-ab12/"`)), "!*"},
		"not one account":            {st("Allow", `"*"`, cond("StringNotEquals", "aws:PrincipalAccount", `"444455556666"`)), "!*"},
		"from a network":             {st("Allow", `"*"`, cond("IpAddress", "aws:SourceIp", `"10.0.0.0/8"`)), "*"},
		"from everywhere":            {st("Allow", `"*"`, cond("IpAddress", "aws:SourceIp", `"0.0.0.0/0"`)), "!*"},
		"with MFA":                   {st("Allow", `"*"`, cond("Bool", "aws:MultiFactorAuthPresent", `"true"`)), "!*"},
		"denied to all others":       {st("Allow", `"*"`, "") + "," + st("Deny", `"*"`, cond("StringNotEquals", "aws:PrincipalAccount", `"111122223333"`)), ""},
		"denied to others elsewhere": {st("Allow", `"*"`, "") + "," + strings.Replace(st("Deny", `"*"`, cond("StringNotEquals", "aws:PrincipalAccount", `"111122223333"`)), "model/m", "model/n", 1), "!*"},
		"other but not admitted":     {st("Allow", `{"AWS":"444455556666"}`, cond("StringEquals", "aws:PrincipalAccount", `"111122223333"`)), ""},
		"a service":                  {st("Allow", `{"Service":"bedrock.amazonaws.com"}`, ""), "bedrock.amazonaws.com"},
		"a service for this account": {st("Allow", `{"Service":"bedrock.amazonaws.com"}`, cond("StringEquals", "aws:SourceAccount", `"111122223333"`)), ""},
		"a service for a job":        {st("Allow", `{"Service":"bedrock.amazonaws.com"}`, cond("ArnLike", "aws:SourceArn", `"arn:aws:bedrock:us-east-1:111122223333:job/*"`)), ""},
		"a service for any job":      {st("Allow", `{"Service":"bedrock.amazonaws.com"}`, cond("ArnLike", "aws:SourceArn", `"arn:aws:bedrock:*:*:job/*"`)), "bedrock.amazonaws.com"},
		"a service for this if told": {st("Allow", `{"Service":"bedrock.amazonaws.com"}`, cond("StringEqualsIfExists", "aws:SourceAccount", `"111122223333"`)), "bedrock.amazonaws.com"},
		"an issuer":                  {st("Allow", `{"Federated":"arn:aws:iam::111122223333:oidc-provider/login.example.com"}`, ""), "arn:aws:iam::111122223333:oidc-provider/login.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.resources[resource] = `{"Version":"2012-10-17","Statement":[` + c.policy + `]}`
			r, err := w.Review(t.Context(), home, 0)
			must(t, err)
			var got []string
			for _, f := range r.Findings {
				mark := ""
				if f.Public {
					mark = "!"
				}
				if f.Type != analyze.ExternalAccess || f.Resource != resource || !slices.Equal(f.Actions, []string{"bedrock:InvokeModel"}) {
					t.Errorf("finding %+v", f)
				}
				got = append(got, mark+strings.Join(f.Principals, ","))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("lets in %q, want %q", got, c.want)
			}
		})
	}
}

// Trust policies are read too, and the accounts of the installation have names.
func TestExternalTrust(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	must(t, w.EnsureAccount(ctx, other))
	w.role(t, "own", ownTrust)
	w.role(t, "batch", trust(`{"Service":"bedrock.amazonaws.com"}`))
	w.role(t, "partner", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/x"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"x"}}}]}`)
	_, err := w.CreateServiceLinkedRole(ctx, home, "bedrock.amazonaws.com", "", "")
	must(t, err)
	r, err := w.Review(ctx, home, 0)
	must(t, err)
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Detail)
	}
	name := w.Account(other).Name
	want := []string{
		"Lets in the service bedrock.amazonaws.com on anybody's behalf: sts:AssumeRole",
		"Lets in role/x of account 444455556666 (" + name + "): sts:AssumeRole, sts:TagSession, if sts:ExternalId",
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

// TestWildcard is a table of policies and what is too wide about them.
func TestWildcard(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		`"Action":"*","Resource":"*"`: "*",
		`"Action":["bedrock:*","s3:GetObject"],"Resource":["arn:aws:s3:::x","*"]`:                 "bedrock:*",
		`"NotAction":"iam:*","Resource":"*"`:                                                      "everything but iam:*",
		`"Action":"bedrock:*","NotResource":"arn:aws:bedrock:*:*:guardrail/x"`:                    "bedrock:*",
		`"Action":"bedrock:Get*","Resource":"*"`:                                                  "",
		`"Action":"bedrock:*","Resource":"arn:aws:bedrock:us-east-1::foundation-model/*"`:         "",
		`"Action":"bedrock:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}`: "bedrock:*",
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t), t.Context()
			text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},{"Effect":"Allow",` + statement + `}]}`
			u := w.user(t, "ana")
			must(t, w.PutInline(ctx, home, identity.TypeUser, "ana", "in", text))
			_, err := w.CreateGroup(ctx, home, "team", "")
			must(t, err)
			p, err := w.CreatePolicy(ctx, home, identity.NewPolicy{Name: "own", Text: text})
			must(t, err)
			must(t, w.AttachPolicy(ctx, home, identity.TypeGroup, "team", p.ARN()))
			r, err := w.Review(ctx, home, 0)
			must(t, err)
			if want == "" {
				if len(r.Findings) != 0 {
					t.Errorf("found %+v", r.Findings)
				}
				return
			}
			if len(r.Findings) != 2 || r.Findings[1].Resource != u.ARN() || r.Findings[1].Type != analyze.Wildcard ||
				r.Findings[1].Detail != "Inline policy in allows "+want+" on every resource (statement 2)" {
				t.Errorf("found %+v", r.Findings)
			}
		})
	}
}
