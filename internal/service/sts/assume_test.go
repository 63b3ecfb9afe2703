package sts_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting(ana.ARN), policyOf("Allow", `"bedrock:*"`, `"Resource":"*"`), 0)
	out, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
	must(t, err)
	if *out.AssumedRoleUser.Arn != "arn:aws:sts::111122223333:assumed-role/app/run-7" || *out.AssumedRoleUser.AssumedRoleId != role.ID+":run-7" {
		t.Errorf("assumed %s %s", *out.AssumedRoleUser.Arn, *out.AssumedRoleUser.AssumedRoleId)
	}
	if out.PackedPolicySize != nil || out.SourceIdentity != nil || *out.SessionTokenSize != int32(len(*out.Credentials.SessionToken)) || *out.SessionTokenUtilization < 1 {
		t.Errorf("answer %+v", out)
	}
	p := w.become(t, out.Credentials)
	if p.Type != call.AssumedRole || p.Session.RoleARN != role.ARN() || p.Session.Chained || !w.may(t, p, "bedrock:InvokeModel") || w.may(t, p, "iam:ListUsers") {
		t.Errorf("principal %+v", p)
	}
	// A token of a wanted size.
	out, err = w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN()), MinimumSessionTokenSize: new(int32(4096))})
	must(t, err)
	if *out.SessionTokenSize < 4096 || *out.SessionTokenUtilization != 100 {
		t.Errorf("token of %d characters, %d %%", *out.SessionTokenSize, *out.SessionTokenUtilization)
	}
	// Only the bytes that were given open it, and only under their key.
	long := call.Principal{}
	if _, _, err := w.callers.SigV4(t.Context(), ana.AccessKeyID, *out.Credentials.SessionToken); err == nil {
		t.Errorf("a long-term key with a session token is taken: %+v", long)
	}
	if _, _, err := w.callers.SigV4(t.Context(), *out.Credentials.AccessKeyId, ""); err == nil {
		t.Error("a session's key without its token is taken")
	}
}

// A role that does not exist is refused like one that does not trust the caller.
func TestNoOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	w.role(t, home, "closed", policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"bedrock.amazonaws.com"}`), "", 0)
	w.role(t, other, "closed", policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"bedrock.amazonaws.com"}`), "", 0)
	for _, acct := range []string{home, other, "999999999999"} {
		var said []string
		for _, name := range []string{"closed", "absent"} {
			_, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new("arn:aws:iam::" + acct + ":role/" + name)})
			refused(t, err, apierr.CodeAccessDenied, "")
			text, _, _ := strings.Cut(apierr.From(err).Message, ". Encoded authorization")
			said = append(said, strings.ReplaceAll(text, name, "NAME"))
		}
		if said[0] != said[1] {
			t.Errorf("%s: %q and %q", acct, said[0], said[1])
		}
	}
}

func TestAssumeRoleMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting("*"), "", 0).ARN()
	must(t, newPolicy(t, w, other, "theirs"))
	many := make([]api.PolicyDescriptorType, 11)
	for i := range many {
		many[i].Arn = new("arn:aws:iam::aws:policy/AmazonBedrockReadOnly")
	}
	var x table
	for _, test := range []struct {
		name string
		in   api.AssumeRoleInput
	}{
		{"no role", api.AssumeRoleInput{}},
		{"no ARN", api.AssumeRoleInput{RoleArn: new("app-app-app-app-app-app")}},
		{"ARN of a user", api.AssumeRoleInput{RoleArn: new("arn:aws:iam::111122223333:user/ana")}},
		{"ARN of a session", api.AssumeRoleInput{RoleArn: new("arn:aws:sts::111122223333:assumed-role/app/x")}},
		{"ARN without account", api.AssumeRoleInput{RoleArn: new("arn:aws:iam:::role/application")}},
		{"ARN with a region", api.AssumeRoleInput{RoleArn: new("arn:aws:iam:us-east-1:111122223333:role/app")}},
		{"other case", api.AssumeRoleInput{RoleArn: new("arn:aws:iam::111122223333:role/APP")}},
		{"name of one letter", api.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("x")}},
		{"name with a slash", api.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("a/b")}},
		{"name of 65 letters", api.AssumeRoleInput{RoleArn: &role, RoleSessionName: new(strings.Repeat("x", 65))}},
		{"policy that is no JSON", api.AssumeRoleInput{RoleArn: &role, Policy: new("{")}},
		{"policy with a principal", api.AssumeRoleInput{RoleArn: &role, Policy: new(policyOf("Allow", `"*"`, `"Resource":"*","Principal":"*"`))}},
		{"policy of 2049 characters", api.AssumeRoleInput{RoleArn: &role, Policy: new(pad(allowAll, 2049))}},
		{"policy and ARNs of 2049 characters", api.AssumeRoleInput{RoleArn: &role, Policy: new(pad(allowAll, 2049-49)), PolicyArns: many[:1]}},
		{"11 managed policies", api.AssumeRoleInput{RoleArn: &role, PolicyArns: many}},
		{"managed policy that is not there", api.AssumeRoleInput{RoleArn: &role, PolicyArns: []api.PolicyDescriptorType{{Arn: new("arn:aws:iam::111122223333:policy/absent")}}}},
		{"managed policy of another account", api.AssumeRoleInput{RoleArn: &role, PolicyArns: []api.PolicyDescriptorType{{Arn: new("arn:aws:iam::444455556666:policy/theirs")}}}},
		{"managed policy without an ARN", api.AssumeRoleInput{RoleArn: &role, PolicyArns: []api.PolicyDescriptorType{{}}}},
		{"code without device", api.AssumeRoleInput{RoleArn: &role, TokenCode: new("123456")}},
		{"device without code", api.AssumeRoleInput{RoleArn: &role, SerialNumber: new("arn:aws:iam::111122223333:mfa/ana")}},
		{"device that is not there", api.AssumeRoleInput{RoleArn: &role, SerialNumber: new("arn:aws:iam::111122223333:mfa/ana"), TokenCode: new("123456")}},
		{"context of a provider", api.AssumeRoleInput{RoleArn: &role, ProvidedContexts: []api.ProvidedContext{{ProviderArn: new("arn:aws:iam::aws:contextProvider/x"), ContextAssertion: new("text")}}}},
		{"source identity of one letter", api.AssumeRoleInput{RoleArn: &role, SourceIdentity: new("x")}},
		{"token size", api.AssumeRoleInput{RoleArn: &role, MinimumSessionTokenSize: new(int32(4097))}},
	} {
		_, err := w.assume(t, ana, &test.in)
		x.row(err, "", "%s", test.name)
	}
	for _, p := range []call.Principal{w.root(t, home), w.federated(t, w.root(t, home))} {
		_, err := w.assume(t, p, &api.AssumeRoleInput{RoleArn: &role})
		x.row(err, "", "by %s", p.ARN)
	}
	x.check(t, "mistakes")
}

func newPolicy(t *testing.T, w *world, acct, name string) error {
	t.Helper()
	_, err := w.CreatePolicy(t.Context(), acct, identity.NewPolicy{Name: name, Text: allowAll})
	return err
}

// pad makes a policy n characters long.
func pad(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }

func (w *world) federated(t *testing.T, by call.Principal) call.Principal {
	t.Helper()
	out, err := do[api.GetFederationTokenOutput](t, w, by, "GetFederationToken", &api.GetFederationTokenInput{Name: new("bob"), Policy: new(allowAll)})
	must(t, err)
	return w.become(t, out.Credentials)
}

// What a caller, its account, the role and a third party say about it: every
// combination.
func TestTrustTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var x table
	n := 0
	for _, acct := range []string{home, other} {
		for _, rights := range []string{"", assumeAny, policyOf("Deny", `"sts:AssumeRole"`, `"Resource":"*"`)} {
			n++
			name := "user" + string(rune('a'+n))
			p := w.user(t, acct, name, rights)
			for i, trust := range []string{
				policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"bedrock.amazonaws.com"}`),
				policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+acct+`"}`),
				policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+p.ARN+`"}`),
				policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"*"}`),
				policyOf("Deny", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+p.ARN+`"}`),
				policyOf("Allow", `"sts:TagSession"`, `"Principal":{"AWS":"`+p.ARN+`"}`),
			} {
				role := w.role(t, home, name+"-"+string(rune('a'+i)), trust, "", 0)
				_, err := w.assume(t, p, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
				said := map[string]string{"": "says nothing", assumeAny: "allows"}[rights]
				if said == "" {
					said = "denies"
				}
				x.row(err, "", "%s its policy %s, role trusts %s", map[bool]string{true: "same account,", false: "other account,"}[acct == home], said,
					[]string{"a service", "the account", "the user", "everybody", "all but the user (deny)", "the user to tag only"}[i])
			}
		}
	}
	x.check(t, "trust")
}

