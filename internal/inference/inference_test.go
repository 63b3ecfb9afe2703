package inference_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// bounded is an engine whose tokens stand for at most 8 bytes, 4 without white
// space. It counts how often it was asked to count.
type bounded struct {
	*scripted.Engine
	info  engine.Info
	asked int
}

func (b *bounded) Info(context.Context, engine.Target) (engine.Info, error) { return b.info, nil }

func (b *bounded) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	b.asked++
	return b.Engine.Count(ctx, t, r)
}

// A text that cannot fit is refused without being sent to the engine, which
// takes a hundred times its size in memory to count it; any other is counted.
func TestTooLongToCount(t *testing.T) {
	t.Parallel()
	known := engine.Info{TokenBytes: 8, TokenInk: 4}
	for name, c := range map[string]struct {
		text    string
		info    engine.Info
		counted bool
		refused bool
	}{
		"ink":                  {strings.Repeat("word ", 2000), known, false, true},
		"white space":          {"a" + strings.Repeat(" ", 16000) + "b", known, false, true},
		"white space around":   {strings.Repeat("\n", 16000) + "a b c", known, true, false},
		"may fit":              {strings.Repeat("word ", 900), known, true, false},
		"bounds are not known": {strings.Repeat("word ", 2000), engine.Info{}, true, true},
		"short":                {"word", known, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eng := &bounded{Engine: scripted.New(), info: c.info}
			s := inference.New(inference.Config{Engine: eng})
			target := catalog.Target{Weights: catalog.Weights{ID: "w", Mode: "chat", ContextTokens: 1000, DefaultTokens: 16}}
			r := &llm.Request{Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Text: c.text}}}}}
			var err error
			for _, err = range s.Generate(t.Context(), &call.Call{}, target, r) {
				if err != nil {
					break
				}
			}
			if e, ok := errors.AsType[*apierr.Error](err); ok != c.refused || ok && (e.Code != apierr.CodeValidation || !strings.Contains(e.Message, "too long")) {
				t.Errorf("error %v, want a refusal: %v", err, c.refused)
			}
			if (eng.asked > 0) != c.counted {
				t.Errorf("the engine counted %d times, want it to: %v", eng.asked, c.counted)
			}
		})
	}
}
