package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "us-east-1"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

// lookup is a table of application profiles by account, region and id.
type lookup map[string]string

func (l lookup) LookupProfile(_ context.Context, account, region, id string) (string, error) {
	if id == "brokenstore1" {
		return "", errors.New("disk on fire")
	}
	source, ok := l[account+"/"+region+"/"+id]
	if !ok {
		return "", profile.ErrNotFound
	}
	return source, nil
}

func TestResolve(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true, Profiles: lookup{
		account + "/us-east-1/abcdefghij12": "arn:aws:bedrock:us-east-1::foundation-model/" + haiku,
		account + "/us-east-1/abcdefghij34": "arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + haiku,
		account + "/us-east-1/abcdefghij56": "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abcdefghij34",
		account + "/us-east-1/abcdefghij78": "arn:aws:bedrock:us-east-1::foundation-model/gone.model-v1:0",
	}})
	const model = "arn:aws:bedrock:us-east-1::foundation-model/" + haiku
	const home = "arn:aws:bedrock:us-east-1:" + account + ":"
	for name, tc := range map[string]struct {
		id, region string
		model      string // ARN
		profile    string // ARN
	}{
		"id":                           {haiku, region, model, ""},
		"size variant":                 {haiku + ":48k", region, model, ""},
		"other region":                 {haiku, "eu-west-3", strings.Replace(model, region, "eu-west-3", 1), ""},
		"GovCloud":                     {haiku, "us-gov-west-1", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/" + haiku, ""},
		"model ARN":                    {model, region, model, ""},
		"profile id":                   {"us." + haiku, region, model, home + "inference-profile/us." + haiku},
		"profile id from Canada":       {"us." + haiku, "ca-central-1", "arn:aws:bedrock:ca-central-1::foundation-model/" + haiku, "arn:aws:bedrock:ca-central-1:" + account + ":inference-profile/us." + haiku},
		"profile of a size variant":    {"us." + haiku + ":48k", region, model, home + "inference-profile/us." + haiku},
		"profile ARN":                  {home + "inference-profile/us." + haiku, region, model, home + "inference-profile/us." + haiku},
		"GovCloud profile":             {"us-gov." + haiku, "us-gov-east-1", "arn:aws-us-gov:bedrock:us-gov-east-1::foundation-model/" + haiku, "arn:aws-us-gov:bedrock:us-gov-east-1:" + account + ":inference-profile/us-gov." + haiku},
		"application profile of model": {home + "application-inference-profile/abcdefghij12", region, model, home + "application-inference-profile/abcdefghij12"},
		"application profile of profile": {
			home + "application-inference-profile/abcdefghij34", region, model, home + "application-inference-profile/abcdefghij34"},
		"application profile id": {"abcdefghij12", region, model, home + "application-inference-profile/abcdefghij12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.Resolve(t.Context(), tc.id, tc.region, account)
			if err != nil {
				t.Fatal(err)
			}
			if got.ModelARN != tc.model || got.ProfileARN != tc.profile {
				t.Errorf("ARNs %q and %q, want %q and %q", got.ModelARN, got.ProfileARN, tc.model, tc.profile)
			}
			want := []string{tc.model}
			if tc.profile != "" {
				want = []string{tc.profile}
			}
			if !slices.Equal(got.Resources, want) {
				t.Errorf("resources %q, want %q", got.Resources, want)
			}
			if (tc.profile != "") != slices.Contains(got.Destinations, tc.model) {
				t.Errorf("destinations %q", got.Destinations)
			}
			if got.Model.ID != haiku || got.Weights.ID != "smollm2-135m-instruct" || !got.Model.StandIn {
				t.Errorf("model %s on %s", got.Model.ID, got.Weights.ID)
			}
		})
	}
}

