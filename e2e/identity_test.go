package e2e

import (
	"encoding/json"
	"testing"
)

// TestIdentity runs clients/identity_cases.py: what policies say, in whole scenes,
// in four accounts.
func TestIdentity(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	accounts := map[string][]string{}
	for _, name := range []string{"dev", "staging", "prod"} {
		account, key, secret := newAccount(t, srv, name)
		accounts[name] = []string{account, key, secret}
	}
	made, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	command, err := json.Marshal(srv.cli(t.Context()).Args)
	if err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "identity_cases.py", "ACCOUNTS="+string(made), "OUTCROP="+string(command))
}
