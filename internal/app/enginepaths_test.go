package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/apptest"
)

// TestEnginePaths: what a model server tells of its slots, its settings and its
// prompts, and what it lets be changed, no caller of this server ever reaches.
func TestEnginePaths(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	for _, path := range []string{
		"/slots", "/slots/0?action=save", "/slots/0?action=restore", "/slots/0?action=erase", "/props", "/lora-adapters", "/tokenize", "/detokenize",
		"/apply-template", "/completion", "/completions", "/infill", "/embedding", "/models/load", "/models/unload", "/tools", "/cors-proxy",
		"/v1/stream", "/v1/slots", "/v1/props", "/v1/../slots", "/%73lots", "//slots", "/model/m/../../slots",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Opaque = path // as it stands, uncleaned
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s, %v", method, path, resp.StatusCode, b, err)
			}
			if strings.Contains(string(b), "n_ctx") || strings.Contains(string(b), "prompt") {
				t.Errorf("%s %s: %s", method, path, b)
			}
		}
	}
}
