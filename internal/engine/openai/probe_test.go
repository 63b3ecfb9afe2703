package openai_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/openai"
)

// A probe asks for the health of servers that have such an address, and for the list
// of models where a gateway may not pass it on.
func TestProbe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    openai.Kind
		gateway string
		path    string
	}{
		"sglang":  {openai.SGLang, "", "/health"},
		"other":   {openai.Other, "", "/v1/models"},
		"gateway": {openai.SGLang, openai.LLMD, "/v1/models"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var status atomic.Int64
			status.Store(http.StatusServiceUnavailable)
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, stopEvent, usageEvent, "[DONE]") })
			f.other = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(int(status.Load()))
				_, _ = w.Write([]byte(`{"data":[{"id":"m","max_model_len":4096}]}`))
			}
			e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Kind, u.Gateway = c.kind, c.gateway })
			if err := e.Probe(t.Context(), target); err == nil || !strings.Contains(err.Error(), "503") {
				t.Errorf("unavailable: %v", err)
			}
			status.Store(http.StatusOK)
			if err := e.Probe(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			if n := len(f.requests("/v1/chat/completions")); n != 0 { // the self-test is left out of these
				t.Errorf("%d generations", n)
			}
			before := len(f.requests(c.path))
			if err := e.Probe(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			if n := len(f.requests(c.path)) - before; n != 1 {
				t.Errorf("%d requests to %s", n, c.path)
			}
			status.Store(http.StatusUnauthorized) // it is there
			if err := e.Probe(t.Context(), target); err != nil {
				t.Error(err)
			}
			f.Close()
			if err := e.Probe(t.Context(), target); err == nil {
				t.Error("a server that is gone answers")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := e.Probe(ctx, target); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if err := e.Probe(t.Context(), engine.Target{Weights: "gone"}); err == nil {
				t.Error("no server is there")
			}
		})
	}
}
