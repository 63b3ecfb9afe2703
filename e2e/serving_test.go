package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// fakeServer builds the llama-server that computes nothing, under a name that tells
// it what to do.
func fakeServer(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./fakeserver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// serving runs a client script against a server; OUTCROP tells it the command line,
// DATA the data directory.
func serving(t *testing.T, srv *server, script string, env ...string) {
	t.Helper()
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, script, append(env, "OUTCROP="+string(command), "DATA="+srv.data, "CONFIG="+srv.config)...)
}

// TestLine runs clients/serving_line.py: one slot, a line of 4 s before it, and the
// page of metrics.
func TestLine(t *testing.T) {
	t.Parallel()
	serving(t, startFor(t, options{config: fmt.Sprintf(
		"engine: {command: %q, slots: 1, queue_deadline: 4s, replicas: 1}\nmetrics: true\ncaches: {responses: {accounts: [\"*\"]}}", fakeServer(t, "llama-server"),
	)}), "serving_line.py")
}

// TestTokenBudget runs clients/serving_budget.py: four slots that share 2,048 tokens.
func TestTokenBudget(t *testing.T) {
	t.Parallel()
	serving(t, startFor(t, options{config: fmt.Sprintf(
		"engine: {command: %q, slots: 4, max_context: 2048, kv_tokens: 2048, replicas: 1}", fakeServer(t, "llama-server"),
	)}), "serving_budget.py")
}

// TestReplicas runs clients/serving_replicas.py: two processes of one slot each, the
// second of which comes when callers wait.
func TestReplicas(t *testing.T) {
	t.Parallel()
	serving(t, startFor(t, options{config: fmt.Sprintf("engine: {command: %q, slots: 1, replicas: 2}", fakeServer(t, "llama-server"))}), "serving_replicas.py")
}

// TestLoading runs clients/serving_loading.py: a call waits for a load of 3 s, and not
// for one of four minutes.
func TestLoading(t *testing.T) {
	t.Parallel()
	for _, takes := range []string{"3s", "4m"} {
		t.Run(takes, func(t *testing.T) {
			t.Parallel()
			srv := startFor(t, options{config: fmt.Sprintf("engine: {command: %q}", fakeServer(t, "llama-server-takes-"+takes))})
			serving(t, srv, "serving_loading.py", "TAKES="+takes)
		})
	}
}

// TestHostileEngine runs clients/serving_hostile.py: a program in the engine's place
// looks around, confined as shipped, and with the sandbox off.
func TestHostileEngine(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "oc") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for name, off := range map[string]bool{"confined": false, "free": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startFor(t, options{config: fmt.Sprintf("engine: {command: %q, sandbox: {off: %t}}", fakeServer(t, "llama-server"), off)})
			serving(t, srv, "serving_hostile.py", "HOW="+name, "SOCKET="+socket)
		})
	}
}

// stand is a server that speaks OpenAI's API, as vLLM does, and answers its name.
type stand struct {
	name string
	how  atomic.Value // "" is well; "broken" answers 500, "cut" breaks off after the first word
}

