package bedrock_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// Where a region offers a model through its system profile alone, that is what a
// profile of one's own is copied from.
func TestCopyWhereProfilesLead(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	copyOf := func(source string) error {
		_, _, err := f.do(t, newCall("eu-central-1", account), "CreateInferenceProfile", &br.CreateInferenceProfileInput{
			InferenceProfileName: new("mine"), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(source)},
		})
		return err
	}
	wantError(t, copyOf("arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0"), apierr.CodeValidation, 400, "copyFrom")
	if err := copyOf("arn:aws:bedrock:eu-central-1:" + account + ":inference-profile/eu.amazon.nova-lite-v1:0"); err != nil {
		t.Error(err)
	}
}
