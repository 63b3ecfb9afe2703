package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
)

var features = []feature{
	{"models", models},
	{"converse", converse},
	{"converse_stream", converseStream},
	{"invoke", invoke},
	{"invoke_stream", invokeStream},
	{"embeddings", embeddings},
	{"system_prompt", systemPrompt},
	{"stop_sequence", stopSequence},
	{"usage", usage},
	{"tools", tools},
	{"tools_stream", toolsStream},
	{"tool_results", toolResults},
	{"unknown_model", unknownModel},
	{"bad_key", badKeys},
	{"validation", validation},
}

func config(key, secret string) aws.Config {
	return aws.Config{
		Region:       os.Getenv("AWS_REGION"),
		BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials:  credentials.NewStaticCredentialsProvider(key, secret, ""),
	}
}

func own() aws.Config {
	return config(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"))
}

// client makes a client for each case: a client's stream decoder serves one
// stream at a time.
func client() *bedrockruntime.Client { return bedrockruntime.NewFromConfig(own()) }

func messages() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: question}}}}
}

func underSystem() []types.SystemContentBlock {
	return []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: system}}
}

func ask(change ...func(*bedrockruntime.ConverseInput)) *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{
		ModelId: aws.String(model), System: underSystem(), Messages: messages(),
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(40), Temperature: aws.Float32(0)},
	}
	for _, f := range change {
		f(in)
	}
	return in
}

func text(out *bedrockruntime.ConverseOutput) string {
	if m, ok := out.Output.(*types.ConverseOutputMemberMessage); ok && len(m.Value.Content) == 1 {
		if b, ok := m.Value.Content[0].(*types.ContentBlockMemberText); ok {
			return b.Value
		}
	}
	return fmt.Sprintf("no text in %+v", out.Output)
}

func native() []byte {
	b, err := json.Marshal(map[string]any{
		"anthropic_version": "bedrock-2023-05-31", "max_tokens": 40, "temperature": 0, "system": system,
		"messages": []any{map[string]any{"role": "user", "content": question}},
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

func models(ctx context.Context) (string, error) {
	list, err := bedrock.NewFromConfig(own()).ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{})
	if err != nil {
		return "", err
	}
	found := 0
	for _, m := range list.ModelSummaries {
		if *m.ModelId == model || *m.ModelId == embedder {
			found++
		}
	}
	return fmt.Sprintf("%d models", len(list.ModelSummaries)), equal("number of the two models", found, 2)
}

func converse(ctx context.Context) (string, error) {
	out, err := client().Converse(ctx, ask())
	if err != nil {
		return "", err
	}
	return "", replied(text(out), string(out.StopReason), answer, "end_turn")
}

func converseStream(ctx context.Context) (string, error) {
	in := ask()
	out, err := client().ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, System: in.System, Messages: in.Messages, InferenceConfig: in.InferenceConfig})
	if err != nil {
		return "", err
	}
	stream := out.GetStream()
	defer stream.Close()
	var parts []string
	var reason types.StopReason
	var used *types.TokenUsage
	for event := range stream.Events() {
		switch e := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if d, ok := e.Value.Delta.(*types.ContentBlockDeltaMemberText); ok {
				parts = append(parts, d.Value)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			reason = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			used = e.Value.Usage
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	if used == nil {
		return "", errors.New("no usage")
	}
	detail, err := streamed(parts)
	_, miscounted := counted(*used.InputTokens, *used.OutputTokens)
	return detail, errors.Join(err, miscounted, equal("stop reason", reason, types.StopReasonEndTurn))
}

func invoke(ctx context.Context) (string, error) {
	out, err := client().InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(model), Body: native(), ContentType: aws.String("application/json")})
	if err != nil {
		return "", err
	}
	var reply struct {
		Content []struct{ Text string }
		Reason  string `json:"stop_reason"`
		Usage   struct {
			In  int32 `json:"input_tokens"`
			Out int32 `json:"output_tokens"`
		}
	}
	if err := json.Unmarshal(out.Body, &reply); err != nil || len(reply.Content) != 1 {
		return "", fmt.Errorf("body %s: %v", out.Body, err)
	}
	detail, err := counted(reply.Usage.In, reply.Usage.Out)
	return detail, errors.Join(err, replied(reply.Content[0].Text, reply.Reason, answer, "end_turn"))
}

func invokeStream(ctx context.Context) (string, error) {
	out, err := client().InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(model), Body: native(), ContentType: aws.String("application/json")})
	if err != nil {
		return "", err
	}
	stream := out.GetStream()
	defer stream.Close()
	var parts []string
	for event := range stream.Events() {
		if c, ok := event.(*types.ResponseStreamMemberChunk); ok {
			var chunk struct {
				Type  string
				Delta struct{ Text string }
			}
			if err := json.Unmarshal(c.Value.Bytes, &chunk); err != nil {
				return "", err
			}
			if chunk.Type == "content_block_delta" {
				parts = append(parts, chunk.Delta.Text)
			}
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	return streamed(parts)
}

func embeddings(ctx context.Context) (string, error) {
	var vectors [][]float64
	for _, words := range texts {
		body, err := json.Marshal(map[string]string{"inputText": words})
		if err != nil {
			return "", err
		}
		out, err := client().InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(embedder), Body: body, ContentType: aws.String("application/json")})
		if err != nil {
			return "", err
		}
		var reply struct{ Embedding []float64 }
		if err := json.Unmarshal(out.Body, &reply); err != nil {
			return "", err
		}
		vectors = append(vectors, reply.Embedding)
	}
	return similar(vectors)
}

func systemPrompt(ctx context.Context) (string, error) {
	out, err := client().Converse(ctx, ask(func(in *bedrockruntime.ConverseInput) {
		in.System, in.InferenceConfig.MaxTokens = nil, aws.Int32(8)
	}))
	if err != nil {
		return "", err
	}
	if *out.Usage.InputTokens == inputTokens {
		return "", errors.New("the same number of tokens without the system prompt")
	}
	return "", nil
}

func stopSequence(ctx context.Context) (string, error) {
	out, err := client().Converse(ctx, ask(func(in *bedrockruntime.ConverseInput) { in.InferenceConfig.StopSequences = []string{stop} }))
	if err != nil {
		return "", err
	}
	return "", replied(text(out), string(out.StopReason), beforeStop, "stop_sequence")
}

func usage(ctx context.Context) (string, error) {
	out, err := client().Converse(ctx, ask())
	if err != nil {
		return "", err
	}
	detail, err := counted(*out.Usage.InputTokens, *out.Usage.OutputTokens)
	return detail, errors.Join(err, equal("total", *out.Usage.TotalTokens, inputTokens+outputTokens))
}

func unknownModel(ctx context.Context) (string, error) {
	_, err := client().Converse(ctx, ask(func(in *bedrockruntime.ConverseInput) { in.ModelId = aws.String(unknown) }))
	return fails[*types.ValidationException](err, "The provided model identifier is invalid.")
}

func badKeys(ctx context.Context) (string, error) {
	_, err := bedrockruntime.NewFromConfig(config(badKey, badSecret)).Converse(ctx, ask())
	return fails[smithy.APIError](err, "UnrecognizedClientException", "403")
}

func validation(ctx context.Context) (string, error) {
	_, err := client().Converse(ctx, ask(func(in *bedrockruntime.ConverseInput) { in.InferenceConfig.Temperature = aws.Float32(1.5) }))
	return fails[*types.ValidationException](err, "temperature")
}
