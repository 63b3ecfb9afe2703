package apptest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
)

// The two regions of these tests.
const (
	homeRegion  = "us-east-1"
	otherRegion = "eu-central-1"
)

// regional signs requests of one account for any region.
type regional struct {
	*apptest.Server
	t       *testing.T
	session string // token of temporary credentials; "" without
}

// ask makes a request and returns its status, the error's type and the answer.
func (r regional) ask(region, service, method, path, target, body string) (status int, code, answer string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.Endpoint+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
	}
	sum := sha256.Sum256([]byte(body))
	cred := aws.Credentials{AccessKeyID: r.Key.ID, SecretAccessKey: string(r.Key.Secret.Reveal()), SessionToken: r.session}
	if err := v4.NewSigner().SignHTTP(r.t.Context(), cred, req, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	code = resp.Header.Get("X-Amzn-Errortype")
	if code == "" && resp.StatusCode >= 300 {
		var e struct {
			Type string `json:"__type"`
		}
		_ = json.Unmarshal(b, &e) // another form has no type
		code = e.Type
	}
	return resp.StatusCode, code, string(b)
}

// made is one resource: how it is made, and every way to learn of it or to touch it.
// NAME and ID in paths and bodies are its ARN and what follows the last slash of it.
type made struct {
	service      string
	path, target string
	body         string // of its creation, with REGION for the region and TAGS for the place of tags
	name         string // member of the answer that names it
	list         [][3]string
	touch        [][3]string // method, path or target, body
	harmful      [][3]string // touches that would change or remove it
	used         [][2]string // calls that name it: path, body
}

const jsonPost = "POST"

// tagging are the operations on tags of a resource of Bedrock.
func tagging() [][3]string {
	return [][3]string{
		{jsonPost, "/listTagsForResource", `{"resourceARN":"NAME"}`},
		{jsonPost, "/tagResource", `{"resourceARN":"NAME","tags":[{"key":"a","value":"b"}]}`},
		{jsonPost, "/untagResource", `{"resourceARN":"NAME","tagKeys":["a"]}`},
	}
}

