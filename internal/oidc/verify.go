package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/secret"
)

// algorithms are those that a token may be signed with. None and the symmetric
// ones are not among them.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
}

// Claims are what a verified token says.
type Claims struct {
	Issuer   string // as policies name it: without "https://"
	Subject  string // sub
	Audience string // the one that the provider takes: azp when the token has it, else of aud
	AMR      []string
	Expires  time.Time
	// What the issuer wants the session to carry, from the claims of
	// https://aws.amazon.com/.
	Tags           map[string]string
	TransitiveTags []string
	SourceIdentity string
}

// maxKeysTried bounds the signatures that one token makes us check, when it names
// no key.
const maxKeysTried = 8

// Verify checks a token: its signature by a key of its issuer, its times, of which
// nbf and iat may be Skew ahead, and its audience. known tells whether an account trusts the
// issuer, named as by Name, and for which client ids.
//
// Errors: InvalidIdentityToken (400) for a token that is malformed, of an issuer
// that is not trusted, wrongly signed, not yet good or for somebody else;
// ExpiredTokenException (400); IDPRejectedClaim (403) for tags that cannot be read;
// IDPCommunicationError (400) when the issuer does not give its keys.
func (v *Verifier) Verify(ctx context.Context, token secret.Value, known func(issuer string) (clients []string, ok bool)) (*Claims, error) {
	text := string(token.Reveal())
	if len(text) > MaxToken || strings.Count(text, ".") != 2 {
		return nil, Invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	signed, err := jose.ParseSignedCompact(text, algorithms())
	if err != nil || len(signed.Signatures) != 1 {
		return nil, Invalid("The ID Token provided is not a valid JWT signed by a supported algorithm")
	}
	head := signed.Signatures[0].Header
	c, err := readClaims(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	// Who an account does not trust is told no more, and nothing is fetched for it.
	clients, trusted := known(Name(c.issuer))
	s := v.sources[Name(c.issuer)]
	if !trusted || s == nil || strings.TrimSuffix(s.issuer.Issuer, "/") != strings.TrimSuffix(c.issuer, "/") {
		return nil, Invalid("No OpenIDConnect provider found in your account for %s", shown(c.issuer))
	}
	keys, err := v.keysFor(ctx, s, head.KeyID, jose.SignatureAlgorithm(head.Algorithm))
	switch {
	case errors.Is(err, errNoKey):
		return nil, Invalid("Couldn't find a key of your identity provider that may have signed the token")
	case err != nil:
		return nil, err
	}
	if !slices.ContainsFunc(keys[:min(len(keys), maxKeysTried)], func(k jose.JSONWebKey) bool {
		_, err := signed.Verify(k.Key)
		return err == nil
	}) {
		return nil, Invalid("The signature of the ID Token is not that of its issuer")
	}
	if err := c.checkTimes(v.cfg.Now()); err != nil {
		return nil, err
	}
	return c.result(clients)
}

// claims are those of a token that matter.
type claims struct {
	issuer, subject, azp       string
	audience, amr              texts
	expires, notBefore, issued *float64
	tags                       map[string]texts
	transitive                 []string
	sourceIdentity             string
}

// texts is a list of texts, or one text.
type texts []string

// UnmarshalJSON reads both forms.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	var all []string
	err := json.Unmarshal(b, &all)
	*t = all
	return err
}

// members reads the members of an object whose names are exactly those of into.
// Package json would take "SUB" for "sub", and so a claim that a user may choose
// for one that the issuer vouches for.
func members(text []byte, into map[string]any) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, to := range into {
		if raw, ok := all[name]; ok {
			if err := json.Unmarshal(raw, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func readClaims(payload []byte) (*claims, error) {
	var c claims
	var tags json.RawMessage
	err := members(payload, map[string]any{
		"iss": &c.issuer, "sub": &c.subject, "azp": &c.azp, "aud": &c.audience, "amr": &c.amr,
		"exp": &c.expires, "nbf": &c.notBefore, "iat": &c.issued,
		"https://aws.amazon.com/tags": &tags, "https://aws.amazon.com/source_identity": &c.sourceIdentity,
	})
	if err == nil && tags != nil {
		err = members(tags, map[string]any{"principal_tags": &c.tags, "transitive_tag_keys": &c.transitive})
	}
	if err != nil {
		return nil, Invalid("The ID Token provided is not a valid JWT: its claims cannot be read")
	}
	for _, m := range []struct {
		name    string
		missing bool
	}{
		{"iss", c.issuer == ""}, {"sub", c.subject == ""}, {"aud", len(c.audience) == 0}, {"exp", c.expires == nil}, {"iat", c.issued == nil},
	} {
		if m.missing {
			return nil, Invalid("Missing a required claim: %s", m.name)
		}
	}
	if n := utf8.RuneCountInString(c.subject); n < 2 || n > 255 {
		return nil, Invalid("The claim sub must have 2 to 255 characters")
	}
	return &c, nil
}

// instant is the time of a claim: seconds, with or without parts of one. What no
// clock will ever show is the end of time.
func instant(seconds float64) time.Time {
	const end = 1 << 40
	return time.UnixMilli(int64(min(max(seconds, 0), end) * 1000)).UTC()
}

func (c *claims) checkTimes(now time.Time) error {
	if end := instant(*c.expires); !now.Before(end) {
		return expired(end, now)
	}
	if c.notBefore != nil && now.Add(Skew).Before(instant(*c.notBefore)) {
		return Invalid("The ID Token is not good yet: see its claim nbf")
	}
	if now.Add(Skew).Before(instant(*c.issued)) {
		return Invalid("The ID Token was issued in the future: see its claim iat")
	}
	return nil
}

// result checks for whom the token is.
func (c *claims) result(clients []string) (*Claims, error) {
	audience := ""
	for _, a := range append([]string{c.azp}, c.audience...) {
		if a != "" && audience == "" && slices.Contains(clients, a) {
			audience = a
		}
	}
	if audience == "" {
		return nil, Invalid("Incorrect token audience")
	}
	out := &Claims{
		Issuer: Name(c.issuer), Subject: c.subject, Audience: audience, AMR: c.amr, Expires: instant(*c.expires),
		TransitiveTags: c.transitive, SourceIdentity: c.sourceIdentity,
	}
	for k, v := range c.tags {
		if len(v) != 1 {
			return nil, Rejected("The claim https://aws.amazon.com/tags must give each tag one value")
		}
		if out.Tags == nil {
			out.Tags = make(map[string]string, len(c.tags))
		}
		out.Tags[k] = v[0]
	}
	return out, nil
}

// shown cuts what a stranger wrote.
func shown(issuer string) string {
	if len(issuer) > 128 {
		issuer = issuer[:128] + "..."
	}
	return strings.ToValidUTF8(issuer, "?")
}
