package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	type account struct {
		ID, Name, Email, Status, Path, Secret string
		Management                            bool
		AccessKeyID                           string `json:"access_key_id"`
	}
	before := decode[[]account](t, outcrop(t, data, "accounts", "list", "--json"))
	if len(before) != 1 || !before[0].Management || before[0].Path != "" {
		t.Fatalf("a new installation has %+v", before)
	}
	dev := decode[account](t, outcrop(t, data, "accounts", "create", "dev", "--json"))
	if len(dev.ID) != 12 || dev.Email != "dev@outcrop.invalid" || !strings.HasPrefix(dev.Path, "o-") || !strings.HasPrefix(dev.AccessKeyID, "AKIA") || len(dev.Secret) != 40 {
		t.Errorf("made %+v", dev)
	}
	r := outcrop(t, data, "accounts", "create", "staging", "--email", "staging@example.com")
	if r.status != 0 || !strings.Contains(r.out, "(staging)") || !strings.Contains(r.out, "Secret access key") {
		t.Errorf("status %d: %s%s", r.status, r.out, r.err)
	}
	for _, c := range []struct {
		args []string
		part string
	}{
		{[]string{"DEV"}, "exists already: " + dev.ID},
		{[]string{"other", "--email", "Staging@example.com"}, "--email"},
		{[]string{strings.Repeat("x", 51)}, "AccountName"},
	} {
		r := outcrop(t, data, append([]string{"accounts", "create"}, c.args...)...)
		if r.status != 1 || !strings.Contains(r.err, c.part) || strings.Contains(r.err, "Exception") {
			t.Errorf("%v: status %d: %s", c.args, r.status, r.err)
		}
	}
	after := decode[[]account](t, outcrop(t, data, "accounts", "list", "--json"))
	if len(after) != 3 {
		t.Errorf("%+v", after)
	}
	for _, a := range after {
		if a.Secret != "" || !strings.HasPrefix(a.Path, "o-") {
			t.Errorf("listed %+v", a)
		}
	}
	if r := outcrop(t, data, "accounts", "list"); !strings.Contains(r.out, "(management)") || !strings.Contains(r.out, "staging@example.com") {
		t.Error(r.out)
	}
	forbid := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(forbid, []byte("keys:\n  forbid_long_term_bearer: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := outcrop(t, data, "keys", "create", "--bearer", "--config", forbid); r.status != 1 || !strings.Contains(r.err, "keys.forbid_long_term_bearer") {
		t.Errorf("a long-term key where they are forbidden: status %d: %s", r.status, r.err)
	}
	if r := outcrop(t, data, "keys", "create", "--config", forbid); r.status != 0 {
		t.Errorf("an access key: %s", r.err)
	}
	// A key of an account that nobody made makes the account.
	if r := outcrop(t, data, "keys", "create", "--account", "222233334444"); r.status != 0 {
		t.Error(r.err)
	}
	if r := outcrop(t, data, "accounts", "list"); !strings.Contains(r.out, "222233334444") {
		t.Error(r.out)
	}
}
