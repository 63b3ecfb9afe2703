// Package access decides who may do what: the one place where IAM's policies
// meet a request.
//
// Authorize asks in AWS's order and is deny by default: an explicit deny anywhere,
// then service control policies, the policy of the resource, the policies of the
// identity, its permissions boundary, its session policies, and the policy of the
// listener's endpoint. Decide asks the same of injected facts, for simulators.
//
// Source: IAM user guide, "Policy evaluation logic" and "AWS global condition
// context keys".
package access

import (
	"context"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
)

// Policies is what binds a principal. It is compiled once and never changed.
type Policies struct {
	Identity []*policy.Document // inline, attached and of groups
	Boundary *policy.Document   // nil: none
	// Session are the session policies of temporary credentials: where there is one,
	// one of them must allow too.
	Session []*policy.Document
	// Control are the service control policies, one slice for each level from the
	// root of the organisation down to the account: every level must allow. nil: the
	// principal is not bound by any.
	Control [][]*policy.Document
	Tags    map[string]string // aws:PrincipalTag; session tags win over those of the role
	OrgID   string            // aws:PrincipalOrgID; "" outside of an organisation
	OrgPath string            // aws:PrincipalOrgPaths
}

// Resource is what is known of a resource.
type Resource struct {
	Account string           // its owner; "" for what belongs to nobody, e.g. foundation models
	Policy  *policy.Document // resource policy or trust policy; nil: none
	// Trust says that Policy has to allow, even within one account: the trust policy
	// of a role. It counts for actions of sts alone.
	Trust bool
	Tags  map[string]string // aws:ResourceTag
	// OrgID is aws:ResourceOrgID; "" means unknown, or that of the caller for what
	// belongs to the caller's account.
	OrgID string
}

// Principals knows what binds a principal. identity.Directory implements it and
// answers from memory.
type Principals interface {
	Policies(ctx context.Context, p *call.Principal) (*Policies, error)
}

// Resources knows the resources of one AWS service. It answers from memory.
type Resources interface {
	// Resource returns what is known of an ARN; the zero Resource when there is
	// nothing to know. caller is the account of the caller, to whom what is
	// account-less belongs.
	Resource(ctx context.Context, arn, caller string) (Resource, error)
}

// Config is what an Authorizer is made of.
type Config struct {
	// Principals tells the policies of a caller; nil: nobody has any, so that only
	// roots of accounts may do something.
	Principals Principals
	// Resources by the service in their ARNs, e.g. "iam", "bedrock".
	Resources map[string]Resources
	// Seal encrypts the reason of a refusal for DecodeAuthorizationMessage; nil leaves
	// the encoded message out. See [DecodeReason].
	Seal func(plain []byte) string
	Now  func() time.Time // nil means time.Now
}

// Authorizer decides over requests. The zero value knows no policies and lets
// only roots of accounts do something. It is safe for concurrent use.
type Authorizer struct{ shared *engine }

// engine is what the copies of an Authorizer share.
type engine struct {
	cfg       Config
	queries   sync.Pool // of *query
	endpoints endpoints
}

// New makes an Authorizer.
func New(cfg Config) *Authorizer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &engine{cfg: cfg}
	e.queries.New = func() any { return new(query) }
	return &Authorizer{e}
}

// withDefaults makes the zero Authorizer work.
func (a Authorizer) withDefaults() *engine {
	if a.shared == nil {
		return New(Config{}).shared
	}
	return a.shared
}
