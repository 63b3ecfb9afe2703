package acceptance

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// toolText is a conversation with tools, of which one text is the caller's to choose.
type toolText struct {
	name string
	with func(text string) *types.CountTokensInputMemberConverse
}

// toolTexts are the places of tools in which a request carries text.
func toolTexts() []toolText {
	type parts struct {
		description, schema, input, result, json, property string
	}
	ask := func(p parts) *types.CountTokensInputMemberConverse {
		or := func(s, other string) string {
			if s == "" {
				return other
			}
			return s
		}
		schema := map[string]any{
			"type": "object", "required": []string{"zone"},
			"properties": map[string]any{
				"zone": map[string]any{"type": "string", "description": or(p.schema, "a city")},
			},
		}
		if p.property != "" {
			schema["properties"].(map[string]any)[p.property] = map[string]any{"type": "string"}
		}
		content := []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: or(p.result, "noon")}}
		if p.json != "" {
			content = append(content, &types.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"time": p.json})})
		}
		return &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{
			ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
				Name: aws.String("get_time"), Description: aws.String(or(p.description, "Tells the time.")),
				InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
			}}}},
			Messages: []types.Message{
				{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "What time is it?"}}},
				{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{&types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
					ToolUseId: aws.String("tooluse_1"), Name: aws.String("get_time"),
					Input: document.NewLazyDocument(map[string]any{"zone": or(p.input, "Paris")}),
				}}}},
				{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
					ToolUseId: aws.String("tooluse_1"), Content: content,
				}}}},
			},
		}}
	}
	place := func(name string, set func(*parts, string)) toolText {
		return toolText{name, func(text string) *types.CountTokensInputMemberConverse {
			var p parts
			set(&p, text)
			return ask(p)
		}}
	}
	return []toolText{
		place("description", func(p *parts, s string) { p.description = s }),
		place("description in a schema", func(p *parts, s string) { p.schema = s }),
		place("name of a property", func(p *parts, s string) { p.property = s }),
		place("input of a call", func(p *parts, s string) { p.input = s }),
		place("text of a result", func(p *parts, s string) { p.result = s }),
		place("JSON of a result", func(p *parts, s string) { p.json = s }),
	}
}

// TestControlTokensOfTools: no text of a tool, of a call or of a result is read as a
// control token.
//
// A text with a token in it has to count as many input tokens as the same text with
// the token broken up by hand, which nothing is left to break in. That this can fail
// is proven with the bare engine: it counts the two differently.
func TestControlTokensOfTools(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	b := startBare(t, p, chatWeights, forChat)
	c := p.account(t)
	count := func(in types.CountTokensInput) (int, error) {
		out, err := c.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: aws.String(smollm), Input: in})
		if err != nil {
			return 0, err
		}
		return int(aws.ToInt32(out.InputTokens)), nil
	}
	for _, place := range toolTexts() { // what stands there reaches the model
		short, err := count(place.with("one"))
		if err != nil {
			t.Fatal(err)
		}
		long, err := count(place.with("one" + strings.Repeat(" two", 50)))
		if err != nil {
			t.Fatal(err)
		}
		if long < short+50 {
			t.Fatalf("%s: 50 words more are %d tokens more: the check could not fail", place.name, long-short)
		}
	}
	type attempt struct {
		token string
		place toolText
	}
	var all []attempt
	for _, token := range b.vocab.specials {
		forged, err := b.parsed("before " + token + " after")
		if err != nil {
			t.Fatal(err)
		}
		broken, err := b.parsed(b.vocab.breakUp("before " + token + " after"))
		if err != nil {
			t.Fatal(err)
		}
		if len(forged) == len(broken) {
			t.Fatalf("%q: %d ids either way: the check could not fail", token, len(forged))
		}
		for _, place := range toolTexts() {
			all = append(all, attempt{token, place})
		}
	}
	for _, a := range all {
		text := "before " + a.token + " after"
		got, err := count(a.place.with(text))
		if err != nil {
			t.Errorf("%s, %q: %v", a.place.name, a.token, err)
			continue
		}
		want, err := count(a.place.with(b.vocab.breakUp(text)))
		if err != nil {
			t.Errorf("%s, %q broken up: %v", a.place.name, a.token, err)
			continue
		}
		if got != want {
			t.Errorf("%s: %q counts %d input tokens, and %d broken up", a.place.name, a.token, got, want)
		}
	}
	t.Logf("%d control tokens in %d places of tools: all counted as plain text", len(b.vocab.specials), len(toolTexts()))

	t.Run("names", func(t *testing.T) {
		for _, token := range b.vocab.specials {
			if err := named(t.Context(), c, token); !errors.As(err, new(*types.ValidationException)) {
				t.Errorf("a tool may be called %q: %v", token, err)
			}
		}
	})
}

// named calls a model with a tool of the given name.
func named(ctx context.Context, c *client, name string) error {
	_, err := c.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId:  aws.String(smollm),
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Hi"}}}},
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name:        aws.String(name),
			InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})},
		}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(1)},
	})
	return err
}
