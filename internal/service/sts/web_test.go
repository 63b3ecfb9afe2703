package sts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/oidc"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

const issuer = "id.example.com/realm"

// tokens are the tokens of an identity provider: each is a key of the map. Package
// oidc has the tests of what a real one must be.
type tokens map[string]*oidc.Claims

// Verify implements sts.Tokens.
func (x tokens) Verify(_ context.Context, token secret.Value, known func(string) ([]string, bool)) (*oidc.Claims, error) {
	c := x[strings.TrimPrefix(string(token.Reveal()), "jwt ")]
	if c == nil {
		return nil, oidc.Invalid("The ID Token provided is not a valid JWT")
	}
	if clients, ok := known(c.Issuer); !ok || len(clients) == 0 {
		return nil, oidc.Invalid("No OpenIDConnect provider found in your account for https://%s", c.Issuer)
	}
	return c, nil
}

func claims(sub string, amr ...string) *oidc.Claims {
	return &oidc.Claims{Issuer: issuer, Subject: sub, Audience: "sts.amazonaws.com", AMR: amr}
}

func (w *world) web(t *testing.T, in *api.AssumeRoleWithWebIdentityInput) (*api.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	if in.RoleSessionName == nil {
		in.RoleSessionName = new("pod-1")
	}
	if in.WebIdentityToken != nil {
		in.WebIdentityToken = new("jwt " + *in.WebIdentityToken)
	}
	return do[api.AssumeRoleWithWebIdentityOutput](t, w, call.Principal{}, "AssumeRoleWithWebIdentity", in)
}

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	t.Parallel()
	tagged := claims("tagged")
	tagged.Tags, tagged.TransitiveTags, tagged.SourceIdentity = map[string]string{"team": "core"}, []string{"team"}, "ana"
	bad := claims("badly-tagged")
	bad.Tags = map[string]string{"aws:team": "core"}
	loose := claims("loose")
	loose.TransitiveTags = []string{"team"}
	odd := claims("odd")
	odd.SourceIdentity = "a b"
	w := newWorld(t, tokens{
		"app": claims("system:serviceaccount:team:app"), "other": claims("system:serviceaccount:team:other"), "mfa": claims("person", "pwd", "mfa"),
		"person": claims("person", "pwd"), "tagged": tagged, "bad": bad, "loose": loose, "odd": odd,
		"foreign": {Issuer: "evil.example.com", Subject: "system:serviceaccount:team:app", Audience: "sts.amazonaws.com"},
	})
	_, err := w.CreateOIDCProvider(t.Context(), home, identity.NewOIDCProvider{URL: "https://" + issuer, ClientIDs: []string{"sts.amazonaws.com"}})
	must(t, err)
	trust := func(actions, cond string) string {
		return policyOf("Allow", actions, `"Principal":{"Federated":"arn:aws:iam::`+home+`:oidc-provider/`+issuer+`"}`+cond)
	}
	const web = `"sts:AssumeRoleWithWebIdentity"`
	var x table
	for _, r := range []struct{ name, trust string }{
		{"any", trust(web, "")},
		{"sub", trust(web, `,"Condition":{"StringEquals":{"`+issuer+`:sub":"system:serviceaccount:team:app","`+issuer+`:aud":"sts.amazonaws.com"}}`)},
		{"aud", trust(web, `,"Condition":{"StringEquals":{"`+issuer+`:aud":"somebody-else"}}`)},
		{"amr", trust(web, `,"Condition":{"ForAnyValue:StringEquals":{"`+issuer+`:amr":"mfa"}}`)},
		{"name", trust(web, `,"Condition":{"StringEquals":{"sts:RoleSessionName":"pod-2"}}`)},
		{"tags", trust(`["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`, "")},
		{"signed", trusting("arn:aws:iam::" + home + ":root")},
		{"everybody", policyOf("Allow", web, `"Principal":"*"`)},
		{"google", policyOf("Allow", web, `"Principal":{"Federated":"accounts.google.com"}`)},
	} {
		w.role(t, home, r.name, r.trust, policyOf("Allow", `"bedrock:*"`, `"Resource":"*"`), 0)
		w.role(t, other, r.name, r.trust, "", 0)
		for _, token := range []string{"app", "other", "person", "mfa", "tagged", "bad", "loose", "odd", "foreign", "none"} {
			out, err := w.web(t, &api.AssumeRoleWithWebIdentityInput{RoleArn: new("arn:aws:iam::" + home + ":role/" + r.name), WebIdentityToken: new(token)})
			said := ""
			if err == nil {
				p := w.become(t, out.Credentials)
				said = p.ARN + " of " + *out.SubjectFromWebIdentityToken + ", " + carriedOr(p)
				if *out.Provider != "arn:aws:iam::"+home+":oidc-provider/"+issuer || *out.Audience != "sts.amazonaws.com" || p.Session.Provider != issuer || !w.may(t, p, "bedrock:InvokeModel") {
					t.Errorf("answer %+v, principal %+v", out, p)
				}
			}
			x.row(err, said, "role %s, token %s", r.name, token)
		}
	}
	for _, role := range []string{"arn:aws:iam::" + home + ":role/absent", "arn:aws:iam::" + other + ":role/any", "nothing", "arn:aws:iam::" + home + ":user/x"} {
		_, err := w.web(t, &api.AssumeRoleWithWebIdentityInput{RoleArn: new(role), WebIdentityToken: new("app")})
		x.row(err, "", "role %s", role)
	}
	arn := new("arn:aws:iam::" + home + ":role/any")
	for _, in := range []api.AssumeRoleWithWebIdentityInput{
		{RoleArn: arn, WebIdentityToken: new("app"), ProviderId: new("graph.facebook.com")},
		{RoleArn: arn, WebIdentityToken: new("app"), DurationSeconds: new(int32(899))},
		{RoleArn: arn, WebIdentityToken: new("app"), DurationSeconds: new(int32(3601))},
		{RoleArn: arn, WebIdentityToken: new("app"), Policy: new("{")},
		{RoleArn: arn},
		{WebIdentityToken: new("app")},
	} {
		_, err := w.web(t, &in)
		x.row(err, "", "with provider id %t, seconds %d, policy %t, role %t", in.ProviderId != nil, deref(in.DurationSeconds), in.Policy != nil, in.RoleArn != nil)
	}
	x.check(t, "web")
}

