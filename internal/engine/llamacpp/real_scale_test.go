package llamacpp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
)

// The real server gives its memory back, and what it held of a prompt is nobody's
// after that, not even its owner's.
func TestRealSleep(t *testing.T) {
	t.Parallel()
	c := theReal(t).config(t)
	c.IdleSleep = 2 * time.Second
	e := begin(t, c)
	text := strings.Repeat("The keeper counts the ships. ", 20)
	ask := func(scope string) *llm.Response {
		t.Helper()
		resp, err := llm.Collect(e.Generate(t.Context(), chatTarget(scope), enginetest.Ask(text, 2)))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if first := ask("one"); first.Usage.ReusedTokens != 0 {
		t.Errorf("%+v", first.Usage)
	}
	awake := status(t, e)
	until(t, e, "asleep", is(llamacpp.Sleeping))
	if s := status(t, e); s.PID != awake.PID || s.Memory > awake.Memory/2 {
		t.Errorf("asleep it takes %d MiB, awake %d MiB", s.Memory>>20, awake.Memory>>20)
	}
	for _, scope := range []string{"two", "one"} {
		if woken := ask(scope); woken.Usage.ReusedTokens != 0 {
			t.Errorf("%s reuses %+v after the sleep", scope, woken.Usage)
		}
	}
	if s := status(t, e); s.PID != awake.PID || s.Restarts != 0 {
		t.Errorf("%+v, want process %d", s, awake.PID)
	}
}

// Real weights are replaced under load, without a failed call.
func TestRealReplacement(t *testing.T) {
	t.Parallel()
	r := theReal(t)
	c := r.config(t)
	w := &replaceable{mode: engine.Chat}
	file := r.files[chatWeights].Path
	w.put(t, file)
	c.Weights, c.Look = w, 50*time.Millisecond
	replaceUnderLoad(t, begin(t, c), w, file, 4)
}

// Slots that share one cache take prompts one after the other that do not fit
// together.
func TestSharedCache(t *testing.T) {
	t.Parallel()
	c := theReal(t).config(t)
	c.MaxContext, c.KVTokens, c.QueueWait = 512, 640, 10*time.Minute
	e := begin(t, c)
	text := strings.Repeat("The keeper counts the ships. ", 60) // some 370 tokens
	done := make(chan error, 4)
	for i := range cap(done) {
		go func() {
			resp, err := llm.Collect(e.Generate(t.Context(), chatTarget(fmt.Sprint(i)), enginetest.Ask(text, 4)))
			if err == nil && resp.Usage.ReusedTokens != 0 {
				err = fmt.Errorf("account %d reuses %+v", i, resp.Usage)
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
