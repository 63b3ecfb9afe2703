package access_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	denyOne  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},` +
		`{"Sid":"NoGuardrails","Effect":"Deny","Action":"bedrock:GetGuardrail","Resource":["*"],"Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`
	denyEveryone = `{"Version":"2012-10-17","Statement":[{"Sid":"Secret","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`
)

// seal is a Config.Seal that hides nothing.
func seal(plain []byte) string { return base64.RawURLEncoding.EncodeToString(plain) }

// refused authorises and returns the refusal.
func refused(t *testing.T, w *accesstest.World) (message, encoded string) {
	t.Helper()
	c := compile(t, w)
	a := access.New(access.Config{Principals: c, Resources: map[string]access.Resources{"bedrock": c}, Seal: seal})
	cl, need := c.Call()
	err := a.Authorize(t.Context(), cl, need)
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != apierr.CodeAccessDenied || e.HTTPStatus() != 403 {
		t.Fatalf("got %v, want AccessDeniedException", err)
	}
	if d := cl.Decision; !d.Made || d.Allowed || d.By == "" {
		t.Errorf("the decision is %+v", d)
	}
	message, encoded, _ = strings.Cut(e.Message, ". Encoded authorization failure message: ")
	return message, encoded
}

// world is alice with policies before a guardrail.
func world() *accesstest.World {
	return &accesstest.World{
		Principal: callers()["alice"], Region: "us-east-1", Action: "bedrock:GetGuardrail", Resource: targets["guardrail"],
		Source: call.Source{TLS: true, UserAgent: strings.Repeat("agent ", 100)},
	}
}

