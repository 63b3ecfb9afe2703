package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// prefixed asks a question behind a long prefix with a cache point, and tells
// the counts and the time to the first token.
func prefixed(ctx context.Context, c *client, prefix, question string) (counts, time.Duration, error) {
	begin := time.Now()
	out, err := c.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(smollm),
		System: []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: prefix},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		},
		Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: question}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(4), Temperature: aws.Float32(0)},
	})
	if err != nil {
		return counts{}, 0, err
	}
	stream := out.GetStream()
	defer stream.Close() // read only
	var (
		got   counts
		first time.Duration
	)
	for ev := range stream.Events() {
		switch ev := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if first == 0 {
				first = time.Since(begin)
			}
		case *types.ConverseStreamOutputMemberMetadata:
			u := ev.Value.Usage
			got = counts{int(aws.ToInt32(u.InputTokens)), int(aws.ToInt32(u.CacheReadInputTokens)), int(aws.ToInt32(u.CacheWriteInputTokens))}
			if total, out := aws.ToInt32(u.TotalTokens), aws.ToInt32(u.OutputTokens); int(total-out) != got.input+got.read+got.write {
				return got, first, fmt.Errorf("totalTokens %d, outputTokens %d, input %+v", total, out, got)
			}
		}
	}
	return got, first, stream.Err()
}

// TestPromptReuse: what stands before a cache point is read once.
func TestPromptReuse(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	c := p.account(t)
	prefix := "Read this: " + strings.Repeat("The keeper counts the ships before he lights the lamp. ", 125)
	p.one.Lock()
	defer p.one.Unlock()
	one, cold, err := prefixed(t.Context(), c, prefix, "How many ships are there?")
	if err != nil {
		t.Fatal(err)
	}
	two, warm, err := prefixed(t.Context(), c, prefix, "Who lights the lamp?")
	if err != nil {
		t.Fatal(err)
	}
	if one.read != 0 || one.write < 1300 || two.read != one.write || two.write != 0 {
		t.Errorf("first %+v, second %+v", one, two)
	}
	other, _, err := prefixed(t.Context(), p.account(t), prefix, "Who lights the lamp?")
	if err != nil {
		t.Fatal(err)
	}
	if other.read != 0 || other.write != one.write {
		t.Errorf("another account is told %+v", other)
	}
	short, _, err := prefixed(t.Context(), c, prefix[:1000], "Who lights the lamp?")
	if err != nil {
		t.Fatal(err)
	}
	if short.read != 0 || short.write != 0 {
		t.Errorf("a short prefix is told as %+v", short)
	}
	ratio := float64(warm) / float64(cold)
	t.Logf("%d tokens written, then %d read; first token after %v, then %v: %.2f of it", one.write, two.read, cold.Round(time.Millisecond), warm.Round(time.Millisecond), ratio)
	if *full && ratio > 0.25 {
		t.Errorf("the second call's first token took %.2f of the first's", ratio)
	}
}
