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
	"github.com/outcrop/outcrop/internal/llm"
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
