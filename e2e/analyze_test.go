package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAccessAnalyzer runs clients/analyze_cases.py against a server of its own: its
// cases look at all roles and analyzers of the account.
func TestAccessAnalyzer(t *testing.T) {
	t.Parallel()
	runCases(t, startFor(t, options{}), "analyze_cases.py")
}

// TestAccessReviewByCLI goes the way of an operator who makes an application's role
// least privileged: it is found too wide, a policy is made of what it did, put in
// place by the AWS CLI, and then nothing is found any more.
func TestAccessReviewByCLI(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	if out := string(cliOutput(t, srv, "access", "analyze")); !strings.HasPrefix(out, "Nothing was found.") {
		t.Errorf("a new installation: %s", out)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file://" + path
	}
	run := func(env []string, args ...string) {
		t.Helper()
		if out, err := awsCommand(t, srv, env, args...).Output(); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), commandError(err), out)
		}
	}
	trust := write("trust.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["000000000000","444455556666"]},"Action":"sts:AssumeRole"}]}`)
	run(nil, "iam", "create-role", "--role-name", "app", "--assume-role-policy-document", trust)
	run(nil, "iam", "put-role-policy", "--role-name", "app", "--policy-name", "all", "--policy-document",
		write("all.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}]}`))
	type review struct {
		Findings []struct{ Type, Resource, Detail, Advice string }
	}
	found := func() (types []string) {
		t.Helper()
		var v review
		if err := json.Unmarshal(cliOutput(t, srv, "access", "analyze", "--json"), &v); err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Findings {
			if f.Resource != "arn:aws:iam::000000000000:role/app" {
				t.Errorf("found %+v", f)
			}
			types = append(types, f.Type)
		}
		return types
	}
	if got := found(); !slices.Equal(got, []string{"EXTERNAL_ACCESS", "WILDCARD"}) {
		t.Errorf("at first %v", got)
	}
	table := cliOutput(t, srv, "access", "analyze")
	for line := range strings.Lines(string(table)) {
		if len([]rune(line)) > 101 {
			t.Errorf("more than 100 columns: %s", line)
		}
	}
	t.Logf("outcrop access analyze\n%s", table)

	// An administrator, since the root may not assume a role.
	run(nil, "iam", "create-user", "--user-name", "admin")
	run(nil, "iam", "attach-user-policy", "--user-name", "admin", "--policy-arn", "arn:aws:iam::aws:policy/AdministratorAccess")
	var key struct {
		AccessKey struct{ AccessKeyId, SecretAccessKey string }
	}
	awsJSON(t, srv, &key, "iam", "create-access-key", "--user-name", "admin")
	admin := []string{"AWS_ACCESS_KEY_ID=" + key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + key.AccessKey.SecretAccessKey}
	var assumed struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string }
	}
	awsJSONAs(t, srv, admin, &assumed, "sts", "assume-role", "--role-arn", "arn:aws:iam::000000000000:role/app", "--role-session-name", "shift")
	c := assumed.Credentials
	app := []string{"AWS_ACCESS_KEY_ID=" + c.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey, "AWS_SESSION_TOKEN=" + c.SessionToken}
	invoke := []string{"bedrock-runtime", "invoke-model", "--model-id", claudeV2, "--body", `{"prompt":"\n\nHuman: Hi\n\nAssistant:","max_tokens_to_sample":4}`, filepath.Join(dir, "out")}
	run(app, invoke...)

	made := cliOutput(t, srv, "access", "policy", "arn:aws:iam::000000000000:role/app")
	if !strings.Contains(string(made), "foundation-model/"+claudeV2) || strings.Contains(string(made), "*") {
		t.Errorf("made %s", made)
	}
	run(nil, "iam", "put-role-policy", "--role-name", "app", "--policy-name", "all", "--policy-document", write("made.json", string(made)))
	run(nil, "iam", "update-assume-role-policy", "--role-name", "app", "--policy-document",
		write("own.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`))
	run(app, invoke...)
	awsFails(t, srv, "AccessDeniedException", app, "bedrock", "list-foundation-models")
	run(nil, "iam", "detach-user-policy", "--user-name", "admin", "--policy-arn", "arn:aws:iam::aws:policy/AdministratorAccess")
	if got := found(); len(got) != 0 {
		t.Errorf("in the end %v", got)
	}
}
