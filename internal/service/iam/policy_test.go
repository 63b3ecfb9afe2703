package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func TestManagedPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	p := get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("app"), Path: new("/x/"), Description: new("d"), PolicyDocument: new(allowInvoke)}).Policy
	if *p.Arn != "arn:aws:iam::111122223333:policy/x/app" || *p.DefaultVersionId != "v1" || *p.AttachmentCount != 0 || !*p.IsAttachable {
		t.Fatalf("policy %+v", p)
	}
	refused(t, root, "EntityAlreadyExists", api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("APP"), PolicyDocument: new(allowInvoke)})
	refused(t, root, "MalformedPolicyDocument", api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("b"), PolicyDocument: new(`{"Statement":[{"Effect":"Allow","Action":"x"}]}`)})
	long := strings.Replace(allowInvoke, `"*"`, `["`+strings.Repeat("x", 6200)+`"]`, 1)
	refused(t, root, "LimitExceeded", api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("b"), PolicyDocument: new(strings.Replace(long, "xxx", "arn:aws:s3:::xxx", 1))})
	for _, other := range []string{"arn:aws:iam::111122223333:policy/app", "arn:aws:iam::111122223333:policy/x/APP", "arn:aws:iam::444455556666:policy/x/app", "arn:aws:iam::111122223333:role/x/app",
		"arn:aws-cn:iam::111122223333:policy/x/app", "arn:aws:iam::111122223333:policy/x//app", "arn:aws:iam:us-east-1:111122223333:policy/x/app",
	} {
		if _, err := do(root, api.OpGetPolicy, &api.GetPolicyInput{PolicyArn: new(other)}); err == nil {
			t.Errorf("%s names the policy too", other)
		}
	}

	for i := 2; i <= 5; i++ {
		v := get(t, root, api.OpCreatePolicyVersion, &api.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: new(allowInvoke), SetAsDefault: new(i == 3)}).PolicyVersion
		if *v.VersionId != fmt.Sprintf("v%d", i) || *v.IsDefaultVersion != (i == 3) {
			t.Errorf("version %+v", v)
		}
	}
	refused(t, root, "LimitExceeded", api.OpCreatePolicyVersion, &api.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: new(allowInvoke)})
	refused(t, root, "DeleteConflict", api.OpDeletePolicyVersion, &api.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v3")})
	refused(t, root, "NoSuchEntity", api.OpSetDefaultPolicyVersion, &api.SetDefaultPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v9")})
	get(t, root, api.OpSetDefaultPolicyVersion, &api.SetDefaultPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v5")})
	refused(t, root, "DeleteConflict", api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: p.Arn})
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		get(t, root, api.OpDeletePolicyVersion, &api.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: new(v)})
	}
	if v := get(t, root, api.OpCreatePolicyVersion, &api.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: new(allowInvoke)}).PolicyVersion; *v.VersionId != "v6" {
		t.Errorf("a version's number is given again: %s", *v.VersionId)
	}
	list := get(t, root, api.OpListPolicyVersions, &api.ListPolicyVersionsInput{PolicyArn: p.Arn}).Versions
	if len(list) != 2 || *list[0].VersionId != "v6" || list[0].Document != nil {
		t.Errorf("versions %+v", list)
	}
	if v := get(t, root, api.OpGetPolicyVersion, &api.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v5")}).PolicyVersion; *v.Document != allowInvoke {
		t.Errorf("text of the version: %s", *v.Document)
	}
	refused(t, root, "NoSuchEntity", api.OpGetPolicyVersion, &api.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v1")})

	// AWS's own are there, the same for everybody, and not to be changed.
	for name, change := range map[string]error{
		"delete":  second(do(root, api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: new(readOnly)})),
		"version": second(do(root, api.OpCreatePolicyVersion, &api.CreatePolicyVersionInput{PolicyArn: new(readOnly), PolicyDocument: new(allowInvoke)})),
		"tag":     second(do(root, api.OpTagPolicy, &api.TagPolicyInput{PolicyArn: new(readOnly), Tags: []api.Tag{tag("a", "b")}})),
	} {
		if change == nil || !strings.HasPrefix(code(t, change), "AccessDenied") {
			t.Errorf("%s of a policy of AWS: %v", name, change)
		}
	}
	if got := get(t, w.root(acctB), api.OpGetPolicy, &api.GetPolicyInput{PolicyArn: new(readOnly)}).Policy; *got.DefaultVersionId != "v7" {
		t.Errorf("AmazonBedrockReadOnly %+v", got)
	}
}

func second[T any](_ T, err error) error { return err }

func policyNames(list []api.Policy) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = *p.PolicyName
	}
	return out
}

func TestListPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	for _, name := range []string{"b", "A", "c"} {
		path := "/"
		if name == "c" {
			path = "/team/"
		}
		get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new(name), Path: new(path), PolicyDocument: new(allowInvoke)})
	}
	get(t, root, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trustA), PermissionsBoundary: new("arn:aws:iam::111122223333:policy/A")})
	get(t, root, api.OpAttachRolePolicy, &api.AttachRolePolicyInput{RoleName: new("app"), PolicyArn: new("arn:aws:iam::111122223333:policy/team/c")})
	get(t, root, api.OpAttachRolePolicy, &api.AttachRolePolicyInput{RoleName: new("app"), PolicyArn: new(readOnly)})
	get(t, root, api.OpAttachRolePolicy, &api.AttachRolePolicyInput{RoleName: new("app"), PolicyArn: new(readOnly)}) // once more
	for name, c := range map[string]struct {
		in   api.ListPoliciesInput
		want []string
	}{
		"local":      {api.ListPoliciesInput{Scope: new(api.PolicyScopeTypeLocal)}, []string{"A", "b", "c"}},
		"path":       {api.ListPoliciesInput{Scope: new(api.PolicyScopeTypeLocal), PathPrefix: new("/team/")}, []string{"c"}},
		"attached":   {api.ListPoliciesInput{OnlyAttached: new(true)}, []string{"A", "AmazonBedrockReadOnly", "c"}},
		"permission": {api.ListPoliciesInput{PolicyUsageFilter: new(api.PolicyUsageTypePermissionsPolicy)}, []string{"AmazonBedrockReadOnly", "c"}},
		"boundary":   {api.ListPoliciesInput{PolicyUsageFilter: new(api.PolicyUsageTypePermissionsBoundary)}, []string{"A"}},
		"aws":        {api.ListPoliciesInput{Scope: new(api.PolicyScopeTypeAws), OnlyAttached: new(true)}, []string{"AmazonBedrockReadOnly"}},
	} {
		if got := policyNames(get(t, root, api.OpListPolicies, &c.in).Policies); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	entities := get(t, root, api.OpListEntitiesForPolicy, &api.ListEntitiesForPolicyInput{PolicyArn: new(readOnly)})
	if len(entities.PolicyRoles) != 1 || *entities.PolicyRoles[0].RoleName != "app" || len(entities.PolicyUsers)+len(entities.PolicyGroups) != 0 {
		t.Errorf("entities %+v", entities)
	}
	if e := get(t, root, api.OpListEntitiesForPolicy, &api.ListEntitiesForPolicyInput{PolicyArn: new(readOnly), EntityFilter: new(api.EntityTypeUser)}); len(e.PolicyRoles) != 0 {
		t.Errorf("users alone: %+v", e)
	}
	if b := get(t, w.root(acctB), api.OpListPolicies, &api.ListPoliciesInput{OnlyAttached: new(true)}); len(b.Policies) != 0 {
		t.Errorf("account B sees %q", policyNames(b.Policies))
	}
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	w.user(t, "ana")
	for i := range 11 {
		p := get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new(fmt.Sprintf("p%02d", i)), PolicyDocument: new(allowInvoke)}).Policy
		_, err := do(root, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: p.Arn})
		if want := map[bool]string{true: "LimitExceeded"}[i == 10]; code(t, err) != want {
			t.Errorf("attachment %d: %v", i+1, err)
		}
	}
	first := get(t, root, api.OpListAttachedUserPolicies, &api.ListAttachedUserPoliciesInput{UserName: new("ana"), MaxItems: new(int32(7))})
	rest := get(t, root, api.OpListAttachedUserPolicies, &api.ListAttachedUserPoliciesInput{UserName: new("ana"), Marker: first.Marker})
	if len(first.AttachedPolicies) != 7 || len(rest.AttachedPolicies) != 3 || *rest.AttachedPolicies[0].PolicyName != "p07" {
		t.Errorf("pages of %d and %d", len(first.AttachedPolicies), len(rest.AttachedPolicies))
	}
	refused(t, root, "NoSuchEntity", api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: new("arn:aws:iam::aws:policy/Nothing")})
	refused(t, root, "NoSuchEntity", api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("eve"), PolicyArn: new(readOnly)})
	refused(t, root, "NoSuchEntity", api.OpDetachUserPolicy, &api.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: new(readOnly)})
	refused(t, root, "NoSuchEntity", api.OpListAttachedGroupPolicies, &api.ListAttachedGroupPoliciesInput{GroupName: new("none")})
}

func TestInlinePolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	w.user(t, "ana")
	put := func(name, text string) string {
		_, err := do(root, api.OpPutUserPolicy, &api.PutUserPolicyInput{UserName: new("ana"), PolicyName: new(name), PolicyDocument: new(text)})
		return code(t, err)
	}
	spaced := strings.Replace(allowInvoke, ":", ": \n", 1)
	if got := put("b", spaced); got != "" {
		t.Fatal(got)
	}
	if got := put("B", allowInvoke); got != "EntityAlreadyExists" {
		t.Errorf("a name that differs in case: %q", got)
	}
	if got := put("c", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`); got != "MalformedPolicyDocument" {
		t.Errorf("a principal in an identity policy: %q", got)
	}
	big := strings.Replace(allowInvoke, `"*"`, `"arn:aws:s3:::`+strings.Repeat("x", 1850)+`"`, 1)
	if got := put("big", big); got != "LimitExceeded" {
		t.Errorf("more than 2048 characters together: %q", got)
	}
	if got := put("a", allowInvoke); got != "" {
		t.Error(got)
	}
	names := get(t, root, api.OpListUserPolicies, &api.ListUserPoliciesInput{UserName: new("ana")})
	if !slices.Equal(names.PolicyNames, []string{"a", "b"}) {
		t.Errorf("names %q", names.PolicyNames)
	}
	if p := get(t, root, api.OpGetUserPolicy, &api.GetUserPolicyInput{UserName: new("ana"), PolicyName: new("b")}); *p.PolicyDocument != spaced {
		t.Errorf("the text is %q", *p.PolicyDocument)
	}
	refused(t, root, "NoSuchEntity", api.OpGetUserPolicy, &api.GetUserPolicyInput{UserName: new("ana"), PolicyName: new("z")})
	refused(t, root, "NoSuchEntity", api.OpDeleteUserPolicy, &api.DeleteUserPolicyInput{UserName: new("ana"), PolicyName: new("z")})
}

// What policies say about names and paths holds whatever way a name is written.
func TestNoWayRound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	dev := w.user(t, "dev")
	must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "dev", "p", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:*","Resource":"*"},
		{"Effect":"Deny","Action":"iam:*","Resource":["arn:aws:iam::*:user/admin/*","arn:aws:iam::*:role/admin/*"]}]}`))
	get(t, root, api.OpCreateUser, &api.CreateUserInput{UserName: new("chief"), Path: new("/admin/")})
	get(t, root, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("Boss"), Path: new("/admin/"), AssumeRolePolicyDocument: new(trustA)})
	for _, name := range []string{"chief", "Chief", "CHIEF"} {
		for what, err := range map[string]error{
			"key":    second(do(dev, api.OpCreateAccessKey, &api.CreateAccessKeyInput{UserName: new(name)})),
			"attach": second(do(dev, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new(name), PolicyArn: new(readOnly)})),
			"rename": second(do(dev, api.OpUpdateUser, &api.UpdateUserInput{UserName: new(name), NewPath: new("/")})),
		} {
			if c := code(t, err); c != "AccessDeniedException" && (name == "chief" || c != "NoSuchEntity") {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
	refused(t, dev, "AccessDeniedException", api.OpUpdateAssumeRolePolicy, &api.UpdateAssumeRolePolicyInput{RoleName: new("Boss"), PolicyDocument: new(trustA)})
	refused(t, dev, "NoSuchEntity", api.OpUpdateAssumeRolePolicy, &api.UpdateAssumeRolePolicyInput{RoleName: new("boss"), PolicyDocument: new(trustA)})
	// An ARN of another partition is no other name of a policy or a role.
	must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "dev", "q", `{"Version":"2012-10-17","Statement":
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::111122223333:policy/own"}}}}`))
	get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowInvoke)})
	for _, p := range []string{"arn:aws:iam::111122223333:policy/own", "arn:aws-cn:iam::111122223333:policy/own", "arn:aws:iam::111122223333:policy//own"} {
		if _, err := do(dev, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("dev"), PolicyArn: new(p)}); err == nil {
			t.Errorf("attached as %s", p)
		}
	}
	// Nor does a user move to a place where he may do more, or away from one.
	get(t, root, api.OpCreateUser, &api.CreateUserInput{UserName: new("pal")})
	refused(t, dev, "AccessDeniedException", api.OpUpdateUser, &api.UpdateUserInput{UserName: new("pal"), NewPath: new("/admin/")})
}

