package e2e

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// story makes the small model write until its output limit.
func story() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
		&types.ContentBlockMemberText{Value: "Write a very long story about a dragon."},
	}}}
}

// openStory starts a long stream and reads its first events.
func openStory(ctx context.Context, t *testing.T, rt *bedrockruntime.Client) *bedrockruntime.ConverseStreamEventStream {
	t.Helper()
	out, err := rt.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(2000)})
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	for range 3 {
		if _, ok := <-st.Events(); !ok {
			t.Fatalf("the stream ended: %v", st.Err())
		}
	}
	return st
}

// TestOneSlot runs each SDK against a server with one slot in which a call
// waits for 1 s at most. A stream left in the middle must free the slot, else
// the next call is throttled.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: "engine: {slots: 1, queue_deadline: 1s}"})
	rt := newGoClients(srv).rt
	once := func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 }
	short := func(t *testing.T) error {
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(2)}, once)
		return err
	}
	if err := short(t); err != nil { // loads the model
		t.Fatal(err)
	}
	// One after the other: the slot is what they measure.
	t.Run("go_close", func(t *testing.T) {
		for range 2 {
			_ = openStory(t.Context(), t, rt).Close() // tells of the read that it cuts, sometimes
			if err := short(t); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("go_context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		st := openStory(ctx, t, rt)
		cancel()
		defer st.Close()
		if err := short(t); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("go_unary_context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(2000)}, once)
			done <- err
		}()
		for short(t) == nil { // until the long call holds the slot
			select {
			case err := <-done:
				t.Fatalf("the long call ended early: %v", err)
			default:
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled call ended with %v", err)
		}
		if err := short(t); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("go_throttled", func(t *testing.T) {
		st := openStory(t.Context(), t, rt)
		defer st.Close()
		fails[*types.ThrottlingException](t, short(t), 429)
		_, err := rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: story()}, once)
		fails[*types.ThrottlingException](t, err, 429)
		_ = st.Close()
		if err := short(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("boto3", func(t *testing.T) { runCases(t, srv, "boto3_slot.py") })
	t.Run("javascript", func(t *testing.T) { runCases(t, srv, "js_slot.cjs") })
	t.Run("awscli", func(t *testing.T) {
		st := openStory(t.Context(), t, rt)
		defer st.Close()
		awsFails(t, srv, "ThrottlingException", []string{"AWS_MAX_ATTEMPTS=1"}, "bedrock-runtime", "converse", "--model-id", smollm, "--messages", `[{"role":"user","content":[{"text":"hi"}]}]`)
	})
}
