package apptest_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/llm"
)

// ready is an engine whose reply is there already.
type ready struct{ *scripted.Engine }

// Generate implements engine.Engine.
func (ready) Generate(context.Context, engine.Target, *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		for _, ev := range [...]llm.Event{
			{Kind: llm.Start, Usage: llm.Usage{InputTokens: 9}}, {Kind: llm.Delta, Text: "Hello"}, {Kind: llm.Delta, Text: " there"},
			{Kind: llm.Stop, Reason: llm.EndTurn}, {Kind: llm.Done, Usage: llm.Usage{InputTokens: 9, OutputTokens: 2}},
		} {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// BenchmarkConverse is what a call costs the whole server, client and connection
// included: nearly all that they allocate is the same at every call.
func BenchmarkConverse(b *testing.B) {
	srv := apptest.Start(b, apptest.Engine(ready{scripted.New()}))
	token := "Bearer " + string(srv.NewKey(b, srv.Account, keys.Bearer).Secret.Reveal())
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"Say hello."}]}],"inferenceConfig":{"maxTokens":32}}`)
	for _, op := range []struct{ name, want string }{{"converse", `"text":"Hello there"`}, {"converse-stream", "messageStop"}} {
		b.Run(op.name, func(b *testing.B) {
			var got bytes.Buffer
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.Endpoint+"/model/anthropic.claude-v2/"+op.name, bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", token)
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				got.Reset()
				if _, err = io.Copy(&got, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			if !strings.Contains(got.String(), op.want) {
				b.Errorf("the last answer is %q", got.String())
			}
		})
	}
}
