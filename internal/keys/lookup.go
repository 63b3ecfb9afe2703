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

// TypeOf says which sort of bearer key a token claims to be.
func TypeOf(token secret.Value) TokenType {
	if bytes.HasPrefix(token.Reveal(), []byte(sigv4.ShortTermPrefix)) {
		return ShortTerm
	}
	return LongTerm
}

// Signer finds the owner and the secret of an access key. sessionToken is "" for
// long-term keys. Errors: *apierr.Error when there is no such key.
type Signer func(ctx context.Context, accessKeyID, sessionToken string) (call.Principal, secret.Value, error)

// LookupSigV4 returns an active access key and its secret. It answers from memory
// for up to 1 second after the store was last asked.
//
// Errors: UnrecognizedClientException (403) for a key that is unknown, disabled,
// expired or no access key; the four are not told apart.
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

// VerifyLongTerm checks a long-term bearer token. The comparison takes the same
// time wherever two tokens differ.
//
// Errors: AccessDeniedException (403) "Authentication failed: ..." for a token that
// is malformed, unknown, disabled or expired.
func (s *Service) VerifyLongTerm(ctx context.Context, token secret.Value) (Key, error) {
	t := token.Reveal()
	if !bytes.HasPrefix(t, []byte(longTermPrefix)) || len(t) > maxToken {
		return Key{}, BadToken()
	}
	o, err := s.lookup(ctx, bearerID(t), bearerIDPrefix, Bearer)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return Key{}, BadToken()
		}
		return Key{}, err
	}
	if sum := sha256.Sum256(t); subtle.ConstantTimeCompare(sum[:], o.secret) != 1 {
		return Key{}, BadToken()
	}
	return o.key, nil
}

// VerifyShortTerm checks a token that a client made from an access key or from
// temporary credentials, see sigv4.ParseShortTerm, and returns whose key that is
// and the only region that the token is good for. It lives as long as it says, at
// most 12 hours, and dies with the key or the session that signed it.
//
// Errors: as VerifyLongTerm, also for a token that is wrongly signed.
func (s *Service) VerifyShortTerm(ctx context.Context, token secret.Value, signer Signer) (p call.Principal, region string, err error) {
	signed, err := sigv4.ParseShortTerm(string(token.Reveal()), s.now())
	if err != nil {
		return call.Principal{}, "", BadToken()
	}
	p, sec, err := signer(ctx, signed.AccessKeyID, signed.SessionToken)
	if err != nil {
		if _, refused := errors.AsType[*apierr.Error](err); refused {
			return call.Principal{}, "", BadToken()
		}
		return call.Principal{}, "", err
	}
	if err := signed.Verify(s.derived, sec, nil); err != nil {
		return call.Principal{}, "", BadToken()
	}
	return p, signed.Region, nil
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
	if !found || o.key.Kind != kind || o.key.Status != Active || !o.key.Expires.IsZero() && now.After(o.key.Expires) {
		return opened{}, ErrNotFound
	}
	return o, nil
}

// BadToken is what every bearer key gets that is not good: AccessDeniedException,
// 403.
func BadToken() *apierr.Error {
	return apierr.AccessDenied("Authentication failed: Please make sure your API Key is valid.")
}
