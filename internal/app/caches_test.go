package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/llm"
)

// counted is an engine that numbers its replies.
func counted() (*scripted.Engine, *atomic.Int64) {
	var n atomic.Int64
	e := scripted.New()
	e.Script = func(engine.Target, *llm.Request) *scripted.Reply {
		return &scripted.Reply{Text: fmt.Sprintf("reply number %d", n.Add(1))}
	}
	return e, &n
}

// answers is an HTTP client that keeps what the last answer told of caches.
type answers struct {
	inner bedrockruntime.HTTPClient
	mu    sync.Mutex
	cache string
}

func (a *answers) Do(r *http.Request) (*http.Response, error) {
	resp, err := a.inner.Do(r)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cache = resp.Header.Get("x-outcrop-cache")
	}
	return resp, err
}

func (a *answers) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cache
}

// cachedClient is an SDK client of an account, and what its answers tell.
func cachedClient(t *testing.T, s *apptest.Server, k keys.Created) (*bedrockruntime.Client, *answers) {
	t.Helper()
	cfg := s.AWS(k)
	a := &answers{inner: cfg.HTTPClient}
	cfg.HTTPClient = a
	return bedrockruntime.NewFromConfig(cfg), a
}

// asking sends a header with a call.
func asking(word string) func(*bedrockruntime.Options) {
	return func(o *bedrockruntime.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("x-outcrop-cache", word))
	}
}

// streamed is the text of a stream.
func streamed(t *testing.T, c *bedrockruntime.Client, in *bedrockruntime.ConverseStreamInput) string {
	t.Helper()
	out, err := c.ConverseStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	var text strings.Builder
	for ev := range st.Events() {
		if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			text.WriteString(d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value)
		}
	}
	if err := st.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

const second = "111122223333"