func TestResolveRefused(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true, Profiles: lookup{
		account + "/us-east-1/abcdefghij56": "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abcdefghij34",
		account + "/us-east-1/abcdefghij78": "arn:aws:bedrock:us-east-1::foundation-model/gone.model-v1:0",
	}})
	const home = "arn:aws:bedrock:us-east-1:" + account + ":"
	const invalid = "The provided model identifier is invalid."
	for name, tc := range map[string]struct{ id, code, message string }{
		"empty":                          {"", apierr.CodeValidation, invalid},
		"malformed":                      {"Claude v2!", apierr.CodeValidation, invalid},
		"unknown":                        {"acme.model-v1:0", apierr.CodeValidation, invalid},
		"no version":                     {"anthropic.claude-typo", apierr.CodeValidation, invalid},
		"film model":                     {"amazon.nova-reel-v1:0", apierr.CodeValidation, invalid},
		"provisioned name":               {"my-provisioned-model", apierr.CodeValidation, invalid},
		"model ARN of another region":    {"arn:aws:bedrock:us-west-2::foundation-model/" + haiku, apierr.CodeValidation, invalid},
		"model ARN of another partition": {"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/" + haiku, apierr.CodeValidation, invalid},
		"profile ARN of another account": {"arn:aws:bedrock:us-east-1:" + other + ":inference-profile/us." + haiku, apierr.CodeValidation, invalid},
		"geography without profile":      {"jp." + haiku, apierr.CodeValidation, invalid},
		"geography of other regions":     {"eu." + haiku, apierr.CodeValidation, invalid},
		"model without profiles":         {"us.anthropic.claude-v2", apierr.CodeValidation, invalid},
		"two geographies":                {"us.eu." + haiku, apierr.CodeValidation, invalid},
		"profile of profile of profile":  {home + "application-inference-profile/abcdefghij56", apierr.CodeValidation, invalid},
		"profile of a model that went":   {home + "application-inference-profile/abcdefghij78", apierr.CodeValidation, invalid},
		"unknown profile":                {home + "application-inference-profile/abcdefghij99", apierr.CodeResourceNotFound, "The application inference profile abcdefghij99 does not exist."},
		"word of 12 letters":             {"claudesonnet", apierr.CodeValidation, invalid},
		"provisioned model":              {home + "provisioned-model/abcdefghij12", apierr.CodeResourceNotFound, "The provisioned model abcdefghij12 does not exist."},
		"custom model":                   {home + "custom-model/amazon.titan-text-lite-v1/abcdefghij12", apierr.CodeResourceNotFound, "The custom model amazon.titan-text-lite-v1/abcdefghij12 does not exist."},
		"custom model deployment":        {home + "custom-model-deployment/abcdefghij12", apierr.CodeResourceNotFound, "The custom model deployment abcdefghij12 does not exist."},
		"imported model":                 {home + "imported-model/abcdefghij12", apierr.CodeResourceNotFound, "The imported model abcdefghij12 does not exist."},
		"prompt":                         {home + "prompt/ABCDEFGHIJ:1", apierr.CodeResourceNotFound, "The prompt ABCDEFGHIJ:1 does not exist."},
		"prompt router":                  {home + "prompt-router/abcdefghij12", apierr.CodeResourceNotFound, "The prompt router abcdefghij12 does not exist."},
		"default prompt router":          {home + "default-prompt-router/anthropic.claude:9", apierr.CodeResourceNotFound, "The default prompt router anthropic.claude:9 does not exist."},
		"SageMaker endpoint":             {"arn:aws:sagemaker:us-east-1:" + account + ":endpoint/e", apierr.CodeResourceNotFound, "The SageMaker endpoint e does not exist."},
		"store fails":                    {home + "application-inference-profile/brokenstore1", "", "disk on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.Resolve(t.Context(), tc.id, region, account)
			if err == nil {
				t.Fatalf("resolves to %s", got.ModelARN)
			}
			e, ok := errors.AsType[*apierr.Error](err)
			if ok != (tc.code != "") || ok && (e.Code != tc.code || e.Message != tc.message) {
				t.Errorf("error %v, want %s: %s", err, tc.code, tc.message)
			}
		})
	}
}

func TestResolveWithoutProfiles(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	_, err := c.Resolve(t.Context(), "arn:aws:bedrock:us-east-1:"+account+":application-inference-profile/abcdefghij12", region, account)
	if e := apierr.From(err); e.Code != apierr.CodeResourceNotFound {
		t.Errorf("error %v", err)
	}
}

func TestStandInsOff(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{})
	for _, id := range []string{haiku, "us." + haiku, "anthropic.claude-sonnet-4-6", "amazon.titan-embed-text-v1"} {
		if got, err := c.Resolve(t.Context(), id, region, account); err == nil {
			t.Errorf("%s resolves to %s", id, got.Weights.ID)
		}
	}
	if _, err := c.Resolve(t.Context(), "huggingface.smollm2-135m-instruct-v1:0", region, account); err != nil {
		t.Error(err)
	}
	if len(c.StandIns()) != 0 || len(c.Patterns()) != 0 || len(c.SystemProfiles(region)) != 0 {
		t.Error("stand-ins are told though they are off")
	}
	if n := len(c.List(catalog.Filter{})); n != 4 {
		t.Errorf("%d models listed, want the 4 that run here", n)
	}
}

