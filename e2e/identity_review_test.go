package e2e

import (
	"encoding/json"
	"testing"
)

// TestReview runs clients/identity_review.py: what is too wide or open to others,
// and policies made of what was done.
func TestReview(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	other, _, _ := newAccount(t, srv, "partner")
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "identity_review.py", "OUTCROP="+string(command), "OTHER="+other)
}
