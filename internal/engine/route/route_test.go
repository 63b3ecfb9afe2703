package route_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/route"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each request goes to the engine of its weights, in every method.
func TestRoute(t *testing.T) {
	t.Parallel()
	here, there := scripted.New(scripted.Reply{Text: "here"}), scripted.New(scripted.Reply{Text: "there"})
	e := route.New(here, map[string]engine.Engine{"far": there, "farther": there})
	enginetest.Start(t, e)
	for weights, want := range map[string]string{"near": "here", "far": "there", "farther": "there"} {
		to := engine.Target{Weights: weights, Mode: engine.Chat}
		resp, err := llm.Collect(e.Generate(t.Context(), to, enginetest.Ask("Hi", 5)))
		if err != nil || resp.Text() != want {
			t.Errorf("%s: %q, %v", weights, resp.Text(), err)
		}
		n, err := e.Count(t.Context(), to, enginetest.Ask("Hi", 5))
		if err != nil || n != resp.Usage.InputTokens {
			t.Errorf("%s: counted %d, %v", weights, n, err)
		}
		if _, err := e.Info(t.Context(), to); err != nil {
			t.Error(err)
		}
		to.Mode = engine.Embed
		if _, err := e.Embed(t.Context(), to, &llm.EmbedRequest{Texts: []string{"a"}}); err != nil {
			t.Error(err)
		}
	}
}

// Slots are set aside by the engine of the weights, where it can.
func TestReserve(t *testing.T) {
	t.Parallel()
	far := scripted.New()
	far.Limit = &limit.SlotsConfig{N: 3}
	type plain struct{ engine.Engine } // sets nothing aside
	e := route.New(plain{scripted.New()}, map[string]engine.Engine{"far": far})
	if err := e.Reserve(t.Context(), engine.Target{Weights: "far"}, "h", 2); err != nil {
		t.Error(err)
	}
	if his, _ := far.Slots("far").Reserved("h"); his != 2 {
		t.Errorf("%d slots are set aside", his)
	}
	enginetest.WantCode(t, e.Reserve(t.Context(), engine.Target{Weights: "near"}, "h", 1), apierr.CodeServiceQuotaExceeded)
	if err := e.Reserve(t.Context(), engine.Target{Weights: "near"}, "h", 0); err != nil {
		t.Errorf("give nothing back: %v", err)
	}
}

// broken fails at once.
type broken struct{ engine.Engine }

// Run implements engine.Engine.
func (broken) Run(context.Context) error { return errBroken }

var errBroken = errors.New("broken")

// One engine's end is the end of all.
func TestRunFails(t *testing.T) {
	t.Parallel()
	e := route.New(scripted.New(), map[string]engine.Engine{"x": broken{}})
	if err := e.Run(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
}
