package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/oidc"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	issuer = "https://id.example.com/realm"
	client = "sts.amazonaws.com"
)

var start = time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)

// provider signs tokens and publishes its keys.
type provider struct {
	mu      sync.Mutex
	keys    map[string]key // by key id
	fetches int
	fail    error
	now     time.Time
}

type key struct {
	alg     jose.SignatureAlgorithm
	private crypto.Signer
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{keys: map[string]key{}, now: start}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256} {
		p.keys[string(alg)] = key{alg, rsaKey()}
	}
	for alg, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		p.keys[string(alg)] = key{alg, k}
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	p.keys[string(jose.EdDSA)] = key{jose.EdDSA, ed}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// set is the key set that the provider publishes.
func (p *provider) set() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s jose.JSONWebKeySet
	for id, k := range p.keys {
		s.Keys = append(s.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: id, Algorithm: string(k.alg), Use: "sig"})
	}
	return json.Marshal(s)
}

func (p *provider) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *provider) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

// verifier fetches the provider's keys.
func (p *provider) verifier(t testing.TB) *oidc.Verifier {
	t.Helper()
	v, err := oidc.New(oidc.Config{
		Issuers: []oidc.Issuer{{Issuer: issuer, URL: "https://id.example.com/keys"}},
		Fetch: func(_ context.Context, url string, _ int64) ([]byte, error) {
			p.mu.Lock()
			p.fetches++
			err := p.fail
			p.mu.Unlock()
			if url != "https://id.example.com/keys" {
				t.Errorf("asked for %s", url)
			}
			if err != nil {
				return nil, err
			}
			return p.set()
		},
		Now: p.clock,
	})
	must(t, err)
	return v
}

type payload = map[string]any

func good(at time.Time) payload {
	return payload{"iss": issuer, "sub": "system:serviceaccount:team:app", "aud": client, "iat": at.Unix(), "exp": at.Add(10 * time.Minute).Unix()}
}

// with changes claims; nil takes one away.
func with(p payload, name string, value any) payload {
	out := payload{}
	for k, v := range p {
		out[k] = v
	}
	if out[name] = value; value == nil {
		delete(out, name)
	}
	return out
}

func (p *provider) sign(t testing.TB, kid string, claims any) string {
	t.Helper()
	k := p.keys[kid]
	return signWith(t, k.alg, k.private, kid, claims)
}

func signWith(t testing.TB, alg jose.SignatureAlgorithm, private any, kid string, claims any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts = opts.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: private}, opts)
	must(t, err)
	text, ok := claims.(string)
	if !ok {
		b, err := json.Marshal(claims)
		must(t, err)
		text = string(b)
	}
	sig, err := s.Sign([]byte(text))
	must(t, err)
	out, err := sig.CompactSerialize()
	must(t, err)
	return out
}

func known(name string) ([]string, bool) {
	return []string{"other", client}, name == "id.example.com/realm"
}

