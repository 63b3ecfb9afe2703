package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const (
	toolName = "get_weather"
	toolText = "Tells the weather of a city."
	askedFor = "What is the weather in Paris?"
	callID   = "tooluse_e2e_1"
	result   = "It is 21 degrees and sunny in Paris."
)

// schema is what the input of the tool fits.
func schema() map[string]any {
	return map[string]any{
		"type": "object",
		"properties": map[string]any{
			"city": map[string]any{"type": "string"},
			"unit": map[string]any{"type": "string", "enum": []any{"celsius", "fahrenheit"}},
		},
		"required":             []any{"city", "unit"},
		"additionalProperties": false,
	}
}

// fits checks that JSON fits schema.
func fits(text []byte) (string, error) {
	var v map[string]string
	if err := json.Unmarshal(text, &v); err != nil {
		return "", fmt.Errorf("%s: %w", text, err)
	}
	if _, ok := v["city"]; !ok || len(v) != 2 || v["unit"] != "celsius" && v["unit"] != "fahrenheit" {
		return "", fmt.Errorf("%s does not fit the schema", text)
	}
	return string(text), nil
}

func said(role types.ConversationRole, block types.ContentBlock) types.Message {
	return types.Message{Role: role, Content: []types.ContentBlock{block}}
}

func askWeather(choice types.ToolChoice, turns ...types.Message) *bedrockruntime.ConverseInput {
	spec := types.ToolSpecification{
		Name: aws.String(toolName), Description: aws.String(toolText),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema())},
	}
	return &bedrockruntime.ConverseInput{
		ModelId:         aws.String(model),
		Messages:        append([]types.Message{said(types.ConversationRoleUser, &types.ContentBlockMemberText{Value: askedFor})}, turns...),
		ToolConfig:      &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: spec}}, ToolChoice: choice},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100), Temperature: aws.Float32(0)},
	}
}

func anyTool() types.ToolChoice { return &types.ToolChoiceMemberAny{} }

func tools(ctx context.Context) (detail string, err error) {
	named := &types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String(toolName)}}
	for _, choice := range []types.ToolChoice{anyTool(), named} {
		out, err := client().Converse(ctx, askWeather(choice))
		if err != nil {
			return "", err
		}
		m, ok := out.Output.(*types.ConverseOutputMemberMessage)
		if !ok || len(m.Value.Content) == 0 {
			return "", fmt.Errorf("no message: %+v", out.Output)
		}
		use, ok := m.Value.Content[len(m.Value.Content)-1].(*types.ContentBlockMemberToolUse)
		if !ok {
			return "", fmt.Errorf("no call: %+v", m.Value.Content)
		}
		var input map[string]any
		if err := use.Value.Input.UnmarshalSmithyDocument(&input); err != nil {
			return "", err
		}
		text, err := json.Marshal(input)
		if err != nil {
			return "", err
		}
		detail, err = fits(text)
		if err := errors.Join(err, equal("tool", *use.Value.Name, toolName), equal("stop reason", out.StopReason, types.StopReasonToolUse)); err != nil {
			return "", err
		}
	}
	return detail, nil
}

func toolsStream(ctx context.Context) (string, error) {
	in := askWeather(anyTool())
	out, err := client().ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, ToolConfig: in.ToolConfig, InferenceConfig: in.InferenceConfig})
	if err != nil {
		return "", err
	}
	stream := out.GetStream()
	defer stream.Close()
	var name, input string
	parts := 0
	for event := range stream.Events() {
		switch e := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			if use, ok := e.Value.Start.(*types.ContentBlockStartMemberToolUse); ok {
				name = *use.Value.Name
			}
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if use, ok := e.Value.Delta.(*types.ContentBlockDeltaMemberToolUse); ok {
				input, parts = input+*use.Value.Input, parts+1
			}
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	if parts < 4 {
		return "", fmt.Errorf("only %d parts", parts)
	}
	detail, err := fits([]byte(input))
	return detail, errors.Join(err, equal("tool", name, toolName))
}

func toolResults(ctx context.Context) (string, error) {
	use := types.ToolUseBlock{ToolUseId: aws.String(callID), Name: aws.String(toolName), Input: document.NewLazyDocument(map[string]string{"city": "Paris", "unit": "celsius"})}
	got := types.ToolResultBlock{ToolUseId: aws.String(callID), Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: result}}}
	out, err := client().Converse(ctx, askWeather(&types.ToolChoiceMemberAuto{},
		said(types.ConversationRoleAssistant, &types.ContentBlockMemberToolUse{Value: use}),
		said(types.ConversationRoleUser, &types.ContentBlockMemberToolResult{Value: got})))
	if err != nil {
		return "", err
	}
	if !strings.Contains(text(out), "21") {
		return "", fmt.Errorf("answer %q", text(out))
	}
	return text(out), nil
}
