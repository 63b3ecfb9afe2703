package catalog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func ids(models []catalog.Model) []string {
	out := make([]string, len(models))
	for i := range models {
		out[i] = models[i].ID
	}
	return out
}

// The first region has every model, the second most of them, the third a selection.
func TestRegionSubsets(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	all := ids(c.List(catalog.Filter{}))
	direct := func(region string) (n int) {
		for _, m := range c.List(catalog.Filter{Region: region}) {
			if m.InRegion(region) {
				n++
			}
		}
		return n
	}
	east, west, frankfurt := direct("us-east-1"), direct("us-west-2"), direct("eu-central-1")
	if east != len(all) {
		t.Errorf("us-east-1 has %d of %d models", east, len(all))
	}
	if west >= east || 2*west < east || frankfurt >= west || frankfurt < 10 {
		t.Errorf("us-west-2 has %d and eu-central-1 %d of %d models", west, frankfurt, len(all))
	}
	t.Logf("us-east-1 %d, us-west-2 %d, eu-central-1 %d; with profiles %d, %d, %d", east, west, frankfurt,
		len(all), len(c.List(catalog.Filter{Region: "us-west-2"})), len(c.List(catalog.Filter{Region: "eu-central-1"})))
	const llama = "meta.llama3-1-8b-instruct-v1:0"
	if slices.Contains(ids(c.List(catalog.Filter{Region: "eu-central-1"})), llama) {
		t.Errorf("eu-central-1 lists %s", llama)
	}
	if _, err := c.Get(llama, "eu-central-1"); err == nil || apierr.From(err).Code != apierr.CodeResourceNotFound {
		t.Errorf("GetFoundationModel of a model of other regions: %v", err)
	}
	if _, err := c.Resolve(t.Context(), llama, "eu-central-1", account); err == nil || apierr.From(err).Message != "The provided model identifier is invalid." {
		t.Errorf("a call to a model of other regions: %v", err)
	}
}

// A region may offer a model through its profile alone.
func TestThroughProfileAlone(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	const nova = "amazon.nova-lite-v1:0"
	m, err := c.Get(nova, "eu-central-1")
	if err != nil || !slices.Equal(m.Inference, []string{"INFERENCE_PROFILE"}) {
		t.Errorf("%v, %v", m.Inference, err)
	}
	if m, err = c.Get(nova, region); err != nil || slices.Contains(m.Inference, "INFERENCE_PROFILE") {
		t.Errorf("where it can be called itself: %v, %v", m.Inference, err)
	}
	if got := c.List(catalog.Filter{Region: "eu-central-1", Inference: "ON_DEMAND"}); slices.Contains(ids(got), nova) {
		t.Error("it is listed as on demand")
	}
	_, err = c.Resolve(t.Context(), nova, "eu-central-1", account)
	if e := apierr.From(err); err == nil || e.Code != apierr.CodeValidation || !strings.Contains(e.Message, "on-demand throughput isn’t supported") {
		t.Errorf("called by its id: %v", err)
	}
	target, err := c.Resolve(t.Context(), "eu."+nova, "eu-central-1", account)
	if err != nil || target.Regions[0] != "eu-central-1" || len(target.Regions) < 2 {
		t.Errorf("called through its profile: %v, %v", target.Regions, err)
	}
}

