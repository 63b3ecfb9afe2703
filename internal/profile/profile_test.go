package profile_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestNewID(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z0-9]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := profile.NewID()
		if !form.MatchString(id) {
			t.Fatalf("id %q is not 12 characters [a-z0-9]", id)
		}
		if seen[id] {
			t.Fatalf("id %q twice in 1000", id)
		}
		seen[id] = true
	}
}

func TestARN(t *testing.T) {
	t.Parallel()
	p := profile.Profile{ID: "abcdefghij12", Account: "111122223333", Region: "eu-west-1"}
	want := "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abcdefghij12"
	if got := p.ARN("aws"); got != want {
		t.Errorf("ARN = %s, want %s", got, want)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	p := profile.Profile{ID: "abcdefghij12", Created: time.UnixMilli(1_700_000_000_123).UTC()}
	got, err := profile.ParseToken(p.Cursor().Token())
	if err != nil || got != p.Cursor() {
		t.Errorf("round trip = %+v, %v; want %+v", got, err, p.Cursor())
	}
	if got, err := profile.ParseToken(""); err != nil || !got.IsZero() || got.Token() != "" {
		t.Errorf("empty token = %+v, %v; want the zero cursor", got, err)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]string{
		"not base64": "%%%",
		"no dot":     "MTIz",
		"no number":  "YS5i",
		"no id":      "MTIzLg",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := profile.ParseToken(token)
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Code != apierr.CodeValidation {
				t.Errorf("ParseToken(%q) = %v, want ValidationException", token, err)
			}
		})
	}
}
