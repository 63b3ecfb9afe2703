package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// From a conversation to the body for a server: few allocations, whatever the
// length of its texts.
func TestConversionAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	r := &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: "What is gneiss?"}}}},
		Params:   llm.Params{MaxTokens: new(512), Temperature: new(0.5)},
	}
	for _, kind := range Kinds() {
		fa := &facts{kind: kind, model: "m", turns: prompt.Turns{Guard: prompt.NewGuard(markers())}}
		n := testing.AllocsPerRun(100, func() {
			c, err := fa.converse(engine.Chat, r)
			if err != nil {
				t.Fatal(err)
			}
			q := request{fa: fa, r: r}
			_, body := q.body(&c)
			if _, err := json.Marshal(body); err != nil {
				t.Fatal(err)
			}
		})
		if n > 7+spared {
			t.Errorf("%s: %g allocations", kind, n)
		}
	}
}

// A piece of a stream costs its text and nothing else.
func TestStreamAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	one := testing.AllocsPerRun(10, func() { readPieces(t, 1) })
	many := testing.AllocsPerRun(10, func() { readPieces(t, 1001) })
	if n := (many - one) / 1000; n > 1.02 {
		t.Errorf("%g allocations for each piece", n)
	}
}

// readPieces reads a reply of n pieces.
func readPieces(t *testing.T, n int) {
	t.Helper()
	text := strings.Repeat("data: "+plainChunk+"\n\n", n) + `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}` + "\n\ndata: [DONE]\n\n"
	r := &llm.Request{Params: llm.Params{MaxTokens: new(2000)}}
	g := generation{req: r, up: &upstream{Server: &remote.Server{Slots: limit.NewSlots(limit.SlotsConfig{N: 1})}, c: Upstream{}}}
	g.out = reply.New(reply.Config{Yield: func(llm.Event, error) bool { return true }})
	w := remote.NewFleet(nil).Watch(t.Context(), time.Minute)
	defer w.End()
	lease, err := g.up.Slots.Acquire(t.Context(), limit.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.read(w.Body(strings.NewReader(text), time.Minute), &lease); err != nil {
		t.Fatal(err)
	}
}
