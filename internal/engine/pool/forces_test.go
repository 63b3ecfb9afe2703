package pool_test

import (
	"context"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/pool"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

// forcing is an engine that makes formats and choices hold by itself.
type forcing struct{ *scripted.Engine }

// Info implements engine.Engine.
func (f forcing) Info(ctx context.Context, t engine.Target) (engine.Info, error) {
	info, err := f.Engine.Info(ctx, t)
	info.Forces = true
	return info, err
}

// A format goes as it is to servers that make it hold, and as a grammar to the
// others, never the other way round.
func TestForces(t *testing.T) {
	t.Parallel()
	plain, forces := scripted.New(scripted.Reply{Text: "plain"}), forcing{scripted.New(scripted.Reply{Text: "forces"})}
	as := enginetest.Ask("hi", 8)
	as.Format = &llm.Format{}
	lowered := enginetest.Ask("hi", 8)
	lowered.Grammar = enginetest.Grammar
	for _, order := range []int{1, -1} {
		e := over(t, nil, pool.Server{Name: "plain", Engine: plain, Order: 1}, pool.Server{Name: "forces", Engine: forces, Order: 1 + order})
		if text, err := ask(t, e, target, as); text != "forces" || err != nil {
			t.Errorf("a format: %q, %v", text, err)
		}
		if text, err := ask(t, e, target, lowered); text != "plain" || err != nil {
			t.Errorf("a grammar: %q, %v", text, err)
		}
		if info, err := e.Info(t.Context(), target); err != nil || info.Forces {
			t.Errorf("%+v, %v", info, err)
		}
	}
}
