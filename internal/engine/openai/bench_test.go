package openai_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
)

// BenchmarkGenerate reads replies of 200 pieces that lie ready: what the engine
// itself takes, without a network.
func BenchmarkGenerate(b *testing.B) {
	const pieces = 200
	piece := `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"m","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	text := strings.Repeat(piece, pieces) +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":200}}` + "\n\ndata: [DONE]\n\n"
	ready := roundTrip(func(r *http.Request) (*http.Response, error) {
		body := text
		if strings.HasSuffix(r.URL.Path, "/models") {
			body = `{"data":[{"id":"m","max_model_len":4096}]}`
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	e, err := openai.New(openai.Config{Upstreams: map[string]openai.Upstream{
		"w": {URL: "http://ready", Kind: openai.Other, Mode: engine.Chat, Transport: ready, Scopes: []string{"*"}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	r := enginetest.Ask("Hi", 2*pieces)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, err := range e.Generate(b.Context(), target, r) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}
