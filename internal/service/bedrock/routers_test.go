package bedrock_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

const (
	sonnetARN = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0"
	routerOf  = "arn:aws:bedrock:us-east-1:" + account + ":prompt-router/"
	defaultOf = "arn:aws:bedrock:us-east-1:" + account + ":default-prompt-router/"
)

func targets(arns ...string) (out []br.PromptRouterTargetModel) {
	for _, a := range arns {
		out = append(out, br.PromptRouterTargetModel{ModelArn: new(a)})
	}
	return out
}

func newRouter(name string, models ...string) *br.CreatePromptRouterInput {
	return &br.CreatePromptRouterInput{
		PromptRouterName: new(name), Models: targets(models...), FallbackModel: &targets(models[0])[0],
		RoutingCriteria: &br.RoutingCriteria{ResponseQualityDifference: new(12.5)},
	}
}

type router struct {
	PromptRouterArn  string
	PromptRouterName string
	Description      string
	Type, Status     string
	Models           []struct{ ModelArn string }
	FallbackModel    struct{ ModelArn string }
	RoutingCriteria  struct{ ResponseQualityDifference float64 }
	CreatedAt        string
}

type routerPage struct {
	PromptRouterSummaries []router
	NextToken             *string
}

func TestPromptRouterLife(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	in := newRouter("My router", sonnetARN, modelARN)
	in.Description, in.Tags = new("a router"), tags("team", "a")
	c := newCall("us-east-1", account)
	body, resources, err := f.do(t, c, "CreatePromptRouter", in)
	if err != nil || !slices.Equal(resources, []string{sonnetARN, modelARN}) {
		t.Fatal(resources, err)
	}
	if len(c.Needs) != 1 || c.Needs[0].Action != "bedrock:TagResource" || c.Needs[0].Resources[0] != routerOf+"*" {
		t.Errorf("needs %+v", c.Needs)
	}
	arn := decode[router](t, body).PromptRouterArn
	if id, ok := strings.CutPrefix(arn, routerOf); !ok || len(id) != 12 {
		t.Fatalf("made %s", arn)
	}
	got := must[router](t, f, "GetPromptRouter", &br.GetPromptRouterInput{PromptRouterArn: &arn})
	if got.PromptRouterName != "My router" || got.Description != "a router" || got.Type != "custom" || got.Status != "AVAILABLE" || got.PromptRouterArn != arn ||
		len(got.Models) != 2 || got.FallbackModel.ModelArn != sonnetARN || got.RoutingCriteria.ResponseQualityDifference != 12.5 || got.CreatedAt == "" {
		t.Errorf("%+v", got)
	}
	if got := must[tagList](t, f, "ListTagsForResource", &br.ListTagsForResourceInput{ResourceARN: &arn}).String(); got != "team=a" {
		t.Errorf("tags %s", got)
	}
	if d := must[router](t, f, "GetPromptRouter", &br.GetPromptRouterInput{PromptRouterArn: new(defaultOf + "anthropic.claude:1")}); d.Type != "default" || d.PromptRouterName != "Anthropic Prompt Router" {
		t.Errorf("default router %+v", d)
	}
	must[struct{}](t, f, "DeletePromptRouter", &br.DeletePromptRouterInput{PromptRouterArn: &arn})
	for _, op := range []struct {
		name string
		in   any
	}{
		{"GetPromptRouter", &br.GetPromptRouterInput{PromptRouterArn: &arn}}, {"DeletePromptRouter", &br.DeletePromptRouterInput{PromptRouterArn: &arn}},
		{"ListTagsForResource", &br.ListTagsForResourceInput{ResourceARN: &arn}},
	} {
		_, _, err := f.do(t, newCall("us-east-1", account), op.name, op.in)
		wantError(t, err, apierr.CodeResourceNotFound, 404, arn)
	}
}

