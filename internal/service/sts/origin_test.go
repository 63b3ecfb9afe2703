package sts_test

import (
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// Who began a chain of sessions is known at its end, so that nobody approves as a
// role what he asked for as a user.
func TestOriginGoesThroughEverySession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tokens{"a": claims("repo:a"), "b": claims("repo:b")})
	ana := w.user(t, home, "ana", allowAll)
	w.role(t, home, "one", trusting(home), allowAll, 0)
	w.role(t, other, "two", trusting(home), allowAll, 0)
	to := func(p call.Principal, role string) call.Principal {
		t.Helper()
		out, err := w.assume(t, p, &api.AssumeRoleInput{RoleArn: new(role)})
		must(t, err)
		return w.become(t, out.Credentials)
	}
	own, err := do[api.GetSessionTokenOutput](t, w, ana, "GetSessionToken", &api.GetSessionTokenInput{})
	must(t, err)
	temporary := w.become(t, own.Credentials)
	one := to(ana, "arn:aws:iam::"+home+":role/one")
	for name, p := range map[string]call.Principal{
		"GetSessionToken": temporary, "a role": one, "a role of a session": to(temporary, "arn:aws:iam::"+home+":role/one"),
		"a role of a role": to(one, "arn:aws:iam::"+other+":role/two"), "GetFederationToken": w.federated(t, ana),
	} {
		if p.Origin() != ana.UserID {
			t.Errorf("%s: origin %s, want %s", name, p.Origin(), ana.UserID)
		}
	}

	_, err = w.CreateOIDCProvider(t.Context(), home, identity.NewOIDCProvider{URL: "https://" + issuer, ClientIDs: []string{"sts.amazonaws.com"}})
	must(t, err)
	w.role(t, home, "pods", policyOf("Allow", `"sts:AssumeRoleWithWebIdentity"`, `"Principal":{"Federated":"arn:aws:iam::`+home+`:oidc-provider/`+issuer+`"}`), allowAll, 0)
	pod := func(token string) string {
		t.Helper()
		out, err := w.web(t, &api.AssumeRoleWithWebIdentityInput{RoleArn: new("arn:aws:iam::" + home + ":role/pods"), WebIdentityToken: new(token)})
		must(t, err)
		p := w.become(t, out.Credentials)
		return p.Origin()
	}
	if a, b := pod("a"), pod("b"); a != issuer+":repo:a" || b != issuer+":repo:b" {
		t.Errorf("two people of one session name are %s and %s", a, b)
	}
}

// running tells which elevations go on.
type running map[string]bool

func (r running) Running(account, id string) bool { return r[account+"/"+id] }

// A role that an elevated session assumes ends with the elevation.
func TestElevationGoesThroughRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	on := running{home + "/req-1": true}
	w.callers.Elevations = on
	admin := w.role(t, home, "admin", trusting(home), allowAll, 0)
	w.role(t, home, "next", trusting(home), allowAll, 0)
	w.role(t, other, "far", trusting(home), allowAll, 0)
	issued := w.now.Truncate(time.Second)
	c, err := w.sessions.Issue(call.Principal{
		Type: call.AssumedRole, Account: home, ARN: "arn:aws:sts::" + home + ":assumed-role/admin/req-1", UserID: admin.ID + ":req-1",
		Session: &call.Session{
			Issued: issued, Expires: issued.Add(15 * time.Minute), RoleARN: admin.ARN(), RoleID: admin.ID, RoleName: admin.Name, Name: "req-1",
			Origin: "AIDAANA", Elevation: "req-1",
		},
	})
	must(t, err)
	elevated, _, err := w.callers.SigV4(t.Context(), c.AccessKeyID, c.Token)
	must(t, err)
	out, err := w.assume(t, elevated, &api.AssumeRoleInput{RoleArn: new("arn:aws:iam::" + home + ":role/next")})
	must(t, err)
	if next := w.become(t, out.Credentials); next.Session.Elevation != "req-1" || !next.Session.Expires.Equal(c.Expires) || next.Origin() != "AIDAANA" {
		t.Errorf("a role of an elevated session: %+v", next.Session)
	}
	_, err = w.assume(t, elevated, &api.AssumeRoleInput{RoleArn: new("arn:aws:iam::" + other + ":role/far")})
	refused(t, err, apierr.CodeAccessDenied, "An elevated session may assume roles of its own account only.")
	delete(on, home+"/req-1")
	_, _, err = w.callers.SigV4(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
	refused(t, err, "UnrecognizedClientException", "")
}
