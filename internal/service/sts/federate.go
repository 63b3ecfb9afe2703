package sts

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

const (
	// userLife is how long sessions of users and federated users live by default.
	userLife = 12 * time.Hour
	// rootLife is the longest session of a root. As at AWS, a longer one is shortened,
	// not refused.
	rootLife = time.Hour
)

// ownLife is how long a session of a user or of a root shall live.
func ownLife(p *call.Principal, seconds *int32) time.Duration {
	life := userLife
	if seconds != nil {
		life = time.Duration(*seconds) * time.Second
	}
	if p.Type == call.Root {
		life = min(life, rootLife)
	}
	return life
}

// sessionToken gives the caller temporary credentials with its own rights. It
// needs no permission, but long-term credentials.
func (s *Service) sessionToken(ctx context.Context, c *call.Call, in *api.GetSessionTokenInput) (*api.GetSessionTokenOutput, error) {
	if c.Principal.Session != nil {
		return nil, apierr.AccessDenied("Cannot call GetSessionToken with session credentials")
	}
	if err := s.proveMFA(ctx, c, in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	p := c.Principal
	issued, expires := s.span(ownLife(&p, in.DurationSeconds))
	p.Session = &call.Session{Issued: issued, Expires: expires, MFA: c.MFA}
	cred, shown, err := s.issue(p, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	out := &api.GetSessionTokenOutput{Credentials: shown}
	out.SessionTokenUtilization, out.SessionTokenSize = used(cred)
	return out, nil
}

// federatedARN is the ARN of a federated user.
func federatedARN(account, name string) string {
	return "arn:aws:sts::" + account + ":federated-user/" + name
}

// federationNeeds tells what GetFederationToken asks for.
func (s *Service) federationNeeds(_ context.Context, c *call.Call, in *api.GetFederationTokenInput) ([]string, error) {
	if in.Name == nil {
		return nil, apierr.Validation("1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null")
	}
	if c.Principal.Session != nil {
		return nil, apierr.AccessDenied("Cannot call GetFederationToken with session credentials")
	}
	var b badge
	if err := b.setTags(in.Tags, nil); err != nil {
		return nil, err
	}
	who := federatedARN(c.Principal.Account, *in.Name)
	b.ask(c, who)
	return []string{who}, nil
}

// federationToken gives somebody whom the caller vouches for a part of the caller's
// rights: what both the caller's policies and those of the request allow. Without
// policies in the request that is nothing, but for what policies of resources give.
func (s *Service) federationToken(_ context.Context, c *call.Call, in *api.GetFederationTokenInput) (*api.GetFederationTokenOutput, error) {
	by := &c.Principal
	policies, err := s.sessionPolicies(by.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	var b badge
	if err := b.setTags(in.Tags, nil); err != nil {
		return nil, err
	}
	issued, expires := s.span(ownLife(by, in.DurationSeconds))
	p := call.Principal{
		Type: call.FederatedUser, Account: by.Account,
		ARN: federatedARN(by.Account, *in.Name), UserID: by.Account + ":" + *in.Name,
		Session: &call.Session{Issued: issued, Expires: expires, Name: *in.Name, Origin: by.Origin()},
	}
	if by.Type == call.User {
		p.Session.Owner = by.UserID
	}
	policies.bound(p.Session)
	b.mark(p.Session)
	cred, shown, err := s.issue(p, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	out := &api.GetFederationTokenOutput{
		Credentials:      shown,
		FederatedUser:    &api.FederatedUser{Arn: new(p.ARN), FederatedUserId: new(p.UserID)},
		PackedPolicySize: packed(cred),
	}
	out.SessionTokenUtilization, out.SessionTokenSize = used(cred)
	return out, nil
}
