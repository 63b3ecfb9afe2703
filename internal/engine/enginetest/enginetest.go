// Package enginetest is the conformance suite of engines. Every engine runs it
// against the real thing; a bug found in one engine adds a case for all.
//
// A package that runs the suite should also end with goleak.VerifyTestMain: the
// suite leaves no request behind, so no goroutine may be left either.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// patience is how long anything may take that should take far less. It only
// bounds a failing test.
const patience = 60 * time.Second

// Subject is an engine under test. Its Run is already running (see Start).
type Subject struct {
	Engine engine.Engine
	// Chat are weights whose reply to any prompt is longer than 24 tokens and,
	// at temperature 0, the same each time.
	Chat engine.Target
	// Embed are embedding weights; an empty Weights skips the embedding cases.
	Embed engine.Target
	// Tools are weights with a template that knows tools, and that answer Clock by
	// a call; an empty Weights skips the cases of tools.
	Tools engine.Target
	// Images are weights that see images; an empty Weights skips their cases.
	Images engine.Target
	// Missing are weights that the engine does not have.
	Missing engine.Target
	// Plain says that the engine knows neither grammars, nor raw prompts, nor the
	// probabilities of tokens: it must refuse them (ValidationException).
	Plain bool
	// Slots is how many requests run at once; 0 means any number.
	Slots int
	// Kill makes the model server die now, as kill -9 would; nil skips these
	// cases.
	Kill func(t *testing.T)
	// AfterKill is how soon a request in flight must fail; 0 means 1 s.
	AfterKill time.Duration
}

// Start runs e.Run until the end of the test and fails the test when Run
// returns an error or does not return within 30 s.
func Start(t testing.TB, e engine.Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run did not return within 30 s")
		}
	})
}

// Run runs the suite, one case after the other against one subject.
func Run(t *testing.T, start func(t *testing.T) Subject) {
	t.Helper()
	s := &suite{Subject: start(t)}
	for _, c := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Events", s.events},
		{"MaxTokens", s.maxTokens},
		{"StopAcrossTokens", s.stopAcrossTokens},
		{"BuiltinStop", s.builtinStop},
		{"StopNeverHit", s.stopNeverHit},
		{"CountEqualsUsage", s.countEqualsUsage},
		{"Prefill", s.prefill},
		{"Tools", s.tools},
		{"Grammar", s.grammar},
		{"Images", s.images},
		{"Raw", s.raw},
		{"Logprobs", s.logprobs},
		{"Penalties", s.penalties},
		{"ContextEnds", s.contextEnds},
		{"ReaderLeaves", s.readerLeaves},
		{"CancelFreesSlots", s.cancelFreesSlots},
		{"SlowReader", s.slowReader},
		{"Concurrent", s.concurrent},
		{"Reserves", s.reserves},
		{"Lines", s.lines},
		{"MissingWeights", s.missingWeights},
		{"DeathMidStream", s.deathMidStream},
		{"Info", s.info},
		{"Embed", s.embed},
		{"EmbedSame", s.embedSame},
		{"EmbedLong", s.embedLong},
	} {
		t.Run(c.name, c.run)
	}
}

// refused reports whether the engine must refuse what a case is about, and checks
// that it does.
func (s *suite) refused(t *testing.T, r *llm.Request) bool {
	t.Helper()
	if !s.Plain {
		return false
	}
	n := 0
	for ev, err := range s.Engine.Generate(t.Context(), s.fresh(), r) {
		n++
		if err == nil {
			t.Errorf("event %+v", ev)
			break
		}
		WantCode(t, err, apierr.CodeValidation)
	}
	if n != 1 {
		t.Errorf("%d yields, want the refusal alone", n)
	}
	return true
}

type suite struct {
	Subject
	scopes atomic.Int64
}

// fresh is the chat target under a scope of its own, so that no case depends on
// prompt state that another one left.
func (s *suite) fresh() engine.Target {
	t := s.Chat
	t.Scope = fmt.Sprintf("scope-%d", s.scopes.Add(1))
	return t
}

// Ask is a request of one user turn at temperature 0.
func Ask(prompt string, maxTokens int) *llm.Request {
	return &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: prompt}}}},
		Params:   llm.Params{MaxTokens: &maxTokens, Temperature: new(0.0)},
	}
}

const story = "Tell me a long story about a ship that sails round the world."

func (s *suite) collect(t *testing.T, r *llm.Request) *llm.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := llm.Collect(s.Engine.Generate(ctx, s.fresh(), r))
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	return resp
}

