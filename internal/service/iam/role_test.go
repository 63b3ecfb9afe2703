package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service/iam"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	r := get(t, root, api.OpCreateRole, &api.CreateRoleInput{
		RoleName: new("app"), Path: new("/svc/"), Description: new("d"), AssumeRolePolicyDocument: new(trustA), PermissionsBoundary: new(readOnly), Tags: []api.Tag{tag("team", "ml")},
	}).Role
	if *r.Arn != "arn:aws:iam::111122223333:role/svc/app" || *r.MaxSessionDuration != 3600 || *r.AssumeRolePolicyDocument != trustA || *r.PermissionsBoundary.PermissionsBoundaryArn != readOnly || len(r.Tags) != 1 {
		t.Fatalf("role %+v", r)
	}
	create := func(change func(in *api.CreateRoleInput)) string {
		in := &api.CreateRoleInput{RoleName: new("other"), AssumeRolePolicyDocument: new(trustA)}
		change(in)
		_, err := do(root, api.OpCreateRole, in)
		return code(t, err)
	}
	for name, c := range map[string]struct {
		change func(in *api.CreateRoleInput)
		want   string
	}{
		"name taken":         {func(in *api.CreateRoleInput) { in.RoleName = new("APP") }, "EntityAlreadyExists"},
		"no trust policy":    {func(in *api.CreateRoleInput) { in.AssumeRolePolicyDocument = new(allowInvoke) }, "MalformedPolicyDocument"},
		"no JSON":            {func(in *api.CreateRoleInput) { in.AssumeRolePolicyDocument = new("{") }, "MalformedPolicyDocument"},
		"short sessions":     {func(in *api.CreateRoleInput) { in.MaxSessionDuration = new(int32(3599)) }, "ValidationError"},
		"long sessions":      {func(in *api.CreateRoleInput) { in.MaxSessionDuration = new(int32(43201)) }, "ValidationError"},
		"no such boundary":   {func(in *api.CreateRoleInput) { in.PermissionsBoundary = new("arn:aws:iam::aws:policy/x") }, "NoSuchEntity"},
		"path of services":   {func(in *api.CreateRoleInput) { in.Path = new("/aws-service-role/x/") }, "InvalidInput"},
		"reserved tag":       {func(in *api.CreateRoleInput) { in.Tags = []api.Tag{tag("aws:x", "y")} }, "InvalidInput"},
		"long trust policy":  {func(in *api.CreateRoleInput) { in.AssumeRolePolicyDocument = new(longTrust()) }, "LimitExceeded"},
		"wrong name":         {func(in *api.CreateRoleInput) { in.RoleName = new("a/b") }, "ValidationError"},
		"wrong path":         {func(in *api.CreateRoleInput) { in.Path = new("x/") }, "ValidationError"},
		"boundary elsewhere": {func(in *api.CreateRoleInput) { in.PermissionsBoundary = new("arn:aws:iam::444455556666:policy/x") }, "NoSuchEntity"},
	} {
		if got := create(c.change); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	get(t, root, api.OpUpdateRole, &api.UpdateRoleInput{RoleName: new("app"), MaxSessionDuration: new(int32(43200))})
	refused(t, root, "ValidationError", api.OpUpdateRole, &api.UpdateRoleInput{RoleName: new("app"), MaxSessionDuration: new(int32(1))})
	d := get(t, root, api.OpUpdateRoleDescription, &api.UpdateRoleDescriptionInput{RoleName: new("app"), Description: new("other")}).Role
	if *d.MaxSessionDuration != 43200 || *d.Description != "other" {
		t.Errorf("changed role %+v", d)
	}
	trust := strings.Replace(trustA, acctA, acctB, 1)
	get(t, root, api.OpUpdateAssumeRolePolicy, &api.UpdateAssumeRolePolicyInput{RoleName: new("app"), PolicyDocument: new(trust)})
	refused(t, root, "MalformedPolicyDocument", api.OpUpdateAssumeRolePolicy, &api.UpdateAssumeRolePolicyInput{RoleName: new("app"), PolicyDocument: new(allowInvoke)})
	if got := get(t, root, api.OpGetRole, &api.GetRoleInput{RoleName: new("app")}).Role; *got.AssumeRolePolicyDocument != trust || *got.RoleId != *r.RoleId {
		t.Errorf("role %+v", got)
	}
	res, err := w.dir.Resource(t.Context(), *r.Arn, acctA)
	if must(t, err); res.Policy == nil || string(res.Policy.Text()) != trust || !res.Trust || res.Account != acctA || res.Tags["team"] != "ml" {
		t.Errorf("what decisions know of the role: %+v", res)
	}
	for _, near := range []string{"arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/svc/APP"} {
		if res, err := w.dir.Resource(t.Context(), near, acctA); err != nil || res.Policy != nil || res.Account != acctA {
			t.Errorf("%s: %+v, %v", near, res, err)
		}
	}
	get(t, root, api.OpDeleteRolePermissionsBoundary, &api.DeleteRolePermissionsBoundaryInput{RoleName: new("app")})
	get(t, root, api.OpPutRolePermissionsBoundary, &api.PutRolePermissionsBoundaryInput{RoleName: new("app"), PermissionsBoundary: new(readOnly)})
	refused(t, root, "NoSuchEntity", api.OpGetRole, &api.GetRoleInput{RoleName: new("none")})
}

