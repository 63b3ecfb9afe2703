package policy_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// keys are condition keys in a map, names in lower case.
type keys map[string][]string

func (k keys) Values(name string) ([]string, bool) {
	v, ok := k[name]
	return v, ok
}

// parse reads a policy that must be right.
func parse(t testing.TB, kind policy.Kind, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text), kind)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

func TestSeedPolicy(t *testing.T) {
	t.Parallel()
	const model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
	d := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Action":["bedrock:InvokeModel","bedrock:ListFoundationModels"],"Resource":"arn:aws:bedrock:*::foundation-model/*"}]}`)
	for _, c := range []struct {
		action, resource string
		want             policy.Effect
	}{
		{"bedrock:InvokeModel", model, policy.Allow},
		{"bedrock:invokemodel", model, policy.Allow},
		{"bedrock:InvokeModelWithResponseStream", model, policy.None},
		{"bedrock:ListFoundationModels", "*", policy.None},
		{"sts:InvokeModel", model, policy.None},
		{"bedrock:InvokeModel", "arn:aws:bedrock:us-east-1:000000000000:guardrail/abc", policy.None},
	} {
		if m := d.Evaluate(&policy.Request{Action: c.action, Resource: c.resource, Keys: keys{}}); m.Effect != c.want {
			t.Errorf("%s on %s: %v, want %v", c.action, c.resource, m.Effect, c.want)
		}
	}
}