func TestCreatePromptRouterRefused(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	must[router](t, f, "CreatePromptRouter", newRouter("taken", sonnetARN, modelARN))
	with := func(edit func(in *br.CreatePromptRouterInput)) *br.CreatePromptRouterInput {
		in := newRouter("new", sonnetARN, modelARN)
		edit(in)
		return in
	}
	fm := func(id string) string { return "arn:aws:bedrock:us-east-1::foundation-model/" + id }
	for name, tc := range map[string]struct {
		in         *br.CreatePromptRouterInput
		code, part string
	}{
		"name taken":      {newRouter("taken", sonnetARN, modelARN), apierr.CodeConflict, "promptRouterName"},
		"no models":       {with(func(in *br.CreatePromptRouterInput) { in.Models = nil }), apierr.CodeValidation, "models"},
		"one model":       {newRouter("new", sonnetARN), apierr.CodeValidation, "two different"},
		"three models":    {newRouter("new", sonnetARN, modelARN, fm("anthropic.claude-v2")), apierr.CodeValidation, "two different"},
		"twice the same":  {newRouter("new", sonnetARN, sonnetARN), apierr.CodeValidation, "two different"},
		"same by profile": {newRouter("new", modelARN, "arn:aws:bedrock:us-east-1:"+account+":inference-profile/us."+haiku), apierr.CodeValidation, "both are"},
		"fallback":        {with(func(in *br.CreatePromptRouterInput) { in.FallbackModel = &targets(fm("anthropic.claude-v2"))[0] }), apierr.CodeValidation, "fallbackModel"},
		"other family":    {newRouter("new", sonnetARN, fm("meta.llama3-1-8b-instruct-v1:0")), apierr.CodeValidation, "one family"},
		"other form":      {newRouter("new", fm("amazon.nova-lite-v1:0"), fm("amazon.titan-text-lite-v1")), apierr.CodeValidation, "one family"},
		"embeddings":      {newRouter("new", fm("amazon.titan-embed-text-v1"), fm("amazon.titan-embed-text-v2:0")), apierr.CodeValidation, "conversations"},
		"bare id":         {newRouter("new", haiku, sonnetARN), apierr.CodeValidation, "modelArn"},
		"other region":    {newRouter("new", sonnetARN, strings.Replace(modelARN, "us-east-1", "us-west-2", 1)), apierr.CodeValidation, "us-west-2"},
		"other account":   {newRouter("new", sonnetARN, "arn:aws:bedrock:us-east-1:444455556666:inference-profile/us."+haiku), apierr.CodeValidation, "another account"},
		"a router":        {newRouter("new", sonnetARN, defaultOf+"anthropic.claude:1"), apierr.CodeValidation, "modelArn"},
		"unknown model":   {newRouter("new", sonnetARN, fm("acme.rock-v1")), apierr.CodeValidation, "identifier"},
		"unknown profile": {newRouter("new", sonnetARN, "arn:aws:bedrock:us-east-1:"+account+":application-inference-profile/abcdefghij12"), apierr.CodeResourceNotFound, "abcdefghij12"},
		"difference":      {with(func(in *br.CreatePromptRouterInput) { in.RoutingCriteria.ResponseQualityDifference = new(100.5) }), apierr.CodeValidation, "100"},
		"name":            {newRouter("new!", sonnetARN, modelARN), apierr.CodeValidation, "promptRouterName"},
		"tags":            {with(func(in *br.CreatePromptRouterInput) { in.Tags = tags("aws:x", "y") }), apierr.CodeValidation, "aws:"},
	} {
		_, _, err := f.do(t, newCall("us-east-1", account), "CreatePromptRouter", tc.in)
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok || e.Code != tc.code || !strings.Contains(e.Message, tc.part) {
			t.Errorf("%s: %v, want %s with %q", name, err, tc.code, tc.part)
		}
	}
	if n := len(f.routers.List(account, "us-east-1")); n != 1 {
		t.Errorf("%d routers were made", n)
	}
	for i := range promptrouter.MaxPerRegion - 1 {
		must[router](t, f, "CreatePromptRouter", newRouter(fmt.Sprint("router ", i), sonnetARN, modelARN))
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "CreatePromptRouter", newRouter("one more", sonnetARN, modelARN))
	wantError(t, err, "ServiceQuotaExceededException", 400, "500")
}

