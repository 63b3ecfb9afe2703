package llamacpp_test

import (
	"bytes"
	"log/slog"
	"sync"
	"syscall"
	"testing"
)

func kill9(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// testLog shows the engine's log when the test fails.
func testLog(t testing.TB) *slog.Logger {
	l := &logBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's log:\n%s", l)
		}
	})
	return l.logger()
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
