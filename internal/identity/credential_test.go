package identity_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

// works tells whether a bearer key is taken, and whose it is.
func (w *world) works(t *testing.T, token secret.Value) (name string, ok bool) {
	t.Helper()
	k, err := w.keys.VerifyLongTerm(t.Context(), token)
	if err != nil {
		if code(t, err) != "AccessDeniedException" {
			t.Fatal(err)
		}
		return "", false
	}
	p, err := w.Principal(k)
	must(t, err)
	return p.Name, true
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	ctx := t.Context()
	c, made, err := w.CreateCredential(ctx, acctA, "ana", identity.BedrockService, 30, "us-east-1")
	must(t, err)
	if c.Alias != "ana-at-"+acctA || !strings.HasPrefix(c.ID, "ACCA") || !c.Expires.Equal(w.now.UTC().Truncate(time.Second).AddDate(0, 0, 30)) {
		t.Errorf("credential %+v", c)
	}
	token := string(made.Secret.Reveal())
	plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "ABSK"))
	if err != nil || !strings.HasPrefix(string(plain), "ana-at-"+acctA+":") {
		t.Errorf("token of %q", plain)
	}
	if name, ok := w.works(t, made.Secret); !ok || name != "ana" {
		t.Fatalf("the key is %q's, %t", name, ok)
	}
	second, secondKey, err := w.CreateCredential(ctx, acctA, "ana", identity.BedrockService, 0, "us-east-1")
	must(t, err)
	if second.Alias != "ana+1-at-"+acctA || !second.Expires.IsZero() {
		t.Errorf("second credential %+v", second)
	}
	if _, _, err := w.CreateCredential(ctx, acctA, "ana", identity.BedrockService, 0, "us-east-1"); code(t, err) != "LimitExceeded" {
		t.Errorf("a third credential: %v", err)
	}
	must(t, w.SetCredentialStatus(ctx, acctA, "ana", c.ID, keys.Inactive))
	if _, ok := w.works(t, made.Secret); ok {
		t.Error("an inactive key works")
	}
	must(t, w.SetCredentialStatus(ctx, acctA, "ana", c.ID, keys.Active))

	again, renewed, err := w.ResetCredential(ctx, acctA, "ana", c.ID, "us-east-1")
	must(t, err)
	if again.ID != c.ID || again.Alias != c.Alias || !again.Expires.Equal(c.Expires) {
		t.Errorf("reset changed %+v to %+v", c, again)
	}
	if _, ok := w.works(t, made.Secret); ok {
		t.Error("the key from before the reset works")
	}
	if _, ok := w.works(t, renewed.Secret); !ok {
		t.Error("the new key does not work")
	}
	again, renewed, err = w.ResetCredential(ctx, acctA, "ana", c.ID, "us-east-1")
	must(t, err)
	list, err := w.Credentials(ctx, ana)
	must(t, err)
	if again.ID != c.ID || len(list) != 2 {
		t.Errorf("after a second reset: %+v of %+v", again, list)
	}
	if got := code(t, w.DeleteUser(ctx, acctA, "ana")); got != "DeleteConflict" {
		t.Errorf("delete a user with credentials: %q", got)
	}
	must(t, w.DeleteCredential(ctx, acctA, "ana", c.ID))
	if _, ok := w.works(t, renewed.Secret); ok {
		t.Error("a deleted key works")
	}
	if _, ok := w.works(t, secondKey.Secret); !ok {
		t.Error("the other key went too")
	}
	must(t, w.DeleteCredential(ctx, acctA, "ana", second.ID))
	must(t, w.DeleteUser(ctx, acctA, "ana"))
}

// TestCredentialExpiry: a key is good to its last second and no longer.
func TestCredentialExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, acctA, "ana")
	c, made, err := w.CreateCredential(t.Context(), acctA, "ana", identity.BedrockService, 1, "us-east-1")
	must(t, err)
	w.now = c.Expires
	if _, ok := w.works(t, made.Secret); !ok {
		t.Error("refused in its last second")
	}
	w.now = c.Expires.Add(time.Second)
	if _, ok := w.works(t, made.Secret); ok {
		t.Error("taken after its end")
	}
}

func TestCredentialErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, acctA, "ana")
	w.user(t, acctA, "bob")
	w.user(t, acctB, "ana")
	ctx := t.Context()
	c, _, err := w.CreateCredential(ctx, acctA, "ana", identity.BedrockService, 0, "us-east-1")
	must(t, err)
	create := func(acct, user, service string, days int) error {
		_, _, err := w.CreateCredential(ctx, acct, user, service, days, "us-east-1")
		return err
	}
	reset := func(user, id string) error {
		_, _, err := w.ResetCredential(ctx, acctA, user, id, "us-east-1")
		return err
	}
	for _, v := range []struct {
		name, want string
		err        error
	}{
		{"no user", "NoSuchEntity", create(acctA, "nobody", identity.BedrockService, 0)},
		{"another service", "NotSupportedService", create(acctA, "ana", "codecommit.amazonaws.com", 0)},
		{"too old", "ValidationError", create(acctA, "ana", identity.BedrockService, 36601)},
		{"another user's", "NoSuchEntity", w.SetCredentialStatus(ctx, acctA, "bob", c.ID, keys.Inactive)},
		{"another account's", "NoSuchEntity", w.DeleteCredential(ctx, acctB, "ana", c.ID)},
		{"reset another's", "NoSuchEntity", reset("bob", c.ID)},
		{"reset nothing", "NoSuchEntity", reset("ana", "ACCAAAAAAAAAAAAAAAAA")},
	} {
		if got := code(t, v.err); got != v.want {
			t.Errorf("%s: %q, want %q", v.name, got, v.want)
		}
	}
	d, err := identity.Open(ctx, identity.Config{Records: w.records, Keys: w.keys, Root: w.root, Management: acctA, ForbidLongTerm: true})
	must(t, err)
	if _, _, err := d.CreateCredential(ctx, acctA, "bob", identity.BedrockService, 1, "us-east-1"); code(t, err) != "AccessDenied" {
		t.Errorf("where long-term keys are forbidden: %v", err)
	}
	if _, _, err := d.ResetCredential(ctx, acctA, "ana", c.ID, "us-east-1"); code(t, err) != "AccessDenied" {
		t.Errorf("reset where long-term keys are forbidden: %v", err)
	}
}
