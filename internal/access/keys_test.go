package access_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// TestKeys writes the condition keys that each caller has, as the reason of a
// refusal tells them, and compares with testdata/keys.golden.
func TestKeys(t *testing.T) {
	t.Parallel()
	pair := regexp.MustCompile(`\{"key":"([^"]*)","values":\{"items":\[\{"value":"([^"]*)"\}\]`)
	var out strings.Builder
	for _, who := range []string{"alice", "alice+mfa", "alice+session", "app", "app+mfa", "app+web", "root", "fred", "short", "long"} {
		w := world()
		w.Principal, w.Now = callers()[who], time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		w.Source = call.Source{Listener: "public", TLS: true, UserAgent: "sdk/1", Referer: "https://example.com/", VPC: "vpc-1"}
		if who == "app" {
			w.Source.VPCE = "vpce-1"
		}
		w.OrgID, w.OrgPath = "o-abcdefghij", "o-abcdefghij/r-ab12/"
		w.PrincipalTags, w.ResourceTags = map[string]string{"Team": "red", "cost": ""}, map[string]string{"Class": "public"}
		w.Keys = map[string][]string{"bedrock:servicetier": {"flex"}, "aws:principalarn": {"arn:aws:iam::" + accesstest.Home + ":user/forged"}}
		w.Identity = []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`}
		c := compile(t, w)
		a := access.New(access.Config{
			Principals: c, Resources: map[string]access.Resources{"bedrock": c}, Seal: seal, Now: func() time.Time { return w.Now },
		})
		cl, need := c.Call()
		_, encoded, _ := strings.Cut(a.Authorize(t.Context(), cl, need).Error(), ". Encoded authorization failure message: ")
		plain, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n", who)
		for _, m := range pair.FindAllStringSubmatch(string(plain), -1) {
			fmt.Fprintf(&out, "\t%s=%s\n", m[1], m[2])
		}
	}
	const file = "testdata/keys.golden"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestCallMFA lets a call itself carry a one-time code, as AssumeRole does.
func TestCallMFA(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := world()
	w.Now = now
	w.Identity = []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*",` +
		`"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"60"}}}]}`}
	c := compile(t, w)
	for proved, want := range map[time.Time]bool{{}: false, now.Add(-time.Second): true, now.Add(-time.Minute): false} {
		cl, need := c.Call()
		cl.MFA = proved
		if err := c.Authorizer().Authorize(t.Context(), cl, need); (err == nil) != want {
			t.Errorf("proved at %v: %v", proved, err)
		}
	}
}

// TestUnfit has credentials that an API does not take at all.
func TestUnfit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who, action string
		want        string // code, "" for allowed
	}{
		{"fred", "iam:GetUser", apierr.CodeUnrecognizedClient},
		{"fred", "sts:GetAccessKeyInfo", apierr.CodeUnrecognizedClient},
		{"fred", "sts:GetCallerIdentity", ""},
		{"fred", "bedrock:ListGuardrails", ""},
		{"alice+session", "iam:GetUser", apierr.CodeUnrecognizedClient},
		{"alice+session", "bedrock:ListGuardrails", ""},
		{"alice+mfa", "iam:GetUser", ""},
		{"alice", "iam:GetUser", ""},
		{"app", "iam:GetUser", ""},
	} {
		w := world()
		w.Principal, w.Action, w.Resource = callers()[c.who], c.action, "*"
		w.Identity, w.Session = []string{allowAll}, []string{allowAll}
		k := compile(t, w)
		cl, need := k.Call()
		err := k.Authorizer().Authorize(t.Context(), cl, need)
		e, refused := errors.AsType[*apierr.Error](err)
		if (err == nil) != (c.want == "") || refused && e.Code != c.want || !cl.Decision.Made || cl.Decision.Allowed != (err == nil) {
			t.Errorf("%s, %s: %v, %+v", c.who, c.action, err, cl.Decision)
		}
	}
}

// perAccount gives everybody what the name of the account says.
type perAccount map[string]*access.Policies

func (p perAccount) Policies(_ context.Context, who *call.Principal) (*access.Policies, error) {
	return p[who.Account], nil
}

// TestConcurrent decides for many accounts at once: no fact of one call reaches
// another.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const accounts = 20
	who := perAccount{}
	for i := range accounts {
		account := fmt.Sprintf("%012d", i)
		d, err := policy.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:*","Resource":"arn:aws:bedrock:*:%s:guardrail/${aws:PrincipalTag/name}",
			"Condition":{"StringEquals":{"aws:PrincipalAccount":"%[1]s","aws:username":"u%[1]s","aws:ResourceAccount":"%[1]s"}}}]}`, account), policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		who[account] = &access.Policies{Identity: []*policy.Document{d}, Tags: map[string]string{"name": "g" + account}}
	}
	a := access.New(access.Config{Principals: who})
	var all sync.WaitGroup
	for i := range accounts {
		account := fmt.Sprintf("%012d", i)
		all.Go(func() {
			for j := range 500 {
				other := fmt.Sprintf("%012d", (i+j)%accounts)
				c := &call.Call{Region: "us-east-1", Principal: call.Principal{
					Type: call.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/u" + account, Name: "u" + account,
				}}
				err := a.Authorize(t.Context(), c, call.Need{Action: "bedrock:GetGuardrail", Resources: []string{"arn:aws:bedrock:us-east-1:" + account + ":guardrail/g" + other}})
				if (err == nil) != (other == account) {
					t.Errorf("%s on the guardrail of %s: %v", account, other, err)
					return
				}
			}
		})
	}
	all.Wait()
}
