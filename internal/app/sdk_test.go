package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	brtypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	haiku     = "anthropic.claude-3-haiku-20240307-v1:0"
	claude2   = "anthropic.claude-v2"
	titanText = "amazon.titan-text-express-v1"
	embedG1   = "amazon.titan-embed-text-v1"
	embedV2   = "amazon.titan-embed-text-v2:0"
	haikuARN  = "arn:aws:bedrock:us-east-1::foundation-model/" + haiku
)

func said(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

func replyText(t *testing.T, out *bedrockruntime.ConverseOutput) string {
	t.Helper()
	m, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok || len(m.Value.Content) != 1 {
		t.Fatalf("output %+v", out.Output)
	}
	return m.Value.Content[0].(*types.ContentBlockMemberText).Value
}

// wantCode checks the exception that an SDK made of an error.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var ae smithy.APIError
	if !errors.As(err, &ae) || ae.ErrorCode() != code || ae.ErrorMessage() == "" {
		t.Errorf("%s: %v, want %s with a message", what, err, code)
	}
}

func TestListFoundationModels(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t).Bedrock()
	for name, f := range map[string]struct {
		in   bedrock.ListFoundationModelsInput
		want string
		not  string
	}{
		"all":           {bedrock.ListFoundationModelsInput{}, haiku, "x"},
		"provider":      {bedrock.ListFoundationModelsInput{ByProvider: new("anthropic")}, haiku, titanText},
		"output":        {bedrock.ListFoundationModelsInput{ByOutputModality: brtypes.ModelModalityEmbedding}, embedG1, haiku},
		"inference":     {bedrock.ListFoundationModelsInput{ByInferenceType: brtypes.InferenceTypeOnDemand}, haiku, "x"},
		"customization": {bedrock.ListFoundationModelsInput{ByCustomizationType: brtypes.ModelCustomizationFineTuning}, titanText, embedG1},
	} {
		out, err := c.ListFoundationModels(t.Context(), &f.in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var ids []string
		for _, m := range out.ModelSummaries {
			ids = append(ids, *m.ModelId)
		}
		if !slices.Contains(ids, f.want) || slices.Contains(ids, f.not) {
			t.Errorf("%s: %v", name, ids)
		}
	}
	_, err := c.ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{ByOutputModality: "SMELL"})
	wantCode(t, "unknown modality", err, "ValidationException")
}

func TestGetFoundationModel(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t).Bedrock()
	for _, id := range []string{haiku, haikuARN} {
		out, err := c.GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: &id})
		if err != nil || *out.ModelDetails.ModelArn != haikuARN || !*out.ModelDetails.ResponseStreamingSupported {
			t.Errorf("%s: %+v, %v", id, out, err)
		}
	}
	_, err := c.GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: new("nobody.nothing-v1:0")})
	wantCode(t, "unknown", err, "ResourceNotFoundException")
	_, err = c.GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: new("Not An Id")})
	wantCode(t, "malformed", err, "ValidationException")

	out, err := c.GetFoundationModelAvailability(t.Context(), &bedrock.GetFoundationModelAvailabilityInput{ModelId: new(haiku)})
	if err != nil || out.EntitlementAvailability != brtypes.EntitlementAvailabilityAvailable {
		t.Errorf("availability: %+v, %v", out, err)
	}
	_, err = c.GetFoundationModelAvailability(t.Context(), &bedrock.GetFoundationModelAvailabilityInput{ModelId: new("nobody.nothing-v1:0")})
	wantCode(t, "availability of unknown", err, "ResourceNotFoundException")
}

