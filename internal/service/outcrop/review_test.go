package outcrop_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/outcrop"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

const (
	other  = "444455556666"
	haiku  = "anthropic.claude-3-haiku-20240307-v1:0"
	titan  = "amazon.titan-text-lite-v1"
	member = "arn:aws:iam::444455556666:user/ana"
)

// installation is a service over stores in memory; account manages it.
type installation struct {
	*identity.Directory
	agreements *agreement.Service
	catalog    *catalog.Catalog
	ops        map[string]service.Route
	now        time.Time
}

func install(t *testing.T) *installation {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	n := &installation{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return n.now }
	records := new(recordtest.Store)
	n.Directory, err = identity.Open(t.Context(), identity.Config{
		Records: records, Keys: keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: now}), Root: root, Management: account, Now: now,
	})
	must(t, err)
	n.agreements, err = agreement.Open(t.Context(), agreement.Config{Records: records, Default: account, Now: now})
	must(t, err)
	n.catalog, err = catalog.New(catalog.Options{StandIns: true})
	must(t, err)
	n.ops = operations(outcrop.New(outcrop.Config{
		Directory: n.Directory, Analyzer: analyze.New(analyze.Config{Directory: n.Directory, Now: now}), Agreements: n.agreements, Catalog: n.catalog, Now: now,
	}))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask calls an operation as the root of an account, as the gateway does.
func ask[In, Out any](t *testing.T, n *installation, op awsapi.Op[In, Out], as string, in *In) (*Out, *call.Call, error) {
	t.Helper()
	c := &call.Call{Region: "us-east-1", Principal: call.Principal{Type: call.Root, Account: as, ARN: "arn:aws:iam::" + as + ":root"}}
	r := n.ops[op.Operation.Name]
	if r.Resources != nil {
		if _, err := r.Resources(context.Background(), c, in); err != nil {
			return nil, c, err
		}
	}
	out, err := r.Serve(t.Context(), c, in)
	if err != nil {
		return nil, c, err
	}
	return out.(*Out), c, nil
}