func TestEndOfLife(t *testing.T) {
	t.Parallel()
	end := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	file := user(t, "models:\n  - {id: "+haiku+", lifecycle: {end_of_life: 2030-01-02}}\n")
	for _, tc := range []struct {
		now   time.Time
		ended bool
	}{{end.Add(-time.Second), false}, {end, true}} {
		c := newCatalog(t, catalog.Options{StandIns: true, File: file, Now: func() time.Time { return tc.now }})
		_, err := c.Resolve(t.Context(), haiku, region, account)
		if tc.ended != (err != nil) || err != nil && apierr.From(err).Code != apierr.CodeResourceNotFound {
			t.Errorf("at %v: Resolve: %v", tc.now, err)
		}
		_, err = c.Get(haiku, region)
		if tc.ended != (err != nil) {
			t.Errorf("at %v: Get: %v", tc.now, err)
		}
		_, err = c.SystemProfile("us."+haiku, region)
		if tc.ended != (err != nil) {
			t.Errorf("at %v: SystemProfile: %v", tc.now, err)
		}
		listed := slices.ContainsFunc(c.List(catalog.Filter{}), func(m catalog.Model) bool { return m.ID == haiku })
		if tc.ended == listed {
			t.Errorf("at %v: listed %v", tc.now, listed)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	all := c.List(catalog.Filter{})
	if all[0].ID != "huggingface.smollm2-135m-instruct-v1:0" || !slices.EqualFunc(all, c.List(catalog.Filter{}), func(a, b catalog.Model) bool { return a.ID == b.ID }) {
		t.Error("the order is not stable")
	}
	count := func(f catalog.Filter) (ids []string) {
		for _, m := range c.List(f) {
			ids = append(ids, m.ID)
		}
		return ids
	}
	if got := count(catalog.Filter{Provider: "aNtHrOpIc"}); len(got) != 6 {
		t.Errorf("provider: %q", got)
	}
	if got := count(catalog.Filter{Provider: "Anthro"}); len(got) != 0 {
		t.Errorf("a part of a provider's name: %q", got)
	}
	if got := count(catalog.Filter{Output: "EMBEDDING", Provider: "Cohere"}); len(got) != 3 {
		t.Errorf("output: %q", got)
	}
	if got := count(catalog.Filter{Output: "IMAGE", Provider: "Amazon"}); len(got) != 3 {
		t.Errorf("image models: %q", got)
	}
	if got := count(catalog.Filter{Customization: "CONTINUED_PRE_TRAINING"}); len(got) != 2 {
		t.Errorf("customization: %q", got)
	}
	if got := count(catalog.Filter{Inference: "PROVISIONED", Provider: "Meta"}); len(got) != 6 {
		t.Errorf("inference: %q", got)
	}
	if len(c.StandIns()) != len(all)-4 {
		t.Errorf("%d stand-ins of %d models", len(c.StandIns()), len(all))
	}
}

func TestSystemProfiles(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	for _, tc := range []struct {
		region, id, name string
		first            string
	}{
		{"us-west-2", "us." + haiku, "US Anthropic Claude 3 Haiku", "us-east-1"},
		{"ca-central-1", "us." + haiku, "US Anthropic Claude 3 Haiku", "ca-central-1"},
		{"eu-west-3", "eu.amazon.nova-lite-v1:0", "EU Nova Lite", "eu-central-1"},
		{"eu-south-2", "eu.amazon.nova-lite-v1:0", "EU Nova Lite", "eu-south-2"},
		{"us-east-1", "us.deepseek.r1-v1:0", "US DeepSeek-R1", "us-east-1"},
		{"ap-northeast-1", "jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "JP Anthropic Claude", "ap-northeast-1"},
		{"sa-east-1", "global.anthropic.claude-sonnet-4-6", "Global Anthropic Claude", "sa-east-1"},
	} {
		p, err := c.SystemProfile(tc.id, tc.region)
		if err != nil {
			t.Errorf("%s in %s: %v", tc.id, tc.region, err)
			continue
		}
		if p.Name != tc.name || p.ID != tc.id || p.Regions[0] != tc.first || len(p.Regions) > 5 {
			t.Errorf("%s in %s: %+v", tc.id, tc.region, p)
		}
	}
	for _, tc := range []struct{ region, id string }{
		{"eu-west-1", "us." + haiku}, {"us-east-1", haiku}, {"us-east-1", "us.acme.model"}, {"us-east-1", "!"}, {"us-east-1", "au.anthropic.claude-4"}, {"us-gov-west-1", "global.anthropic.claude-sonnet-4-6"},
	} {
		if p, err := c.SystemProfile(tc.id, tc.region); err == nil || apierr.From(err).Code != apierr.CodeResourceNotFound {
			t.Errorf("%s in %s: %+v, %v", tc.id, tc.region, p, err)
		}
	}
	for _, region := range []string{"us-east-1", "eu-central-1", "ap-southeast-2", "ca-central-1", "us-gov-west-1", "sa-east-1"} {
		seen := map[string]bool{}
		for _, p := range c.SystemProfiles(region) {
			if seen[p.ID] {
				t.Errorf("%s lists %s twice", region, p.ID)
			}
			seen[p.ID] = true
			if !slices.Contains(p.Regions, region) && !strings.HasPrefix(p.ID, "us.") && !strings.HasPrefix(p.ID, "eu.") && !strings.HasPrefix(p.ID, "apac.") {
				t.Errorf("%s is not among the regions of %s", region, p.ID)
			}
			target, err := c.Resolve(t.Context(), p.ID, region, account)
			if err != nil || target.Model.ID != p.Model.ID {
				t.Errorf("%s is listed in %s and does not resolve: %v", p.ID, region, err)
			}
		}
	}
	for _, p := range c.SystemProfiles("sa-east-1") {
		if !strings.HasPrefix(p.ID, "global.") {
			t.Errorf("sa-east-1 lists %s", p.ID)
		}
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	for _, id := range []string{haiku, "arn:aws:bedrock:us-east-1::foundation-model/" + haiku} {
		if m, err := c.Get(id, region); err != nil || m.ID != haiku {
			t.Errorf("Get(%s) = %s, %v", id, m.ID, err)
		}
	}
	for id, code := range map[string]string{
		"!":                 apierr.CodeValidation,
		"acme.model":        apierr.CodeResourceNotFound,
		"us." + haiku:       apierr.CodeResourceNotFound,
		"a-provisioned-one": apierr.CodeResourceNotFound,
		"arn:aws:bedrock:eu-west-1::foundation-model/" + haiku: apierr.CodeResourceNotFound,
	} {
		if _, err := c.Get(id, region); apierr.From(err).Code != code {
			t.Errorf("Get(%s): %v, want %s", id, err, code)
		}
	}
}

// store is the one method of profile.Store that the catalogue uses.
type store struct {
	profile.Store
	profile profile.Profile
}

func (s store) GetProfile(_ context.Context, account, region, id string) (profile.Profile, error) {
	if s.profile.Account != account || s.profile.Region != region || s.profile.ID != id {
		return profile.Profile{}, profile.ErrNotFound
	}
	return s.profile, nil
}

func TestStoredProfiles(t *testing.T) {
	t.Parallel()
	p := catalog.StoredProfiles(store{profile: profile.Profile{ID: "abcdefghij12", Account: account, Region: region, ModelSource: "arn"}})
	if got, err := p.LookupProfile(t.Context(), account, region, "abcdefghij12"); err != nil || got != "arn" {
		t.Errorf("LookupProfile = %q, %v", got, err)
	}
	if _, err := p.LookupProfile(t.Context(), other, region, "abcdefghij12"); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("another account: %v", err)
	}
}

func FuzzResolve(f *testing.F) {
	c := newCatalog(f, catalog.Options{StandIns: true})
	for _, s := range []string{haiku, "us." + haiku, "anthropic.claude-v2:0:100k", "abcdefghij12", "arn:aws:bedrock:us-east-1::foundation-model/" + haiku, "a.b:1:mm"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := c.Resolve(t.Context(), id, region, account)
		if err != nil {
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Code != apierr.CodeValidation && e.Code != apierr.CodeResourceNotFound {
				t.Fatalf("Resolve(%q): %v", id, err)
			}
			return
		}
		if got.Weights.ID == "" || len(got.Resources) != 1 || got.ProfileARN == "" && got.Resources[0] != got.ModelARN {
			t.Fatalf("Resolve(%q) = %+v", id, got)
		}
		again, err := c.Resolve(t.Context(), got.ModelARN, region, account)
		if err != nil || again.Model.ID != got.Model.ID {
			t.Fatalf("Resolve(%q) has the ARN %s, which resolves to %s, %v", id, got.ModelARN, again.Model.ID, err)
		}
	})
}

// A profile leads to the models of all regions of its geography, an application
// profile to those of what it was copied from; another account's is found in that
// account.
func TestResolveDestinations(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true, Profiles: lookup{
		other + "/us-east-1/abcdefghij12": "arn:aws:bedrock:us-east-1::foundation-model/" + haiku,
		other + "/us-east-1/abcdefghij34": "arn:aws:bedrock:us-east-1:" + other + ":inference-profile/us." + haiku,
	}})
	models := func(regions ...string) (arns []string) {
		for _, r := range regions {
			arns = append(arns, "arn:aws:bedrock:"+r+"::foundation-model/"+haiku)
		}
		return arns
	}
	const shared = "arn:aws:bedrock:us-east-1:" + other + ":application-inference-profile/"
	for id, want := range map[string][]string{
		haiku:                   nil,
		"us." + haiku:           models("us-east-1", "us-east-2", "us-west-2"),
		shared + "abcdefghij12": models("us-east-1"),
		shared + "abcdefghij34": models("us-east-1", "us-east-2", "us-west-2"),
	} {
		got, err := c.Resolve(t.Context(), id, region, account)
		if err != nil || !slices.Equal(got.Destinations, want) {
			t.Errorf("%s: destinations %q, want %q; %v", id, got.Destinations, want, err)
		}
		if strings.HasPrefix(id, shared) && got.ProfileARN != id {
			t.Errorf("%s: profile %s", id, got.ProfileARN)
		}
	}
	if _, err := c.Resolve(t.Context(), "abcdefghij12", region, account); err == nil {
		t.Error("another account's profile was found by its id alone")
	}
}

