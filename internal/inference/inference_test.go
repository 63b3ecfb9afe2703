package inference_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func target(contextTokens, defaultTokens int) *catalog.Target {
	return &catalog.Target{
		Model:   catalog.Model{ID: "anthropic.claude-v2", StandIn: true},
		Weights: catalog.Weights{ID: "weights", Mode: "chat", ContextTokens: contextTokens, DefaultTokens: defaultTokens},
	}
}

func newCall() *call.Call {
	return &call.Call{Principal: call.Principal{Account: "111122223333"}}
}

// said is a request of so many words, each of which the scripted engine counts
// as a token; 2 more are the message's.
func said(words int, maxTokens *int) *llm.Request {
	return &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: strings.Repeat("word ", words)}}}},
		Params:   llm.Params{MaxTokens: maxTokens},
	}
}

func TestContextLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		words   int
		ask     *int // maxTokens of the caller
		max     int  // MaxContext of the server
		given   int  // what the engine gets; 0: refused
		message string
	}{
		{"short, default", 10, nil, 0, 100, ""},
		{"short, asked", 10, new(7), 0, 7, ""},
		{"exactly full", 798, new(200), 0, 200, ""},
		{"one too many", 798, new(201), 0, 0, "The input has 800 tokens and the output limit is 201 tokens; together they may be at most 1000."},
		{"the default gives way", 950, nil, 0, 48, ""},
		{"one token is left", 997, nil, 0, 1, ""},
		{"no token is left", 998, nil, 0, 0, "The input has 1000 tokens and the output limit is 100 tokens; together they may be at most 1000."},
		{"input alone is too long", 2000, nil, 0, 0, "2002 tokens"},
		{"output alone is too long", 1, new(1001), 0, 0, "The input has 3 tokens and the output limit is 1001 tokens"},
		{"the server's limit", 298, new(201), 500, 0, "together they may be at most 500"},
		{"the server's limit, default", 450, nil, 500, 48, ""},
		{"the server's limit is the larger", 798, new(200), 5000, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := scripted.New()
			given := 0
			e.Observe = func(_ engine.Target, r *llm.Request) { given = *r.Params.MaxTokens }
			s := inference.New(inference.Config{Engine: e, MaxContext: c.max})
			cl := newCall()
			_, err := llm.Collect(s.Generate(t.Context(), cl, target(1000, 100), said(c.words, c.ask)))
			if c.given > 0 {
				if err != nil || given != c.given {
					t.Fatalf("the engine got %d tokens, %v; want %d", given, err, c.given)
				}
				return
			}
			ae, ok := errors.AsType[*apierr.Error](err)
			if !ok || ae.Code != apierr.CodeValidation || !strings.HasPrefix(ae.Message, "Input is too long for requested model.") || !strings.Contains(ae.Message, c.message) {
				t.Errorf("error %v, want one with %q", err, c.message)
			}
			if e.Calls() != 0 {
				t.Error("the engine was asked for a reply")
			}
			if cl.ServedBy != "weights" || !cl.StandIn {
				t.Errorf("not disclosed: %+v", cl)
			}
		})
	}
}

// Weights with a template of their own are counted whenever it might matter.
func TestLargeTemplate(t *testing.T) {
	t.Parallel()
	e := scripted.New(scripted.Reply{Text: "a"})
	counted := &counting{Engine: e}
	s := inference.New(inference.Config{Engine: counted})
	for size, want := range map[int]int{0: 0, 5000: 1} {
		counted.n = 0
		tg := target(1000, 100)
		tg.Weights.TemplateBytes = size
		if _, err := llm.Collect(s.Generate(t.Context(), newCall(), tg, said(1, nil))); err != nil {
			t.Fatal(err)
		}
		if counted.n != want {
			t.Errorf("template of %d bytes: counted %d times, want %d", size, counted.n, want)
		}
	}
}

