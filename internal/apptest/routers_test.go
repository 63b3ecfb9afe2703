package apptest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

const (
	routeHaiku  = "anthropic.claude-3-haiku-20240307-v1:0"
	routeSonnet = "anthropic.claude-3-5-sonnet-20240620-v1:0"
	easyPrompt  = "What is the capital of France?"
	hardPrompt  = "Prove step by step that there are infinitely many primes, and compare two proofs."
)

// talkative is an engine that always answers.
func talkative() *scripted.Engine {
	e := scripted.New()
	e.Script = func(engine.Target, *llm.Request) *scripted.Reply { return &scripted.Reply{Text: "a reply"} }
	return e
}

func turn(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

func errorCode(err error) string {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return e.ErrorCode()
}

func defaultRouter(account string) string {
	return "arn:aws:bedrock:us-east-1:" + account + ":default-prompt-router/anthropic.claude:1"
}

func throughProfile(account, id string) string {
	return "arn:aws:bedrock:us-east-1:" + account + ":inference-profile/us." + id
}

func TestPromptRouting(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()), apptest.Config(func(c *app.Config) { c.Usage.Strict = true }))
	rt, router := srv.Runtime(), defaultRouter(srv.Account)
	body := func(prompt string) []byte {
		return fmt.Appendf(nil, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":10,"messages":[{"role":"user","content":%q}]}`, prompt)
	}
	for prompt, model := range map[string]string{easyPrompt: routeHaiku, hardPrompt: routeSonnet} {
		want := throughProfile(srv.Account, model)
		metered := func(operation string) {
			t.Helper()
			r := srv.Usage(t, srv.Account, 1)[0]
			if r.Operation != operation || r.ModelID != want || r.OutputTokens == 0 {
				t.Errorf("%s is recorded as %s of %s with %d tokens, want %s", operation, r.Operation, r.ModelID, r.OutputTokens, want)
			}
		}
		whole, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &router, Messages: turn(prompt)})
		if err != nil {
			t.Fatal(err)
		}
		if whole.Trace == nil || whole.Trace.PromptRouter == nil || *whole.Trace.PromptRouter.InvokedModelId != want {
			t.Errorf("Converse: trace %+v, want %s", whole.Trace, want)
		}
		metered("Converse")

		stream, err := rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &router, Messages: turn(prompt)})
		if err != nil {
			t.Fatal(err)
		}
		told := ""
		for ev := range stream.GetStream().Events() {
			if m, ok := ev.(*types.ConverseStreamOutputMemberMetadata); ok && m.Value.Trace != nil {
				told = *m.Value.Trace.PromptRouter.InvokedModelId
			}
		}
		if err := stream.GetStream().Err(); err != nil || told != want {
			t.Errorf("ConverseStream: %q, want %s; %v", told, want, err)
		}
		metered("ConverseStream")

		for _, trace := range []types.Trace{"", types.TraceDisabled, types.TraceEnabled} {
			out, err := rt.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: &router, ContentType: aws.String("application/json"), Body: body(prompt), Trace: trace})
			if err != nil {
				t.Fatal(err)
			}
			var native struct {
				Content []struct{ Text string }
				Trace   *struct {
					PromptRouter struct{ InvokedModelID string } `json:"promptRouter"`
				} `json:"amazon-bedrock-trace"`
			}
			if err := json.Unmarshal(out.Body, &native); err != nil || native.Content[0].Text != "a reply" {
				t.Errorf("%s: %v", out.Body, err)
			}
			if (trace == types.TraceEnabled) != (native.Trace != nil) || native.Trace != nil && native.Trace.PromptRouter.InvokedModelID != want {
				t.Errorf("trace %q: %s", trace, out.Body)
			}
		}
		metered("InvokeModel")

		chunks, err := rt.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &router, ContentType: aws.String("application/json"), Body: body(prompt), Trace: types.TraceEnabled})
		if err != nil {
			t.Fatal(err)
		}
		var last []byte
		for ev := range chunks.GetStream().Events() {
			last = ev.(*types.ResponseStreamMemberChunk).Value.Bytes
			if !json.Valid(last) {
				t.Errorf("chunk %s", last)
			}
		}
		if err := chunks.GetStream().Err(); err != nil || !bytes.Contains(last, []byte(`"promptRouter":{"invokedModelId":"`+want+`"}`)) {
			t.Errorf("InvokeModelWithResponseStream: %s, %v", last, err)
		}
	}
	_, err := rt.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: &router, Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: turn(easyPrompt)}}})
	if errorCode(err) != "ValidationException" {
		t.Errorf("CountTokens through a router: %v", err)
	}
}

