package sts_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// seconds are the edges of all lives of sessions.
func seconds() []int32 {
	return []int32{0, 899, 900, 3599, 3600, 3601, 7200, 7201, 43199, 43200, 43201, 129600, 129601}
}

func duration(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return new(n)
}

// lived tells how long credentials live, and holds that to the second: good at the
// last, expired one later.
func (w *world) lived(t *testing.T, c *api.Credentials) string {
	t.Helper()
	if c == nil {
		return ""
	}
	begin := w.now
	defer func() { w.now = begin }()
	w.now = *c.Expiration
	if _, _, err := w.callers.SigV4(t.Context(), *c.AccessKeyId, *c.SessionToken); err != nil {
		t.Errorf("at the last second: %v", err)
	}
	w.now = c.Expiration.Add(time.Second)
	_, _, err := w.callers.SigV4(t.Context(), *c.AccessKeyId, *c.SessionToken)
	refused(t, err, "ExpiredTokenException", "The security token included in the request is expired")
	return strconv.Itoa(int(c.Expiration.Sub(begin.Truncate(time.Second))/time.Second)) + " s"
}

func TestLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", allowAll)
	hub := w.role(t, home, "hub", trusting(ana.ARN), assumeAny, 0)
	out, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(hub.ARN())})
	must(t, err)
	chained := w.become(t, out.Credentials)

	var x table
	for _, longest := range []time.Duration{time.Hour, 2 * time.Hour, 12 * time.Hour} {
		role := w.role(t, home, "most-"+strconv.Itoa(int(longest/time.Second)), trusting("arn:aws:iam::"+home+":root"), "", longest)
		for _, by := range []call.Principal{ana, chained} {
			for _, n := range seconds() {
				out, err := w.assume(t, by, &api.AssumeRoleInput{RoleArn: new(role.ARN()), DurationSeconds: duration(n)})
				x.row(err, w.lived(t, credentials(out)), "AssumeRole by %s, MaxSessionDuration %d, DurationSeconds %d", by.Type, longest/time.Second, n)
			}
		}
	}
	for _, by := range []call.Principal{ana, w.root(t, home)} {
		for _, n := range seconds() {
			out, err := do[api.GetSessionTokenOutput](t, w, by, "GetSessionToken", &api.GetSessionTokenInput{DurationSeconds: duration(n)})
			var c *api.Credentials
			if err == nil {
				c = out.Credentials
			}
			x.row(err, w.lived(t, c), "GetSessionToken by %s, DurationSeconds %d", by.Type, n)
		}
	}
	for _, by := range []call.Principal{ana, w.root(t, home)} {
		for _, n := range seconds() {
			out, err := do[api.GetFederationTokenOutput](t, w, by, "GetFederationToken", &api.GetFederationTokenInput{Name: new("bob"), DurationSeconds: duration(n)})
			var c *api.Credentials
			if err == nil {
				c = out.Credentials
			}
			x.row(err, w.lived(t, c), "GetFederationToken by %s, DurationSeconds %d", by.Type, n)
		}
	}
	x.check(t, "lives")
}

func credentials(out *api.AssumeRoleOutput) *api.Credentials {
	if out == nil {
		return nil
	}
	return out.Credentials
}

// Sessions end with who they are of, and not with the key that made them.
func TestWhatEndsSessions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", allowAll)
	role := w.role(t, home, "app", trusting("arn:aws:iam::"+home+":root"), allowAll, 0)
	own, err := do[api.GetSessionTokenOutput](t, w, ana, "GetSessionToken", &api.GetSessionTokenInput{})
	must(t, err)
	fed, err := do[api.GetFederationTokenOutput](t, w, ana, "GetFederationToken", &api.GetFederationTokenInput{Name: new("bob"), Policy: new(allowAll)})
	must(t, err)
	run, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
	must(t, err)
	alive := func(step string, want ...bool) {
		t.Helper()
		for i, c := range []*api.Credentials{own.Credentials, fed.Credentials, run.Credentials} {
			_, _, err := w.callers.SigV4(ctx, *c.AccessKeyId, *c.SessionToken)
			if (err == nil) != want[i] {
				t.Errorf("after %s: session %d: %v", step, i, err)
			}
			if err != nil {
				refused(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
			}
		}
	}
	alive("nothing", true, true, true)
	must(t, w.RenameUser(ctx, home, "ana", "anna", ""))
	if p := w.become(t, own.Credentials); p.Name != "anna" || p.ARN != "arn:aws:iam::"+home+":user/anna" {
		t.Errorf("after the user was renamed its session is of %s, %s", p.Name, p.ARN)
	}
	must(t, w.DeleteAccessKey(ctx, home, "anna", ana.AccessKeyID))
	alive("the key was deleted", true, true, true)
	must(t, w.DeleteInline(ctx, home, identity.TypeUser, "anna", "rights"))
	alive("the rights went", true, true, true)
	if p := w.become(t, own.Credentials); w.may(t, p, "bedrock:InvokeModel") {
		t.Error("a session kept rights that its user lost")
	}
	must(t, w.DeleteUser(ctx, home, "anna"))
	alive("the user was deleted", false, false, true)
	must(t, w.DeleteInline(ctx, home, identity.TypeRole, "app", "rights"))
	must(t, w.DeleteRole(ctx, home, "app"))
	alive("the role was deleted", false, false, false)
	w.role(t, home, "app", trusting("arn:aws:iam::"+home+":root"), allowAll, 0)
	alive("another role of that name was made", false, false, false)
}

// AWSRevokeOlderSessions is the policy that the console puts on a role.
func TestRevokeOlderSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting(ana.ARN), allowAll, 0)
	enter := func() call.Principal {
		out, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
		must(t, err)
		return w.become(t, out.Credentials)
	}
	older := enter()
	w.now = w.now.Add(time.Second)
	must(t, w.PutInline(t.Context(), home, identity.TypeRole, "app", "AWSRevokeOlderSessions",
		policyOf("Deny", `["*"]`, `"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+w.now.UTC().Format("2006-01-02T15:04:05.000Z")+`"}}`)))
	if w.may(t, older, "bedrock:InvokeModel") {
		t.Error("a session from before goes on")
	}
	w.now = w.now.Add(time.Second)
	if !w.may(t, enter(), "bedrock:InvokeModel") {
		t.Error("a session from after is refused")
	}
}
