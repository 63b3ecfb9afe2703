package app_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const passedCatalogue = `
weights:
  - id: passed-haiku
    name: Haiku elsewhere
    license: commercial
    source: {upstream: elsewhere, model: ` + haiku + `}
    mode: chat
    context_tokens: 8192
    default_max_tokens: 512
  - id: passed-titan
    name: Titan elsewhere
    license: commercial
    source: {upstream: elsewhere, model: "amazon.titan-embed-text-v2:0"}
    mode: embed
    context_tokens: 8192
    dimensions: 1024
models:
  - id: acme.passed-v1:0
    name: Passed on
    provider: Acme
    family: anthropic
    weights: passed-haiku
    streaming: true
  - id: acme.passed-embed-v1:0
    name: Passed embeddings
    provider: Acme
    family: titan
    weights: passed-titan
    output: [EMBEDDING]
    dimensions: 1024
`

// startPassing starts a server before another one, and returns both. far changes
// what the upstream is configured with.
func startPassing(t *testing.T, e engine.Engine, far func(*app.Upstream, *apptest.Server)) (near, upstream *apptest.Server) {
	t.Helper()
	upstream = apptest.Start(t, apptest.Engine(e))
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	u := app.Upstream{
		Name: "elsewhere", URL: upstream.Endpoint, Kind: "bedrock", Region: "us-east-1", CredentialsProfile: "far",
		CredentialsFile: file("credentials", fmt.Sprintf("[far]\naws_access_key_id = %s\naws_secret_access_key = %s\n", upstream.Key.ID, upstream.Key.Secret.Reveal())),
	}
	if far != nil {
		far(&u, upstream)
	}
	near = apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "From here."})), apptest.Log(slog.New(slog.DiscardHandler)), apptest.Config(func(c *app.Config) {
		c.Catalog, c.Upstreams = file("catalogue.yaml", passedCatalogue), []app.Upstream{u}
	}))
	return near, upstream
}

const passed = "acme.passed-v1:0"

