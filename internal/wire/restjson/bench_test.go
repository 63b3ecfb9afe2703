package restjson

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// plainConverse is what a small program sends.
const plainConverse = `{"messages":[{"role":"user","content":[{"text":"Describe the purpose of a 'hello world' program in one line."}]}],"system":[{"text":"Answer in one sentence."}],"inferenceConfig":{"maxTokens":512,"temperature":0.5,"topP":0.9}}`

func BenchmarkDecodeConverse(b *testing.B) {
	c := New()
	req := Request{Labels: []string{"anthropic.claude-3-haiku-20240307-v1:0"}, Body: []byte(plainConverse)}
	b.SetBytes(int64(len(req.Body)))
	b.ReportAllocs()
	for b.Loop() {
		in := new(br.ConverseInput)
		if err := c.Decode(&br.Model, br.OpConverse.Operation, req, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateConverse(b *testing.B) {
	c := New()
	in, err := decodeConverse(b, c, plainConverse)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Validate(&br.Model, br.OpConverse.Operation, in); err != nil {
			b.Fatal(err)
		}
	}
}

func converseOutput() *br.ConverseOutput {
	return &br.ConverseOutput{
		Output:     &br.ConverseOutputContent{Message: &br.Message{Role: new(br.ConversationRoleAssistant), Content: []br.ContentBlock{{Text: new("It shows that the tools work.")}}}},
		StopReason: new(br.StopReasonEndTurn),
		Usage:      &br.TokenUsage{InputTokens: new(int32(20)), OutputTokens: new(int32(8)), TotalTokens: new(int32(28))},
		Metrics:    &br.ConverseMetrics{LatencyMs: new(int64(412))},
	}
}

func BenchmarkAppendConverseOutput(b *testing.B) {
	c := New()
	out := converseOutput()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AppendOutput(buf[:0], &br.Model, br.OpConverse.Operation, out); err != nil {
			b.Fatal(err)
		}
	}
}

func textDelta(s string) *br.ConverseStreamEvent {
	return &br.ConverseStreamEvent{ContentBlockDelta: &br.ContentBlockDeltaEvent{ContentBlockIndex: new(int32(0)), Delta: &br.ContentBlockDelta{Text: &s}}}
}

// streamID finds the event union in the output of a streaming operation.
func streamID(t testing.TB, svc *awsapi.Service, op *awsapi.Operation) awsapi.ShapeID {
	t.Helper()
	for _, m := range svc.Shape(op.Output).Members {
		if svc.Shape(m.Shape).EventStream {
			return m.Shape
		}
	}
	t.Fatalf("%s has no stream", op.Name)
	return 0
}

func BenchmarkEventFrame(b *testing.B) {
	c := New()
	ev := textDelta(" word")
	id := streamID(b, &br.Model, br.OpConverseStream.Operation)
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.AppendEventFrame(buf[:0], &br.Model, id, ev); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHotPathAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	c := New()
	req := Request{Labels: []string{"anthropic.claude-3-haiku-20240307-v1:0"}, Body: []byte(plainConverse)}
	one := Request{Labels: req.Labels, Body: []byte(`{"messages":[{"role":"user","content":[{"text":"What is gneiss?"}]}],"inferenceConfig":{"maxTokens":512,"temperature":0.5}}`)}
	valid, err := decodeConverse(t, c, plainConverse)
	if err != nil {
		t.Fatal(err)
	}
	out := converseOutput()
	ev := textDelta(" word")
	id := streamID(t, &br.Model, br.OpConverseStream.Operation)
	buf := make([]byte, 0, 1024)
	for name, f := range map[string]struct {
		limit float64
		run   func() error
	}{
		"decode Converse": {12, func() error {
			return c.Decode(&br.Model, br.OpConverse.Operation, req, new(br.ConverseInput))
		}},
		"decode one turn": {9, func() error {
			return c.Decode(&br.Model, br.OpConverse.Operation, one, new(br.ConverseInput))
		}},
		"validate Converse": {1, func() error { return c.Validate(&br.Model, br.OpConverse.Operation, valid) }},
		"encode Converse": {0, func() error {
			_, err := c.AppendOutput(buf[:0], &br.Model, br.OpConverse.Operation, out)
			return err
		}},
		"frame event": {0, func() error {
			_, err := c.AppendEventFrame(buf[:0], &br.Model, id, ev)
			return err
		}},
	} {
		if err := f.run(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := testing.AllocsPerRun(100, func() { _ = f.run() }); got > f.limit+spared {
			t.Errorf("%s: %v allocations, at most %v", name, got, f.limit)
		}
	}
}

// hostileKeys is a body with n keys that no API knows.
func hostileKeys(n int) []byte {
	b := append(make([]byte, 0, 14*n+2), '{')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"k%08d":1`, i)
	}
	return append(b, '}')
}

// BenchmarkUnknownKeys is the worst that a body of the largest size can do with
// keys that no API knows.
func BenchmarkUnknownKeys(b *testing.B) {
	c := New()
	body := hostileKeys(1_900_000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		err := c.Decode(&br.Model, br.OpConverse.Operation, Request{Labels: []string{"m"}, Body: body}, new(br.ConverseInput))
		if err != nil && !strings.Contains(err.Error(), "keys") {
			b.Fatal(err)
		}
	}
}
