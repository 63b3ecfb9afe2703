package approval_test

import (
	"strings"
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

// A call with a client token is kept once, however often it is repeated.
func TestHoldOnce(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	if _, err := s.SetRule(t.Context(), account, []string{"bedrock:CreateThing"}); err != nil {
		t.Fatal(err)
	}
	hold := func(who, token string) string {
		t.Helper()
		err := s.Hold(t.Context(), &call.Call{Action: "bedrock:CreateThing", Operation: "CreateThing", Principal: *user(who), TokenID: token}, nil, struct{}{})
		wantCode(t, "a call of "+who, err, "AccessDeniedException")
		return err.Error()
	}
	first := hold("ana", "token")
	if again := hold("ana", "token"); again != first {
		t.Errorf("repeated: %s, not %s", again, first)
	}
	for name, other := range map[string]string{"another token": hold("ana", "other"), "another person": hold("bob", "token"), "no token": hold("ana", ""), "no token again": hold("ana", "")} {
		if other == first {
			t.Errorf("%s: %s", name, other)
		}
	}
	all := s.List(account, approval.Pending, approval.Change)
	if len(all) != 5 {
		t.Fatalf("%d requests wait", len(all))
	}
	for _, r := range all {
		if _, err := s.Reject(t.Context(), account, r.ID, "", proved("eve", c.t)); err != nil {
			t.Fatal(err)
		}
	}
	if again := hold("ana", "token"); again == first {
		t.Error("a request that was rejected stands for a new call")
	}
}

// What carries a secret is neither let through nor kept.
func TestSecretIsNotHeld(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	if _, err := s.SetRule(t.Context(), account, []string{"iam:Create*"}); err != nil {
		t.Fatal(err)
	}
	err := s.Hold(t.Context(), &call.Call{Action: "iam:CreateAccessKey", Operation: "CreateAccessKey", Principal: *user("ana")}, nil, struct{}{})
	wantCode(t, "a call that answers a secret", err, "AccessDeniedException")
	if n := len(s.List(account, "", "")); n != 0 || !strings.Contains(err.Error(), "cannot wait") {
		t.Errorf("%d requests, %v", n, err)
	}
}
