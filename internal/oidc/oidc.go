// Package oidc verifies the tokens of OpenID Connect identity providers, for
// AssumeRoleWithWebIdentity.
//
// An issuer is believed when the operator has listed it, with where its keys are;
// that an account trusts it is asked of the caller. The keys of an issuer are
// fetched when a token needs them, kept for a while, and never fetched more often
// than a floor allows: no flood of tokens with made-up key ids becomes a flood of
// requests to an issuer.
package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	// DefaultTTL is how long fetched keys are used without asking for newer ones. While
	// the issuer does not answer they are believed for four times as long.
	DefaultTTL = time.Hour
	// DefaultFloor is the least time between two fetches of the keys of an issuer.
	DefaultFloor = time.Minute
	// Skew is how far the clock of an issuer may be ahead.
	Skew = 5 * time.Minute
	// MaxToken is the longest token, in characters, as the API has it.
	MaxToken = 20_000
	// MaxKeys is the largest key set, in bytes.
	MaxKeys = 256 << 10

	staleFor  = 4 // TTLs
	fetchTime = 5 * time.Second
)

// Issuer is an identity provider that the operator trusts. Either File or URL is
// set.
type Issuer struct {
	// URL of the issuer as its tokens name it, e.g.
	// "https://token.actions.githubusercontent.com".
	Issuer string
	File   string // path of its JSON Web Key Set
	URL    string // where its JSON Web Key Set is fetched from
}

// Config is what a Verifier is made of.
type Config struct {
	Issuers []Issuer
	// Fetch gets the body of an URL, at most limit bytes of it. It is asked by URLs of
	// the operator alone, and by one goroutine per issuer. nil: issuers need files.
	Fetch func(ctx context.Context, url string, limit int64) ([]byte, error)
	TTL   time.Duration    // 0 means DefaultTTL
	Floor time.Duration    // 0 means DefaultFloor
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	sources map[string]*source // by issuer without "https://"
}

// New returns a Verifier. Errors: an issuer that is no URL, stands twice, or has
// not exactly one place for its keys; a file that cannot be read or is no key set.
func New(cfg Config) (*Verifier, error) {
	cfg.TTL, cfg.Floor = cmp.Or(cfg.TTL, DefaultTTL), cmp.Or(cfg.Floor, DefaultFloor)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{cfg: cfg, sources: make(map[string]*source, len(cfg.Issuers))}
	for _, i := range cfg.Issuers {
		if err := i.check(); err != nil {
			return nil, err
		}
		name := Name(i.Issuer)
		if v.sources[name] != nil {
			return nil, fmt.Errorf("oidc issuer %s: listed twice", i.Issuer)
		}
		s := &source{issuer: i, gate: make(chan struct{}, 1)}
		if i.File != "" {
			text, err := os.ReadFile(i.File)
			if err != nil {
				return nil, fmt.Errorf("oidc issuer %s: read its keys: %w", i.Issuer, err)
			}
			if s.keys, err = readKeys(text); err != nil {
				return nil, fmt.Errorf("oidc issuer %s: %s: %w", i.Issuer, i.File, err)
			}
		} else if cfg.Fetch == nil {
			return nil, fmt.Errorf("oidc issuer %s: its keys cannot be fetched without egress; give a jwks_file", i.Issuer)
		}
		v.sources[name] = s
	}
	return v, nil
}

func (i Issuer) check() error {
	u, err := url.Parse(i.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("oidc issuer %q: must be an https URL without query and fragment", i.Issuer)
	}
	if (i.File == "") == (i.URL == "") {
		return fmt.Errorf("oidc issuer %s: give either jwks_file or jwks_url", i.Issuer)
	}
	if i.URL == "" {
		return nil
	}
	if u, err := url.Parse(i.URL); err != nil || u.Scheme != "https" && !loopback(u) || u.Host == "" {
		return fmt.Errorf("oidc issuer %s: jwks_url must be an https URL; http is for this machine alone", i.Issuer)
	}
	return nil
}

func loopback(u *url.URL) bool {
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.Scheme == "http"
	}
	return false
}

// Name is an issuer as policies and providers name it: its URL without scheme and
// without a slash at its end.
func Name(issuer string) string {
	return strings.TrimSuffix(strings.TrimPrefix(issuer, "https://"), "/")
}

// Invalid is InvalidIdentityToken, 400: the token is no good.
func Invalid(format string, args ...any) *apierr.Error {
	return apierr.New("InvalidIdentityToken", http.StatusBadRequest, format, args...)
}

// expired is ExpiredTokenException, 400: a good token past its end.
func expired(at, now time.Time) *apierr.Error {
	return apierr.New(apierr.CodeExpiredToken, http.StatusBadRequest, "Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), at.Unix())
}

// unreachable is IDPCommunicationError, 400: the issuer did not give its keys.
// Clients try again.
func unreachable(err error) *apierr.Error {
	return apierr.New("IDPCommunicationError", http.StatusBadRequest, "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements").WithCause(err)
}

// Rejected is IDPRejectedClaim, 403: the token is good, but what it claims is of no
// use here.
func Rejected(format string, args ...any) *apierr.Error {
	return apierr.New("IDPRejectedClaim", http.StatusForbidden, format, args...)
}

var errNoKey = errors.New("oidc: the issuer has no such key")
