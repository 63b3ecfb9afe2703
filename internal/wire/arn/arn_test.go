package arn_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

const account = "111122223333"

func TestParse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1",
		"arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:guardrail/abc",
		"arn:aws-cn:s3:::bucket/key",
		"arn:aws:iam::aws:policy/AmazonBedrockFullAccess",
		"arn:aws:iam::000000000000:root",
	} {
		a, err := arn.Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
		}
		if a.String() != s {
			t.Errorf("Parse(%q).String() = %q", s, a)
		}
	}
	for _, s := range []string{
		"", "arn", "arn:aws", "arn:aws:bedrock:us-east-1:", "arn:aws:bedrock:us-east-1::",
		"ARN:aws:bedrock:us-east-1::x", "arn:gcp:bedrock:us-east-1::x", "arn:aws::us-east-1::x",
		"arn:aws:bedrock:us-east::x", "arn:aws:bedrock:us-gov-west-1::x", "arn:aws-us-gov:bedrock:us-east-1::x",
		"arn:aws:bedrock:us-east-1:1111:x", "arn:aws:bedrock:us-east-1:11112222333a:x",
		"arn:aws:bedrock:us-east-1::a b", "arn:aws:bedrock:us-east-1::a\x00b", "arn:aws:bedrock:us-east-1::ä",
		"arn:aws:bedrock:us-east-1::" + strings.Repeat("x", 2048),
	} {
		if a, err := arn.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", s, a)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	kind, name := arn.ARN{Resource: "custom-model/amazon.titan-text-lite-v1/abcdefghijkl"}.Split()
	if kind != "custom-model" || name != "amazon.titan-text-lite-v1/abcdefghijkl" {
		t.Errorf("Split = %q, %q", kind, name)
	}
	if kind, name = (arn.ARN{Resource: "root"}).Split(); kind != "root" || name != "" {
		t.Errorf("Split without slash = %q, %q", kind, name)
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	for region, partition := range map[string]string{
		"us-east-1": "aws", "us-west-2": "aws", "eu-central-1": "aws", "ap-southeast-7": "aws", "ap-northeast-3": "aws",
		"ca-west-1": "aws", "me-south-1": "aws", "af-south-1": "aws", "il-central-1": "aws", "mx-central-1": "aws",
		"sa-east-1": "aws", "us-gov-east-1": "aws-us-gov", "us-gov-west-1": "aws-us-gov",
		"cn-north-1": "aws-cn", "cn-northwest-1": "aws-cn",
	} {
		if !arn.ValidRegion(region) {
			t.Errorf("ValidRegion(%q) = false", region)
		}
		if got := arn.Partition(region); got != partition {
			t.Errorf("Partition(%q) = %q, want %q", region, got, partition)
		}
	}
	for _, s := range []string{"", "us", "us-east", "us-east-0", "us-east-01", "us-east-100", "us-east-1a", "US-EAST-1", "us-up-1", "usa-east-1", "us-iso-east-1", "-east-1", "us--1", "local", "us-east-1 ", "us-gov-gov-west-1"} {
		if arn.ValidRegion(s) {
			t.Errorf("ValidRegion(%q) = true", s)
		}
	}
}

func TestParseModel(t *testing.T) {
	t.Parallel()
	const home = "arn:aws:bedrock:us-east-1:" + account + ":"
	for _, c := range []struct {
		in   string
		kind arn.Kind
		geo  string
		id   string
	}{
		{"anthropic.claude-v2", arn.KindFoundationModel, "", "anthropic.claude-v2"},
		{"anthropic.claude-v2:1:200k", arn.KindFoundationModel, "", "anthropic.claude-v2:1:200k"},
		{"sentence-transformers.all-minilm-l6-v2-v1:0", arn.KindFoundationModel, "", "sentence-transformers.all-minilm-l6-v2-v1:0"},
		{"us.deepseek.r1-v1:0", arn.KindSystemProfile, "us", "deepseek.r1-v1:0"},
		{"us-gov.anthropic.claude-3-haiku-20240307-v1:0", arn.KindSystemProfile, "us-gov", "anthropic.claude-3-haiku-20240307-v1:0"},
		{"global.anthropic.claude-sonnet-4-6", arn.KindSystemProfile, "global", "anthropic.claude-sonnet-4-6"},
		{"us.model", arn.KindFoundationModel, "", "us.model"},
		{"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", arn.KindFoundationModel, "", "amazon.nova-lite-v1:0"},
		{home + "inference-profile/eu.amazon.nova-lite-v1:0", arn.KindSystemProfile, "eu", "amazon.nova-lite-v1:0"},
		{home + "application-inference-profile/abcdef012345", arn.KindApplicationProfile, "", "abcdef012345"},
		{"abcdef012345", arn.KindApplicationProfile, "", "abcdef012345"},
		{home + "provisioned-model/abcdef012345", arn.KindProvisionedModel, "", "abcdef012345"},
		{"My_Provisioned-name", arn.KindProvisionedName, "", "My_Provisioned-name"},
		{home + "custom-model/amazon.titan-text-lite-v1:0:4k/abcdef012345", arn.KindCustomModel, "", "amazon.titan-text-lite-v1:0:4k/abcdef012345"},
		{home + "custom-model/imported/abcdef012345", arn.KindCustomModel, "", "imported/abcdef012345"},
		{home + "custom-model-deployment/abcdef012345", arn.KindCustomModelDeployment, "", "abcdef012345"},
		{home + "imported-model/abcdef012345", arn.KindImportedModel, "", "abcdef012345"},
		{home + "prompt/ABCDEF0123", arn.KindPrompt, "", "ABCDEF0123"},
		{home + "prompt/ABCDEF0123:12345", arn.KindPrompt, "", "ABCDEF0123:12345"},
		{home + "prompt-router/abcdef012345", arn.KindPromptRouter, "", "abcdef012345"},
		{home + "default-prompt-router/anthropic.claude:1", arn.KindDefaultPromptRouter, "", "anthropic.claude:1"},
		{"arn:aws:sagemaker:us-east-1:" + account + ":endpoint/My-endpoint", arn.KindSageMakerEndpoint, "", "My-endpoint"},
	} {
		m, err := arn.ParseModel(c.in)
		if err != nil || m.Kind != c.kind || m.Geo != c.geo || m.ID != c.id {
			t.Errorf("ParseModel(%q) = %+v, %v", c.in, m, err)
		}
		if m.IsARN() != strings.HasPrefix(c.in, "arn:") || !strings.HasSuffix(c.in, m.Name()) {
			t.Errorf("ParseModel(%q): IsARN %v, Name %q", c.in, m.IsARN(), m.Name())
		}
		if m.Kind.String() == "model" {
			t.Errorf("kind %d has no words", m.Kind)
		}
	}
	for name, s := range map[string]string{
		"empty": "", "space": "anthropic claude", "upper case": "Anthropic.claude-v2", "leading dot": ".claude",
		"trailing dot": "anthropic.", "double dot": "anthropic..claude", "colon first": "anthropic:claude.v2", "three colons": "a.b:1:2:3",
		"trailing colon": "anthropic.claude-v2:", "part of 64": "a." + strings.Repeat("b", 64), "over 140": strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60),
		"double hyphen": "a--b-", "slash": "a.b/c", "NUL": "anthropic.claude\x00", "not ASCII": "anthropic.clаude-v2",
		"no region":                   "arn:aws:bedrock:::foundation-model/a.b",
		"account on foundation model": home + "foundation-model/anthropic.claude-v2",
		"no account on profile":       "arn:aws:bedrock:us-east-1::inference-profile/us.amazon.nova-lite-v1:0",
		"profile without geography":   home + "inference-profile/amazon.nova-lite-v1:0",
		"short suffix":                home + "provisioned-model/abc",
		"custom without suffix":       home + "custom-model/amazon.titan-text-lite-v1",
		"prompt version word":         home + "prompt/ABCDEF0123:DRAFT",
		"guardrail":                   home + "guardrail/abcdef012345",
		"other service":               "arn:aws:s3:us-east-1:" + account + ":foundation-model/a.b",
		"sagemaker model":             "arn:aws:sagemaker:us-east-1:" + account + ":model/a",
	} {
		if m, err := arn.ParseModel(s); err == nil {
			t.Errorf("%s: ParseModel(%q) = %+v, want an error", name, s, m)
		}
	}
}

