package service_test

import (
	"errors"
	"fmt"
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
	if got := service.UseModel(c, "bedrock:InvokeModel", "a.b", &catalog.Target{ModelARN: model, Resources: []string{model}}); !slices.Equal(got, []string{model}) || c.Needs != nil || c.Said != nil {
		t.Errorf("a model: %q, needs %v", got, c.Needs)
	}
	got := service.UseModel(c, "bedrock:InvokeModel", profile, &catalog.Target{ModelARN: model, ProfileARN: profile, Resources: []string{profile}, Destinations: []string{model, "other"}})
	want := []call.Need{{Action: "bedrock:InvokeModel", Resources: []string{model, "other"}, Keys: map[string][]string{"bedrock:inferenceprofilearn": {profile}}}}
	if d := cmp.Diff(want, c.Needs); !slices.Equal(got, []string{profile}) || d != "" {
		t.Errorf("a profile: %q, needs -want +got:\n%s", got, d)
	}
}

// What an id names by its form is decided over, whatever is there.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:bedrock:us-east-1:111122223333:"
	gone := apierr.NotFound("gone")
	for name, tc := range map[string]struct {
		id  string
		err error
		arn string // "" for what is told at once
	}{
		"an unknown model":         {"a.b", apierr.Validation("invalid"), model},
		"the ARN of a model":       {model, gone, model},
		"a system profile":         {"us.a.b", gone, own + "inference-profile/us.a.b"},
		"a profile":                {profile, gone, profile},
		"id of a profile":          {"abcdefghij12", gone, profile},
		"another account's":        {"arn:aws:bedrock:us-east-1:444455556666:application-inference-profile/abcdefghij12", gone, "arn:aws:bedrock:us-east-1:444455556666:application-inference-profile/abcdefghij12"},
		"a word":                   {"my-model", apierr.Validation("invalid"), own + "provisioned-model/my-model"},
		"provisioned model":        {own + "provisioned-model/abcdefghij12", gone, own + "provisioned-model/abcdefghij12"},
		"one that is not ready":    {"my-model", fmt.Errorf("find: %w", &catalog.Unusable{ARN: own + "provisioned-model/abcdefghij12", Err: apierr.ModelNotReady("soon")}), own + "provisioned-model/abcdefghij12"},
		"a custom model":           {own + "custom-model/imported/abcdefghij12", gone, own + "custom-model/imported/abcdefghij12"},
		"nothing":                  {"", gone, ""},
		"no id":                    {"a b", apierr.Validation("invalid"), ""},
		"of another region":        {"arn:aws:bedrock:us-west-2::foundation-model/a.b", apierr.Validation("invalid"), ""},
		"of another account":       {"arn:aws:bedrock:us-east-1:444455556666:provisioned-model/abcdefghij12", apierr.Validation("invalid"), ""},
		"trouble inside":           {profile, errors.New("disk on fire"), ""},
		"trouble that callers see": {profile, apierr.Unavailable("later"), ""},
	} {
		c := newCall()
		got, ok := service.Unresolved(c, tc.id, tc.err)
		if ok != (tc.arn != "") || ok && !slices.Equal(got, []string{tc.arn}) {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

// A refusal names what the caller wrote in the same words, whatever it led to.
func TestSayModel(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:bedrock:us-east-1:111122223333:"
	for name, tc := range map[string]struct{ id, resource, said string }{
		"a model":                      {"a.b", model, model},
		"a size of a model":            {"a.b:0:200k", model, model + ":0:200k"},
		"the ARN of a size":            {model + ":0:200k", model, model + ":0:200k"},
		"an alias":                     {"fast", model, "fast"},
		"an alias with a provider":     {"acme.fast-1", model, "arn:aws:bedrock:us-east-1::foundation-model/acme.fast-1"},
		"a system profile":             {"us.a.b", own + "inference-profile/us.a.b", own + "inference-profile/us.a.b"},
		"a system profile of a size":   {"us.a.b:0:200k", own + "inference-profile/us.a.b", own + "inference-profile/us.a.b:0:200k"},
		"an application profile":       {profile, profile, profile},
		"the id of one":                {"abcdefghij12", profile, "abcdefghij12"},
		"the name of a throughput":     {"my-model", own + "provisioned-model/abcdefghij12", "my-model"},
		"a word that nothing goes by":  {"my-model", own + "provisioned-model/my-model", "my-model"},
		"a model that nothing goes by": {"a.c", "arn:aws:bedrock:us-east-1::foundation-model/a.c", "arn:aws:bedrock:us-east-1::foundation-model/a.c"},
	} {
		c := newCall()
		service.SayModel(c, tc.id, tc.resource)
		got := tc.resource
		if len(c.Said) == 1 && c.Said[0].ARN == got {
			got = c.Said[0].As
		}
		if got != tc.said || len(c.Said) > 1 {
			t.Errorf("%s: %q, want %q", name, got, tc.said)
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