// With a list of regions, no profile leads out of it.
func TestServedRegions(t *testing.T) {
	t.Parallel()
	served := []string{"us-east-1", "us-west-2", "eu-central-1"}
	c := newCatalog(t, catalog.Options{StandIns: true, Regions: served})
	for _, tc := range []struct {
		region, id string
		want       []string
	}{
		{"us-east-1", haiku, []string{"us-east-1"}},
		{"us-east-1", "us." + haiku, []string{"us-east-1", "us-west-2"}},
		{"us-west-2", "us." + haiku, []string{"us-west-2", "us-east-1"}},
		{"eu-central-1", "eu." + haiku, []string{"eu-central-1"}},
		{"eu-central-1", "global.anthropic.claude-sonnet-4-6", []string{"eu-central-1", "us-east-1", "us-west-2"}},
	} {
		target, err := c.Resolve(t.Context(), tc.id, tc.region, account)
		if err != nil || !slices.Equal(target.Regions, tc.want) {
			t.Errorf("%s in %s: %v, want %v; %v", tc.id, tc.region, target.Regions, tc.want, err)
		}
		if target.ProfileARN == "" {
			continue
		}
		if len(target.Destinations) != len(tc.want) {
			t.Errorf("%s in %s leads to %q", tc.id, tc.region, target.Destinations)
		}
		p, err := c.SystemProfile(tc.id, tc.region)
		if err != nil || len(p.Regions) != len(tc.want) {
			t.Errorf("%s in %s spreads over %v, %v", tc.id, tc.region, p.Regions, err)
		}
	}
	for _, region := range served {
		for _, p := range c.SystemProfiles(region) {
			for _, r := range p.Regions {
				if !slices.Contains(served, r) {
					t.Errorf("%s in %s leads to %s", p.ID, region, r)
				}
			}
			if len(p.Regions) == 0 {
				t.Errorf("%s in %s leads nowhere", p.ID, region)
			}
		}
	}
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	file := user(t, `
models:
  - id: anthropic.claude-v2
    lifecycle: {status: ACTIVE, legacy: 2026-03-01, extended_access: 2026-06-01, end_of_life: 2026-09-01}
`)
	at := func(month time.Month) *catalog.Catalog {
		return newCatalog(t, catalog.Options{StandIns: true, File: file, Now: func() time.Time { return time.Date(2026, month, 2, 0, 0, 0, 0, time.UTC) }})
	}
	for month, want := range map[time.Month]string{1: "ACTIVE", 3: "LEGACY", 7: "LEGACY"} {
		c := at(month)
		m, err := c.Get("anthropic.claude-v2", region)
		if err != nil || m.Lifecycle.Status != want || m.Lifecycle.Extended.Month() != 6 {
			t.Errorf("month %d: %+v, %v", month, m.Lifecycle, err)
		}
		target, err := c.Resolve(t.Context(), "anthropic.claude-v2", region, account)
		if err != nil || target.Model.Lifecycle.Status != want {
			t.Errorf("month %d: %v, %v", month, target.Model.Lifecycle.Status, err)
		}
		if i := slices.IndexFunc(c.List(catalog.Filter{Region: region}), func(m catalog.Model) bool {
			return m.ID == "anthropic.claude-v2" && m.Lifecycle.Status == want
		}); i < 0 {
			t.Errorf("month %d: not listed as %s", month, want)
		}
	}
	ended := at(9)
	const end = "This model version has reached the end of its life."
	if _, err := ended.Get("anthropic.claude-v2", region); err == nil || apierr.From(err).Code != apierr.CodeResourceNotFound || apierr.From(err).Message != end {
		t.Errorf("Get after its end: %v", err)
	}
	if _, err := ended.Resolve(t.Context(), "anthropic.claude-v2", region, account); err == nil || apierr.From(err).Code != apierr.CodeResourceNotFound || apierr.From(err).Message != end {
		t.Errorf("a call after its end: %v", err)
	}
	if slices.Contains(ids(ended.List(catalog.Filter{})), "anthropic.claude-v2") {
		t.Error("it is listed after its end")
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true, File: user(t, `
aliases:
  - {id: my-chat, model: `+haiku+`}
  - {id: Team_7, model: us.`+haiku+`}
  - {id: anthropic.claude-9-best, model: anthropic.claude-v2}
  - {id: by-pattern, model: anthropic.claude-sonnet-4-6}
`)})
	for id, want := range map[string]string{
		"my-chat": haiku, "Team_7": haiku, "anthropic.claude-9-best": "anthropic.claude-v2", "by-pattern": "anthropic.claude-sonnet-4-6",
	} {
		target, err := c.Resolve(t.Context(), id, region, account)
		if err != nil || target.Model.ID != want {
			t.Errorf("%s leads to %s, %v", id, target.Model.ID, err)
		}
		if (id == "Team_7") != (target.ProfileARN != "") {
			t.Errorf("%s goes through %q", id, target.ProfileARN)
		}
	}
	if m, err := c.Get("my-chat", region); err != nil || m.ID != haiku {
		t.Errorf("Get: %s, %v", m.ID, err)
	}
	if _, err := c.Resolve(t.Context(), "Team_7", "eu-west-1", account); err == nil {
		t.Error("an alias leads to a profile of another geography")
	}
	if slices.Contains(ids(c.List(catalog.Filter{})), "my-chat") || len(c.Aliases()) != 4 {
		t.Errorf("aliases: %v", c.Aliases())
	}
}

