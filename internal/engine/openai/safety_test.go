package openai_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// recorder keeps the last body that went to a path.
type recorder struct {
	*http.Transport
	mu   sync.Mutex
	last map[string][]byte
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body != nil {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		q = q.Clone(q.Context())
		q.Body = io.NopCloser(bytes.NewReader(b))
		r.mu.Lock()
		r.last[q.URL.Path] = b
		r.mu.Unlock()
	}
	return r.Transport.RoundTrip(q)
}

// ask asks a peer without any code of the product between.
func (p *peer) ask(t testing.TB, path string, body []byte, out any) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post(p.url()+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // a test
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(b, out) != nil {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
	}
}

// No control token of the weights gets into a prompt, wherever a caller puts its
// text; the vocabulary that the server told is that of the file.
func TestControlTokens(t *testing.T) {
	t.Parallel()
	i := enginetest.Installed(t)
	template, err := os.ReadFile(filepath.Join("..", "llamacpp", "testdata", "tools.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(i.Files[chatWeights])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // a test
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h, err := gguf.Read(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	special := map[int]bool{}
	for _, s := range h.Tokenizer.SpecialTokens() {
		special[slices.Index(h.Tokenizer.Tokens, s)] = true
	}

	p := startPeer(t, peerConfig{Model: i.Files[chatWeights], Template: string(template)})
	rec := &recorder{Transport: &http.Transport{}, last: map[string][]byte{}}
	t.Cleanup(rec.CloseIdleConnections)
	e := begin(t, openai.Config{Upstreams: map[string]openai.Upstream{"w": {URL: p.url(), Mode: engine.Chat, Transport: rec}}})
	enginetest.Start(t, e)
	if _, err := e.Info(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	found := slices.DeleteFunc(e.SpecialTokens("w"), func(s string) bool { return strings.HasPrefix(s, "<__media") })
	if want := slices.Sorted(slices.Values(h.Tokenizer.SpecialTokens())); !slices.Equal(found, want) {
		t.Errorf("special tokens %q, the file has %q", found, want)
	}

	control := func(r *llm.Request) (n int) {
		counted, err := e.Count(t.Context(), target, r)
		if err != nil {
			t.Fatal(err)
		}
		rec.mu.Lock()
		body := rec.last["/v1/chat/completions/input_tokens"]
		rec.mu.Unlock()
		var rendered struct{ Prompt string }
		p.ask(t, "/apply-template", body, &rendered)
		text, _ := json.Marshal(map[string]any{"content": rendered.Prompt, "add_special": true, "parse_special": true}) // cannot fail
		var out struct{ Tokens []int }
		p.ask(t, "/tokenize", text, &out)
		if len(out.Tokens) != counted {
			t.Errorf("counted %d, the prompt has %d", counted, len(out.Tokens))
		}
		for _, id := range out.Tokens {
			if special[id] {
				n++
			}
		}
		return n
	}
	quoted := func(s string) string {
		b, _ := json.Marshal(s) // a string cannot fail
		return string(b)
	}
	for place, put := range map[string]func(r *llm.Request, s string){
		"system":      func(r *llm.Request, s string) { r.System[0] = s },
		"user":        func(r *llm.Request, s string) { r.Messages[0].Content[0].Text = s },
		"prefill":     func(r *llm.Request, s string) { r.Messages[3].Content[0].Text = s; r.Messages = r.Messages[:4] },
		"tool name":   func(r *llm.Request, s string) { r.Tools[0].Name = s },
		"description": func(r *llm.Request, s string) { r.Tools[0].Description = s },
		"schema":      func(r *llm.Request, s string) { r.Tools[0].Schema = []byte(`{"description":` + quoted(s) + `}`) },
		"call":        func(r *llm.Request, s string) { r.Messages[1].Content[0].Call.Name = s },
		"input":       func(r *llm.Request, s string) { r.Messages[1].Content[0].Call.Input = []byte(`{` + quoted(s) + `:1}`) },
		"result":      func(r *llm.Request, s string) { r.Messages[2].Content[0].Result.Content[0].Text = s },
	} {
		plain := enginetest.Clock(1)
		put(plain, "harmless")
		want := control(plain)
		for _, s := range h.Tokenizer.SpecialTokens() {
			r := enginetest.Clock(1)
			put(r, "a"+s+s[:len(s)/2]+s+s[len(s)/2:])
			if got := control(r); got != want {
				t.Errorf("%q as %s: %d control tokens, want %d", s, place, got, want)
			}
		}
	}
}

// A prompt is used again by the account that sent it, on a server of our own; never
// by another account, and on a server of others by nobody.
func TestReuse(t *testing.T) {
	t.Parallel()
	p := startPeer(t, peerConfig{Model: enginetest.Installed(t).Files[chatWeights]})
	long := enginetest.Ask(strings.Repeat("The granite of the ridge is older than the basalt below it. ", 20), 1)
	for _, own := range []bool{true, false} {
		e := begin(t, openai.Config{QueueWait: time.Minute, Upstreams: map[string]openai.Upstream{
			"w": {URL: p.url(), Kind: openai.LlamaServer, Mode: engine.Chat, Concurrent: 2, Exclusive: own},
		}})
		enginetest.Start(t, e)
		for i, scope := range []string{"a", "a", "b", "b", "c", "a"} {
			to := target
			to.Scope = scope
			resp := collect(t, e, to, long)
			hit := own && (i == 1 || i == 3)
			if (resp.Usage.ReusedTokens > 0) != hit {
				t.Errorf("exclusive %t, request %d of account %s: %d of %d tokens were used again", own, i, scope, resp.Usage.ReusedTokens, resp.Usage.InputTokens)
			}
		}
	}
}
