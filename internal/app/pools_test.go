package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// stand is a server that speaks OpenAI's API and answers its name. While broken is
// set it answers 500 to everything.
type stand struct {
	*httptest.Server
	name   string
	broken atomic.Bool
	calls  atomic.Int64
}

func newStand(t *testing.T, name string) *stand {
	t.Helper()
	s := &stand{name: name}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch {
	case s.broken.Load():
		http.Error(w, "it broke at "+s.URL, http.StatusInternalServerError)
	case r.URL.Path == "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"m","max_model_len":4096}]}`)
	case r.URL.Path == "/tokenize":
		fmt.Fprint(w, `{"count":5,"tokens":[1,2,3]}`)
	case r.URL.Path == "/detokenize":
		fmt.Fprint(w, `{"prompt":""}`)
	case r.URL.Path == "/health":
	case r.URL.Path == "/v1/chat/completions":
		s.calls.Add(1)
		for _, e := range []string{
			`{"choices":[{"index":0,"delta":{"content":"` + s.name + `"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}`, "[DONE]",
		} {
			fmt.Fprintf(w, "data: %s\n\n", e)
		}
	default:
		http.NotFound(w, r)
	}
}

// upstream is the configuration of the server.
func (s *stand) upstream() app.Upstream {
	return app.Upstream{Name: s.name, URL: s.URL, Kind: "vllm"}
}

const poolModel = "acme.pool-v1:0"