// A repeat of a client token finds the router of the first try.
func TestCreatePromptRouterAgain(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for range 2 {
		c := newCall("us-east-1", account)
		c.TokenID = "abcdefghij12"
		body, _, err := f.do(t, c, "CreatePromptRouter", newRouter("one", sonnetARN, modelARN))
		if err != nil || decode[router](t, body).PromptRouterArn != routerOf+"abcdefghij12" {
			t.Fatalf("%s, %v", body, err)
		}
	}
}

func TestListPromptRouters(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for i := range 3 {
		must[router](t, f, "CreatePromptRouter", newRouter(fmt.Sprint("own ", i), sonnetARN, modelARN))
	}
	for kind, want := range map[br.PromptRouterType]int{"": 6, "default": 3, "custom": 3} {
		for size := int32(1); size < 8; size++ {
			in := &br.ListPromptRoutersInput{MaxResults: &size}
			if kind != "" {
				in.Type = &kind
			}
			var seen []string
			for {
				p := must[routerPage](t, f, "ListPromptRouters", in)
				for _, r := range p.PromptRouterSummaries {
					seen = append(seen, r.PromptRouterArn)
				}
				if in.NextToken = p.NextToken; p.NextToken == nil {
					break
				}
			}
			unique := slices.Clone(seen)
			slices.Sort(unique)
			if len(seen) != want || len(slices.Compact(unique)) != want {
				t.Errorf("type %q by %d: %q", kind, size, seen)
			}
			if kind == "" && !strings.Contains(seen[0], "default-prompt-router") {
				t.Errorf("default routers are not first: %q", seen)
			}
		}
	}
	first := must[routerPage](t, f, "ListPromptRouters", &br.ListPromptRoutersInput{MaxResults: new(int32(4))})
	must[struct{}](t, f, "DeletePromptRouter", &br.DeletePromptRouterInput{PromptRouterArn: &first.PromptRouterSummaries[3].PromptRouterArn})
	if rest := must[routerPage](t, f, "ListPromptRouters", &br.ListPromptRoutersInput{NextToken: first.NextToken}); len(rest.PromptRouterSummaries) != 2 {
		t.Errorf("behind a router that is gone: %+v", rest)
	}
	_, _, err := f.do(t, newCall("us-west-2", account), "ListPromptRouters", &br.ListPromptRoutersInput{NextToken: first.NextToken})
	wantError(t, err, apierr.CodeValidation, 400, "nextToken")
}

func TestPromptRouterNames(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for name, tc := range map[string]struct{ arn, code string }{
		"bare id":         {"abcdefghij12", apierr.CodeValidation},
		"a profile":       {"arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + haiku, apierr.CodeValidation},
		"unknown":         {routerOf + "abcdefghij12", apierr.CodeResourceNotFound},
		"unknown default": {defaultOf + "acme.rock:1", apierr.CodeResourceNotFound},
		"other account":   {"arn:aws:bedrock:us-east-1:444455556666:prompt-router/abcdefghij12", apierr.CodeResourceNotFound},
		"other region":    {"arn:aws:bedrock:us-west-2:" + account + ":default-prompt-router/anthropic.claude:1", apierr.CodeResourceNotFound},
	} {
		for op, in := range map[string]any{"GetPromptRouter": &br.GetPromptRouterInput{PromptRouterArn: &tc.arn}, "DeletePromptRouter": &br.DeletePromptRouterInput{PromptRouterArn: &tc.arn}} {
			_, _, err := f.do(t, newCall("us-east-1", account), op, in)
			if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != tc.code && !(op == "DeletePromptRouter" && name == "unknown default") {
				t.Errorf("%s of %s: %v", op, name, err)
			}
		}
	}
	_, _, err := f.do(t, newCall("us-east-1", account), "DeletePromptRouter", &br.DeletePromptRouterInput{PromptRouterArn: new(defaultOf + "anthropic.claude:1")})
	wantError(t, err, apierr.CodeValidation, 400, "default prompt router")
}
