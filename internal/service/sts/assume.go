package sts

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// The lives of a role's sessions.
const (
	defaultLife = time.Hour
	chainedLife = time.Hour // the longest of a role that a role has assumed
)

// assumeNeeds tells what AssumeRole asks for: the role itself, and on the same role
// the rights to tag the session and to name who is behind it.
func (s *Service) assumeNeeds(ctx context.Context, c *call.Call, in *api.AssumeRoleInput) ([]string, error) {
	role, err := roleARN(in.RoleArn)
	if err != nil {
		return nil, err
	}
	switch c.Principal.Type {
	case call.Root:
		return nil, apierr.AccessDenied("Roles may not be assumed by root accounts.")
	case call.FederatedUser:
		return nil, apierr.AccessDenied("Cannot call AssumeRole with session credentials of a federated user")
	}
	if a, err := arn.Parse(role); c.Principal.Session != nil && c.Principal.Session.Elevation != "" && (err != nil || a.Account != c.Principal.Account) {
		// No other account knows when the elevation ends.
		return nil, apierr.AccessDenied("An elevated session may assume roles of its own account only.")
	}
	b, err := inherit(&c.Principal, in.Tags, in.TransitiveTagKeys, in.SourceIdentity)
	if err != nil {
		return nil, err
	}
	if err := s.proveMFA(ctx, c, in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	setKey(c, "sts:rolesessionname", in.RoleSessionName)
	setKey(c, "sts:externalid", in.ExternalId)
	b.ask(c, role)
	return []string{role}, nil
}

// assumeRole makes a session of a role. The caller's right to it was decided over
// what assumeNeeds told.
func (s *Service) assumeRole(_ context.Context, c *call.Call, in *api.AssumeRoleInput) (*api.AssumeRoleOutput, error) {
	if len(in.ProvidedContexts) > 0 {
		return nil, apierr.Validation("ProvidedContexts: no context provider is trusted by this server")
	}
	role := s.cfg.Directory.RoleByARN(*in.RoleArn)
	if role == nil { // deleted after the decision
		return nil, apierr.AccessDenied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.Principal.ARN, *in.RoleArn)
	}
	chained := c.Principal.Type == call.AssumedRole
	life, err := lifeOf(role, in.DurationSeconds, chained)
	if err != nil {
		return nil, err
	}
	policies, err := s.sessionPolicies(role.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	b, err := inherit(&c.Principal, in.Tags, in.TransitiveTagKeys, in.SourceIdentity)
	if err != nil {
		return nil, err
	}
	p := s.session(role, *in.RoleSessionName, life)
	p.Session.Chained = chained
	p.Session.MFA = c.MFA
	if c.MFA.IsZero() && c.Principal.Session != nil {
		p.Session.MFA = c.Principal.Session.MFA
	}
	if err := follow(&p, &c.Principal); err != nil {
		return nil, err
	}
	policies.bound(p.Session)
	b.mark(p.Session)
	cred, shown, err := s.issue(p, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	out := &api.AssumeRoleOutput{Credentials: shown, AssumedRoleUser: assumed(&p), PackedPolicySize: packed(cred)}
	out.SessionTokenUtilization, out.SessionTokenSize = used(cred)
	if p.Session.SourceIdentity != "" {
		out.SourceIdentity = new(p.Session.SourceIdentity)
	}
	return out, nil
}

// session is a session of a role that begins now.
func (s *Service) session(role *identity.Role, name string, life time.Duration) call.Principal {
	issued, expires := s.span(life)
	return call.Principal{
		Type: call.AssumedRole, Account: role.Account,
		ARN:    "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + name,
		UserID: role.ID + ":" + name,
		Session: &call.Session{
			Issued: issued, Expires: expires,
			RoleARN: role.ARN(), RoleID: role.ID, RoleName: role.Name, Name: name,
		},
	}
}

// follow notes in a new session who began the chain that it goes on with: whoever
// asked for a change must not approve it as somebody else. What an elevated session
// assumes ends with the elevation.
//
// Errors: AccessDenied in the last second of an elevation.
func follow(p, from *call.Principal) error {
	p.Session.Origin = from.Origin()
	if from.Session == nil || from.Session.Elevation == "" {
		return nil
	}
	p.Session.Elevation = from.Session.Elevation
	if from.Session.Expires.Before(p.Session.Expires) {
		p.Session.Expires = from.Session.Expires
	}
	if !p.Session.Expires.After(p.Session.Issued) {
		return apierr.AccessDenied("The elevated session is about to end.")
	}
	return nil
}

func assumed(p *call.Principal) *api.AssumedRoleUser {
	return &api.AssumedRoleUser{Arn: new(p.ARN), AssumedRoleId: new(p.UserID)}
}

// lifeOf is how long a session of a role shall live.
//
// Errors: ValidationError beyond what the role allows, and beyond one hour for a
// role that a role assumes.
func lifeOf(role *identity.Role, seconds *int32, chained bool) (time.Duration, error) {
	if seconds == nil {
		return defaultLife, nil
	}
	life := time.Duration(*seconds) * time.Second
	switch {
	case chained && life > chainedLife:
		return 0, apierr.Validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case life > role.MaxSession:
		return 0, apierr.Validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return life, nil
}

// roleARN checks the ARN of a role. It runs before the constraints of the model
// are checked, so it says itself what those would.
func roleARN(text *string) (string, error) {
	if text == nil {
		return "", apierr.Validation("1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null")
	}
	a, err := arn.Parse(*text)
	if err != nil {
		return "", apierr.Validation("Request ARN is invalid")
	}
	if kind, name := a.Split(); a.Service != "iam" || a.Region != "" || !arn.ValidAccount(a.Account) || kind != "role" || name == "" {
		return "", apierr.Validation("%s is invalid", *text)
	}
	return *text, nil
}

// proveMFA checks a one-time code, if one was sent, and notes it in the call.
//
// Errors: ValidationError for half of it; AccessDenied for a wrong code or device.
func (s *Service) proveMFA(ctx context.Context, c *call.Call, serial, code *string) error {
	if serial == nil && code == nil {
		return nil
	}
	if serial == nil || code == nil {
		return apierr.Validation("SerialNumber and TokenCode: both must be given, or neither")
	}
	user := ""
	if c.Principal.Type == call.User { // nobody else has devices
		user = c.Principal.UserID
	}
	if err := s.cfg.Directory.ProveMFA(ctx, c.Principal.Account, *serial, *code, user); err != nil {
		return err
	}
	c.MFA = s.cfg.Now().UTC().Truncate(time.Second)
	return nil
}

// setKey gives the call a condition key when it has a value.
func setKey(c *call.Call, name string, value *string) {
	if value != nil && *value != "" {
		c.SetKey(name, *value)
	}
}