func TestGeographies(t *testing.T) {
	t.Parallel()
	for _, g := range arn.Geographies() {
		if !arn.ValidGeography(g) {
			t.Errorf("%q is listed but not valid", g)
		}
	}
	if arn.ValidGeography("anthropic") {
		t.Error("a provider passes as geography")
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"arn:aws:bedrock:us-east-1::foundation-model/a.b":                                        arn.FoundationModel("us-east-1", "a.b"),
		"arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:inference-profile/us-gov.a.b":         arn.InferenceProfile("us-gov-west-1", account, "us-gov.a.b"),
		"arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abcdef012345":      arn.ApplicationInferenceProfile("eu-west-1", account, "abcdef012345"),
		"arn:aws-cn:bedrock:cn-north-1:111122223333:prompt/" + strings.Repeat("A", 10) + ":1234": arn.Bedrock("cn-north-1", account, "prompt", "AAAAAAAAAA:1234"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	const haiku = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku"
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", haiku, true},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"arn:aws:bedrock:*::foundation-model/*", haiku, true},
		{"arn:aws:bedrock:*::foundation-model/anthropic.*", haiku, true},
		{"arn:aws:bedrock:*::foundation-model/amazon.*", haiku, false},
		{"arn:aws:bedrock:us-????-1::foundation-model/*haiku", haiku, true},
		{"arn:aws:bedrock:us-?-1::foundation-model/*", haiku, false},
		{"*haik", haiku, false},
		{"a*b*c", "aXXbYYc", true},
		{"a*b*c", "aXXbYY", false},
		{"a**", "a", true},
		{"a?", "a", false},
		{"A", "a", false},
		{strings.Repeat("a*", 60) + "b", strings.Repeat("a", 200), false},
	} {
		if got := arn.Match(c.pattern, c.s); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func FuzzParseModel(f *testing.F) {
	for _, s := range []string{
		"anthropic.claude-v2:1:200k", "us.amazon.nova-lite-v1:0", "abcdef012345",
		"arn:aws:bedrock:us-east-1::foundation-model/a.b", "arn:aws:sagemaker:us-east-1:111122223333:endpoint/x",
		"arn:aws:bedrock:us-east-1:111122223333:custom-model/imported/abcdef012345", "a-_b",
	} {
		f.Add(s)
	}
	id := regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,3}(:[a-z0-9-]{1,63}){0,2}$`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := arn.ValidModelID(s), len(s) <= 140 && id.MatchString(s); got != want {
			t.Fatalf("ValidModelID(%q) = %v, the pattern says %v", s, got, want)
		}
		m, err := arn.ParseModel(s)
		if err != nil {
			return
		}
		if m.Kind == 0 || !strings.HasSuffix(s, m.Name()) {
			t.Fatalf("ParseModel(%q) = %+v", s, m)
		}
		if m.IsARN() {
			if m.ARN.String() != s {
				t.Fatalf("%q is written back as %q", s, m.ARN)
			}
			if !arn.ValidRegion(m.ARN.Region) || arn.Partition(m.ARN.Region) != m.ARN.Partition {
				t.Fatalf("%q has region %q of partition %q", s, m.ARN.Region, m.ARN.Partition)
			}
		}
		if m.Geo != "" && !arn.ValidGeography(m.Geo) {
			t.Fatalf("%q has geography %q", s, m.Geo)
		}
	})
}

func BenchmarkParseModel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := arn.ParseModel("arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0"); err != nil {
			b.Fatal(err)
		}
	}
}
