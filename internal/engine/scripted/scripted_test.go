package scripted_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tale = "Once upon a time a naïve captain sailed from 東京 to Bergen, round the cape and back again, " +
	"and she told nobody what she had found there, for who would have believed her story of the singing ice?"

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		e := scripted.New(scripted.Reply{Text: tale, Endless: true, Pace: func(ctx context.Context, i int) error {
			if i < 40 {
				return nil
			}
			<-ctx.Done() // long replies are there to be broken off
			return ctx.Err()
		}})
		e.Missing = []string{"gone"}
		e.Tools, e.Images = true, true
		e.Limit = &limit.SlotsConfig{N: 4}
		e.Script = func(_ engine.Target, r *llm.Request) *scripted.Reply {
			switch {
			case r.Grammar != "":
				return &scripted.Reply{Text: `{"n": 7}`}
			case len(r.Tools) > 0 && r.Choice.Kind != llm.ChooseNone:
				return &scripted.Reply{Blocks: []scripted.Block{
					{Text: "Let me look."}, {Kind: llm.ToolCall, Name: "get_time", Text: `{"zone": "Paris"}`},
				}}
			}
			return nil
		}
		enginetest.Start(t, e)
		return enginetest.Subject{
			Engine:  e,
			Chat:    engine.Target{Weights: "w", Mode: engine.Chat},
			Embed:   engine.Target{Weights: "v", Mode: engine.Embed},
			Tools:   engine.Target{Weights: "t", Mode: engine.Chat},
			Images:  engine.Target{Weights: "i", Mode: engine.Chat},
			Missing: engine.Target{Weights: "gone", Mode: engine.Chat},
			Slots:   4,
			Kill:    func(*testing.T) { e.Kill() },
		}
	})
}

func TestReplyOrder(t *testing.T) {
	t.Parallel()
	e := scripted.New(scripted.Reply{Text: "one"}, scripted.Reply{Text: "two"})
	for _, want := range []string{"one", "two", "two"} {
		resp, err := llm.Collect(e.Generate(t.Context(), engine.Target{}, &llm.Request{}))
		if err != nil || resp.Text() != want || resp.Reason != llm.EndTurn {
			t.Errorf("got %q %s %v, want %q", resp.Text(), resp.Reason, err, want)
		}
	}
	if e.Calls() != 3 {
		t.Errorf("%d calls counted, want 3", e.Calls())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	e := scripted.New(
		scripted.Reply{Text: "a b c", Err: apierr.Throttling("busy")},
		scripted.Reply{Text: "a b c", Err: apierr.ModelStreamError("broke"), After: 2},
		scripted.Reply{Text: "a b c", Err: apierr.ModelStreamError("broke"), After: 3},
	)
	for _, want := range []struct{ text, code string }{
		{"", apierr.CodeThrottling}, {"a b", apierr.CodeModelStreamError}, {"a b c", apierr.CodeModelStreamError},
	} {
		resp, err := llm.Collect(e.Generate(t.Context(), engine.Target{}, &llm.Request{}))
		enginetest.WantCode(t, err, want.code)
		if resp.Text() != want.text {
			t.Errorf("text %q before the error, want %q", resp.Text(), want.text)
		}
	}
}

func TestPaceAndBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := scripted.New(scripted.Reply{Text: "a b", Block: true, Pace: func(context.Context, int) error {
			time.Sleep(time.Second)
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		resp, err := llm.Collect(e.Generate(ctx, engine.Target{}, &llm.Request{}))
		if !errors.Is(err, context.DeadlineExceeded) || resp.Text() != "a b" || time.Since(begin) != time.Minute {
			t.Errorf("%q, %v after %s", resp.Text(), err, time.Since(begin))
		}
	})
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	e := scripted.New(scripted.Reply{Blocks: []scripted.Block{
		{Kind: llm.Reasoning, Text: "It is late.", Signature: "sig"},
		{Text: "Two calls. STOP"},
		{Kind: llm.ToolCall, Name: "a", Text: `{"x": 1}`},
		{Kind: llm.ToolCall, Name: "b", ID: "tooluse_own", Deltas: []string{"{", "}"}},
		{Kind: llm.ToolCall, Name: "c"},
	}})
	resp, _ := enginetest.Reply(t, e, engine.Target{}, &llm.Request{})
	want := []llm.Block{
		{Kind: llm.Reasoning, Text: "It is late.", Signature: "sig"},
		{Kind: llm.Text, Text: "Two calls. STOP"},
		{Kind: llm.ToolCall, Call: &llm.Call{ID: "tooluse_1", Name: "a", Input: []byte(`{"x": 1}`)}},
		{Kind: llm.ToolCall, Call: &llm.Call{ID: "tooluse_own", Name: "b", Input: []byte("{}")}},
		{Kind: llm.ToolCall, Call: &llm.Call{ID: "tooluse_3", Name: "c"}},
	}
	if !reflect.DeepEqual(resp.Content, want) || resp.Reason != llm.ToolUse {
		t.Errorf("%+v by %s", resp.Content, resp.Reason)
	}
	resp, _ = enginetest.Reply(t, e, engine.Target{}, &llm.Request{Params: llm.Params{Stop: []string{"STOP"}}})
	if resp.Reason != llm.StopSequence || resp.Text() != "Two calls. " || len(resp.Content) != 2 {
		t.Errorf("%+v by %s", resp.Content, resp.Reason)
	}
	resp, _ = enginetest.Reply(t, e, engine.Target{}, &llm.Request{Params: llm.Params{MaxTokens: new(7)}})
	if resp.Reason != llm.MaxTokens || len(resp.Content) != 3 || string(resp.Content[2].Call.Input) != `{"x":` {
		t.Errorf("%+v by %s", resp.Content, resp.Reason)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", "a", " a  b\n\nc ", tale} {
		if got := strings.Join(scripted.Split(text), ""); got != text {
			t.Errorf("joined %q, want %q", got, text)
		}
	}
	if got := scripted.Split("a b"); len(got) != 2 || got[1] != " b" {
		t.Errorf("pieces %q", got)
	}
}

func BenchmarkGenerate(b *testing.B) {
	e := scripted.New(scripted.Reply{Text: tale})
	r := enginetest.Ask("hello", 100)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range e.Generate(b.Context(), engine.Target{}, r) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
