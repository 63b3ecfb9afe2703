package llamacpp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
)

// startAs starts the real engine with some weights loaded.
func startAs(t *testing.T, weights string) (*llamacpp.Engine, *bare, engine.Target) {
	t.Helper()
	c := theReal(t).config(t)
	c.RunDir = shortDir(t)
	e := begin(t, c)
	target := engine.Target{Weights: weights, Mode: engine.Chat, Scope: "x"}
	if err := e.Load(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	return e, dial(t, c.RunDir), target
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}

// escaped writes every character of a text as JSON may write it too.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

// Nothing that comes with tools becomes a control token: not a name, nor a
// description, a schema, a call, a result or a thought.
func TestControlTokensOfTools(t *testing.T) {
	t.Parallel()
	e, b, target := startAs(t, toolWeights)
	h := header(t, enginetest.Installed(t).Files[chatWeights])
	special := map[int]bool{}
	for _, s := range h.Tokenizer.SpecialTokens() {
		special[slices.Index(h.Tokenizer.Tokens, s)] = true
	}
	ids := func(r *llm.Request) (n, control int) {
		var rendered struct{ Prompt string }
		b.post(t, "/apply-template", e.Prepared(t.Context(), target, r), &rendered)
		var tok struct{ Tokens []int }
		b.post(t, "/tokenize", map[string]any{"content": rendered.Prompt, "add_special": true, "parse_special": true}, &tok)
		for _, id := range tok.Tokens {
			if special[id] {
				control++
			}
		}
		return len(tok.Tokens), control
	}
	call := func(r *llm.Request) *llm.Call { return r.Messages[1].Content[0].Call }
	places := map[string]func(r *llm.Request, s string){
		"tool name":   func(r *llm.Request, s string) { r.Tools[0].Name = s },
		"description": func(r *llm.Request, s string) { r.Tools[0].Description = s },
		"schema value": func(r *llm.Request, s string) {
			r.Tools[0].Schema = []byte(`{"type":"object","description":` + quoted(s) + `}`)
		},
		"schema, coded": func(r *llm.Request, s string) {
			r.Tools[0].Schema = []byte(`{"type":"object","description":` + escaped(s) + `}`)
		},
		"schema key": func(r *llm.Request, s string) {
			r.Tools[0].Schema = []byte(`{"type":"object","properties":{` + quoted(s) + `:{"type":"string"}}}`)
		},
		"schema enum": func(r *llm.Request, s string) {
			r.Tools[0].Schema = []byte(`{"type":"object","properties":{"a":{"enum":["x",` + quoted(s) + `]}}}`)
		},
		"call name":    func(r *llm.Request, s string) { call(r).Name = s },
		"call id":      func(r *llm.Request, s string) { call(r).ID = s },
		"input value":  func(r *llm.Request, s string) { call(r).Input = []byte(`{"a":[` + quoted(s) + `]}`) },
		"input, coded": func(r *llm.Request, s string) { call(r).Input = []byte(`{"a":` + escaped(s) + `}`) },
		"input key":    func(r *llm.Request, s string) { call(r).Input = []byte(`{` + quoted(s) + `:1}`) },
		"result": func(r *llm.Request, s string) {
			r.Messages[2].Content[0].Result.Content[0].Text = s
		},
		"failed result": func(r *llm.Request, s string) {
			r.Messages[2].Content[0].Result.Failed = true
			r.Messages[2].Content[0].Result.Content[0].Text = s
		},
		"text beside a call": func(r *llm.Request, s string) {
			r.Messages[1].Content = append([]llm.Block{{Kind: llm.Text, Text: s}}, r.Messages[1].Content...)
		},
	}
	n := 0
	for place, put := range places {
		plain := enginetest.Clock(1)
		put(plain, "harmless")
		_, want := ids(plain)
		for _, s := range h.Tokenizer.SpecialTokens() {
			half := len(s) / 2
			for _, text := range []string{s, "a" + s + s + "b", s[:half] + s + s[half:]} {
				n++
				r := enginetest.Clock(1)
				put(r, text)
				size, got := ids(r)
				if got != want {
					t.Errorf("%q as %s: %d control tokens, want %d", text, place, got, want)
				}
				if n%29 == 0 {
					if count, err := e.Count(t.Context(), target, r); err != nil || count != size {
						t.Errorf("%q as %s: counted %d, replay %d, %v", text, place, count, size, err)
					}
				}
			}
		}
	}
	if n < 14*3*10 {
		t.Errorf("only %d cases", n)
	}
}

// A schema that the server does not take costs neither the call nor its count.
func TestOddSchemas(t *testing.T) {
	t.Parallel()
	e, _, target := startAs(t, toolWeights)
	for name, schema := range map[string]string{
		"reference to elsewhere": `{"type":"object","properties":{"zone":{"$ref":"https://example.com/zone.json"}},"required":["zone"]}`,
		"reference to itself":    `{"type":"object","properties":{"zone":{"type":"string"},"more":{"$ref":"#"}}}`,
		"anything goes":          `{"type":"object","properties":{"zone":true}}`,
		"a type of its own":      `{"type":"object","properties":{"zone":{"anyOf":[{"type":"city"},{"type":["string","null"]}],"title":"Zone"}},"items":{"type":3}}`,
		"no object":              `true`,
		"nothing":                ``,
		"no JSON":                `{`,
	} {
		r := enginetest.Clock(3)
		r.Tools[0].Schema = []byte(schema)
		n, err := e.Count(t.Context(), target, r)
		if err != nil || n < 200 {
			t.Errorf("%s: counted %d, %v", name, n, err)
		}
		if name != "reference to itself" && name != "no object" {
			continue // reading a prompt takes long, and the way is the same
		}
		if resp, _ := enginetest.Reply(t, e, target, r); n != resp.Usage.InputTokens {
			t.Errorf("%s: counted %d, usage says %d", name, n, resp.Usage.InputTokens)
		}
	}
}

// Thoughts come as a block of their own, and can be bounded or switched off.
func TestThoughts(t *testing.T) {
	t.Parallel()
	e, _, target := startAs(t, thoughtWeights)
	ask := func(change func(*llm.Request)) *llm.Request {
		r := &llm.Request{Params: llm.Params{MaxTokens: new(60), Temperature: new(0.0)}}
		for i, q := range []string{"2+2", "3+3", "4+4"} {
			r.Messages = append(r.Messages, enginetest.Ask("What is "+q+"?", 1).Messages[0])
			if i < 2 {
				words := []string{"Two plus two is four.", "Three plus three is six."}[i]
				r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{
					{Kind: llm.Reasoning, Text: words}, {Kind: llm.Text, Text: []string{"4", "6"}[i]},
				}})
			}
		}
		if change != nil {
			change(r)
		}
		return r
	}
	kinds := func(resp *llm.Response) (out []llm.BlockKind) {
		for _, b := range resp.Content {
			out = append(out, b.Kind)
		}
		return out
	}
	for name, c := range map[string]struct {
		change func(*llm.Request)
		want   []llm.BlockKind
	}{
		"by itself": {nil, []llm.BlockKind{llm.Reasoning, llm.Text}},
		"asked for": {func(r *llm.Request) { r.Thinking = &llm.Thinking{Effort: "low"} }, []llm.BlockKind{llm.Reasoning, llm.Text}},
		"off":       {func(r *llm.Request) { r.Thinking = &llm.Thinking{Off: true} }, []llm.BlockKind{llm.Text}},
		"grammar":   {func(r *llm.Request) { r.Grammar = enginetest.Grammar }, []llm.BlockKind{llm.Text}},
		"prefill": {func(r *llm.Request) {
			r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "It is"}}})
		}, []llm.BlockKind{llm.Text}},
	} {
		r := ask(c.change)
		resp, _ := enginetest.Reply(t, e, target, r)
		if got := kinds(resp); !slices.Equal(got, c.want) || strings.Contains(resp.Text(), "think>") {
			t.Errorf("%s: blocks %v, want %v: %+v", name, got, c.want, resp.Content)
		}
		if n, err := e.Count(t.Context(), target, r); err != nil || n != resp.Usage.InputTokens {
			t.Errorf("%s: counted %d, %v; usage says %d", name, n, err, resp.Usage.InputTokens)
		}
	}
	// A budget ends the thoughts early.
	long, _ := enginetest.Reply(t, e, target, ask(nil))
	short, _ := enginetest.Reply(t, e, target, ask(func(r *llm.Request) { r.Thinking = &llm.Thinking{Budget: 3} }))
	if len(short.Content) == 0 || short.Content[0].Kind != llm.Reasoning || len(short.Content[0].Text) >= len(long.Content[0].Text) {
		t.Errorf("a budget of 3 tokens: %+v, without: %+v", short.Content, long.Content)
	}
	// Thoughts given back count, since the template takes them.
	with, err := e.Count(t.Context(), target, ask(nil))
	if err != nil {
		t.Fatal(err)
	}
	without, err := e.Count(t.Context(), target, ask(func(r *llm.Request) {
		for i := range r.Messages {
			if r.Messages[i].Role == llm.Assistant {
				r.Messages[i].Content = r.Messages[i].Content[1:]
			}
		}
	}))
	if err != nil || with <= without {
		t.Errorf("%d tokens with past thoughts, %d without, %v", with, without, err)
	}
	// To weights that do not think they are nothing.
	plain := ask(nil)
	n, err := e.Count(t.Context(), chatTarget(""), plain)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plain.Messages {
		if plain.Messages[i].Role == llm.Assistant {
			plain.Messages[i].Content = plain.Messages[i].Content[1:]
		}
	}
	if m, err := e.Count(t.Context(), chatTarget(""), plain); err != nil || n != m {
		t.Errorf("weights that do not think: %d tokens with thoughts, %d without, %v", n, m, err)
	}
}

