package e2e

import (
	"encoding/json"
	"testing"
)

// TestTerminal runs clients/terminal_cases.py: what `outcrop compare` and `outcrop
// ps` show of a real engine, in a terminal and in a pipe.
func TestTerminal(t *testing.T) {
	t.Parallel()
	command, err := json.Marshal(s.server.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, s.server, "terminal_cases.py", "OUTCROP="+string(command))
}
