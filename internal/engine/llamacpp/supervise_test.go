package llamacpp_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// begin starts an engine.
func begin(t *testing.T, c llamacpp.Config) *llamacpp.Engine {
	t.Helper()
	e := llamacpp.New(c)
	enginetest.Start(t, e)
	return e
}

func status(t *testing.T, e *llamacpp.Engine) llamacpp.Status {
	t.Helper()
	all := e.Status()
	if len(all) == 0 {
		t.Fatal("no status")
	}
	return all[0]
}

func TestSafeMode(t *testing.T) {
	t.Parallel()
	starts := filepath.Join(t.TempDir(), "starts")
	f := fake{CrashPlain: true, Starts: starts}
	e := begin(t, f.config(t))
	if _, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 2))); err != nil {
		t.Fatal(err)
	}
	if s := status(t, e); !s.Safe || s.State != llamacpp.Ready || s.Build != "fake 1" {
		t.Errorf("status %+v, want ready in safe mode", s)
	}
	// The choice is remembered: the next start does not crash first.
	e = begin(t, f.config(t))
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(starts)
	if err != nil || string(b) != "plain\nsafe\nsafe\n" {
		t.Errorf("starts %q, %v", b, err)
	}
}

func TestHungEngine(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fake{"mid-stream": {HangAfter: 2}, "before the first token": {HangBefore: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := f.config(t)
			c.Stall = 300 * time.Millisecond
			e := begin(t, c)
			_, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 5)))
			enginetest.WantCode(t, err, apierr.CodeModelTimeout)
			resp, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 5)))
			if err != nil || resp.Usage.OutputTokens != 5 {
				t.Errorf("after the restart: %+v, %v", resp, err)
			}
			if s := status(t, e); s.Restarts != 1 {
				t.Errorf("%d restarts, want 1", s.Restarts)
			}
		})
	}
}

// A reader who takes longer than a hung server is given costs nobody anything.
func TestSlowReaderIsNoHang(t *testing.T) {
	t.Parallel()
	c := fake{Slow: true}.config(t)
	c.Stall = 200 * time.Millisecond
	e := begin(t, c)
	n := 0
	for ev, err := range e.Generate(t.Context(), targetA, enginetest.Ask("x", 4)) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == llm.Delta {
			if n++; n == 1 {
				<-time.After(600 * time.Millisecond)
			}
		}
	}
	if s := status(t, e); n != 4 || s.Restarts != 0 {
		t.Errorf("%d tokens, %d restarts", n, s.Restarts)
	}
}

func TestLoadFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fake  fake
		stall time.Duration
	}{
		"exits":       {fake{CrashAlways: true}, time.Minute},
		"no progress": {fake{NeverReady: true}, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := c.fake.config(t)
			cfg.LoadStall = c.stall
			log := &enginetest.Log{}
			cfg.Log = log.Logger()
			e := begin(t, cfg)
			_, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 5)))
			enginetest.WantCode(t, err, apierr.CodeModelNotReady)
			if s := status(t, e); s.State != llamacpp.Failed || s.Err == "" {
				t.Errorf("status %+v, want failed", s)
			}
			if text := log.String(); !strings.Contains(text, "engine process failed") || strings.Contains(text, "cause=<nil>") {
				t.Errorf("the log says:\n%s", text)
			}
		})
	}
}

func TestLoadTooLong(t *testing.T) {
	t.Parallel()
	c := fake{NeverReady: true}.config(t)
	c.LoadWait = 200 * time.Millisecond
	e := begin(t, c)
	_, err := e.Count(t.Context(), targetA, enginetest.Ask("x", 5))
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
}

func TestReadyByHealth(t *testing.T) {
	t.Parallel()
	e := begin(t, fake{NoStates: true}.config(t))
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fake fake
		code string
		text string
	}{
		"too long":  {fake{Status: 400}, apierr.CodeValidation, "900 input tokens, the context holds 512"},
		"in stream": {fake{StreamError: true}, apierr.CodeModelStreamError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := begin(t, c.fake.config(t))
			_, err := llm.Collect(e.Generate(t.Context(), targetA, enginetest.Ask("x", 5)))
			enginetest.WantCode(t, err, c.code)
			if !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "quotes") {
				t.Errorf("message %q", err)
			}
		})
	}
}

