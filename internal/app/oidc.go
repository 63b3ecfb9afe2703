package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/oidc"
)

// OIDCIssuer is an OpenID Connect provider whose tokens may be turned into
// sessions of roles, by accounts that trust it (iam create-open-id-connect-provider).
// Its keys come from a file or from an address; with an address, egress.oidc has to
// name its host, unless that list is left out.
type OIDCIssuer struct {
	// Issuer is the URL that its tokens have as iss, e.g.
	// https://token.actions.githubusercontent.com. Required.
	Issuer string `yaml:"issuer"`
	// JWKSFile is a file with its JSON Web Key Set.
	JWKSFile string `yaml:"jwks_file"`
	// JWKSURL is where its JSON Web Key Set is fetched from, when a token needs it.
	JWKSURL string `yaml:"jwks_url"`
}

// verifier verifies tokens of the issuers that are configured.
func (c Config) verifier(log *slog.Logger) (*oidc.Verifier, error) {
	cfg := oidc.Config{Log: log}
	for _, i := range c.OIDCIssuers {
		cfg.Issuers = append(cfg.Issuers, oidc.Issuer{Issuer: i.Issuer, File: i.JWKSFile, URL: i.JWKSURL})
		if u, err := url.Parse(i.JWKSURL); err == nil && c.Egress.OIDC == nil {
			if d, ok := destination(u); ok {
				c.out.Grant(network.OIDC, d)
			}
		}
	}
	if !c.out.Off() {
		cfg.Fetch = fetchKeys(newClient(c.out, network.OIDC))
	}
	return oidc.New(cfg)
}

// fetchKeys gets documents of identity providers.
func fetchKeys(client *http.Client) func(ctx context.Context, url string, limit int64) ([]byte, error) {
	return func(ctx context.Context, url string, limit int64) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept", "application/json")
		a, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Body.Close() }()
		if a.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", url, a.Status)
		}
		return io.ReadAll(io.LimitReader(a.Body, limit+1))
	}
}
