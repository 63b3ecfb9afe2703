package app

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// The keys of an issuer are fetched where egress lets them be, once a token needs
// them, and nowhere else.
func TestIssuerKeysGoThroughEgress(t *testing.T) {
	t.Parallel()
	const set = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"EdDSA","kid":"k"}`)) + "." + encode([]byte(`{"iss":"https://id.example.com","sub":"app","aud":"x","iat":1,"exp":9999999999}`)) + "." +
		encode(make([]byte, 64))
	for name, test := range map[string]struct {
		egress func(host string) Egress
		answer string
		status int
		code   string
		asked  int32
	}{
		"no list":            {func(string) Egress { return Egress{} }, set, 200, "InvalidIdentityToken", 1}, // the signature is wrong
		"a list with it":     {func(host string) Egress { return Egress{OIDC: []string{host}} }, set, 200, "InvalidIdentityToken", 1},
		"a list without it":  {func(string) Egress { return Egress{OIDC: []string{"id.example.com"}} }, set, 200, "IDPCommunicationError", 0},
		"an empty list":      {func(string) Egress { return Egress{OIDC: []string{}} }, set, 200, "IDPCommunicationError", 0},
		"the issuer is down": {func(string) Egress { return Egress{} }, "no", 503, "IDPCommunicationError", 1},
		"the issuer is odd":  {func(string) Egress { return Egress{} }, "<html>", 200, "IDPCommunicationError", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.answer))
			}))
			t.Cleanup(srv.Close)
			cfg := Config{
				DataDir: t.TempDir(), Egress: test.egress(strings.TrimPrefix(srv.URL, "http://")),
				OIDCIssuers: []OIDCIssuer{{Issuer: "https://id.example.com", JWKSURL: srv.URL + "/keys"}},
			}
			log := slog.New(slog.DiscardHandler)
			if err := cfg.connect(log); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cfg.disconnect() })
			v, err := cfg.verifier(log)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), secret.NewString(token), func(string) ([]string, bool) { return []string{"x"}, true })
			if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != test.code || asked.Load() != test.asked {
				t.Errorf("%v after %d questions, want %s after %d", err, asked.Load(), test.code, test.asked)
			}
		})
	}
	off := Config{DataDir: t.TempDir(), Egress: Egress{Off: true}, OIDCIssuers: []OIDCIssuer{{Issuer: "https://id.example.com", JWKSURL: "https://id.example.com/keys"}}}
	if err := off.connect(slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = off.disconnect() })
	if _, err := off.verifier(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "jwks_file") {
		t.Errorf("an issuer whose keys can never be fetched: %v", err)
	}
}

func TestIdentityInTheConfiguration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.yaml")
	text := `
egress: {oidc: []}
oidc_issuers: [{issuer: "https://a.example.com", jwks_file: /a.json}, {issuer: "https://b.example.com", jwks_url: "https://b.example.com/keys"}]
workloads: {listen: 127.0.0.1:1, roles: [{name: app, role_arn: "arn:aws:iam::000000000000:role/app", token_file: /t, uid: 0}]}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Egress.OIDC == nil || len(c.OIDCIssuers) != 2 || c.OIDCIssuers[1].JWKSURL != "https://b.example.com/keys" {
		t.Errorf("egress %+v, issuers %+v", c.Egress, c.OIDCIssuers)
	}
	w := c.Workloads
	if w.Listen != "127.0.0.1:1" || len(w.Roles) != 1 || w.Roles[0].UID == nil || *w.Roles[0].UID != 0 || w.Roles[0].TokenFile != "/t" {
		t.Errorf("workloads %+v", w)
	}
}

func TestWorkloadsConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	role := WorkloadRole{Name: "app", RoleARN: "arn:aws:iam::000000000000:role/app", TokenFile: dir + "/token"}
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]Workloads{
		"listen without roles": {Listen: "127.0.0.1:0"},
		"other machines":       {Listen: "0.0.0.0:0", Roles: []WorkloadRole{role}},
		"no port":              {Listen: "127.0.0.1", Roles: []WorkloadRole{role}},
		"no proof":             {Listen: "127.0.0.1:0", Roles: []WorkloadRole{{Name: "app", RoleARN: role.RoleARN}}},
		"no place for a token": {Listen: "127.0.0.1:0", Roles: []WorkloadRole{{Name: "app", RoleARN: role.RoleARN, TokenFile: dir + "/absent/token"}}},
	} {
		if w, err := openWorkloads(c, "", nil, log); err == nil {
			t.Errorf("%s: accepted", name)
			_ = w.close()
		}
	}
	if w, err := openWorkloads(Workloads{}, "", nil, log); w != nil || err != nil {
		t.Errorf("nothing configured: %v, %v", w, err)
	}
	// The token is made once and then stays.
	first, err := readToken(role.TokenFile)
	if err != nil || len(first) != 43 {
		t.Fatalf("token of %d characters, %v", len(first), err)
	}
	if again, err := readToken(role.TokenFile); err != nil || again != first {
		t.Errorf("another token: %v", err)
	}
	w, err := openWorkloads(Workloads{Listen: "127.0.0.1:0", Roles: []WorkloadRole{role}}, "", nil, log)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.run(t.Context()) }()
	a, err := http.Get("http://" + w.listen.Addr().String() + "/credentials/app")
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	if a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", a.Status)
	}
	if err := w.http.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
