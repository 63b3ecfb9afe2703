package app_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const fleetModel = "acme.fleet-70b-v1:0"

// fleet is a server that speaks OpenAI's API, and what it was asked.
type fleet struct {
	mu   sync.Mutex
	auth []string
	asks []string
}

// ServeHTTP implements http.Handler.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"fleet-70b","max_model_len":32768}]}`)
	case "/tokenize":
		fmt.Fprint(w, `{"count":11,"tokens":[1,2,3]}`)
	case "/detokenize":
		fmt.Fprint(w, `{"prompt":""}`)
	case "/v1/chat/completions":
		f.mu.Lock()
		f.auth, f.asks = append(f.auth, r.Header.Get("Authorization")), append(f.asks, string(raw))
		f.mu.Unlock()
		for _, e := range []string{
			`{"choices":[{"index":0,"delta":{"content":"From the "}}]}`, `{"choices":[{"index":0,"delta":{"content":"fleet."}}]}`,
			`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3}}`, "[DONE]",
		} {
			fmt.Fprintf(w, "data: %s\n\n", e)
		}
	default:
		http.NotFound(w, r)
	}
}

const fleetCatalogue = `
weights:
  - id: fleet-70b
    name: Fleet 70B
    license: Apache-2.0
    source: {upstream: fleet}
    mode: chat
    context_tokens: 32768
    default_max_tokens: 1024
models:
  - id: ` + fleetModel + `
    name: Fleet 70B
    provider: Acme
    family: converse
    weights: fleet-70b
    streaming: true
`

// startFleet starts a server before a fleet. change may alter its configuration.
func startFleet(t *testing.T, url string, change func(*app.Config)) *apptest.Server {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "From here."})), apptest.Log(slog.New(slog.DiscardHandler)), apptest.Config(func(c *app.Config) {
		c.Catalog = file("catalogue.yaml", fleetCatalogue)
		c.Upstreams = []app.Upstream{{Name: "fleet", URL: url, Kind: "vllm", KeyFile: file("key", "s3cret\n")}}
		c.Engine.MaxContext = 512 // does not bind a fleet
		if change != nil {
			change(c)
		}
	}))
}

// TestUpstream: a model of the catalogue is answered by another server, over its
// CA, with its key, and every other model still by the engine here.
func TestUpstream(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	backend := httptest.NewTLSServer(f)
	t.Cleanup(backend.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: backend.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startFleet(t, backend.URL+"/v1", func(c *app.Config) { c.Upstreams[0].CAFile = ca })
	c := s.Runtime()
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(fleetModel), Messages: said("hi"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(int32(900))}})
	if err != nil {
		t.Fatal(err)
	}
	if replyText(t, out) != "From the fleet." || *out.Usage.InputTokens != 11 || *out.Usage.OutputTokens != 3 || out.StopReason != types.StopReasonEndTurn {
		t.Errorf("%q, %+v", replyText(t, out), *out.Usage)
	}
	stream, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(fleetModel), Messages: said("hi")})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for ev := range stream.GetStream().Events() {
		if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			text += d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
		}
	}
	if err := stream.GetStream().Err(); err != nil || text != "From the fleet." {
		t.Errorf("stream %q, %v", text, err)
	}
	n, err := c.CountTokens(t.Context(), &bedrockruntime.CountTokensInput{ModelId: new(fleetModel), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: said("hi")}}})
	if err != nil || *n.InputTokens != 11 {
		t.Errorf("counted %+v, %v", n, err)
	}
	out, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")})
	if err != nil || replyText(t, out) != "From here." {
		t.Errorf("another model: %v", err)
	}
	list, err := s.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{ByProvider: new("Acme")})
	if err != nil || len(list.ModelSummaries) != 1 || *list.ModelSummaries[0].ModelId != fleetModel {
		t.Errorf("%+v, %v", list, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.auth, func(a string) bool { return a != "Bearer s3cret" }) || strings.Contains(strings.Join(f.asks, ""), s.Account) {
		t.Errorf("the fleet was asked with %q: %q", f.auth, f.asks)
	}
}

