package llamacpp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// until looks at the processes until they are as wanted.
func until(t *testing.T, e *llamacpp.Engine, what string, ok func([]llamacpp.Status) bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	patience := time.After(30 * time.Second)
	for !ok(e.Status()) {
		select {
		case <-look.C:
		case <-patience:
			t.Fatalf("never %s: %+v", what, e.Status())
		}
	}
}

func is(s llamacpp.State) func([]llamacpp.Status) bool {
	return func(all []llamacpp.Status) bool { return len(all) == 1 && all[0].State == s }
}

// A process that nobody uses sleeps, wakes with the next request, and ends at last.
func TestIdle(t *testing.T) {
	t.Parallel()
	f := fake{}
	c := f.config(t)
	h := f.host(t)
	h.Knows = []string{"--sleep-idle-seconds"}
	c.Installer = llamacpp.InstallerFunc(func(context.Context) (llamacpp.Host, error) { return h, nil })
	c.IdleSleep, c.IdleUnload = time.Second, 4*time.Second
	e := begin(t, c)
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	pid := status(t, e).PID
	until(t, e, "asleep", is(llamacpp.Sleeping))
	resp, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 2)))
	if err != nil || resp.Usage.OutputTokens != 2 {
		t.Fatalf("woken: %+v, %v", resp, err)
	}
	if s := status(t, e); s.State != llamacpp.Ready || s.PID != pid || s.Restarts != 0 {
		t.Errorf("woken: %+v, want the same process", s)
	}
	until(t, e, "asleep again", is(llamacpp.Sleeping))
	until(t, e, "unloaded", is(llamacpp.Cold))
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Errorf("loaded again: %v", err)
	}
}

// A sleeping process is woken only when its memory can be had.
func TestWakeNeedsMemory(t *testing.T) {
	t.Parallel()
	f := fake{Slow: true}
	c := f.config(t)
	h := f.host(t)
	h.Knows = []string{"--sleep-idle-seconds"}
	c.Installer = llamacpp.InstallerFunc(func(context.Context) (llamacpp.Host, error) { return h, nil })
	c.IdleSleep = time.Second
	c.MemoryLimit = 55 << 20 // an estimate is some 33 MiB; asleep the fake takes some 12
	c.LoadWait = time.Second
	e := begin(t, c)
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	until(t, e, "asleep", is(llamacpp.Sleeping))
	n := 0
	for ev, err := range e.Generate(t.Context(), targetB, enginetest.Ask("x", 500)) {
		if err != nil {
			t.Fatalf("the busy model: %v", err)
		}
		if ev.Kind == llm.Delta {
			if n++; n == 2 {
				enginetest.WantCode(t, e.Load(t.Context(), targetA), apierr.CodeModelNotReady)
				if s := e.Status(); s[0].State == llamacpp.Ready || s[1].State != llamacpp.Ready {
					t.Errorf("%+v", s)
				}
				break
			}
		}
	}
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Errorf("after the reply: %v", err)
	}
}

// Callers who wait get a further process, which leaves when they are gone.
func TestReplicas(t *testing.T) {
	t.Parallel()
	c := fake{Slow: true}.config(t)
	c.Replicas, c.ScaleAfter, c.ScaleIdle = 2, 50*time.Millisecond, 300*time.Millisecond
	e := begin(t, c)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			tg := targetA
			tg.Scope = fmt.Sprint("account ", i)
			for _, err := range e.Generate(ctx, tg, enginetest.Ask("x", 100_000)) {
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	until(t, e, "two processes and one caller in line", func(all []llamacpp.Status) bool {
		return len(all) == 2 && all[0].Busy == 2 && all[1].Busy == 2 && all[0].Waiting == 1 && all[0].PID != all[1].PID
	})
	if all := e.Processes(); len(all) != 2 || all[0].Replica != 0 || all[1].Replica != 1 || all[1].Slots != 2 {
		t.Errorf("%+v", all)
	}
	stop()
	wg.Wait()
	until(t, e, "one process", is(llamacpp.Ready))
}

// Without memory for a further process, callers wait.
func TestNoMemoryForReplica(t *testing.T) {
	t.Parallel()
	c := fake{Slow: true}.config(t)
	c.Replicas, c.ScaleAfter = 2, 20*time.Millisecond
	c.MemoryLimit = 40 << 20
	e := begin(t, c)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range e.Generate(ctx, targetA, enginetest.Ask("x", 100_000)) { //nolint:revive // it runs until stop
			}
		})
	}
	until(t, e, "one caller in line", func(all []llamacpp.Status) bool { return len(all) == 1 && all[0].Waiting == 1 })
	<-time.After(time.Second) // the keeper has looked several times
	if all := e.Status(); len(all) != 1 || all[0].State != llamacpp.Ready {
		t.Errorf("%+v", all)
	}
	stop()
	wg.Wait()
}

