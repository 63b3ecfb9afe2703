package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"regexp"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// Picture is a PNG with a pattern that depends on its size.
func Picture(width, height int) llm.Block {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{R: uint8(x * 3), G: uint8(y * 5), B: uint8(x ^ y), A: 255}) // #nosec G115 -- wraps on purpose
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // a good picture into memory cannot fail
	return llm.Block{Kind: llm.Image, Media: &llm.Media{Format: "png", Data: b.Bytes()}}
}

// Clock is a conversation that ends with a question to which weights that know
// tools answer by a call of the tool "get_time", since they did so before.
func Clock(maxTokens int) *llm.Request {
	r := &llm.Request{
		System: []string{"Be brief."},
		Tools: []llm.Tool{{
			Name: "get_time", Description: "Tells the time in a city.",
			Schema: []byte(`{"type":"object","properties":{"zone":{"type":"string"}},"required":["zone"]}`),
		}},
		Params: llm.Params{MaxTokens: &maxTokens, Temperature: new(0.0)},
	}
	for i, city := range []string{"Rome", "Oslo", "Paris"} {
		r.Messages = append(r.Messages, turn(llm.User, "What is the time in "+city+"?"))
		if i == 2 {
			break
		}
		id := "tooluse_" + city
		r.Messages = append(r.Messages,
			llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.ToolCall, Call: &llm.Call{
				ID: id, Name: "get_time", Input: []byte(`{"zone":"` + city + `"}`),
			}}}},
			llm.Message{Role: llm.User, Content: []llm.Block{{Kind: llm.ToolResult, Result: &llm.Result{
				CallID: id, Content: []llm.Block{{Kind: llm.Text, Text: "10:0" + string(rune('0'+i))}},
			}}}},
			turn(llm.Assistant, "It is 10:0"+string(rune('0'+i))+"."),
		)
	}
	return r
}

// Reply reads a whole reply and checks the order and the numbers of its events.
func Reply(t testing.TB, e engine.Engine, to engine.Target, r *llm.Request) (*llm.Response, []llm.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var events []llm.Event
	resp, err := llm.Collect(func(yield func(llm.Event, error) bool) {
		open, begun, step := false, 0, llm.EventKind(0)
		var kind llm.BlockKind
		for ev, err := range e.Generate(ctx, to, r) {
			if err != nil {
				yield(ev, err)
				return
			}
			ok := false
			switch ev.Kind {
			case llm.Start:
				ok = step == 0
			case llm.BlockStart:
				ok = step == llm.Start && !open && ev.Index == begun && (ev.Block == llm.ToolCall) == (ev.Call != nil)
				open, kind = true, ev.Block
				begun++
			case llm.Delta:
				ok = open && ev.Index == begun-1 && ev.Block == kind && ev.Text != ""
			case llm.BlockStop:
				ok = open && ev.Index == begun-1 && ev.Block == kind
				open = false
			case llm.Stop:
				ok = step == llm.Start && !open && begun > 0
			case llm.Done:
				ok = step == llm.Stop
			}
			if !ok {
				t.Errorf("event %+v at the wrong place: after %d, %d blocks begun, one open: %t", ev, step, begun, open)
			}
			switch ev.Kind {
			case llm.Start, llm.Stop, llm.Done:
				step = ev.Kind
			}
			events = append(events, ev)
			if !yield(ev, nil) {
				return
			}
		}
		if step != llm.Done {
			t.Errorf("the reply ended after event %d, want Done", step)
		}
	})
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	return resp, events
}

// counted checks that Count tells what the reply reported.
func (s *suite) counted(t *testing.T, to engine.Target, r *llm.Request, resp *llm.Response) {
	t.Helper()
	n, err := s.Engine.Count(t.Context(), to, r)
	if err != nil || n != resp.Usage.InputTokens || n < 1 {
		t.Errorf("counted %d, %v; usage says %d", n, err, resp.Usage.InputTokens)
	}
}

// under is a target with a scope of its own.
func (s *suite) under(to engine.Target) engine.Target {
	to.Scope = s.fresh().Scope
	return to
}