// TestResponseCache: one reply for Converse and its stream, whole or streamed, with
// its usage; nothing for another account.
func TestResponseCache(t *testing.T) {
	t.Parallel()
	e, made := counted()
	s := apptest.Start(t, apptest.Engine(e), apptest.Config(func(c *app.Config) { c.Caches.Responses.Accounts, c.Usage.Strict = []string{"*"}, true }))
	s.AutoApprove(t, second)
	c, tell := cachedClient(t, s, s.Key)
	exact := &types.InferenceConfiguration{Temperature: new(float32(0))}
	in := &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hello"), InferenceConfig: exact}
	expect := func(what, text, wantText, wantHeader string) {
		t.Helper()
		if text != wantText || tell.said() != wantHeader {
			t.Errorf("%s: %q with %q, want %q with %q", what, text, tell.said(), wantText, wantHeader)
		}
	}
	var usage []types.TokenUsage
	for _, want := range []string{"miss", "hit"} {
		out, err := c.Converse(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		expect("Converse", replyText(t, out), "reply number 1", want)
		usage = append(usage, *out.Usage)
	}
	if *usage[0].InputTokens != *usage[1].InputTokens || *usage[0].OutputTokens != *usage[1].OutputTokens || *usage[1].OutputTokens == 0 {
		t.Errorf("usage %+v", usage)
	}
	text := streamed(t, c, &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, InferenceConfig: exact})
	expect("ConverseStream", text, "reply number 1", "hit")

	body := []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"messages":[{"role":"user","content":"native"}]}`)
	for _, step := range []struct{ ask, text, header string }{
		{"perhaps", "reply number 2", ""}, {"on", "reply number 3", "miss"}, {"on", "reply number 3", "hit"},
		{"refresh", "reply number 4", "miss"}, {"on", "reply number 4", "hit"}, {"off", "reply number 5", ""},
	} {
		out, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: in.ModelId, ContentType: new("application/json"), Body: body}, asking(step.ask))
		if err != nil {
			t.Fatal(err)
		}
		var native struct{ Content []struct{ Text string } }
		if err := json.Unmarshal(out.Body, &native); err != nil {
			t.Fatal(err)
		}
		expect("InvokeModel, "+step.ask, native.Content[0].Text, step.text, step.header)
	}

	in.RequestMetadata = map[string]string{"outcrop-cache": "off"}
	out, err := c.Converse(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	expect("off by metadata", replyText(t, out), "reply number 6", "")
	in.RequestMetadata = nil

	mine := tell
	c, tell = cachedClient(t, s, s.NewKey(t, second, keys.SigV4))
	if out, err = c.Converse(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	expect("another account", replyText(t, out), "reply number 7", "miss")
	tell = mine
	if made.Load() != 7 {
		t.Errorf("%d replies were made", made.Load())
	}
	hits := 0
	for _, r := range s.Usage(t, s.Account, 50) {
		if r.Operation == "Converse" && r.Status == http.StatusOK && (r.InputTokens == 0 || r.OutputTokens == 0 || r.ServedBy == "") {
			t.Errorf("a call was not metered: %+v", r)
		}
		hits++
	}
	if hits != 10 {
		t.Errorf("%d usage records, want one for each call", hits)
	}
}

// TestCoalescedCalls: calls that come while the reply is made share it, and each is
// answered in its own way.
func TestCoalescedCalls(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	e := scripted.New(scripted.Reply{Text: "one two three", Pace: func(ctx context.Context, i int) error {
		if i == 1 {
			close(begun)
			select {
			case <-goOn:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}})
	s := apptest.Start(t, apptest.Engine(e), apptest.Config(func(c *app.Config) { c.Caches.Coalesce.Accounts = []string{keys.DefaultAccount} }))
	in := &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hello"), InferenceConfig: &types.InferenceConfiguration{Temperature: new(float32(0))}}
	var wg sync.WaitGroup
	first, leave := context.WithCancel(t.Context())
	wg.Go(func() { // goes away in the middle of the reply
		c, _ := cachedClient(t, s, s.Key)
		out, err := c.ConverseStream(first, in)
		if err != nil {
			t.Error(err)
			return
		}
		st := out.GetStream()
		defer st.Close()
		for range st.Events() {
		}
	})
	<-begun
	const followers = 5
	heard := make(chan struct{}, followers)
	for range followers {
		wg.Go(func() {
			c, tell := cachedClient(t, s, s.Key)
			out, err := c.ConverseStream(t.Context(), in)
			if err != nil {
				t.Error(err)
				return
			}
			st := out.GetStream()
			defer st.Close()
			var text strings.Builder
			for ev := range st.Events() {
				if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
					text.WriteString(d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value)
					if text.String() == "one" {
						heard <- struct{}{}
					}
				}
			}
			if err := st.Err(); err != nil || text.String() != "one two three" || tell.said() != "coalesced" {
				t.Errorf("%q, %q, %v", text.String(), tell.said(), err)
			}
		})
	}
	for range followers {
		<-heard
	}
	leave()
	close(goOn)
	wg.Wait()
	if e.Calls() != 1 {
		t.Errorf("%d replies were made", e.Calls())
	}
}

// TestSemanticProfile: a tag of an application inference profile switches its
// semantic cache on.
func TestSemanticProfile(t *testing.T) {
	t.Parallel()
	e, made := counted()
	s := apptest.Start(t, apptest.Engine(e), apptest.Config(func(c *app.Config) { c.Caches.Semantic.Accounts = []string{"*"} }))
	profile := func(name string, tags ...bedrocktypes.Tag) string {
		t.Helper()
		out, err := s.Bedrock().CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{
			InferenceProfileName: new(name), Tags: tags,
			ModelSource: &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/" + haiku},
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.InferenceProfileArn
	}
	tagged := profile("near", bedrocktypes.Tag{Key: new("outcrop:semantic-cache"), Value: new("0.9")})
	plain := profile("plain")
	c, tell := cachedClient(t, s, s.Key)
	for i, step := range []struct{ model, text, want, header string }{
		{tagged, "what is it", "reply number 1", "miss"}, {tagged, "what is it", "reply number 1", "semantic-hit"}, {tagged, "what else", "reply number 2", "miss"},
		{plain, "what is it", "reply number 3", ""}, {plain, "what is it", "reply number 4", ""}, {haiku, "what is it", "reply number 5", ""},
	} {
		out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(step.model), Messages: said(step.text)})
		if err != nil {
			t.Fatal(err)
		}
		if got := replyText(t, out); got != step.want || tell.said() != step.header {
			t.Errorf("call %d: %q with %q, want %q with %q", i, got, tell.said(), step.want, step.header)
		}
	}
	if made.Load() != 5 {
		t.Errorf("%d replies were made", made.Load())
	}
	if _, err := s.Bedrock().UntagResource(t.Context(), &bedrock.UntagResourceInput{ResourceARN: &tagged, TagKeys: []string{"outcrop:semantic-cache"}}); err != nil {
		t.Fatal(err)
	}
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(tagged), Messages: said("what is it")})
	if err != nil || replyText(t, out) != "reply number 6" || tell.said() != "" {
		t.Errorf("without the tag: %+v, %q, %v", out, tell.said(), err)
	}
}

// TestCacheInvalidation: another model file and a lost permission end what is kept.
func TestCacheInvalidation(t *testing.T) {
	t.Parallel()
	e, _ := counted()
	models := t.TempDir()
	install := func(digit string) {
		t.Helper()
		const id = "smollm2-135m-instruct"
		sum := strings.Repeat(digit, 64)
		if err := os.MkdirAll(filepath.Join(models, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(models, id, sum+".gguf"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(models, id, "manifest.json"), []byte(`{"id":"`+id+`","sha256":"`+sum+`","size":1}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install("a")
	s := apptest.Start(t, apptest.Engine(e), apptest.Config(func(c *app.Config) { c.Caches.Responses.Accounts, c.ModelsDir = []string{"*"}, models }))
	c, tell := cachedClient(t, s, s.Key)
	ask := func(want string) {
		t.Helper()
		_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hello"), InferenceConfig: &types.InferenceConfiguration{Temperature: new(float32(0))}})
		if err != nil || tell.said() != want {
			t.Errorf("%q, want %q: %v", tell.said(), want, err)
		}
	}
	ask("miss")
	ask("hit")
	install("b")
	ask("miss")
	ask("hit")
	install("a") // the file is the first one again
	ask("hit")

	s2, tell2 := cachedClient(t, s, s.NewKey(t, second, keys.SigV4))
	_, err := s2.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hello"), InferenceConfig: &types.InferenceConfiguration{Temperature: new(float32(0))}})
	if e := new(types.AccessDeniedException); !errors.As(err, &e) || tell2.said() != "" {
		t.Errorf("an account without access: %v, %q", err, tell2.said())
	}
}

