package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestIdentity runs clients/identity_cases.py: what policies say, in whole scenes,
// in four accounts.
func TestIdentity(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	accounts := map[string][]string{}
	for _, name := range []string{"dev", "staging", "prod"} {
		account, key, secret := newAccount(t, srv, name)
		accounts[name] = []string{account, key, secret}
	}
	made, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "identity_cases.py", "ACCOUNTS="+string(made), "OUTCROP="+string(command))
}

// TestSeedPolicyByAWSCLI: the policy of the seed document, with the AWS CLI, first
// as it is and then narrowed to one model.
func TestSeedPolicyByAWSCLI(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	const seed = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:ListFoundationModels"],"Resource":"arn:aws:bedrock:*::foundation-model/%s"}]}`
	awsDo(t, srv, nil, "iam", "create-user", "--user-name", "seed")
	arn := awsDo(t, srv, nil, "iam", "create-policy", "--policy-name", "seed", "--policy-document", fmt.Sprintf(seed, "*"), "--query", "Policy.Arn", "--output", "text")
	arn = strings.TrimSpace(arn)
	awsDo(t, srv, nil, "iam", "attach-user-policy", "--user-name", "seed", "--policy-arn", arn)
	var key struct {
		AccessKey struct{ AccessKeyId, SecretAccessKey string }
	}
	awsJSON(t, srv, &key, "iam", "create-access-key", "--user-name", "seed")
	user := []string{"AWS_ACCESS_KEY_ID=" + key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + key.AccessKey.SecretAccessKey}
	out := filepath.Join(t.TempDir(), "out")
	invoke := func(model, body string) []string {
		return []string{"bedrock-runtime", "invoke-model", "--model-id", model, "--body", body, out}
	}
	claude := invoke(claudeV2, `{"prompt":"\n\nHuman: Hi\n\nAssistant:","max_tokens_to_sample":4}`)
	titan := invoke(titanText, `{"inputText":"Hi"}`)
	list := []string{"bedrock", "list-foundation-models", "--query", "length(modelSummaries)"}
	awsDo(t, srv, user, claude...)
	awsDo(t, srv, user, titan...)
	awsDo(t, srv, user, list...)
	for _, args := range [][]string{
		{"bedrock", "get-foundation-model", "--model-identifier", claudeV2},
		{"bedrock", "list-inference-profiles"},
		{"bedrock", "list-tags-for-resource", "--resource-arn", "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghij12"},
		{"bedrock-runtime", "list-async-invokes"},
	} {
		awsFails(t, srv, "AccessDeniedException", user, args...)
	}
	awsFails(t, srv, "AccessDenied", user, "iam", "get-user")

	awsDo(t, srv, nil, "iam", "create-policy-version", "--policy-arn", arn, "--policy-document", fmt.Sprintf(seed, claudeV2), "--set-as-default")
	awsDo(t, srv, user, claude...)
	if said := awsFails(t, srv, "AccessDeniedException", user, titan...); !strings.Contains(said, "foundation-model/"+titanText) {
		t.Errorf("it says %s", said)
	}
}