// A text that cannot fit, whatever its tokens are, is refused uncounted.
func TestHopelessText(t *testing.T) {
	t.Parallel()
	counted := &counting{Engine: scripted.New(), info: engine.Info{TokenBytes: 8, TokenInk: 4}}
	s := inference.New(inference.Config{Engine: counted})
	for name, c := range map[string]struct {
		text  string
		least string // tokens; "" when the text is counted
	}{
		"long":             {strings.Repeat("a", 8001), "at least 2000 tokens"},
		"long white space": {"a" + strings.Repeat(" ", 8100) + "b", "at least 1012 tokens"},
		"outer space":      {strings.Repeat(" ", 9000), ""},
		"may fit":          {strings.Repeat("a ", 1990), ""},
	} {
		counted.n = 0
		r := said(0, nil)
		r.System, r.Messages[0].Content[0].Text = []string{"x"}, c.text
		_, err := llm.Collect(s.Generate(t.Context(), newCall(), target(1000, 100), r))
		if c.least == "" {
			if counted.n != 1 {
				t.Errorf("%s: counted %d times", name, counted.n)
			}
			continue
		}
		if apierr.From(err).Code != apierr.CodeValidation || !strings.Contains(err.Error(), c.least) || counted.n != 0 {
			t.Errorf("%s: %v, counted %d times", name, err, counted.n)
		}
	}
}

type counting struct {
	*scripted.Engine
	n    int
	info engine.Info
}

func (c *counting) Info(context.Context, engine.Target) (engine.Info, error) { return c.info, nil }

func (c *counting) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	c.n++
	return c.Engine.Count(ctx, t, r)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	stop := errors.New("reader leaves")
	for name, c := range map[string]struct {
		reply scripted.Reply
		take  int // deltas that the reader takes; 0 means all
		usage llm.Usage
		code  string
	}{
		"whole":     {scripted.Reply{Text: "a b c", ReusedTokens: 2}, 0, llm.Usage{InputTokens: 3, OutputTokens: 4, ReusedTokens: 2}, ""},
		"cut":       {scripted.Reply{Text: "a b c"}, 2, llm.Usage{InputTokens: 3, OutputTokens: 2}, ""},
		"broken":    {scripted.Reply{Text: "a b c", Err: apierr.ModelStreamError("x"), After: 2}, 0, llm.Usage{InputTokens: 3, OutputTokens: 2}, apierr.CodeModelStreamError},
		"never ran": {scripted.Reply{Err: apierr.Throttling("x")}, 0, llm.Usage{}, apierr.CodeThrottling},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inference.New(inference.Config{Engine: scripted.New(c.reply)})
			cl := newCall()
			var err error
			taken := 0
			for ev, e := range s.Generate(t.Context(), cl, target(1000, 100), said(1, nil)) {
				if err = e; err != nil {
					break
				}
				if ev.Kind == llm.Delta {
					if taken++; taken == c.take {
						err = stop
						break
					}
				}
			}
			if cl.Usage != c.usage || !cl.Inferred {
				t.Errorf("usage %+v, want %+v", cl.Usage, c.usage)
			}
			if c.code != "" && apierr.From(err).Code != c.code {
				t.Errorf("error %v, want %s", err, c.code)
			}
			if c.code == "" && c.take == 0 && err != nil {
				t.Error(err)
			}
			if c.usage.OutputTokens > 0 && (cl.FirstToken <= 0 || cl.Latency < cl.FirstToken) {
				t.Errorf("latency %v, first token %v", cl.Latency, cl.FirstToken)
			}
		})
	}
}

// An engine whose reply ends without its last event has failed.
func TestReplyBreaksOff(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: cutOff{scripted.New()}})
	_, err := llm.Collect(s.Generate(t.Context(), newCall(), target(1000, 100), said(1, nil)))
	if apierr.From(err).Code != apierr.CodeModelStreamError {
		t.Errorf("error %v", err)
	}
}

type cutOff struct{ *scripted.Engine }

