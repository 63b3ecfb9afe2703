package document

import (
	"os"
	"testing"
)

// TestMain lets the test binary be the process that reads one document.
func TestMain(m *testing.M) {
	if InChild() {
		os.Exit(Child(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
