package converse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

// play is a reply as events. Each text is split into single characters.
func play(r *llm.Response) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		ok := yield(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: r.Usage.InputTokens}}, nil)
		for i, b := range r.Content {
			start := llm.Event{Kind: llm.BlockStart, Index: i, Block: b.Kind}
			text := b.Text
			if b.Kind == llm.ToolCall {
				start.Call = &llm.Call{ID: b.Call.ID, Name: b.Call.Name}
				text = string(b.Call.Input)
			}
			ok = ok && yield(start, nil) && yield(llm.Event{Kind: llm.Delta, Index: i, Block: b.Kind}, nil)
			for _, c := range text {
				ok = ok && yield(llm.Event{Kind: llm.Delta, Index: i, Block: b.Kind, Text: string(c)}, nil)
			}
			ok = ok && yield(llm.Event{Kind: llm.BlockStop, Index: i, Block: b.Kind, Signature: b.Signature}, nil)
		}
		_ = ok && yield(llm.Event{Kind: llm.Stop, Reason: r.Reason, StopSequence: r.StopSequence}, nil) &&
			yield(llm.Event{Kind: llm.Done, Usage: r.Usage, Latency: r.Latency}, nil)
	}
}

// wire writes the events of a stream as they travel, one a line.
func wire(t testing.TB, events awsapi.Events) string {
	t.Helper()
	op := rt.OpConverseStream.Operation
	id := awsapi.ShapeID(0)
	for _, m := range rt.Model.Shape(op.Output).Members {
		if m.Location == awsapi.InPayload {
			id = m.Shape
		}
	}
	codec := restjson.New()
	var b strings.Builder
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		name, payload, err := codec.AppendEvent(nil, &rt.Model, id, ev)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", name, payload)
	}
	return b.String()
}

// whole writes an output as it travels.
func whole(t testing.TB, out *rt.ConverseOutput) string {
	t.Helper()
	r, err := restjson.New().AppendOutput(nil, &rt.Model, rt.OpConverse.Operation, out)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Body)
}

func fixed() Codec { return Codec{NewID: func() string { return "msg_bdrk_1" }} }

