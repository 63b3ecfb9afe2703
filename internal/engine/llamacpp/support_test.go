package llamacpp_test

import (
	"log/slog"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
)

func kill9(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// testLog shows the engine's log when the test fails.
func testLog(t testing.TB) *slog.Logger {
	l := &enginetest.Log{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's log:\n%s", l)
		}
	})
	return l.Logger()
}
