package keys_test

import (
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const account = keys.DefaultAccount

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newService(t *testing.T) (*keys.Service, *keystest.Store, *clock) {
	t.Helper()
	st, c := new(keystest.Store), &clock{start}
	return keys.New(keys.Config{Store: st, Root: rootKey(t), Now: c.now}), st, c
}

func create(t *testing.T, s *keys.Service, kind keys.Kind) keys.Created {
	t.Helper()
	k, err := s.Create(t.Context(), keys.CreateInput{Account: account, Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != code || e.HTTPStatus() != 403 {
		t.Errorf("got %v, want %s with status 403", err, code)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	s, st, _ := newService(t)
	k := create(t, s, "")
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(k.ID) || !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).Match(k.Secret.Reveal()) {
		t.Errorf("id %q and a secret of %d characters are not in AWS's form", k.ID, len(k.Secret.Reveal()))
	}
	want := keys.Key{ID: k.ID, Account: account, Region: "us-east-1", Kind: keys.SigV4, Status: keys.Active, Created: start.Truncate(time.Millisecond)}
	if k.Key != want {
		t.Errorf("got %+v, want %+v", k.Key, want)
	}
	b := create(t, s, keys.Bearer)
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(b.Secret.Reveal()), "ABSK"))
	if err != nil || !regexp.MustCompile(`^BedrockAPIKey-[a-z0-9]{4}-at-`+account+`:[A-Za-z0-9+/]{43}=$`).Match(text) {
		t.Errorf("the bearer token is not in AWS's form (%v)", err)
	}
	if !regexp.MustCompile(`^ACCA[A-Z2-7]{16}$`).MatchString(b.ID) {
		t.Errorf("bearer id %q is not in AWS's form", b.ID)
	}
	for _, made := range []keys.Created{k, b} {
		row, err := st.GetKey(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(row.Sealed), string(made.Secret.Reveal())) {
			t.Errorf("%s is stored in the clear", made.Kind)
		}
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("List gave %v, %v", list, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	s, st, _ := newService(t)
	for want, in := range map[string]keys.CreateInput{
		"account": {Account: "12345678901"},
		"region":  {Account: account, Region: "mars"},
		"kind":    {Account: account, Kind: "password"},
	} {
		if _, err := s.Create(t.Context(), in); err == nil || !strings.HasPrefix(err.Error(), want+":") {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
	full := errors.New("disk full")
	st.Fail = func(string) error { return full }
	if _, err := s.Create(t.Context(), keys.CreateInput{Account: account}); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

func TestEnsureRoot(t *testing.T) {
	t.Parallel()
	s, st, _ := newService(t)
	first, err := s.EnsureRoot(t.Context(), account)
	if err != nil || first == nil {
		t.Fatalf("first run: %v, %v", first, err)
	}
	if err := s.Disable(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if again, err := s.EnsureRoot(t.Context(), account); err != nil || again != nil {
		t.Errorf("second run: %v, %v; want no new key", again, err)
	}
	if got, err := s.Reveal(t.Context(), first.ID); err != nil || string(got.Reveal()) != string(first.Secret.Reveal()) {
		t.Errorf("Reveal differs from what Create gave (%v)", err)
	}
	lost := keys.New(keys.Config{Store: st, Root: rootKey(t)})
	if _, err := lost.EnsureRoot(t.Context(), account); err == nil || !strings.Contains(err.Error(), keys.RootKeyFile) {
		t.Errorf("with another root key: got %v, want an error that names %s", err, keys.RootKeyFile)
	}
}

func TestReveal(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	b := create(t, s, keys.Bearer)
	if _, err := s.Reveal(t.Context(), b.ID); !errors.Is(err, keys.ErrNotRevealable) {
		t.Errorf("bearer: got %v", err)
	}
	if _, err := s.Reveal(t.Context(), "AKIAAAAAAAAAAAAAAAAA"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("unknown: got %v", err)
	}
}

func TestChangeUnknown(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	for name, f := range map[string]func(context.Context, string) error{"Disable": s.Disable, "Enable": s.Enable, "Delete": s.Delete} {
		if err := f(t.Context(), "AKIAAAAAAAAAAAAAAAAA"); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
}

func TestSigV4Life(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	ctx := t.Context()
	k := create(t, s, keys.SigV4)
	got, sec, err := s.LookupSigV4(ctx, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Principal()
	want := call.Principal{Type: call.Root, Account: account, AccessKeyID: k.ID, ARN: "arn:aws:iam::" + account + ":root", UserID: account}
	if p != want || string(sec.Reveal()) != string(k.Secret.Reveal()) {
		t.Errorf("got %+v, want %+v and its secret", p, want)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context, string) error
		live bool
	}{
		{"disable", s.Disable, false}, {"disable again", s.Disable, false}, {"enable", s.Enable, true}, {"delete", s.Delete, false},
	} {
		if err := step.do(ctx, k.ID); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		_, _, err := s.LookupSigV4(ctx, k.ID)
		if step.live {
			if err != nil {
				t.Errorf("after %s: %v", step.name, err)
			}
			continue
		}
		wantCode(t, err, apierr.CodeUnrecognizedClient)
	}
	b := create(t, s, keys.Bearer)
	for _, id := range []string{"", "AKIA", b.ID, "AKIAAAAAAAAAAAAAAAAA", "AKIA'; DROP TABLE k;", strings.Repeat("A", 1<<16)} {
		_, _, err := s.LookupSigV4(ctx, id)
		wantCode(t, err, apierr.CodeUnrecognizedClient)
	}
}

func TestBearerLife(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	ctx := t.Context()
	k := create(t, s, keys.Bearer)
	got, err := s.VerifyLongTerm(ctx, k.Secret)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Principal()
	if want := (call.Principal{Type: call.Root, Account: account, AccessKeyID: k.ID, ARN: "arn:aws:iam::" + account + ":root", UserID: account, Bearer: true}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	token := string(k.Secret.Reveal())
	for i := range token {
		bad := []byte(token)
		bad[i] ^= 1
		_, err := s.VerifyLongTerm(ctx, secret.New(bad))
		wantCode(t, err, apierr.CodeAccessDenied)
	}
	other := create(t, s, keys.SigV4)
	for _, bad := range []string{"", "ABSK", token + "=", token[:len(token)-1], " " + token, k.ID, other.ID, string(other.Secret.Reveal()), strings.Repeat("ABSK", 1<<14)} {
		_, err := s.VerifyLongTerm(ctx, secret.NewString(bad))
		wantCode(t, err, apierr.CodeAccessDenied)
	}
	if err := s.Disable(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.VerifyLongTerm(ctx, k.Secret)
	wantCode(t, err, apierr.CodeAccessDenied)
}

// TestBearerRowSwap moves the stored hash of one token under the id of another.
func TestBearerRowSwap(t *testing.T) {
	t.Parallel()
	s, st, _ := newService(t)
	ctx := t.Context()
	a, b := create(t, s, keys.Bearer), create(t, s, keys.Bearer)
	rowA, _ := st.GetKey(ctx, a.ID)
	rowB, _ := st.GetKey(ctx, b.ID)
	rowA.Sealed = rowB.Sealed
	if err := errors.Join(st.DeleteKey(ctx, a.ID), st.PutKey(ctx, rowA)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyLongTerm(ctx, a.Secret); err == nil {
		t.Error("a token passed against the hash of another one")
	} else if _, client := errors.AsType[*apierr.Error](err); client {
		t.Errorf("got %v; a changed row is the server's trouble, not the caller's", err)
	}
}

func TestStoreTroubleIsNotTheCallers(t *testing.T) {
	t.Parallel()
	s, st, _ := newService(t)
	k, b := create(t, s, keys.SigV4), create(t, s, keys.Bearer)
	broken := errors.New("database is locked")
	st.Fail = func(string) error { return broken }
	_, _, err := s.LookupSigV4(t.Context(), k.ID)
	_, err2 := s.VerifyLongTerm(t.Context(), b.Secret)
	for _, err := range []error{err, err2} {
		if _, client := errors.AsType[*apierr.Error](err); client || !errors.Is(err, broken) {
			t.Errorf("got %v, want the store's error", err)
		}
	}
	st.Fail = nil
	if _, _, err := s.LookupSigV4(t.Context(), k.ID); err != nil {
		t.Errorf("the trouble was remembered: %v", err)
	}
}