func TestEchoedPrefill(t *testing.T) {
	t.Parallel()
	e := begin(t, fake{Echo: true}.config(t))
	r := enginetest.Ask("x", 2)
	r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "So be it"}}})
	resp, err := llm.Collect(e.Generate(t.Context(), targetA, r))
	if err != nil || resp.Text() != "! t t" {
		t.Errorf("reply %q, %v", resp.Text(), err)
	}
}

// Only one of two models fits: the idle one leaves, a busy one stays.
func TestMemory(t *testing.T) {
	t.Parallel()
	c := fake{Slow: true}.config(t)
	c.LoadWait = time.Second
	c.MemoryLimit = 40 << 20 // an estimate is some 35 MiB, the fake takes some 12
	e := begin(t, c)
	for range 2 {
		for _, target := range []string{"a", "b"} {
			tg := targetA
			tg.Weights = target
			if err := e.Load(t.Context(), tg); err != nil {
				t.Fatalf("load %s: %v", target, err)
			}
		}
	}
	states := map[string]llamacpp.State{}
	for _, s := range e.Status() {
		states[s.Weights] = s.State
	}
	if states["a"] != llamacpp.Cold || states["b"] != llamacpp.Ready {
		t.Fatalf("states %v, want a cold and b ready", states)
	}
	n := 0
	for ev, err := range e.Generate(t.Context(), targetB, enginetest.Ask("x", 500)) {
		if err != nil {
			t.Fatalf("the busy model: %v", err)
		}
		if ev.Kind != llm.Delta {
			continue
		}
		if n++; n == 2 {
			enginetest.WantCode(t, e.Load(t.Context(), targetA), apierr.CodeModelNotReady)
		}
		if n == 4 {
			break
		}
	}
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Errorf("after the reply: %v", err)
	}
}

func TestMemoryNeverEnough(t *testing.T) {
	t.Parallel()
	c := fake{}.config(t)
	c.MemoryLimit = 1 << 20
	e := begin(t, c)
	enginetest.WantCode(t, e.Load(t.Context(), targetA), apierr.CodeModelNotReady)
}

func TestRunEndsStreams(t *testing.T) {
	t.Parallel()
	c := fake{Slow: true}.config(t)
	c.RunDir = shortDir(t)
	if err := os.Mkdir(filepath.Join(c.RunDir, "e1"), 0o700); err != nil {
		t.Fatal(err)
	}
	stale, err := net.Listen("unix", filepath.Join(c.RunDir, "e1", "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil { // as a killed server leaves it
		t.Fatal(err)
	}
	e := llamacpp.New(c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var got error
	n := 0
	for ev, err := range e.Generate(t.Context(), targetA, enginetest.Ask("x", 500)) {
		got = err
		if ev.Kind == llm.Delta {
			if n++; n == 2 {
				cancel()
			}
		}
	}
	enginetest.WantCode(t, got, apierr.CodeServiceUnavailable)
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.RunDir, "*")); len(left) > 0 {
		t.Errorf("left in the folder: %v", left)
	}
	if s := status(t, e); s.State != llamacpp.Stopped || s.PID != 0 {
		t.Errorf("status %+v, want stopped", s)
	}
	_, err = e.Info(t.Context(), targetB)
	enginetest.WantCode(t, err, apierr.CodeServiceUnavailable)
}

// shortDir is a temporary folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestRunDirTooLong(t *testing.T) {
	t.Parallel()
	c := fake{}.config(t)
	c.RunDir = filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := llamacpp.New(c).Run(t.Context()); err == nil {
		t.Error("a folder whose sockets cannot be opened was accepted")
	}
}

func TestBeforeRun(t *testing.T) {
	t.Parallel()
	e := llamacpp.New(fake{}.config(t))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.Load(ctx, targetA); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

// A connection is kept for the next request, and broken off with a reply.
func TestConnections(t *testing.T) {
	t.Parallel()
	e := begin(t, fake{}.config(t))
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) }})
	for range 3 {
		if _, err := llm.Collect(e.Generate(ctx, targetA, enginetest.Ask("x", 3))); err != nil {
			t.Fatal(err)
		}
	}
	for range e.Generate(ctx, targetA, enginetest.Ask("x", 300)) {
		break
	}
	if _, err := llm.Collect(e.Generate(ctx, targetA, enginetest.Ask("x", 3))); err != nil {
		t.Fatal(err)
	}
	if want := []bool{true, true, true, true, false}; !slices.Equal(reused, want) {
		t.Errorf("connections reused %v, want %v", reused, want)
	}
}