// TestPassThrough: a model of another Bedrock answers conversations, streams, native
// bodies, tool calls, formats, counts and embeddings, with the numbers that are told
// there.
func TestPassThrough(t *testing.T) {
	t.Parallel()
	e := scripted.New(scripted.Reply{Text: "From there, word by word."})
	e.Tools = true
	calls := make(chan *llm.Request, 100)
	e.Observe = func(_ engine.Target, r *llm.Request) { calls <- r }
	e.Script = func(_ engine.Target, r *llm.Request) *scripted.Reply {
		if r.Grammar != "" && len(r.Tools) == 0 && !strings.Contains(fmt.Sprint(r.System), "get_time") {
			return &scripted.Reply{Text: `{"n":7}`}
		}
		return nil
	}
	near, far := startPassing(t, e, nil)
	c := near.Runtime()
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(passed), Messages: said("hi there")})
	if err != nil {
		t.Fatal(err)
	}
	direct, err := far.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi there")})
	if err != nil {
		t.Fatal(err)
	}
	if replyText(t, out) != "From there, word by word." || *out.Usage.InputTokens != *direct.Usage.InputTokens || *out.Usage.OutputTokens != *direct.Usage.OutputTokens {
		t.Errorf("%q, %+v, there %+v", replyText(t, out), out.Usage, direct.Usage)
	}
	s, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(passed), Messages: said("hi there")})
	if err != nil {
		t.Fatal(err)
	}
	deltas, text := 0, ""
	for ev := range s.GetStream().Events() {
		if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			deltas++
			text += d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
		}
	}
	if err := s.GetStream().Err(); err != nil || deltas < 4 || text != "From there, word by word." {
		t.Errorf("stream %q in %d pieces, %v", text, deltas, err)
	}
	n, err := c.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: new(passed), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: said("hi there")}}})
	if err != nil || *n.InputTokens != *out.Usage.InputTokens {
		t.Errorf("counted %+v, %v", n, err)
	}
	var native struct {
		Content []struct{ Text string }
	}
	invoke(t, c, passed, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, &native)
	if len(native.Content) != 1 || native.Content[0].Text != "From there, word by word." {
		t.Errorf("native %+v", native)
	}
	var vector struct {
		Embedding []float32
		Tokens    int `json:"inputTextTokenCount"`
	}
	invoke(t, c, "acme.passed-embed-v1:0", `{"inputText":"three words here"}`, &vector)
	if len(vector.Embedding) != 1024 || vector.Tokens < 3 {
		t.Errorf("%d numbers, %d tokens", len(vector.Embedding), vector.Tokens)
	}
	for len(calls) > 0 {
		<-calls
	}
	out, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: new(passed), Messages: said("a number"),
		OutputConfig: &types.OutputConfig{TextFormat: &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{
			Value: types.JsonSchemaDefinition{Schema: new(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}`)},
		}}},
	})
	if err != nil || replyText(t, out) != `{"n":7}` {
		t.Errorf("format: %v", err)
	}
	if r := <-calls; r.Grammar == "" { // the upstream makes it hold
		t.Errorf("the format was lost on the way: %+v", r)
	}
	_, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: new(passed), Messages: said("what time is it"), ToolConfig: &types.ToolConfiguration{
			Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: new("get_time"), InputSchema: &types.ToolInputSchemaMemberJson{
				Value: document.NewLazyDocument(map[string]any{"type": "object"}),
			}}}},
			ToolChoice: &types.ToolChoiceMemberAny{Value: types.AnyToolChoice{}},
		},
	})
	if r := <-calls; r.Grammar == "" || !strings.Contains(r.Grammar, "get_time") {
		t.Errorf("the choice of tools was lost on the way: %v", err)
	}
}

// TestPassThroughErrors: what is refused there is an error of the model here, unless
// the caller can do something about it.
func TestPassThroughErrors(t *testing.T) {
	t.Parallel()
	busy := apierr.Throttling("busy there")
	busy.RetryAfter = 9_000_000_000
	for name, c := range map[string]struct {
		reply  scripted.Reply
		far    func(*app.Upstream, *apptest.Server)
		code   string
		status int
	}{
		"busy":        {reply: scripted.Reply{Err: busy}, code: apierr.CodeThrottling},
		"failed":      {reply: scripted.Reply{Err: apierr.ModelError("no")}, code: apierr.CodeModelError},
		"another key": {far: func(u *app.Upstream, s *apptest.Server) { s.Disable(t, s.Key.ID) }, code: apierr.CodeModelError, status: 403},
		"another bearer": {far: func(u *app.Upstream, _ *apptest.Server) {
			u.CredentialsFile, u.CredentialsProfile, u.KeyEnv = "", "", "HOME"
		}, code: apierr.CodeModelError, status: 403},
		"nobody there": {far: func(u *app.Upstream, _ *apptest.Server) { u.URL = "http://127.0.0.1:1" }, code: apierr.CodeModelNotReady},
	} {
		near, _ := startPassing(t, scripted.New(c.reply), c.far)
		_, err := near.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(passed), Messages: said("hi")})
		wantCode(t, name, err, c.code)
		if e, ok := errors.AsType[*types.ModelErrorException](err); c.status != 0 && (!ok || e.OriginalStatusCode == nil || int(*e.OriginalStatusCode) != c.status) {
			t.Errorf("%s: %+v", name, e)
		}
		if e, ok := errors.AsType[smithy.APIError](err); ok && strings.Contains(e.ErrorMessage(), "there") {
			t.Errorf("%s: %s", name, e.ErrorMessage())
		}
	}
}

// TestPassThroughBearer: a bearer key of the other Bedrock works in place of an
// access key.
func TestPassThroughBearer(t *testing.T) {
	near, _ := startPassing(t, scripted.New(scripted.Reply{Text: "From there."}), func(u *app.Upstream, s *apptest.Server) {
		t.Setenv("OUTCROP_TEST_FAR_KEY", string(s.NewKey(t, s.Account, keys.Bearer).Secret.Reveal()))
		u.CredentialsFile, u.CredentialsProfile, u.KeyEnv = "", "", "OUTCROP_TEST_FAR_KEY"
	})
	out, err := near.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(passed), Messages: said("hi")})
	if err != nil || replyText(t, out) != "From there." {
		t.Errorf("%v", err)
	}
}

// TestUpstreamKinds: settings that a kind has none of are refused at the start.
func TestUpstreamKinds(t *testing.T) {
	t.Parallel()
	for want, u := range map[string]app.Upstream{
		"region: missing":                     {Kind: "bedrock", KeyEnv: "HOME"},
		"want one of them for kind bedrock":   {Kind: "bedrock", Region: "us-east-1"},
		"only for kind bedrock":               {URL: "http://127.0.0.1:1", CredentialsEnv: "AWS_"},
		"only beside credentials_file":        {Kind: "bedrock", Region: "us-east-1", CredentialsEnv: "AWS_", CredentialsProfile: "x"},
		"image_sizes: want such as 1024x1024": {URL: "http://127.0.0.1:1", Kind: "openai-images", ImageSizes: []string{"big"}},
		"only for servers of OpenAI's images": {URL: "http://127.0.0.1:1", Kind: "sd-server", ImageSampling: true},
		"url is missing":                      {Kind: "sd-server"},
	} {
		u.Name = "u"
		_, err := app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Upstreams: []app.Upstream{u}}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "upstreams: u: ") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
