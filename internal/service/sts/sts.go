// Package sts serves AWS STS: it turns the right to be somebody into temporary
// credentials. Whether a caller has that right is decided before a handler runs,
// by the trust policy of the role and the policies of the caller; the handlers
// here bound what the session may do and how long it lives.
package sts

import (
	"context"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/oidc"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// Directory knows roles, policies, identity providers and MFA devices.
// identity.Directory implements it.
type Directory interface {
	RoleByARN(roleARN string) *identity.Role
	Policy(account, policyARN string) *identity.Policy
	// OIDCProvider returns the provider of an account for an issuer, an URL without
	// its scheme; nil when there is none.
	OIDCProvider(account, issuer string) *identity.OIDCProvider
	// ProveMFA checks a one-time code of a user's device. Errors: AccessDenied.
	ProveMFA(ctx context.Context, account, serial, code, userID string) error
}

// Issuer makes temporary credentials. session.Service implements it.
type Issuer interface {
	IssueSized(p call.Principal, minimum int) (session.Credentials, error)
}

// Decider asks policies about a request that no caller has signed.
// access.Authorizer implements it.
type Decider interface {
	Decide(ctx context.Context, r access.Request) (access.Decision, error)
}

// Tokens verifies tokens of identity providers. oidc.Verifier implements it.
type Tokens interface {
	Verify(ctx context.Context, token secret.Value, known func(issuer string) (clients []string, ok bool)) (*oidc.Claims, error)
}

// Keys knows long-term access keys. keys.Service implements it. Errors:
// keys.ErrNotFound.
type Keys interface {
	Get(ctx context.Context, id string) (keys.Key, error)
}

// Config is what a Service is made of. All fields but Tokens, Unseal and Now are
// required.
type Config struct {
	Directory Directory
	Sessions  Issuer
	Access    Decider
	Keys      Keys
	// Tokens verifies web identities; nil trusts no issuer.
	Tokens Tokens
	// Unseal opens the encoded reason of a refusal, see access.Config.Seal; nil opens
	// none.
	Unseal func(text string) ([]byte, error)
	Now    func() time.Time // nil means time.Now
}

// Service serves the API. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service over cfg.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg}
}

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpAssumeRole, s.assumeNeeds, s.assumeRole),
		service.Bind(api.OpAssumeRoleWithWebIdentity, s.assumeWithWebIdentity),
		service.Bind(api.OpDecodeAuthorizationMessage, s.decodeMessage),
		service.Bind(api.OpGetAccessKeyInfo, s.accessKeyInfo),
		service.Bind(api.OpGetCallerIdentity, s.callerIdentity),
		service.BindResource(api.OpGetFederationToken, s.federationNeeds, s.federationToken),
		service.Bind(api.OpGetSessionToken, s.sessionToken),
	}
}

// The codes of STS's errors that have no constructor of their own.
const (
	codeInvalidParameter = "InvalidParameterValue"
	codeMalformedPolicy  = "MalformedPolicyDocument"
	codePackedTooLarge   = "PackedPolicyTooLarge"
)

func badRequest(code, format string, args ...any) *apierr.Error {
	return apierr.New(code, http.StatusBadRequest, format, args...)
}

// span is the life of a session that begins now: whole seconds, as credentials
// tell them.
func (s *Service) span(life time.Duration) (issued, expires time.Time) {
	issued = s.cfg.Now().UTC().Truncate(time.Second)
	return issued, issued.Add(life)
}

// issue makes the credentials of a session and their answer.
func (s *Service) issue(p call.Principal, minimum *int32) (session.Credentials, *api.Credentials, error) {
	size := 0
	if minimum != nil {
		size = int(*minimum)
	}
	c, err := s.cfg.Sessions.IssueSized(p, size)
	if err != nil {
		return c, nil, err
	}
	return c, &api.Credentials{
		AccessKeyId:     new(c.AccessKeyID),
		SecretAccessKey: new(string(c.Secret.Reveal())),
		SessionToken:    new(c.Token),
		Expiration:      new(c.Expires),
	}, nil
}

// packed is PackedPolicySize: nil for a session without policies and tags.
func packed(c session.Credentials) *int32 {
	if c.Packed == 0 {
		return nil
	}
	return new(int32(c.Packed)) // #nosec G115 -- at most 100
}

// used is SessionTokenUtilization, and size is SessionTokenSize.
func used(c session.Credentials) (share, size *int32) {
	return new(int32(min(c.Used, 100))), new(int32(len(c.Token))) // #nosec G115 -- some KiB
}
