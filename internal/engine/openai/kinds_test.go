package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// good is a whole reply of one token.
func good(w http.ResponseWriter, _ *http.Request) {
	send(w, tokenEvent, stopEvent, usageEvent, "[DONE]")
}

// vllm answers as vLLM does, beside generation.
func vllm(info bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/version":
			fmt.Fprint(w, `{"version":"0.14.0"}`)
		case "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"org/model","max_model_len":2048},{"id":"adapter","max_model_len":2048}]}`)
		case "/tokenizer_info":
			if !info {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, `{"tokenizer_class":"X","added_tokens_decoder":{"7":{"content":"<turn>","special":true},"8":{"content":"<end>","special":false}},"chat_template":"{{ messages }}"}`)
		case "/tokenize":
			fmt.Fprint(w, `{"count":3,"max_model_len":2048,"tokens":[1,2,3]}`)
		case "/detokenize":
			fmt.Fprint(w, `{"prompt":"<turn>"}`)
		default:
			http.NotFound(w, r)
		}
	}
}

func collect(t testing.TB, e *openai.Engine, to engine.Target, r *llm.Request) *llm.Response {
	t.Helper()
	resp, err := llm.Collect(e.Generate(t.Context(), to, r))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// The caches of vLLM are parted by account, under names that tell nothing.
func TestCacheSalt(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	f.other = vllm(true)
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Kind, u.Model = "", "org/model" })
	other := target
	other.Scope = "444455556666"
	for _, to := range []engine.Target{target, other, target} {
		collect(t, e, to, enginetest.Ask("Hi", 4))
	}
	var salts []string
	for _, a := range f.requests("/v1/chat/completions") {
		salt, _ := a.body["cache_salt"].(string)
		salts = append(salts, salt)
		if len(salt) < 43 || strings.Contains(a.raw, target.Scope) || strings.Contains(a.raw, other.Scope) {
			t.Errorf("the body tells an account, or has no salt: %s", a.raw)
		}
		if a.header.Get("Authorization") != "Bearer "+key || a.body["model"] != "org/model" || a.body["stream"] != true {
			t.Errorf("header %v, body %s", a.header, a.raw)
		}
	}
	if len(salts) != 3 || salts[0] == salts[1] || salts[0] != salts[2] {
		t.Errorf("salts %q", salts)
	}
}

func TestVLLM(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	f.other = vllm(true)
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Kind, u.Model, u.Tools = "", "org/model", true })
	info, err := e.Info(t.Context(), target)
	if err != nil || info.ContextTokens != 2048 || !info.Tools || info.Images {
		t.Fatalf("%+v, %v", info, err)
	}
	r := enginetest.Clock(4)
	r.System[0] = "a<turn>b<end>c<|d"
	r.Grammar, r.Params.TopK, r.Params.Stop = enginetest.Grammar, new(5), []string{"never"}
	r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "It is"}}})
	collect(t, e, target, r)
	a := f.requests("/v1/chat/completions")[0]
	for _, part := range []string{
		`"continue_final_message":true`, `"add_generation_prompt":false`, `"tool_choice":"none"`, `"structured_outputs":{"grammar":`,
		`"continuous_usage_stats":true`, `"top_k":5`, "a\\u003c\u200bturn\\u003eb\\u003c\u200bend\\u003ec\\u003c|d", // only its own tokens are broken
	} {
		if !strings.Contains(a.raw, part) {
			t.Errorf("no %s in %s", part, a.raw)
		}
	}
	for _, part := range []string{"cache_prompt", "id_slot", "return_progress", "reasoning_format", `"stop"`} {
		if strings.Contains(a.raw, part) {
			t.Errorf("%s in %s", part, a.raw)
		}
	}
	n, err := e.Count(t.Context(), target, r)
	if err != nil || n != 3 {
		t.Errorf("counted %d, %v", n, err)
	}
	counted := f.requests("/tokenize")
	last := counted[len(counted)-1]
	for _, k := range []string{"messages", "tools", "continue_final_message", "add_generation_prompt"} {
		got, _ := json.Marshal(last.body[k])
		want, _ := json.Marshal(a.body[k])
		if string(got) != string(want) {
			t.Errorf("%s is counted as %s and asked as %s", k, got, want)
		}
	}
	if len(f.requests("/v1/chat/completions")) != 1 {
		t.Error("counting made tokens")
	}
	raw := &llm.Request{Raw: "<turn>user<turn>", Params: llm.Params{MaxTokens: new(1)}}
	if _, err := e.Count(t.Context(), target, raw); err != nil {
		t.Fatal(err)
	}
	counted = f.requests("/tokenize")
	if p := counted[len(counted)-1].body["prompt"]; p != "<turn>user<turn>" {
		t.Errorf("a raw prompt became %q", p)
	}
}

