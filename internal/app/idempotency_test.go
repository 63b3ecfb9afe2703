package app_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	brtypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// create makes a profile and returns its ARN.
func create(t *testing.T, c *bedrock.Client, name, token string) (string, error) {
	t.Helper()
	out, err := c.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: &name, ClientRequestToken: &token,
		ModelSource: &brtypes.InferenceProfileModelSourceMemberCopyFrom{Value: haikuARN},
	})
	if err != nil {
		return "", err
	}
	return *out.InferenceProfileArn, nil
}

func profiles(t *testing.T, c *bedrock.Client) int {
	t.Helper()
	out, err := c.ListInferenceProfiles(t.Context(), &bedrock.ListInferenceProfilesInput{TypeEquals: brtypes.InferenceProfileTypeApplication})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.InferenceProfileSummaries)
}

// A repeated token gets the first answer, also from a server that was started
// anew, and from one that died between the profile and the token.
func TestRepeatedToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func() *apptest.Server {
		return apptest.Start(t, apptest.Config(func(c *app.Config) { c.DataDir = dir }))
	}
	s := start()
	c := s.Bedrock()
	first, err := create(t, c, "team", "token-1")
	if err != nil {
		t.Fatal(err)
	}
	same := func(when string, c *bedrock.Client) {
		t.Helper()
		if again, err := create(t, c, "team", "token-1"); err != nil || again != first {
			t.Errorf("%s: %s, %v; want %s", when, again, err, first)
		}
		if n := profiles(t, c); n != 1 {
			t.Errorf("%s: %d profiles", when, n)
		}
		_, err := create(t, c, "other", "token-1")
		wantCode(t, when+", other parameters", err, "ConflictException")
	}
	same("at once", c)
	_, err = create(t, c, "team", "token-2")
	wantCode(t, "another token, the same name", err, "ConflictException")
	if other, err := create(t, bedrock.NewFromConfig(s.AWS(s.NewKey(t, "111122223333", keys.SigV4))), "team", "token-1"); err != nil || other == first {
		t.Errorf("another account: %s, %v", other, err)
	}
	s.Stop(t)

	s = start()
	same("after a restart", s.Bedrock())
	s.Stop(t)

	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "outcrop.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.DropTokens(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = start()
	same("after a crash before the token", s.Bedrock())
}

func TestConcurrentToken(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t).Bedrock()
	arns := make([]string, 16)
	var wg sync.WaitGroup
	for i := range arns {
		wg.Go(func() {
			var err error
			if arns[i], err = create(t, c, "team", "token"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range arns {
		if a != arns[0] || a == "" {
			t.Errorf("%q and %q", a, arns[0])
		}
	}
	if n := profiles(t, c); n != 1 {
		t.Errorf("%d profiles", n)
	}
}