// TestGolden has replies of every kind as they travel, whole and streamed.
func TestGolden(t *testing.T) {
	t.Parallel()
	const s = 1500 * time.Millisecond
	for name, c := range map[string]struct {
		in       string // beside the messages
		reply    llm.Response
		whole    string
		streamed string
	}{
		"text": {
			``,
			llm.Response{Content: []llm.Block{{Kind: llm.Text, Text: "Hé"}}, Reason: llm.EndTurn, Usage: llm.Usage{InputTokens: 5, OutputTokens: 3, ReusedTokens: 4}, Latency: s},
			`{"output":{"message":{"role":"assistant","content":[{"text":"Hé"}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8},"metrics":{"latencyMs":1500}}`,
			`messageStart {"role":"assistant"}
contentBlockDelta {"delta":{"text":"H"},"contentBlockIndex":0}
contentBlockDelta {"delta":{"text":"é"},"contentBlockIndex":0}
contentBlockStop {"contentBlockIndex":0}
messageStop {"stopReason":"end_turn"}
metadata {"usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8},"metrics":{"latencyMs":1500}}
`,
		},
		"everything": {
			`,"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"flex"},
			"additionalModelResponseFieldPaths":["/stop_sequence","/usage/cache_read_input_tokens","/nothing","/usage/nothing","/stop_reason/x"]`,
			llm.Response{Content: []llm.Block{
				{Kind: llm.Reasoning, Text: "h", Signature: "sig"},
				{Kind: llm.Text, Text: "a"},
				{Kind: llm.ToolCall, Call: &llm.Call{ID: "t1", Name: "clock", Input: []byte(`{}`)}},
				{Kind: llm.ToolCall, Call: &llm.Call{ID: "t2", Name: "clock"}},
			}, Reason: llm.ToolUse, Usage: llm.Usage{InputTokens: 100, OutputTokens: 7, CacheRead: 60, CacheWrite: 30}},
			`{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"h","signature":"sig"}}},{"text":"a"},{"toolUse":{"toolUseId":"t1","name":"clock","input":{}}},{"toolUse":{"toolUseId":"t2","name":"clock","input":{}}}]}},` +
				`"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":7,"totalTokens":107,"cacheReadInputTokens":60,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"1h","inputTokens":30}]},"metrics":{"latencyMs":0},` +
				`"additionalModelResponseFields":{"stop_sequence":null,"usage":{"cache_read_input_tokens":60}},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"flex"}}`,
			`messageStart {"role":"assistant"}
contentBlockDelta {"delta":{"reasoningContent":{"text":"h"}},"contentBlockIndex":0}
contentBlockDelta {"delta":{"reasoningContent":{"signature":"sig"}},"contentBlockIndex":0}
contentBlockStop {"contentBlockIndex":0}
contentBlockDelta {"delta":{"text":"a"},"contentBlockIndex":1}
contentBlockStop {"contentBlockIndex":1}
contentBlockStart {"start":{"toolUse":{"toolUseId":"t1","name":"clock"}},"contentBlockIndex":2}
contentBlockDelta {"delta":{"toolUse":{"input":"{"}},"contentBlockIndex":2}
contentBlockDelta {"delta":{"toolUse":{"input":"}"}},"contentBlockIndex":2}
contentBlockStop {"contentBlockIndex":2}
contentBlockStart {"start":{"toolUse":{"toolUseId":"t2","name":"clock"}},"contentBlockIndex":3}
contentBlockDelta {"delta":{"toolUse":{"input":"{}"}},"contentBlockIndex":3}
contentBlockStop {"contentBlockIndex":3}
messageStop {"stopReason":"tool_use","additionalModelResponseFields":{"stop_sequence":null,"usage":{"cache_read_input_tokens":60}}}
metadata {"usage":{"inputTokens":10,"outputTokens":7,"totalTokens":107,"cacheReadInputTokens":60,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"1h","inputTokens":30}]},"metrics":{"latencyMs":0},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"flex"}}
`,
		},
		"nothing, with a cache point": {
			`,"system":[{"text":"s"},{"cachePoint":{"type":"default"}}],"additionalModelResponseFieldPaths":["/nothing"]`,
			llm.Response{Usage: llm.Usage{InputTokens: 9}},
			`{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":0,"totalTokens":9,"cacheReadInputTokens":0,"cacheWriteInputTokens":0},"metrics":{"latencyMs":0}}`,
			`messageStart {"role":"assistant"}
messageStop {"stopReason":"end_turn"}
metadata {"usage":{"inputTokens":9,"outputTokens":0,"totalTokens":9,"cacheReadInputTokens":0,"cacheWriteInputTokens":0},"metrics":{"latencyMs":0}}
`,
		},
		"all fields": {
			`,"additionalModelResponseFieldPaths":["/usage/input_tokens","/id","/type","/role","/model","/stop_reason","/stop_sequence","/usage"]`,
			llm.Response{Reason: llm.StopSequence, StopSequence: "—", Usage: llm.Usage{InputTokens: 9, OutputTokens: 1}},
			`{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"stop_sequence","usage":{"inputTokens":9,"outputTokens":1,"totalTokens":10},"metrics":{"latencyMs":0},` +
				`"additionalModelResponseFields":{"usage":{"input_tokens":9,"output_tokens":1},"id":"msg_bdrk_1","type":"message","role":"assistant","model":"m","stop_reason":"stop_sequence","stop_sequence":"—"}}`,
			`messageStart {"role":"assistant"}
messageStop {"stopReason":"stop_sequence","additionalModelResponseFields":{"usage":{"input_tokens":9,"output_tokens":1},"id":"msg_bdrk_1","type":"message","role":"assistant","model":"m","stop_reason":"stop_sequence","stop_sequence":"—"}}
metadata {"usage":{"inputTokens":9,"outputTokens":1,"totalTokens":10},"metrics":{"latencyMs":0}}
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(t, `{`+hello+c.in+`}`)
			m := family.Model{ID: "m"}
			if d := cmp.Diff(c.whole, whole(t, fixed().ConverseResponse(m, in, &c.reply))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if d := cmp.Diff(c.streamed, wire(t, fixed().ConverseEvents(m, streaming(in), play(&c.reply)))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestOneCall checks that a caller who wants one tool call gets no other.
func TestOneCall(t *testing.T) {
	t.Parallel()
	in := input(t, `{`+hello+`,"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}}`)
	call := func(id string) llm.Block {
		return llm.Block{Kind: llm.ToolCall, Call: &llm.Call{ID: id, Name: "clock", Input: []byte("{}")}}
	}
	r := &llm.Response{Content: []llm.Block{call("a"), call("b"), {Kind: llm.Text, Text: "t"}, call("c")}, Reason: llm.ToolUse}
	got := Codec{}.ConverseResponse(family.Model{}, in, r)
	if c := got.Output.Message.Content; len(c) != 2 || *c[0].ToolUse.ToolUseId != "a" || *c[1].Text != "t" {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff(got, joined(t, Codec{}.ConverseEvents(family.Model{}, streaming(in), play(r)))); d != "" {
		t.Errorf("-whole +joined:\n%s", d)
	}
}

// TestStopReasons checks that every reason of a reply reaches both kinds of client.
func TestStopReasons(t *testing.T) {
	t.Parallel()
	for _, reason := range []llm.StopReason{
		llm.EndTurn, llm.MaxTokens, llm.StopSequence, llm.ToolUse, llm.ContentFiltered, llm.GuardrailIntervened,
		llm.ContextWindowExceeded, llm.MalformedOutput, llm.MalformedToolUse,
	} {
		r := &llm.Response{Reason: reason}
		if out := (Codec{}).ConverseResponse(family.Model{}, &rt.ConverseInput{}, r); string(*out.StopReason) != string(reason) {
			t.Errorf("%s became %s", reason, *out.StopReason)
		}
		if got := wire(t, Codec{}.ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, play(r))); !strings.Contains(got, `messageStop {"stopReason":"`+string(reason)+`"}`) {
			t.Errorf("%s: %s", reason, got)
		}
	}
}

// TestRedacted checks thoughts that nobody can read.
func TestRedacted(t *testing.T) {
	t.Parallel()
	got := whole(t, Codec{}.ConverseResponse(family.Model{}, &rt.ConverseInput{}, &llm.Response{Content: []llm.Block{{Kind: llm.Reasoning, Redacted: []byte{1, 2}}}}))
	if !strings.Contains(got, `[{"reasoningContent":{"redactedContent":"AQI="}}]`) {
		t.Error(got)
	}
}

// TestBrokenToolInput checks that an input which the token limit cut is still a
// document.
func TestBrokenToolInput(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"", `{"a":`, `[]`, `"x"`, `{"a":1,"a":2}`} {
		got := whole(t, Codec{}.ConverseResponse(family.Model{}, &rt.ConverseInput{}, &llm.Response{
			Content: []llm.Block{{Kind: llm.ToolCall, Call: &llm.Call{ID: "a", Name: "b", Input: []byte(input)}}}, Reason: llm.MaxTokens,
		}))
		if !strings.Contains(got, `"input":{}`) {
			t.Errorf("%s: %s", input, got)
		}
	}
}

func TestRandomIDs(t *testing.T) {
	t.Parallel()
	in := &rt.ConverseInput{AdditionalModelResponseFieldPaths: []string{"/id"}}
	seen := map[string]bool{}
	for range 100 {
		seen[string(Codec{}.ConverseResponse(family.Model{}, in, &llm.Response{}).AdditionalModelResponseFields)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d ids for 100 replies", len(seen))
	}
}

// TestStreamJoined checks on random replies that what a stream's deltas join to is
// the whole reply.
func TestStreamJoined(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	for range 500 {
		r := &llm.Response{Reason: llm.EndTurn, Usage: llm.Usage{InputTokens: rng.IntN(100), OutputTokens: rng.IntN(100)}}
		for i := range rng.IntN(5) {
			switch rng.IntN(3) {
			case 0:
				r.Content = append(r.Content, llm.Block{Kind: llm.Text, Text: pick("a", "Hé 東京\n", `"\`)})
			case 1:
				r.Content = append(r.Content, llm.Block{Kind: llm.Reasoning, Text: pick("", "hm", "ä"), Signature: pick("", "sig")})
			default:
				r.Content = append(r.Content, llm.Block{Kind: llm.ToolCall, Call: &llm.Call{
					ID: fmt.Sprint("id", i), Name: pick("a", "b"), Input: []byte(pick("", "{}", `{"a":[1,"é"]}`)),
				}})
			}
		}
		want := Codec{}.ConverseResponse(family.Model{}, &rt.ConverseInput{}, r)
		got := joined(t, Codec{}.ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, play(r)))
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("-whole +joined:\n%s", d)
		}
	}
}

// joined does what a client does with a stream.
func joined(t *testing.T, events awsapi.Events) *rt.ConverseOutput {
	t.Helper()
	out := &rt.ConverseOutput{}
	msg := &rt.Message{Content: []rt.ContentBlock{}}
	at := func(i *int32) *rt.ContentBlock {
		for len(msg.Content) <= int(*i) {
			msg.Content = append(msg.Content, rt.ContentBlock{})
		}
		return &msg.Content[*i]
	}
	add := func(to **string, s *string) {
		if *to == nil {
			*to = new("")
		}
		*to = new(**to + *s)
	}
	for v, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		switch ev := v.(*rt.ConverseStreamEvent); {
		case ev.MessageStart != nil:
			msg.Role = ev.MessageStart.Role
		case ev.ContentBlockStart != nil:
			u := ev.ContentBlockStart.Start.ToolUse
			at(ev.ContentBlockStart.ContentBlockIndex).ToolUse = &rt.ToolUseBlock{ToolUseId: u.ToolUseId, Name: u.Name}
		case ev.ContentBlockDelta != nil:
			b := at(ev.ContentBlockDelta.ContentBlockIndex)
			switch d := ev.ContentBlockDelta.Delta; {
			case d.Text != nil:
				add(&b.Text, d.Text)
			case d.ToolUse != nil:
				b.ToolUse.Input = append(b.ToolUse.Input, *d.ToolUse.Input...)
			default:
				if b.ReasoningContent == nil {
					b.ReasoningContent = &rt.ReasoningContentBlock{ReasoningText: &rt.ReasoningTextBlock{Text: new("")}}
				}
				if d.ReasoningContent.Text != nil {
					add(&b.ReasoningContent.ReasoningText.Text, d.ReasoningContent.Text)
				} else {
					b.ReasoningContent.ReasoningText.Signature = d.ReasoningContent.Signature
				}
			}
		case ev.ContentBlockStop != nil:
			if b := at(ev.ContentBlockStop.ContentBlockIndex); *b == (rt.ContentBlock{}) { // thoughts without a word
				b.ReasoningContent = &rt.ReasoningContentBlock{ReasoningText: &rt.ReasoningTextBlock{Text: new("")}}
			}
		case ev.MessageStop != nil:
			out.StopReason = ev.MessageStop.StopReason
		case ev.Metadata != nil:
			out.Usage, out.Metrics = ev.Metadata.Usage, &rt.ConverseMetrics{LatencyMs: ev.Metadata.Metrics.LatencyMs}
		}
	}
	out.Output = &rt.ConverseOutputContent{Message: msg}
	return out
}

// TestEventsAreApart keeps events, to see that they share no memory.
func TestEventsAreApart(t *testing.T) {
	t.Parallel()
	var texts []*string
	for ev, err := range (Codec{}).ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, play(&llm.Response{Content: []llm.Block{{Kind: llm.Text, Text: "abc"}}})) {
		if err != nil {
			t.Fatal(err)
		}
		if d := ev.(*rt.ConverseStreamEvent).ContentBlockDelta; d != nil {
			texts = append(texts, d.Delta.Text)
		}
	}
	if len(texts) != 3 || *texts[0]+*texts[1]+*texts[2] != "abc" {
		t.Errorf("%d texts", len(texts))
	}
}

func TestEventsPassErrors(t *testing.T) {
	t.Parallel()
	fault := apierr.ModelStreamError("the engine stopped")
	n := 0
	for ev, err := range (Codec{}).ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, llm.Fail(fault)) {
		if n++; ev != nil || !errors.Is(err, error(fault)) {
			t.Errorf("got %v, %v", ev, err)
		}
	}
	if n != 1 {
		t.Errorf("%d values, want 1", n)
	}
}

// TestEventsStop checks that ending the range ends the reply upstream, whatever
// event it ends at.
func TestEventsStop(t *testing.T) {
	t.Parallel()
	r := &llm.Response{Content: []llm.Block{
		{Kind: llm.Reasoning, Text: "h", Signature: "s"}, {Kind: llm.Text, Text: "x"}, {Kind: llm.ToolCall, Call: &llm.Call{ID: "a", Name: "b"}},
	}}
	in := &rt.ConverseStreamInput{AdditionalModelResponseFieldPaths: []string{"/id"}}
	for n := 1; ; n++ {
		ended, seen := false, 0
		upstream := func(yield func(llm.Event, error) bool) {
			for ev, err := range play(r) {
				if !yield(ev, err) {
					ended = true
					return
				}
			}
		}
		for range (Codec{}).ConverseEvents(family.Model{}, in, upstream) {
			if seen++; seen == n {
				break
			}
		}
		if seen < n {
			break
		}
		if !ended {
			t.Fatalf("after %d events the reply goes on", n)
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	codec := Codec{}
	events := codec.ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, func(yield func(llm.Event, error) bool) {
		for b.Loop() {
			if !yield(llm.Event{Kind: llm.Delta, Text: " token"}, nil) {
				return
			}
		}
	})
	b.ReportAllocs()
	for range events {
	}
}
