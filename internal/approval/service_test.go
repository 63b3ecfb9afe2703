package approval_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	account = "111122223333"
	role    = "arn:aws:iam::111122223333:role/admin"
)

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func service(t *testing.T) (*approval.Service, *clock, *recordtest.Store) {
	t.Helper()
	c, st := &clock{start}, new(recordtest.Store)
	s, err := approval.New(t.Context(), approval.Config{Records: st, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, c, st
}

func user(name string) *call.Principal {
	return &call.Principal{Type: call.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, UserID: "AIDA" + strings.ToUpper(name), Name: name}
}

// proved is a user with a one-time code of a moment.
func proved(name string, at time.Time) *call.Principal {
	p := user(name)
	p.Session = &call.Session{MFA: at, Origin: p.UserID}
	return p
}

func request(t *testing.T, s *approval.Service, who *call.Principal) *approval.Request {
	t.Helper()
	r, err := s.Elevate(t.Context(), &call.Call{Principal: *who, Region: "us-east-1"}, role, "disk full", "OPS-1", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// An elevation goes from request over approval and use to its end, second by
// second.
func TestElevation(t *testing.T) {
	t.Parallel()
	s, c, st := service(t)
	ctx := t.Context()
	r := request(t, s, user("ana"))
	if r.State != approval.Pending || s.Running(account, r.ID) {
		t.Fatalf("%+v", r)
	}
	_, err := s.Start(ctx, account, r.ID, user("ana"))
	wantCode(t, "start before approval", err, apierr.CodeConflict)
	_, err = s.Approve(ctx, account, r.ID, "", proved("ana", c.t))
	wantCode(t, "approve one's own", err, apierr.CodeAccessDenied)
	byRole := &call.Principal{Type: call.AssumedRole, UserID: "AROA:x", Session: &call.Session{MFA: c.t, Origin: "AIDAANA"}}
	_, err = s.Approve(ctx, account, r.ID, "", byRole)
	wantCode(t, "approve one's own through a role", err, apierr.CodeAccessDenied)
	_, err = s.Approve(ctx, account, r.ID, "", user("bob"))
	wantCode(t, "approve without a code", err, apierr.CodeAccessDenied)
	_, err = s.Approve(ctx, account, r.ID, "", proved("bob", c.t.Add(-approval.MaxMFAAge-time.Second)))
	wantCode(t, "approve with an old code", err, apierr.CodeAccessDenied)
	_, err = s.Approve(ctx, "444455556666", r.ID, "", proved("bob", c.t))
	wantCode(t, "approve from another account", err, apierr.CodeResourceNotFound)

	if r, err = s.Approve(ctx, account, r.ID, "go", proved("bob", c.t.Add(-approval.MaxMFAAge))); err != nil || r.State != approval.Approved || r.Approver.ARN != user("bob").ARN {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = s.Approve(ctx, account, r.ID, "", proved("eve", c.t))
	wantCode(t, "approve twice", err, apierr.CodeConflict)
	_, err = s.Start(ctx, account, r.ID, user("eve"))
	wantCode(t, "start another's", err, apierr.CodeAccessDenied)
	if s.Running(account, r.ID) {
		t.Error("it runs before it was started")
	}
	c.t = c.t.Add(10 * time.Minute)
	if r, err = s.Start(ctx, account, r.ID, user("ana")); err != nil || r.State != approval.Active || !r.Ends.Equal(c.t.Add(time.Hour)) {
		t.Fatalf("%+v, %v", r, err)
	}
	ends := r.Ends
	c.t = c.t.Add(59 * time.Minute)
	if r, err = s.Start(ctx, account, r.ID, user("ana")); err != nil || !r.Ends.Equal(ends) {
		t.Errorf("a second start moves the end to %v, %v", r, err)
	}
	// A second server knows all of it.
	other, err := approval.New(ctx, approval.Config{Records: st, Now: c.now})
	if err != nil || !other.Running(account, r.ID) {
		t.Errorf("after a restart it does not run: %v", err)
	}
	c.t = ends
	if !s.Running(account, r.ID) {
		t.Error("it has ended before its last second")
	}
	c.t = ends.Add(time.Second)
	if got, _ := s.Get(account, r.ID); s.Running(account, r.ID) || got.State != approval.Ended {
		t.Errorf("a second later it is %s", got.State)
	}
	_, err = s.Start(ctx, account, r.ID, user("ana"))
	wantCode(t, "start after the end", err, apierr.CodeConflict)
}

func TestEndAtOnce(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	ctx := t.Context()
	r := request(t, s, user("ana"))
	if _, err := s.Approve(ctx, account, r.ID, "", proved("bob", c.t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(ctx, account, r.ID, user("ana")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.End(ctx, account, r.ID, "enough"); err != nil || s.Running(account, r.ID) {
		t.Errorf("it goes on after its end: %v", err)
	}
	_, err := s.End(ctx, account, r.ID, "")
	wantCode(t, "end twice", err, apierr.CodeConflict)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	r := request(t, s, user("ana"))
	c.t = c.t.Add(approval.MaxPending)
	if got, _ := s.Get(account, r.ID); got.State != approval.Pending {
		t.Errorf("at its last moment it is %s", got.State)
	}
	c.t = c.t.Add(time.Second)
	_, err := s.Approve(t.Context(), account, r.ID, "", proved("bob", c.t))
	wantCode(t, "approve too late", err, apierr.CodeConflict)
	if got := s.List(account, approval.Expired, ""); len(got) != 1 {
		t.Errorf("%d expired", len(got))
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	r := request(t, s, user("ana"))
	if r, err := s.Reject(t.Context(), account, r.ID, "no", proved("bob", c.t)); err != nil || r.State != approval.Rejected || r.Comment != "no" {
		t.Errorf("%+v, %v", r, err)
	}
	_, err := s.Approve(t.Context(), account, r.ID, "", proved("bob", c.t))
	wantCode(t, "approve what was rejected", err, apierr.CodeConflict)
}

// A change is held back once its account says so, and carries all it takes to
// make it later.
func TestHold(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	ctx := t.Context()
	in := struct {
		Name *string
		Tags []string
		None *int
	}{Name: new("x")}
	cl := &call.Call{Principal: *user("ana"), Region: "eu-central-1", Service: "bedrock", Operation: "CreateThing", Action: "bedrock:CreateThing"}
	if err := s.Hold(ctx, cl, nil, &in); err != nil {
		t.Fatalf("without a rule: %v", err)
	}
	if _, err := s.SetRule(ctx, account, []string{"bedrock:CreateT*", "bedrock:CreateT*"}); err != nil {
		t.Fatal(err)
	}
	for action, held := range map[string]bool{"bedrock:CreateThing": true, "bedrock:CreateT": true, "bedrock:createThing": false, "bedrock:Create": false, "iam:CreateThing": false} {
		if got := s.Rule(account).Holds(action); got != held {
			t.Errorf("the rule holds %s: %t", action, got)
		}
	}
	wantCode(t, "hold", s.Hold(ctx, cl, []string{"arn:x"}, &in), apierr.CodeAccessDenied)
	all := s.List(account, approval.Pending, approval.Change)
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	r := all[0]
	if string(r.Input) != `{"Name":"x"}` || r.Action != cl.Action || r.Operation != cl.Operation || r.Region != "eu-central-1" || r.Caller.ARN != cl.Principal.ARN || len(r.Resources) != 1 {
		t.Errorf("%+v with input %s", r, r.Input)
	}
	cl.ApprovedBy = r.ID
	if err := s.Hold(ctx, cl, nil, &in); err != nil {
		t.Errorf("an approved call is held again: %v", err)
	}
	_, err := s.Finish(ctx, account, r.ID, "")
	wantCode(t, "finish before approval", err, apierr.CodeConflict)
	if _, err := s.Approve(ctx, account, r.ID, "", proved("bob", c.t)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Finish(ctx, account, r.ID, "ConflictException: taken"); err != nil || got.State != approval.Failed || got.Failure == "" {
		t.Errorf("%+v, %v", got, err)
	}
	cl.ApprovedBy = ""
	big := struct{ Name string }{strings.Repeat("x", 1<<20)}
	wantCode(t, "hold what is too large", s.Hold(ctx, cl, nil, &big), apierr.CodeValidation)
	if _, err := s.SetRule(ctx, account, nil); err != nil || len(s.Rule(account).Actions) != 0 {
		t.Errorf("the rule stays: %v", err)
	}
}

func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	r := request(t, s, user("ana"))
	if _, err := s.Get("444455556666", r.ID); err == nil || len(s.List("444455556666", "", "")) != 0 || s.Running("444455556666", r.ID) {
		t.Error("another account sees the request")
	}
}

// What a store cannot keep is not there afterwards.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	s, _, st := service(t)
	st.Fail(errors.New("disk on fire"))
	if _, err := s.Elevate(context.Background(), &call.Call{Principal: *user("ana")}, role, "r", "", "", time.Hour); err == nil {
		t.Error("a request that was not stored is acknowledged")
	}
	st.Fail(nil)
	if n := len(s.List(account, "", "")); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestRequestIsWholeInJSON(t *testing.T) {
	t.Parallel()
	s, c, _ := service(t)
	r := request(t, s, proved("ana", c.t))
	b, err := json.Marshal(r)
	if err != nil || strings.Contains(string(b), "0001-01-01") {
		t.Errorf("%s, %v", b, err)
	}
}

// Nobody alone keeps all others from asking.
func TestOpenRequestsOfOnePerson(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	for range approval.MaxOwn {
		request(t, s, user("ana"))
	}
	_, err := s.Elevate(t.Context(), &call.Call{Principal: *proved("ana", start), Region: "us-east-1"}, role, "one more", "", "", time.Hour)
	wantCode(t, "one more", err, apierr.CodeThrottling)
	first := request(t, s, user("bob"))
	if _, err := s.End(t.Context(), account, s.List(account, approval.Pending, "")[approval.MaxOwn].ID, ""); err != nil || first.State != approval.Pending {
		t.Fatal(err)
	}
	request(t, s, user("ana"))
}
