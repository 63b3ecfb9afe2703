package accesstest

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
)

// The accounts of random worlds.
const (
	Home  = "111122223333"
	Other = "444455556666"
)

// now is the time in random worlds.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true in one of n cases.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// Principals returns one principal of every sort.
func Principals() []call.Principal {
	roleARN := "arn:aws:iam::" + Home + ":role/app"
	session := func(mfa time.Time) *call.Session {
		return &call.Session{
			Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour), MFA: mfa, RoleARN: roleARN, RoleID: "AROAAPPAPPAPPAPPAPPAP",
			RoleName: "app", Name: "run", SourceIdentity: "alice", Tags: map[string]string{"Team": "blue"},
		}
	}
	alice := call.Principal{
		Type: call.User, Account: Home, ARN: "arn:aws:iam::" + Home + ":user/alice", UserID: "AIDAALICEALICEALICEAL", Name: "alice",
	}
	proved, plain, bearer := alice, alice, alice
	proved.Session = &call.Session{Issued: now.Add(-10 * time.Minute), Expires: now.Add(time.Hour), MFA: now.Add(-10 * time.Minute)}
	plain.Session = &call.Session{Issued: now.Add(-30 * time.Hour), Expires: now.Add(time.Hour)}
	bearer.BearerType = "LONG_TERM"
	app := call.Principal{
		Type: call.AssumedRole, Account: Home, ARN: "arn:aws:sts::" + Home + ":assumed-role/app/run",
		UserID: "AROAAPPAPPAPPAPPAPPAP:run", Session: session(time.Time{}),
	}
	appProved, appWeb := app, app
	appProved.Session = session(now.Add(-2 * time.Hour))
	web := *session(time.Time{})
	web.Provider, web.Subject, web.Audience = "idp.example.com", "repo:main", "outcrop"
	appWeb.Session = &web
	return []call.Principal{
		alice, proved, plain, bearer, app, appProved, appWeb,
		{Type: call.Root, Account: Home, ARN: "arn:aws:iam::" + Home + ":root", UserID: Home},
		{
			Type: call.FederatedUser, Account: Home, ARN: "arn:aws:sts::" + Home + ":federated-user/fred", UserID: Home + ":fred",
			Session: &call.Session{Issued: now, Expires: now.Add(time.Hour), Name: "fred"},
		},
		{Type: call.AWSService, Name: "bedrock.amazonaws.com"},
		{Type: call.FederatedUser, Session: &call.Session{Provider: "idp.example.com", Subject: "repo:main", Audience: "outcrop"}},
	}
}

