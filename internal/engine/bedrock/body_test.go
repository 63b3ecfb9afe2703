package bedrock_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/bedrock"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// TestBody: what goes out is Converse, and nothing of the caller but his content.
func TestBody(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
		stream(w, startFrame, textFrame("ok"), stopFrame, usageFrame)
	})
	e, _ := over(t, f.URL, nil)
	r := enginetest.Clock(2000)
	r.System = []string{"Be brief."}
	r.Params.Stop, r.BuiltinStop = []string{"END"}, []string{"\n\nHuman:", "END"}
	r.Params.TopK, r.Params.Seed = new(5), new(int64(3))
	r.Choice = llm.Choice{Kind: llm.ChooseNamed, Name: "get_time"}
	r.Cache = &llm.Mark{Message: 1}
	r.Thinking = &llm.Thinking{Budget: 100}
	r.Messages[0].Content = append(r.Messages[0].Content, enginetest.Picture(8, 8))
	r.Messages[1].Content = append([]llm.Block{
		{Kind: llm.Reasoning, Text: "signed", Signature: "sig"}, {Kind: llm.Reasoning, Text: "unsigned"}, {Kind: llm.Reasoning, Redacted: []byte("x")},
	}, r.Messages[1].Content...)
	if _, err := outcome(t, e, r); err != nil {
		t.Fatal(err)
	}
	a := f.all()[0]
	if a.path != "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream" {
		t.Errorf("path %s", a.path)
	}
	auth := a.header.Get("Authorization")
	if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260102/us-west-2/bedrock/aws4_request") || a.header.Get("X-Amz-Security-Token") != sessionToken {
		t.Errorf("signed with %s", auth)
	}
	for _, never := range []string{"cachePoint", "requestMetadata", "111122223333", "unsigned"} {
		if strings.Contains(a.raw, never) {
			t.Errorf("%s goes out: %s", never, a.raw)
		}
	}
	want := map[string]any{
		"maxTokens": 2000.0, "temperature": 0.0, "stopSequences": []any{"END", "\n\nHuman:"},
	}
	if !reflect.DeepEqual(a.body["inferenceConfig"], want) {
		t.Errorf("inferenceConfig %v", a.body["inferenceConfig"])
	}
	if got := fmt.Sprint(a.body["additionalModelRequestFields"]); got != "map[thinking:map[budget_tokens:1024 type:enabled] top_k:5]" {
		t.Errorf("additional fields %s", got)
	}
	for _, part := range []string{
		`"toolChoice":{"tool":{"name":"get_time"}}`, `"toolUse":{"toolUseId":"tooluse_Rome","name":"get_time","input":{"zone":"Rome"}}`,
		`"toolResult":{"toolUseId":"tooluse_Rome","content":[{"text":"10:00"}]}`, `"reasoningText":{"text":"signed","signature":"sig"}`,
		`"redactedContent":"eA=="`, `"image":{"format":"png","source":{"bytes":"`, `"system":[{"text":"Be brief."}]`, `"/stop_sequence"`,
	} {
		if !strings.Contains(a.raw, part) {
			t.Errorf("no %s in %s", part, a.raw)
		}
	}
}

// TestFormat: formats go out as they are; without tools their blocks become text.
func TestFormat(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
		stream(w, startFrame, textFrame("{}"), stopFrame, usageFrame)
	})
	e, _ := over(t, f.URL, nil)
	r := enginetest.Clock(20)
	r.Choice.Kind = llm.ChooseNone
	r.Format = &llm.Format{Schema: []byte(`{"type":"object"}`), Name: "n"}
	if _, err := outcome(t, e, r); err != nil {
		t.Fatal(err)
	}
	a := f.all()[0]
	if strings.Contains(a.raw, "toolUse") || strings.Contains(a.raw, "toolResult") || a.body["toolConfig"] != nil || !strings.Contains(a.raw, "get_time") {
		t.Errorf("body %s", a.raw)
	}
	if got, _ := json.Marshal(a.body["outputConfig"]); string(got) != `{"textFormat":{"structure":{"jsonSchema":{"name":"n","schema":"{\"type\":\"object\"}"}},"type":"json_schema"}}` {
		t.Errorf("outputConfig %s", got)
	}
}