func longTrust() string {
	list := make([]string, 60)
	for i := range list {
		list[i] = fmt.Sprintf(`"arn:aws:iam::%012d:root"`, i+1)
	}
	list = append(list, list...)
	return strings.Replace(trustA, `"arn:aws:iam::111122223333:root"`, "["+strings.Join(list, ",")+"]", 1)
}

// names pages through all users with answers of n.
func names(t *testing.T, c caller, n int32) (all []string, pages int) {
	t.Helper()
	in := &api.ListUsersInput{MaxItems: new(n)}
	for {
		pages++
		out := get(t, c, api.OpListUsers, in)
		for _, u := range out.Users {
			all = append(all, *u.UserName)
		}
		if *out.IsTruncated != (out.Marker != nil) {
			t.Fatalf("IsTruncated %v with marker %v", *out.IsTruncated, out.Marker)
		}
		if out.Marker == nil {
			return all, pages
		}
		in.Marker = out.Marker
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("u%02d", i))
		w.user(t, want[i])
	}
	for _, n := range []int32{1, 7, 24, 25, 26, 1000} {
		got, pages := names(t, root, n)
		if !slices.Equal(got, want) || pages != (25+int(n)-1)/int(n) {
			t.Errorf("by %d: %d pages of %q", n, pages, got)
		}
	}
	// What goes between two answers hides nothing.
	first := get(t, root, api.OpListUsers, &api.ListUsersInput{MaxItems: new(int32(10))})
	get(t, root, api.OpDeleteUser, &api.DeleteUserInput{UserName: new("u09")})
	get(t, root, api.OpDeleteUser, &api.DeleteUserInput{UserName: new("u00")})
	if next := get(t, root, api.OpListUsers, &api.ListUsersInput{Marker: first.Marker}); *next.Users[0].UserName != "u10" || len(next.Users) != 15 {
		t.Errorf("the second answer begins with %s and has %d", *next.Users[0].UserName, len(next.Users))
	}
	for _, bad := range []string{"x", "u05", "MTox!", "eDpx"} {
		refused(t, root, "ValidationError", api.OpListUsers, &api.ListUsersInput{Marker: new(bad)})
	}
	if out := get(t, w.root(acctB), api.OpListUsers, &api.ListUsersInput{Marker: first.Marker}); len(out.Users) != 0 {
		t.Errorf("with A's marker B sees %d users", len(out.Users))
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	ana := w.user(t, "ana")
	for i := range 11 {
		get(t, root, api.OpCreateGroup, &api.CreateGroupInput{GroupName: new(fmt.Sprintf("g%02d", i))})
		_, err := do(root, api.OpAddUserToGroup, &api.AddUserToGroupInput{GroupName: new(fmt.Sprintf("g%02d", i)), UserName: new("ana")})
		if want := map[bool]string{true: "LimitExceeded"}[i == 10]; code(t, err) != want {
			t.Errorf("group %d: %v", i+1, err)
		}
	}
	refused(t, root, "EntityAlreadyExists", api.OpCreateGroup, &api.CreateGroupInput{GroupName: new("G00")})
	refused(t, root, "NoSuchEntity", api.OpAddUserToGroup, &api.AddUserToGroupInput{GroupName: new("none"), UserName: new("ana")})
	refused(t, root, "NoSuchEntity", api.OpAddUserToGroup, &api.AddUserToGroupInput{GroupName: new("g00"), UserName: new("none")})

	// The policies of a group are those of its users, from the next call on.
	list := &api.ListGroupsForUserInput{UserName: new("ana")}
	refused(t, ana, "AccessDeniedException", api.OpListGroupsForUser, list)
	get(t, root, api.OpPutGroupPolicy, &api.PutGroupPolicyInput{GroupName: new("g03"), PolicyName: new("p"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:List*","Resource":"*"}}`)})
	if got := get(t, ana, api.OpListGroupsForUser, list).Groups; len(got) != 10 {
		t.Errorf("ana is in %d groups", len(got))
	}
	get(t, root, api.OpUpdateGroup, &api.UpdateGroupInput{GroupName: new("g03"), NewGroupName: new("team"), NewPath: new("/x/")})
	get(t, ana, api.OpListGroupsForUser, list)
	g := get(t, root, api.OpGetGroup, &api.GetGroupInput{GroupName: new("team")})
	if *g.Group.Arn != "arn:aws:iam::111122223333:group/x/team" || len(g.Users) != 1 || *g.Users[0].UserName != "ana" {
		t.Errorf("group %+v", g)
	}
	get(t, root, api.OpRemoveUserFromGroup, &api.RemoveUserFromGroupInput{GroupName: new("team"), UserName: new("ana")})
	refused(t, ana, "AccessDeniedException", api.OpListGroupsForUser, list)
	refused(t, root, "DeleteConflict", api.OpDeleteGroup, &api.DeleteGroupInput{GroupName: new("team")})
	refused(t, root, "EntityAlreadyExists", api.OpUpdateGroup, &api.UpdateGroupInput{GroupName: new("team"), NewGroupName: new("G01")})
}

func TestAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, other := w.root(acctA), w.root(acctB)
	w.user(t, "ana")
	get(t, root, api.OpCreateGroup, &api.CreateGroupInput{GroupName: new("team")})
	get(t, root, api.OpAddUserToGroup, &api.AddUserToGroupInput{GroupName: new("team"), UserName: new("ana")})
	get(t, root, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trustA)})
	get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowInvoke)})
	get(t, root, api.OpAttachGroupPolicy, &api.AttachGroupPolicyInput{GroupName: new("team"), PolicyArn: new(readOnly)})
	get(t, root, api.OpPutUserPolicy, &api.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("in"), PolicyDocument: new(allowInvoke)})
	get(t, root, api.OpCreateInstanceProfile, &api.CreateInstanceProfileInput{InstanceProfileName: new("host")})
	get(t, root, api.OpAddRoleToInstanceProfile, &api.AddRoleToInstanceProfileInput{RoleName: new("app"), InstanceProfileName: new("host")})
	get(t, other, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("theirs"), AssumeRolePolicyDocument: new(trustA)})

	all := get(t, root, api.OpGetAccountAuthorizationDetails, &api.GetAccountAuthorizationDetailsInput{})
	if len(all.UserDetailList) != 1 || len(all.GroupDetailList) != 1 || len(all.RoleDetailList) != 1 || len(all.Policies) != 2 || *all.IsTruncated {
		t.Fatalf("details %+v", all)
	}
	u, r := all.UserDetailList[0], all.RoleDetailList[0]
	if u.GroupList[0] != "team" || *u.UserPolicyList[0].PolicyDocument != allowInvoke || *r.InstanceProfileList[0].InstanceProfileName != "host" || *r.AssumeRolePolicyDocument != trustA {
		t.Errorf("details of %+v and %+v", u, r)
	}
	if v := all.Policies[0].PolicyVersionList; len(v) != 1 || v[0].Document == nil {
		t.Errorf("versions %+v", v)
	}
	seen := 0
	in := &api.GetAccountAuthorizationDetailsInput{MaxItems: new(int32(2))}
	for range 3 {
		out := get(t, root, api.OpGetAccountAuthorizationDetails, in)
		seen += len(out.UserDetailList) + len(out.GroupDetailList) + len(out.RoleDetailList) + len(out.Policies)
		in.Marker = out.Marker
	}
	if seen != 5 || in.Marker != nil {
		t.Errorf("three answers of two hold %d", seen)
	}
	for kind, want := range map[api.EntityType]int{api.EntityTypeUser: 1, api.EntityTypeRole: 1, api.EntityTypeGroup: 1, api.EntityTypeLocalManagedPolicy: 1, api.EntityTypeAWSManagedPolicy: 1} {
		out := get(t, root, api.OpGetAccountAuthorizationDetails, &api.GetAccountAuthorizationDetailsInput{Filter: []api.EntityType{kind}})
		if n := len(out.UserDetailList) + len(out.GroupDetailList) + len(out.RoleDetailList) + len(out.Policies); n != want {
			t.Errorf("%s: %d", kind, n)
		}
	}

	get(t, root, api.OpCreateAccessKey, &api.CreateAccessKeyInput{})
	sum := get(t, root, api.OpGetAccountSummary, &api.GetAccountSummaryInput{}).SummaryMap
	for key, want := range map[string]int32{
		"Users": 1, "Groups": 1, "Roles": 1, "Policies": 1, "InstanceProfiles": 1, "AccountAccessKeysPresent": 1, "AccessKeysPerUserQuota": 2,
		"VersionsPerPolicyQuota": 5, "AccountMFAEnabled": 0,
	} {
		if sum[key] != want {
			t.Errorf("%s = %d, want %d", key, sum[key], want)
		}
	}

	get(t, root, api.OpCreateAccountAlias, &api.CreateAccountAliasInput{AccountAlias: new("our-lab")})
	refused(t, other, "EntityAlreadyExists", api.OpCreateAccountAlias, &api.CreateAccountAliasInput{AccountAlias: new("our-lab")})
	refused(t, other, "NoSuchEntity", api.OpDeleteAccountAlias, &api.DeleteAccountAliasInput{AccountAlias: new("our-lab")})
	refused(t, other, "ValidationError", api.OpCreateAccountAlias, &api.CreateAccountAliasInput{AccountAlias: new("a--b")})
	if got := get(t, root, api.OpListAccountAliases, &api.ListAccountAliasesInput{}).AccountAliases; !slices.Equal(got, []string{"our-lab"}) {
		t.Errorf("aliases %q", got)
	}
	get(t, root, api.OpDeleteAccountAlias, &api.DeleteAccountAliasInput{AccountAlias: new("our-lab")})
	get(t, other, api.OpCreateAccountAlias, &api.CreateAccountAliasInput{AccountAlias: new("our-lab")})
}

