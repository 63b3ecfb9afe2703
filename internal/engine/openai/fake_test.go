package openai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/secret"
)

// fake is a server that answers as told. It passes the self-test.
type fake struct {
	*httptest.Server
	// answer takes the generations after the self-test.
	answer func(w http.ResponseWriter, r *http.Request)
	// other takes what is no generation; nil knows nothing but the list of models.
	other http.HandlerFunc

	mu     sync.Mutex
	asked  []asked
	tested bool
}

// asked is a request that a fake got.
type asked struct {
	path   string
	header http.Header
	body   map[string]any
	raw    string
}

func startFake(t testing.TB, answer http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{answer: answer}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

const (
	tokenEvent = `{"choices":[{"index":0,"delta":{"content":"tok "},"finish_reason":null}]}`
	stopEvent  = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usageEvent = `{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}`
)

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a := asked{path: r.URL.Path, header: r.Header.Clone(), raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body) // nil when it is none
	f.mu.Lock()
	f.asked = append(f.asked, a)
	first := !f.tested
	generation := strings.HasSuffix(a.path, "/completions")
	f.tested = f.tested || generation
	f.mu.Unlock()
	switch {
	case generation && first:
		send(w, tokenEvent, stopEvent, usageEvent, "[DONE]")
	case generation:
		f.answer(w, r)
	case f.other != nil:
		f.other(w, r)
	case a.path == "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"m","max_model_len":4096}]}`)
	default:
		http.NotFound(w, r)
	}
}

// send writes events and flushes them.
func send(w http.ResponseWriter, events ...string) {
	for _, e := range events {
		fmt.Fprintf(w, "data: %s\n\n", e)
	}
	_ = http.NewResponseController(w).Flush()
}

// requests are those to a path, the self-test left out.
func (f *fake) requests(path string) []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []asked
	for _, a := range f.asked {
		if a.path == path {
			out = append(out, a)
		}
	}
	if strings.HasSuffix(path, "/completions") && len(out) > 0 {
		out = out[1:]
	}
	return out
}

var target = engine.Target{Weights: "w", Mode: engine.Chat, Scope: "111122223333"}

// over starts an engine over a fake. change may be nil.
func over(t testing.TB, url string, change func(*openai.Upstream)) (*openai.Engine, *enginetest.Log) {
	t.Helper()
	u := openai.Upstream{URL: url + "/v1/", Kind: openai.Other, Mode: engine.Chat, Scopes: []string{"*"}, Key: secret.NewString(key)}
	if change != nil {
		change(&u)
	}
	log := &enginetest.Log{}
	e := begin(t, openai.Config{Upstreams: map[string]openai.Upstream{"w": u}, Log: log.Logger()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if strings.Contains(log.String(), key) || strings.Contains(log.String(), "quotes the prompt") {
			t.Errorf("the log holds a secret: %s", log)
		}
	})
	return e, log
}

// fails runs one request, which must fail, and returns the error and the text that
// came before it.
func fails(t testing.TB, e *openai.Engine) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var text strings.Builder
	for ev, err := range e.Generate(ctx, target, enginetest.Ask("quotes the prompt", 4)) {
		if err != nil {
			return text.String(), err
		}
		text.WriteString(ev.Text)
	}
	t.Fatalf("the reply ended well: %q", text.String())
	return "", nil
}