// deltas reads a whole reply and returns its deltas, checking the order of
// events on the way.
func (s *suite) deltas(t *testing.T, r *llm.Request) ([]string, llm.Event, llm.Event) {
	t.Helper()
	var (
		out        []string
		stop, done llm.Event
		last       llm.EventKind
	)
	after := map[llm.EventKind][]llm.EventKind{
		llm.Start:      {0},
		llm.BlockStart: {llm.Start},
		llm.Delta:      {llm.BlockStart, llm.Delta},
		llm.BlockStop:  {llm.BlockStart, llm.Delta},
		llm.Stop:       {llm.BlockStop},
		llm.Done:       {llm.Stop},
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ev, err := range s.Engine.Generate(ctx, s.fresh(), r) {
		if err != nil {
			t.Fatalf("Generate: %v", err)
		}
		ok := false
		for _, k := range after[ev.Kind] {
			ok = ok || k == last
		}
		if !ok {
			t.Fatalf("event %d after event %d", ev.Kind, last)
		}
		last = ev.Kind
		switch ev.Kind {
		case llm.Delta:
			if ev.Text == "" || !utf8.ValidString(ev.Text) {
				t.Fatalf("delta %q: empty or not UTF-8", ev.Text)
			}
			out = append(out, ev.Text)
		case llm.Stop:
			stop = ev
		case llm.Done:
			done = ev
		}
	}
	if last != llm.Done {
		t.Fatalf("the reply ended with event %d, want Done", last)
	}
	return out, stop, done
}

func (s *suite) events(t *testing.T) {
	deltas, stop, done := s.deltas(t, Ask(story, 20))
	if len(deltas) < 2 {
		t.Errorf("%d deltas, want a live stream", len(deltas))
	}
	if stop.Reason != llm.MaxTokens || stop.StopSequence != "" {
		t.Errorf("stop %q %q, want max_tokens", stop.Reason, stop.StopSequence)
	}
	if done.Usage.InputTokens <= 0 || done.Usage.OutputTokens != 20 {
		t.Errorf("usage %+v, want input tokens and 20 output tokens", done.Usage)
	}
	if done.FirstToken <= 0 || done.Latency < done.FirstToken {
		t.Errorf("latency %s, first token %s", done.Latency, done.FirstToken)
	}
}

func (s *suite) maxTokens(t *testing.T) {
	for _, n := range []int{1, 2, 7} {
		resp := s.collect(t, Ask(story, n))
		if resp.Usage.OutputTokens != n || resp.Reason != llm.MaxTokens {
			t.Errorf("max tokens %d: %d made, reason %s", n, resp.Usage.OutputTokens, resp.Reason)
		}
	}
}

// reference is the reply that the stop cases cut: its text and the byte offsets
// at which deltas meet.
func (s *suite) reference(t *testing.T) (string, []int) {
	t.Helper()
	deltas, _, _ := s.deltas(t, Ask(story, 24))
	var (
		text  strings.Builder
		joins []int
	)
	for _, d := range deltas {
		text.WriteString(d)
		joins = append(joins, text.Len())
	}
	return text.String(), joins[:len(joins)-1]
}

// window returns the part of text from before to after the byte offset at,
// whole runes only.
func window(text string, at, before, after int) string {
	lo, hi := max(at-before, 0), min(at+after, len(text))
	for lo > 0 && !utf8.RuneStart(text[lo]) {
		lo--
	}
	for hi < len(text) && !utf8.RuneStart(text[hi]) {
		hi++
	}
	return text[lo:hi]
}

func (s *suite) stopAcrossTokens(t *testing.T) {
	text, joins := s.reference(t)
	for i := 3; i < len(joins); i += 6 {
		for _, width := range []int{2, 9} {
			stop := window(text, joins[i], width, width)
			r := Ask(story, 24)
			r.Params.Stop = []string{stop, "\x00never"}
			resp := s.collect(t, r)
			want := text[:strings.Index(text, stop)]
			if resp.Text() != want {
				t.Errorf("stop %q: text %q, want %q", stop, resp.Text(), want)
			}
			if resp.Reason != llm.StopSequence || resp.StopSequence != stop {
				t.Errorf("stop %q: ended by %s %q", stop, resp.Reason, resp.StopSequence)
			}
		}
	}
}

func (s *suite) builtinStop(t *testing.T) {
	text, joins := s.reference(t)
	stop := window(text, joins[8], 3, 3)
	r := Ask(story, 24)
	r.BuiltinStop = []string{stop}
	resp := s.collect(t, r)
	if want := text[:strings.Index(text, stop)]; resp.Text() != want {
		t.Errorf("text %q, want %q", resp.Text(), want)
	}
	if resp.Reason != llm.EndTurn || resp.StopSequence != stop {
		t.Errorf("ended by %s %q, want end_turn %q", resp.Reason, resp.StopSequence, stop)
	}
}

// A stop text whose beginning occurs but which never completes must not cost a
// byte of the reply.
func (s *suite) stopNeverHit(t *testing.T) {
	text, joins := s.reference(t)
	r := Ask(story, 24)
	r.Params.Stop = []string{text[len(text)-4:] + "\x01", window(text, joins[5], 2, 2) + "\x01"}
	resp := s.collect(t, r)
	if resp.Text() != text || resp.Reason != llm.MaxTokens {
		t.Errorf("reply %q by %s, want %q by max_tokens", resp.Text(), resp.Reason, text)
	}
}

func turn(role llm.Role, texts ...string) llm.Message {
	m := llm.Message{Role: role}
	for _, text := range texts {
		m.Content = append(m.Content, llm.Block{Kind: llm.Text, Text: text})
	}
	return m
}

func (s *suite) countEqualsUsage(t *testing.T) {
	for name, r := range map[string]*llm.Request{
		"plain":   {Messages: []llm.Message{turn(llm.User, "hello")}},
		"system":  {System: []string{"You are terse.", "You rhyme."}, Messages: []llm.Message{turn(llm.User, "hello")}},
		"turns":   {Messages: []llm.Message{turn(llm.User, "one"), turn(llm.Assistant, "two"), turn(llm.User, "three")}},
		"blocks":  {Messages: []llm.Message{turn(llm.User, "first block", "second block")}},
		"unicode": {Messages: []llm.Message{turn(llm.User, "naïve café 東京 🇨🇭👩‍👩‍👧 \u200b \u202e é")}},
		"spaces":  {Messages: []llm.Message{turn(llm.User, "  \n\n\t x \n ")}},
		"long":    {Messages: []llm.Message{turn(llm.User, strings.Repeat("all work and no play ", 40))}},
		"prefill": {Messages: []llm.Message{turn(llm.User, "Which city?"), turn(llm.Assistant, "The city is")}},
	} {
		r.Params = llm.Params{MaxTokens: new(1), Temperature: new(0.0)}
		want, err := s.Engine.Count(t.Context(), s.fresh(), r)
		if err != nil {
			t.Errorf("%s: Count: %v", name, err)
			continue
		}
		if resp := s.collect(t, r); resp.Usage.InputTokens != want || want <= 0 {
			t.Errorf("%s: counted %d, usage says %d", name, want, resp.Usage.InputTokens)
		}
	}
}

func (s *suite) prefill(t *testing.T) {
	const given = "The capital of France is"
	resp := s.collect(t, &llm.Request{
		Messages: []llm.Message{turn(llm.User, "What is the capital of France?"), turn(llm.Assistant, given)},
		Params:   llm.Params{MaxTokens: new(6), Temperature: new(0.0)},
	})
	if resp.Text() == "" || strings.HasPrefix(given, resp.Text()) || strings.HasPrefix(resp.Text(), given) {
		t.Errorf("reply %q repeats the prefill", resp.Text())
	}
}

func (s *suite) contextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got error
	for ev, err := range s.Engine.Generate(ctx, s.fresh(), Ask(story, 1000)) {
		if err != nil {
			got = err
			continue // must be the last
		}
		if got != nil {
			t.Fatal("an event after the error")
		}
		if ev.Kind == llm.Delta {
			cancel()
		}
	}
	if !errors.Is(got, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", got)
	}
	for ev, err := range s.Engine.Generate(ctx, s.fresh(), Ask(story, 5)) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("ended context: event %+v, error %v", ev, err)
		}
	}
}