// TestUpstreamEgress: the list of destinations binds calls to models too.
func TestUpstreamEgress(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	backend := httptest.NewServer(f)
	t.Cleanup(backend.Close)
	for name, c := range map[string]struct {
		egress app.Egress
		code   string
	}{
		"the configured servers": {app.Egress{}, ""},
		"its host in the list":   {app.Egress{Upstream: []string{strings.TrimPrefix(backend.URL, "http://")}}, ""},
		"a list without it":      {app.Egress{Upstream: []string{"fleet.example:443"}}, apierr.CodeModelNotReady},
		"an empty list":          {app.Egress{Upstream: []string{}}, apierr.CodeModelNotReady},
		"off":                    {app.Egress{Off: true}, apierr.CodeModelNotReady},
	} {
		s := startFleet(t, backend.URL, func(cfg *app.Config) { cfg.Egress = c.egress })
		client := bedrockruntime.NewFromConfig(s.AWS(s.Key), func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 })
		_, err := client.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(fleetModel), Messages: said("hi")})
		if c.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.code != "" {
			wantCode(t, name, err, c.code)
		}
	}
}

// TestUpstreamAccounts: two accounts never share a part of a fleet's cache.
func TestUpstreamAccounts(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	backend := httptest.NewServer(f)
	t.Cleanup(backend.Close)
	s := startFleet(t, backend.URL, nil)
	const other = "444455556666"
	s.AutoApprove(t, other)
	for _, cfg := range []keys.Created{s.Key, s.NewKey(t, other, keys.SigV4)} {
		if _, err := bedrockruntime.NewFromConfig(s.AWS(cfg)).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(fleetModel), Messages: said("hi")}); err != nil {
			t.Fatal(err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	salts := map[string]bool{}
	for _, a := range f.asks {
		_, rest, _ := strings.Cut(a, `"cache_salt":"`)
		salt, _, _ := strings.Cut(rest, `"`)
		salts[salt] = true
	}
	if len(salts) != 3 || salts[""] { // the self-test and two accounts
		t.Errorf("salts %v", salts)
	}
}

// What cannot work is refused at the start, and the message names the place.
func TestUpstreamErrors(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := app.Upstream{Name: "fleet", URL: "http://127.0.0.1:1"}
	for want, change := range map[string]func(*app.Upstream){
		`no upstream "fleet"`:        func(u *app.Upstream) { u.Name = "other" },
		"has no name":                func(u *app.Upstream) { u.Name = "" },
		"url is missing":             func(u *app.Upstream) { u.URL = "" },
		"url: want http://":          func(u *app.Upstream) { u.URL = "fleet:8000" },
		"kind: want one of":          func(u *app.Upstream) { u.Kind = "gpt" },
		"want one of them":           func(u *app.Upstream) { u.KeyFile, u.KeyEnv = "a", "b" },
		"key_file":                   func(u *app.Upstream) { u.KeyFile = "/no/such/file" },
		"there is no key":            func(u *app.Upstream) { u.KeyFile = empty },
		"ca_file: it holds no":       func(u *app.Upstream) { u.CAFile = empty },
		"connect_timeout must not":   func(u *app.Upstream) { u.ConnectTimeout = -1 },
		"the timeouts must not":      func(u *app.Upstream) { u.Idle = -1 },
		"exclusive: only for kind l": func(u *app.Upstream) { u.Exclusive = true },
	} {
		u := good
		change(&u)
		dir := t.TempDir()
		cat := filepath.Join(dir, "catalogue.yaml")
		if err := os.WriteFile(cat, []byte(fleetCatalogue), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := app.New(t.Context(), app.Config{DataDir: dir, Listen: "127.0.0.1:0", Catalog: cat, Upstreams: []app.Upstream{u}}, nil, nil)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