// TestReason opens the encoded reason of refusals.
func TestReason(t *testing.T) {
	t.Parallel()
	type items struct {
		Items []struct{ Key, Value string }
	}
	type decoded struct {
		Allowed, ExplicitDeny bool
		MatchedStatements     struct {
			Items []struct {
				StatementID, Effect                             string
				Principals, Actions, Resources, PrincipalGroups *items
				Conditions                                      *items
			}
		}
		Failures *items
		Context  struct {
			Principal        struct{ ID, Name, ARN string }
			Action, Resource string
			Conditions       struct {
				Items []struct {
					Key    string
					Values items
				}
			}
		}
	}
	open := func(t *testing.T, w *accesstest.World) (string, decoded) {
		t.Helper()
		message, encoded := refused(t, w)
		plain, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{accesstest.Other, "", "11112222333"} {
			if _, err := access.DecodeReason(plain, other); !errors.Is(err, access.ErrReason) {
				t.Errorf("the reason opens to account %q: %v", other, err)
			}
		}
		text, err := access.DecodeReason(plain, accesstest.Home)
		if err != nil {
			t.Fatal(err)
		}
		var d decoded
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if len(encoded) > 10_240 {
			t.Errorf("the encoded reason has %d characters", len(encoded))
		}
		return message, d
	}
	condition := func(d decoded, key string) string {
		for _, c := range d.Context.Conditions.Items {
			if c.Key == key {
				return c.Values.Items[0].Value
			}
		}
		return ""
	}

	t.Run("implicit", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.ResourceTags, w.PrincipalTags = map[string]string{"Team": "red"}, map[string]string{"Team": "blue"}
		w.Keys = map[string][]string{"bedrock:servicetier": {"default"}}
		message, d := open(t, w)
		want := "User: " + w.Principal.ARN + " is not authorized to perform: bedrock:GetGuardrail on resource: " + w.Resource +
			" because no identity-based policy allows the bedrock:GetGuardrail action"
		if message != want {
			t.Errorf("got %q, want %q", message, want)
		}
		if d.Allowed || d.ExplicitDeny || len(d.MatchedStatements.Items) != 0 || d.Failures.Items == nil {
			t.Errorf("got %+v", d)
		}
		p := d.Context.Principal
		if p.ID != w.Principal.UserID || p.ARN != w.Principal.ARN || p.Name != "alice" || d.Context.Action != w.Action || d.Context.Resource != w.Resource {
			t.Errorf("got %+v", d.Context)
		}
		for key, want := range map[string]string{
			"aws:RequestedRegion": "us-east-1", "aws:SecureTransport": "true", "aws:ResourceTag/Team": "red", "aws:PrincipalTag/Team": "blue",
			"bedrock:servicetier": "default", "aws:MultiFactorAuthPresent": "", "aws:PrincipalArn": w.Principal.ARN,
		} {
			if got := condition(d, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		if got := condition(d, "aws:UserAgent"); len(got) > 300 || !strings.HasPrefix(got, "agent ") {
			t.Errorf("aws:UserAgent has %d bytes", len(got))
		}
	})
	t.Run("everything", func(t *testing.T) {
		t.Parallel()
		for action, want := range map[string]string{
			"bedrock:ListGuardrails": "perform: bedrock:ListGuardrails because no identity-based policy allows the bedrock:ListGuardrails action",
			"iam:GetAccountSummary":  "perform: iam:GetAccountSummary on resource: * because no identity-based policy allows the iam:GetAccountSummary action",
		} {
			w := world()
			w.Action, w.Resource = action, "*"
			if message, _ := open(t, w); !strings.HasSuffix(message, want) {
				t.Errorf("got %q, want %q", message, want)
			}
		}
	})
	t.Run("explicit", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.Identity = []string{allowAll, denyOne}
		message, d := open(t, w)
		if !strings.HasSuffix(message, " with an explicit deny in an identity-based policy") || !d.ExplicitDeny {
			t.Errorf("got %q, %+v", message, d)
		}
		m := d.MatchedStatements.Items
		if len(m) != 1 || m[0].StatementID != "NoGuardrails" || m[0].Effect != "DENY" || m[0].Actions.Items[0].Value != "bedrock:GetGuardrail" ||
			m[0].Resources.Items[0].Value != "*" || m[0].Conditions.Items[0].Key != "aws:SecureTransport" ||
			m[0].Principals.Items[0].Value != w.Principal.UserID || m[0].PrincipalGroups.Items == nil {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("others' policies stay theirs", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.Identity, w.ResourcePolicy = []string{allowAll}, denyEveryone
		w.ResourceTags = map[string]string{"Team": "red"}
		if _, d := open(t, w); d.MatchedStatements.Items[0].StatementID != "Secret" || condition(d, "aws:ResourceTag/Team") != "red" {
			t.Errorf("the own account's policy is not told: %+v", d)
		}
		w.Owner = accesstest.Other
		if _, d := open(t, w); len(d.MatchedStatements.Items) != 1 || d.MatchedStatements.Items[0].StatementID != "" ||
			len(d.MatchedStatements.Items[0].Actions.Items) != 0 || condition(d, "aws:ResourceTag/Team") != "" {
			t.Errorf("another account's policy is told: %+v", d)
		}
		w = world()
		w.Control = [][]string{{denyOne}}
		if _, d := open(t, w); len(d.MatchedStatements.Items) != 1 || d.MatchedStatements.Items[0].StatementID != "" {
			t.Errorf("the organisation's policy is told: %+v", d)
		}
	})
	t.Run("long", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.ResourceTags = map[string]string{}
		for i := range 50 {
			w.ResourceTags["tag"+strings.Repeat("x", i)] = strings.Repeat("v", 256)
		}
		w.Identity = []string{denyOne}
		if _, d := open(t, w); len(d.Context.Conditions.Items) != 0 || d.MatchedStatements.Items[0].StatementID != "NoGuardrails" {
			t.Errorf("got %+v", d)
		}
	})
}

// TestAuthorizeNeeds asks for more than one thing.
func TestAuthorizeNeeds(t *testing.T) {
	t.Parallel()
	const passing = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:*","Resource":"*"},` +
		`{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"bedrock.amazonaws.com","bedrock:ServiceTier":"flex"}}}]}`
	for _, c := range []struct {
		name  string
		needs []call.Need
		want  string // action that is refused
	}{
		{"none", nil, ""},
		{"its own keys", []call.Need{{Action: "iam:PassRole", Resources: []string{targets["role"]}, Keys: map[string][]string{"iam:passedtoservice": {"bedrock.amazonaws.com"}}}}, ""},
		{"another's keys", []call.Need{{Action: "bedrock:TagResource", Keys: map[string][]string{"iam:passedtoservice": {"bedrock.amazonaws.com"}}}, {Action: "iam:PassRole"}}, "iam:PassRole"},
		{"the last", []call.Need{{Action: "bedrock:ApplyGuardrail"}, {Action: "s3:GetObject"}}, "s3:GetObject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world()
			w.Identity, w.Keys = []string{passing}, map[string][]string{"bedrock:servicetier": {"flex"}}
			k := compile(t, w)
			cl, need := k.Call()
			cl.Needs = c.needs
			err := k.Authorizer().Authorize(t.Context(), cl, need)
			if c.want == "" {
				if err != nil || !cl.Decision.Allowed || cl.Decision.By != "identity-based policy" {
					t.Errorf("got %v, %+v", err, cl.Decision)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "perform: "+c.want+" ") || cl.Decision.Allowed {
				t.Errorf("got %v, %+v, want a refusal of %s", err, cl.Decision, c.want)
			}
		})
	}
}

// broken is a directory that fails.
type broken struct{}

var errBroken = errors.New("the directory is gone")

func (broken) Policies(context.Context, *call.Principal) (*access.Policies, error) {
	return nil, errBroken
}

func (broken) Resource(context.Context, string, string) (access.Resource, error) {
	return access.Resource{}, errBroken
}

// TestTrouble makes what decisions depend on fail: nothing is allowed, nothing is
// decided, and it is no refusal.
func TestTrouble(t *testing.T) {
	t.Parallel()
	w := world()
	w.Identity = []string{allowAll}
	good := compile(t, w)
	for name, c := range map[string]struct {
		cfg    access.Config
		policy string
	}{
		"policies":  {cfg: access.Config{Principals: broken{}}},
		"resources": {cfg: access.Config{Principals: good, Resources: map[string]access.Resources{"bedrock": broken{}}}},
		"endpoint":  {cfg: access.Config{Principals: good}, policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl, need := good.Call()
			if c.policy != "" {
				cl.Source.EndpointPolicy = []byte(c.policy)
			}
			err := access.New(c.cfg).Authorize(t.Context(), cl, need)
			if _, refused := errors.AsType[*apierr.Error](err); err == nil || refused || cl.Decision.Made {
				t.Errorf("got %v, %+v", err, cl.Decision)
			}
			if c.policy == "" && !errors.Is(err, errBroken) {
				t.Errorf("the cause is lost: %v", err)
			}
			r := access.Request{Principal: w.Principal, Action: w.Action, Resource: w.Resource, Source: cl.Source}
			if _, err := access.New(c.cfg).Decide(t.Context(), r); err == nil || errors.Is(err, errBroken) != (c.policy == "") {
				t.Errorf("Decide says %v", err)
			}
		})
	}
}