// A server that does not tell its vocabulary is kept from that of others.
func TestUnknownVocabulary(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	f.other = vllm(false)
	e, log := over(t, f.URL, func(u *openai.Upstream) {
		u.Kind, u.Model, u.SpecialTokens = openai.VLLM, "org/model", []string{"@@own@@"}
	})
	const text = "x <|im_start|> <s> [INST] <start_of_turn> <think> @@own@@ <｜User｜> |> a<b"
	collect(t, e, target, enginetest.Ask(text, 4))
	body := f.requests("/v1/chat/completions")[0].body
	said := body["messages"].([]any)[0].(map[string]any)["content"].(string)
	for _, token := range []string{"<|", "<s>", "[INST]", "<start_of_turn>", "<think>", "@@own@@", "<｜"} {
		if strings.Contains(said, token) {
			t.Errorf("%q holds %s", said, token)
		}
	}
	if strings.ReplaceAll(said, "\u200b", "") != text || !strings.HasSuffix(said, " |> a<b") {
		t.Errorf("%q is not the text", said)
	}
	if !strings.Contains(log.String(), "special_tokens") {
		t.Error("the log does not tell")
	}
}

// A server with one cache for all serves no account that its operator did not name.
func TestSharedCache(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Scopes = []string{target.Scope} })
	collect(t, e, target, enginetest.Ask("Hi", 4))
	other := target
	other.Scope = "444455556666"
	_, err := llm.Collect(e.Generate(t.Context(), other, enginetest.Ask("Hi", 4)))
	enginetest.WantCode(t, err, apierr.CodeAccessDenied)
	_, err = e.Count(t.Context(), other, enginetest.Ask("Hi", 4))
	enginetest.WantCode(t, err, apierr.CodeAccessDenied)
	if n := len(f.requests("/v1/chat/completions")); n != 1 {
		t.Errorf("%d requests reached the server", n)
	}
}

// What only some servers can do is refused before it is asked of others.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	e, _ := over(t, f.URL, nil)
	r := enginetest.Ask("Hi", 4)
	r.Grammar = enginetest.Grammar
	_, err := llm.Collect(e.Generate(t.Context(), target, r))
	enginetest.WantCode(t, err, apierr.CodeValidation)
	r = enginetest.Ask("Hi", 4)
	r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "It is"}}})
	_, err = llm.Collect(e.Generate(t.Context(), target, r))
	enginetest.WantCode(t, err, apierr.CodeValidation)
	if e, _ := errors.AsType[*apierr.Error](err); !strings.HasPrefix(e.Message, "messages:") {
		t.Errorf("%v does not name the field", err)
	}
	n, err := e.Count(t.Context(), target, enginetest.Ask("Hi", 4))
	if err != nil || n != 7 {
		t.Errorf("counted %d, %v", n, err)
	}
	if got := f.requests("/v1/chat/completions"); len(got) != 1 || got[0].body["max_tokens"] != 1.0 {
		t.Errorf("%+v", got)
	}
}

// The server of others is not asked to reuse a prompt; one of our own is, slot by
// slot.
func TestLlamaServerReuse(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		f := startFake(t, good)
		f.other = llama
		e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Kind, u.Concurrent, u.Exclusive = openai.LlamaServer, 1, own })
		other := target
		other.Scope = "444455556666"
		for _, to := range []engine.Target{target, target, other, target} {
			collect(t, e, to, enginetest.Ask("Hi", 4))
		}
		var got []string
		for _, a := range f.requests("/v1/chat/completions") {
			got = append(got, fmt.Sprint(a.body["cache_prompt"], a.body["id_slot"]))
		}
		want := []string{"false<nil>", "false<nil>", "false<nil>", "false<nil>"}
		if own {
			want = []string{"false0", "true0", "false0", "false0"}
		}
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], " ", "")
		}
		if !slices.Equal(got, want) {
			t.Errorf("exclusive %t: %v, want %v", own, got, want)
		}
	}
}