func (cutOff) Generate(context.Context, engine.Target, *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		_ = yield(llm.Event{Kind: llm.Start}, nil) && yield(llm.Event{Kind: llm.Delta, Text: "a"}, nil)
	}
}

// Prompt state is kept apart by account.
func TestScope(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	var got engine.Target
	e.Observe = func(t engine.Target, _ *llm.Request) { got = t }
	s := inference.New(inference.Config{Engine: e})
	if _, err := llm.Collect(s.Generate(t.Context(), newCall(), target(1000, 100), said(1, nil))); err != nil {
		t.Fatal(err)
	}
	if want := (engine.Target{Weights: "weights", Mode: engine.Chat, Scope: "111122223333"}); !reflect.DeepEqual(got, want) {
		t.Errorf("target %+v, want %+v", got, want)
	}
}

func embedTarget() *catalog.Target {
	return &catalog.Target{
		Model:   catalog.Model{ID: "amazon.titan-embed-text-v1", StandIn: true},
		Weights: catalog.Weights{ID: "minilm", Mode: "embed", ContextTokens: 512, Dimensions: 384},
	}
}

func TestEmbed(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: scripted.New(), Fit: &embedfit.Fitter{}})
	for _, dims := range []int{256, 384, 1024, 1536} {
		c := newCall()
		resp, err := s.Embed(t.Context(), c, embedTarget(), &llm.EmbedRequest{Texts: []string{"a b c", "d"}}, dims)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range resp.Vectors {
			var sum float64
			for _, x := range v {
				sum += float64(x) * float64(x)
			}
			if len(v) != dims || sum < 0.999 || sum > 1.001 {
				t.Errorf("%d numbers of square sum %f, want %d of 1", len(v), sum, dims)
			}
		}
		if c.Usage.InputTokens != 8 || c.Usage.OutputTokens != 0 || c.ServedBy != "minilm" || !c.StandIn || !c.Inferred {
			t.Errorf("call %+v", c)
		}
	}
}

func TestEmbedFails(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	e.Missing = []string{"minilm"}
	s := inference.New(inference.Config{Engine: e, Fit: &embedfit.Fitter{}})
	c := newCall()
	_, err := s.Embed(t.Context(), c, embedTarget(), &llm.EmbedRequest{Texts: []string{"a"}}, 384)
	if apierr.From(err).Code != apierr.CodeModelNotReady || c.ServedBy != "minilm" {
		t.Errorf("error %v, call %+v", err, c)
	}
}

func TestWrongMode(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: scripted.New(), Fit: &embedfit.Fitter{}})
	_, err := llm.Collect(s.Generate(t.Context(), newCall(), embedTarget(), said(1, nil)))
	if apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("text of an embedding model: %v", err)
	}
	if _, err := s.Embed(t.Context(), newCall(), target(1000, 100), &llm.EmbedRequest{}, 384); apierr.From(err).Code != apierr.CodeValidation {
		t.Errorf("vectors of a text model: %v", err)
	}
}

// Numbers of tokens are none below 0, whatever an engine tells.
func TestUsageOfNoRequest(t *testing.T) {
	t.Parallel()
	e := scripted.New(scripted.Reply{Text: "a b", InputTokens: -900, ReusedTokens: -7}, scripted.Reply{Text: "a b", InputTokens: 5, ReusedTokens: 700})
	s := inference.New(inference.Config{Engine: e})
	for _, want := range []llm.Usage{{OutputTokens: 2}, {InputTokens: 5, OutputTokens: 2, ReusedTokens: 5}} {
		c := newCall()
		resp, err := llm.Collect(s.Generate(t.Context(), c, target(1000, 100), said(1, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Usage; got != resp.Usage || got.InputTokens != want.InputTokens || got.ReusedTokens != want.ReusedTokens || got.OutputTokens < want.OutputTokens {
			t.Errorf("the call counts %+v, the reply %+v; want %+v", got, resp.Usage, want)
		}
	}
}
