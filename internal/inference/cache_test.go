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
)

// longTalk has 1,200 words of system text and as many in each of three turns.
func longTalk(mark *llm.Mark) *llm.Request {
	block := func() []llm.Block {
		half := strings.Repeat("word ", 600)
		return []llm.Block{{Kind: llm.Text, Text: half}, {Kind: llm.Text, Text: half}}
	}
	return &llm.Request{
		System:   []string{strings.Repeat("word ", 1200)},
		Messages: []llm.Message{{Role: llm.User, Content: block()}, {Role: llm.Assistant, Content: block()}, {Role: llm.User, Content: block()}},
		Cache:    mark,
	}
}

func TestCachePoint(t *testing.T) {
	t.Parallel()
	const whole = 1202 + 3*1202
	short := longTalk(&llm.Mark{Message: 0})
	short.System = nil
	for name, c := range map[string]struct {
		r           *llm.Request
		reused      int
		read, write int
		counts      int // questions to the engine
	}{
		"no cache point":       {longTalk(nil), 900, 0, 0, 0},
		"behind the system":    {longTalk(&llm.Mark{}), 0, 0, 1204 - 16, 1},
		"behind a turn":        {longTalk(&llm.Mark{Message: 1}), 0, 0, 2404 - 16, 1},
		"in a turn":            {longTalk(&llm.Mark{Message: 2, Block: 1}), 0, 0, 1202 + 1202 + 1202 + 602 - 16, 1},
		"behind everything":    {longTalk(&llm.Mark{Message: 9, Block: 9}), 0, 0, whole - 16, 1},
		"read again":           {longTalk(&llm.Mark{}), 1300, 1204 - 16, 0, 1},
		"a part is read again": {longTalk(&llm.Mark{}), 500, 500, 1204 - 16 - 500, 1},
		"too short":            {short, 0, 0, 0, 1},
		"clearly too short":    {&llm.Request{System: []string{"short"}, Messages: said(5, nil).Messages, Cache: &llm.Mark{}}, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &counting{Engine: scripted.New(scripted.Reply{Text: "a b", ReusedTokens: c.reused})}
			s := inference.New(inference.Config{Engine: counted})
			cl := newCall()
			var start llm.Usage
			events := s.Generate(t.Context(), cl, target(100_000, 100), c.r)
			resp, err := llm.Collect(func(yield func(llm.Event, error) bool) {
				for ev, err := range events {
					if ev.Kind == llm.Start {
						start = ev.Usage
					}
					if !yield(ev, err) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			u := resp.Usage
			if u.CacheRead != c.read || u.CacheWrite != c.write || counted.n != c.counts {
				t.Errorf("read %d, written %d, want %d and %d; counted %d times", u.CacheRead, u.CacheWrite, c.read, c.write, counted.n)
			}
			if u.ReusedTokens != c.reused || u.Uncached()+u.CacheRead+u.CacheWrite != u.InputTokens || cl.Usage != u {
				t.Errorf("usage %+v, in the call %+v", u, cl.Usage)
			}
			if start.CacheRead != c.read || start.CacheWrite != c.write {
				t.Errorf("told at the start: %+v", start)
			}
		})
	}
}

// halting cannot count what ends with a turn of the assistant.
type halting struct{ *scripted.Engine }

func (e halting) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	if n := len(r.Messages); r.Messages[n-1].Role == llm.Assistant {
		return 0, errors.New("the template refuses")
	}
	return e.Engine.Count(ctx, t, r)
}

// A prefix that cannot be counted by itself is not told; the reply comes.
func TestCachePointThatCannotBeCounted(t *testing.T) {
	t.Parallel()
	s := inference.New(inference.Config{Engine: halting{scripted.New()}})
	resp, err := llm.Collect(s.Generate(t.Context(), newCall(), target(100_000, 100), longTalk(&llm.Mark{Message: 2})))
	if err != nil || resp.Usage.CacheRead+resp.Usage.CacheWrite != 0 {
		t.Errorf("%v, usage %+v", err, resp.Usage)
	}
}
