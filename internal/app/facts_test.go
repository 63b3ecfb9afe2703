package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/weights"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

const (
	factsHaiku  = "anthropic.claude-3-haiku-20240307-v1:0"
	factsModel  = "arn:aws:bedrock:us-east-1::foundation-model/" + factsHaiku
	factsMine   = "111122223333"
	factsOther  = "444455556666"
	factsMyOwn  = "arn:aws:bedrock:us-east-1:" + factsMine + ":application-inference-profile/abcdefghij12"
	factsCopied = "arn:aws:bedrock:us-east-1:" + factsMine + ":application-inference-profile/abcdefghij34"
	factsShared = "arn:aws:bedrock:us-east-1:" + factsOther + ":application-inference-profile/abcdefghij56"
	factsGone   = "arn:aws:bedrock:us-east-1:" + factsOther + ":application-inference-profile/zzzzzzzzzz12"
	// Provisioned throughput with the name "units".
	factsUnits = "arn:aws:bedrock:us-east-1:" + factsMine + ":provisioned-model/abcdefghij12"
	// A router that everybody has, and one that an account made.
	factsDefault = "arn:aws:bedrock:us-east-1:" + factsMine + ":default-prompt-router/anthropic.claude:1"
	factsRouter  = "arn:aws:bedrock:us-east-1:" + factsMine + ":prompt-router/abcdefghij12"
	factsRun     = "arn:aws:bedrock:us-east-1:" + factsMine + ":async-invoke/abcdefghij12"
)

// factsCase is a request; the same operation may have several.
type factsCase struct {
	name string
	in   any // of the operation; of a direct one, the body
}

