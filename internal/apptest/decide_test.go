package apptest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

// asUser is the server as a user without any right sees it.
func asUser(t *testing.T, srv *apptest.Server, name string) regional {
	t.Helper()
	made := hostileUser(t, srv, name, false)
	other := *srv
	other.Key.ID, other.Key.Secret = made.AccessKeyID, secret.NewString(made.SecretAccessKey)
	return regional{Server: &other, t: t}
}

// TestDecisionBeforeExistence: who has no right to something gets the same answer
// whether it is there or not; who has it learns which.
func TestDecisionBeforeExistence(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	admin, nobody := regional{Server: srv, t: t}, asUser(t, srv, "nobody")
	const (
		own    = "arn:aws:bedrock:us-east-1:000000000000:"
		models = "arn:aws:bedrock:us-east-1::foundation-model/"
		haiku  = "anthropic.claude-3-haiku-20240307-v1:0"
		hello  = `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`
		count  = `{"input":{"converse":` + hello + `}}`
	)
	create := func(path, body, member string) string {
		status, _, answer := admin.ask(homeRegion, "bedrock", http.MethodPost, path, "", body)
		if status >= 300 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		_, arn, _ := strings.Cut(answer, `"`+member+`":"`)
		arn, _, _ = strings.Cut(arn, `"`)
		return arn
	}
	profile := create("/inference-profiles", `{"inferenceProfileName":"team","modelSource":{"copyFrom":"`+models+haiku+`"}}`, "inferenceProfileArn")
	throughput := create("/provisioned-model-throughput", `{"provisionedModelName":"my-model","modelId":"`+haiku+`","modelUnits":1,"tags":[{"key":"team","value":"research"}]}`, "provisionedModelArn")
	router := create("/prompt-routers", `{"promptRouterName":"two","fallbackModel":{"modelArn":"`+models+haiku+`"},"routingCriteria":{"responseQualityDifference":10},
		"models":[{"modelArn":"`+models+haiku+`"},{"modelArn":"`+models+`anthropic.claude-3-sonnet-20240229-v1:0"}]}`, "promptRouterArn")
	id := func(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

	// Of each kind, an id of something and one of nothing.
	ids := map[string][2]string{
		"model":              {haiku, "anthropic.nothing"},
		"size of a model":    {"anthropic.claude-v2:1:200k", "anthropic.nothing:1:200k"},
		"ARN of a model":     {models + haiku, models + "anthropic.nothing"},
		"system profile":     {"us." + haiku, "us.anthropic.nothing"},
		"ARN of one":         {own + "inference-profile/us." + haiku, own + "inference-profile/us.anthropic.nothing"},
		"profile":            {id(profile), "abcdefghij12"},
		"ARN of a profile":   {profile, own + "application-inference-profile/abcdefghij12"},
		"throughput":         {"my-model", "no-model"},
		"id of a throughput": {id(throughput), "abcdefghij12"},
		"ARN of one made":    {throughput, own + "provisioned-model/abcdefghij12"},
		"router":             {router, own + "prompt-router/abcdefghij12"},
		"default router":     {own + "default-prompt-router/anthropic.claude:1", own + "default-prompt-router/anthropic.nothing:1"},
	}
	all := []string{"model", "size of a model", "ARN of a model", "system profile", "ARN of one", "profile", "ARN of a profile", "throughput", "id of a throughput", "ARN of one made", "router", "default router"}
	for _, op := range []struct {
		service, method, path, body string // ID is the identifier
		kinds                       []string
	}{
		{"bedrock", http.MethodGet, "/foundation-models/ID", "", []string{"model", "size of a model", "ARN of a model"}},
		{"bedrock", http.MethodGet, "/inference-profiles/ID", "", []string{"system profile", "ARN of one", "profile", "ARN of a profile"}},
		{"bedrock", http.MethodDelete, "/inference-profiles/ID", "", []string{"system profile", "profile", "ARN of a profile"}},
		{"bedrock", http.MethodGet, "/provisioned-model-throughput/ID", "", []string{"throughput", "id of a throughput", "ARN of one made"}},
		{"bedrock", http.MethodPatch, "/provisioned-model-throughput/ID", `{"desiredProvisionedModelName":"new"}`, []string{"throughput", "id of a throughput"}},
		{"bedrock", http.MethodDelete, "/provisioned-model-throughput/ID", "", []string{"throughput", "id of a throughput"}},
		{"bedrock", http.MethodPost, "/provisioned-model-throughput", `{"provisionedModelName":"x","modelUnits":1,"modelId":"ID"}`, []string{"model", "size of a model", "ARN of a model"}},
		{"bedrock", http.MethodGet, "/prompt-routers/ID", "", []string{"router", "default router"}},
		{"bedrock", http.MethodDelete, "/prompt-routers/ID", "", []string{"router"}},
		{"bedrock", http.MethodGet, "/resource-policy/ID", "", []string{"ARN of a model", "ARN of one", "ARN of a profile", "ARN of one made"}},
		{"bedrock", http.MethodPost, "/listTagsForResource", `{"resourceARN":"ID"}`, []string{"ARN of a profile", "ARN of one made"}},
		{"bedrock", http.MethodGet, "/foundation-model-availability/ID", "", []string{"model"}},
		{"bedrock", http.MethodGet, "/list-foundation-model-agreement-offers/ID", "", []string{"model"}},
		{"bedrock", http.MethodPost, "/model/ID/converse", hello, all},
		{"bedrock", http.MethodPost, "/model/ID/converse-stream", hello, all},
		{"bedrock", http.MethodPost, "/model/ID/invoke", `{}`, all},
		{"bedrock", http.MethodPost, "/model/ID/invoke-with-response-stream", `{}`, all},
		{"bedrock", http.MethodPost, "/model/ID/count-tokens", count, all},
		{"bedrock", http.MethodPost, "/async-invoke", `{"modelId":"ID","modelInput":{},"outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://b/x"}}}`, all},
	} {
		for _, kind := range op.kinds {
			said := [2]string{}
			for i, v := range ids[kind] {
				path, body := strings.Replace(op.path, "ID", strings.ReplaceAll(strings.ReplaceAll(v, ":", "%3A"), "/", "%2F"), 1), strings.Replace(op.body, "ID", v, 1)
				status, code, answer := nobody.ask(homeRegion, op.service, op.method, path, "", body)
				if status != http.StatusForbidden || code != "AccessDeniedException" {
					t.Errorf("%s %s of a %s: %d %s %s", op.method, path, kind, status, code, answer)
				}
				said[i] = plain(answer, v)
				if i == 1 { // with the right
					status, code, answer := admin.ask(homeRegion, op.service, op.method, path, "", body)
					if status != http.StatusNotFound && status != http.StatusBadRequest {
						t.Errorf("%s %s of no %s, for who may: %d %s %s", op.method, path, kind, status, code, answer)
					}
				}
			}
			if said[0] != said[1] {
				t.Errorf("%s %s of a %s: the refusals differ:\n%s\n%s", op.method, op.path, kind, said[0], said[1])
			}
		}
	}
}

// TestDirectBeforeExistence is TestDecisionBeforeExistence for the providers' own
// APIs, whose bearer keys have the rights of a user.
func TestDirectBeforeExistence(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	admin := iam.NewFromConfig(srv.AWS(srv.Key))
	hostileUser(t, srv, "nobody", false)
	name := aws.String("nobody")
	if _, err := admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:CallWithBearerToken","Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateServiceSpecificCredential(t.Context(), &iam.CreateServiceSpecificCredentialInput{UserName: name, ServiceName: aws.String("bedrock.amazonaws.com")})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, model, key string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.Endpoint+path, strings.NewReader(
			`{"model":"`+model+`","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, plain(strings.Split(string(text), `"request_id"`)[0], model)
	}
	all := string(srv.NewKey(t, srv.Account, keys.Bearer).Secret.Reveal())
	none := *made.ServiceSpecificCredential.ServiceCredentialSecret
	for _, tc := range []struct{ path, there, missing string }{
		{"/anthropic/v1/messages", "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.nothing-v1:0"},
		{"/anthropic/v1/messages", "claude-3-haiku-20240307-v1:0", "nothing-v1:0"},
		{"/openai/v1/chat/completions", "openai.gpt-oss-20b-1:0", "openai.nothing-1:0"},
		{"/openai/v1/chat/completions", "gpt-oss-20b-1:0", "nothing-1:0"},
		{"/openai/v1/chat/completions", "amazon.titan-embed-text-v2:0", "amazon.nothing-v2:0"}, // holds no conversations
	} {
		status, yes := ask(tc.path, tc.there, none)
		if status != http.StatusForbidden {
			t.Errorf("%s of %s: %d %s", tc.path, tc.there, status, yes)
		}
		status, no := ask(tc.path, tc.missing, none)
		if status != http.StatusForbidden || yes != no {
			t.Errorf("%s of %s: %d, the refusals differ:\n%s\n%s", tc.path, tc.missing, status, yes, no)
		}
		if status, said := ask(tc.path, tc.missing, all); status != http.StatusBadRequest && status != http.StatusNotFound {
			t.Errorf("%s of %s, for who may: %d %s", tc.path, tc.missing, status, said)
		}
	}
}

// plain is a refusal without what may differ: the name that was asked for, and what
// is in the encoded reason.
func plain(answer, name string) string {
	said, reason, _ := strings.Cut(answer, ". Encoded authorization failure message: ")
	said = strings.ReplaceAll(said, name, "NAME")
	return said + strings.Repeat("x", len(reason))
}

// TestIdentitiesBeforeExistence is TestDecisionBeforeExistence for IAM.
func TestIdentitiesBeforeExistence(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	admin := iam.NewFromConfig(srv.AWS(srv.Key))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path, there := aws.String("/secret/place/"), aws.String("present")
	tags := []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("research")}}
	_, err := admin.CreateUser(t.Context(), &iam.CreateUserInput{UserName: there, Path: path, Tags: tags})
	must(err)
	_, err = admin.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: there, Path: path})
	must(err)
	_, err = admin.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: there, Path: path, Tags: tags, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	must(err)
	_, err = admin.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: there, Path: path})
	must(err)
	key, err := admin.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: there})
	must(err)

	made := hostileUser(t, srv, "nobody", false)
	config := srv.AWS(srv.Key)
	config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return made, nil })
	nobody := iam.NewFromConfig(config)
	for name, ask := range map[string]func(name *string) error{
		"GetUser": func(n *string) error {
			_, err := nobody.GetUser(t.Context(), &iam.GetUserInput{UserName: n})
			return err
		},
		"DeleteUser": func(n *string) error {
			_, err := nobody.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: n})
			return err
		},
		"GetGroup": func(n *string) error {
			_, err := nobody.GetGroup(t.Context(), &iam.GetGroupInput{GroupName: n})
			return err
		},
		"GetRole": func(n *string) error {
			_, err := nobody.GetRole(t.Context(), &iam.GetRoleInput{RoleName: n})
			return err
		},
		"GetInstanceProfile": func(n *string) error {
			_, err := nobody.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: n})
			return err
		},
	} {
		yes, no := ask(there), ask(aws.String("missing"))
		if yes == nil || no == nil || !strings.Contains(yes.Error(), "AccessDenied") || plain(stripped(yes), "present") != plain(stripped(no), "missing") {
			t.Errorf("%s: the refusals differ:\n%v\n%v", name, yes, no)
		}
	}
	used := func(id string) error {
		_, err := nobody.GetAccessKeyLastUsed(t.Context(), &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		return err
	}
	if yes, no := used(*key.AccessKey.AccessKeyId), used("AKIAAAAAAAAAAAAAAAAA"); yes == nil || no == nil || stripped(yes) != stripped(no) {
		t.Errorf("GetAccessKeyLastUsed: the refusals differ:\n%v\n%v", yes, no)
	}
}

// stripped is an error without the id of its request and the encoded reason.
func stripped(err error) string {
	_, said, _ := strings.Cut(err.Error(), "api error ")
	said, _, _ = strings.Cut(said, ". Encoded authorization failure message: ")
	return said
}