// ServeHTTP implements http.Handler.
func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	how, _ := s.how.Load().(string)
	if how == "broken" && !strings.HasPrefix(r.URL.Path, "/be/") {
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/be/well", "/be/broken", "/be/cut":
		s.how.Store(strings.TrimPrefix(r.URL.Path, "/be/"))
	case "/health":
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"m","max_model_len":4096}]}`)
	case "/tokenize":
		fmt.Fprint(w, `{"count":5,"tokens":[1,2,3,4,5]}`)
	case "/detokenize":
		fmt.Fprint(w, `{"prompt":""}`)
	case "/v1/chat/completions":
		lines := []string{
			`{"choices":[{"index":0,"delta":{"content":"` + s.name + `"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}`, "[DONE]",
		}
		if how == "cut" {
			lines = lines[:1]
		}
		for _, line := range lines {
			fmt.Fprintf(w, "data: %s\n\n", line)
		}
		if how == "cut" {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	default:
		http.NotFound(w, r)
	}
}

// TestFleet runs clients/serving_fleet.py: a model on three servers in two regions,
// and weights of this machine behind one of them.
func TestFleet(t *testing.T) {
	t.Parallel()
	urls := map[string]string{}
	var upstreams strings.Builder
	for i, s := range []struct{ name, region string }{{"first", "us-east-1"}, {"second", "us-east-1"}, {"frankfurt", "eu-central-1"}} {
		up := httptest.NewServer(&stand{name: s.name})
		t.Cleanup(up.Close)
		urls[s.name] = up.URL
		fmt.Fprintf(&upstreams, "  - {name: %s, url: %q, kind: vllm, region: %s, order: %d}\n", s.name, up.URL, s.region, i%2)
	}
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(file, []byte(`
weights:
  - {id: fleet, name: Fleet, license: MIT, source: {upstreams: [first, second, frankfurt]}, mode: chat, context_tokens: 4096, default_max_tokens: 64}
  - {id: backed, name: Backed, license: MIT, source: {upstreams: [first], local: smollm2-135m-instruct}, mode: chat, context_tokens: 4096, default_max_tokens: 64}
models:
  - {id: "acme.fleet-v1:0", name: Fleet, provider: Acme, family: converse, weights: fleet, streaming: true, profiles: [us, eu, global]}
  - {id: "acme.backed-v1:0", name: Backed, provider: Acme, family: converse, weights: backed, streaming: true}
  - {id: anthropic.claude-v2, lifecycle: {end_of_life: 2024-01-01}}
  - {id: anthropic.claude-v2:1, lifecycle: {legacy: 2024-01-01}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := startFor(t, options{config: fmt.Sprintf("catalog: %q\npools: {probe_interval: 0s}\nupstreams:\n%s", file, &upstreams)})
	b, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, srv, "serving_fleet.py", "STANDS="+string(b))
}

// TestComeAndGo runs clients/serving_models.py on the real engine: a model that is
// loaded before anybody asks, sleeps, leaves and comes back; three models side by side.
func TestComeAndGo(t *testing.T) {
	t.Parallel()
	serving(t, startFor(t, options{config: "engine: {preload: [smollm2-135m-instruct], idle_sleep: 2s, idle_unload: 4s}"}), "serving_models.py")
}

// TestNewVersion puts another file in the place of a model's while eight callers ask
// it without a pause and without retries. No call fails, and all of them are with the
// new process in the end.
func TestNewVersion(t *testing.T) {
	t.Parallel()
	const id = "smollm2-135m-instruct"
	models := t.TempDir()
	dir := filepath.Join(models, id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	about := map[string]any{}
	b, err := os.ReadFile(filepath.Join(s.models, id, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &about); err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(s.models, id, about["sha256"].(string)+".gguf"))
	if err != nil {
		t.Fatal(err)
	}
	install := func(digit string) {
		about["sha256"] = strings.Repeat(digit, 64)
		b, err := json.Marshal(about)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, about["sha256"].(string)+".gguf"), weights, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "new"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "manifest.json")); err != nil {
			t.Fatal(err)
		}
	}
	install("1")
	srv := startFor(t, options{models: models, config: fmt.Sprintf("engine: {command: %q, replicas: 1}", fakeServer(t, "llama-server-takes-1s"))})
	var (
		mu    sync.Mutex
		calls = map[string]int{} // by the process that answered
		moved = make(chan struct{})
		wg    sync.WaitGroup
	)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 8 {
		rt := newGoClients(srv).rt
		wg.Go(func() {
			for more := true; more && ctx.Err() == nil; {
				out, err := rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: say("work")},
					func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 })
				if err != nil {
					t.Error(err)
					return
				}
				m := out.Output.(*types.ConverseOutputMemberMessage).Value
				text := m.Content[0].(*types.ContentBlockMemberText).Value
				process, _, _ := strings.Cut(text, " made")
				mu.Lock()
				if _, known := calls[process]; !known && len(calls) == 1 {
					close(moved)
				}
				calls[process]++
				more = len(calls) < 2 || calls[process] < 50
				mu.Unlock()
			}
		})
	}
	for n := 0; n < 50 && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		for _, c := range calls {
			n = c
		}
		mu.Unlock()
	}
	install("2")
	begin := time.Now()
	select {
	case <-moved:
		t.Logf("a new process answered %.1f s after the file was replaced, whose load took 1 s", time.Since(begin).Seconds())
	case <-ctx.Done():
		t.Error("no new process answered")
	}
	wg.Wait()
	t.Logf("replies by process: %v", calls)
	if len(calls) != 2 {
		t.Errorf("%d processes answered", len(calls))
	}
}
