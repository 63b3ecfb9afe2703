package app_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// overheard is a scripted engine that keeps the last request it got.
func overheard(replies ...scripted.Reply) (*scripted.Engine, func() *llm.Request) {
	var mu sync.Mutex
	var last *llm.Request
	e := scripted.New(replies...)
	e.Tools = true
	e.Observe = func(_ engine.Target, r *llm.Request) {
		mu.Lock()
		defer mu.Unlock()
		last = r
	}
	return e, func() *llm.Request {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

func clockTool() *types.ToolConfiguration {
	return &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: new("clock"), Description: new("Tells the time"),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{
			"type": "object", "properties": map[string]any{"zone": map[string]any{"type": "string"}}, "required": []string{"zone"},
		})},
	}}}}
}

// TestToolUse goes the whole way of a tool: the model's wish, whole and streamed,
// the answer, and the reply to it.
func TestToolUse(t *testing.T) {
	t.Parallel()
	asking := scripted.Reply{Blocks: []scripted.Block{
		{Text: "Let me look."}, {Kind: llm.ToolCall, Name: "clock", Deltas: []string{`{"zone"`, `: "Oslo"`, `}`}},
	}}
	e, last := overheard(asking, asking, scripted.Reply{Text: "It is noon."})
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	in := &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("What time is it in Oslo?"), ToolConfig: clockTool()}
	out, err := c.Converse(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	msg := out.Output.(*types.ConverseOutputMemberMessage).Value
	call := msg.Content[1].(*types.ContentBlockMemberToolUse).Value
	var input struct{ Zone string }
	if err := call.Input.UnmarshalSmithyDocument(&input); err != nil || input.Zone != "Oslo" || *call.Name != "clock" || out.StopReason != types.StopReasonToolUse {
		t.Errorf("%+v, %s, %v", call, out.StopReason, err)
	}
	if r := last(); len(r.Tools) != 1 || r.Tools[0].Name != "clock" || r.Choice.Kind != llm.ChooseAuto {
		t.Errorf("the engine got the tools %+v, choice %+v", r.Tools, r.Choice)
	}

	stream, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, ToolConfig: in.ToolConfig})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	var joined strings.Builder
	for ev := range stream.GetStream().Events() {
		switch ev := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			kinds = append(kinds, *ev.Value.Start.(*types.ContentBlockStartMemberToolUse).Value.Name)
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if d, ok := ev.Value.Delta.(*types.ContentBlockDeltaMemberToolUse); ok {
				joined.WriteString(*d.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			kinds = append(kinds, string(ev.Value.StopReason))
		}
	}
	if err := stream.GetStream().Err(); err != nil || strings.Join(kinds, " ") != "clock tool_use" || joined.String() != `{"zone": "Oslo"}` {
		t.Errorf("%v, %s, %v", kinds, joined.String(), err)
	}

	in.Messages = append(in.Messages, msg)
	_, err = c.Converse(t.Context(), in)
	wantCode(t, "an open call", err, "ValidationException")
	in.Messages = append(in.Messages, types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
		&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: call.ToolUseId, Content: []types.ToolResultContentBlock{
			&types.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"time": "12:00"})},
		}}},
	}})
	out, err = c.Converse(t.Context(), in)
	if err != nil || replyText(t, out) != "It is noon." {
		t.Fatalf("%+v, %v", out, err)
	}
	r := last()
	if got := r.Messages[1].Content[1].Call; got == nil || got.ID != *call.ToolUseId || string(got.Input) != `{"zone":"Oslo"}` {
		t.Errorf("the engine got the call %+v", got)
	}
	if got := r.Messages[2].Content[0].Result; got == nil || got.CallID != *call.ToolUseId || got.Content[0].Text != `{"time":"12:00"}` {
		t.Errorf("the engine got the result %+v", got)
	}

	in.ToolConfig = nil
	_, err = c.Converse(t.Context(), in)
	if wantCode(t, "no tools", err, "ValidationException"); err != nil && !strings.Contains(err.Error(), "The toolConfig field must be defined when using toolUse and toolResult content blocks.") {
		t.Error(err)
	}
}