func TestInferenceProfiles(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	c := s.Bedrock()
	source := &brtypes.InferenceProfileModelSourceMemberCopyFrom{Value: haikuARN}
	in := &bedrock.CreateInferenceProfileInput{InferenceProfileName: new("team"), ModelSource: source, Tags: []brtypes.Tag{{Key: new("k"), Value: new("v")}}}
	made, err := c.CreateInferenceProfile(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	if err != nil || *got.InferenceProfileName != "team" || got.Type != brtypes.InferenceProfileTypeApplication {
		t.Errorf("get: %+v, %v", got, err)
	}
	reply, err := s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: made.InferenceProfileArn, Messages: said("hi")})
	if err != nil || replyText(t, reply) == "" {
		t.Errorf("converse through the profile: %v", err)
	}
	list, err := c.ListInferenceProfiles(t.Context(), &bedrock.ListInferenceProfilesInput{TypeEquals: brtypes.InferenceProfileTypeApplication})
	if err != nil || len(list.InferenceProfileSummaries) != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	system, err := c.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: new("us." + haiku)})
	if err != nil || system.Type != brtypes.InferenceProfileTypeSystemDefined {
		t.Errorf("system profile: %+v, %v", system, err)
	}
	pages := bedrock.NewListInferenceProfilesPaginator(c, &bedrock.ListInferenceProfilesInput{MaxResults: new(int32(3))})
	seen := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page.InferenceProfileSummaries)
	}
	if seen < 10 {
		t.Errorf("%d profiles on all pages", seen)
	}

	in.ClientRequestToken = nil // the SDK has put one there
	_, err = c.CreateInferenceProfile(t.Context(), in)
	wantCode(t, "the same name", err, "ConflictException")
	_, err = c.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{InferenceProfileName: new("x"), ModelSource: &brtypes.InferenceProfileModelSourceMemberCopyFrom{
		Value: "arn:aws:bedrock:us-east-1::foundation-model/nobody.nothing-v1:0"}})
	wantCode(t, "unknown source", err, "ResourceNotFoundException")
	_, err = c.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{InferenceProfileName: new("!"), ModelSource: source})
	wantCode(t, "bad name", err, "ValidationException")
	_, err = c.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{InferenceProfileName: new("x"), ModelSource: &brtypes.InferenceProfileModelSourceMemberCopyFrom{
		Value: "arn:aws:bedrock:us-east-1:999999999999:inference-profile/us." + haiku}})
	wantCode(t, "another account's source", err, "AccessDeniedException")
	var tags []brtypes.Tag
	for i := range 51 {
		tags = append(tags, brtypes.Tag{Key: new(strings.Repeat("k", i+1)), Value: new("v")})
	}
	_, err = c.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{InferenceProfileName: new("x"), ModelSource: source, Tags: tags})
	wantCode(t, "51 tags", err, "TooManyTagsException")

	other := bedrock.NewFromConfig(s.AWS(s.NewKey(t, "111122223333", keys.SigV4)))
	_, err = other.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	wantCode(t, "another account's profile", err, "ResourceNotFoundException")
	_, err = c.DeleteInferenceProfile(t.Context(), &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: new("us." + haiku)})
	wantCode(t, "delete a system profile", err, "ValidationException")
	if _, err = c.DeleteInferenceProfile(t.Context(), &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); err != nil {
		t.Error(err)
	}
	_, err = c.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	wantCode(t, "deleted", err, "ResourceNotFoundException")
	_, err = c.DeleteInferenceProfile(t.Context(), &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	wantCode(t, "deleted twice", err, "ResourceNotFoundException")
	_, err = s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: made.InferenceProfileArn, Messages: said("hi")})
	wantCode(t, "converse through a deleted profile", err, "ResourceNotFoundException")
}