// TestReply: blocks, ids, signatures, usage and stop texts come back as they are.
func TestReply(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
		stream(w, startFrame,
			frame("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm."}}}`),
			frame("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"sig"}}}`),
			frame("contentBlockStop", `{"contentBlockIndex":0}`),
			frame("contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"It is 1"},"p":"abcd"}`),
			frame("contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"0:00."}}`),
			frame("contentBlockStop", `{"contentBlockIndex":1}`),
			frame("contentBlockStart", `{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"tooluse_A-1","name":"get_time"}}}`),
			frame("contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"zone\":"}}}`),
			frame("contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"Oslo\"}"}}}`),
			frame("contentBlockStop", `{"contentBlockIndex":2}`),
			frame("contentBlockStart", `{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"../../x","name":"get_time"}}}`),
			frame("contentBlockStop", `{"contentBlockIndex":3}`),
			frame("someLaterEvent", `{}`),
			frame("messageStop", `{"stopReason":"tool_use"}`),
			frame("metadata", `{"usage":{"inputTokens":7,"outputTokens":20,"cacheReadInputTokens":5,"cacheWriteInputTokens":3}}`))
	})
	e, _ := over(t, f.URL, nil)
	resp, events := enginetest.Reply(t, e, target, enginetest.Clock(60))
	if len(resp.Content) != 4 || resp.Content[0].Signature != "sig" || resp.Content[1].Text != "It is 10:00." ||
		resp.Content[2].Call.ID != "tooluse_A-1" || string(resp.Content[2].Call.Input) != `{"zone":"Oslo"}` || strings.Contains(resp.Content[3].Call.ID, "/") {
		t.Errorf("%+v", resp.Content)
	}
	if resp.Reason != llm.ToolUse || resp.Usage.InputTokens != 15 || resp.Usage.ReusedTokens != 5 || resp.Usage.OutputTokens != 20 {
		t.Errorf("%s, %+v", resp.Reason, resp.Usage)
	}
	if s := events[0].Served; s == nil || s.Region != "us-west-2" {
		t.Errorf("served %+v", s)
	}
}

// TestStops: a stop text is told by the upstream, found in the text, or guessed when
// there is one.
func TestStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, stop string
		stops      []string
		builtin    []string
		want       string
		hit        string
		reason     llm.StopReason
	}{
		"told":           {"a b", `{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"X"}}`, []string{"X", "Y"}, nil, "a b", "X", llm.StopSequence},
		"told, builtin":  {"a b", `{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"Y"}}`, []string{"X"}, []string{"Y"}, "a b", "Y", llm.EndTurn},
		"the only one":   {"a b", `{"stopReason":"stop_sequence"}`, []string{"X"}, nil, "a b", "X", llm.StopSequence},
		"one of several": {"a b", `{"stopReason":"stop_sequence"}`, []string{"X", "Y"}, nil, "a b", "", llm.StopSequence},
		"in the text":    {"a bX c", `{"stopReason":"end_turn"}`, []string{"X"}, nil, "a b", "X", llm.StopSequence},
		"a made up one":  {"a b", `{"stopReason":"end_turn","additionalModelResponseFields":{"stop_sequence":"Z"}}`, []string{"X"}, nil, "a b", "", llm.EndTurn},
		"a made up end":  {"a b", `{"stopReason":"because"}`, nil, nil, "a b", "", llm.EndTurn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
				stream(w, startFrame, textFrame(c.text), textFrame(" more")[:0], frame("messageStop", c.stop), usageFrame)
			})
			e, _ := over(t, f.URL, nil)
			r := enginetest.Ask("hi", 9)
			r.Params.Stop, r.BuiltinStop = c.stops, c.builtin
			resp, _ := enginetest.Reply(t, e, target, r)
			if resp.Text() != c.want || resp.StopSequence != c.hit || resp.Reason != c.reason || resp.Usage.InputTokens != 7 {
				t.Errorf("%q by %s %q, %+v", resp.Text(), resp.Reason, resp.StopSequence, resp.Usage)
			}
		})
	}
}

