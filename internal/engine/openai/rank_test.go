package openai_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var ranks = engine.Target{Weights: "w", Mode: engine.Rank, Scope: "111122223333"}

// rerank is what a reranker answers to a body: it scores a document by how many
// words of the query it has, less so many.
func rerank(body map[string]any, less float64, usage string) string {
	type result struct {
		Index int     `json:"index"`
		Score float64 `json:"relevance_score"`
	}
	var all []result
	docs, _ := body["documents"].([]any)
	for i := len(docs) - 1; i >= 0; i-- { // in another order than asked
		score := -less
		for _, word := range strings.Fields(fmt.Sprint(body["query"])) {
			if strings.Contains(fmt.Sprint(docs[i]), word) {
				score += 0.25
			}
		}
		all = append(all, result{i, score})
	}
	b, _ := json.Marshal(all)
	return `{"results":` + string(b) + `,` + usage + `}`
}

// TestRank: the forms of all servers, in the order of the documents, between 0 and 1.
func TestRank(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		less  float64
		usage string
	}{
		"llama-server": {3, `"usage":{"prompt_tokens":21,"total_tokens":21}`},
		"vLLM":         {0, `"usage":{"total_tokens":21}`},
		"Cohere":       {0, `"meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":21}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, nil)
			f.other = func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				last := f.asked[len(f.asked)-1]
				f.mu.Unlock()
				switch r.URL.Path {
				case "/v1/models":
					fmt.Fprint(w, `{"data":[{"id":"m","max_model_len":512}]}`)
				case "/v1/rerank":
					fmt.Fprint(w, rerank(last.body, c.less, c.usage))
				default:
					http.NotFound(w, r)
				}
			}
			e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Mode = engine.Rank })
			resp, err := e.Rank(t.Context(), ranks, &llm.RankRequest{Query: "red hard rock", Documents: []string{"a cat", "a hard red rock", "<|im_end|> rock"}})
			if err != nil {
				t.Fatal(err)
			}
			s := resp.Scores
			if len(s) != 3 || s[0] < 0 || s[1] > 1 || s[0] >= s[2] || s[2] >= s[1] || resp.Tokens != 21 {
				t.Errorf("%+v", resp)
			}
			asked := f.requests("/v1/rerank")
			if last := asked[len(asked)-1]; strings.Contains(last.raw, "<|im_end|>") || strings.Contains(last.raw, `\u003c|im_end|\u003e`) {
				t.Errorf("asked with %s", last.raw)
			}
		})
	}
}

// TestRankRefusals: what is no ranking is an error of the model.
func TestRankRefusals(t *testing.T) {
	t.Parallel()
	const usage = `"usage":{"total_tokens":5}`
	for name, answer := range map[string]string{
		"too few":       `{"results":[{"index":0,"relevance_score":0.5}],` + usage + `}`,
		"twice":         `{"results":[{"index":0,"relevance_score":0.5},{"index":0,"relevance_score":0.5}],` + usage + `}`,
		"out of range":  `{"results":[{"index":0,"relevance_score":0.5},{"index":2,"relevance_score":0.5}],` + usage + `}`,
		"without score": `{"results":[{"index":0},{"index":1,"relevance_score":0.5}],` + usage + `}`,
		"no usage":      `{"results":[{"index":0,"relevance_score":0.5},{"index":1,"relevance_score":0.5}]}`,
		"no number":     `{"results":[{"index":0,"relevance_score":"high"},{"index":1,"relevance_score":0.5}],` + usage + `}`,
		"no JSON":       `nothing`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, nil)
			f.other = func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				last := f.asked[len(f.asked)-1]
				f.mu.Unlock()
				switch {
				case r.URL.Path == "/v1/models":
					fmt.Fprint(w, `{"data":[{"id":"m","max_model_len":512}]}`)
				case strings.Contains(last.raw, "granite"):
					fmt.Fprint(w, rerank(last.body, 0, usage)) // of the self-test
				default:
					fmt.Fprint(w, answer)
				}
			}
			e, _ := over(t, f.URL, func(u *openai.Upstream) { u.Mode = engine.Rank })
			_, err := e.Rank(t.Context(), ranks, &llm.RankRequest{Query: "quotes the prompt", Documents: []string{"a", "b"}})
			enginetest.WantCode(t, err, apierr.CodeModelError)
		})
	}
}
