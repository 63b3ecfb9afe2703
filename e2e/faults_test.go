package e2e

import (
	"encoding/json"
	"testing"
)

// TestFaults runs clients/boto3_faults.py: what boto3's own retries and time-outs
// do about fault rules, which the script makes with outcrop's commands.
func TestFaults(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "boto3_faults.py", "OUTCROP="+string(command))
}
