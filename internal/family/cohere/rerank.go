package cohere

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// maxDocuments is the number of documents that one request ranks.
const maxDocuments = 1000

// apiVersion is the only "api_version" that Bedrock takes.
const apiVersion = 2

// ranking is one Rerank request.
type ranking struct {
	req      *llm.RankRequest
	top      int
	withText bool
}

func parseRanking(m family.Model, root *body.Value) (family.Task, error) {
	root.Require("query", "documents")
	r := &ranking{req: &llm.RankRequest{
		Query:     root.Get("query").Text(body.Length{Min: 1}),
		Documents: root.Get("documents").Texts(body.Length{Min: 1, Max: maxDocuments}),
	}}
	r.top = *chat.Or(root.Get("top_n").Int(body.Range{Min: 1, Max: maxDocuments}), maxDocuments)
	if strings.HasPrefix(m.ID, "cohere.") {
		root.Require("api_version")
		root.Get("api_version").Int(body.Range{Min: apiVersion, Max: apiVersion})
	}
	if b := root.Get("return_documents").Bool(); b != nil {
		r.withText = *b
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// Request is the query and the documents.
func (r *ranking) Request() *llm.RankRequest { return r.req }

// Response is {"results": [{"index", "relevance_score"}]}, the best first, the
// first of equals first, at most top_n.
func (r *ranking) Response(resp *llm.RankResponse) ([]byte, error) {
	if len(resp.Scores) != len(r.req.Documents) {
		return nil, fmt.Errorf("cohere rerank: %d scores for %d documents", len(resp.Scores), len(r.req.Documents))
	}
	order := make([]int, len(resp.Scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := resp.Scores[a], resp.Scores[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	b := append(make([]byte, 0, 64*len(order)), `{"results":[`...)
	for i, at := range order[:min(r.top, len(order))] {
		if i > 0 {
			b = append(b, ',')
		}
		b = body.AppendInt(append(b, `{"index":`...), at)
		b = chat.AppendNumber(append(b, `,"relevance_score":`...), resp.Scores[at])
		if r.withText {
			b = body.AppendString(append(b, `,"document":{"text":`...), r.req.Documents[at])
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, `]}`...), nil
}
