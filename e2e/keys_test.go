package e2e

import (
	"encoding/json"
	"testing"
)

// key is what `outcrop keys --json` tells.
type key struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Kind    string `json:"kind"`
	Status  string `json:"status"`
	Secret  string `json:"secret"`
}

// createKey makes a key of a running server.
func createKey(t *testing.T, srv *server, args ...string) key {
	t.Helper()
	var k key
	if err := json.Unmarshal(cliOutput(t, srv, append([]string{"keys", "create", "--json"}, args...)...), &k); err != nil {
		t.Fatal(err)
	}
	if k.ID == "" || k.Secret == "" {
		t.Fatalf("key %s without an id or secret", k.ID)
	}
	return k
}

// cliOutput runs an outcrop command that must succeed and returns what it prints.
func cliOutput(t *testing.T, srv *server, args ...string) []byte {
	t.Helper()
	out, err := srv.cli(t.Context(), args...).Output()
	if err != nil {
		t.Fatalf("outcrop %v: %v", args, commandError(err))
	}
	return out
}
