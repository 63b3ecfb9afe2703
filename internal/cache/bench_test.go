package cache_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// BenchmarkHit is a whole reply of 200 tokens to a prompt of 4 KB from the cache.
func BenchmarkHit(b *testing.B) {
	m := &model{reply: func(context.Context, int, *llm.Request) llm.Events { return words(strings.Repeat("word ", 200)) }}
	g := newGate(b, m, nil)
	r := asks(strings.Repeat("four", 1000))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range g.Generate(b.Context(), newCall(account), target(), r) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if m.count() != 1 {
		b.Fatalf("%d generations", m.count())
	}
}

// BenchmarkNearest compares a question with 1000 others of 384 dimensions.
func BenchmarkNearest(b *testing.B) {
	n := 0
	m := &model{embed: func(context.Context, *call.Call, *llm.EmbedRequest) (*llm.EmbedResponse, error) {
		n++
		v := make([]float32, 384)
		v[n%384] = 1
		return &llm.EmbedResponse{Vectors: [][]float32{v}, Tokens: []int{1}}, nil
	}}
	g := newGate(b, m, func(cfg *cache.Config) {
		cfg.Responses.Accounts = nil
		cfg.Semantic = cache.Semantic{
			Accounts: cache.Accounts{"*"}, Weights: catalog.Weights{ID: "e", Dimensions: 384}, TTL: time.Hour, Questions: 1000,
			Tags: func(string) map[string]string { return map[string]string{cache.Tag: "0.9"} },
		}
	})
	to := target()
	to.ProfileARN = "arn:p"
	for i := range 1000 {
		c := newCall(account)
		c.CacheAsk = cache.AskRefresh
		if _, err := llm.Collect(g.Generate(b.Context(), c, to, asks(strings.Repeat("x", i+1)))); err != nil {
			b.Fatal(err)
		}
	}
	if g.Stats().Questions != 1000 {
		b.Fatalf("%+v", g.Stats())
	}
	r := asks("hello")
	for b.Loop() {
		if _, err := llm.Collect(g.Generate(b.Context(), newCall(account), to, r)); err != nil {
			b.Fatal(err)
		}
	}
}