// TestOpen compares the list of open actions with what is open to nobody.
func TestOpen(t *testing.T) {
	t.Parallel()
	open := map[string]bool{}
	for _, a := range access.OpenActions() {
		open[a] = true
	}
	if len(open) != 4 {
		t.Errorf("open are %v", open)
	}
	for _, a := range []string{
		"sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoot", "sts:DecodeAuthorizationMessage",
		"sts:GetAccessKeyInfo", "sts:GetCallerIdentity", "sts:GetFederationToken", "sts:GetServiceBearerToken", "sts:GetSessionToken", "sts:TagSession",
		"iam:GetUser", "iam:ChangePassword", "bedrock:ListFoundationModels", "bedrock:InvokeModel", "organizations:DescribeOrganization", "",
	} {
		for who, p := range map[string]call.Principal{"nobody": {}, "somebody without rights": callers()["alice"]} {
			c := &call.Call{Principal: p}
			err := new(access.Authorizer).Authorize(t.Context(), c, call.Need{Action: a})
			if (err == nil) != open[a] || c.Decision.Open != open[a] || c.Decision.Allowed != open[a] || !c.Decision.Made {
				t.Errorf("%q is decided for %s: %v, %+v", a, who, err, c.Decision)
			}
		}
		c := &call.Call{Principal: callers()["alice"], Needs: []call.Need{{Action: "iam:PassRole"}}}
		if err := new(access.Authorizer).Authorize(t.Context(), c, call.Need{Action: a}); err == nil {
			t.Errorf("%q with a need is open", a)
		}
	}
}