// The confused deputy: a third party with rights on many customers' roles must
// show the external id of the customer that it works for.
func TestExternalID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	deputy := w.user(t, other, "deputy", assumeAny)
	with := func(cond string) string {
		return policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"arn:aws:iam::`+other+`:root"}`+cond)
	}
	var x table
	for _, cond := range []struct{ name, text string }{
		{"asks for none", ""},
		{"wants 12345", `,"Condition":{"StringEquals":{"sts:ExternalId":"12345"}}`},
		{"wants 12345 or 67890", `,"Condition":{"StringEquals":{"sts:ExternalId":["12345","67890"]}}`},
		{"wants one that begins with 12", `,"Condition":{"StringLike":{"sts:ExternalId":"12*"}}`},
		{"wants none", `,"Condition":{"Null":{"sts:ExternalId":"true"}}`},
		{"wants 12345 if there is one", `,"Condition":{"StringEqualsIfExists":{"sts:ExternalId":"12345"}}`},
	} {
		role := w.role(t, home, strings.ReplaceAll(cond.name, " ", "-"), with(cond.text), "", 0)
		for _, id := range []string{"", "12345", "67890", "1234", "12345 "} {
			in := &api.AssumeRoleInput{RoleArn: new(role.ARN())}
			if id != "" {
				in.ExternalId = new(id)
			}
			_, err := w.assume(t, deputy, in)
			x.row(err, "", "trust policy %s, caller sends %q", cond.name, id)
		}
	}
	x.check(t, "externalid")
}

// A trust policy may name the session.
func TestRoleSessionName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", "")
	role := w.role(t, home, "app", policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+ana.ARN+`"},"Condition":{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}`), "", 0)
	_, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN()), RoleSessionName: new("ana")})
	must(t, err)
	_, err = w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN()), RoleSessionName: new("bob")})
	refused(t, err, apierr.CodeAccessDenied, "")
}

// Session policies only take away, and each source of them does.
func TestSessionPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting(ana.ARN), policyOf("Allow", `["bedrock:InvokeModel","bedrock:ListFoundationModels","s3:GetObject"]`, `"Resource":"*"`), 0)
	readOnly := api.PolicyDescriptorType{Arn: new("arn:aws:iam::aws:policy/AmazonBedrockReadOnly")}
	var x table
	for _, test := range []struct {
		name string
		in   api.AssumeRoleInput
	}{
		{"none", api.AssumeRoleInput{}},
		{"invoke", api.AssumeRoleInput{Policy: new(policyOf("Allow", `"bedrock:InvokeModel"`, `"Resource":"*"`))}},
		{"everything", api.AssumeRoleInput{Policy: new(allowAll)}},
		{"more than the role has", api.AssumeRoleInput{Policy: new(policyOf("Allow", `["iam:ListUsers","s3:GetObject"]`, `"Resource":"*"`))}},
		{"managed read only", api.AssumeRoleInput{PolicyArns: []api.PolicyDescriptorType{readOnly}}},
		{"invoke, or managed read only", api.AssumeRoleInput{Policy: new(policyOf("Allow", `"bedrock:InvokeModel"`, `"Resource":"*"`)), PolicyArns: []api.PolicyDescriptorType{readOnly}}},
		{"deny", api.AssumeRoleInput{Policy: new(policyOf("Deny", `"bedrock:InvokeModel"`, `"Resource":"*"`))}},
	} {
		test.in.RoleArn = new(role.ARN())
		out, err := w.assume(t, ana, &test.in)
		must(t, err)
		if (out.PackedPolicySize == nil) != (test.name == "none") {
			t.Errorf("%s: PackedPolicySize %v", test.name, out.PackedPolicySize)
		}
		p := w.become(t, out.Credentials)
		var can []string
		for _, a := range []string{"bedrock:InvokeModel", "bedrock:ListFoundationModels", "s3:GetObject", "iam:ListUsers"} {
			if w.may(t, p, a) {
				can = append(can, a)
			}
		}
		x.row(nil, "may "+strings.Join(can, " "), "session policies: %s", test.name)
	}
	x.check(t, "policies")
}