func code(err error) string {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestReview(t *testing.T) {
	t.Parallel()
	n, ctx := install(t), t.Context()
	u, err := n.CreateUser(ctx, account, identity.NewUser{Name: "ana"})
	must(t, err)
	must(t, n.AttachPolicy(ctx, account, identity.TypeUser, "ana", "arn:aws:iam::aws:policy/AdministratorAccess"))
	k, err := n.CreateAccessKey(ctx, account, "ana", "us-east-1")
	must(t, err)
	n.now = n.now.Add(100 * 24 * time.Hour)
	out, _, err := ask(t, n, api.OpGetAccessReview, account, &api.GetAccessReviewInput{})
	must(t, err)
	var types []string
	for _, f := range out.Findings {
		types = append(types, string(*f.Type))
		if *f.Resource != u.ARN() || *f.Advice == "" || f.IsPublic != nil || strings.HasSuffix(string(*f.Type), "_KEY") != (f.AccessKeyId != nil && *f.AccessKeyId == k.ID) {
			t.Errorf("finding %+v", f)
		}
	}
	if !slices.Equal(types, []string{"WILDCARD", "UNUSED_ACCESS_KEY", "OLD_ACCESS_KEY", "UNUSED_USER"}) || *out.UnusedDays != 90 || !out.Since.Equal(n.now.Add(-90*24*time.Hour)) {
		t.Errorf("found %v since %v", types, out.Since)
	}
	if out, _, err := ask(t, n, api.OpGetAccessReview, account, &api.GetAccessReviewInput{UnusedDays: new(int32(101))}); err != nil || len(out.Findings) != 2 {
		t.Errorf("with 101 days %+v, %v", out, err)
	}
	if out, _, err := ask(t, n, api.OpGetAccessReview, other, &api.GetAccessReviewInput{}); err != nil || len(out.Findings) != 0 || out.Findings == nil {
		t.Errorf("another account sees %+v, %v", out, err)
	}
	generate := func(as, arn string) (*api.GenerateLeastPrivilegePolicyOutput, error) {
		out, _, err := ask(t, n, api.OpGenerateLeastPrivilegePolicy, as, &api.GenerateLeastPrivilegePolicyInput{PrincipalArn: &arn, Days: new(int32(10))})
		return out, err
	}
	if g, err := generate(account, u.ARN()); err != nil || g.PolicyDocument != nil || len(g.UsedActions) != 0 || len(g.UnusedActions) < 500 {
		t.Errorf("of nothing %+v, %v", g, err)
	}
	n.Acted(&call.Principal{Type: call.User, Account: account, UserID: u.ID}, n.now, call.Need{Action: "bedrock:InvokeModel"})
	if g, err := generate(account, u.ARN()); err != nil || !strings.Contains(*g.PolicyDocument, "bedrock:InvokeModel") || !*g.Exact {
		t.Errorf("of something %+v, %v", g, err)
	}
	if _, err := generate(other, u.ARN()); code(err) != "ResourceNotFoundException" {
		t.Errorf("for another account: %v", err)
	}
}

func TestRoleTemplates(t *testing.T) {
	t.Parallel()
	n := install(t)
	list, _, err := ask(t, n, api.OpListRoleTemplates, account, &api.ListRoleTemplatesInput{})
	must(t, err)
	if len(list.RoleTemplates) != 4 {
		t.Errorf("%d templates", len(list.RoleTemplates))
	}
	for _, v := range list.RoleTemplates {
		if !strings.Contains(*v.PolicyDocument, "bedrock:") || !strings.HasPrefix(*v.PolicyArn, "arn:aws:iam::aws:policy/outcrop/") || !strings.Contains(*v.Description, ": ") {
			t.Errorf("template %+v", v)
		}
	}
	build := func(template, name, principal string) (*api.CreateRoleFromTemplateOutput, *call.Call, error) {
		return ask(t, n, api.OpCreateRoleFromTemplate, account, &api.CreateRoleFromTemplateInput{TemplateName: &template, RoleName: &name, TrustedPrincipal: &principal})
	}
	const ana = "arn:aws:iam::111122223333:user/ana"
	out, c, err := build("datascientist", "science", ana)
	must(t, err)
	r := n.Role(account, "science")
	if r == nil || *out.RoleArn != r.ARN() || !slices.Equal(r.Attached, []string{*out.PolicyArn}) || !strings.Contains(r.Trust, `{"AWS":"`+ana+`"}`) {
		t.Errorf("made %+v: %+v", out, r)
	}
	// Whoever may not do it by IAM may not do it so.
	if len(c.Needs) != 2 || c.Needs[0].Action != "iam:CreateRole" || c.Needs[1].Action != "iam:AttachRolePolicy" ||
		!slices.Equal(c.Needs[0].Resources, []string{r.ARN()}) || !slices.Equal(c.Needs[1].Keys["iam:policyarn"], []string{*out.PolicyArn}) {
		t.Errorf("needs %+v", c.Needs)
	}
	for want, in := range map[string][3]string{
		"ConflictException":         {"DataScientist", "Science", ana},
		"ResourceNotFoundException": {"King", "king", ana},
		"ValidationException":       {"DataScientist", "more", "arn:aws:iam::*:user/ana"},
	} {
		if _, _, err := build(in[0], in[1], in[2]); code(err) != want {
			t.Errorf("%v: %v, want %s", in, err, want)
		}
	}
}

func TestModelAccess(t *testing.T) {
	t.Parallel()
	n, ctx := install(t), t.Context()
	m, err := n.catalog.Get(haiku, "")
	must(t, err)
	w, _ := n.catalog.WeightsByID(m.Weights)
	must(t, n.agreements.Accept(ctx, other, haiku, member, agreement.TermsOf(&w)))
	list := func(as, of string) (*api.ListModelAccessOutput, error) {
		out, _, err := ask(t, n, api.OpListModelAccess, as, &api.ListModelAccessInput{AccountId: &of})
		return out, err
	}
	for _, as := range []string{account, other} {
		out, err := list(as, other)
		must(t, err)
		v := out.Models[0]
		if len(out.Models) != 1 || *v.ModelId != haiku || *v.State != api.ModelAccessStatePending || *v.AcceptedBy != member || !v.AcceptedAt.Equal(n.now) || v.ApprovedBy != nil {
			t.Errorf("before the approval %+v", v)
		}
	}
	if _, err := list(other, account); code(err) != "AccessDeniedException" {
		t.Errorf("a member sees another account: %v", err)
	}
	if out, err := list(account, account); err != nil || out.Models == nil || len(out.Models) != 0 {
		t.Errorf("nothing was accepted: %+v, %v", out, err)
	}
	approve := func(as, of, model string) (*api.ApproveModelAccessOutput, error) {
		out, _, err := ask(t, n, api.OpApproveModelAccess, as, &api.ApproveModelAccessInput{AccountId: &of, ModelId: &model})
		return out, err
	}
	for want, in := range map[string][3]string{
		"AccessDeniedException":     {other, other, haiku},
		"ConflictException":         {account, other, titan},
		"ResourceNotFoundException": {account, other, "nobody.nothing-v1"},
	} {
		if _, err := approve(in[0], in[1], in[2]); code(err) != want {
			t.Errorf("%v: %v, want %s", in, err, want)
		}
	}
	if _, err := approve(account, "999988887777", haiku); code(err) != "ResourceNotFoundException" {
		t.Errorf("nothing was accepted: %v", err)
	}
	must(t, n.agreements.Approve(ctx, other, haiku, "operator", agreement.Limits{MonthlyTokens: 7}))
	n.now = n.now.Add(time.Hour)
	out, err := approve(account, other, haiku)
	must(t, err)
	v := out.Model
	if *v.State != api.ModelAccessStateAvailable || *v.ApprovedBy != "arn:aws:iam::"+account+":root" || !v.ApprovedAt.Equal(n.now) || *v.LicenseDigest != w.LicenseDigest {
		t.Errorf("after the approval %+v", v)
	}
	if a, _ := n.agreements.Agreement(other, haiku); a.Approved.Limits.MonthlyTokens != 7 {
		t.Errorf("the limits are %+v", a.Approved.Limits)
	}
	must(t, n.agreements.Accept(ctx, account, "anthropic.claude-v2", "arn:aws:iam::"+account+":root", agreement.TermsOf(&w)))
	if _, err := approve(account, account, "anthropic.claude-v2"); code(err) != "AccessDeniedException" {
		t.Errorf("whoever accepted approves: %v", err)
	}
}
