package profile_test

import (
	"regexp"
	"testing"

	"github.com/outcrop/outcrop/internal/profile"
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
