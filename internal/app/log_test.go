package app

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes notes what came in each write.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(b))
	return len(b), nil
}

// messages is what each write told since the last call.
func (w *writes) messages() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.all {
		var said []string
		for line := range strings.Lines(text) {
			_, after, _ := strings.Cut(line, "msg=")
			said = append(said, strings.Fields(after)[0])
		}
		all = append(all, strings.Join(said, " "))
	}
	w.all = nil
	return all
}

func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writes{}
		log, flush := newLog(w)
		told := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := w.messages(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		log.Info("alone")
		told("at once", "alone")
		log.Info("one")
		log.With("k", "v").WithGroup("g").Info("two")
		told("too soon after another")
		time.Sleep(linesWait + 1)
		told("after the pause", "one two")
		log.Info("three")
		log.Warn("four")
		told("with a warning", "three four")
		log.Info("five")
		flush()
		told("at the end", "five")
		flush()
		time.Sleep(2 * linesWait)
		told("with nothing to say")
		log.Info("six")
		told("after a rest", "six")
		long := strings.Repeat("x", linesRoom/4)
		for range 5 {
			log.Info("long", "text", long)
		}
		told("with no room", "long long long long")
		time.Sleep(linesWait + 1)
		told("later", "long")
		log.Debug("never")
		flush()
		told("below the level")
	})
}