// Random makes a world in which much is allowed.
func Random(r *rand.Rand) *World {
	w := &World{Principal: pick(r, Principals()), Region: pick(r, []string{"us-east-1", "eu-west-1"}), Now: now}
	w.Source = call.Source{TLS: !chance(r, 3), IP: netip.MustParseAddr(pick(r, []string{"10.1.2.3", "203.0.113.7", "2001:db8::1"})), UserAgent: "sdk"}
	if chance(r, 4) {
		w.Source.VPCE, w.Source.VPC = "vpce-1", "vpc-1"
	}
	known := w.Principal.Account != "" // else nothing binds the principal but the resource
	if known && chance(r, 2) {
		w.PrincipalTags = map[string]string{"team": pick(r, []string{"red", "blue"}), "Class": "public"}
	}
	if known && chance(r, 2) {
		w.OrgID, w.OrgPath = "o-abcdefghij", "o-abcdefghij/r-ab12/ou-1/"
	}
	if chance(r, 3) {
		w.Keys = map[string][]string{"aws:requesttag/team": {"red"}, "aws:tagkeys": {"team"}, "bedrock:guardrailidentifier": {"arn:aws:bedrock:us-east-1:" + Home + ":guardrail/g:1"}}
	}
	w.aim(r)
	if chance(r, 4) {
		w.Source.EndpointPolicy = []byte(document(r, policy.Endpoint))
	}
	if !known {
		return w
	}
	for range r.IntN(3) {
		w.Identity = append(w.Identity, document(r, policy.Identity))
	}
	if chance(r, 3) {
		w.Boundary = document(r, policy.Boundary)
	}
	if w.Principal.Session != nil && chance(r, 3) {
		w.Session = append(w.Session, document(r, policy.Session))
	}
	if chance(r, 3) {
		for range 1 + r.IntN(3) {
			level := []string{document(r, policy.ServiceControl)}
			if chance(r, 2) {
				level = append(level, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
			}
			w.Control = append(w.Control, level)
		}
	}
	return w
}

// aim gives the world an action and a resource that go together.
func (w *World) aim(r *rand.Rand) {
	account := Home
	if chance(r, 3) {
		account = Other
	}
	tags := func() {
		if chance(r, 2) {
			w.ResourceTags = map[string]string{"Team": pick(r, []string{"red", "blue"})}
		}
	}
	switch r.IntN(6) {
	case 0:
		w.Action, w.Resource = pick(r, []string{"bedrock:ListFoundationModels", "bedrock:ListGuardrails"}), "*"
	case 1, 2:
		w.Action = pick(r, []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"})
		w.Resource = "arn:aws:bedrock:" + w.Region + "::foundation-model/" + pick(r, []string{"anthropic.claude-v2", "amazon.nova-lite-v1:0"})
		if chance(r, 2) {
			w.ResourcePolicy = document(r, policy.Resource)
		}
	case 3:
		w.Action = pick(r, []string{"bedrock:GetGuardrail", "bedrock:ApplyGuardrail"})
		w.Resource = "arn:aws:bedrock:" + w.Region + ":" + account + ":guardrail/g"
		tags()
		if !chance(r, 3) {
			w.ResourcePolicy = document(r, policy.Resource)
		}
	case 4:
		w.Action = pick(r, []string{"iam:GetRole", "iam:PassRole"})
		w.Resource, w.Trust, w.ResourcePolicy = "arn:aws:iam::"+account+":role/job", true, document(r, policy.Trust)
		tags()
	default:
		w.Action = pick(r, []string{"sts:AssumeRole", "sts:TagSession", "sts:AssumeRoleWithWebIdentity"})
		w.Resource, w.Trust, w.ResourcePolicy = "arn:aws:iam::"+account+":role/job", true, document(r, policy.Trust)
		tags()
	}
}

// document makes a policy.
func document(r *rand.Rand, kind policy.Kind) string {
	var statements []map[string]any
	for range 1 + r.IntN(3) {
		statements = append(statements, statement(r, kind))
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func statement(r *rand.Rand, kind policy.Kind) map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if chance(r, 5) {
		s["Effect"] = "Deny"
	}
	actions := []string{"*", "bedrock:*", "bedrock:Invoke*", "bedrock:InvokeModel", "bedrock:List*", "bedrock:ListFoundationModels", "bedrock:*Guardrail", "iam:*", "sts:*", "sts:AssumeRole*"}
	if kind == policy.Trust {
		actions = []string{"sts:*", "sts:AssumeRole", "sts:TagSession", "sts:AssumeRoleWith*"}
	}
	some := []string{pick(r, actions), pick(r, actions)}
	if chance(r, 8) && kind != policy.Trust {
		s["NotAction"] = some[:1]
	} else {
		s["Action"] = some
	}
	resources := []string{
		"*", "*", "*", "arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.*",
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2", "arn:aws:bedrock:*:*:guardrail/*",
		"arn:aws:iam::" + Home + ":role/${aws:PrincipalTag/team, 'job'}", "arn:aws:iam::*:role/j?b",
	}
	switch {
	case kind == policy.Trust:
	case chance(r, 10) && kind != policy.Resource:
		s["NotResource"] = pick(r, resources[3:])
	default:
		s["Resource"] = []string{pick(r, resources), pick(r, resources)}
	}
	if kind == policy.Resource || kind == policy.Trust || kind == policy.Endpoint {
		s["Principal"] = principals(r, kind)
	}
	if chance(r, 3) {
		s["Condition"] = condition(r)
	}
	return s
}

func principals(r *rand.Rand, kind policy.Kind) any {
	if kind == policy.Endpoint && !chance(r, 3) || chance(r, 8) {
		return "*"
	}
	aws := []string{
		Home, "arn:aws:iam::" + Home + ":root", "arn:aws:iam::" + Home + ":user/alice", "arn:aws:iam::" + Home + ":role/app",
		"arn:aws:sts::" + Home + ":assumed-role/app/run", "arn:aws:sts::" + Home + ":federated-user/fred", Other,
		"AIDAALICEALICEALICEAL", "AROAAPPAPPAPPAPPAPPAP",
	}
	switch r.IntN(6) {
	case 0:
		return map[string]any{"Service": "bedrock.amazonaws.com"}
	case 1:
		return map[string]any{"Federated": "arn:aws:iam::" + pick(r, []string{Home, Other}) + ":oidc-provider/idp.example.com", "AWS": pick(r, aws)}
	}
	return map[string]any{"AWS": []string{pick(r, aws), pick(r, aws)}}
}

func condition(r *rand.Rand) map[string]any {
	type m = map[string]any
	all := []m{
		{"Bool": m{"aws:MultiFactorAuthPresent": "true"}},
		{"BoolIfExists": m{"aws:MultiFactorAuthPresent": "true"}},
		{"NumericLessThan": m{"aws:MultiFactorAuthAge": "3600"}},
		{"Bool": m{"aws:SecureTransport": "true"}},
		{"StringEquals": m{"aws:ResourceTag/team": "${aws:PrincipalTag/Team}"}},
		{"StringNotEquals": m{"aws:ResourceTag/Team": "red"}},
		{"StringEquals": m{"aws:RequestedRegion": "us-east-1"}},
		{"IpAddress": m{"aws:SourceIp": []string{"10.0.0.0/8", "2001:db8::/32"}}},
		{"NotIpAddressIfExists": m{"aws:SourceIp": "203.0.113.0/24"}},
		{"IpAddress": m{"aws:VpcSourceIp": "10.0.0.0/8"}},
		{"StringEquals": m{"aws:SourceVpce": "vpce-1", "aws:SourceVpc": "vpc-1"}},
		{"ArnLike": m{"aws:PrincipalArn": "arn:aws:iam::*:role/app"}},
		{"ArnNotEquals": m{"aws:PrincipalArn": "arn:aws:iam::" + Home + ":user/alice"}},
		{"StringEquals": m{"aws:PrincipalType": []string{"User", "AssumedRole", "Account"}}},
		{"StringEquals": m{"aws:PrincipalAccount": "${aws:ResourceAccount}"}},
		{"StringEquals": m{"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}},
		{"ForAnyValue:StringLike": m{"aws:PrincipalOrgPaths": "o-abcdefghij/*"}},
		{"DateGreaterThan": m{"aws:TokenIssueTime": "2026-01-01T12:00:00Z"}},
		{"DateLessThan": m{"aws:CurrentTime": "2026-06-01T00:00:00Z", "aws:EpochTime": "1800000000"}},
		{"StringLike": m{"aws:userid": "*:run"}},
		{"StringEquals": m{"aws:username": "alice"}},
		{"StringEquals": m{"aws:SourceIdentity": "alice"}},
		{"Null": m{"aws:FederatedProvider": "true"}},
		{"StringEquals": m{"idp.example.com:sub": "repo:main", "idp.example.com:aud": "outcrop"}},
		{"ForAllValues:StringEquals": m{"aws:TagKeys": []string{"team", "class"}}},
		{"StringEquals": m{"aws:RequestTag/Team": "red"}},
		{"ArnLike": m{"bedrock:GuardrailIdentifier": "arn:aws:bedrock:*:*:guardrail/g:*"}},
		{"StringNotEquals": m{"bedrock:BearerTokenType": "LONG_TERM"}},
		{"Bool": m{"aws:PrincipalIsAWSService": "true"}},
		{"StringEquals": m{"aws:PrincipalServiceName": "bedrock.amazonaws.com"}},
	}
	return pick(r, all)
}
