package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
)

// cacheTeller is an HTTP client that keeps what the last answer told of caches.
type cacheTeller struct {
	inner bedrockruntime.HTTPClient
	said  string
}

func (c *cacheTeller) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.inner.Do(r)
	if err == nil {
		c.said = resp.Header.Get("x-outcrop-cache")
	}
	return resp, err
}

// startCaching is a product all of whose caches are on.
func startCaching(t *testing.T) *product {
	t.Helper()
	p := &product{}
	p.Server = apptest.Start(t, apptest.RealEngine(), apptest.Config(func(c *app.Config) {
		c.Engine.QueueDeadline = 10 * time.Minute
		all := []string{"*"}
		c.Caches = app.Caches{
			Responses: app.ResponseCache{Accounts: all}, Coalesce: app.Coalesce{Accounts: all},
			Semantic: app.SemanticCache{Accounts: all}, EmbedBatch: app.EmbeddingBatch{Accounts: all, Window: 5 * time.Millisecond, Max: 64},
		}
	}))
	return p
}

// TestCaches runs the caches on the real engine: a reply from a cache is the one
// that the weights would make, and questions that mean the same find each other.
func TestCaches(t *testing.T) {
	t.Parallel()
	p := startCaching(t)
	c := p.account(t)
	tell := &cacheTeller{inner: c.cfg.HTTPClient}
	cfg := c.cfg
	cfg.HTTPClient = tell
	rt := bedrockruntime.NewFromConfig(cfg)
	ask := func(model, text, what string) (reply string, usage types.TokenUsage, took time.Duration) {
		t.Helper()
		begin := time.Now()
		in := &bedrockruntime.ConverseInput{
			ModelId:         aws.String(model),
			Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}},
			InferenceConfig: &types.InferenceConfiguration{Temperature: aws.Float32(0), MaxTokens: aws.Int32(24)},
		}
		if what != "" {
			in.RequestMetadata = map[string]string{"outcrop-cache": what}
		}
		out, err := rt.Converse(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		m := out.Output.(*types.ConverseOutputMemberMessage).Value
		return m.Content[0].(*types.ContentBlockMemberText).Value, *out.Usage, time.Since(begin)
	}

	const question = "Name three rivers of Europe."
	made, madeUsage, slow := ask(smollm, question, "")
	kept, keptUsage, quick := ask(smollm, question, "")
	if tell.said != "hit" || kept != made || *keptUsage.InputTokens != *madeUsage.InputTokens || *keptUsage.OutputTokens != *madeUsage.OutputTokens {
		t.Errorf("%q: %q and %q, %+v and %+v", tell.said, made, kept, madeUsage, keptUsage)
	}
	again, _, _ := ask(smollm, question, "off")
	if tell.said != "" || again != made {
		t.Errorf("%q: made again it is %q, kept was %q", tell.said, again, made)
	}
	t.Logf("a reply takes %s from the weights and %s from the cache", slow, quick)

	out, err := bedrock.NewFromConfig(c.cfg).CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("near"), Tags: []bedrocktypes.Tag{{Key: aws.String("outcrop:semantic-cache"), Value: aws.String("0.85")}},
		ModelSource: &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/" + smollm},
	})
	if err != nil {
		t.Fatal(err)
	}
	near := *out.InferenceProfileArn
	for _, step := range []struct{ text, want string }{
		{"What is the capital city of France?", "miss"},
		{"what's the capital city of France", "semantic-hit"},
		{"What is the capital city of Poland?", "miss"},
		{"How do I bake sourdough bread at home?", "miss"},
		{"What is the boiling point of water at 100 m?", "miss"},
		{"What is the boiling point of water at 200 m?", "miss"}, // near, but not the same number
	} {
		ask(near, step.text, "")
		if tell.said != step.want {
			t.Errorf("%q: %q, want %q", step.text, tell.said, step.want)
		}
	}
}

// TestEmbeddingBatches: a vector from a shared pass is the one that the text has
// alone, to the last digit, and so are its tokens.
func TestEmbeddingBatches(t *testing.T) {
	t.Parallel()
	p := startCaching(t)
	c := p.account(t)
	s := spaces()[0]
	const n = 32
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("Text %d is about %s.", i, strings.Repeat("rivers and mountains, ", i%9))
	}
	alone := make([]embedded, n)
	begin := time.Now()
	for i, text := range texts {
		e, err := s.embed(t.Context(), c, text)
		if err != nil {
			t.Fatal(err)
		}
		alone[i] = e
	}
	one := time.Since(begin)
	begin = time.Now()
	together, err := s.embedAll(t.Context(), c, texts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d texts one after the other: %s; at once: %s", n, one, time.Since(begin))
	for i := range texts {
		if together[i].raw != alone[i].raw || together[i].tokens != alone[i].tokens {
			t.Errorf("text %d: its vector depends on the others; cosine %.9f", i, cosine(together[i].vector, alone[i].vector))
		}
	}
}

// embedAll embeds texts at the same time, one call for each.
func (s space) embedAll(ctx context.Context, c *client, texts []string) ([]embedded, error) {
	out, errs := make([]embedded, len(texts)), make([]error, len(texts))
	var wg sync.WaitGroup
	for i, text := range texts {
		wg.Go(func() { out[i], errs[i] = s.embed(ctx, c, text) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
