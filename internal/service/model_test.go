package service_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	account = "111122223333"
	model   = "arn:aws:bedrock:us-east-1::foundation-model/a.b"
	profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghij12"
)

func newCall() *call.Call {
	return &call.Call{Region: "us-east-1", Principal: call.Principal{Account: account}}
}

func TestUseModel(t *testing.T) {
	t.Parallel()
	c := newCall()
	if got := service.UseModel(c, "bedrock:InvokeModel", &catalog.Target{ModelARN: model, Resources: []string{model}}); !slices.Equal(got, []string{model}) || c.Needs != nil {
		t.Errorf("a model: %q, needs %v", got, c.Needs)
	}
	got := service.UseModel(c, "bedrock:InvokeModel", &catalog.Target{ModelARN: model, ProfileARN: profile, Resources: []string{profile}, Destinations: []string{model, "other"}})
	want := []call.Need{{Action: "bedrock:InvokeModel", Resources: []string{model, "other"}, Keys: map[string][]string{"bedrock:inferenceprofilearn": {profile}}}}
	if d := cmp.Diff(want, c.Needs); !slices.Equal(got, []string{profile}) || d != "" {
		t.Errorf("a profile: %q, needs -want +got:\n%s", got, d)
	}
}

func TestUnknownProfile(t *testing.T) {
	t.Parallel()
	gone := apierr.NotFound("gone")
	for name, tc := range map[string]struct {
		id  string
		err error
		ok  bool
	}{
		"profile":           {profile, gone, true},
		"id of a profile":   {"abcdefghij12", gone, false},
		"a model":           {model, gone, false},
		"nothing":           {"", gone, false},
		"another error":     {profile, apierr.Validation("invalid"), false},
		"trouble inside":    {profile, errors.New("disk on fire"), false},
		"provisioned model": {"arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abcdefghij12", gone, false},
	} {
		if got, ok := service.UnknownProfile(tc.id, tc.err); ok != tc.ok || ok && !slices.Equal(got, []string{tc.id}) {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

func TestUseGuardrail(t *testing.T) {
	t.Parallel()
	const own, far = "arn:aws:bedrock:us-east-1:111122223333:guardrail/g1", "arn:aws:bedrock:us-east-1:444455556666:guardrail/g1"
	for name, tc := range map[string]struct {
		id, version *string
		need, key   string
	}{
		"none":          {nil, new("1"), "", ""},
		"empty":         {new(""), new("1"), "", ""},
		"id":            {new("g1"), new("1"), own, own + ":1"},
		"draft":         {new("g1"), new("DRAFT"), own, own},
		"no version":    {new("g1"), nil, own, own},
		"empty version": {new("g1"), new(""), own, own},
		"ARN":           {new(far), new("12"), far, far + ":12"},
	} {
		c := newCall()
		service.UseGuardrail(c, tc.id, tc.version)
		var needs []call.Need
		var keys map[string][]string
		if tc.need != "" {
			needs = []call.Need{{Action: "bedrock:ApplyGuardrail", Resources: []string{tc.need}}}
			keys = map[string][]string{"bedrock:guardrailidentifier": {tc.key}}
		}
		if d := cmp.Diff(needs, c.Needs) + cmp.Diff(keys, c.Keys); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
}

func TestUseTier(t *testing.T) {
	t.Parallel()
	c := newCall()
	if service.UseTier(c, ""); c.Keys != nil {
		t.Errorf("no tier: %v", c.Keys)
	}
	if service.UseTier(c, "flex"); !slices.Equal(c.Keys["bedrock:servicetier"], []string{"flex"}) {
		t.Errorf("a tier: %v", c.Keys)
	}
}