func factsCases() map[string][]factsCase {
	guard := &rt.GuardrailConfiguration{GuardrailIdentifier: new("gr1"), GuardrailVersion: new("3")}
	tags := []br.Tag{{Key: new("Team"), Value: new("a")}, {Key: new("stage"), Value: new("dev")}}
	models := func(in func(id *string) any) []factsCase {
		var out []factsCase
		for _, id := range []string{factsHaiku, "anthropic.claude-v2:1:200k", "us." + factsHaiku, factsMyOwn, factsCopied, factsShared, factsGone, factsDefault, factsUnits} {
			out = append(out, factsCase{id, in(&id)})
		}
		return out
	}
	return map[string][]factsCase{
		"bedrock ListFoundationModels":               {{"", &br.ListFoundationModelsInput{}}},
		"bedrock GetFoundationModel":                 {{"", &br.GetFoundationModelInput{ModelIdentifier: new(factsHaiku + ":48k")}}},
		"bedrock GetFoundationModelAvailability":     {{"", &br.GetFoundationModelAvailabilityInput{ModelId: new(factsHaiku)}}},
		"bedrock ListFoundationModelAgreementOffers": {{"", &br.ListFoundationModelAgreementOffersInput{ModelId: new(factsHaiku)}}},
		"bedrock CreateFoundationModelAgreement":     {{"", &br.CreateFoundationModelAgreementInput{ModelId: new(factsHaiku)}}},
		"bedrock DeleteFoundationModelAgreement":     {{"", &br.DeleteFoundationModelAgreementInput{ModelId: new(factsHaiku)}}},
		"bedrock GetUseCaseForModelAccess":           {{"", &br.GetUseCaseForModelAccessInput{}}},
		"bedrock PutUseCaseForModelAccess":           {{"", &br.PutUseCaseForModelAccessInput{}}},
		"bedrock ListInferenceProfiles":              {{"", &br.ListInferenceProfilesInput{}}},
		"bedrock GetInferenceProfile":                {{"system", &br.GetInferenceProfileInput{InferenceProfileIdentifier: new("us." + factsHaiku)}}, {"own", &br.GetInferenceProfileInput{InferenceProfileIdentifier: new("abcdefghij12")}}},
		"bedrock DeleteInferenceProfile":             {{"", &br.DeleteInferenceProfileInput{InferenceProfileIdentifier: new(factsMyOwn)}}},
		"bedrock CreateProvisionedModelThroughput": {
			{"", &br.CreateProvisionedModelThroughputInput{ModelId: new(factsHaiku)}},
			{"with tags", &br.CreateProvisionedModelThroughputInput{ModelId: new(factsModel), Tags: tags}},
		},
		"bedrock GetProvisionedModelThroughput":    {{"", &br.GetProvisionedModelThroughputInput{ProvisionedModelId: new(factsUnits)}}},
		"bedrock DeleteProvisionedModelThroughput": {{"a name", &br.DeleteProvisionedModelThroughputInput{ProvisionedModelId: new("units")}}},
		"bedrock ListProvisionedModelThroughputs":  {{"", &br.ListProvisionedModelThroughputsInput{}}},
		"bedrock UpdateProvisionedModelThroughput": {
			{"", &br.UpdateProvisionedModelThroughputInput{ProvisionedModelId: new(factsUnits), DesiredProvisionedModelName: new("b")}},
			{"another model", &br.UpdateProvisionedModelThroughputInput{ProvisionedModelId: new("units"), DesiredModelId: new(factsModel)}},
		},
		"bedrock ListPromptRouters":  {{"", &br.ListPromptRoutersInput{}}},
		"bedrock GetPromptRouter":    {{"default", &br.GetPromptRouterInput{PromptRouterArn: new(factsDefault)}}, {"own", &br.GetPromptRouterInput{PromptRouterArn: new(factsRouter)}}},
		"bedrock DeletePromptRouter": {{"", &br.DeletePromptRouterInput{PromptRouterArn: new(factsRouter)}}},
		"bedrock CreatePromptRouter": {
			{"", &br.CreatePromptRouterInput{Models: []br.PromptRouterTargetModel{{ModelArn: new(factsModel)}, {ModelArn: new(factsMyOwn)}}}},
			{"with tags", &br.CreatePromptRouterInput{Tags: tags, Models: []br.PromptRouterTargetModel{{ModelArn: new(factsModel)}, {ModelArn: new(factsMyOwn)}}}},
		},
		"bedrock CreateInferenceProfile": {
			{"", &br.CreateInferenceProfileInput{ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(factsModel)}}},
			{"with tags", &br.CreateInferenceProfileInput{Tags: tags, ModelSource: &br.InferenceProfileModelSource{CopyFrom: new(factsModel)}}},
		},
		"bedrock TagResource":          {{"", &br.TagResourceInput{ResourceARN: new(factsMyOwn), Tags: tags}}},
		"bedrock UntagResource":        {{"", &br.UntagResourceInput{ResourceARN: new(factsRun), TagKeys: []string{"Team", "stage"}}}},
		"bedrock ListTagsForResource":  {{"", &br.ListTagsForResourceInput{ResourceARN: new(factsMyOwn)}}, {"a name", &br.ListTagsForResourceInput{ResourceARN: new("my-provisioned-throughput")}}},
		"bedrock PutResourcePolicy":    {{"", &br.PutResourcePolicyInput{ResourceArn: new(factsModel + ":48k")}}, {"a profile", &br.PutResourcePolicyInput{ResourceArn: new(factsMyOwn)}}},
		"bedrock GetResourcePolicy":    {{"", &br.GetResourcePolicyInput{ResourceArn: new(factsModel)}}},
		"bedrock DeleteResourcePolicy": {{"", &br.DeleteResourcePolicyInput{ResourceArn: new(factsModel)}}},

		"bedrock-runtime InvokeModel": append(models(func(id *string) any { return &rt.InvokeModelInput{ModelId: id} }),
			factsCase{"with a guardrail and a tier", &rt.InvokeModelInput{ModelId: new(factsHaiku), GuardrailIdentifier: new("gr1"), GuardrailVersion: new("DRAFT"), ServiceTier: new(rt.ServiceTierTypeFlex)}}),
		"bedrock-runtime InvokeModelWithResponseStream": append(models(func(id *string) any { return &rt.InvokeModelWithResponseStreamInput{ModelId: id} }),
			factsCase{"with a guardrail of an ARN", &rt.InvokeModelWithResponseStreamInput{
				ModelId: new("us." + factsHaiku), GuardrailIdentifier: new("arn:aws:bedrock:us-east-1:" + factsOther + ":guardrail/gr1"), GuardrailVersion: new("1"), ServiceTier: new(rt.ServiceTierTypePriority),
			}}),
		"bedrock-runtime Converse": append(models(func(id *string) any { return &rt.ConverseInput{ModelId: id} }),
			factsCase{"with a guardrail and a tier", &rt.ConverseInput{ModelId: new(factsHaiku), GuardrailConfig: guard, ServiceTier: &rt.ServiceTier{Type: new(rt.ServiceTierTypeReserved)}}},
			factsCase{"with an empty guardrail", &rt.ConverseInput{ModelId: new(factsHaiku), GuardrailConfig: &rt.GuardrailConfiguration{GuardrailIdentifier: new("")}}}),
		"bedrock-runtime ConverseStream": append(models(func(id *string) any { return &rt.ConverseStreamInput{ModelId: id} }),
			factsCase{"with a guardrail and a tier", &rt.ConverseStreamInput{
				ModelId: new(factsHaiku), ServiceTier: &rt.ServiceTier{Type: new(rt.ServiceTierTypeDefault)},
				GuardrailConfig: &rt.GuardrailStreamConfiguration{GuardrailIdentifier: new("gr1")},
			}}),
		"bedrock-runtime CountTokens":                        models(func(id *string) any { return &rt.CountTokensInput{ModelId: id} }),
		"bedrock-runtime InvokeModelWithBidirectionalStream": models(func(id *string) any { return &rt.InvokeModelWithBidirectionalStreamInput{ModelId: id} }),
		"bedrock-runtime StartAsyncInvoke": append(models(func(id *string) any { return &rt.StartAsyncInvokeInput{ModelId: id} }),
			factsCase{"with tags", &rt.StartAsyncInvokeInput{ModelId: new(factsHaiku), Tags: []rt.Tag{{Key: new("Team"), Value: new("a")}}}}),
		"bedrock-runtime GetAsyncInvoke":   {{"", &rt.GetAsyncInvokeInput{InvocationArn: new(factsRun)}}},
		"bedrock-runtime ListAsyncInvokes": {{"", &rt.ListAsyncInvokesInput{}}},

		"direct ChatCompletions": {
			{"", `{"model":"` + factsHaiku + `","messages":[]}`},
			{"a stream of a profile with a tier", `{"model":"us.` + factsHaiku + `","stream":true,"service_tier":"flex","messages":[]}`},
			{"another account's profile", `{"model":"` + factsGone + `","service_tier":"auto","messages":[]}`},
		},
		"direct ListModels": {{"", ""}},
		"direct Messages":   {{"", `{"model":"` + factsMyOwn + `","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`}},
	}
}

