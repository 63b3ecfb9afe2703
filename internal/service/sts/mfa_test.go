package sts_test

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- RFC 6238
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// phone is the app that shows a user's codes.
type phone struct {
	serial string
	seed   []byte
}

// code is the code of RFC 6238 at a time.
func (p phone) code(at time.Time) string {
	h := hmac.New(sha1.New, p.seed)
	_ = binary.Write(h, binary.BigEndian, at.Unix()/30)
	sum := h.Sum(nil)
	i := sum[19] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[i:i+4])&0x7fffffff%1_000_000)
}

// pair gives a user a device. It moves the clock on, past the codes that this uses.
func (w *world) pair(t *testing.T, acct, user string) phone {
	t.Helper()
	m, seed, err := w.CreateMFADevice(t.Context(), acct, "", user, nil)
	must(t, err)
	p := phone{m.Serial(), seed}
	must(t, w.EnableMFADevice(t.Context(), acct, user, p.serial, p.code(w.now), p.code(w.now.Add(30*time.Second))))
	w.now = w.now.Add(5 * time.Minute)
	return p
}

const mfaOnly = `"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"300"}}`

// A role that wants MFA is assumed with a code in the same call, or with a session
// that was begun with one.
func TestMFA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana, bob := w.user(t, home, "ana", assumeAny), w.user(t, home, "bob", assumeAny)
	device := w.pair(t, home, "ana")
	careful := w.role(t, home, "careful", policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"`+home+`"},`+mfaOnly), policyOf("Allow", `"bedrock:*"`, `"Resource":"*",`+mfaOnly), 0)
	plain := w.role(t, home, "plain", trusting(home), policyOf("Allow", `"bedrock:*"`, `"Resource":"*",`+mfaOnly), 0)
	with := func(role, code string) *api.AssumeRoleInput {
		in := &api.AssumeRoleInput{RoleArn: new(role)}
		if code != "" {
			in.SerialNumber, in.TokenCode = new(device.serial), new(code)
		}
		return in
	}
	var x table
	try := func(name string, by call.Principal, in *api.AssumeRoleInput) {
		t.Helper()
		out, err := w.assume(t, by, in)
		said := ""
		if err == nil {
			p := w.become(t, out.Credentials)
			said = "MFA of the session " + map[bool]string{true: "none", false: "yes"}[p.Session.MFA.IsZero()] +
				map[bool]string{true: ", may what needs MFA", false: ""}[w.may(t, p, "bedrock:InvokeModel")]
		}
		x.row(err, said, "%s", name)
	}
	try("careful, no code", ana, with(careful.ARN(), ""))
	code := device.code(w.now)
	try("careful, code", ana, with(careful.ARN(), code))
	try("careful, the same code again", ana, with(careful.ARN(), code))
	w.now = w.now.Add(30 * time.Second)
	try("careful, somebody else's code", bob, with(careful.ARN(), device.code(w.now)))
	try("plain, code", ana, with(plain.ARN(), device.code(w.now)))
	try("plain, no code", ana, with(plain.ARN(), ""))
	try("careful, wrong code", ana, with(careful.ARN(), "000000"))
	try("careful, old code", ana, with(careful.ARN(), device.code(w.now.Add(-2*time.Minute))))
	w.now = w.now.Add(time.Minute)

	begin := func(code string) call.Principal {
		in := &api.GetSessionTokenInput{}
		if code != "" {
			in.SerialNumber, in.TokenCode = new(device.serial), new(code)
		}
		out, err := do[api.GetSessionTokenOutput](t, w, ana, "GetSessionToken", in)
		must(t, err)
		return w.become(t, out.Credentials)
	}
	known, unknown := begin(device.code(w.now)), begin("")
	try("careful, by a session with MFA", known, with(careful.ARN(), ""))
	try("careful, by a session without", unknown, with(careful.ARN(), ""))
	w.now = w.now.Add(time.Minute)
	try("careful, by a session without, code", unknown, with(careful.ARN(), device.code(w.now)))
	w.now = w.now.Add(5 * time.Minute)
	try("careful, by a session with MFA that is too long ago", known, with(careful.ARN(), ""))
	for range 5 {
		try("careful, wrong code", ana, with(careful.ARN(), "000000"))
	}
	w.now = w.now.Add(time.Minute)
	try("careful, right code after five wrong ones", ana, with(careful.ARN(), device.code(w.now)))
	x.check(t, "mfa")

	_, err := do[api.GetSessionTokenOutput](t, w, w.root(t, home), "GetSessionToken", &api.GetSessionTokenInput{SerialNumber: new(device.serial), TokenCode: new(device.code(w.now))})
	refused(t, err, "AccessDenied", "")
}

// Which API takes which credentials, whatever policies say.
func TestWhatSessionsMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", allowAll)
	device := w.pair(t, home, "ana")
	role := w.role(t, home, "app", trusting(home), allowAll, 0)
	session := func(in *api.GetSessionTokenInput) call.Principal {
		out, err := do[api.GetSessionTokenOutput](t, w, ana, "GetSessionToken", in)
		must(t, err)
		return w.become(t, out.Credentials)
	}
	run, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
	must(t, err)
	var x table
	for _, by := range []struct {
		name string
		p    call.Principal
	}{
		{"long-term key", ana},
		{"session", session(&api.GetSessionTokenInput{})},
		{"session with MFA", session(&api.GetSessionTokenInput{SerialNumber: new(device.serial), TokenCode: new(device.code(w.now))})},
		{"federated user", w.federated(t, ana)},
		{"role", w.become(t, run.Credentials)},
	} {
		for _, action := range []string{"iam:ListUsers", "bedrock:InvokeModel"} {
			var err error
			if !w.may(t, by.p, action) {
				err = apierr.AccessDenied("refused")
			}
			x.row(err, "", "%s: %s", by.name, action)
		}
		_, err := w.assume(t, by.p, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
		x.row(err, "", "%s: AssumeRole", by.name)
		_, err = do[api.GetSessionTokenOutput](t, w, by.p, "GetSessionToken", &api.GetSessionTokenInput{})
		x.row(err, "", "%s: GetSessionToken", by.name)
		_, err = do[api.GetFederationTokenOutput](t, w, by.p, "GetFederationToken", &api.GetFederationTokenInput{Name: new("eve")})
		x.row(err, "", "%s: GetFederationToken", by.name)
		_, err = do[api.GetCallerIdentityOutput](t, w, by.p, "GetCallerIdentity", &api.GetCallerIdentityInput{})
		x.row(err, "", "%s: GetCallerIdentity", by.name)
	}
	x.check(t, "calls")
}

// A federated user has what both its policies and those of who vouched allow.
func TestFederation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	invoke := policyOf("Allow", `"bedrock:InvokeModel"`, `"Resource":"*"`)
	ana := w.user(t, home, "ana", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:*","bedrock:InvokeModel"],"Resource":"*"}]}`)
	var x table
	for _, by := range []call.Principal{ana, w.root(t, home), w.user(t, home, "poor", "")} {
		for _, in := range []api.GetFederationTokenInput{
			{},
			{Policy: new(invoke)},
			{Policy: new(allowAll)},
			{PolicyArns: []api.PolicyDescriptorType{{Arn: new("arn:aws:iam::aws:policy/AmazonBedrockReadOnly")}}},
			{Policy: new(allowAll), Tags: tagsOf("team", "core")},
		} {
			in.Name = new("bob")
			out, err := do[api.GetFederationTokenOutput](t, w, by, "GetFederationToken", &in)
			said := ""
			if err == nil {
				p := w.become(t, out.Credentials)
				if *out.FederatedUser.Arn != p.ARN || *out.FederatedUser.FederatedUserId != home+":bob" || p.UserID != home+":bob" {
					t.Errorf("federated %+v", out.FederatedUser)
				}
				said = fmt.Sprintf("invoke %t, list %t; %s", w.may(t, p, "bedrock:InvokeModel"), w.may(t, p, "bedrock:ListGuardrails"), carriedOr(p))
			}
			x.row(err, said, "%s, inline policy %t, managed %d, tags %d", by.ARN, in.Policy != nil, len(in.PolicyArns), len(in.Tags))
		}
	}
	x.check(t, "federation")
	_, err := do[api.GetFederationTokenOutput](t, w, ana, "GetFederationToken", &api.GetFederationTokenInput{})
	refused(t, err, apierr.CodeValidation, "")
	_, err = do[api.GetFederationTokenOutput](t, w, ana, "GetFederationToken", &api.GetFederationTokenInput{Name: new("no/slash")})
	refused(t, err, apierr.CodeValidation, "")
}