// TestReasoning checks thoughts, whole, streamed and sent back.
func TestReasoning(t *testing.T) {
	t.Parallel()
	e, last := overheard(scripted.Reply{Blocks: []scripted.Block{{Kind: llm.Reasoning, Text: "hm hm", Signature: "sig"}, {Text: "Yes."}}})
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	in := &bedrockruntime.ConverseInput{
		ModelId: new(haiku), Messages: said("Is it?"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(int32(2000))},
		AdditionalModelRequestFields: document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": 1024}}),
	}
	out, err := c.Converse(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	msg := out.Output.(*types.ConverseOutputMemberMessage).Value
	thought := msg.Content[0].(*types.ContentBlockMemberReasoningContent).Value.(*types.ReasoningContentBlockMemberReasoningText).Value
	if *thought.Text != "hm hm" || *thought.Signature != "sig" || last().Thinking.Budget != 1024 {
		t.Errorf("%+v", thought)
	}
	in.Messages = append(append(in.Messages, msg), said("Why?")...)
	if _, err := c.Converse(t.Context(), in); err != nil {
		t.Error(err)
	}
}

// TestDocumentsAndImages checks that a document reaches the engine as text, and
// that weights without eyes say so.
func TestDocumentsAndImages(t *testing.T) {
	t.Parallel()
	e, last := overheard()
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	doc := &types.ContentBlockMemberDocument{Value: types.DocumentBlock{
		Name: new("notes"), Format: types.DocumentFormatMd, Source: &types.DocumentSourceMemberBytes{Value: []byte("# Granite\nis hard.")},
	}}
	ask := func(blocks ...types.ContentBlock) error {
		_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: []types.Message{{Role: types.ConversationRoleUser, Content: blocks}}})
		return err
	}
	if err := ask(&types.ContentBlockMemberText{Value: "What is granite?"}, doc); err != nil {
		t.Fatal(err)
	}
	seen, err := json.Marshal(last().Messages)
	if err != nil || !strings.Contains(string(seen), "is hard.") {
		t.Errorf("the engine got %s", seen)
	}
	if err := ask(doc); err == nil || !strings.Contains(err.Error(), "A text block must be included when using documents.") {
		t.Error(err)
	}
	err = ask(&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: []byte("no image")}}})
	if wantCode(t, "image", err, "ValidationException"); err != nil && !strings.Contains(err.Error(), "image content block") {
		t.Error(err)
	}
}

