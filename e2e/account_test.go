package e2e

import (
	"encoding/json"
	"testing"
)

// TestAccounts makes an account by the command line beside a running server, and
// runs clients/account_cases.py as the root of the management account: the
// organisation, and what IAM keeps beside users and roles.
func TestAccounts(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: "tls:\n  self_signed: true\n"})
	var made struct {
		ID          string `json:"id"`
		AccessKeyID string `json:"access_key_id"`
		Secret      string `json:"secret"`
	}
	if err := json.Unmarshal(cliOutput(t, srv, "accounts", "create", "dev", "--json"), &made); err != nil {
		t.Fatal(err)
	}
	runCases(t, srv, "account_cases.py", "MEMBER="+made.ID, "MEMBER_KEY="+made.AccessKeyID, "MEMBER_SECRET="+made.Secret)
}