// writeFacts writes what is decided over for one request.
func writeFacts(b *strings.Builder, title, action string, c *call.Call, resources []string) {
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	fmt.Fprintf(b, "%s\n  %s\n", title, action)
	for _, r := range resources {
		fmt.Fprintf(b, "    on %s\n", r)
	}
	keys := func(indent string, m map[string][]string) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(b, "%sif %s = %s\n", indent, k, strings.Join(m[k], ", "))
		}
	}
	for _, n := range c.Needs {
		fmt.Fprintf(b, "  %s\n", n.Action)
		for _, r := range n.Resources {
			fmt.Fprintf(b, "    on %s\n", r)
		}
		keys("    ", n.Keys)
	}
	keys("  ", c.Keys)
	b.WriteByte('\n')
}

// TestFacts shows what every operation of Bedrock is decided over: actions,
// resources, further needs and condition keys.
func TestFacts(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := New(ctx, Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil, func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
		return scripted.New(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // it never ran
	for _, p := range []profile.Profile{
		{Account: factsMine, ID: "abcdefghij12", Name: "one", ModelSource: factsModel},
		{Account: factsMine, ID: "abcdefghij34", Name: "two", ModelSource: "arn:aws:bedrock:us-east-1:" + factsMine + ":inference-profile/us." + factsHaiku},
		{Account: factsOther, ID: "abcdefghij56", Name: "one", ModelSource: factsModel},
	} {
		p.Region, p.ModelARNs, p.Created, p.Updated = "us-east-1", []string{factsModel}, time.Now(), time.Now()
		if err := s.state.store.PutProfile(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	units := provision.Throughput{Name: "units", Units: 1, Model: factsHaiku, Desired: factsHaiku, Status: provision.InService}
	stored, err := record.Put(record.Key{Account: factsMine, Region: "us-east-1", Kind: provision.Kind, Name: "abcdefghij12"}, record.Absent, &units)
	if err == nil {
		err = s.state.store.ApplyRecords(ctx, time.Now(), stored)
	}
	if err == nil {
		err = s.state.provisioned.Follow(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	newCall := func() *call.Call {
		return &call.Call{Region: "us-east-1", Partition: "aws", Principal: call.Principal{Account: factsMine}}
	}
	var b strings.Builder
	cases := factsCases()
	take := func(name string) []factsCase {
		cs := cases[name]
		if len(cs) == 0 {
			t.Errorf("%s is bound and has no case here", name)
		}
		delete(cases, name)
		return cs
	}
	title := func(name, what string) string { return strings.TrimSuffix(name+": "+what, ": ") }
	for _, r := range s.routes(agreement.Gate{Agreements: s.agreements}) {
		if r.Service != &br.Model && r.Service != &rt.Model {
			continue
		}
		name := r.Service.Name + " " + r.Operation.Name
		for _, tc := range take(name) {
			c := newCall()
			resources, err := factsOf(ctx, &r, c, tc.in)
			if err != nil {
				t.Errorf("%s: %v", title(name, tc.name), err)
			}
			writeFacts(&b, title(name, tc.name), r.Operation.Action, c, resources)
		}
	}
	for _, d := range directRoutes(s.state.catalog, agreement.Gate{Agreements: s.agreements}) {
		name := "direct " + d.Operation
		for _, tc := range take(name) {
			c := newCall()
			dc, err := d.Open(ctx, c, []byte(tc.in.(string)))
			if err != nil {
				t.Errorf("%s: %v", title(name, tc.name), err)
			}
			writeFacts(&b, title(name, tc.name), dc.Action, c, dc.Resources)
		}
	}
	for name := range cases {
		t.Errorf("%s is not bound any more", name)
	}
	path := filepath.Join("testdata", "facts.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("what is decided over has changed: go test ./internal/app -run Facts -update\n%s", b.String())
	}
}

func factsOf(ctx context.Context, r *service.Route, c *call.Call, in any) ([]string, error) {
	if r.Resources == nil {
		return nil, nil
	}
	return r.Resources(ctx, c, in)
}
