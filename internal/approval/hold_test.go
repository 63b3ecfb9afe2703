package approval_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
)

// A call is held for what it needs too, so that no operation goes round the rule
// that another one is held by.
func TestHoldByNeed(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	if _, err := s.SetRule(t.Context(), account, []string{"iam:CreateRole"}); err != nil {
		t.Fatal(err)
	}
	hold := func(needs ...call.Need) error {
		c := &call.Call{Action: "outcrop:CreateRoleFromTemplate", Operation: "CreateRoleFromTemplate", Principal: *user("ana"), Needs: needs}
		return s.Hold(t.Context(), c, nil, struct{}{})
	}
	if err := hold(call.Need{Action: "iam:AttachRolePolicy"}); err != nil {
		t.Errorf("held without a reason: %v", err)
	}
	wantCode(t, "a role made by another operation", hold(call.Need{Action: "iam:AttachRolePolicy"}, call.Need{Action: "iam:CreateRole"}), "AccessDeniedException")
	if got := s.List(account, approval.Pending, approval.Change); len(got) != 1 || got[0].Action != "outcrop:CreateRoleFromTemplate" {
		t.Errorf("what waits is %+v", got)
	}
}
