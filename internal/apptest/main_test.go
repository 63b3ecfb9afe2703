package apptest_test

import (
	"os"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// TestMain lets the test binary be the process that confines an engine.
func TestMain(m *testing.M) {
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	os.Exit(m.Run())
}