func calls() [][2]string {
	const body = `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`
	return [][2]string{{"/model/NAME/converse", body}, {"/model/NAME/converse-stream", body}, {"/model/NAME/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}`}}
}

// resourcesOfRegions are all kinds of resources that belong to a region.
func resourcesOfRegions() map[string]made {
	const model = "arn:aws:bedrock:REGION::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
	const second = "arn:aws:bedrock:REGION::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0"
	policy := fmt.Sprintf("%q", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"bedrock:InvokeModel","Resource":"*"}]}`)
	return map[string]made{
		"application inference profile": {
			service: "bedrock", path: "/inference-profiles", name: "inferenceProfileArn",
			body: `{"inferenceProfileName":"mine","modelSource":{"copyFrom":"` + model + `"}}`,
			list: [][3]string{{"GET", "/inference-profiles?type=APPLICATION", ""}},
			touch: append(tagging(), [][3]string{
				{"GET", "/inference-profiles/NAME", ""}, {"GET", "/inference-profiles/ID", ""},
				{"GET", "/resource-policy/NAME", ""}, {jsonPost, "/resource-policy", `{"resourceArn":"NAME","resourcePolicy":` + policy + `}`}, {"DELETE", "/resource-policy/NAME", ""},
			}...),
			harmful: [][3]string{{"DELETE", "/inference-profiles/NAME", ""}, {"DELETE", "/inference-profiles/ID", ""}},
			used:    append(calls(), [2]string{"/model/ID/converse", `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`}),
		},
		"prompt router": {
			service: "bedrock", path: "/prompt-routers", name: "promptRouterArn",
			body: `{"promptRouterName":"mine","models":[{"modelArn":"` + model + `"},{"modelArn":"` + second + `"}],"fallbackModel":{"modelArn":"` + model + `"},"routingCriteria":{"responseQualityDifference":1}}`,
			list: [][3]string{{"GET", "/prompt-routers?type=custom", ""}}, touch: append(tagging(), [3]string{"GET", "/prompt-routers/NAME", ""}),
			harmful: [][3]string{{"DELETE", "/prompt-routers/NAME", ""}}, used: calls(),
		},
		"provisioned throughput": {
			service: "bedrock", path: "/provisioned-model-throughput", name: "provisionedModelArn",
			body: `{"provisionedModelName":"mine","modelUnits":1,"modelId":"` + model + `"}`,
			list: [][3]string{{"GET", "/provisioned-model-throughputs", ""}},
			touch: append(tagging(), [][3]string{
				{"GET", "/provisioned-model-throughput/NAME", ""}, {"GET", "/provisioned-model-throughput/mine", ""},
				{"PATCH", "/provisioned-model-throughput/NAME", `{"desiredProvisionedModelName":"stolen"}`}, {"PATCH", "/provisioned-model-throughput/mine", `{"desiredProvisionedModelName":"stolen"}`},
			}...),
			harmful: [][3]string{{"DELETE", "/provisioned-model-throughput/NAME", ""}, {"DELETE", "/provisioned-model-throughput/mine", ""}},
			used:    append(calls(), [2]string{"/model/mine/converse", `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`}),
		},
		"asynchronous invocation": {
			service: "bedrock", path: "/async-invoke", name: "invocationArn",
			body: `{"modelId":"amazon.titan-embed-text-v2:0","modelInput":{"inputText":"Hi"},"outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://results/a"}}}`,
			list: [][3]string{{"GET", "/async-invoke", ""}}, touch: append(tagging(), [3]string{"GET", "/async-invoke/NAME", ""}),
		},
		"analyzer": {
			service: "access-analyzer", path: "/analyzer", name: "arn",
			body: `{"analyzerName":"mine","type":"ACCOUNT"}`,
			list: [][3]string{{"GET", "/analyzer", ""}},
			touch: [][3]string{
				{"GET", "/analyzer/mine", ""}, {jsonPost, "/findingv2", `{"analyzerArn":"NAME"}`}, {"GET", "/tags/NAME", ""}, {jsonPost, "/tags/NAME", `{"tags":{"a":"b"}}`}, {"DELETE", "/tags/NAME?tagKeys=a", ""},
			},
			harmful: [][3]string{{"DELETE", "/analyzer/mine", ""}},
		},
	}
}

// What was made in one region is not listed, read, tagged, changed, removed or used
// through another one of the same account.
func TestResidency(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()), apptest.Config(func(c *app.Config) { c.Regions = []string{homeRegion, otherRegion} }))
	srv.CreateBucket(t, "results")
	r := regional{Server: srv, t: t}
	for kind, m := range resourcesOfRegions() {
		creation := strings.ReplaceAll(m.body, "REGION", homeRegion)
		status, code, answer := r.ask(homeRegion, m.service, method(kind), m.path, m.target, creation)
		if status >= 300 {
			t.Errorf("%s: not made: %d %s %s", kind, status, code, answer)
			continue
		}
		var out map[string]any
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatal(err)
		}
		name, _ := out[m.name].(string)
		if !strings.Contains(name, ":"+homeRegion+":") {
			t.Errorf("%s: made %q", kind, name)
			continue
		}
		id := name[strings.LastIndexByte(name, '/')+1:]
		fill := func(s string, escape bool) string {
			n := name
			if escape {
				n = url.PathEscape(name)
			}
			return strings.ReplaceAll(strings.ReplaceAll(s, "NAME", n), "ID", id)
		}
		seen := func(region string) (all string) {
			for _, l := range m.list {
				status, code, answer := r.ask(region, m.service, l[0], l[1], "", l[2])
				if status != 200 {
					t.Errorf("%s: %s %s in %s: %d %s", kind, l[0], l[1], region, status, code)
				}
				all += answer
			}
			return all
		}
		if !strings.Contains(seen(homeRegion), id) {
			t.Errorf("%s: its own region does not list it", kind)
		}
		if got := seen(otherRegion); strings.Contains(got, id) || strings.Contains(got, homeRegion) {
			t.Errorf("%s: the other region lists %s", kind, got)
		}
		for _, x := range slices.Concat(m.touch, m.harmful) {
			status, code, answer := r.ask(otherRegion, m.service, x[0], fill(x[1], true), "", fill(x[2], false))
			if status < 400 || status >= 500 {
				t.Errorf("%s: %s %s in the other region: %d %s %s", kind, x[0], x[1], status, code, answer)
			}
		}
		for _, u := range m.used {
			if status, code, answer := r.ask(otherRegion, "bedrock", jsonPost, fill(u[0], true), "", u[1]); status < 400 || status >= 500 {
				t.Errorf("%s: %s in the other region: %d %s %s", kind, u[0], status, code, answer)
			}
		}
		// Nothing of all that has changed it, and in its own region it can be touched.
		if !strings.Contains(seen(homeRegion), id) {
			t.Errorf("%s: it is gone from its own region", kind)
		}
		for _, x := range m.touch {
			if strings.HasPrefix(x[1], "/resource-policy") { // there is none, or not for this type
				continue
			}
			if status, code, answer := r.ask(homeRegion, m.service, x[0], fill(x[1], true), "", fill(x[2], false)); status >= 300 && x[0] != "PATCH" {
				t.Errorf("%s: %s %s in its own region: %d %s %s", kind, x[0], x[1], status, code, answer)
			}
		}
		// The other region may have its own of the same name.
		creation = strings.ReplaceAll(m.body, "REGION", otherRegion)
		if status, code, answer := r.ask(otherRegion, m.service, method(kind), m.path, m.target, creation); status >= 300 {
			t.Errorf("%s: the same in the other region: %d %s %s", kind, status, code, answer)
		}
	}
}

// method is how a resource is made.
func method(kind string) string {
	if kind == "analyzer" {
		return "PUT"
	}
	return jsonPost
}

// Requests for higher quotas, and policies of models, belong to a region too.
func TestResidencyOfRequests(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()))
	r := regional{Server: srv, t: t}
	_, _, quotas := r.ask(homeRegion, "servicequotas", jsonPost, "/", "ServiceQuotasV20190624.ListServiceQuotas", `{"ServiceCode":"bedrock"}`)
	var list struct {
		Quotas []struct {
			QuotaCode string
			Value     float64
		}
	}
	if err := json.Unmarshal([]byte(quotas), &list); err != nil {
		t.Fatalf("%s, %v", quotas, err)
	}
	code := ""
	for _, q := range list.Quotas {
		if q.Value < 9e9 {
			code = q.QuotaCode
		}
	}
	status, _, answer := r.ask(homeRegion, "servicequotas", jsonPost, "/", "ServiceQuotasV20190624.RequestServiceQuotaIncrease", `{"ServiceCode":"bedrock","QuotaCode":"`+code+`","DesiredValue":9e9}`)
	var asked struct {
		RequestedQuota struct {
			ID string `json:"Id"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &asked); err != nil || status != 200 || asked.RequestedQuota.ID == "" {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	for region, there := range map[string]bool{homeRegion: true, otherRegion: false} {
		_, _, history := r.ask(region, "servicequotas", jsonPost, "/", "ServiceQuotasV20190624.ListRequestedServiceQuotaChangeHistory", `{}`)
		status, _, _ := r.ask(region, "servicequotas", jsonPost, "/", "ServiceQuotasV20190624.GetRequestedServiceQuotaChange", `{"RequestId":"`+asked.RequestedQuota.ID+`"}`)
		if strings.Contains(history, asked.RequestedQuota.ID) != there || (status == 200) != there {
			t.Errorf("%s: request told %v, asked for: %d", region, !there, status)
		}
	}

	const model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
	policy := `{"resourceArn":"` + model + `","resourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"000000000000\"},\"Action\":\"bedrock:InvokeModel\",\"Resource\":\"*\"}]}"}`
	if status, _, answer := r.ask(homeRegion, "bedrock", jsonPost, "/resource-policy", "", policy); status >= 300 {
		t.Fatalf("%d %s", status, answer)
	}
	for _, x := range [][3]string{{"GET", "/resource-policy/" + url.PathEscape(model), ""}, {"DELETE", "/resource-policy/" + url.PathEscape(model), ""}, {jsonPost, "/resource-policy", policy}} {
		if status, _, answer := r.ask(otherRegion, "bedrock", x[0], x[1], "", x[2]); status < 400 || status >= 500 {
			t.Errorf("%s %s in the other region: %d %s", x[0], x[1], status, answer)
		}
	}
	if status, _, answer := r.ask(homeRegion, "bedrock", "GET", "/resource-policy/"+url.PathEscape(model), "", ""); status != 200 {
		t.Errorf("the policy of its own region: %d %s", status, answer)
	}
}