// A raw prompt goes to the weights as it is: the same text as their own template
// makes gives the same reply, control tokens included.
func TestRawIsTheTemplate(t *testing.T) {
	t.Parallel()
	e, b, target := startAs(t, chatWeights)
	r := enginetest.Ask("Name three rocks.", 24)
	r.System = []string{"You are a geologist."}
	var rendered struct{ Prompt string }
	b.post(t, "/apply-template", e.Prepared(t.Context(), target, r), &rendered)
	want, _ := enginetest.Reply(t, e, target, r)
	raw := &llm.Request{Raw: rendered.Prompt, Params: r.Params}
	got, _ := enginetest.Reply(t, e, target, raw)
	if got.Text() != want.Text() || got.Usage.InputTokens != want.Usage.InputTokens || got.Reason != want.Reason {
		t.Errorf("raw: %q, %+v by %s; templated: %q, %+v by %s", got.Text(), got.Usage, got.Reason, want.Text(), want.Usage, want.Reason)
	}
	raw.Params.Stop = []string{"ite"}
	if got, _ = enginetest.Reply(t, e, target, raw); got.Reason == llm.StopSequence && strings.Contains(got.Text(), "ite") {
		t.Errorf("%q goes on after its stop text", got.Text())
	}
}

// A reply that is broken off frees its slot soon, also while another one
// streams, and what was made until then is told.
func TestCancelBesideOthers(t *testing.T) {
	t.Parallel()
	e, b, target := startAs(t, chatWeights) // two slots
	busy := func() int {
		t.Helper()
		s := b.get(t, "/metrics")
		for line := range strings.Lines(s) {
			if v, ok := strings.CutPrefix(line, "llamacpp:requests_processing "); ok {
				var n int
				if _, err := fmt.Sscan(v, &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatalf("no count of requests among the metrics:\n%s", s)
		return 0
	}
	const story = "Tell me a long story about a ship that sails round the world."
	other, leave := context.WithCancel(t.Context())
	defer leave()
	streaming, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		n := 0
		for ev := range e.Generate(other, target, enginetest.Ask(story, 1800)) {
			if ev.Kind == llm.Delta {
				if n++; n == 3 {
					close(streaming)
				}
			}
		}
	}()
	<-streaming
	var took []time.Duration
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		var (
			usage llm.Usage
			input int
			n     int
		)
		for ev, err := range e.Generate(ctx, target, enginetest.Ask(fmt.Sprintf("Story %d. %s", i, story), 1000)) {
			if err != nil {
				usage = ev.Usage
				continue
			}
			switch ev.Kind {
			case llm.Start:
				input = ev.Usage.InputTokens
			case llm.Delta:
				if n++; n == 5 {
					cancel()
				}
			}
		}
		cancel()
		begin := time.Now()
		for busy() > 1 {
			if time.Since(begin) > 20*time.Second {
				t.Fatal("the server works on for nobody")
			}
		}
		took = append(took, time.Since(begin))
		if usage.OutputTokens < 5 || usage.InputTokens < 10 || usage.InputTokens != input {
			t.Errorf("usage of a cut reply %+v, its beginning told %d input tokens", usage, input)
		}
	}
	leave()
	<-ended
	slices.Sort(took)
	t.Logf("slots came free after %v, the middle one %v", took, took[len(took)/2])
	if took[0] > 2*time.Second { // 0.2 s on a machine of one's own
		t.Errorf("a slot came free only after %v", took[0])
	}
}
