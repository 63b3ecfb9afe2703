package sts

import (
	"errors"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// maxManaged is how many managed policies may bound a session.
const maxManaged = 10

// sessionPolicies are what bounds a session besides the rights of its role or user.
type sessionPolicies struct {
	inline  []string
	managed []string
}

func (p sessionPolicies) bound(s *call.Session) { s.Policies, s.PolicyARNs = p.inline, p.managed }

// sessionPolicies checks the policies of a request. Managed ones must be AWS's or
// of the account that the session will be in.
//
// Errors: MalformedPolicyDocument, which names statement and element; ValidationError
// for a managed policy that does not exist, and for too many; PackedPolicyTooLarge
// when texts and ARNs have more than 2048 characters.
func (s *Service) sessionPolicies(account string, inline *string, managed []api.PolicyDescriptorType) (sessionPolicies, error) {
	var p sessionPolicies
	if len(managed) > maxManaged {
		return p, apierr.Validation("PolicyArns: at most %d managed policies may bound a session, got %d", maxManaged, len(managed))
	}
	size := 0
	if inline != nil {
		size = utf8.RuneCountInString(*inline)
	}
	for i, m := range managed {
		if m.Arn == nil {
			return p, apierr.Validation("PolicyArns.member.%d.arn: must not be null", i+1)
		}
		size += utf8.RuneCountInString(*m.Arn)
		if s.cfg.Directory.Policy(account, *m.Arn) == nil {
			return p, apierr.Validation("PolicyArns.member.%d.arn: policy %s does not exist or is not attachable.", i+1, *m.Arn)
		}
		p.managed = append(p.managed, *m.Arn)
	}
	if size > policy.MaxSession {
		return p, badRequest(codePackedTooLarge, "Policy and PolicyArns have %d characters, more than %d.", size, policy.MaxSession)
	}
	if inline == nil {
		return p, nil
	}
	if _, err := policy.Parse([]byte(*inline), policy.Session); err != nil {
		bad, ok := errors.AsType[*policy.Error](err)
		if !ok {
			return p, err
		}
		return p, badRequest(codeMalformedPolicy, "%s", bad.Error())
	}
	p.inline = []string{*inline}
	return p, nil
}