func verify(t testing.TB, v *oidc.Verifier, token string) (*oidc.Claims, error) {
	t.Helper()
	return v.Verify(t.Context(), secret.NewString(token), known)
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

const (
	invalid     = "InvalidIdentityToken"
	unreachable = "IDPCommunicationError"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	for kid := range p.keys {
		c, err := verify(t, v, p.sign(t, kid, good(start)))
		if err != nil {
			t.Errorf("%s: %v", kid, err)
			continue
		}
		if c.Issuer != "id.example.com/realm" || c.Subject != "system:serviceaccount:team:app" || c.Audience != client || !c.Expires.Equal(start.Add(10*time.Minute)) {
			t.Errorf("claims %+v", c)
		}
	}
	if p.fetches != 1 {
		t.Errorf("%d fetches for tokens of known keys", p.fetches)
	}
	c, err := verify(t, v, p.sign(t, "RS256", with(with(with(good(start), "amr", []string{"mfa", "pwd"}), "aud", []string{"a", client}),
		"https://aws.amazon.com/tags", payload{"principal_tags": payload{"team": []string{"core"}}, "transitive_tag_keys": []string{"team"}})))
	must(t, err)
	if !slices.Equal(c.AMR, []string{"mfa", "pwd"}) || c.Tags["team"] != "core" || !slices.Equal(c.TransitiveTags, []string{"team"}) {
		t.Errorf("claims %+v", c)
	}
	if c, err := verify(t, v, p.sign(t, "ES256", with(good(start), "azp", "other"))); err != nil || c.Audience != "other" {
		t.Errorf("with azp: %+v, %v", c, err)
	}
}

// tamper changes the first character of a part.
func tamper(token string, part int) string {
	parts := strings.Split(token, ".")
	c := "A"
	if parts[part][0] == 'A' {
		c = "B"
	}
	parts[part] = c + parts[part][1:]
	return strings.Join(parts, ".")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	token := p.sign(t, "RS256", good(start))
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	claims, _ := json.Marshal(good(start))
	none := b64([]byte(`{"alg":"none"}`)) + "." + b64(claims) + "."
	public, err := json.Marshal(p.keys["RS256"].private.Public())
	must(t, err)
	parts := strings.Split(token, ".")

	for name, bad := range map[string]string{
		"nothing":                      "",
		"no token":                     "abc",
		"two parts":                    parts[0] + "." + parts[1],
		"four parts":                   token + ".x",
		"without signature":            parts[0] + "." + parts[1] + ".",
		"changed head":                 tamper(token, 0),
		"changed claims":               tamper(token, 1),
		"changed signature":            tamper(token, 2),
		"claims of another token":      parts[0] + "." + strings.Split(p.sign(t, "RS256", with(good(start), "sub", "root")), ".")[1] + "." + parts[2],
		"algorithm none":               none,
		"algorithm None":               b64([]byte(`{"alg":"None"}`)) + "." + b64(claims) + ".",
		"no algorithm":                 b64([]byte(`{}`)) + "." + b64(claims) + ".AAAA",
		"HMAC with the public key":     signWith(t, jose.HS256, public, "RS256", good(start)),
		"stranger's key, known id":     signWith(t, jose.ES256, stranger, "ES256", good(start)),
		"stranger's key, no id":        signWith(t, jose.ES256, stranger, "", good(start)),
		"stranger's key, unknown id":   signWith(t, jose.ES256, stranger, "mine", good(start)),
		"algorithm that the key lacks": signWith(t, jose.PS256, rsaKey(), "RS256", good(start)),
		"RS256 by another RSA key":     signWith(t, jose.RS256, short, "RS256", good(start)),
		"unknown issuer":               p.sign(t, "RS256", with(good(start), "iss", "https://evil.example.com")),
		"issuer by http":               p.sign(t, "RS256", with(good(start), "iss", "http://id.example.com/realm")),
		"issuer without scheme":        p.sign(t, "RS256", with(good(start), "iss", "id.example.com/realm")),
		"issuer in other case":         p.sign(t, "RS256", with(good(start), "iss", "https://ID.example.com/realm")),
		"no issuer":                    p.sign(t, "RS256", with(good(start), "iss", nil)),
		"no subject":                   p.sign(t, "RS256", with(good(start), "sub", nil)),
		"short subject":                p.sign(t, "RS256", with(good(start), "sub", "x")),
		"subject in other case":        p.sign(t, "RS256", with(with(good(start), "sub", nil), "SUB", "root")),
		"subject that is no text":      p.sign(t, "RS256", with(good(start), "sub", 7)),
		"long subject":                 p.sign(t, "RS256", with(good(start), "sub", strings.Repeat("x", 256))),
		"no audience":                  p.sign(t, "RS256", with(good(start), "aud", nil)),
		"empty audience":               p.sign(t, "RS256", with(good(start), "aud", []string{})),
		"other audience":               p.sign(t, "RS256", with(good(start), "aud", "sts.example.com")),
		"no end":                       p.sign(t, "RS256", with(good(start), "exp", nil)),
		"end that is a text":           p.sign(t, "RS256", with(good(start), "exp", "never")),
		"no begin":                     p.sign(t, "RS256", with(good(start), "iat", nil)),
		"issued in the future":         p.sign(t, "RS256", with(good(start), "iat", start.Add(6*time.Minute).Unix())),
		"not good yet":                 p.sign(t, "RS256", with(good(start), "nbf", start.Add(6*time.Minute).Unix())),
		"claims that are a list":       p.sign(t, "RS256", "[]"),
		"claims that are no JSON":      p.sign(t, "RS256", "{"),
		"far too long":                 p.sign(t, "RS256", with(good(start), "x", strings.Repeat("x", oidc.MaxToken))),
	} {
		if c, err := verify(t, v, bad); err == nil {
			t.Errorf("%s: accepted: %+v", name, c)
		} else {
			refused(t, err, invalid)
		}
	}
	_, err = verify(t, v, p.sign(t, "RS256", with(good(start), "https://aws.amazon.com/tags", payload{"principal_tags": payload{"team": []string{"a", "b"}}})))
	refused(t, err, "IDPRejectedClaim")
	if _, err = v.Verify(t.Context(), secret.NewString(token), func(string) ([]string, bool) { return nil, false }); err == nil {
		t.Error("accepted for an account that does not trust the issuer")
	}
	// A subject in another case beside the real one changes nothing.
	c, err := verify(t, v, p.sign(t, "RS256", with(good(start), "SUB", "root")))
	if err != nil || c.Subject != "system:serviceaccount:team:app" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	for name, test := range map[string]struct {
		claims payload
		code   string
	}{
		"last second":             {with(good(start), "exp", start.Unix()+1), ""},
		"at its end":              {with(good(start), "exp", start.Unix()), apierr.CodeExpiredToken},
		"long ago":                {with(good(start), "exp", 0), apierr.CodeExpiredToken},
		"before all time":         {with(good(start), "exp", -1e300), apierr.CodeExpiredToken},
		"never ends":              {with(good(start), "exp", 1e300), ""},
		"parts of seconds":        {with(good(start), "exp", float64(start.Unix())+0.5), ""},
		"issuer's clock is ahead": {with(with(good(start), "iat", start.Unix()+300), "nbf", start.Unix()+300), ""},
		"too far ahead":           {with(good(start), "nbf", start.Unix()+301), invalid},
	} {
		_, err := verify(t, v, p.sign(t, "ES256", test.claims))
		if test.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.code != "" {
			refused(t, err, test.code)
		}
	}
}

// Keys are fetched when they are needed, and never more often than the floor.
func TestFetching(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	token := func(kid string) string { return p.sign(t, kid, good(p.now)) }
	p.fail = errors.New("connection refused")
	_, err := verify(t, v, token("RS256"))
	refused(t, err, unreachable)
	p.fail = nil
	_, err = verify(t, v, token("RS256"))
	refused(t, err, unreachable) // asked a moment ago
	if p.fetches != 1 {
		t.Fatalf("%d fetches within the floor", p.fetches)
	}
	p.pass(time.Minute)
	_, err = verify(t, v, token("RS256"))
	must(t, err)
	// A flood of unknown key ids is one fetch.
	for range 50 {
		_, err := verify(t, v, signWith(t, jose.RS256, rsaKey(), "made-up", good(p.now)))
		refused(t, err, invalid)
	}
	if p.fetches != 2 {
		t.Fatalf("%d fetches after a flood", p.fetches)
	}
	// A new key is found once the floor allows it, and an old one is forgotten.
	p.mu.Lock()
	p.keys = map[string]key{"new": {jose.RS256, rsaKey()}}
	p.mu.Unlock()
	p.pass(time.Minute)
	_, err = verify(t, v, token("new"))
	must(t, err)
	_, err = verify(t, v, signWith(t, jose.RS256, rsaKey(), "RS256", good(p.now)))
	refused(t, err, invalid)
	// While the issuer is away its keys are believed for a while, not for ever.
	p.fail = errors.New("connection refused")
	p.pass(oidc.DefaultTTL + time.Second)
	_, err = verify(t, v, token("new"))
	must(t, err)
	p.pass(3 * oidc.DefaultTTL)
	_, err = verify(t, v, token("new"))
	refused(t, err, unreachable)
}

func TestKeysFromFile(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	set, err := p.set()
	must(t, err)
	must(t, os.WriteFile(path, set, 0o600))
	v, err := oidc.New(oidc.Config{Issuers: []oidc.Issuer{{Issuer: issuer, File: path}}, Now: p.clock})
	must(t, err)
	_, err = verify(t, v, p.sign(t, "EdDSA", good(start)))
	must(t, err)
	_, err = verify(t, v, signWith(t, jose.RS256, rsaKey(), "made-up", good(start)))
	refused(t, err, invalid)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	weak, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsa.PublicKey{N: rsaKey().N, E: 1}, KeyID: "x"}, {Key: []byte("symmetric"), KeyID: "y"}}})
	must(t, err)
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaKey(), KeyID: "x"}}})
	must(t, err)
	fetch := func(context.Context, string, int64) ([]byte, error) { return nil, errors.New("unused") }
	for name, issuers := range map[string][]oidc.Issuer{
		"no URL":           {{Issuer: "id.example.com", URL: "https://x/keys"}},
		"http":             {{Issuer: "http://id.example.com", URL: "https://x/keys"}},
		"query":            {{Issuer: "https://id.example.com?x=1", URL: "https://x/keys"}},
		"no keys":          {{Issuer: issuer}},
		"two places":       {{Issuer: issuer, URL: "https://x/keys", File: "x"}},
		"keys by http":     {{Issuer: issuer, URL: "http://id.example.com/keys"}},
		"keys by file URL": {{Issuer: issuer, URL: "file:///etc/passwd"}},
		"twice":            {{Issuer: issuer, URL: "https://x/keys"}, {Issuer: issuer + "/", URL: "https://x/keys"}},
		"no file":          {{Issuer: issuer, File: filepath.Join(dir, "absent")}},
		"empty file":       {{Issuer: issuer, File: write("empty", "")}},
		"no set":           {{Issuer: issuer, File: write("list", "[]")}},
		"empty set":        {{Issuer: issuer, File: write("none", `{"keys":[]}`)}},
		"weak keys":        {{Issuer: issuer, File: write("weak", string(weak))}},
		"private keys":     {{Issuer: issuer, File: write("private", string(private))}},
		"large file":       {{Issuer: issuer, File: write("large", `{"keys":[],"x":"`+strings.Repeat("x", oidc.MaxKeys)+`"}`)}},
	} {
		if _, err := oidc.New(oidc.Config{Issuers: issuers, Fetch: fetch}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := oidc.New(oidc.Config{Issuers: []oidc.Issuer{{Issuer: issuer, URL: "https://x/keys"}}}); err == nil {
		t.Error("an issuer whose keys cannot be fetched is accepted")
	}
}

// FuzzVerify: whatever is sent, only what the issuer signed is taken, and every
// refusal is one that the API models.
func FuzzVerify(f *testing.F) {
	p := newProvider(f)
	v := p.verifier(f)
	token := p.sign(f, "ES256", good(start))
	f.Add(token, uint16(0), byte(0))
	f.Add(token, uint16(9), byte(1))
	f.Add("a.b.c", uint16(0), byte(0))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+".e30.", uint16(0), byte(0))
	f.Add(signWith(f, jose.ES256, p.keys["ES256"].private, "", with(good(start), "aud", []string{"x", client})), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, text string, at uint16, flip byte) {
		_, err := verify(t, v, text)
		e, modelled := errors.AsType[*apierr.Error](err)
		if err != nil && (!modelled || e.Code != invalid && e.Code != unreachable && e.Code != apierr.CodeExpiredToken && e.Code != "IDPRejectedClaim") {
			t.Fatalf("%q: %v", text, err)
		}
		b := []byte(token)
		b[int(at)%len(b)] ^= flip
		if _, err := verify(t, v, string(b)); err == nil && flip != 0 {
			// The last character of a part may hold bits that say nothing.
			if got, want := decoded(string(b)), decoded(token); got != want {
				t.Fatalf("byte %d ^ %#x: accepted", int(at)%len(b), flip)
			}
		}
	})
}

// decoded is what a token says, without how it is written.
func decoded(token string) string {
	var out []string
	for part := range strings.SplitSeq(token, ".") {
		b, err := base64.RawURLEncoding.DecodeString(part)
		out = append(out, string(b), errString(err))
	}
	return strings.Join(out, "|")
}

func errString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
