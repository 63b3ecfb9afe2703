package e2e

import "testing"

// TestSlots runs clients/slots_cases.py against a server of its own: bursts, default
// retries and provisioned throughput.
func TestSlots(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	runCases(t, srv, "slots_cases.py")
}