// TestCountWithoutCountTokens: a model that does not count answers one token.
func TestCountWithoutCountTokens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		code   string
		again  int // requests for CountTokens, of two counts
	}{
		"not of this model": {400, "ValidationException", 2},
		"no permission":     {403, "AccessDeniedException", 1},
		"no such operation": {404, "UnknownOperationException", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
				if strings.HasSuffix(a.path, "/count-tokens") {
					refuse(w, c.status, c.code, "The provided model doesn't support counting tokens.")
					return
				}
				fmt.Fprint(w, `{"usage":{"inputTokens":30,"cacheReadInputTokens":12,"outputTokens":1}}`)
			})
			e, _ := over(t, f.URL, nil)
			for range 2 {
				if n, err := e.Count(t.Context(), target, enginetest.Ask("hi", 500)); n != 42 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			counts := 0
			for _, a := range f.all() {
				if strings.HasSuffix(a.path, "/count-tokens") {
					counts++
				} else if got := fmt.Sprint(a.body["inferenceConfig"]); got != "map[maxTokens:1]" {
					t.Errorf("asked with %s", got)
				}
			}
			if counts != c.again {
				t.Errorf("asked %d times, want %d", counts, c.again)
			}
		})
	}
}

// TestEmbedCodecs: each model's own body, and what is no vector.
func TestEmbedCodecs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model, answer, body string
		code                string
	}{
		"titan v1":       {"amazon.titan-embed-text-v1", `{"embedding":[3,4],"inputTextTokenCount":5}`, `{"inputText":"a"}`, ""},
		"titan v2":       {"amazon.titan-embed-text-v2:0", `{"embedding":[3,4],"inputTextTokenCount":5}`, `{"dimensions":2,"inputText":"a","normalize":true}`, ""},
		"cohere v3":      {"cohere.embed-english-v3", `{"embeddings":[[3,4]]}`, `{"input_type":"search_document","texts":["a"],"truncate":"NONE"}`, ""},
		"cohere v4":      {"us.cohere.embed-v4:0", `{"embeddings":{"float":[[3,4]]}}`, `{"embedding_types":["float"],"input_type":"search_document","output_dimension":2,"texts":["a"],"truncate":"NONE"}`, ""},
		"too short":      {"amazon.titan-embed-text-v1", `{"embedding":[3],"inputTextTokenCount":5}`, "", apierr.CodeModelError},
		"without tokens": {"amazon.titan-embed-text-v1", `{"embedding":[3,4]}`, "", apierr.CodeModelError},
		"zero":           {"amazon.titan-embed-text-v1", `{"embedding":[0,0],"inputTextTokenCount":5}`, "", apierr.CodeModelError},
		"no JSON":        {"amazon.titan-embed-text-v1", `[`, "", apierr.CodeModelError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
				w.Header().Set("X-Amzn-Bedrock-Input-Token-Count", "5")
				fmt.Fprint(w, c.answer)
			})
			e, _ := over(t, f.URL, func(u *bedrock.Upstream) { u.Model, u.Mode, u.Dimensions = c.model, engine.Embed, 2 })
			resp, err := e.Embed(t.Context(), engine.Target{Weights: "w", Mode: engine.Embed}, &llm.EmbedRequest{Texts: []string{"a"}})
			if c.code != "" {
				enginetest.WantCode(t, err, c.code)
				return
			}
			if err != nil || resp.Tokens[0] != 5 || resp.Vectors[0][0] != 0.6 || f.all()[0].raw != c.body {
				t.Errorf("%+v, %v, asked with %s", resp, err, f.all()[0].raw)
			}
		})
	}
}

