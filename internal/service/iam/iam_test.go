package iam_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/iam"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

const (
	acctA = "111122223333"
	acctB = "444455556666"

	allowInvoke = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}`
	trustA      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
	readOnly    = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
)

// world is the service over stores in memory, with authorisation before it.
type world struct {
	dir    *identity.Directory
	keys   *keys.Service
	access *access.Authorizer
	routes map[string]service.Route
	now    time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	w := &world{routes: map[string]service.Route{}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	w.keys = keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: now})
	w.dir, err = identity.Open(t.Context(), identity.Config{Records: new(recordtest.Store), Keys: w.keys, Root: root, Management: acctA, Now: now})
	must(t, err)
	w.access = access.New(access.Config{Principals: w.dir, Resources: map[string]access.Resources{"iam": w.dir}, Now: now})
	for _, r := range iam.New(iam.Config{Directory: w.dir}).Routes() {
		if _, ok := w.routes[r.Operation.Name]; ok {
			t.Fatalf("%s is bound twice", r.Operation.Name)
		}
		w.routes[r.Operation.Name] = r
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code is the code of an API error, "" of none.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("%v is no API error", err)
	}
	return e.Code
}

// caller sends requests.
type caller struct {
	*world
	who call.Principal
}

func (w *world) root(acct string) caller {
	return caller{w, keys.Key{ID: "AKIAROOT", Account: acct}.Principal()}
}

// user makes a user in account A and returns it as a caller.
func (w *world) user(t testing.TB, name string) caller {
	t.Helper()
	u, err := w.dir.CreateUser(t.Context(), acctA, identity.NewUser{Name: name})
	must(t, err)
	p, err := w.dir.Principal(keys.Key{ID: "AKIA" + name, Account: acctA, Owner: u.ID})
	must(t, err)
	return caller{w, p}
}

// do sends a request the way the front door does: resources, authorisation, handler.
func do[In, Out any](c caller, op awsapi.Op[In, Out], in *In) (*Out, error) {
	r, ok := c.routes[op.Operation.Name]
	if !ok {
		return nil, errors.New("not bound: " + op.Operation.Name)
	}
	ctx := context.Background()
	cl := &call.Call{Principal: c.who, Region: "us-east-1", Action: op.Operation.Action}
	var resources []string
	if r.Resources != nil {
		var err error
		if resources, err = r.Resources(ctx, cl, in); err != nil {
			return nil, err
		}
	}
	if err := c.access.Authorize(ctx, cl, call.Need{Action: cl.Action, Resources: resources}); err != nil {
		return nil, err
	}
	out, err := r.Serve(ctx, cl, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

// get is do for a request that must succeed.
func get[In, Out any](t testing.TB, c caller, op awsapi.Op[In, Out], in *In) *Out {
	t.Helper()
	out, err := do(c, op, in)
	if err != nil {
		t.Fatalf("%s: %v", op.Operation.Name, err)
	}
	return out
}

// refused is do for a request that must fail with a code.
func refused[In, Out any](t testing.TB, c caller, want string, op awsapi.Op[In, Out], in *In) {
	t.Helper()
	if _, err := do(c, op, in); code(t, err) != want {
		t.Errorf("%s: %v, want %s", op.Operation.Name, err, want)
	}
}

func tag(k, v string) api.Tag { return api.Tag{Key: new(k), Value: new(v)} }

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	u := get(t, root, api.OpCreateUser, &api.CreateUserInput{UserName: new("ana"), Path: new("/team/"), Tags: []api.Tag{tag("Team", "ml")}}).User
	if *u.Arn != "arn:aws:iam::111122223333:user/team/ana" || *u.Path != "/team/" || len(u.Tags) != 1 || u.PermissionsBoundary != nil {
		t.Fatalf("user %+v", u)
	}
	refused(t, root, "EntityAlreadyExists", api.OpCreateUser, &api.CreateUserInput{UserName: new("ANA")})
	refused(t, root, "NoSuchEntity", api.OpGetUser, &api.GetUserInput{UserName: new("ANA")})
	refused(t, root, "NoSuchEntity", api.OpCreateUser, &api.CreateUserInput{UserName: new("bob"), PermissionsBoundary: new("arn:aws:iam::aws:policy/Nothing")})
	refused(t, root, "InvalidInput", api.OpCreateUser, &api.CreateUserInput{UserName: new("bob"), Tags: []api.Tag{tag("a", "1"), tag("A", "2")}})

	get(t, root, api.OpTagUser, &api.TagUserInput{UserName: new("ana"), Tags: []api.Tag{tag("team", "ops"), tag("Cost", "1")}})
	get(t, root, api.OpUntagUser, &api.UntagUserInput{UserName: new("ana"), TagKeys: []string{"cost", "none"}})
	tags := get(t, root, api.OpListUserTags, &api.ListUserTagsInput{UserName: new("ana")})
	if len(tags.Tags) != 1 || *tags.Tags[0].Key != "team" || *tags.Tags[0].Value != "ops" || *tags.IsTruncated {
		t.Errorf("tags %+v", tags)
	}

	get(t, root, api.OpUpdateUser, &api.UpdateUserInput{UserName: new("ana"), NewUserName: new("Ana"), NewPath: new("/")})
	if got := get(t, root, api.OpGetUser, &api.GetUserInput{UserName: new("Ana")}).User; *got.UserId != *u.UserId || *got.Arn != "arn:aws:iam::111122223333:user/Ana" {
		t.Errorf("renamed user %+v", got)
	}
	get(t, root, api.OpCreateUser, &api.CreateUserInput{UserName: new("bob")})
	refused(t, root, "EntityAlreadyExists", api.OpUpdateUser, &api.UpdateUserInput{UserName: new("bob"), NewUserName: new("aNA")})
	refused(t, root, "NoSuchEntity", api.OpUpdateUser, &api.UpdateUserInput{UserName: new("eve"), NewUserName: new("x")})

	if got := get(t, root, api.OpGetUser, &api.GetUserInput{}).User; *got.Arn != "arn:aws:iam::111122223333:root" || *got.UserId != acctA {
		t.Errorf("the root is %+v", got)
	}
	carl := w.user(t, "carl")
	must(t, w.dir.PutInline(t.Context(), acctA, identity.TypeUser, "carl", "self", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username}"}}`))
	if got := get(t, carl, api.OpGetUser, &api.GetUserInput{}).User; *got.UserName != "carl" {
		t.Errorf("GetUser without a name is %+v", got)
	}
	refused(t, carl, "AccessDeniedException", api.OpGetUser, &api.GetUserInput{UserName: new("bob")})
}

