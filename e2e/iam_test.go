package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIAM runs clients/iam_cases.py against a server of its own: its cases look at
// all users and policies of the account.
func TestIAM(t *testing.T) {
	t.Parallel()
	runCases(t, startFor(t, options{}), "iam_cases.py")
}

// TestIAMByAWSCLI walks an operator's script: a user with a policy and a key, whose
// key then works, and all of it deleted again.
func TestIAMByAWSCLI(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	run := func(args ...string) {
		t.Helper()
		if out, err := awsCommand(t, srv, nil, args...).Output(); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), commandError(err), out)
		}
	}
	policy := filepath.Join(t.TempDir(), "policy.json")
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:ListFoundationModels"],"Resource":"arn:aws:bedrock:*::foundation-model/*"}]}`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("iam", "create-user", "--user-name", "cli", "--tags", "Key=team,Value=ml")
	var made struct{ Policy struct{ Arn string } }
	awsJSON(t, srv, &made, "iam", "create-policy", "--policy-name", "seed", "--policy-document", "file://"+policy)
	run("iam", "attach-user-policy", "--user-name", "cli", "--policy-arn", made.Policy.Arn)
	var got struct {
		PolicyVersion struct {
			Document struct{ Statement []struct{ Action []string } }
		}
	}
	awsJSON(t, srv, &got, "iam", "get-policy-version", "--policy-arn", made.Policy.Arn, "--version-id", "v1")
	if s := got.PolicyVersion.Document.Statement; len(s) != 1 || len(s[0].Action) != 2 {
		t.Errorf("the document came back as %+v", got)
	}
	var key struct {
		AccessKey struct{ AccessKeyId, SecretAccessKey string }
	}
	awsJSON(t, srv, &key, "iam", "create-access-key", "--user-name", "cli")
	user := []string{"AWS_ACCESS_KEY_ID=" + key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + key.AccessKey.SecretAccessKey}
	if out, err := awsCommand(t, srv, user, "bedrock", "list-foundation-models", "--query", "modelSummaries[0].modelId").Output(); err != nil {
		t.Errorf("list-foundation-models: %v\n%s", commandError(err), out)
	}
	body := []string{"bedrock-runtime", "invoke-model", "--model-id", claudeV2, "--body", `{"prompt":"\n\nHuman: Hi\n\nAssistant:","max_tokens_to_sample":4}`, filepath.Join(t.TempDir(), "out")}
	if out, err := awsCommand(t, srv, user, body...).Output(); err != nil {
		t.Errorf("invoke-model: %v\n%s", commandError(err), out)
	}
	awsFails(t, srv, "AccessDeniedException", user, "bedrock", "list-inference-profiles")
	awsFails(t, srv, "AccessDenied", user, "iam", "list-users")
	run("iam", "detach-user-policy", "--user-name", "cli", "--policy-arn", made.Policy.Arn)
	awsFails(t, srv, "AccessDeniedException", user, body...)
	run("iam", "delete-policy", "--policy-arn", made.Policy.Arn)
	run("iam", "delete-access-key", "--user-name", "cli", "--access-key-id", key.AccessKey.AccessKeyId)
	run("iam", "delete-user", "--user-name", "cli")
	awsFails(t, srv, "NoSuchEntity", nil, "iam", "get-user", "--user-name", "cli")
}