// TestBearerKey: a key is sent as it is, and nothing is signed.
func TestBearerKey(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
		stream(w, startFrame, textFrame("ok"), stopFrame, usageFrame)
	})
	e, _ := over(t, f.URL, func(u *bedrock.Upstream) {
		u.Credentials, u.Key, u.Header = nil, secret.NewString("bearer"), http.Header{"X-Team": {"a"}, "Authorization": {"no"}}
	})
	if _, err := outcome(t, e, enginetest.Ask("hi", 4)); err != nil {
		t.Fatal(err)
	}
	if h := f.all()[0].header; h.Get("Authorization") != "Bearer bearer" || h.Get("X-Team") != "a" || h.Get("X-Amz-Date") != "" {
		t.Errorf("header %v", h)
	}
}

// TestFileCredentials: a profile is read, read again when it changes, and holds while
// the file is being written.
func TestFileCredentials(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now().Add(-time.Hour)
	write("[default]\naws_access_key_id = A\naws_secret_access_key = a\n\n[profile work]\n# no\naws_access_key_id=B\naws_secret_access_key=b=/+\naws_session_token = c\n", begin)
	f, err := bedrock.FromFile(path, "work")
	if err != nil {
		t.Fatal(err)
	}
	k, err := f.Credentials()
	if err != nil || k.AccessKeyID != "B" || string(k.Secret.Reveal()) != "b=/+" || string(k.Session.Reveal()) != "c" {
		t.Errorf("%s %q, %v", k.AccessKeyID, k.Secret.Reveal(), err)
	}
	write("", begin.Add(time.Minute))
	if k, err = f.Credentials(); err != nil || k.AccessKeyID != "B" {
		t.Errorf("an empty file: %s, %v", k.AccessKeyID, err)
	}
	write("[work]\naws_access_key_id = D\naws_secret_access_key = d\n", begin.Add(2*time.Minute))
	if k, err = f.Credentials(); err != nil || k.AccessKeyID != "D" || !k.Session.IsZero() {
		t.Errorf("a new file: %s, %v", k.AccessKeyID, err)
	}
	if _, err := bedrock.FromFile(path, "other"); err == nil || strings.Contains(err.Error(), "d\n") {
		t.Errorf("a missing profile: %v", err)
	}
}

// TestConfig: what cannot work is refused at the start, by its name.
func TestConfig(t *testing.T) {
	t.Parallel()
	good := bedrock.Upstream{Region: "us-east-1", Model: haiku, Mode: engine.Chat, Key: secret.NewString("k"), Transport: http.DefaultTransport, ContextTokens: 100}
	cases := map[string]func(*bedrock.Upstream){
		"url":            func(u *bedrock.Upstream) { u.URL = "ftp://x" },
		"region":         func(u *bedrock.Upstream) { u.Region = "us-east-1.evil.example/" },
		"model":          func(u *bedrock.Upstream) { u.Model = "" },
		"transport":      func(u *bedrock.Upstream) { u.Transport = nil },
		"mode":           func(u *bedrock.Upstream) { u.Mode = engine.Completion },
		"dimensions":     func(u *bedrock.Upstream) { u.Mode, u.Model = engine.Embed, titan },
		"embeddings":     func(u *bedrock.Upstream) { u.Mode, u.Dimensions = engine.Embed, 4 },
		"context_tokens": func(u *bedrock.Upstream) { u.ContextTokens = 0 },
		"timeouts":       func(u *bedrock.Upstream) { u.Idle = -1 },
		"credentials":    func(u *bedrock.Upstream) { u.Key = secret.Value{} },
	}
	for want := range maps.Keys(cases) {
		u := good
		cases[want](&u)
		if _, err := bedrock.New(bedrock.Config{Upstreams: map[string]bedrock.Upstream{"w": u}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := bedrock.New(bedrock.Config{Upstreams: map[string]bedrock.Upstream{"w": good}}); err != nil {
		t.Error(err)
	}
	if got := bedrock.Endpoint("cn-north-1"); got != "https://bedrock-runtime.cn-north-1.amazonaws.com.cn" {
		t.Error(got)
	}
}
