package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// newAccount makes a second account of a server.
func newAccount(t *testing.T, srv *server, name string) (account, key, secret string) {
	t.Helper()
	var made struct {
		ID          string `json:"id"`
		AccessKeyID string `json:"access_key_id"`
		Secret      string `json:"secret"`
	}
	if err := json.Unmarshal(cliOutput(t, srv, "accounts", "create", name, "--json"), &made); err != nil {
		t.Fatal(err)
	}
	return made.ID, made.AccessKeyID, made.Secret
}

// TestResources runs clients/resource_cases.py: tags, resource policies, condition
// keys and access to models, in two accounts.
func TestResources(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	account, key, secret := newAccount(t, srv, "dev")
	cliOutput(t, srv, "objects", "mb", "s3://resources")
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "resource_cases.py", "E2E_DEV_ACCOUNT="+account, "E2E_DEV_KEY="+key, "E2E_DEV_SECRET="+secret,
		"E2E_BUCKET=s3://resources", "E2E_OUTCROP="+string(command))
}

// TestResourcesByAWSCLI tags a profile, puts a policy on a model and reads an offer
// with the AWS CLI.
func TestResourcesByAWSCLI(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	run := func(args ...string) {
		t.Helper()
		if out, err := awsCommand(t, srv, nil, append([]string{"bedrock"}, args...)...).Output(); err != nil {
			t.Fatalf("aws bedrock %s: %v\n%s", args[0], commandError(err), out)
		}
	}
	const model = "arn:aws:bedrock:us-east-1::foundation-model/" + titanText
	var made struct{ InferenceProfileArn string }
	awsJSON(t, srv, &made, "bedrock", "create-inference-profile", "--inference-profile-name", "cli", "--model-source", "copyFrom="+model, "--tags", "key=team,value=red")
	run("tag-resource", "--resource-arn", made.InferenceProfileArn, "--tags", "key=cost,value=7")
	run("untag-resource", "--resource-arn", made.InferenceProfileArn, "--tag-keys", "team")
	var tags struct{ Tags []struct{ Key, Value string } }
	awsJSON(t, srv, &tags, "bedrock", "list-tags-for-resource", "--resource-arn", made.InferenceProfileArn)
	if len(tags.Tags) != 1 || tags.Tags[0].Key != "cost" || tags.Tags[0].Value != "7" {
		t.Errorf("tags %+v", tags)
	}

	policy := filepath.Join(t.TempDir(), "policy.json")
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"bedrock:InvokeModel","Resource":"` + model + `"}]}`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("put-resource-policy", "--resource-arn", model, "--resource-policy", "file://"+policy)
	var got struct{ ResourcePolicy string }
	awsJSON(t, srv, &got, "bedrock", "get-resource-policy", "--resource-arn", model)
	if got.ResourcePolicy != text {
		t.Errorf("policy %s", got.ResourcePolicy)
	}
	ask := []string{"bedrock-runtime", "converse", "--model-id", titanText, "--messages", `[{"role":"user","content":[{"text":"Hi"}]}]`}
	awsFails(t, srv, "AccessDeniedException", nil, ask...) // an explicit deny binds the root too
	run("delete-resource-policy", "--resource-arn", model)
	if out, err := awsCommand(t, srv, nil, ask...).Output(); err != nil {
		t.Errorf("converse: %v\n%s", commandError(err), out)
	}

	var offers struct {
		Offers []struct {
			TermDetails struct{ LegalTerm struct{ Url string } }
		}
	}
	awsJSON(t, srv, &offers, "bedrock", "list-foundation-model-agreement-offers", "--model-id", claudeHaiku)
	if len(offers.Offers) != 1 || offers.Offers[0].TermDetails.LegalTerm.Url == "" {
		t.Errorf("offers %+v", offers)
	}
}

// TestTermsOfAModel lets a second account agree to a model with the AWS CLI, then
// starts the server with other terms: access is pending until they are accepted and
// approved as well. At last the account is approved automatically.
func TestTermsOfAModel(t *testing.T) {
	t.Parallel()
	const model = "mistral.mistral-7b-instruct-v0:2"
	srv := startFor(t, options{program: s.scripted})
	account, key, secret := newAccount(t, srv, "dev")
	dev := []string{"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret}
	asDev := func(into any, args ...string) {
		t.Helper()
		out, err := awsCommand(t, srv, dev, args...).Output()
		if err != nil {
			t.Fatalf("aws %s: %v", args[1], commandError(err))
		}
		if err := json.Unmarshal(out, into); err != nil && len(out) > 0 {
			t.Fatalf("aws %s printed %q: %v", args[1], out, err)
		}
	}
	agree := func() {
		t.Helper()
		var offers struct{ Offers []struct{ OfferToken string } }
		asDev(&offers, "bedrock", "list-foundation-model-agreement-offers", "--model-id", model)
		asDev(&struct{}{}, "bedrock", "create-foundation-model-agreement", "--model-id", model, "--offer-token", offers.Offers[0].OfferToken)
		cliOutput(t, srv, "models", "access", "approve", model, "--account", account)
	}
	status := func() string {
		t.Helper()
		var got struct{ AgreementAvailability struct{ Status string } }
		asDev(&got, "bedrock", "get-foundation-model-availability", "--model-id", model)
		return got.AgreementAvailability.Status
	}
	ask := []string{"bedrock-runtime", "converse", "--model-id", model, "--messages", `[{"role":"user","content":[{"text":"Hi"}]}]`}
	works := func() {
		t.Helper()
		if out, err := awsCommand(t, srv, dev, ask...).Output(); err != nil {
			t.Errorf("converse: %v\n%s", commandError(err), out)
		}
	}
	awsFails(t, srv, "AccessDeniedException", dev, ask...)
	agree()
	works() // the CLI of AWS starts more slowly than the server looks for changes

	if err := srv.stop(); err != nil {
		t.Fatal(err)
	}
	catalogue := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(catalogue, []byte("weights:\n  - id: smollm2-135m-instruct\n    acceptable_use: Not for secrets.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv = startFor(t, options{program: s.scripted, data: srv.data, config: "catalog: " + catalogue})
	if got := status(); got != "PENDING" {
		t.Errorf("after the terms have changed: %s", got)
	}
	awsFails(t, srv, "AccessDeniedException", dev, ask...)
	agree()
	works()
	var list []struct {
		Status        string `json:"status"`
		AcceptableUse string `json:"acceptable_use"`
		AcceptedBy    string `json:"accepted_by"`
		AcceptedAt    string `json:"accepted_at"`
		ApprovedBy    string `json:"approved_by"`
		Digest        string `json:"digest"`
	}
	if err := json.Unmarshal(cliOutput(t, srv, "models", "access", "list", "--account", account, "--json"), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Status != "AVAILABLE" || list[0].AcceptableUse != "Not for secrets." || list[0].AcceptedBy != "arn:aws:iam::"+account+":root" ||
		list[0].AcceptedAt == "" || list[0].ApprovedBy == "" || len(list[0].Digest) != 64 {
		t.Errorf("the agreement is kept as %+v", list)
	}

	cliOutput(t, srv, "models", "access", "end", model, "--account", account)
	awsFails(t, srv, "AccessDeniedException", dev, ask...)
	other := []string{"bedrock-runtime", "converse", "--model-id", claudeHaiku, "--messages", `[{"role":"user","content":[{"text":"Hi"}]}]`}
	awsFails(t, srv, "AccessDeniedException", dev, other...)
	cliOutput(t, srv, "models", "access", "mode", account, "automatic")
	if out, err := awsCommand(t, srv, dev, other...).Output(); err != nil {
		t.Errorf("an account that is approved automatically: %v\n%s", commandError(err), out)
	}
	if got := status(); got != "NOT_AVAILABLE" { // what was given up stays so
		t.Errorf("a model that was given up: %s", got)
	}
}