func TestInvokeModel(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t).Runtime()
	for name, b := range map[string]struct{ model, body, want string }{
		"Claude completion": {claude2, `{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":20}`, `"completion"`},
		"Claude messages":   {haiku, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`, `"content":[{`},
		"Titan text":        {titanText, `{"inputText":"hi","textGenerationConfig":{"maxTokenCount":20}}`, `"outputText"`},
		"Titan embed G1":    {embedG1, `{"inputText":"hi"}`, `"embedding":[`},
		"Titan embed V2":    {embedV2, `{"inputText":"hi","dimensions":256}`, `"embedding":[`},
		"own embedding":     {"sentence-transformers.all-minilm-l6-v2-v1:0", `{"inputText":"hi"}`, `"embedding":[`},
	} {
		out, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: &b.model, Body: []byte(b.body), ContentType: new("application/json")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(string(out.Body), b.want) || !json.Valid(out.Body) || *out.ContentType != "application/json" {
			t.Errorf("%s: %s %s", name, *out.ContentType, out.Body)
		}
	}
	json := new("application/json")
	for name, b := range map[string]struct {
		model, body string
		contentType *string
		part        string
	}{
		"wrong key":    {haiku, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"colour":1}`, json, "colour"},
		"no JSON":      {haiku, `hello`, json, ""},
		"empty":        {haiku, ``, json, ""},
		"content type": {haiku, `{}`, new("text/plain"), "Content Type"},
		"bad id":       {"Claude 3", `{}`, json, ""},
		"unknown id":   {"nobody.nothing-v1:0", `{}`, json, "model identifier"},
		// The SDK then sends application/octet-stream, which the live service refuses too.
		"no content type": {haiku, `{}`, nil, "Content Type"},
	} {
		_, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: &b.model, Body: []byte(b.body), ContentType: b.contentType})
		wantCode(t, name, err, "ValidationException")
		if err != nil && !strings.Contains(err.Error(), b.part) {
			t.Errorf("%s: %v does not name %s", name, err, b.part)
		}
	}
	_, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(haiku), ContentType: new("application/json"), Body: []byte(`{}`), GuardrailIdentifier: new("abc"), GuardrailVersion: new("1")})
	wantCode(t, "guardrail", err, "ValidationException")
}

func TestInvokeModelWithResponseStream(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three"}))).Runtime()
	out, err := c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: new(haiku), ContentType: new("application/json"), Body: []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.ContentType != "application/json" {
		t.Errorf("content type %s", *out.ContentType)
	}
	var text, last string
	chunks := 0
	for ev := range out.GetStream().Events() {
		last = string(ev.(*types.ResponseStreamMemberChunk).Value.Bytes)
		var chunk struct{ Delta struct{ Text string } }
		if err := json.Unmarshal([]byte(last), &chunk); err != nil {
			t.Fatal(err)
		}
		text += chunk.Delta.Text
		chunks++
	}
	if err := out.GetStream().Err(); err != nil || text != "one two three" || chunks < 6 || !strings.Contains(last, "amazon-bedrock-invocationMetrics") {
		t.Errorf("%q in %d chunks, the last %s, %v", text, chunks, last, err)
	}
	_, err = c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(embedG1), ContentType: new("application/json"), Body: []byte(`{"inputText":"hi"}`)})
	wantCode(t, "stream of vectors", err, "ValidationException")
}

