package llamacpp_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/enginetest/tinyvision"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// The test binary is also the program that the supervision tests run as an
// engine (fake_test.go) and as a server to be killed (orphan_test.go).
func TestMain(m *testing.M) {
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	if run := roles()[os.Getenv(roleVar)]; run != nil {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

// real is the real engine and the default models.
type real struct {
	host  llamacpp.Host
	files map[string]llamacpp.File
}

const (
	chatWeights  = "smollm2-135m-instruct"
	embedWeights = "all-minilm-l6-v2"

	// The chat weights under templates of testdata: one knows tools, the other
	// thoughts.
	toolWeights    = "tools"
	thoughtWeights = "thoughts"

	visionWeights = "tinyvision" // made by the test; they see images
)

// turns lets one test at a time use the real engine: two would only slow each
// other down.
var turns = make(chan struct{}, 1)

func theReal(t testing.TB) real {
	t.Helper()
	turns <- struct{}{}
	t.Cleanup(func() { <-turns })
	i := enginetest.Installed(t)
	r := real{host: llamacpp.Host{Python: i.Python, Site: i.Site, Build: i.Build}, files: map[string]llamacpp.File{}}
	for _, w := range i.Weights {
		r.files[w.ID] = llamacpp.File{Path: i.Files[w.ID], Mode: engine.Mode(w.Mode), ContextTokens: w.ContextTokens}
	}
	// Once: a file that is written over under an engine that maps it ends the engine.
	model, projector, err := tinyvision.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.files[visionWeights] = llamacpp.File{Path: model, Projector: projector, Mode: engine.Chat}
	return r
}

// config is sized for two slow cores.
func (r real) config(t testing.TB) llamacpp.Config {
	return llamacpp.Config{
		Weights: r, Installer: r, Slots: 2, MaxContext: 2048, Threads: 1,
		MemoryLimit: -1, Log: testLog(t), Sandbox: confined(t),
	}
}

// confined is the sandbox that a server uses.
func confined(t testing.TB) *llamacpp.Sandbox {
	t.Helper()
	l, err := sandbox.Self()
	if err != nil {
		t.Fatal(err)
	}
	return &llamacpp.Sandbox{Launcher: l}
}

func (r real) Engine(context.Context) (llamacpp.Host, error) { return r.host, nil }

func (r real) File(_ context.Context, id string) (llamacpp.File, error) {
	if id == toolWeights || id == thoughtWeights {
		template, err := os.ReadFile(filepath.Join("testdata", id+".jinja"))
		f := r.files[chatWeights]
		f.Template = string(template)
		return f, err
	}
	f, ok := r.files[id]
	if !ok {
		return f, os.ErrNotExist
	}
	return f, nil
}

func chatTarget(scope string) engine.Target {
	return engine.Target{Weights: chatWeights, Mode: engine.Chat, Scope: scope}
}

// pidOf returns the process of some weights.
func pidOf(t testing.TB, e *llamacpp.Engine, id string) int {
	t.Helper()
	for _, s := range e.Status() {
		if s.Weights == id && s.PID != 0 {
			return s.PID
		}
	}
	t.Fatalf("no process for %s", id)
	return 0
}

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		e := llamacpp.New(theReal(t).config(t))
		enginetest.Start(t, e)
		return enginetest.Subject{
			Engine: e, Chat: chatTarget(""), Slots: 2,
			Embed:   engine.Target{Weights: embedWeights, Mode: engine.Embed, Scope: "e"},
			Tools:   engine.Target{Weights: toolWeights, Mode: engine.Chat},
			Images:  engine.Target{Weights: visionWeights, Mode: engine.Chat},
			Missing: engine.Target{Weights: "no-such-weights", Mode: engine.Chat},
			Kill: func(t *testing.T) {
				kill9(t, pidOf(t, e, chatWeights))
			},
		}
	})
}
