package bedrock_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// A crash between the profile and its token leaves the profile alone: the
// repeat of the request must find it.
func TestCreateInferenceProfileAfterCrash(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	in := &br.CreateInferenceProfileInput{
		InferenceProfileName: new("Team-A"), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)},
	}
	var answers []string
	for range 2 {
		c := newCall("us-east-1", account)
		c.TokenID = "abcdefghij12"
		body, _, err := f.do(t, c, "CreateInferenceProfile", in)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(body))
	}
	if answers[0] != answers[1] || !strings.Contains(answers[0], "/abcdefghij12") || len(f.store.all) != 1 {
		t.Errorf("answers %q over %d profiles, want one profile under the token's id", answers, len(f.store.all))
	}
	c := newCall("us-east-1", account)
	c.TokenID = "klmnopqrst34"
	_, _, err := f.do(t, c, "CreateInferenceProfile", in)
	wantError(t, err, apierr.CodeConflict, 400, "inferenceProfileName")

	f.store.all = []profile.Profile{{ID: "abcdefghij12", Name: "other", Account: account, Region: "us-east-1"}}
	c.TokenID = "abcdefghij12"
	if _, _, err := f.do(t, c, "CreateInferenceProfile", in); apierr.From(err).Code != apierr.CodeInternal {
		t.Errorf("an id of another profile: %v", err)
	}
}