// TestCountTokens checks that a count is what the call reports afterwards.
func TestCountTokens(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t).Runtime()
	count := func(model string, in types.CountTokensInput) (int32, error) {
		out, err := c.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: &model, Input: in})
		if err != nil {
			return 0, err
		}
		return *out.InputTokens, nil
	}
	messages, system := said("How many words are in this text?"), []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "Count."}}
	n, err := count("us."+haiku, &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: messages, System: system, ToolConfig: clockTool()}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: messages, System: system, ToolConfig: clockTool()})
	if err != nil || n == 0 || *out.Usage.InputTokens != n {
		t.Errorf("counted %d, used %+v, %v", n, out, err)
	}
	body := []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"How many are in this?"}]}`)
	n, err = count(haiku, &types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: body}})
	if err != nil {
		t.Fatal(err)
	}
	native, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(haiku), Body: body, ContentType: new("application/json")})
	if err != nil {
		t.Fatal(err)
	}
	var used struct {
		Usage struct {
			Input int32 `json:"input_tokens"`
		}
	}
	if err := json.Unmarshal(native.Body, &used); err != nil || n == 0 || used.Usage.Input != n {
		t.Errorf("counted %d, used %s, %v", n, native.Body, err)
	}
	_, err = count(embedG1, &types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: []byte(`{"inputText":"hi"}`)}})
	wantCode(t, "vectors", err, "ValidationException")
	_, err = count(haiku, &types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: []byte(`{"colour":1}`)}})
	wantCode(t, "wrong body", err, "ValidationException")
	_, err = count("nobody.nothing-v1:0", &types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: body}})
	wantCode(t, "unknown model", err, "ValidationException")
}

// TestResume breaks a stream and goes on where it broke.
func TestResume(t *testing.T) {
	t.Parallel()
	e, last := overheard(
		scripted.Reply{Text: "Once upon a time there was", Err: apierr.ModelStreamError("The model stopped."), After: 3},
		scripted.Reply{Text: " time there was"},
	)
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	read := func(fields map[string]any) (string, error) {
		out, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
			ModelId: new(haiku), Messages: said("Tell me a story."), AdditionalModelRequestFields: document.NewLazyDocument(fields),
		})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for ev := range out.GetStream().Events() {
			if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
				text.WriteString(d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value)
			}
		}
		return text.String(), out.GetStream().Err()
	}
	begun, err := read(map[string]any{"seed": 7})
	if e, ok := errors.AsType[*types.ModelStreamErrorException](err); !ok || begun != "Once upon a" {
		t.Fatalf("%q, %v, %v", begun, e, err)
	}
	rest, err := read(map[string]any{"seed": 7, "outcrop_resume": map[string]any{"text": begun}})
	if err != nil || begun+rest != "Once upon a time there was" {
		t.Errorf("%q, %v", rest, err)
	}
	if m := last().Messages; len(m) != 2 || m[1].Role != llm.Assistant || m[1].Content[0].Text != begun || *last().Params.Seed != 7 {
		t.Errorf("the engine got %+v", m)
	}
}

// TestWishesOfAService has what says nothing about the conversation but comes back.
func TestWishesOfAService(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two STOP three"}))).Runtime()
	in := &bedrockruntime.ConverseInput{
		ModelId: new(haiku), Messages: said("hi"),
		InferenceConfig:                   &types.InferenceConfiguration{StopSequences: []string{"STOP"}},
		AdditionalModelResponseFieldPaths: []string{"/stop_sequence", "/nothing"},
		RequestMetadata:                   map[string]string{"team": "a b"},
		PerformanceConfig:                 &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized},
		ServiceTier:                       &types.ServiceTier{Type: types.ServiceTierTypeFlex},
		PromptVariables:                   map[string]types.PromptVariableValues{"x": &types.PromptVariableValuesMemberText{Value: "y"}},
	}
	out, err := c.Converse(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]string
	if err := out.AdditionalModelResponseFields.UnmarshalSmithyDocument(&fields); err != nil || len(fields) != 1 || fields["stop_sequence"] != "STOP" {
		t.Errorf("fields %v, %v", fields, err)
	}
	if out.PerformanceConfig.Latency != types.PerformanceConfigLatencyOptimized || out.ServiceTier.Type != types.ServiceTierTypeFlex {
		t.Errorf("%+v, %+v", out.PerformanceConfig, out.ServiceTier)
	}
	native, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
		ModelId: new(titanText), Body: []byte(`{"inputText":"hi"}`), ContentType: new("application/json"),
		PerformanceConfigLatency: types.PerformanceConfigLatencyStandard, ServiceTier: types.ServiceTierTypePriority,
	})
	if err != nil || native.PerformanceConfigLatency != types.PerformanceConfigLatencyStandard || native.ServiceTier != types.ServiceTierTypePriority {
		t.Errorf("%+v, %v", native, err)
	}
}

// TestCachePoint checks how a cached prefix is told in each form of a reply.
func TestCachePoint(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "yes", ReusedTokens: 1030})))
	c := srv.Runtime()
	long := strings.Repeat("word ", 1200)
	messages := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
		&types.ContentBlockMemberText{Value: long},
		&types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		&types.ContentBlockMemberText{Value: "Well?"},
	}}}
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	u := out.Usage
	if u.CacheReadInputTokens == nil || u.CacheWriteInputTokens == nil || *u.CacheReadInputTokens != 1030 ||
		*u.InputTokens+*u.CacheReadInputTokens+*u.CacheWriteInputTokens+*u.OutputTokens != *u.TotalTokens ||
		*u.CacheWriteInputTokens < 1 || len(u.CacheDetails) != 1 || u.CacheDetails[0].Ttl != types.CacheTTLFiveMinutes || *u.CacheDetails[0].InputTokens != *u.CacheWriteInputTokens {
		t.Errorf("%+v", *u)
	}
	count, err := c.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: new(haiku), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: messages}}})
	if err != nil || *count.InputTokens != *u.InputTokens+*u.CacheReadInputTokens+*u.CacheWriteInputTokens {
		t.Errorf("%+v, %v", count, err)
	}
	plain, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said(long)})
	if err != nil || plain.Usage.CacheReadInputTokens != nil || len(plain.Usage.CacheDetails) != 0 {
		t.Errorf("%+v, %v", plain, err)
	}
}
