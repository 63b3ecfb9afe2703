package sts

import (
	"context"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/oidc"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// assumeWithWebIdentity makes a session of a role for somebody whom an identity
// provider vouches for. The request is not signed: its token says who asks, and
// the trust policy of the role alone decides.
func (s *Service) assumeWithWebIdentity(ctx context.Context, c *call.Call, in *api.AssumeRoleWithWebIdentityInput) (*api.AssumeRoleWithWebIdentityOutput, error) {
	if _, err := roleARN(in.RoleArn); err != nil {
		return nil, err
	}
	if in.ProviderId != nil {
		return nil, apierr.Validation("ProviderId: it is for OAuth 2.0 access tokens, which this server does not take; send an ID token of OpenID Connect without it")
	}
	a, err := arn.Parse(*in.RoleArn)
	if err != nil {
		return nil, apierr.Validation("Request ARN is invalid")
	}
	claims, err := s.webClaims(ctx, a.Account, *in.WebIdentityToken)
	if err != nil {
		return nil, err
	}
	who := &call.Principal{Session: &call.Session{Provider: claims.Issuer, Subject: claims.Subject, Audience: claims.Audience}}
	b, err := webBadge(claims)
	if err != nil {
		return nil, err
	}
	c.SetKey("sts:rolesessionname", *in.RoleSessionName)
	if len(claims.AMR) > 0 {
		c.SetKey(strings.ToLower(claims.Issuer)+":amr", claims.AMR...)
	}
	b.ask(c, *in.RoleArn)
	role, err := s.decideWeb(ctx, c, who, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	life, err := lifeOf(role, in.DurationSeconds, false)
	if err != nil {
		return nil, err
	}
	policies, err := s.sessionPolicies(role.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	p := s.session(role, *in.RoleSessionName, life)
	p.Session.Provider, p.Session.Subject, p.Session.Audience = claims.Issuer, claims.Subject, claims.Audience
	p.Session.Origin = claims.Issuer + ":" + claims.Subject
	policies.bound(p.Session)
	b.mark(p.Session)
	cred, shown, err := s.issue(p, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	out := &api.AssumeRoleWithWebIdentityOutput{
		Credentials: shown, AssumedRoleUser: assumed(&p), PackedPolicySize: packed(cred),
		SubjectFromWebIdentityToken: new(claims.Subject), Audience: new(claims.Audience),
		Provider: new("arn:aws:iam::" + role.Account + ":oidc-provider/" + claims.Issuer),
	}
	out.SessionTokenUtilization, out.SessionTokenSize = used(cred)
	if b.sourceIdentity != "" {
		out.SourceIdentity = new(b.sourceIdentity)
	}
	return out, nil
}

// webClaims verifies a token for an account.
func (s *Service) webClaims(ctx context.Context, account, token string) (*oidc.Claims, error) {
	known := func(issuer string) ([]string, bool) {
		p := s.cfg.Directory.OIDCProvider(account, issuer)
		if p == nil {
			return nil, false
		}
		return p.ClientIDs, true
	}
	if s.cfg.Tokens == nil {
		return nil, oidc.Invalid("This server trusts no OpenID Connect provider; its operator lists them as oidc_issuers")
	}
	return s.cfg.Tokens.Verify(ctx, secret.NewString(token), known)
}

// webBadge is what the issuer wants the session to carry. Nobody has checked the
// lengths of these texts yet.
func webBadge(claims *oidc.Claims) (badge, error) {
	b := badge{tags: claims.Tags, sourceIdentity: claims.SourceIdentity}
	for _, key := range claims.TransitiveTags {
		if _, ok := claims.Tags[key]; !ok {
			return b, oidc.Rejected("The claim https://aws.amazon.com/tags names a transitive key without a tag")
		}
		if !slices.Contains(b.transitive, key) {
			b.transitive = append(b.transitive, key)
		}
	}
	slices.Sort(b.transitive)
	tags := make(identity.Tags, 0, len(claims.Tags))
	for k, v := range claims.Tags {
		tags = append(tags, identity.Tag{Key: k, Value: v})
	}
	if err := identity.CheckTags(tags); err != nil {
		return b, oidc.Rejected("The claim https://aws.amazon.com/tags has tags that a session cannot have")
	}
	if id := b.sourceIdentity; id != "" && !validName(id) {
		return b, oidc.Rejected("The claim https://aws.amazon.com/source_identity must have 2 to 64 letters, digits and characters of =,.@_-")
	}
	return b, nil
}

// validName reports whether a text may be a source identity.
func validName(s string) bool {
	ok := len(s) >= 2 && len(s) <= 64
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("=,.@_-", c) >= 0
	}
	return ok
}

// decideWeb asks the trust policy of a role about a web identity.
//
// Errors: AccessDenied, the same for a role that does not trust it and for one
// that does not exist.
func (s *Service) decideWeb(ctx context.Context, c *call.Call, who *call.Principal, role string) (*identity.Role, error) {
	needs := append([]call.Need{{Action: "sts:AssumeRoleWithWebIdentity"}}, c.Needs...)
	for _, n := range needs {
		d, err := s.cfg.Access.Decide(ctx, access.Request{
			Principal: *who, Action: n.Action, Resource: role, Source: c.Source, Region: c.Region, Keys: c.Keys, Now: s.cfg.Now(),
		})
		if err != nil {
			return nil, err
		}
		if d.Outcome != access.Allowed {
			return nil, apierr.AccessDenied("Not authorized to perform %s", n.Action)
		}
	}
	r := s.cfg.Directory.RoleByARN(role)
	if r == nil {
		return nil, apierr.AccessDenied("Not authorized to perform %s", needs[0].Action)
	}
	return r, nil
}
