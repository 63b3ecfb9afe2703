package inference_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func withTool(kind llm.ChoiceKind) *llm.Request {
	r := said(3, nil)
	r.Tools = []llm.Tool{{Name: "search", Description: "Finds things.", Schema: []byte(`{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}`)}}
	r.Choice = llm.Choice{Kind: kind}
	return r
}

const searchCall = `{"name":"search","arguments":{"q":"ice and rain"}}`

func TestToolCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		native bool
		choice llm.ChoiceKind
		reply  scripted.Reply
		want   llm.StopReason
		input  string
	}{
		{"forced, plain", false, llm.ChooseAny, scripted.Reply{Text: searchCall}, llm.ToolUse, `{"q":"ice and rain"}`},
		{"forced, native", true, llm.ChooseAny, scripted.Reply{Text: searchCall}, llm.ToolUse, `{"q":"ice and rain"}`},
		{"free, plain", false, llm.ChooseAuto, scripted.Reply{Text: "Well. <tool_call>" + searchCall + "</tool_call>"}, llm.ToolUse, `{"q":"ice and rain"}`},
		{"free, native", true, llm.ChooseAuto, scripted.Reply{Blocks: []scripted.Block{{Kind: llm.ToolCall, Name: "search", Text: `{"q":"ice and rain"}`}}}, llm.ToolUse, `{"q":"ice and rain"}`},
		{"does not fit", false, llm.ChooseAny, scripted.Reply{Text: `{"name":"search","arguments":{}}`}, llm.MalformedToolUse, `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := scripted.New(c.reply)
			e.Tools = c.native
			var sent *llm.Request
			e.Observe = func(_ engine.Target, r *llm.Request) { sent = r }
			s := inference.New(inference.Config{Engine: e})
			cl := newCall()
			resp, err := llm.Collect(s.Generate(t.Context(), cl, target(8000, 100), withTool(c.choice)))
			if err != nil {
				t.Fatal(err)
			}
			last := resp.Content[len(resp.Content)-1]
			if resp.Reason != c.want || last.Kind != llm.ToolCall || last.Call.Name != "search" || string(last.Call.Input) != c.input {
				t.Errorf("%s %+v", resp.Reason, last)
			}
			if (len(sent.Tools) > 0) != c.native {
				t.Errorf("the engine is told of %d tools", len(sent.Tools))
			}
			n, err := s.Count(t.Context(), newCall(), target(8000, 100), withTool(c.choice))
			if err != nil || n != resp.Usage.InputTokens || n != cl.Usage.InputTokens {
				t.Errorf("counted %d, %v; the reply told %d", n, err, resp.Usage.InputTokens)
			}
		})
	}
}

// A reply that is cut in a call counts as far as it came, also when the reader
// sees fewer pieces than the engine made.
func TestCutInCall(t *testing.T) {
	t.Parallel()
	deltas := []string{`{"name":`, `"search",`, `"arguments":`, `{"q":`, `"ice`, `"}`, `}`}
	for n := 1; n < len(deltas); n++ {
		s := inference.New(inference.Config{Engine: scripted.New(scripted.Reply{Deltas: deltas, Err: apierr.ModelStreamError("broke"), After: n})})
		cl := newCall()
		resp, err := llm.Collect(s.Generate(t.Context(), cl, target(8000, 100), withTool(llm.ChooseAny)))
		if apierr.From(err).Code != apierr.CodeModelStreamError || cl.Usage.OutputTokens != n || resp.Reason != "" {
			t.Errorf("after %d: %v, usage %+v", n, err, cl.Usage)
		}
	}
	s := inference.New(inference.Config{Engine: scripted.New(scripted.Reply{Deltas: deltas})})
	cl := newCall()
	for ev := range s.Generate(t.Context(), cl, target(8000, 100), withTool(llm.ChooseAny)) {
		if ev.Kind == llm.Delta { // the first one holds the 4th token
			break
		}
	}
	if cl.Usage.OutputTokens != 4 {
		t.Errorf("the reader left: usage %+v", cl.Usage)
	}
}

func TestSchemaRefused(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: scripted.New()})
	r := withTool(llm.ChooseAny)
	r.Tools[0].Schema = []byte(`{"type":"object","if":true}`)
	err := errorOf(s.Generate(t.Context(), newCall(), target(8000, 100), r))
	if e := apierr.From(err); e.Code != apierr.CodeValidation || !strings.Contains(e.Message, `"search" at tools.0: keyword if at / is not supported`) {
		t.Error(err)
	}
}

// A request whose length is not known in advance is counted before it may run.
func TestUnknownLengthIsCounted(t *testing.T) {
	t.Parallel()
	result := said(1, nil)
	result.Messages[0].Content = append(result.Messages[0].Content, llm.Block{Kind: llm.ToolResult, Result: &llm.Result{Content: []llm.Block{{Kind: llm.Text, Text: "x"}}}})
	image := asks(img(llm.Media{Format: "png", Data: []byte("x")}))
	raw := &llm.Request{Raw: strings.Repeat("x ", 600)}
	thought := said(1, nil)
	thought.Messages[0].Content = append(thought.Messages[0].Content, llm.Block{Kind: llm.Reasoning, Text: "hm"})
	for name, c := range map[string]struct {
		r    *llm.Request
		want int
	}{
		"tools": {withTool(llm.ChooseAuto), 1}, "result": {result, 1}, "image": {image, 1}, "long raw prompt": {raw, 1},
		"short raw prompt": {&llm.Request{Raw: "x"}, 0}, "thought": {thought, 0},
	} {
		e := scripted.New()
		counted := &counting{Engine: e, info: engine.Info{Tools: true, Images: true}}
		s := inference.New(inference.Config{Engine: counted, Pictures: mirrors{}})
		if err := errorOf(s.Generate(t.Context(), newCall(), target(1000, 100), c.r)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if counted.n != c.want {
			t.Errorf("%s: counted %d times, want %d", name, counted.n, c.want)
		}
	}
}

func TestCountRefuses(t *testing.T) {
	t.Parallel()
	counted := &counting{Engine: scripted.New(), info: engine.Info{TokenBytes: 8, TokenInk: 4}}
	s := inference.New(inference.Config{Engine: counted})
	if _, err := s.Count(t.Context(), newCall(), embedTarget(), said(1, nil)); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("tokens of a model without text: %v", err)
	}
	r := said(0, nil)
	r.Messages[0].Content[0].Text = strings.Repeat("a", 8001)
	if _, err := s.Count(t.Context(), newCall(), target(1000, 100), r); apierr.From(err).Code != apierr.CodeValidation || counted.n != 0 {
		t.Errorf("a text that cannot fit: %v, counted %d times", err, counted.n)
	}
	counted.info.Tools = true
	r = said(0, nil)
	call := llm.Block{Kind: llm.ToolCall, Call: &llm.Call{Name: "t", Input: []byte(`{"a":"` + strings.Repeat("a", 5*6*1000) + `"}`)}}
	r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{call}})
	if _, err := s.Count(t.Context(), newCall(), target(1000, 100), r); apierr.From(err).Code != apierr.CodeValidation || counted.n != 0 {
		t.Errorf("a call that cannot fit: %v, counted %d times", err, counted.n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := s.Count(ctx, newCall(), target(1000, 100), said(5, nil)); n != 7 && !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}