func TestLicenseDigest(t *testing.T) {
	t.Parallel()
	digest := func(text string) string {
		o := catalog.Options{}
		if text != "" {
			o.File = user(t, text)
		}
		w, ok := newCatalog(t, o).WeightsByID("gemma-3-270m")
		if !ok || len(w.LicenseDigest) != 64 || w.AcceptableUse == "" {
			t.Errorf("weights %+v", w)
		}
		return w.LicenseDigest
	}
	first := digest("")
	if digest("") != first || digest("weights:\n  - id: gemma-3-270m\n    name: Another name\n") != first {
		t.Error("the digest changes by itself, or with what is no term")
	}
	for _, field := range []string{"license: Gemma 2", "license_url: https://example.com", "license_text: You may.", "acceptable_use: Be kind."} {
		if digest("weights:\n  - id: gemma-3-270m\n    "+field+"\n") == first {
			t.Errorf("the digest does not tell of %s", field)
		}
	}
}

// TestResolveRemembers asks again and again, for more regions than are remembered,
// and proves that profiles keep their accounts and that nothing built on a target
// changes the one that others were handed.
func TestResolveRemembers(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	ask := func(id, region, account string) *catalog.Target {
		t.Helper()
		got, err := c.Resolve(t.Context(), id, region, account)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const id, profile = "amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"
	if got, err := c.Resolve(t.Context(), "no model", "us-east-1", account); got != nil || err == nil {
		t.Errorf("beside an error stands %+v", got)
	}
	first := *ask(id, "us-east-1", account)
	for range 2 {
		for _, account := range []string{account, other} {
			if got := ask(profile, "us-east-1", account).ProfileARN; !strings.Contains(got, account) {
				t.Errorf("the profile of account %s is %s", account, got)
			}
		}
	}
	if got := ask(id, "us-east-1", account); got.ProfileARN != "" || got.ModelARN != first.ModelARN || len(got.Regions) != 1 {
		t.Errorf("after a profile of it was resolved, the model is %+v", got)
	}
	for i := range 1100 {
		region := fmt.Sprintf("us-east-%d", i)
		if got := ask("huggingface.smollm2-135m-instruct-v1:0", region, account); !strings.Contains(got.ModelARN, ":"+region+":") || got.Regions[0] != region {
			t.Fatalf("in %s: %s", region, got.ModelARN)
		}
	}
}

func TestResolveAllocs(t *testing.T) {
	c := newCatalog(t, catalog.Options{StandIns: true})
	for _, id := range []string{"amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"} {
		n := testing.AllocsPerRun(100, func() {
			if _, err := c.Resolve(context.Background(), id, region, account); err != nil {
				t.Error(err)
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations for an id that is known", id, n)
		}
	}
}