// The quality difference of a router that an account makes decides, and a router that
// is gone answers no more.
func TestOwnRouter(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()))
	fm := func(id string) string { return "arn:aws:bedrock:us-east-1::foundation-model/" + id }
	invoked := map[string]string{}
	for _, difference := range []float64{0, 100} {
		for _, fallback := range []string{routeHaiku, routeSonnet} {
			name := fmt.Sprintf("r%v %s", difference, fallback[17:23])
			name = strings.Map(func(c rune) rune {
				if c == '-' || c == '.' {
					return 'x'
				}
				return c
			}, name)
			made, err := srv.Bedrock().CreatePromptRouter(t.Context(), &bedrock.CreatePromptRouterInput{
				PromptRouterName: &name, Models: []bedrocktypes.PromptRouterTargetModel{{ModelArn: aws.String(fm(routeHaiku))}, {ModelArn: aws.String(fm(routeSonnet))}},
				FallbackModel: &bedrocktypes.PromptRouterTargetModel{ModelArn: aws.String(fm(fallback))}, RoutingCriteria: &bedrocktypes.RoutingCriteria{ResponseQualityDifference: &difference},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, prompt := range []string{easyPrompt, hardPrompt} {
				out, err := srv.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: made.PromptRouterArn, Messages: turn(prompt)})
				if err != nil {
					t.Fatal(err)
				}
				invoked[fmt.Sprintf("%v %v", difference, prompt == hardPrompt)] += strings.TrimPrefix(*out.Trace.PromptRouter.InvokedModelId, fm("")) + " "
			}
			if _, err := srv.Bedrock().DeletePromptRouter(t.Context(), &bedrock.DeletePromptRouterInput{PromptRouterArn: made.PromptRouterArn}); err != nil {
				t.Fatal(err)
			}
			if _, err := srv.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: made.PromptRouterArn, Messages: turn(easyPrompt)}); errorCode(err) != "ResourceNotFoundException" {
				t.Errorf("a router that is gone: %v", err)
			}
		}
	}
	for of, want := range map[string]string{"0 false": routeHaiku, "0 true": routeSonnet, "100 false": routeHaiku, "100 true": routeHaiku} {
		if invoked[of] != want+" "+want+" " {
			t.Errorf("difference and difficulty %s went to %s", of, invoked[of])
		}
	}
}