func (s *suite) tools(t *testing.T) {
	info, err := s.Engine.Info(t.Context(), s.Chat)
	if err != nil {
		t.Fatal(err)
	}
	if info.Tools && !info.Forces && s.Tools.Weights == "" {
		t.Error("the chat weights know tools, but the case has none to run on")
	}
	if s.Tools.Weights == "" {
		return
	}
	if info, err = s.Engine.Info(t.Context(), s.Tools); err != nil || !info.Tools {
		t.Fatalf("weights that know tools: %+v, %v", info, err)
	}
	to, r := s.under(s.Tools), Clock(60)
	resp, events := Reply(t, s.Engine, to, r)
	s.counted(t, to, r, resp)
	var call *llm.Call
	for i := range resp.Content {
		if resp.Content[i].Kind == llm.ToolCall {
			call = resp.Content[i].Call
		}
	}
	if call == nil || call.Name != "get_time" || !strings.HasPrefix(call.ID, "tooluse_") || len(call.ID) > 64 || resp.Reason != llm.ToolUse {
		t.Fatalf("reply %+v by %s, want a call of get_time", resp.Content, resp.Reason)
	}
	var input struct{ Zone string }
	if err := json.Unmarshal(call.Input, &input); err != nil || input.Zone == "" {
		t.Errorf("input %s, %v", call.Input, err)
	}
	pieces := 0
	for _, ev := range events {
		if ev.Kind == llm.Delta && ev.Block == llm.ToolCall {
			pieces++
		}
	}
	if pieces < 2 {
		t.Errorf("the input came in %d pieces, want a live stream", pieces)
	}

	r = Clock(12)
	r.Choice.Kind = llm.ChooseNone
	resp, _ = Reply(t, s.Engine, to, r)
	s.counted(t, to, r, resp)
	for _, b := range resp.Content {
		if b.Kind != llm.Text {
			t.Errorf("a block of kind %d though no call was allowed", b.Kind)
		}
	}
}

// Grammar is what the grammar cases ask for.
const (
	Grammar     = `root ::= "{\"n\": " [0-9] [0-9]? "}"`
	GrammarText = `^\{"n": [0-9][0-9]?\}$`
)

func (s *suite) grammar(t *testing.T) {
	held := Ask("Which number do you like?", 24)
	if held.Grammar = Grammar; s.refused(t, held) {
		return
	}
	for _, to := range []engine.Target{s.Chat, s.Tools} {
		if to.Weights == "" {
			continue
		}
		to, r := s.under(to), Ask("Which number do you like?", 24)
		if to.Weights == s.Tools.Weights {
			r = Clock(24)
			r.Choice = llm.Choice{Kind: llm.ChooseNamed, Name: "get_time"}
		}
		r.Grammar = Grammar
		resp, _ := Reply(t, s.Engine, to, r)
		s.counted(t, to, r, resp)
		if !regexp.MustCompile(GrammarText).MatchString(resp.Text()) || len(resp.Content) != 1 || resp.Reason != llm.EndTurn {
			t.Errorf("%s: %q by %s does not follow the grammar", to.Weights, resp.Text(), resp.Reason)
		}
		r.Messages = append(r.Messages, turn(llm.Assistant, "The number:"))
		resp, _ = Reply(t, s.Engine, to, r)
		s.counted(t, to, r, resp)
		if !regexp.MustCompile(GrammarText).MatchString(resp.Text()) {
			t.Errorf("%s: %q after a prefill does not follow the grammar", to.Weights, resp.Text())
		}
	}
}

