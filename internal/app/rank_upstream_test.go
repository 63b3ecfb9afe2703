package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
)

const rankCatalogue = `
weights:
  - {id: bge, name: BGE, license: Apache-2.0, source: {upstream: ranker}, mode: rank, context_tokens: 512}
models:
  - {id: cohere.rerank-v3-5:0, weights: bge, stand_in: true}
`

// TestReranker: Cohere's rerank body is answered by a reranker on another server.
func TestReranker(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"data":[{"id":"bge"}]}`)
			return
		}
		var ask struct {
			Query     string
			Documents []string
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || r.URL.Path != "/v1/rerank" {
			http.NotFound(w, r)
			return
		}
		var results []string
		for i, d := range ask.Documents {
			results = append(results, fmt.Sprintf(`{"index":%d,"relevance_score":%d}`, i, strings.Count(d, "rock")*4-3))
		}
		fmt.Fprintf(w, `{"results":[%s],"usage":{"prompt_tokens":12,"total_tokens":12}}`, strings.Join(results, ","))
	}))
	t.Cleanup(backend.Close)
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(path, []byte(rankCatalogue), 0o600); err != nil {
		t.Fatal(err)
	}
	s := apptest.Start(t, apptest.Config(func(c *app.Config) {
		c.Catalog = path
		c.Upstreams = []app.Upstream{{Name: "ranker", URL: backend.URL, Kind: "openai"}}
	}))
	var out struct {
		Results []struct {
			Index int     `json:"index"`
			Score float64 `json:"relevance_score"`
		} `json:"results"`
	}
	invoke(t, s.Runtime(), "cohere.rerank-v3-5:0", `{"api_version":2,"query":"a rock","documents":["a cat","a rock on a rock"]}`, &out)
	if len(out.Results) != 2 || out.Results[0].Index != 1 || out.Results[0].Score < 0.99 || out.Results[1].Score > 0.1 || out.Results[1].Score <= 0 {
		t.Errorf("%+v", out)
	}
	if used := s.Usage(t, s.Account, 1); len(used) > 0 && used[0].InputTokens != 12 {
		t.Errorf("usage %+v", used[0])
	}
}
