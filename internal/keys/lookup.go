package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// TokenType tells the two sorts of bearer keys apart, as the condition key
// bedrock:BearerTokenType names them.
type TokenType string

// The sorts of bearer keys.
const (
	LongTerm  TokenType = "LONG_TERM"
	ShortTerm TokenType = "SHORT_TERM"
)

// Grant is what a bearer token proves.
type Grant struct {
	Key    Key // LongTerm: the bearer key; ShortTerm: the access key that signed the token
	Type   TokenType
	Region string // the only region that a ShortTerm token is good for; "" means every region
}

// Principal is who a request with this token comes from.
func (g Grant) Principal() call.Principal {
	p := g.Key.Principal()
	p.Bearer = true
	return p
}

// LookupSigV4 returns an active access key and its secret. It answers from memory
// for up to 1 second after the store was last asked.
//
// Errors: UnrecognizedClientException (403) for a key that is unknown, disabled or
// no access key; the three are not told apart.
func (s *Service) LookupSigV4(ctx context.Context, id string) (Key, secret.Value, error) {
	o, err := s.lookup(ctx, id, sigV4Prefix, SigV4)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return Key{}, secret.Value{}, sigv4.Unrecognized()
		}
		return Key{}, secret.Value{}, err
	}
	return o.key, secret.New(o.secret), nil
}

// SigV4 is LookupSigV4 for a caller who wants the principal.
func (s *Service) SigV4(ctx context.Context, id string) (call.Principal, secret.Value, error) {
	k, sec, err := s.LookupSigV4(ctx, id)
	if err != nil {
		return call.Principal{}, secret.Value{}, err
	}
	return k.Principal(), sec, nil
}

// VerifyBearer checks a bearer token of either sort. The comparison takes the same
// time wherever two tokens differ.
//
// Errors: AccessDeniedException (403) "Authentication failed: ..." for a token that
// is malformed, unknown, disabled, expired or wrongly signed.
func (s *Service) VerifyBearer(ctx context.Context, token secret.Value) (Grant, error) {
	t := token.Reveal()
	if bytes.HasPrefix(t, []byte(sigv4.ShortTermPrefix)) {
		return s.VerifyShortTerm(ctx, token)
	}
	if !bytes.HasPrefix(t, []byte(longTermPrefix)) || len(t) > maxToken {
		return Grant{}, badToken()
	}
	o, err := s.lookup(ctx, bearerID(t), bearerIDPrefix, Bearer)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return Grant{}, badToken()
		}
		return Grant{}, err
	}
	if sum := sha256.Sum256(t); subtle.ConstantTimeCompare(sum[:], o.secret) != 1 {
		return Grant{}, badToken()
	}
	return Grant{Key: o.key, Type: LongTerm}, nil
}

// Bearer is VerifyBearer for a caller who wants the principal.
func (s *Service) Bearer(ctx context.Context, token secret.Value) (call.Principal, error) {
	g, err := s.VerifyBearer(ctx, token)
	if err != nil {
		return call.Principal{}, err
	}
	return g.Principal(), nil
}

// VerifyShortTerm checks a token that a client made from an access key, see
// sigv4.ParseShortTerm. It lives as long as it says, at most 12 hours, and dies
// with the key that signed it.
//
// Errors: as VerifyBearer.
func (s *Service) VerifyShortTerm(ctx context.Context, token secret.Value) (Grant, error) {
	signed, err := sigv4.ParseShortTerm(string(token.Reveal()), s.now())
	if err != nil || signed.SessionToken != "" { // temporary credentials are not issued yet
		return Grant{}, badToken()
	}
	key, sec, err := s.LookupSigV4(ctx, signed.AccessKeyID)
	if err != nil {
		if _, refused := errors.AsType[*apierr.Error](err); refused {
			return Grant{}, badToken()
		}
		return Grant{}, err
	}
	if err := signed.Verify(s.derived, sec, nil); err != nil {
		return Grant{}, badToken()
	}
	return Grant{Key: key, Type: ShortTerm, Region: signed.Region}, nil
}

// lookup returns an active key of a kind. Everything else is ErrNotFound, but for
// trouble with the store or a sealed secret.
func (s *Service) lookup(ctx context.Context, id, prefix string, kind Kind) (opened, error) {
	if !looksLikeID(id, prefix) {
		return opened{}, ErrNotFound
	}
	now := s.now()
	o, found, known := s.cache.get(id, now)
	if !known {
		epoch := s.cache.at()
		st, err := s.store.GetKey(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return opened{}, fmt.Errorf("look up key %s: %w", id, err)
		default:
			if o, err = s.open(st); err != nil {
				return opened{}, err
			}
			found = true
		}
		s.cache.put(epoch, now, id, o, found)
	}
	if !found || o.key.Kind != kind || o.key.Status != Active {
		return opened{}, ErrNotFound
	}
	return o, nil
}

func badToken() *apierr.Error {
	return apierr.AccessDenied("Authentication failed: Please make sure your API Key is valid.")
}
