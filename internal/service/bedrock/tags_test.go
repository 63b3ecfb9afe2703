package bedrock_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

type tagList struct {
	Tags []struct{ Key, Value string }
}

func (l tagList) String() string {
	var out []string
	for _, t := range l.Tags {
		out = append(out, t.Key+"="+t.Value)
	}
	return strings.Join(out, " ")
}

func tags(pairs ...string) (out []br.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, br.Tag{Key: new(pairs[i]), Value: new(pairs[i+1])})
	}
	return out
}

func TestTagResource(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	own := create(t, f, "tagged", modelARN)
	list := func() string {
		return must[tagList](t, f, "ListTagsForResource", &br.ListTagsForResourceInput{ResourceARN: new(own)}).String()
	}
	body, _, err := f.do(t, newCall("us-east-1", account), "ListTagsForResource", &br.ListTagsForResourceInput{ResourceARN: new(own)})
	if err != nil || string(body) != `{"tags":[]}` {
		t.Errorf("no tags: %s, %v", body, err)
	}
	must[struct{}](t, f, "TagResource", &br.TagResourceInput{ResourceARN: new(own), Tags: tags("team", "a", "stage", "dev", "empty", "")})
	must[struct{}](t, f, "TagResource", &br.TagResourceInput{ResourceARN: new(own), Tags: tags("Team", "b")})
	must[struct{}](t, f, "UntagResource", &br.UntagResourceInput{ResourceARN: new(own), TagKeys: []string{"stage", "none"}})
	if got := list(); got != "Team=b empty=" {
		t.Errorf("tags %s", got)
	}
	var many []br.Tag
	for i := range 49 {
		many = append(many, tags(fmt.Sprint("k", i), "")...)
	}
	_, _, err = f.do(t, newCall("us-east-1", account), "TagResource", &br.TagResourceInput{ResourceARN: new(own), Tags: many})
	wantError(t, err, "TooManyTagsException", 400, "50")
	if got := list(); got != "Team=b empty=" {
		t.Errorf("tags after a refusal: %s", got)
	}
	// A profile that goes takes its tags with it.
	must[struct{}](t, f, "DeleteInferenceProfile", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new(own)})
	if got := f.book.Tags(own); got != nil {
		t.Errorf("tags of what is gone: %v", got)
	}
}

func TestTagResourceRefused(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	own := create(t, f, "tagged", modelARN)
	for name, tc := range map[string]struct {
		arn    *string
		tags   []br.Tag
		code   string
		status int
		part   string
	}{
		"no ARN":            {nil, tags("a", "b"), apierr.CodeValidation, 400, "resourceARN"},
		"malformed":         {new("arn:aws:bedrock:moon:1:x/y"), tags("a", "b"), apierr.CodeValidation, 400, "resourceARN"},
		"gone":              {new(own[:len(own)-12] + "zzzzzzzzzz12"), tags("a", "b"), apierr.CodeResourceNotFound, 404, "zzzzzzzzzz12"},
		"another region":    {new(strings.Replace(own, "us-east-1", "us-west-2", 1)), tags("a", "b"), apierr.CodeResourceNotFound, 404, "us-west-2"},
		"another account":   {new(strings.Replace(own, account, other, 1)), tags("a", "b"), apierr.CodeResourceNotFound, 404, other},
		"system profile":    {new("arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + haiku), tags("a", "b"), apierr.CodeValidation, 400, "system-defined"},
		"a model":           {new(modelARN), tags("a", "b"), apierr.CodeValidation, 400, "resourceARN"},
		"not made here yet": {new("arn:aws:bedrock:us-east-1:" + account + ":guardrail/abcdefghij12"), tags("a", "b"), apierr.CodeResourceNotFound, 404, "guardrail"},
		"provisioned name":  {new("a-provisioned-throughput"), tags("a", "b"), apierr.CodeResourceNotFound, 404, "a-provisioned-throughput"},
		"key twice":         {new(own), tags("a", "b", "A", "c"), apierr.CodeValidation, 400, "tags.1.key"},
		"key of AWS":        {new(own), tags("aws:x", "b"), apierr.CodeValidation, 400, "tags.0.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.do(t, newCall("us-east-1", account), "TagResource", &br.TagResourceInput{ResourceARN: tc.arn, Tags: tc.tags})
			wantError(t, err, tc.code, tc.status, tc.part)
			if strings.HasPrefix(name, "key") {
				return
			}
			_, _, err = f.do(t, newCall("us-east-1", account), "ListTagsForResource", &br.ListTagsForResourceInput{ResourceARN: tc.arn})
			wantError(t, err, tc.code, tc.status, tc.part)
			_, _, err = f.do(t, newCall("us-east-1", account), "UntagResource", &br.UntagResourceInput{ResourceARN: tc.arn, TagKeys: []string{"a"}})
			wantError(t, err, tc.code, tc.status, tc.part)
		})
	}
}

// A store that fails half-way leaves no profile without its tags.
func TestCreateInferenceProfileWithoutTags(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	f.records.Fail(errors.New("disk on fire"))
	_, _, err := f.do(t, newCall("us-east-1", account), "CreateInferenceProfile", &br.CreateInferenceProfileInput{
		InferenceProfileName: new("a"), ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(modelARN)}, Tags: tags("a", "b"),
	})
	if apierr.From(err).Code != apierr.CodeInternal || len(f.store.all) != 0 {
		t.Errorf("%v, %d profiles", err, len(f.store.all))
	}
}
