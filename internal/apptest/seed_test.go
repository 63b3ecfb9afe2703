package apptest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
)

func user(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

// TestEveryListedModel calls every model that is listed, all at once, through one
// endpoint: text models converse, all others say that they do not; the oldest
// native bodies get their answer, and a body of another family is refused with
// the modelled error. Each family's own bodies: app.TestNativeBodies.
func TestEveryListedModel(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	list, err := srv.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
	if err != nil {
		t.Fatal(err)
	}
	rt := srv.Runtime()
	var calls sync.WaitGroup
	for _, m := range list.ModelSummaries {
		calls.Go(func() {
			if err := callModel(t, rt, m); err != nil {
				t.Errorf("%s: %v", *m.ModelId, err)
			}
		})
	}
	calls.Wait()
	if n := len(list.ModelSummaries); n < 30 {
		t.Errorf("%d models are listed", n)
	}
}

func callModel(t *testing.T, rt *bedrockruntime.Client, m bedrocktypes.FoundationModelSummary) error {
	t.Helper()
	_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: m.ModelId, Messages: user("hi")})
	_, isRefused := errors.AsType[*types.ValidationException](err)
	base := strings.HasPrefix(*m.ModelId, "google.gemma-3-270m") // base weights, without a chat template
	ranks := strings.Contains(*m.ModelId, ".rerank-")
	if base || ranks || m.OutputModalities[0] != bedrocktypes.ModelModalityText {
		if !isRefused {
			return fmt.Errorf("a model that cannot converse says %w", err)
		}
	} else if err != nil {
		return err
	}
	body := map[string]any{"inputText": "hi"}
	switch {
	case strings.HasPrefix(*m.ModelId, "anthropic.claude-3"):
		body = map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": []any{map[string]string{"role": "user", "content": "hi"}}}
	case strings.HasPrefix(*m.ModelId, "anthropic."):
		body = map[string]any{"prompt": "hi", "max_tokens_to_sample": 5}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = rt.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: m.ModelId, Body: raw, ContentType: aws.String("application/json")})
	for _, served := range []string{"anthropic.", "amazon.titan-text-", "amazon.titan-embed-text-", "amazon.titan-embed-g1-", "google.", "sentence-transformers."} {
		if strings.HasPrefix(*m.ModelId, served) {
			return err
		}
	}
	if refused, ok := errors.AsType[*types.ValidationException](err); !ok || refused.ErrorMessage() == "" {
		return fmt.Errorf("a body of another family, or what no weights here can do: %w", err)
	}
	return nil
}

// TestSeedParameters sends the rows of the seed document's table of inference
// parameters to the real engine: accepted, stopped, and within the output limit.
func TestSeedParameters(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t, apptest.RealEngine())
	rt := srv.Runtime()
	for _, row := range []struct {
		task, prompt      string
		temperature, topP float32
		maxTokens         int32
		stops             []string
	}{
		{"code", "Write a Python function that adds two numbers.", 0.2, 0.8, 500, []string{"```", "//END"}},
		{"creative", "Write one sentence about the sea.", 0.8, 0.9, 1500, []string{"THE END"}},
		{"data", "Name three metals in one sentence.", 0.1, 0.7, 800, []string{"—", "Summary:"}},
		{"service", "A customer thanks you. Answer in one sentence.", 0.4, 0.8, 300, []string{"Thanks", "Best regards"}},
	} {
		t.Run(row.task, func(t *testing.T) {
			t.Parallel()
			out, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{
				ModelId: aws.String("anthropic.claude-v2"), Messages: user(row.prompt),
				InferenceConfig: &types.InferenceConfiguration{Temperature: &row.temperature, TopP: &row.topP, MaxTokens: &row.maxTokens, StopSequences: row.stops},
			})
			if err != nil {
				t.Fatal(err)
			}
			text := replyText(t, out) // may be empty: a stop text can come first
			for _, stop := range row.stops {
				if strings.Contains(text, stop) {
					t.Errorf("%q is in the reply %q", stop, text)
				}
			}
			if n := *out.Usage.OutputTokens; n < 1 || n > row.maxTokens || out.StopReason == types.StopReasonMaxTokens && n != row.maxTokens {
				t.Errorf("%d tokens with the limit %d, stop reason %s", n, row.maxTokens, out.StopReason)
			}
			t.Logf("%d tokens, %s: %.60q", *out.Usage.OutputTokens, out.StopReason, text)
		})
	}
	t.Run("temperature", func(t *testing.T) {
		t.Parallel()
		replies := func(temperature float32) map[string]bool {
			seen := map[string]bool{}
			for range 3 {
				out, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{
					ModelId: aws.String("anthropic.claude-v2"), Messages: user("Tell me about a colour."),
					InferenceConfig: &types.InferenceConfiguration{Temperature: &temperature, MaxTokens: aws.Int32(20)},
				})
				if err != nil {
					t.Fatal(err)
				}
				seen[replyText(t, out)] = true
			}
			return seen
		}
		if n := len(replies(0)); n != 1 {
			t.Errorf("%d different replies at temperature 0", n)
		}
		if n := len(replies(1)); n < 2 {
			t.Errorf("%d different replies at temperature 1", n)
		}
	})
}

// replyText joins the text of a reply.
func replyText(t *testing.T, out *bedrockruntime.ConverseOutput) string {
	t.Helper()
	m, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok {
		t.Fatalf("the reply is %T", out.Output)
	}
	text := ""
	for _, block := range m.Value.Content {
		b, ok := block.(*types.ContentBlockMemberText)
		if !ok {
			t.Fatalf("the reply holds %T", block)
		}
		text += b.Value
	}
	return text
}