// startPool starts a server before others; source is that of the catalogue.
func startPool(t *testing.T, source string, change func(*app.Config), upstreams ...app.Upstream) *apptest.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(file, []byte(`
weights:
  - {id: pool, name: Pool, license: MIT, source: `+source+`, mode: chat, context_tokens: 4096, default_max_tokens: 64}
models:
  - {id: "`+poolModel+`", name: Pool, provider: Acme, family: converse, weights: pool, streaming: true, profiles: [us]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "own"})), apptest.Log(slog.New(slog.DiscardHandler)), apptest.Config(func(c *app.Config) {
		c.Catalog, c.Upstreams = file, upstreams
		c.Pools.ProbeInterval = new(time.Duration(0))
		if change != nil {
			change(c)
		}
	}))
}

// asked is a call in a region: the reply and the headers of the answer.
func asked(t *testing.T, s *apptest.Server, region, model string) (string, http.Header, error) {
	t.Helper()
	cfg := s.AWS(s.Key)
	cfg.Region = region
	out, err := bedrockruntime.NewFromConfig(cfg).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(model), Messages: said("hi")})
	if err != nil {
		return "", nil, err
	}
	return replyText(t, out), awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response).Header, nil
}

// A call is answered in its region, or in one of those of its cross-region profile,
// and nowhere else, whatever fails.
func TestPoolRegions(t *testing.T) {
	t.Parallel()
	east, frankfurt := newStand(t, "east"), newStand(t, "frankfurt")
	us, eu := east.upstream(), frankfurt.upstream()
	us.Region, eu.Region = "us-east-1", "eu-central-1"
	s := startPool(t, "{upstreams: [east, frankfurt]}", nil, us, eu)
	for name, c := range map[string]struct{ region, model, want, header string }{
		"at home":                {"us-east-1", poolModel, "east", ""},
		"in another":             {"eu-central-1", poolModel, "frankfurt", ""},
		"in one without servers": {"us-west-2", poolModel, "", ""},
		"through a profile":      {"us-west-2", "us." + poolModel, "east", "us-east-1"},
		"through it, at home":    {"us-east-1", "us." + poolModel, "east", ""},
	} {
		text, header, err := asked(t, s, c.region, c.model)
		if c.want == "" {
			wantCode(t, name, err, apierr.CodeModelNotReady)
			if !strings.Contains(err.Error(), "us-west-2") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || text != c.want || header.Get("X-Outcrop-Inference-Region") != c.header {
			t.Errorf("%s: %q from %q, %v", name, text, header.Get("X-Outcrop-Inference-Region"), err)
		}
	}
	east.broken.Store(true)
	before := frankfurt.calls.Load()
	for _, region := range []string{"us-east-1", "us-west-2"} {
		_, _, err := asked(t, s, region, "us."+poolModel)
		if err == nil || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", region, err)
		}
	}
	if n := frankfurt.calls.Load(); n != before {
		t.Errorf("%d calls left their region", n-before)
	}
}

// When the first server fails, the next in order answers; when all do, other weights
// of this machine, and the answer tells.
func TestPoolFailover(t *testing.T) {
	t.Parallel()
	first, second := newStand(t, "first"), newStand(t, "second")
	a, b := first.upstream(), second.upstream()
	b.Order, b.MaxTokens = 1, 100_000
	s := startPool(t, "{upstreams: [second, first], local: smollm2-135m-instruct}", nil, a, b)
	for _, c := range []struct {
		fail *stand
		text string
		by   string
	}{
		{nil, "first", "pool"},
		{first, "second", "pool"},
		{second, "own", "smollm2-135m-instruct; stand-in"},
	} {
		if c.fail != nil {
			c.fail.broken.Store(true)
		}
		for range 5 {
			text, header, err := asked(t, s, "us-east-1", poolModel)
			if err != nil || text != c.text || header.Get("X-Outcrop-Served-By") != c.by {
				t.Errorf("%q by %q, want %q: %v", text, header.Get("X-Outcrop-Served-By"), c.text, err)
			}
		}
	}
}

// A server that is named alone keeps to its region too, and is never left out.
func TestPoolOfOne(t *testing.T) {
	t.Parallel()
	only := newStand(t, "only")
	u := only.upstream()
	u.Region = "us-east-1"
	s := startPool(t, "{upstream: only}", func(c *app.Config) { c.Pools.HedgeAfter = time.Minute }, u)
	if text, _, err := asked(t, s, "us-east-1", poolModel); err != nil || text != "only" {
		t.Errorf("%q, %v", text, err)
	}
	_, _, err := asked(t, s, "eu-central-1", poolModel)
	wantCode(t, "elsewhere", err, apierr.CodeModelNotReady)
	only.broken.Store(true)
	for range 5 {
		if _, _, err := asked(t, s, "us-east-1", poolModel); err == nil {
			t.Error("it works")
		}
	}
	only.broken.Store(false)
	if text, _, err := asked(t, s, "us-east-1", poolModel); err != nil || text != "only" {
		t.Errorf("after a failure: %q, %v", text, err)
	}
}

// The example of the documentation is a configuration that works.
func TestPoolExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "upstreams.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Several servers\n")
	blocks := strings.Split(section, "```")
	if len(blocks) < 4 {
		t.Fatal("the example is not there")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"key": "k", "outcrop.yaml": blocks[1], "my-models.yaml": blocks[3]} {
		text = strings.TrimPrefix(text, "yaml\n")
		text = strings.NewReplacer("/run/secrets/rented", filepath.Join(dir, "key"), "./my-models.yaml", filepath.Join(dir, "my-models.yaml")).Replace(text)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := app.LoadConfig(filepath.Join(dir, "outcrop.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Listen = filepath.Join(dir, "data"), "127.0.0.1:0"
	s, err := app.New(t.Context(), cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	all := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(all, []byte("pools: {probe_interval: 0s, probe_timeout: 1s, failures: 5, eject: 10s, eject_max: 1m, attempts: 2, retry_within: 20s, hedge_after: 2s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = app.LoadConfig(all); err != nil || *cfg.Pools.ProbeInterval != 0 || cfg.Pools.HedgeAfter != 2*time.Second || cfg.Pools.Attempts != 2 {
		t.Errorf("%+v, %v", cfg.Pools, err)
	}
}

// What cannot work is refused at the start, and the message names the place.
func TestPoolErrors(t *testing.T) {
	t.Parallel()
	two := []app.Upstream{{Name: "a", URL: "http://127.0.0.1:1"}, {Name: "b", URL: "http://127.0.0.1:2"}}
	for want, c := range map[string]struct {
		source string
		change func(*app.Config)
	}{
		`no upstream "c"`:                     {"{upstreams: [a, c]}", nil},
		"upstreams: a name stands twice":      {"{upstreams: [a, a]}", nil},
		"want exactly one of them, not 2":     {"{upstream: a, upstreams: [b]}", nil},
		"model, local: only beside upstream":  {"{file: /x, local: smollm2-135m-instruct}", nil},
		`source.local: no weights have`:       {"{upstream: a, local: none}", nil},
		"source.local: all-minilm-l6-v2 diff": {"{upstream: a, local: all-minilm-l6-v2}", nil},
		`source.local: pool run on a server`:  {"{upstream: a, local: pool}", nil},
		"max_tokens and order must not":       {"{upstreams: [a, b]}", func(c *app.Config) { c.Upstreams[0].Order = -1 }},
		`region: "mars" is not a region`:      {"{upstreams: [a, b]}", func(c *app.Config) { c.Upstreams[1].Region = "mars" }},
		"pools: probe_interval":               {"{upstreams: [a, b]}", func(c *app.Config) { c.Pools.Failures = -1 }},
		"pools: eject_max must not":           {"{upstreams: [a, b]}", func(c *app.Config) { c.Pools.EjectMax = time.Second }},
	} {
		dir := t.TempDir()
		cat := filepath.Join(dir, "catalogue.yaml")
		if err := os.WriteFile(cat, []byte("weights:\n  - {id: pool, name: Pool, license: MIT, source: "+c.source+", mode: chat, context_tokens: 4096, default_max_tokens: 64}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := app.Config{DataDir: dir, Listen: "127.0.0.1:0", Catalog: cat, Upstreams: append([]app.Upstream(nil), two...)}
		if c.change != nil {
			c.change(&cfg)
		}
		s, err := app.New(t.Context(), cfg, nil, nil)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