func deref(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// A session of a web identity ends like any other, and a server that trusts no
// issuer makes none.
func TestWebIdentityEdges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tokens{"app": claims("app")})
	p, err := w.CreateOIDCProvider(t.Context(), home, identity.NewOIDCProvider{URL: "https://" + issuer, ClientIDs: []string{"sts.amazonaws.com"}})
	must(t, err)
	role := w.role(t, home, "any", policyOf("Allow", `"sts:AssumeRoleWithWebIdentity"`, `"Principal":{"Federated":"`+p.ARN()+`"}`), "", 12*time.Hour)
	in := &api.AssumeRoleWithWebIdentityInput{RoleArn: new(role.ARN()), WebIdentityToken: new("app"), DurationSeconds: new(int32(43200)), Policy: new(allowAll)}
	out, err := w.web(t, in)
	must(t, err)
	if got := w.lived(t, out.Credentials); got != "43200 s" || out.PackedPolicySize == nil {
		t.Errorf("lived %s, packed %v", got, out.PackedPolicySize)
	}
	none := newWorld(t, nil)
	in.WebIdentityToken = new("app")
	_, err = none.web(t, in)
	refused(t, err, "InvalidIdentityToken", "")

	// Trouble of the issuer reaches the client as what it is.
	broken := newWorld(t, failing{})
	_, err = broken.web(t, in)
	refused(t, err, "IDPCommunicationError", "")
}

type failing struct{}

func (failing) Verify(context.Context, secret.Value, func(string) ([]string, bool)) (*oidc.Claims, error) {
	return nil, apierr.New("IDPCommunicationError", 400, "no answer").WithCause(errors.New("connection refused"))
}