// What an id's model or weights cannot do is refused, and the reason told.
func TestUnsuitableModels(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	e.Missing = []string{"all-minilm-l6-v2"}
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	json := new("application/json")
	const own, base = "huggingface.smollm2-135m-instruct-v1:0", "google.gemma-3-270m-v1:0"
	invoke := func(in *bedrockruntime.InvokeModelInput) func() error {
		return func() error { _, err := c.InvokeModel(t.Context(), in); return err }
	}
	stream := func(in *bedrockruntime.InvokeModelWithResponseStreamInput) func() error {
		return func() error { _, err := c.InvokeModelWithResponseStream(t.Context(), in); return err }
	}
	talk := func(model string, messages []types.Message) func() error {
		return func() error {
			_, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: messages})
			return err
		}
	}
	for name, x := range map[string]struct {
		call       func() error
		code, part string
	}{
		"own body":             {invoke(&bedrockruntime.InvokeModelInput{ModelId: new(own), Body: []byte(`{}`), ContentType: json}), "ValidationException", "required key [messages] not found"},
		"own body, stream":     {stream(&bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(own), Body: []byte(`{}`), ContentType: json}), "ValidationException", "required key [messages] not found"},
		"no pictures yet":      {invoke(&bedrockruntime.InvokeModelInput{ModelId: new("stability.stable-diffusion-xl-v1"), Body: []byte(`{"text_prompts":[{"text":"a rock"}]}`), ContentType: json}), "ValidationException", "outcrop models pull stable-diffusion-v1-5"},
		"no vectors of images": {invoke(&bedrockruntime.InvokeModelInput{ModelId: new("amazon.titan-embed-image-v1"), Body: []byte(`{"inputImage":"iVBORw0KGgo="}`), ContentType: json}), "ValidationException", "outcrop models pull clip-vit-base-patch32"},
		"pictures talk":        {talk("amazon.nova-canvas-v1:0", said("hi")), "ValidationException", "supported text or chat model"},
		"rankings talk":        {talk("cohere.rerank-v3-5:0", said("hi")), "ValidationException", "supported text or chat model"},
		"accept":               {invoke(&bedrockruntime.InvokeModelInput{ModelId: new(haiku), Body: []byte(`{}`), ContentType: json, Accept: new("image/png")}), "ValidationException", "Accept Type"},
		"accept, stream":       {stream(&bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(haiku), Body: []byte(`{}`), ContentType: json, Accept: new("image/png")}), "ValidationException", "Accept Type"},
		"half a guardrail":     {invoke(&bedrockruntime.InvokeModelInput{ModelId: new(haiku), Body: []byte(`{}`), ContentType: json, GuardrailIdentifier: new("abcdefghij12")}), "ValidationException", "together"},
		"wrong body, stream":   {stream(&bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(haiku), Body: []byte(`{"colour":1}`), ContentType: json}), "ValidationException", ""},
		"unknown, stream":      {stream(&bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new("nobody.nothing-v1:0"), Body: []byte(`{}`), ContentType: json}), "ValidationException", "identifier"},
		"no vectors":           {invoke(&bedrockruntime.InvokeModelInput{ModelId: new(embedG1), Body: []byte(`{"inputText":"a"}`), ContentType: json}), "ModelNotReadyException", ""},
		"wrong embedding body": {invoke(&bedrockruntime.InvokeModelInput{ModelId: new(embedG1), Body: []byte(`{"text":"a"}`), ContentType: json}), "ValidationException", "text"},
		"base model talks":     {talk(base, said("hi")), "ValidationException", "supported text or chat model"},
		"unknown talks":        {talk("nobody.nothing-v1:0", said("hi")), "ValidationException", "identifier"},
		"two users in a row":   {talk(haiku, append(said("hi"), said("hi")...)), "ValidationException", ""},
	} {
		err := x.call()
		wantCode(t, name, err, x.code)
		if err != nil && !strings.Contains(err.Error(), x.part) {
			t.Errorf("%s: %v does not tell of %q", name, err, x.part)
		}
	}
	if _, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(base), Body: []byte(`{"inputText":"a"}`), ContentType: json, Accept: new("*/*")}); err != nil {
		t.Errorf("a base model completes: %v", err)
	}
}

func TestConverse(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three"}))).Runtime()
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: new(haiku), Messages: said("hi there"),
		System:          []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "be brief"}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(int32(50))},
	})
	if err != nil {
		t.Fatal(err)
	}
	if replyText(t, out) != "one two three" || out.StopReason != types.StopReasonEndTurn || *out.Usage.InputTokens != 8 || *out.Usage.OutputTokens != 4 || *out.Usage.TotalTokens != 12 {
		t.Errorf("%q, %s, %+v", replyText(t, out), out.StopReason, *out.Usage)
	}
	out, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: new("us." + haiku), Messages: said("hi"),
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(int32(2))},
	})
	if err != nil || replyText(t, out) != "one two" || out.StopReason != types.StopReasonMaxTokens {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: new(haikuARN), Messages: said("hi"),
		InferenceConfig: &types.InferenceConfiguration{StopSequences: []string{"o th"}},
	})
	if err != nil || replyText(t, out) != "one tw" || out.StopReason != types.StopReasonStopSequence {
		t.Errorf("%+v, %v", out, err)
	}
	for name, in := range map[string]*bedrockruntime.ConverseInput{
		"embedding model": {ModelId: new(embedG1), Messages: said("hi")},
		"unknown model":   {ModelId: new("nobody.nothing-v1:0"), Messages: said("hi")},
		"other region":    {ModelId: new(strings.Replace(haikuARN, "us-east-1", "us-west-2", 1)), Messages: said("hi")},
		"too long":        {ModelId: new(haiku), Messages: said(strings.Repeat("a ", 9000))},
		"max tokens":      {ModelId: new(haiku), Messages: said("hi"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(int32(9000))}},
	} {
		_, err := c.Converse(t.Context(), in)
		wantCode(t, name, err, "ValidationException")
	}
	_, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new("arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefghij12"), Messages: said("hi")})
	wantCode(t, "provisioned model", err, "ResourceNotFoundException")
}