// The condition keys that calls of IAM have.
func TestConditionKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	dev := w.user(t, "dev")
	bound := *get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("bound"), PolicyDocument: new(allowInvoke)}).Policy.Arn
	allow := func(statement string) {
		t.Helper()
		must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "dev", "p", `{"Version":"2012-10-17","Statement":[`+statement+`]}`))
	}

	allow(`{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"` + bound + `"}}}`)
	refused(t, dev, "AccessDeniedException", api.OpCreateUser, &api.CreateUserInput{UserName: new("u1")})
	refused(t, dev, "AccessDeniedException", api.OpCreateUser, &api.CreateUserInput{UserName: new("u1"), PermissionsBoundary: new(readOnly)})
	get(t, dev, api.OpCreateUser, &api.CreateUserInput{UserName: new("u1"), PermissionsBoundary: new(bound)})

	allow(`{"Effect":"Allow","Action":["iam:AttachUserPolicy","iam:PutUserPermissionsBoundary"],"Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"` + readOnly + `"}}}`)
	refused(t, dev, "AccessDeniedException", api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("u1"), PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")})
	get(t, dev, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("u1"), PolicyArn: new(readOnly)})

	// The boundary that a user has counts when policies are attached to him.
	allow(`{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"` + bound + `"}}}`)
	get(t, dev, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("u1"), PolicyArn: new(readOnly)})
	refused(t, dev, "AccessDeniedException", api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("dev"), PolicyArn: new(readOnly)})

	allow(`{"Effect":"Allow","Action":"iam:CreateRole","Resource":"*"}`)
	role := func(tags ...api.Tag) *api.CreateRoleInput {
		return &api.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trustA), Tags: tags}
	}
	refused(t, dev, "AccessDeniedException", api.OpCreateRole, role(tag("team", "ml"))) // lacks iam:TagRole
	allow(`{"Effect":"Allow","Action":["iam:CreateRole","iam:TagRole"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Team":"ml"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}}`)
	refused(t, dev, "AccessDeniedException", api.OpCreateRole, role(tag("team", "ops")))
	refused(t, dev, "AccessDeniedException", api.OpCreateRole, role(tag("team", "ml"), tag("x", "y")))
	if w.dir.Role(acctA, "r") != nil {
		t.Fatal("a refused call made a role")
	}
	get(t, dev, api.OpCreateRole, role(tag("team", "ml")))

	// Tags of the entity itself.
	allow(`{"Effect":"Allow","Action":"iam:GetRole","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"ml","iam:ResourceTag/team":"ml"}}}`)
	get(t, dev, api.OpGetRole, &api.GetRoleInput{RoleName: new("r")})
	get(t, root, api.OpUntagRole, &api.UntagRoleInput{RoleName: new("r"), TagKeys: []string{"team"}})
	refused(t, dev, "AccessDeniedException", api.OpGetRole, &api.GetRoleInput{RoleName: new("r")})

	// Passing a role to a machine.
	get(t, root, api.OpCreateInstanceProfile, &api.CreateInstanceProfileInput{InstanceProfileName: new("host")})
	add := &api.AddRoleToInstanceProfileInput{RoleName: new("r"), InstanceProfileName: new("host")}
	allow(`{"Effect":"Allow","Action":"iam:AddRoleToInstanceProfile","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"bedrock.amazonaws.com"}}}`)
	refused(t, dev, "AccessDeniedException", api.OpAddRoleToInstanceProfile, add)
	allow(`{"Effect":"Allow","Action":"iam:AddRoleToInstanceProfile","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}`)
	get(t, dev, api.OpAddRoleToInstanceProfile, add)
}

// A boundary narrows and never widens.
func TestBoundary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	dev := w.user(t, "dev")
	list, create := &api.ListUsersInput{}, &api.CreateUserInput{UserName: new("new")}
	bound := func(text string) *string {
		return get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new(fmt.Sprint("b", len(text))), PolicyDocument: new(text)}).Policy.Arn
	}
	reading := bound(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:List*","iam:Get*"],"Resource":"*"}}`)
	get(t, root, api.OpPutUserPermissionsBoundary, &api.PutUserPermissionsBoundaryInput{UserName: new("dev"), PermissionsBoundary: reading})
	refused(t, dev, "AccessDeniedException", api.OpListUsers, list)
	get(t, root, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("dev"), PolicyArn: new("arn:aws:iam::aws:policy/IAMFullAccess")})
	get(t, dev, api.OpListUsers, list)
	refused(t, dev, "AccessDeniedException", api.OpCreateUser, create)
	// The boundary's new version counts at once, and so does its end.
	get(t, root, api.OpCreatePolicyVersion, &api.CreatePolicyVersionInput{PolicyArn: reading, PolicyDocument: new(allowInvoke), SetAsDefault: new(true)})
	refused(t, dev, "AccessDeniedException", api.OpListUsers, list)
	refused(t, dev, "AccessDeniedException", api.OpDeleteUserPermissionsBoundary, &api.DeleteUserPermissionsBoundaryInput{UserName: new("dev")})
	get(t, root, api.OpDeleteUserPermissionsBoundary, &api.DeleteUserPermissionsBoundaryInput{UserName: new("dev")})
	get(t, dev, api.OpCreateUser, create)
}
