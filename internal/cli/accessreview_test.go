package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

// TestAccessAnalyze reviews an account with one of each that shows at once, and
// expects a table that fits 100 columns.
func TestAccessAnalyze(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	if r := outcrop(t, s.Data, "access", "analyze"); r.status != 0 || !strings.HasPrefix(r.out, "Nothing was found. What nobody used since 20") {
		t.Errorf("a new installation: %+v", r)
	}
	ctx, admin := t.Context(), iam.NewFromConfig(s.AWS(s.Key))
	trust := func(principal string) *string {
		return new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`)
	}
	for name, principal := range map[string]string{
		"partner": `{"AWS":"arn:aws:iam::444455556666:role/` + strings.Repeat("x", 60) + `"}`, "everybody": `"*"`, "batch": `{"Service":"bedrock.amazonaws.com"}`,
	} {
		if _, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust(principal)}); err != nil {
			t.Fatal(err)
		}
	}
	user := "somebody-with-a-name-that-is-far-too-long-for-a-column"
	if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: &user}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")}); err != nil {
		t.Fatal(err)
	}
	r := outcrop(t, s.Data, "access", "analyze")
	const want = `TYPE             RESOURCE                      WHAT IS THE MATTER
EXTERNAL_ACCESS  role/batch                    Lets in the service bedrock.amazonaws.com on anybo…
EXTERNAL_ACCESS  role/everybody                Lets in everybody: sts:AssumeRole
EXTERNAL_ACCESS  role/partner                  Lets in role/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
WILDCARD         user/somebody-with-a-name-t…  Policy AdministratorAccess allows * on every resou…

4 findings. What nobody used since DATE counts as unused.
`
	if got := regexp.MustCompile(`\d{4}-\d\d-\d\d`).ReplaceAllString(r.out, "DATE"); got != want || r.status != 0 {
		t.Errorf("status %d, table\n%s%s, want\n%s", r.status, got, r.err, want)
	}
	for line := range strings.Lines(r.out) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 100 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	type review struct {
		Findings []struct {
			FindingID, Type, Resource, Detail, Advice string
			Principals                                []string
			IsPublic                                  bool
		}
		UnusedDays int
	}
	v := decode[review](t, outcrop(t, s.Data, "access", "analyze", "--json", "--days", "30", "--type", "external_access"))
	if len(v.Findings) != 3 || v.UnusedDays != 30 || v.Findings[0].Advice == "" || !v.Findings[1].IsPublic || v.Findings[1].Principals[0] != "*" {
		t.Errorf("review %+v", v)
	}
	for _, args := range [][]string{{"--days", "0"}, {"--days", "366"}, {"--type", "NONSENSE"}} {
		if r := outcrop(t, s.Data, append([]string{"access", "analyze"}, args...)...); r.status != 2 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// TestAccessPolicy makes a policy of what a user did.
func TestAccessPolicy(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	ctx, admin := t.Context(), iam.NewFromConfig(s.AWS(s.Key))
	if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ana")}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: new("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:iam::000000000000:user/ana"
	if r := outcrop(t, s.Data, "access", "policy", arn); r.status != 1 || !strings.Contains(r.err, "nothing to allow") {
		t.Errorf("of nothing: %+v", r)
	}
	type key struct{ ID, Secret string }
	made := decode[key](t, outcrop(t, s.Data, "keys", "create", "--user", "ana", "--json"))
	env := map[string]string{"AWS_ACCESS_KEY_ID": made.ID, "AWS_SECRET_ACCESS_KEY": made.Secret}
	if r := outcropWith(t, s.Data, "", env, "access", "analyze"); r.status != 1 || !strings.Contains(r.err, "outcrop:GetAccessReview") {
		t.Errorf("without the right: %+v", r)
	}
	ana := iam.NewFromConfig(s.AWS(awsKey(made.ID, made.Secret)))
	if _, err := ana.GetUser(ctx, &iam.GetUserInput{UserName: new("ana")}); err != nil {
		t.Fatal(err)
	}
	if _, err := ana.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ana")}); err == nil {
		t.Fatal("a reader deletes a user")
	}
	r := outcrop(t, s.Data, "access", "policy", arn)
	want := `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Iam1",
      "Effect": "Allow",
      "Action": [
        "iam:GetUser"
      ],
      "Resource": [
        "arn:aws:iam::000000000000:user/ana"
      ]
    }
  ]
}
`
	if r.status != 0 || r.out != want || !strings.HasPrefix(r.err, "It used 1 permission and did not use ") {
		t.Errorf("policy %+v", r)
	}
	type generated struct {
		PolicyDocument             string
		UsedActions, UnusedActions []string
		Exact                      bool
	}
	v := decode[generated](t, outcrop(t, s.Data, "access", "policy", arn, "--json", "--days", "1"))
	if len(v.UsedActions) != 1 || len(v.UnusedActions) < 10 || !v.Exact || v.PolicyDocument+"\n" != want {
		t.Errorf("as JSON: %+v", v)
	}
	if r := outcrop(t, s.Data, "access", "policy", arn+"x"); r.status != 1 || !strings.Contains(r.err, "no such user or role") {
		t.Errorf("of nobody: %+v", r)
	}
}

// awsKey is a key for the clients of a test.
func awsKey(id, value string) keys.Created {
	return keys.Created{Key: keys.Key{ID: id}, Secret: secret.NewString(value)}
}
