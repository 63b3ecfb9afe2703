package openai

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

const plainChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"org/model","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null,"token_ids":null}],"usage":null}`

// The fast way reads what encoding/json reads, whatever the text and the order.
func TestQuick(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, thought := rapid.String().Draw(t, "text"), rapid.String().Draw(t, "thought")
		choice := map[string]any{"index": 0, "delta": map[string]any{"role": "assistant", "content": text, "reasoning_content": thought}, "finish_reason": nil}
		if rapid.Bool().Draw(t, "completion") {
			choice, thought = map[string]any{"text": text, "index": 0, "logprobs": nil}, ""
		}
		finish := rapid.SampledFrom([]string{"", "stop", "length"}).Draw(t, "finish")
		if finish != "" {
			choice["finish_reason"] = finish
		}
		var usage any
		in, out := rapid.IntRange(0, 1<<31).Draw(t, "in"), rapid.IntRange(0, 1<<31).Draw(t, "out")
		if rapid.Bool().Draw(t, "used") {
			usage = map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out, "prompt_tokens_details": nil}
		}
		data, err := json.Marshal(map[string]any{"id": rapid.String().Draw(t, "id"), "created": 1.5, "nested": []any{map[string]any{"}]": "{[\\\""}}, "choices": []any{choice}, "usage": usage})
		if err != nil {
			t.Fatal(err)
		}
		var c chunk
		if !c.quick(data) || c.text != text || c.thought != thought || c.finish != finish || !c.seen || (c.usage != nil) != (usage != nil) {
			t.Fatalf("%s gave %+v", data, c)
		}
		if c.usage != nil && (c.usage.InputTokens != in || c.usage.OutputTokens != out) {
			t.Fatalf("%s gave %+v", data, c.usage)
		}
		for cut := range len(data) { // no part of it is taken for the whole
			if (&chunk{}).quick(data[:cut]) {
				t.Fatalf("%s passes", data[:cut])
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{plainChunk, `{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`, `{"error":{"code":1}}`, `{"error":"x"}`,
		`{"choices":[],"usage":{"prompt_tokens":-9,"completion_tokens":3}}`, `{"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":99}}}`, `[]`, `{`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c, slow chunk
		if err := c.parse(data); err != nil || c.failure != nil || c.done {
			return
		}
		var ev event
		if json.Unmarshal(data, &ev) != nil || otherwise(data) {
			return // the fast way takes more than JSON allows
		}
		slow.take(&ev)
		slow.doubt()
		if slow.text != c.text || slow.thought != c.thought || slow.finish != c.finish {
			t.Errorf("%s: %+v, slowly %+v", data, c, slow)
		}
		if c.usage != nil && (slow.usage == nil || *slow.usage != *c.usage) {
			t.Errorf("%s: usage %+v, slowly %+v", data, c.usage, slow.usage)
		}
	})
}

// otherwise reports whether a key stands there in other letters than servers write it:
// encoding/json reads those too.
func otherwise(data []byte) bool {
	folded := bytes.ToLower(bytes.ToUpper(data))
	for _, key := range []string{"choices", "usage", "text", "finish_reason", "delta", "content", "reasoning_content", "reasoning", "prompt_tokens", "completion_tokens"} {
		if q := []byte(`"` + key + `"`); bytes.Count(folded, q) != bytes.Count(data, q) {
			return true
		}
	}
	return false
}

// A plain token costs its text and nothing else.
func TestParseAllocations(t *testing.T) {
	var c chunk
	if n := testing.AllocsPerRun(100, func() {
		if c.parse([]byte(plainChunk)) != nil || c.text != " token" {
			t.Fatal("not parsed")
		}
	}); n > 2 { // the bytes of the test and the text
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(plainChunk)
	var c chunk
	b.ReportAllocs()
	for b.Loop() {
		if err := c.parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