func TestAliasesAndRoutersRefused(t *testing.T) {
	t.Parallel()
	const router = "routers:\n  - {id: r, name: R, models: [anthropic.claude-v2, anthropic.claude-instant-v1], fallback: anthropic.claude-v2"
	for name, tc := range map[string]struct{ text, want string }{
		"ARN":              {"aliases:\n  - {id: 'arn:aws:bedrock:us-east-1::foundation-model/a.b', model: " + haiku + "}", "id: want a word"},
		"words":            {"aliases:\n  - {id: my chat, model: " + haiku + "}", "id: want a word"},
		"a profile's id":   {"aliases:\n  - {id: abcdef123456, model: " + haiku + "}", "id: want a word"},
		"a geography":      {"aliases:\n  - {id: us.best.chat-1, model: " + haiku + "}", "id: want a word"},
		"long":             {"aliases:\n  - {id: " + strings.Repeat("a", 64) + ", model: " + haiku + "}", "id: want a word"},
		"a model's id":     {"aliases:\n  - {id: " + haiku + ", model: anthropic.claude-v2}", "a model has the id"},
		"no model":         {"aliases:\n  - {id: my-chat}", "model: missing"},
		"model unknown":    {"aliases:\n  - {id: my-chat, model: acme.rock-v1}", `no model has the id "acme.rock-v1"`},
		"alias of alias":   {"aliases:\n  - {id: a-1, model: " + haiku + "}\n  - {id: b-1, model: a-1}", "model: want the id"},
		"unknown field":    {"aliases:\n  - {id: a-1, model: " + haiku + ", for: me}", "unknown field"},
		"router id":        {"routers:\n  - {id: 'a/b', name: R}", "id: want"},
		"router name":      {"routers:\n  - {id: r}", "name: want"},
		"description":      {router + ", description: " + strings.Repeat("a", 201) + "}", "description: want"},
		"one model":        {"routers:\n  - {id: r, name: R, models: [anthropic.claude-v2]}", "models: want two"},
		"same models":      {"routers:\n  - {id: r, name: R, models: [anthropic.claude-v2, anthropic.claude-v2]}", "models: want two"},
		"fallback":         {"routers:\n  - {id: r, name: R, models: [anthropic.claude-v2, anthropic.claude-instant-v1], fallback: x}", "fallback: want"},
		"difference":       {router + ", response_quality_difference: 101}", "0 to 100"},
		"router's model":   {"routers:\n  - {id: r, name: R, models: [acme.rock-v1, anthropic.claude-v2], fallback: anthropic.claude-v2}", `no model has the id "acme.rock-v1"`},
		"legacy after end": {"models:\n  - {id: anthropic.claude-v2, lifecycle: {legacy: 2026-02-01, end_of_life: 2026-01-01}}", "lifecycle.legacy"},
		"extended early":   {"models:\n  - {id: anthropic.claude-v2, lifecycle: {legacy: 2026-02-01, extended_access: 2026-01-01}}", "lifecycle.extended_access"},
		"legacy no date":   {"models:\n  - id: anthropic.claude-v2\n    lifecycle: {legacy: soon}\n", "lifecycle.legacy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.New(catalog.Options{File: user(t, tc.text)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