func TestConverseStream(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three"}))).Runtime()
	out, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	text := ""
	for ev := range out.GetStream().Events() {
		switch e := ev.(type) {
		case *types.ConverseStreamOutputMemberMessageStart:
			kinds = append(kinds, "start")
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			kinds = append(kinds, "delta")
			text += e.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
		case *types.ConverseStreamOutputMemberContentBlockStop:
			kinds = append(kinds, "blockStop")
		case *types.ConverseStreamOutputMemberMessageStop:
			kinds = append(kinds, "stop "+string(e.Value.StopReason))
		case *types.ConverseStreamOutputMemberMetadata:
			kinds = append(kinds, "metadata")
		}
	}
	want := []string{"start", "delta", "delta", "delta", "blockStop", "stop end_turn", "metadata"}
	if err := out.GetStream().Err(); err != nil || text != "one two three" || !slices.Equal(kinds, want) {
		t.Errorf("%v, %q, %v", kinds, text, err)
	}
}

// Each failure of an engine arrives as the exception that the operation models.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		unary  string // exception of a whole reply
		before string // of a stream before its first event; "" means as unary
	}{
		"throttled":   {apierr.Throttling("wait"), "ThrottlingException", ""},
		"not ready":   {apierr.ModelNotReady("loading"), "ModelNotReadyException", ""},
		"failed":      {apierr.ModelError("broke"), "ModelErrorException", ""},
		"stalled":     {apierr.ModelTimeout("stalled"), "ModelTimeoutException", ""},
		"unavailable": {apierr.Unavailable("stopping"), "ServiceUnavailableException", ""},
		"stream":      {apierr.ModelStreamError("broke"), "ModelErrorException", "ModelStreamErrorException"},
		"other":       {errors.New("disk on fire"), "InternalServerException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.before == "" {
				c.before = c.unary
			}
			rt := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Err: c.err}))).Runtime()
			body := []byte(`{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":20}`)
			_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")})
			wantCode(t, "Converse", err, c.unary)
			_, err = rt.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(claude2), ContentType: new("application/json"), Body: body})
			wantCode(t, "InvokeModel", err, c.unary)
			_, err = rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
			wantCode(t, "ConverseStream", err, c.before)
			_, err = rt.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(claude2), ContentType: new("application/json"), Body: body})
			wantCode(t, "InvokeModelWithResponseStream", err, c.before)
			if err != nil && strings.Contains(err.Error(), "fire") {
				t.Errorf("leaks: %v", err)
			}
		})
	}
}

// Failures in mid-stream become typed exceptions of the SDK.
func TestEngineErrorInStream(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "a b c", Err: apierr.ModelTimeout("stalled"), After: 2}))).Runtime()
	out, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
	if err != nil {
		t.Fatal(err)
	}
	for range out.GetStream().Events() { // to the end
	}
	var se *types.ModelStreamErrorException
	if !errors.As(out.GetStream().Err(), &se) || *se.OriginalStatusCode != 408 || *se.OriginalMessage != "stalled" {
		t.Errorf("%v", out.GetStream().Err())
	}
	chunks, err := c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: new(claude2), ContentType: new("application/json"), Body: []byte(`{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":20}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range chunks.GetStream().Events() { // to the end
	}
	var te *types.ModelTimeoutException
	if !errors.As(chunks.GetStream().Err(), &te) {
		t.Errorf("%v", chunks.GetStream().Err())
	}
}

func TestGetCallerIdentity(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	out, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *out.Account != s.Account || *out.Arn != "arn:aws:iam::"+s.Account+":root" || *out.UserId != s.Account {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = s.STS().AssumeRoot(t.Context(), &sts.AssumeRootInput{TargetPrincipal: new(s.Account), TaskPolicyArn: &ststypes.PolicyDescriptorType{Arn: new("arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials")}})
	wantCode(t, "not implemented", err, "NotImplementedException")
	cfg := s.AWS(s.Key)
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: "x"}, nil
	})
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantCode(t, "unknown key", err, "InvalidClientTokenId")
}

// Weights that are not installed are told apart from a model that does not exist.
func TestMissingWeights(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	e.Missing = []string{"smollm2-135m-instruct"}
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")})
	wantCode(t, "missing weights", err, "ModelNotReadyException")
}