// Who calls through a router must be allowed to use the router and all its models; a
// policy may allow models through it alone.
func TestRouterPermissions(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(talkative()))
	router := defaultRouter(srv.Account)
	identities := iam.NewFromConfig(srv.AWS(srv.Key))
	user := func(name, statements string) *bedrockruntime.Client {
		t.Helper()
		_, err := identities.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
		if err == nil {
			_, err = identities.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)})
		}
		if err != nil {
			t.Fatal(err)
		}
		k, err := identities.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
		if err != nil {
			t.Fatal(err)
		}
		cfg := srv.AWS(srv.Key)
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
		return bedrockruntime.NewFromConfig(cfg)
	}
	allow := func(condition string, resources ...string) string {
		b, err := json.Marshal(resources)
		if err != nil {
			t.Fatal(err)
		}
		return `{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":` + string(b) + condition + `}`
	}
	haiku, sonnet := throughProfile(srv.Account, routeHaiku), throughProfile(srv.Account, routeSonnet)
	models := []string{"arn:aws:bedrock:*::foundation-model/" + routeHaiku, "arn:aws:bedrock:*::foundation-model/" + routeSonnet}
	only := `,"Condition":{"ArnEquals":{"bedrock:PromptRouterArn":"` + router + `"}}`
	for name, tc := range map[string]struct {
		policy string
		ok     bool
	}{
		"router":        {allow("", router), false},
		"models":        {allow("", append(models, haiku, sonnet)...), false},
		"one-model":     {allow("", router, haiku, models[0]), false},
		"no-profile":    {allow("", append(models, router)...), false},
		"everything":    {allow("", append(models, router, haiku, sonnet)...), true},
		"through-alone": {allow("", router) + "," + allow(only, append(models, haiku, sonnet)...), true},
	} {
		rt := user(name, tc.policy)
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &router, Messages: turn(easyPrompt)})
		if tc.ok && err != nil || !tc.ok && errorCode(err) != "AccessDeniedException" {
			t.Errorf("%s: %v", name, err)
		}
		if name == "through-alone" {
			if _, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &haiku, Messages: turn(easyPrompt)}); errorCode(err) != "AccessDeniedException" {
				t.Errorf("the model itself: %v", err)
			}
		}
	}
}

// warnings keeps the warnings of a log.
type warnings struct {
	slog.Handler
	all chan string
}

func (w warnings) Enabled(context.Context, slog.Level) bool { return true }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && strings.Contains(r.Message, "legacy") {
		w.all <- r.Message
	}
	return nil
}

// An alias works wherever a call names its model, and of a legacy model the log tells
// once.
func TestAliasAndLifecycle(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	err := os.WriteFile(file, []byte(`
aliases:
  - {id: my-chat, model: anthropic.claude-3-haiku-20240307-v1:0}
  - {id: acme.chat, model: anthropic.claude-3-haiku-20240307-v1:0}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	log := warnings{slog.DiscardHandler, make(chan string, 10)}
	srv := apptest.Start(t, apptest.Engine(talkative()), apptest.Log(slog.New(log)), apptest.Config(func(c *app.Config) { c.Catalog, c.Usage.Strict = file, true }))
	rt := srv.Runtime()
	ask := func(id string) error {
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &id, Messages: turn(easyPrompt)})
		return err
	}
	if err := ask("my-chat"); err != nil {
		t.Error(err)
	}
	if r := srv.Usage(t, srv.Account, 1)[0]; r.ModelID != "my-chat" || r.ServedBy == "" {
		t.Errorf("recorded as %s on %s", r.ModelID, r.ServedBy)
	}
	m, err := srv.Bedrock().GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("acme.chat")})
	if err != nil || *m.ModelDetails.ModelId != routeHaiku {
		t.Errorf("GetFoundationModel of an alias: %v", err)
	}
	for range 3 {
		if err := ask("anthropic.claude-instant-v1"); err != nil {
			t.Error(err)
		}
	}
	srv.Stop(t)
	close(log.all)
	n := 0
	for range log.all {
		n++
	}
	if n != 1 {
		t.Errorf("%d warnings of a legacy model, want 1", n)
	}
}

func TestEndOfLife(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(file, []byte("models:\n  - {id: anthropic.claude-v2, lifecycle: {end_of_life: 2024-01-01}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := apptest.Start(t, apptest.Engine(talkative()), apptest.Config(func(c *app.Config) { c.Catalog = file }))
	_, err := srv.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("anthropic.claude-v2"), Messages: turn(easyPrompt)})
	if errorCode(err) != "ResourceNotFoundException" || !strings.Contains(err.Error(), "reached the end of its life") {
		t.Errorf("a call: %v", err)
	}
	_, err = srv.Bedrock().GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("anthropic.claude-v2")})
	if errorCode(err) != "ResourceNotFoundException" {
		t.Errorf("GetFoundationModel: %v", err)
	}
	list, err := srv.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{ByProvider: aws.String("Anthropic")})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.ModelSummaries {
		if *m.ModelId == "anthropic.claude-v2" {
			t.Error("it is listed")
		}
	}
}
