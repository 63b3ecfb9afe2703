//go:build !old

package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// modern are the cases that the SDK of two years ago lacks.
var modern = []feature{{"json_schema", jsonSchema}, {"count_tokens", countTokens}}

// lacks names what this version of the SDK has no way to ask for, and why.
var lacks = map[string]string{}

func jsonSchema(ctx context.Context) (string, error) {
	form, err := json.Marshal(schema())
	if err != nil {
		return "", err
	}
	in := askWeather(nil)
	in.ToolConfig = nil
	in.OutputConfig = &types.OutputConfig{TextFormat: &types.OutputFormat{
		Type: types.OutputFormatTypeJsonSchema,
		Structure: &types.OutputFormatStructureMemberJsonSchema{
			Value: types.JsonSchemaDefinition{Name: aws.String("weather"), Schema: aws.String(string(form))},
		},
	}}
	out, err := client().Converse(ctx, in)
	if err != nil {
		return "", err
	}
	return fits([]byte(text(out)))
}

func countTokens(ctx context.Context) (string, error) {
	for _, in := range []types.CountTokensInput{
		&types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{System: underSystem(), Messages: messages()}},
		&types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: native()}},
	} {
		out, err := client().CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: aws.String(model), Input: in})
		if err != nil {
			return "", err
		}
		if err := equal("input tokens", *out.InputTokens, inputTokens); err != nil {
			return "", err
		}
	}
	return "", nil
}