// What is pinned is there without a request, stays when another model needs its
// memory, and comes back by itself.
func TestPinned(t *testing.T) {
	t.Parallel()
	c := fake{}.config(t)
	c.Pin, c.Preload, c.IdleUnload = []string{"a"}, []string{"b"}, 300*time.Millisecond
	c.Look = 50 * time.Millisecond
	e := begin(t, c)
	until(t, e, "pinned ready", func(all []llamacpp.Status) bool {
		return len(all) == 2 && all[0].State == llamacpp.Ready && all[0].Pinned && !all[1].Pinned
	})
	pid := status(t, e).PID
	until(t, e, "preloaded and then idle", func(all []llamacpp.Status) bool {
		return all[1].State == llamacpp.Cold && all[1].PID == 0 && all[0].State == llamacpp.Ready
	})
	kill9(t, pid)
	until(t, e, "back after a crash", func(all []llamacpp.Status) bool {
		return all[0].State == llamacpp.Ready && all[0].PID != pid && all[0].PID != 0
	})
}

func TestPinnedIsNotEvicted(t *testing.T) {
	t.Parallel()
	c := fake{}.config(t)
	c.Pin, c.MemoryLimit, c.LoadWait = []string{"a"}, 40<<20, 500*time.Millisecond
	c.Look = 50 * time.Millisecond
	e := begin(t, c)
	until(t, e, "pinned ready", func(all []llamacpp.Status) bool { return len(all) == 1 && all[0].State == llamacpp.Ready })
	enginetest.WantCode(t, e.Load(t.Context(), targetB), apierr.CodeModelNotReady)
	if s := status(t, e); s.State != llamacpp.Ready {
		t.Errorf("the pinned one: %+v", s)
	}
}

// replaceable is weights whose file is replaced while they are used.
type replaceable struct {
	path atomic.Pointer[string]
	mode engine.Mode
}

func (w *replaceable) File(context.Context, string) (llamacpp.File, error) {
	p := w.path.Load()
	if p == nil {
		return llamacpp.File{}, os.ErrNotExist
	}
	return llamacpp.File{Path: *p, Mode: w.mode, ContextTokens: 512}, nil
}

// put copies a file to a new path and makes it the weights, as a pull does.
func (w *replaceable) put(t testing.TB, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	old := w.path.Swap(&to)
	if old != nil {
		if err := os.Remove(*old); err != nil {
			t.Fatal(err)
		}
	}
}

// replaceUnderLoad replaces the weights' file twice while callers call without a
// pause, and fails when one of their calls does, or the process stays the same.
func replaceUnderLoad(t *testing.T, e *llamacpp.Engine, w *replaceable, file string, tokens int) {
	t.Helper()
	target := engine.Target{Weights: "a", Mode: engine.Chat}
	if err := e.Load(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		wg    sync.WaitGroup
		calls atomic.Int64
	)
	for i := range 3 {
		wg.Go(func() {
			tg := target
			tg.Scope = fmt.Sprint("account ", i)
			for ctx.Err() == nil {
				resp, err := llm.Collect(e.Generate(t.Context(), tg, enginetest.Ask(fmt.Sprint("Count on from ", i), tokens)))
				if err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				if resp.Usage.InputTokens == 0 {
					t.Errorf("usage %+v", resp.Usage)
				}
				if _, err := e.Count(t.Context(), tg, enginetest.Ask("x", 1)); err != nil {
					t.Errorf("a count failed: %v", err)
				}
				calls.Add(1)
			}
		})
	}
	defer wg.Wait()
	defer stop()
	for range 2 {
		pid := 0
		until(t, e, "one ready", func(all []llamacpp.Status) bool {
			if len(all) == 1 && all[0].State == llamacpp.Ready {
				pid = all[0].PID
			}
			return pid != 0
		})
		before := calls.Load()
		until(t, e, "in use", func([]llamacpp.Status) bool { return calls.Load() > before+1 || t.Failed() })
		w.put(t, file)
		until(t, e, "replaced", func(all []llamacpp.Status) bool {
			return len(all) == 1 && all[0].State == llamacpp.Ready && all[0].PID != pid || t.Failed()
		})
	}
	stop()
	wg.Wait()
	t.Logf("%d calls", calls.Load())
}

// A new version of the weights takes over without a failed call: beside the old one
// when there is memory for both, else after it.
func TestReplacement(t *testing.T) {
	t.Parallel()
	for name, memory := range map[string]int64{"beside": -1, "after": 40 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake{Slow: true}.config(t)
			w := &replaceable{mode: engine.Chat}
			file := tinyModel(t)
			w.put(t, file)
			c.Weights, c.MemoryLimit, c.Look = w, memory, 20*time.Millisecond
			replaceUnderLoad(t, begin(t, c), w, file, 5)
		})
	}
}

// A new version that does not come up leaves the old one where it is.
func TestBadReplacement(t *testing.T) {
	t.Parallel()
	c := fake{}.config(t)
	w := &replaceable{mode: engine.Chat}
	w.put(t, tinyModel(t))
	c.Weights, c.Look = w, 20*time.Millisecond
	log := &enginetest.Log{}
	c.Log = log.Logger()
	e := begin(t, c)
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	pid := status(t, e).PID
	bad := filepath.Join(t.TempDir(), "bad.gguf")
	if err := os.WriteFile(bad, []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.put(t, bad)
	until(t, e, "refused", func([]llamacpp.Status) bool { return strings.Contains(log.String(), "engine process failed") })
	for range 3 {
		if _, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 2))); err != nil {
			t.Fatal(err)
		}
	}
	if s := status(t, e); s.PID != pid || s.State != llamacpp.Ready {
		t.Errorf("%+v, want the old process", s)
	}
	if n := strings.Count(log.String(), "engine process failed"); n != 1 {
		t.Errorf("the new version was tried %d times", n)
	}
}
