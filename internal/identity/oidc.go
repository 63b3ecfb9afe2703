package identity

import (
	"context"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of OpenID Connect providers. Source: "IAM and AWS STS quotas".
const (
	maxClientIDs   = 100
	maxThumbprints = 5
	maxProviders   = 100
)

// OIDCProvider is an issuer of OpenID Connect whose tokens an account trusts.
type OIDCProvider struct {
	Account     string
	Issuer      string // without "https://", e.g. "token.actions.githubusercontent.com"; the case is kept
	Created     time.Time
	ClientIDs   []string // audiences that are taken; in the order of adding
	Thumbprints []string // of certificates, SHA-1 in hex; kept and shown, the server trusts its own list of roots
	Tags        Tags     `json:",omitempty"`
}

var oidcKind = kind[OIDCProvider]{name: "iam/oidc-provider", id: func(p *OIDCProvider) string { return p.Issuer }}

// ARN returns the provider's ARN.
func (p *OIDCProvider) ARN() string {
	return "arn:aws:iam::" + p.Account + ":oidc-provider/" + p.Issuer
}

// NewOIDCProvider says what provider to make.
type NewOIDCProvider struct {
	URL         string // "https://HOST[/PATH]", without port, query and fragment
	ClientIDs   []string
	Thumbprints []string
	Tags        Tags
}

// Issuer takes "https://" and a slash at the end off the URL of an issuer, as it
// stands in ARNs and in names of condition keys.
func Issuer(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(text, "https://"), "/")
}

// OIDCProvider returns the provider of an account with an issuer ("https://" may
// stand before it), or nil.
func (d *Directory) OIDCProvider(acct, issuer string) *OIDCProvider {
	return find(d.state.Load(), &oidcKind, acct, Issuer(issuer))
}

// OIDCProviderByARN returns the provider of an account with an ARN, or nil.
func (d *Directory) OIDCProviderByARN(acct, providerARN string) *OIDCProvider {
	return oidcByARN(d.state.Load(), acct, providerARN)
}

func oidcByARN(s *state, acct, providerARN string) *OIDCProvider {
	issuer, ok := strings.CutPrefix(providerARN, "arn:aws:iam::"+acct+":oidc-provider/")
	if !ok {
		return nil
	}
	return find(s, &oidcKind, acct, issuer)
}

// OIDCProviders returns the providers of an account by issuer.
func (d *Directory) OIDCProviders(acct string) []*OIDCProvider {
	return sorted(d.state.Load(), &oidcKind, acct)
}

