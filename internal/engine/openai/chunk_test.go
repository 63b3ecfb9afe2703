package openai

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
	"pgregory.net/rapid"
)

const plainChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"org/model","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null,"token_ids":null}],"usage":null}`

// timedChunk is how llama-server says it.
const timedChunk = `{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" token"}}],"created":1795339296,"id":"chatcmpl-1","model":"m","system_fingerprint":"b7000","object":"chat.completion.chunk","timings":{"cache_n":236,"prompt_n":1,"prompt_ms":30.958,"prompt_per_token_ms":30.958,"prompt_per_second":32.3,"predicted_n":35,"predicted_ms":661.064,"predicted_per_token_ms":18.8,"predicted_per_second":52.9}}`

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
		if !c.quick(data) || c.text != text || c.thought != thought || c.finish != finish || !c.seen || c.counted != (usage != nil) {
			t.Fatalf("%s gave %+v", data, c)
		}
		if c.counted && (c.usage.InputTokens != in || c.usage.OutputTokens != out) {
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
	for _, s := range []string{plainChunk, timedChunk, `{"usage":{"prompt_tokens":1,"completion_tokens":2},"timings":{"predicted_n":3}}`, `{"timings":{"predicted_n":3},"usage":{"prompt_tokens":1}}`, `{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`, `{"error":{"code":1}}`, `{"error":"x"}`,
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
		if c.counted && (!slow.counted || slow.usage != c.usage) {
			t.Errorf("%s: usage %+v, slowly %+v", data, c.usage, slow.usage)
		}
	})
}

// FuzzParseNext: what was read before changes nothing of what an event says.
func FuzzParseNext(f *testing.F) {
	for _, s := range [][2]string{
		{plainChunk, plainChunk}, {timedChunk, timedChunk}, {plainChunk, timedChunk},
		{plainChunk, strings.Replace(plainChunk, `" token"`, `null`, 1)},
		{plainChunk, plainChunk[:strings.Index(plainChunk, `" token"`)]},
		{plainChunk, strings.Replace(plainChunk, `"content":" token"`, `"content":"a","content":"b"`, 1)},
		{plainChunk, strings.Replace(plainChunk, `"finish_reason":null`, `"finish_reason":"stop"`, 1)},
		{`{"usage":{"prompt_tokens":9,"completion_tokens":3},"choices":[{"text":"a"}]}`, `{"usage":{"prompt_tokens":9,"completion_tokens":3},"choices":[{"text":"b"}]}`},
		{`{"choices":[{"finish_reason":"stop","text":"a"}]}`, `{"choices":[{"finish_reason":"stop","text":""}]}`},
		{`{"choices":[{"text":"a"}]}`, `{"choices":[{"text":"b"}],"choices":[{"delta":{"content":"c"}}]}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, before, data []byte) {
		var next, alone chunk
		_, _ = next.parse(before), next.parse(before)
		errNext, errAlone := next.parse(data), alone.parse(data)
		next.alike, alone.alike = alike{}, alike{}
		if !reflect.DeepEqual(next, alone) || (errNext == nil) != (errAlone == nil) {
			t.Errorf("%s after %s: %+v %v, alone %+v %v", data, before, next, errNext, alone, errAlone)
		}
	})
}

// Of events that begin alike, only what differs is read.
func TestParseAlike(t *testing.T) {
	t.Parallel()
	for _, data := range []string{plainChunk, `{"id":"cmpl-1","choices":[{"index":0,"text":" token","finish_reason":null}]}`} {
		var c chunk
		for range 2 {
			if err := c.parse([]byte(data)); err != nil || c.text != " token" {
				t.Fatalf("%s: %q %v", data, c.text, err)
			}
		}
		if before, after, _ := strings.Cut(data, `" token"`); string(c.alike.before) != before || string(c.alike.after) != after {
			t.Errorf("noted %s and %s of %s", c.alike.before, c.alike.after, data)
		}
	}
}

// otherwise reports whether a key stands there in other letters than servers write it:
// encoding/json reads those too.
func otherwise(data []byte) bool {
	folded := bytes.ToLower(bytes.ToUpper(data))
	for _, key := range []string{"choices", "usage", "text", "finish_reason", "delta", "content", "reasoning_content", "reasoning", "prompt_tokens", "completion_tokens", "timings", "cache_n", "prompt_n", "predicted_n"} {
		if q := []byte(`"` + key + `"`); bytes.Count(folded, q) != bytes.Count(data, q) {
			return true
		}
	}
	return false
}

// What llama-server tells with a token is read the fast way too.
func TestQuickTimings(t *testing.T) {
	t.Parallel()
	var c chunk
	if want := (llm.Usage{InputTokens: 237, OutputTokens: 35, ReusedTokens: 236}); !c.quick([]byte(timedChunk)) || c.text != " token" || c.usage != want || !c.counted {
		t.Errorf("%+v", c)
	}
}

// A token costs its text and nothing else.
func TestParseAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	for _, data := range []string{plainChunk, timedChunk} {
		var c chunk
		if n := testing.AllocsPerRun(100, func() {
			if c.parse([]byte(data)) != nil || c.text != " token" {
				t.Fatal("not parsed")
			}
		}); n > 2 { // the bytes of the test and the text
			t.Errorf("%g allocations", n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, data := range map[string]string{"plain": plainChunk, "llama-server": timedChunk} {
		b.Run(name, func(b *testing.B) {
			data := []byte(data)
			var c chunk
			b.ReportAllocs()
			for b.Loop() {
				if err := c.parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