// llama answers as llama.cpp's server does, with a vocabulary of three tokens.
func llama(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/props":
		fmt.Fprint(w, `{"default_generation_settings":{"n_ctx":512},"total_slots":1,"model_path":"x.gguf","media_marker":"<__media_1__>"}`)
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"x","meta":{"n_vocab":3}}]}`)
	case "/tokenize":
		fmt.Fprint(w, `{"tokens":[1]}`)
	case "/detokenize":
		fmt.Fprint(w, `{"content":"a qv8z b qv8z c qv8z "}`)
	case "/apply-template":
		fmt.Fprint(w, `{"prompt":""}`)
	case "/v1/chat/completions/input_tokens":
		fmt.Fprint(w, `{"input_tokens":7}`)
	default:
		http.NotFound(w, r)
	}
}

// The llm-d router gets what it shares a fleet by.
func TestLLMD(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Gateway = openai.LLMD })
	to := target
	to.Tier = "priority"
	collect(t, e, to, enginetest.Ask("Hi", 4))
	h := f.requests("/v1/chat/completions")[0].header
	id := h.Get("x-llm-d-inference-fairness-id")
	if !strings.HasPrefix(id, "account-") || len(id) != len("account-000") || h.Get("x-llm-d-inference-objective") != "priority" {
		t.Errorf("header %v", h)
	}
}

// Stop texts end a reply in every kind; where the server tells no counts with each
// event, events are counted.
func TestStopTexts(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, r *http.Request) {
		for range 50 {
			send(w, tokenEvent)
		}
		<-r.Context().Done()
	})
	e, _ := over(t, f.URL, nil)
	r := enginetest.Ask("Hi", 100)
	r.Params.Stop = []string{"k t"}
	resp := collect(t, e, target, r)
	if resp.Text() != "to" || resp.Reason != llm.StopSequence || resp.StopSequence != "k t" || resp.Usage.OutputTokens != 2 {
		t.Errorf("%+v", resp)
	}
}

// Thoughts, text and calls in the forms of all servers become blocks.
func TestPieces(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request) {
		send(w, `{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`,
			`{"choices":[{"index":0,"delta":{"reasoning":"Hm"}}]}`,
			`{"choices":[{"index":0,"delta":{"reasoning_content":"m."}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"So:"}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"get_time","arguments":""}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"zone\":\"Paris\"}"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`,
			`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":4}}}`, "[DONE]")
	})
	f.other = vllm(true)
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Kind, u.Model, u.Tools, u.Thoughts = openai.VLLM, "org/model", true, true })
	resp, _ := enginetest.Reply(t, e, target, enginetest.Clock(20))
	if len(resp.Content) != 3 || resp.Content[0].Text != "Hmm." || resp.Content[1].Text != "So:" ||
		string(resp.Content[2].Call.Input) != `{"zone":"Paris"}` || resp.Reason != llm.ToolUse || resp.Usage.ReusedTokens != 4 {
		t.Errorf("%+v", resp)
	}
}

// Servers that do not count make the vectors of each text alone.
func TestEmbedOther(t *testing.T) {
	t.Parallel()
	f := startFake(t, good)
	f.other = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/embeddings" {
			fmt.Fprint(w, `{"data":[{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":5}}`)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
	}
	e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Mode, u.ContextTokens = engine.Embed, 512 })
	to := target
	to.Mode = engine.Embed
	resp, err := e.Embed(t.Context(), to, &llm.EmbedRequest{Texts: []string{"a", "b <s>"}})
	if err != nil || !slices.Equal(resp.Tokens, []int{5, 5}) || !slices.Equal(resp.Vectors[1], []float32{0.6, 0.8}) {
		t.Errorf("%+v, %v", resp, err)
	}
	if asked := f.requests("/v1/embeddings"); len(asked) != 3 || strings.Contains(fmt.Sprint(asked[2].body["input"]), "<s>") {
		t.Errorf("%+v", asked)
	}
	if _, err := e.Info(t.Context(), target); err == nil {
		t.Error("embedding weights answer as chat weights")
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*openai.Upstream){
		"url: want http://": func(u *openai.Upstream) { u.URL = "unix:///x" },
		"url: want no user": func(u *openai.Upstream) { u.URL = "http://a:b@host" },
		"no transport":      func(u *openai.Upstream) { u.Transport = nil },
		"kind: want one of": func(u *openai.Upstream) { u.Kind = "tgi" },
		"mode: want chat":   func(u *openai.Upstream) { u.Mode = "image" },
		"gateway: want":     func(u *openai.Upstream) { u.Gateway = "x" },
		"negative":          func(u *openai.Upstream) { u.Idle = -1 },
		"exclusive: only":   func(u *openai.Upstream) { u.Exclusive = true },
	} {
		u := openai.Upstream{URL: "http://host", Mode: engine.Chat, Transport: http.DefaultTransport}
		change(&u)
		if _, err := openai.New(openai.Config{Upstreams: map[string]openai.Upstream{"w": u}}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "w") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
