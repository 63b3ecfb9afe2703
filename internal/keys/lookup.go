package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const (
	maxShortTerm    = 12 * time.Hour
	maxShortTermLen = 16 << 10 // characters; one with a session token has some 2,000
	shortTermHost   = "bedrock.amazonaws.com"
	shortTermAction = "CallWithBearerToken"
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
	if bytes.HasPrefix(t, []byte(shortTermPrefix)) {
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

// VerifyShortTerm checks a token that a client made from an access key, without
// asking anyone: "bedrock-api-key-" and the base64 of a presigned POST to
// bedrock.amazonaws.com/?Action=CallWithBearerToken, with "&Version=1" behind the
// signature. It lives as long as it says, at most 12 hours, and dies with the key
// that signed it.
//
// Errors: as VerifyBearer. Source: aws-bedrock-token-generator 1.1.0.
func (s *Service) VerifyShortTerm(ctx context.Context, token secret.Value) (Grant, error) {
	rest, ok := strings.CutPrefix(string(token.Reveal()), shortTermPrefix)
	if !ok || len(rest) > maxShortTermLen {
		return Grant{}, badToken()
	}
	text, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil {
		return Grant{}, badToken()
	}
	query, ok := strings.CutPrefix(string(text), shortTermHost+"/?")
	if !ok {
		return Grant{}, badToken()
	}
	if query, ok = strings.CutSuffix(query, "&Version=1"); !ok {
		return Grant{}, badToken()
	}
	if q, err := url.ParseQuery(query); err != nil || len(q["Action"]) != 1 || q["Action"][0] != shortTermAction {
		return Grant{}, badToken()
	}
	r := &http.Request{Method: http.MethodPost, Host: shortTermHost, RequestURI: "/?" + query, Header: http.Header{}}
	now := s.now()
	signed, err := sigv4.Parse(r, now, sigv4.Options{Services: []string{"bedrock"}})
	if err != nil || signed.Form != sigv4.Query || signed.Expires > maxShortTerm || signed.SessionToken != "" {
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
