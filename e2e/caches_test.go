package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const allCaches = `caches: {responses: {accounts: ["*"]}, coalesce: {accounts: ["*"]}, semantic: {accounts: ["*"]}, embed_batch: {accounts: ["*"]}}`

// TestCaches runs clients/boto3_caches.py against a scripted engine that counts.
func TestCaches(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted, config: allCaches})
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "boto3_caches.py", "OUTCROP="+string(command))
}

// TestCachesOfWeights: on the real engine, calls that come together and one after
// the other all have the reply that one of them had made.
func TestCachesOfWeights(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: allCaches})
	c := newGoClients(srv)
	ask := func(ctx context.Context) (string, time.Duration) {
		begin := time.Now()
		out, err := c.rt.Converse(ctx, &bedrockruntime.ConverseInput{
			ModelId: aws.String(smollm), Messages: say("Name three rivers."),
			InferenceConfig: &types.InferenceConfiguration{Temperature: aws.Float32(0), MaxTokens: aws.Int32(20)},
		})
		if err != nil {
			t.Error(err)
			return "", 0
		}
		m := out.Output.(*types.ConverseOutputMemberMessage).Value
		return m.Content[0].(*types.ContentBlockMemberText).Value, time.Since(begin)
	}
	replies := make([]string, 8)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() { replies[i], _ = ask(t.Context()) })
	}
	wg.Wait()
	again, took := ask(t.Context())
	for i, r := range replies {
		if r == "" || r != again {
			t.Errorf("call %d: %q, from the cache %q", i, r, again)
		}
	}
	t.Logf("from the cache in %s: %q", took, again)
}
