// Package session makes and opens the temporary credentials of STS.
//
// Nothing is stored: a session token is the whole session, its principal and its
// secret, sealed under a key that follows from the installation's root key. Every
// server of the installation opens what any of them has made, and no request with
// temporary credentials asks a database.
package session

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const (
	// MaxPacked is the most bytes that the policies and tags of a session may take
	// once they are packed.
	MaxPacked = 2048
	// MaxToken is what the use of a token's room is told against, in characters. It is
	// the most that a client may ask a token to have at least.
	MaxToken = 4096

	secretBytes = 30 // 40 characters in base64
	purpose     = "session/v1"
)

// Config is what a Service is made of.
type Config struct {
	Root *keys.RootKey    // required
	Now  func() time.Time // nil means time.Now
	Size int              // opened sessions kept in memory; 0 means 4096
}

// Service makes and opens session tokens. It is safe for concurrent use.
type Service struct {
	sealer sealer
	packer packer
	now    func() time.Time
	opened *cache
}

// New returns a Service over cfg.
func New(cfg Config) (*Service, error) {
	key, err := cfg.Root.Derive(purpose)
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Size == 0 {
		cfg.Size = 4096
	}
	return &Service{sealer: sealer{root: key}, now: cfg.Now, opened: newCache(cfg.Size)}, nil
}

// Credentials are the temporary credentials of a session.
type Credentials struct {
	AccessKeyID string       // "ASIA" and 16 of A-Z2-7
	Secret      secret.Value // 40 characters
	Token       string       // the session token; as secret as Secret
	Expires     time.Time    // the last instant at which they are good
	// Packed is how much of MaxPacked the session's policies and tags take, in
	// percent, rounded up; 0 without any.
	Packed int
	// Used is how much of MaxToken the token takes, in percent, rounded up.
	Used int
}

// Issue makes credentials for a session of p. p.Session says until when; its
// Issued and Expires must be whole seconds. Which key p has now does not matter.
//
// Errors: PackedPolicyTooLarge (400) when policies and tags take more than
// MaxPacked bytes. A caller's mistake, such as a principal without a session, is an
// error that clients do not see.
func (s *Service) Issue(p call.Principal) (Credentials, error) { return s.IssueSized(p, 0) }

// IssueSized is Issue for a token of at least minimum characters, 0 to MaxToken:
// a client finds out whether all on the way takes tokens of that size.
func (s *Service) IssueSized(p call.Principal, minimum int) (Credentials, error) {
	if err := check(&p); err != nil {
		return Credentials{}, fmt.Errorf("issue session: %w", err)
	}
	id := newID(p.Account)
	p.AccessKeyID = id
	var sec [secretBytes]byte
	_, _ = rand.Read(sec[:]) // never fails
	plain, packed, err := s.packer.encode(&p, sec[:])
	if err != nil {
		return Credentials{}, fmt.Errorf("issue session: %w", err)
	}
	share := percent(packed, MaxPacked)
	if packed > MaxPacked {
		return Credentials{}, tooLarge(share)
	}
	token := s.sealer.seal(id, plain, min(minimum, MaxToken))
	return Credentials{
		AccessKeyID: id,
		Secret:      secret.NewString(base64.StdEncoding.EncodeToString(sec[:])),
		Token:       token,
		Expires:     p.Session.Expires,
		Packed:      share,
		Used:        percent(len(token), MaxToken),
	}, nil
}

// Open returns whose session a token is, and the secret that its requests are
// signed with. The principal is shared: do not change what it points to.
//
// Errors: UnrecognizedClientException (403) for a token that is missing, was made
// for another access key id or under another root key, or differs in any byte from
// what Issue gave; ExpiredTokenException (403) for one that is past its end.
func (s *Service) Open(accessKeyID, token string) (call.Principal, secret.Value, error) {
	if !IsID(accessKeyID) || token == "" {
		return call.Principal{}, secret.Value{}, sigv4.Unrecognized()
	}
	k := keyOf(accessKeyID, token)
	o, ok := s.opened.get(k)
	if !ok {
		var err error
		if o, err = s.open(accessKeyID, token); err != nil {
			return call.Principal{}, secret.Value{}, sigv4.Unrecognized().WithCause(err)
		}
		if !s.now().After(o.principal.Session.Expires) {
			s.opened.put(k, o)
		}
	}
	if s.now().After(o.principal.Session.Expires) {
		s.opened.drop(k)
		return call.Principal{}, secret.Value{}, sigv4.Expired()
	}
	return o.principal, o.secret, nil
}

// open unseals a token.
func (s *Service) open(id, token string) (opened, error) {
	plain, err := s.sealer.unseal(id, token)
	if err != nil {
		return opened{}, err
	}
	p, sec, err := decode(plain)
	if err != nil {
		return opened{}, err
	}
	if owner, _ := Account(id); owner != p.Account {
		return opened{}, errors.New("session: the token is of another account")
	}
	p.AccessKeyID = id
	return opened{principal: p, secret: secret.NewString(base64.StdEncoding.EncodeToString(sec))}, nil
}

// check refuses principals that are no sessions.
func check(p *call.Principal) error {
	switch s := p.Session; {
	case s == nil:
		return errors.New("the principal has no session")
	case !arn.ValidAccount(p.Account):
		return errors.New("the principal's account is not one of 12 digits")
	case p.Bearer:
		return errors.New("a bearer key has no session of its own")
	case !s.Expires.After(s.Issued), s.Issued.Nanosecond() != 0, s.Expires.Nanosecond() != 0:
		return errors.New("the session's times are not whole seconds, one after the other")
	}
	return nil
}

func tooLarge(share int) *apierr.Error {
	return apierr.New("PackedPolicyTooLarge", http.StatusBadRequest, "Packed policy consumes %d%% of allotted space, please use smaller policy.", share)
}

// percent is n of most in percent, rounded up.
func percent(n, most int) int { return (n*100 + most - 1) / most }