func (s *suite) images(t *testing.T) {
	info, err := s.Engine.Info(t.Context(), s.Chat)
	if err != nil || info.Images && s.Images.Weights == "" {
		t.Errorf("the chat weights see images, but the case has none to run on: %v", err)
	}
	if s.Images.Weights == "" {
		return
	}
	if info, err = s.Engine.Info(t.Context(), s.Images); err != nil || !info.Images {
		t.Fatalf("weights that see images: %+v, %v", info, err)
	}
	to := s.under(s.Images)
	text := func(s string) llm.Block { return llm.Block{Kind: llm.Text, Text: s} }
	blind := Ask("What is this?", 4)
	without, _ := Reply(t, s.Engine, to, blind)
	s.counted(t, to, blind, without)
	for name, blocks := range map[string][]llm.Block{
		"image then text": {Picture(64, 64), text("What is this?")},
		"text then image": {text("What is this?"), Picture(31, 97)},
		"between":         {text("What"), Picture(200, 120), text("is this?")},
		"two":             {Picture(16, 16), text("What is"), Picture(300, 40), text("this?")},
		"alone":           {Picture(8, 8)},
	} {
		r := Ask("", 4)
		r.Messages[0].Content = blocks
		resp, _ := Reply(t, s.Engine, to, r)
		s.counted(t, to, r, resp)
		if resp.Usage.InputTokens <= without.Usage.InputTokens && name != "alone" {
			t.Errorf("%s: %d tokens, the text alone has %d", name, resp.Usage.InputTokens, without.Usage.InputTokens)
		}
		if resp.Usage.OutputTokens < 1 {
			t.Errorf("%s: no answer", name)
		}
	}
	r := Ask("", 2)
	r.Messages = []llm.Message{
		{Role: llm.User, Content: []llm.Block{Picture(64, 64), text("What is this?")}}, turn(llm.Assistant, "A stone."),
		{Role: llm.User, Content: []llm.Block{text("And this?"), Picture(48, 80)}},
	}
	resp, _ := Reply(t, s.Engine, to, r)
	s.counted(t, to, r, resp)
}

func (s *suite) raw(t *testing.T) {
	to := s.fresh()
	r := &llm.Request{Raw: "One, two, three, four,", Params: llm.Params{MaxTokens: new(6), Temperature: new(0.0)}}
	if s.refused(t, r) {
		return
	}
	resp, _ := Reply(t, s.Engine, to, r)
	s.counted(t, to, r, resp)
	if resp.Text() == "" || resp.Usage.OutputTokens != 6 {
		t.Errorf("%q, usage %+v", resp.Text(), resp.Usage)
	}
	r.Grammar = Grammar
	r.Params.MaxTokens = new(24)
	if resp, _ = Reply(t, s.Engine, to, r); !regexp.MustCompile(GrammarText).MatchString(resp.Text()) {
		t.Errorf("%q does not follow the grammar", resp.Text())
	}
}

func (s *suite) logprobs(t *testing.T) {
	told := Ask(story, 12)
	if told.Logprobs = true; s.refused(t, told) {
		return
	}
	for name, r := range map[string]*llm.Request{
		"chat": Ask(story, 12), "raw": {Raw: story, Params: llm.Params{MaxTokens: new(12), Temperature: new(0.0)}},
	} {
		plain, _ := Reply(t, s.Engine, s.fresh(), r)
		r.Logprobs = true
		resp, events := Reply(t, s.Engine, s.fresh(), r)
		if resp.Text() != plain.Text() {
			t.Errorf("%s: %q with probabilities, %q without", name, resp.Text(), plain.Text())
		}
		for _, ev := range events {
			if ev.Kind == llm.Delta && (ev.Logprob == nil || *ev.Logprob > 0 || *ev.Logprob < -200) {
				t.Errorf("%s: delta %q has probability %v", name, ev.Text, ev.Logprob)
			}
		}
		joined := ""
		for _, p := range resp.Pieces {
			joined += p.Text
		}
		if joined != resp.Text() {
			t.Errorf("%s: pieces join to %q, the text is %q", name, joined, resp.Text())
		}
	}
}

func (s *suite) penalties(t *testing.T) {
	r := Ask(story, 20)
	r.Params.FrequencyPenalty, r.Params.PresencePenalty = new(1.5), new(0.5)
	resp, _ := Reply(t, s.Engine, s.fresh(), r)
	if resp.Usage.OutputTokens != 20 && resp.Reason != llm.EndTurn {
		t.Errorf("%+v by %s", resp.Usage, resp.Reason)
	}
}
