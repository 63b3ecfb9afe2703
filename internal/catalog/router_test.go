package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const sonnet = "anthropic.claude-3-5-sonnet-20240620-v1:0"

// shelf holds routers by account, region and id.
type shelf map[string]promptrouter.Router

func (s shelf) Lookup(account, region, id string) (promptrouter.Router, bool) {
	r, ok := s[account+"/"+region+"/"+id]
	return r, ok
}

func TestDefaultRouters(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	for region, want := range map[string][]string{
		"us-east-1": {"anthropic.claude:1", "meta.llama:1", "amazon.nova:1"}, "us-west-2": {"anthropic.claude:1", "meta.llama:1", "amazon.nova:1"},
		"eu-central-1": {"anthropic.claude:1", "amazon.nova:1"}, "sa-east-1": nil,
	} {
		var got []string
		for _, r := range c.DefaultRouters(region, account) {
			got = append(got, r.ID)
			if !r.Default || r.Account != account || r.Region != region || len(r.Models) != 2 || !slices.Contains(r.Models, r.Fallback) || r.Created.IsZero() {
				t.Errorf("%s: %+v", region, r)
			}
			if !strings.Contains(r.Fallback, ":"+account+":inference-profile/") {
				t.Errorf("%s names %s although there is a profile", r.ID, r.Fallback)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", region, got, want)
		}
	}
	if got := newCatalog(t, catalog.Options{}).DefaultRouters("us-east-1", account); len(got) != 0 {
		t.Errorf("without stand-ins there are %+v", got)
	}
}

func TestResolveRouter(t *testing.T) {
	t.Parallel()
	fm := func(id string) string { return "arn:aws:bedrock:us-east-1::foundation-model/" + id }
	const home = "arn:aws:bedrock:us-east-1:" + account + ":"
	key := func(id string) string { return account + "/us-east-1/" + id }
	c := newCatalog(t, catalog.Options{StandIns: true, Routers: shelf{
		key("weakfallback"): {Models: []string{fm(sonnet), fm(haiku)}, Fallback: fm(haiku), Difference: 10},
		key("onegone"):      {Models: []string{fm("gone.model-v1"), fm(haiku)}, Fallback: fm("gone.model-v1")},
		key("allgone"):      {Models: []string{fm("gone.model-v1"), fm("gone.model-v2")}, Fallback: fm("gone.model-v1")},
		key("sizes"):        {Models: []string{fm("meta.llama3-1-8b-instruct-v1:0"), fm("meta.llama9-70b-instruct-v1:0")}, Fallback: fm("meta.llama3-1-8b-instruct-v1:0")},
	}})
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		got, err := c.Resolve(t.Context(), home+"default-prompt-router/anthropic.claude:1", region, account)
		if err != nil {
			t.Fatal(err)
		}
		r := got.Router
		if r == nil || len(r.Candidates) != 2 || r.Difference != 0.26 || got.Model.ID != sonnet || !slices.Equal(got.Resources, []string{r.ARN}) {
			t.Fatalf("%+v", got)
		}
		if r.Candidates[r.Fallback].Model.ID != sonnet || r.Candidates[r.Strongest].Model.ID != sonnet || r.Candidates[1-r.Strongest].Model.ID != haiku {
			t.Errorf("fallback %d, strongest %d", r.Fallback, r.Strongest)
		}
		if i := slices.IndexFunc(r.Candidates, func(c *catalog.Target) bool { return c.Router != nil || c.Resources[0] == r.ARN }); i >= 0 {
			t.Errorf("candidate %d is the router itself", i)
		}
		if c := r.Candidates[0]; len(c.Destinations) != 3 || c.Router != nil || c.ProfileARN != r.Names[0] {
			t.Errorf("candidate %+v", c)
		}
	})
	for id, want := range map[string]struct{ model, strongest string }{
		"weakfallback": {haiku, sonnet},
		"onegone":      {haiku, haiku},
		"sizes":        {"meta.llama3-1-8b-instruct-v1:0", "meta.llama9-70b-instruct-v1:0"},
	} {
		got, err := c.Resolve(t.Context(), home+"prompt-router/"+id, region, account)
		if err != nil || got.Router == nil || got.Model.ID != want.model || got.Router.Candidates[got.Router.Strongest].Model.ID != want.strongest {
			t.Errorf("%s: %+v, %v", id, got.Router, err)
		}
	}
	for name, tc := range map[string]struct{ id, code string }{
		"all gone":        {home + "prompt-router/allgone", apierr.CodeValidation},
		"unknown":         {home + "prompt-router/unknown", apierr.CodeResourceNotFound},
		"another account": {"arn:aws:bedrock:us-east-1:" + other + ":prompt-router/weakfallback", apierr.CodeValidation},
		"another region":  {"arn:aws:bedrock:us-west-2:" + account + ":default-prompt-router/anthropic.claude:1", apierr.CodeValidation},
	} {
		if _, err := c.Resolve(t.Context(), tc.id, region, account); err == nil || apierr.From(err).Code != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Resolve(t.Context(), "arn:aws:bedrock:sa-east-1:"+account+":default-prompt-router/anthropic.claude:1", "sa-east-1", account); err == nil {
		t.Error("a default router is there in a region without its models")
	}
}