func (s *suite) readerLeaves(t *testing.T) {
	for _, at := range []llm.EventKind{llm.Start, llm.Delta, llm.BlockStop, llm.Stop} {
		for ev, err := range s.Engine.Generate(t.Context(), s.fresh(), Ask(story, 8)) {
			if err != nil {
				t.Fatalf("Generate: %v", err)
			}
			if ev.Kind == at {
				break
			}
		}
	}
	s.collect(t, Ask(story, 2))
}

// cancelFreesSlots breaks off as many long replies as there are slots. If even
// one slot worked on, the short requests after it would have to wait for it.
func (s *suite) cancelFreesSlots(t *testing.T) {
	n := max(s.Slots, 2)
	started := make(chan struct{}, n)
	ended := make(chan error, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range n {
		go func() {
			var last error
			first := true
			for ev, err := range s.Engine.Generate(ctx, s.fresh(), Ask(story, 1500)) {
				last = err
				if first && ev.Kind == llm.Delta {
					first = false
					started <- struct{}{}
				}
			}
			ended <- last
		}()
	}
	for range n {
		select {
		case <-started:
		case err := <-ended:
			t.Fatalf("a reply ended early: %v", err)
		case <-time.After(patience):
			t.Fatal("the replies did not start")
		}
	}
	cancel()
	begin := time.Now()
	for range n {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("replies ended %s after their context", d)
	}
	short := make(chan error, n)
	for range n {
		go func() {
			_, err := llm.Collect(s.Engine.Generate(t.Context(), s.fresh(), Ask("Hi", 1)))
			short <- err
		}()
	}
	for range n {
		if err := <-short; err != nil {
			t.Errorf("after the cancel: %v", err)
		}
	}
	if d := time.Since(begin); d > 8*time.Second {
		t.Errorf("slots came free after %s", d)
	}
}

func (s *suite) slowReader(t *testing.T) {
	stalled, resume := make(chan struct{}), make(chan struct{})
	slow := make(chan error, 1)
	go func() {
		first := true
		n := 0
		var last error
		for ev, err := range s.Engine.Generate(t.Context(), s.fresh(), Ask(story, 24)) {
			if last = err; err != nil {
				break
			}
			if ev.Kind == llm.Delta {
				if n++; first {
					first = false
					close(stalled)
					<-resume
				}
			}
		}
		if last == nil && n < 2 {
			last = fmt.Errorf("%d deltas", n)
		}
		slow <- last
	}()
	select {
	case <-stalled:
	case err := <-slow:
		t.Fatalf("slow reader: %v", err)
	case <-time.After(patience):
		t.Fatal("the reply did not start")
	}
	s.collect(t, Ask(story, 24)) // while the other one stands still
	close(resume)
	if err := <-slow; err != nil {
		t.Errorf("slow reader: %v", err)
	}
}

func (s *suite) concurrent(t *testing.T) {
	n := 2 * max(s.Slots, 2)
	errs := make(chan error, n)
	for i := range n {
		go func() {
			resp, err := llm.Collect(s.Engine.Generate(t.Context(), s.fresh(), Ask(story, 4+i%3)))
			if err == nil && resp.Usage.OutputTokens != 4+i%3 {
				err = fmt.Errorf("request %d: %d tokens", i, resp.Usage.OutputTokens)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// WantCode fails the test unless err is an *apierr.Error of one of the codes.
func WantCode(t testing.TB, err error, codes ...string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if ok {
		for _, c := range codes {
			if e.Code == c {
				return
			}
		}
	}
	t.Errorf("error %v, want %s", err, strings.Join(codes, " or "))
}

func (s *suite) missingWeights(t *testing.T) {
	n := 0
	for ev, err := range s.Engine.Generate(t.Context(), s.Missing, Ask(story, 5)) {
		n++
		if err == nil {
			t.Fatalf("event %+v", ev)
		}
		WantCode(t, err, apierr.CodeModelNotReady)
	}
	if n != 1 {
		t.Errorf("%d yields, want the error alone", n)
	}
	_, err := s.Engine.Count(t.Context(), s.Missing, Ask(story, 5))
	WantCode(t, err, apierr.CodeModelNotReady)
	_, err = s.Engine.Info(t.Context(), s.Missing)
	WantCode(t, err, apierr.CodeModelNotReady)
}

func (s *suite) deathMidStream(t *testing.T) {
	if s.Kill == nil {
		return
	}
	limit := s.AfterKill
	if limit == 0 {
		limit = time.Second
	}
	var (
		got    error
		killed time.Time
		n      int
	)
	for ev, err := range s.Engine.Generate(t.Context(), s.fresh(), Ask(story, 1000)) {
		if got != nil {
			t.Fatal("an event after the error")
		}
		got = err
		if ev.Kind == llm.Delta {
			if n++; n == 3 {
				s.Kill(t)
				killed = time.Now()
			}
		}
	}
	if d := time.Since(killed); d > limit {
		t.Errorf("the reply failed %s after the server, want %s", d, limit)
	}
	WantCode(t, got, apierr.CodeModelStreamError)
	s.collect(t, Ask(story, 3)) // the next call works
}

func (s *suite) info(t *testing.T) {
	info, err := s.Engine.Info(t.Context(), s.Chat)
	if err != nil || info.ContextTokens < 128 {
		t.Errorf("chat: %+v, %v", info, err)
	}
	if s.Embed.Weights == "" {
		return
	}
	info, err = s.Engine.Info(t.Context(), s.Embed)
	if err != nil || info.Dimensions < 1 {
		t.Errorf("embed: %+v, %v", info, err)
	}
}
