package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	org "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	stsapi "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// withRoutes binds more operations.
func withRoutes(more ...service.Route) func(*gateway.Config) {
	return func(c *gateway.Config) { c.Routes = append(c.Routes, more...) }
}

// postRoot sends a body to the root, signed for a service unless that is "".
func (f *fixture) postRoot(t *testing.T, signFor, body string, header ...string) answer {
	t.Helper()
	a := &attempt{f: f, body: []byte(body)}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if signFor != "" {
		if err := sigv4.Sign(r, a.body, f.credentials(), "us-east-1", signFor, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	a.r = r
	got, _ := a.send(t)
	return got
}

const (
	jsonType = "application/x-amz-json-1.1"
	formType = "application/x-www-form-urlencoded"
)

func TestJSONServices(t *testing.T) {
	t.Parallel()
	joined := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := start(t, withRoutes(
		service.Bind(org.OpDescribeAccount, func(_ context.Context, c *call.Call, in *org.DescribeAccountInput) (*org.DescribeAccountOutput, error) {
			if *in.AccountId == "000000000000" {
				return nil, apierr.New("AccountNotFoundException", 404, "no such account").WithField("Reason", "NONE")
			}
			return &org.DescribeAccountOutput{Account: &org.Account{Id: in.AccountId, Name: &c.Service, JoinedTimestamp: &joined}}, nil
		}),
		service.Bind(org.OpDeleteOrganization, func(context.Context, *call.Call, *org.DeleteOrganizationInput) (*org.DeleteOrganizationOutput, error) {
			return &org.DeleteOrganizationOutput{}, nil
		}),
	))
	const target = "AWSOrganizationsV20161128."
	describe := func(id string) answer {
		return f.postRoot(t, "organizations", `{"AccountId":"`+id+`"}`, "X-Amz-Target", target+"DescribeAccount", "Content-Type", jsonType)
	}
	got := describe("123456789012")
	want := `{"Account":{"Id":"123456789012","Name":"organizations","JoinedTimestamp":1767323045}}`
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != jsonType {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	got = describe("000000000000")
	want = `{"__type":"AccountNotFoundException","Message":"no such account","Reason":"NONE"}`
	if got.status != 400 || got.body != want || got.code != "AccountNotFoundException" || got.header.Get("Content-Type") != jsonType {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if got = describe("12"); got.status != 400 || got.code != apierr.CodeValidation || !strings.Contains(got.message, "'accountId'") {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = f.postRoot(t, "organizations", "{}", "X-Amz-Target", target+"DeleteOrganization", "Content-Type", jsonType)
	if got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "0" {
		t.Errorf("no output: %d %v %s", got.status, got.header, got.body)
	}
	if got = f.postRoot(t, "organizations", "{}", "X-Amz-Target", target+"ListRoots", "Content-Type", jsonType); got.status != 501 || got.code != apierr.CodeNotImplemented {
		t.Errorf("without a handler: %d %s", got.status, got.body)
	}
	if got = f.postRoot(t, "sts", "{}", "X-Amz-Target", target+"ListRoots", "Content-Type", jsonType); got.status != 400 || got.code != apierr.CodeInvalidSignature {
		t.Errorf("signed for another service: %d %s", got.status, got.body)
	}
	if got = f.postRoot(t, "", "{}", "X-Amz-Target", target+"ListRoots", "Content-Type", jsonType); got.status != 400 || got.code != apierr.CodeMissingAuth {
		t.Errorf("unsigned: %d %s", got.status, got.body)
	}
}

func TestJSONTargets(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, c := range []struct {
		name   string
		header []string
		code   string
		status int
	}{
		{"an operation that is not there", []string{"X-Amz-Target", "AWSOrganizationsV20161128.Fly"}, apierr.CodeUnknownOperation, 404},
		{"another case", []string{"X-Amz-Target", "AWSOrganizationsV20161128.listroots"}, apierr.CodeUnknownOperation, 404},
		{"a service that is not there", []string{"X-Amz-Target", "TrentService.ListKeys"}, apierr.CodeUnknownOperation, 404},
		{"a query service", []string{"X-Amz-Target", "sts.GetCallerIdentity"}, apierr.CodeUnknownOperation, 404},
		{"no dot", []string{"X-Amz-Target", "ListRoots"}, apierr.CodeUnknownOperation, 404},
		{"empty", []string{"X-Amz-Target", ""}, apierr.CodeUnknownOperation, 404},
		{"no prefix", []string{"X-Amz-Target", ".ListRoots"}, apierr.CodeUnknownOperation, 404},
		{"twice", []string{"X-Amz-Target", "AWSOrganizationsV20161128.ListRoots", "X-Amz-Target", "AWSOrganizationsV20161128.ListRoots"}, apierr.CodeValidation, 400},
		{"none", nil, apierr.CodeUnknownOperation, 404},
	} {
		got := f.postRoot(t, "organizations", "{}", append(c.header, "Content-Type", jsonType)...)
		if got.status != c.status || got.code != c.code {
			t.Errorf("%s: %d %s %s", c.name, got.status, got.code, got.body)
		}
		if c.header != nil && !strings.Contains(got.body, `"__type":"`+c.code+`"`) {
			t.Errorf("%s: %s", c.name, got.body)
		}
	}
	// A form is of a query service, whatever else the request says.
	got := f.postRoot(t, "sts", "Action=GetCallerIdentity&Version=2011-06-15", "X-Amz-Target", "AWSOrganizationsV20161128.ListRoots", "Content-Type", formType)
	if got.status != 200 || !strings.Contains(got.body, "<GetCallerIdentityResult>") {
		t.Errorf("a form: %d %s", got.status, got.body)
	}
}

// The credential scope tells which query service is meant.
func TestQueryServices(t *testing.T) {
	t.Parallel()
	f := start(t, withRoutes(service.Bind(iam.OpDeleteUser, func(_ context.Context, _ *call.Call, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
		if *in.UserName == "nobody" {
			return nil, apierr.New("NoSuchEntity", 404, "The user with name nobody cannot be found.")
		}
		return &iam.DeleteUserOutput{}, nil
	})))
	for _, c := range []struct {
		scope, form string
		status      int
		want        string
	}{
		{"iam", "Action=DeleteUser&Version=2010-05-08&UserName=u", 200, `<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata>`},
		{"iam", "Action=DeleteUser&UserName=nobody", 404, "<Type>Sender</Type><Code>NoSuchEntity</Code>"},
		{"iam", "Action=DeleteUser&Version=2010-05-08", 400, "<Code>ValidationError</Code>"},
		{"iam", "Action=DeleteUser&Version=2011-06-15&UserName=u", 400, "<Code>NoSuchVersion</Code>"},
		{"iam", "Action=GetCallerIdentity&Version=2010-05-08", 400, "<Code>InvalidAction</Code>"},
		{"iam", "Version=2010-05-08", 400, "<Code>InvalidAction</Code>"},
		{"iam", "Action=Fly", 400, "<Code>InvalidAction</Code>"},
		{"iam", "Action=ListUsers&a;b", 400, "<Code>MalformedQueryString</Code>"},
		{"iam", "Action=ListUsers", 501, "<Code>NotImplementedException</Code>"},
		{"sts", "Action=DeleteUser&Version=2011-06-15&UserName=u", 400, "<Code>InvalidAction</Code>"},
		{"organizations", "Action=ListRoots", 403, "<Code>SignatureDoesNotMatch</Code>"},
	} {
		got := f.postRoot(t, c.scope, c.form, "Content-Type", formType)
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s %s: %d %s", c.scope, c.form, got.status, got.body)
		}
	}
}

// Only operations whose body proves the caller are heard without a signature.
func TestUnsignedQuery(t *testing.T) {
	t.Parallel()
	f := start(t, withRoutes(
		service.Bind(stsapi.OpAssumeRoleWithWebIdentity, func(_ context.Context, c *call.Call, in *stsapi.AssumeRoleWithWebIdentityInput) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
			return &stsapi.AssumeRoleWithWebIdentityOutput{Audience: in.WebIdentityToken, Provider: &c.Principal.Account}, nil
		}),
	))
	const web = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=se&WebIdentityToken=abcd"
	if got := f.postRoot(t, "", web, "Content-Type", formType); got.status != 200 || !strings.Contains(got.body, "<Provider></Provider><Audience>abcd</Audience>") {
		t.Errorf("unsigned: %d %s", got.status, got.body)
	}
	if got := f.postRoot(t, "sts", web, "Content-Type", formType); got.status != 200 || !strings.Contains(got.body, "<Provider>"+account+"</Provider>") {
		t.Errorf("signed: %d %s", got.status, got.body)
	}
	if got := f.postRoot(t, "", "Action=AssumeRoleWithSAML&Version=2011-06-15", "Content-Type", formType); got.status != 501 {
		t.Errorf("without a handler: %d %s", got.status, got.body)
	}
	for name, form := range map[string]string{
		"an operation that needs a signature": "Action=GetCallerIdentity&Version=2011-06-15",
		"IAM":                                 "Action=ListUsers&Version=2010-05-08",
		"no version":                          "Action=AssumeRoleWithWebIdentity",
		"the version of IAM":                  "Action=AssumeRoleWithWebIdentity&Version=2010-05-08",
		"another case":                        "Action=assumerolewithwebidentity&Version=2011-06-15",
		"no action":                           "Version=2011-06-15",
		"a broken form":                       web + "&%zz=1",
		"the action twice":                    web + "&Action=GetCallerIdentity",
		"nothing":                             "",
	} {
		if got := f.postRoot(t, "", form, "Content-Type", formType); got.status != 403 || got.code != "MissingAuthenticationToken" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	got := f.postRoot(t, "", web+strings.Repeat("x", 64<<10), "Content-Type", formType)
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: %d %s", got.status, got.body)
	}
}

// jsonCodec finds no idempotency tokens: that holds as long as no operation of
// these protocols has one.
func TestJSONServicesHaveNoTokens(t *testing.T) {
	t.Parallel()
	for _, s := range services() {
		if s.Protocol != "json" {
			continue
		}
		for i := range s.Operations {
			for _, m := range s.Shape(s.Operations[i].Input).Members {
				if m.IdempotencyToken {
					t.Errorf("%s of %s has the token %s", s.Operations[i].Name, s.Name, m.Name)
				}
			}
		}
	}
}