// The same names in two accounts are two things.
func TestIsolation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.root(acctA), w.root(acctB)
	for _, c := range []caller{a, b} {
		get(t, c, api.OpCreateUser, &api.CreateUserInput{UserName: new("same")})
		get(t, c, api.OpCreateGroup, &api.CreateGroupInput{GroupName: new("same")})
		get(t, c, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("same"), AssumeRolePolicyDocument: new(trustA)})
		get(t, c, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("same"), PolicyDocument: new(allowInvoke)})
		get(t, c, api.OpCreateInstanceProfile, &api.CreateInstanceProfileInput{InstanceProfileName: new("same")})
	}
	of := "arn:aws:iam::" + acctB + ":policy/same"
	for what, err := range map[string]error{
		"read":   second(do(a, api.OpGetPolicy, &api.GetPolicyInput{PolicyArn: new(of)})),
		"attach": second(do(a, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("same"), PolicyArn: new(of)})),
		"bound":  second(do(a, api.OpPutUserPermissionsBoundary, &api.PutUserPermissionsBoundaryInput{UserName: new("same"), PermissionsBoundary: new(of)})),
		"delete": second(do(a, api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: new(of)})),
		"list":   second(do(a, api.OpListEntitiesForPolicy, &api.ListEntitiesForPolicyInput{PolicyArn: new(of)})),
	} {
		if c := code(t, err); c != "NoSuchEntity" && c != "AccessDeniedException" {
			t.Errorf("%s B's policy: %v", what, err)
		}
	}
	get(t, a, api.OpDeleteUser, &api.DeleteUserInput{UserName: new("same")})
	get(t, a, api.OpDeleteGroup, &api.DeleteGroupInput{GroupName: new("same")})
	get(t, a, api.OpDeleteRole, &api.DeleteRoleInput{RoleName: new("same")})
	get(t, b, api.OpGetUser, &api.GetUserInput{UserName: new("same")})
	get(t, b, api.OpGetGroup, &api.GetGroupInput{GroupName: new("same")})
	if got := *get(t, b, api.OpGetRole, &api.GetRoleInput{RoleName: new("same")}).Role.Arn; got != "arn:aws:iam::444455556666:role/same" {
		t.Errorf("B's role is %s", got)
	}
}

