package sts_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service/sts"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// A job runs as a role when four things hold together: its maker may pass the role
// to the service, and the role trusts the service, for jobs of this kind, of this
// account. Without any one of them somebody could make the service act for the
// wrong one.
func TestConfusedDeputy(t *testing.T) {
	t.Parallel()
	const service = "bedrock.amazonaws.com"
	w := newWorld(t, nil)
	user := w.user(t, home, "ana", "")
	pass := func(to string) string {
		return policyOf("Allow", `"iam:PassRole"`, `"Resource":"arn:aws:iam::`+home+`:role/*","Condition":{"StringEquals":{"iam:PassedToService":"`+to+`"}}`)
	}
	trust := func(who string) string {
		return policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"`+who+`"},"Condition":{"StringEquals":{"aws:SourceAccount":"`+home+
			`"},"ArnLike":{"aws:SourceArn":"arn:aws:bedrock:us-east-1:`+home+`:model-invocation-job/*"}}`)
	}
	job := "arn:aws:bedrock:us-east-1:" + home + ":model-invocation-job/abc"
	var x table
	for i, test := range []struct{ name, pass, trust, account, source string }{
		{"all four", pass(service), trust(service), home, job},
		{"without PassRole", "", trust(service), home, job},
		{"PassRole to another service", pass("lambda.amazonaws.com"), trust(service), home, job},
		{"PassRole denied", policyOf("Deny", `"iam:PassRole"`, `"Resource":"*"`), trust(service), home, job},
		{"role trusts another service", pass(service), trust("lambda.amazonaws.com"), home, job},
		{"role trusts the account alone", pass(service), policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+home+`"}`), home, job},
		{"job of another account", pass(service), trust(service), other, job},
		{"no account told", pass(service), trust(service), "", job},
		{"job of another kind", pass(service), trust(service), home, "arn:aws:bedrock:us-east-1:" + home + ":model-import-job/abc"},
		{"job in another region", pass(service), trust(service), home, "arn:aws:bedrock:eu-west-1:" + home + ":model-invocation-job/abc"},
		{"no job told", pass(service), trust(service), home, ""},
	} {
		if test.pass != "" {
			must(t, w.PutInline(t.Context(), home, identity.TypeUser, "ana", "rights", test.pass))
		} else if i > 0 {
			must(t, w.DeleteInline(t.Context(), home, identity.TypeUser, "ana", "rights"))
		}
		role := w.role(t, home, fmt.Sprintf("job-%d", i), test.trust, "", 0)
		c := &call.Call{Region: "us-east-1", Partition: "aws", Principal: user}
		err := w.access.Authorize(t.Context(), c, call.Need{
			Action: "iam:PassRole", Resources: []string{role.ARN()}, Keys: map[string][]string{"iam:passedtoservice": {service}},
		})
		if _, refused := errors.AsType[*apierr.Error](err); err != nil && !refused {
			t.Fatal(err)
		}
		keys := map[string][]string{}
		if test.account != "" {
			keys["aws:sourceaccount"] = []string{test.account}
		}
		if test.source != "" {
			keys["aws:sourcearn"] = []string{test.source}
		}
		d, derr := w.access.Decide(t.Context(), access.Request{
			Principal: call.Principal{Type: call.AWSService, Name: service}, Action: "sts:AssumeRole", Resource: role.ARN(), Region: "us-east-1", Keys: keys, Now: w.now,
		})
		must(t, derr)
		if runs := err == nil && d.Outcome == access.Allowed; runs != (i == 0) {
			t.Errorf("%s: runs %t", test.name, runs)
		}
		x.row(err, "the service may assume the role: "+d.Outcome.String(), "%s: PassRole", test.name)
	}
	x.check(t, "deputy")
}

// Workloads get sessions of roles that trust the service that they run in.
func TestForService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := w.service
	trust := policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"ec2.amazonaws.com"},"Condition":{"StringLike":{"sts:RoleSessionName":"app*"}}`)
	role := w.role(t, home, "app", trust, policyOf("Allow", `"bedrock:*"`, `"Resource":"*"`), 0)
	c, err := s.ForService(t.Context(), role.ARN(), "app-1", "ecs-tasks.amazonaws.com", "ec2.amazonaws.com")
	must(t, err)
	p, _, err := w.callers.SigV4(t.Context(), c.AccessKeyID, c.Token)
	must(t, err)
	if p.ARN != "arn:aws:sts::"+home+":assumed-role/app/app-1" || p.Session.Chained || p.Session.Expires.Sub(p.Session.Issued) != time.Hour || !w.may(t, p, "bedrock:InvokeModel") {
		t.Errorf("principal %+v", p)
	}
	for name, ask := range map[string][]string{
		"another service": {role.ARN(), "app-1", "ecs-tasks.amazonaws.com"},
		"another name":    {role.ARN(), "x-1", "ec2.amazonaws.com"},
		"another role":    {role.ARN() + "x", "app-1", "ec2.amazonaws.com"},
		"no service":      {role.ARN(), "app-1"},
	} {
		if _, err := s.ForService(t.Context(), ask[0], ask[1], ask[2:]...); !errors.Is(err, sts.ErrNotTrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