// CreateOIDCProvider makes a provider.
//
// Errors: EntityAlreadyExists; InvalidInput for a URL that is not https, and for
// thumbprints; LimitExceeded beyond 100 client ids, 5 thumbprints, 100 providers.
func (d *Directory) CreateOIDCProvider(ctx context.Context, acct string, in NewOIDCProvider) (*OIDCProvider, error) {
	issuer, err := checkIssuer(in.URL)
	if err != nil {
		return nil, err
	}
	if err := checkThumbprints(in.Thumbprints); err != nil {
		return nil, err
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	p := &OIDCProvider{Account: acct, Issuer: issuer, Created: d.second(), Thumbprints: lowered(in.Thumbprints), Tags: in.Tags}
	for _, id := range in.ClientIDs {
		if err := p.addClientID(id); err != nil {
			return nil, err
		}
	}
	return p, d.change(ctx, func(t *tx) error {
		if find(t.state, &oidcKind, acct, issuer) != nil {
			return apiError(codeExists, "Provider with url https://%s already exists.", issuer)
		}
		if len(all(t.state, &oidcKind, acct).byID) >= maxProviders {
			return apiError(codeLimit, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		}
		return put(t, &oidcKind, acct, p)
	})
}

// checkIssuer checks the URL of an issuer and takes the scheme off.
func checkIssuer(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(text) > 255 {
		return "", apiError(codeInvalidInput, "Invalid Open ID Connect Provider URL: it must begin with https:// and have no port, query or fragment, and at most 255 characters")
	}
	return Issuer(text), nil
}

func checkThumbprints(list []string) error {
	if len(list) > maxThumbprints {
		return apiError(codeInvalidInput, "Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	for _, t := range list {
		if b, err := hex.DecodeString(t); err != nil || len(b) != 20 {
			return apiError(codeInvalidInput, "ThumbprintList: a thumbprint has 40 hexadecimal digits")
		}
	}
	return nil
}

func lowered(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// addClientID adds an audience; once more is no error.
func (p *OIDCProvider) addClientID(id string) error {
	if len(id) < 1 || len(id) > 255 {
		return apiError(codeInvalidInput, "ClientID: must have 1 to 255 characters")
	}
	if slices.Contains(p.ClientIDs, id) {
		return nil
	}
	if len(p.ClientIDs) >= maxClientIDs {
		return apiError(codeLimit, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
	}
	p.ClientIDs = append(slices.Clone(p.ClientIDs), id)
	return nil
}

// AddOIDCClientID adds an audience to a provider; once more is no error. Errors:
// NoSuchEntity, InvalidInput, LimitExceeded.
func (d *Directory) AddOIDCClientID(ctx context.Context, acct, providerARN, id string) error {
	return d.editOIDC(ctx, acct, providerARN, func(p *OIDCProvider) error { return p.addClientID(id) })
}

// RemoveOIDCClientID removes an audience from a provider; one that is not there is
// no error. Errors: NoSuchEntity.
func (d *Directory) RemoveOIDCClientID(ctx context.Context, acct, providerARN, id string) error {
	return d.editOIDC(ctx, acct, providerARN, func(p *OIDCProvider) error {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(s string) bool { return s == id })
		return nil
	})
}

// SetOIDCThumbprints replaces the thumbprints of a provider. Errors: NoSuchEntity,
// InvalidInput.
func (d *Directory) SetOIDCThumbprints(ctx context.Context, acct, providerARN string, list []string) error {
	if err := checkThumbprints(list); err != nil {
		return err
	}
	return d.editOIDC(ctx, acct, providerARN, func(p *OIDCProvider) error {
		p.Thumbprints = lowered(list)
		return nil
	})
}

// TagOIDCProvider puts tags on a provider. Errors: NoSuchEntity, and as CheckTags.
func (d *Directory) TagOIDCProvider(ctx context.Context, acct, providerARN string, tags Tags) error {
	return d.editOIDC(ctx, acct, providerARN, func(p *OIDCProvider) (err error) {
		p.Tags, err = p.Tags.With(tags)
		return err
	})
}

// UntagOIDCProvider takes tags off a provider. Errors: NoSuchEntity.
func (d *Directory) UntagOIDCProvider(ctx context.Context, acct, providerARN string, tagKeys []string) error {
	return d.editOIDC(ctx, acct, providerARN, func(p *OIDCProvider) error {
		p.Tags = p.Tags.Without(tagKeys)
		return nil
	})
}

// DeleteOIDCProvider deletes a provider; one that is not there is no error.
func (d *Directory) DeleteOIDCProvider(ctx context.Context, acct, providerARN string) error {
	return d.change(ctx, func(t *tx) error {
		if p := oidcByARN(t.state, acct, providerARN); p != nil {
			remove(t, &oidcKind, acct, p)
		}
		return nil
	})
}

func (d *Directory) editOIDC(ctx context.Context, acct, providerARN string, fn func(p *OIDCProvider) error) error {
	return d.change(ctx, func(t *tx) error {
		p := oidcByARN(t.state, acct, providerARN)
		if p == nil {
			return apiError(codeNoSuchEntity, "OpenIDConnect Provider not found for arn %s", providerARN)
		}
		c := *p
		if err := fn(&c); err != nil {
			return err
		}
		return put(t, &oidcKind, acct, &c)
	})
}