// A user must be empty before it goes.
func TestDeleteConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	get(t, root, api.OpCreateUser, &api.CreateUserInput{UserName: new("ana")})
	get(t, root, api.OpCreateGroup, &api.CreateGroupInput{GroupName: new("team")})
	get(t, root, api.OpCreateRole, &api.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trustA)})
	get(t, root, api.OpCreateInstanceProfile, &api.CreateInstanceProfileInput{InstanceProfileName: new("host")})
	p := get(t, root, api.OpCreatePolicy, &api.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(allowInvoke)}).Policy.Arn

	conflict := func(undo func()) {
		t.Helper()
		refused(t, root, "DeleteConflict", api.OpDeleteUser, &api.DeleteUserInput{UserName: new("ana")})
		undo()
	}
	k := get(t, root, api.OpCreateAccessKey, &api.CreateAccessKeyInput{UserName: new("ana")}).AccessKey
	conflict(func() {
		get(t, root, api.OpDeleteAccessKey, &api.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: k.AccessKeyId})
	})
	get(t, root, api.OpAttachUserPolicy, &api.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: p})
	refused(t, root, "DeleteConflict", api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: p})
	conflict(func() {
		get(t, root, api.OpDetachUserPolicy, &api.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: p})
	})
	get(t, root, api.OpPutUserPolicy, &api.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("in"), PolicyDocument: new(allowInvoke)})
	conflict(func() {
		get(t, root, api.OpDeleteUserPolicy, &api.DeleteUserPolicyInput{UserName: new("ana"), PolicyName: new("in")})
	})
	get(t, root, api.OpAddUserToGroup, &api.AddUserToGroupInput{UserName: new("ana"), GroupName: new("team")})
	refused(t, root, "DeleteConflict", api.OpDeleteGroup, &api.DeleteGroupInput{GroupName: new("team")})
	conflict(func() {
		get(t, root, api.OpRemoveUserFromGroup, &api.RemoveUserFromGroupInput{UserName: new("ana"), GroupName: new("team")})
	})
	get(t, root, api.OpPutUserPermissionsBoundary, &api.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: p})
	refused(t, root, "DeleteConflict", api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: p})
	get(t, root, api.OpDeleteUserPermissionsBoundary, &api.DeleteUserPermissionsBoundaryInput{UserName: new("ana")})
	refused(t, root, "NoSuchEntity", api.OpDeleteUserPermissionsBoundary, &api.DeleteUserPermissionsBoundaryInput{UserName: new("ana")})
	get(t, root, api.OpDeleteUser, &api.DeleteUserInput{UserName: new("ana")})
	refused(t, root, "NoSuchEntity", api.OpDeleteUser, &api.DeleteUserInput{UserName: new("ana")})

	get(t, root, api.OpAddRoleToInstanceProfile, &api.AddRoleToInstanceProfileInput{RoleName: new("app"), InstanceProfileName: new("host")})
	refused(t, root, "LimitExceeded", api.OpAddRoleToInstanceProfile, &api.AddRoleToInstanceProfileInput{RoleName: new("app"), InstanceProfileName: new("host")})
	refused(t, root, "DeleteConflict", api.OpDeleteRole, &api.DeleteRoleInput{RoleName: new("app")})
	refused(t, root, "DeleteConflict", api.OpDeleteInstanceProfile, &api.DeleteInstanceProfileInput{InstanceProfileName: new("host")})
	if got := get(t, root, api.OpListInstanceProfilesForRole, &api.ListInstanceProfilesForRoleInput{RoleName: new("app")}).InstanceProfiles; len(got) != 1 || *got[0].Roles[0].RoleName != "app" {
		t.Errorf("instance profiles of the role: %+v", got)
	}
	get(t, root, api.OpRemoveRoleFromInstanceProfile, &api.RemoveRoleFromInstanceProfileInput{RoleName: new("app"), InstanceProfileName: new("host")})
	refused(t, root, "NoSuchEntity", api.OpRemoveRoleFromInstanceProfile, &api.RemoveRoleFromInstanceProfileInput{RoleName: new("app"), InstanceProfileName: new("host")})
	get(t, root, api.OpPutRolePolicy, &api.PutRolePolicyInput{RoleName: new("app"), PolicyName: new("in"), PolicyDocument: new(allowInvoke)})
	refused(t, root, "DeleteConflict", api.OpDeleteRole, &api.DeleteRoleInput{RoleName: new("app")})
	get(t, root, api.OpDeleteRolePolicy, &api.DeleteRolePolicyInput{RoleName: new("app"), PolicyName: new("in")})
	get(t, root, api.OpDeleteRole, &api.DeleteRoleInput{RoleName: new("app")})
	get(t, root, api.OpDeleteInstanceProfile, &api.DeleteInstanceProfileInput{InstanceProfileName: new("host")})
	get(t, root, api.OpDeleteGroup, &api.DeleteGroupInput{GroupName: new("team")})
	get(t, root, api.OpDeletePolicy, &api.DeletePolicyInput{PolicyArn: p})
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root(acctA)
	ana := w.user(t, "ana")
	must(t, w.dir.AttachPolicy(t.Context(), acctA, identity.TypeUser, "ana", "arn:aws:iam::aws:policy/IAMFullAccess"))
	one := get(t, ana, api.OpCreateAccessKey, &api.CreateAccessKeyInput{}).AccessKey
	if *one.UserName != "ana" || len(*one.SecretAccessKey) != 40 || *one.Status != api.StatusTypeActive {
		t.Fatalf("key %+v", one)
	}
	k, err := w.keys.Get(t.Context(), *one.AccessKeyId)
	must(t, err)
	if p, err := w.dir.Principal(k); err != nil || p.ARN != "arn:aws:iam::111122223333:user/ana" || p.Type != call.User {
		t.Errorf("the key is that of %+v, %v", p, err)
	}
	two := get(t, root, api.OpCreateAccessKey, &api.CreateAccessKeyInput{UserName: new("ana")}).AccessKey
	refused(t, root, "LimitExceeded", api.OpCreateAccessKey, &api.CreateAccessKeyInput{UserName: new("ana")})
	refused(t, root, "NoSuchEntity", api.OpCreateAccessKey, &api.CreateAccessKeyInput{UserName: new("eve")})
	get(t, root, api.OpUpdateAccessKey, &api.UpdateAccessKeyInput{UserName: new("ana"), AccessKeyId: two.AccessKeyId, Status: new(api.StatusTypeInactive)})
	list := get(t, ana, api.OpListAccessKeys, &api.ListAccessKeysInput{MaxItems: new(int32(1))})
	if len(list.AccessKeyMetadata) != 1 || !*list.IsTruncated {
		t.Fatalf("first page of keys %+v", list)
	}
	if list = get(t, ana, api.OpListAccessKeys, &api.ListAccessKeysInput{Marker: list.Marker}); len(list.AccessKeyMetadata) != 1 || *list.IsTruncated {
		t.Fatalf("second page of keys %+v", list)
	}
	used := get(t, ana, api.OpGetAccessKeyLastUsed, &api.GetAccessKeyLastUsedInput{AccessKeyId: two.AccessKeyId})
	if *used.UserName != "ana" || used.AccessKeyLastUsed.LastUsedDate != nil || *used.AccessKeyLastUsed.Region != "N/A" {
		t.Errorf("last use %+v", used)
	}

	// The root has keys of its own, and nobody reaches a key through another user.
	of := get(t, root, api.OpCreateAccessKey, &api.CreateAccessKeyInput{}).AccessKey
	if of.UserName != nil {
		t.Errorf("the root's key belongs to %s", *of.UserName)
	}
	w.user(t, "bob")
	for _, in := range []*api.DeleteAccessKeyInput{
		{UserName: new("bob"), AccessKeyId: one.AccessKeyId},
		{AccessKeyId: one.AccessKeyId},
		{UserName: new("ana"), AccessKeyId: of.AccessKeyId},
		{UserName: new("ana"), AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")},
	} {
		refused(t, root, "NoSuchEntity", api.OpDeleteAccessKey, in)
	}
	other := w.root(acctB)
	refused(t, other, "NoSuchEntity", api.OpGetAccessKeyLastUsed, &api.GetAccessKeyLastUsedInput{AccessKeyId: one.AccessKeyId})
	refused(t, other, "NoSuchEntity", api.OpDeleteAccessKey, &api.DeleteAccessKeyInput{AccessKeyId: of.AccessKeyId})
	refused(t, other, "NoSuchEntity", api.OpUpdateAccessKey, &api.UpdateAccessKeyInput{UserName: new("ana"), AccessKeyId: one.AccessKeyId, Status: new(api.StatusTypeInactive)})
}
