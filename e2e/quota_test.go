package e2e

import (
	"encoding/json"
	"testing"
)

// TestQuotas runs clients/quota_cases.py against a server of its own, whose quotas
// the command line sets while it runs.
func TestQuotas(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "quota_cases.py", "OUTCROP="+string(command))
}