// Callers that are no users must say which user they mean.
func TestNoUserName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.dir.CreateRole(t.Context(), acctA, identity.NewRole{Name: "app", Trust: trustA})
	must(t, err)
	must(t, w.dir.AttachPolicy(t.Context(), acctA, identity.TypeRole, "app", "arn:aws:iam::aws:policy/AdministratorAccess"))
	s := caller{w, call.Principal{
		Type: call.AssumedRole, Account: acctA, AccessKeyID: "ASIAX", UserID: r.ID + ":s", ARN: "arn:aws:sts::111122223333:assumed-role/app/s",
		Session: &call.Session{RoleARN: r.ARN(), RoleID: r.ID, RoleName: "app", Name: "s"},
	}}
	refused(t, s, "ValidationError", api.OpGetUser, &api.GetUserInput{})
	refused(t, s, "ValidationError", api.OpCreateAccessKey, &api.CreateAccessKeyInput{})
	refused(t, s, "ValidationError", api.OpListAccessKeys, &api.ListAccessKeysInput{})
	w.user(t, "ana")
	get(t, s, api.OpGetUser, &api.GetUserInput{UserName: new("ana")})
}

// Every tag operation works alike.
func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	own := get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(allowInvoke)}).Policy.Arn
	get(t, root, api.OpCreateInstanceProfile, &api.CreateInstanceProfileInput{InstanceProfileName: new("host"), Tags: []api.Tag{tag("a", "1")}})
	get(t, root, api.OpTagPolicy, &api.TagPolicyInput{PolicyArn: own, Tags: []api.Tag{tag("a", "1"), tag("b", "")}})
	get(t, root, api.OpUntagPolicy, &api.UntagPolicyInput{PolicyArn: own, TagKeys: []string{"A"}})
	if got := get(t, root, api.OpListPolicyTags, &api.ListPolicyTagsInput{PolicyArn: own}).Tags; len(got) != 1 || *got[0].Key != "b" {
		t.Errorf("tags of the policy %+v", got)
	}
	get(t, root, api.OpTagInstanceProfile, &api.TagInstanceProfileInput{InstanceProfileName: new("host"), Tags: []api.Tag{tag("b", "2")}})
	get(t, root, api.OpUntagInstanceProfile, &api.UntagInstanceProfileInput{InstanceProfileName: new("host"), TagKeys: []string{"a"}})
	if got := get(t, root, api.OpGetInstanceProfile, &api.GetInstanceProfileInput{InstanceProfileName: new("host")}).InstanceProfile.Tags; len(got) != 1 || *got[0].Key != "b" {
		t.Errorf("tags of the instance profile %+v", got)
	}
	many := make([]api.Tag, 50)
	for i := range many {
		many[i] = tag(fmt.Sprint("k", i), "")
	}
	refused(t, root, "LimitExceeded", api.OpTagPolicy, &api.TagPolicyInput{PolicyArn: own, Tags: many})
	refused(t, root, "InvalidInput", api.OpTagPolicy, &api.TagPolicyInput{PolicyArn: own, Tags: []api.Tag{tag("a\x00b", "")}})
	refused(t, root, "InvalidInput", api.OpTagPolicy, &api.TagPolicyInput{PolicyArn: own, Tags: []api.Tag{tag("a", strings.Repeat("x", 257))}})
	refused(t, root, "NoSuchEntity", api.OpTagInstanceProfile, &api.TagInstanceProfileInput{InstanceProfileName: new("none"), Tags: many[:1]})
}

// Each operation stands once in Routes.
func TestRoutes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range iam.New(iam.Config{}).Routes() {
		if seen[r.Operation.Name] || r.Service != &api.Model {
			t.Errorf("%s", r.Operation.Name)
		}
		seen[r.Operation.Name] = true
	}
	if len(seen) < 80 {
		t.Errorf("%d operations", len(seen))
	}
}