// TestCachesConfig: what cannot work is said at the start.
func TestCachesConfig(t *testing.T) {
	t.Parallel()
	for part, edit := range map[string]func(*app.Caches){
		"caches: responses: accounts":     func(c *app.Caches) { c.Responses.Accounts = []string{"all"} },
		"caches: coalesce: accounts":      func(c *app.Caches) { c.Coalesce.Accounts = []string{"12"} },
		"caches: semantic: accounts":      func(c *app.Caches) { c.Semantic.Accounts = []string{""} },
		"caches: embed_batch: accounts":   func(c *app.Caches) { c.EmbedBatch.Accounts = []string{"1234567890123"} },
		"caches: responses: ttl and":      func(c *app.Caches) { c.Responses.TTL = -1 },
		"caches: responses: ttl and byte": func(c *app.Caches) { c.Responses.Bytes = -1 },
		"caches: semantic: ttl and":       func(c *app.Caches) { c.Semantic.Questions = -1 },
		"caches: embed_batch: window":     func(c *app.Caches) { c.EmbedBatch.Window = 2e9 },
		"caches: embed_batch: max":        func(c *app.Caches) { c.EmbedBatch.Max = 1 },
		`no weights "nothing"`:            func(c *app.Caches) { c.Semantic.Accounts, c.Semantic.Weights = []string{"*"}, "nothing" },
		`no weights "smollm2-135m-instr`:  func(c *app.Caches) { c.Semantic.Accounts, c.Semantic.Weights = []string{"*"}, "smollm2-135m-instruct" },
	} {
		cfg := app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}
		edit(&cfg.Caches)
		if _, err := app.New(t.Context(), cfg, nil, scriptedEngine); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %s", err, part)
		}
	}
}
