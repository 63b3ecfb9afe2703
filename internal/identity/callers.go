package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// Known tells who exists. Directory implements it.
type Known interface {
	// Principal is whose long-term key k is. Errors: UnrecognizedClientException when
	// its user or account is gone.
	Principal(k keys.Key) (call.Principal, error)
	// Lives reports whether who a session is of still exists: its account, its role or
	// its user. It gives p the name that the user has now.
	Lives(p *call.Principal) bool
}

// Elevations knows which approved sessions are good. approval.Service implements it.
type Elevations interface {
	Running(account, id string) bool
}

// Callers tells who sends a request: it brings keys, sessions and the directory
// together. It is safe for concurrent use.
type Callers struct {
	Keys       *keys.Service    // required
	Sessions   *session.Service // required
	Directory  Known            // required
	Elevations Elevations       // nil: no elevated session is good
}

// SigV4 returns the principal and the secret of an access key. sessionToken is
// what came in X-Amz-Security-Token; "" for none.
//
// Errors: UnrecognizedClientException (403) for a key that is unknown or disabled,
// a long-term key with a session token, a session's key without its own one, and
// for a principal that exists no more; ExpiredTokenException (403) for a session
// that has ended.
func (c Callers) SigV4(ctx context.Context, accessKeyID, sessionToken string) (call.Principal, secret.Value, error) {
	if sessionToken != "" {
		p, sec, err := c.Sessions.Open(accessKeyID, sessionToken)
		if err != nil {
			return call.Principal{}, secret.Value{}, err
		}
		if !c.Directory.Lives(&p) || !c.elevated(&p) {
			return call.Principal{}, secret.Value{}, sigv4.Unrecognized()
		}
		return p, sec, nil
	}
	k, sec, err := c.Keys.LookupSigV4(ctx, accessKeyID)
	if err != nil {
		return call.Principal{}, secret.Value{}, err
	}
	p, err := c.Directory.Principal(k)
	if err != nil {
		return call.Principal{}, secret.Value{}, err
	}
	return p, sec, nil
}

// Standing tells whether who made a call a while ago could still make one: a change
// that waited for an approval is made only then. The long-term key must be good and
// the user, role or account there; of an elevated session the elevation must go on.
// That temporary credentials have ended by themselves is no matter. It gives p the
// name that its user has now.
//
// Errors: UnrecognizedClientException (403).
func (c Callers) Standing(ctx context.Context, p *call.Principal) error {
	if !c.Directory.Lives(p) {
		return sigv4.Unrecognized()
	}
	if p.Session != nil {
		if !c.elevated(p) {
			return sigv4.Unrecognized()
		}
		return nil
	}
	k, err := c.Keys.Get(ctx, p.AccessKeyID)
	if errors.Is(err, keys.ErrNotFound) || err == nil && k.Status != keys.Active {
		return sigv4.Unrecognized()
	}
	return err
}

// elevated reports whether the approval of a session goes on; a session without
// one needs none.
func (c Callers) elevated(p *call.Principal) bool {
	id := p.Session.Elevation
	return id == "" || c.Elevations != nil && c.Elevations.Running(p.Account, id)
}

// Bearer returns the principal of a bearer key of either sort, and the only region
// that the key is good for; "" means every region.
//
// Errors: AccessDeniedException (403) "Authentication failed: ..." for a key that
// is malformed, unknown, disabled, expired or wrongly signed, or whose owner or
// session is gone.
func (c Callers) Bearer(ctx context.Context, token secret.Value) (p call.Principal, region string, err error) {
	kind := keys.TypeOf(token)
	if kind == keys.ShortTerm {
		if p, region, err = c.Keys.VerifyShortTerm(ctx, token, c.SigV4); err != nil {
			return call.Principal{}, "", err
		}
	} else {
		k, err := c.Keys.VerifyLongTerm(ctx, token)
		if err != nil {
			return call.Principal{}, "", err
		}
		if p, err = c.Directory.Principal(k); err != nil {
			return call.Principal{}, "", keys.BadToken().WithCause(err)
		}
	}
	p.Bearer, p.BearerType = true, string(kind)
	return p, region, nil
}

// Lives implements Known. A federated user lives as long as the user that it acts
// for; a session of a role as long as that very role: one of the same name that
// was made later is another one.
func (d *Directory) Lives(p *call.Principal) bool {
	a := d.Account(p.Account)
	if a != nil && a.Status != AccountActive {
		return false
	}
	switch p.Type {
	case call.Root:
		return true
	case call.User:
		u := d.UserByID(p.Account, p.UserID)
		if u == nil {
			return false
		}
		p.Name, p.ARN = u.Name, u.ARN() // who was renamed is not whoever has the old name
		return true
	case call.FederatedUser:
		return p.Session.Owner == "" || d.UserByID(p.Account, p.Session.Owner) != nil
	case call.AssumedRole:
		return d.RoleByID(p.Account, p.Session.RoleID) != nil
	default:
		return false
	}
}