// A client token is one of its region.
func TestResidencyOfTokens(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()))
	names := map[string]bool{}
	for _, region := range []string{homeRegion, otherRegion} {
		cfg := srv.AWS(srv.Key)
		cfg.Region = region
		made, err := bedrock.NewFromConfig(cfg).CreateInferenceProfile(t.Context(), profileOf(region))
		if err != nil || !strings.Contains(*made.InferenceProfileArn, region) {
			t.Fatal(err)
		}
		names[*made.InferenceProfileArn] = true
	}
	if len(names) != 2 {
		t.Errorf("one token made %v", names)
	}
}

// With a list of regions, calls of others are refused with the error of a wrong scope,
// which names those that are served; global services go on.
func TestServedRegions(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()), apptest.Config(func(c *app.Config) { c.Regions, c.Usage.Strict = []string{"eu-central-1", "us-west-2"}, true }))
	at := func(region string) aws.Config {
		cfg := srv.AWS(srv.Key)
		cfg.Region = region
		return cfg
	}
	list := func(region string) error {
		_, err := bedrock.NewFromConfig(at(region)).ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
		return err
	}
	for _, region := range []string{"eu-central-1", "us-west-2"} {
		if err := list(region); err != nil {
			t.Errorf("%s: %v", region, err)
		}
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		err := list(region)
		if errorCode(err) != "InvalidSignatureException" || !strings.Contains(err.Error(), "valid region, not '"+region+"'") || !strings.Contains(err.Error(), "eu-central-1, us-west-2") {
			t.Errorf("%s: %v", region, err)
		}
		_, err = bedrockruntime.NewFromConfig(at(region)).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("us.amazon.nova-lite-v1:0"), Messages: turn(easyPrompt)})
		if errorCode(err) != "InvalidSignatureException" {
			t.Errorf("Converse in %s: %v", region, err)
		}
	}
	if _, err := iam.NewFromConfig(at("us-east-1")).ListUsers(t.Context(), &iam.ListUsersInput{}); err != nil {
		t.Errorf("IAM, which clients sign for us-east-1: %v", err)
	}
	if _, err := sts.NewFromConfig(at("us-east-1")).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
		t.Errorf("STS: %v", err)
	}
	if _, err := sts.NewFromConfig(at("eu-west-1")).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); errorCode(err) != "SignatureDoesNotMatch" {
		t.Errorf("STS in a region that is not served: %v", err)
	}
	// A long-term bearer key names no region: the first one stands in.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.Endpoint+"/foundation-models/"+routeHaiku, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := srv.NewKey(t, srv.Account, keys.Bearer)
	req.Header.Set("Authorization", "Bearer "+string(key.Secret.Reveal()))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	records := srv.Usage(t, srv.Account, 100)
	if err != nil || resp.StatusCode != 200 || !slices.ContainsFunc(records, func(r meter.Record) bool {
		return r.Operation == "GetFoundationModel" && r.Region == "eu-central-1" && r.AccessKeyID == key.ID
	}) {
		t.Errorf("a bearer key: %d, %v", resp.StatusCode, err)
	}
	// A profile of a served region leads to served regions alone.
	p, err := bedrock.NewFromConfig(at("us-west-2")).GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: aws.String("us.amazon.nova-lite-v1:0")})
	if err != nil || len(p.Models) != 1 || !strings.Contains(*p.Models[0].ModelArn, "us-west-2") {
		t.Errorf("GetInferenceProfile: %+v, %v", p, err)
	}
}

// profileOf makes an application inference profile with one client token.
func profileOf(region string) *bedrock.CreateInferenceProfileInput {
	return &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("mine"), ClientRequestToken: aws.String("token-1"),
		ModelSource: &types.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:" + region + "::foundation-model/" + routeHaiku},
	}
}
