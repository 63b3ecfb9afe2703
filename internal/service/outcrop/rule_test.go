package outcrop_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/outcrop"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

const account = "111122223333"

// operations are the routes of a service by the names of their operations.
func operations(s *outcrop.Service) map[string]service.Route {
	all := make(map[string]service.Route)
	for _, r := range s.Routes() {
		all[r.Operation.Name] = r
	}
	return all
}

// Who may not make a change alone may not change the rule alone that says so.
func TestLooserRuleNeedsApproval(t *testing.T) {
	t.Parallel()
	approvals, err := approval.New(t.Context(), approval.Config{Records: new(recordtest.Store)})
	if err != nil {
		t.Fatal(err)
	}
	op := operations(outcrop.New(outcrop.Config{Approvals: approvals}))["PutApprovalRule"]
	ana := call.Principal{Type: call.User, Account: account, UserID: "AIDAANA", ARN: "arn:aws:iam::" + account + ":user/ana"}
	put := func(approvedBy string, actions ...string) error {
		c := &call.Call{Service: "outcrop", Operation: "PutApprovalRule", Action: "outcrop:PutApprovalRule", Region: "us-east-1", Principal: ana, ApprovedBy: approvedBy}
		_, err := op.Serve(context.Background(), c, &api.PutApprovalRuleInput{Actions: actions})
		return err
	}
	for i, step := range []struct {
		rule []string
		held bool
	}{
		{nil, false},
		{[]string{"bedrock:CreateInferenceProfile"}, false},
		{[]string{"bedrock:CreateInferenceProfile", "iam:CreateRole"}, false},
		{[]string{"bedrock:Create*", "iam:CreateRole"}, false}, // holds more
		{[]string{"bedrock:CreateInferenceProfile", "iam:CreateRole"}, true},
		{[]string{"bedrock:Create*"}, true},
		{nil, true},
	} {
		before := approvals.Rule(account).Actions
		err := put("", step.rule...)
		e, refused := errors.AsType[*apierr.Error](err)
		if (err != nil) != step.held || step.held && (!refused || e.Code != apierr.CodeAccessDenied || !strings.Contains(e.Message, "needs the approval")) {
			t.Errorf("step %d: %v", i, err)
		}
		want := step.rule
		if step.held {
			want = before
		}
		if got := approvals.Rule(account).Actions; !slices.Equal(got, want) {
			t.Errorf("step %d: the rule is %v, want %v", i, got, want)
		}
	}
	pending := approvals.List(account, approval.Pending, approval.Change)
	if len(pending) != 3 {
		t.Fatalf("%d changes wait", len(pending))
	}
	bob := &call.Principal{Type: call.User, Account: account, UserID: "AIDABOB", Session: &call.Session{MFA: time.Now()}}
	if _, err := approvals.Approve(t.Context(), account, pending[0].ID, "", bob); err != nil {
		t.Fatal(err)
	}
	if err := put(pending[0].ID); err != nil || len(approvals.Rule(account).Actions) != 0 {
		t.Errorf("an approved change of the rule: %v", err)
	}
}
