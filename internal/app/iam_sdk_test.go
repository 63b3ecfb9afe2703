package app_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

const (
	bedrockReadOnly = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
	allowInvoke     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}`
)

// ownTrust lets an account's own policies say who may assume a role.
func ownTrust(account string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"sts:AssumeRole"}]}`)
}

// iamWalk counts the operations that a client of IAM sent.
type iamWalk struct {
	*iam.Client
	t      *testing.T
	called map[string]bool
}

func newIAMWalk(t *testing.T, s *apptest.Server) *iamWalk {
	w := &iamWalk{t: t, called: map[string]bool{}}
	w.Client = iam.NewFromConfig(s.AWS(s.Key), func(o *iam.Options) {
		o.RetryMaxAttempts = 1
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("count", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				w.called[middleware.GetOperationName(ctx)] = true
				return next.HandleInitialize(ctx, in)
			}), middleware.After)
		})
	})
	return w
}

// ok calls an operation that must succeed.
func ok[In, Out any](w *iamWalk, op func(context.Context, In, ...func(*iam.Options)) (Out, error), in In) Out {
	w.t.Helper()
	out, err := op(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// not calls an operation that must fail with a code.
func not[In, Out any](w *iamWalk, code string, op func(context.Context, In, ...func(*iam.Options)) (Out, error), in In) {
	w.t.Helper()
	_, err := op(w.t.Context(), in)
	wantCode(w.t, code, err, code)
}

// TestIAMBySDK calls every operation on users, groups, keys, roles, policies and the
// account with the AWS SDK for Go, which reads the XML of each answer.
func TestIAMBySDK(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	w := newIAMWalk(t, s)
	name, acct := aws.String, s.Account

	ok(w, w.CreateUser, &iam.CreateUserInput{UserName: name("ana"), Tags: []types.Tag{{Key: name("team"), Value: name("ml")}}})
	not(w, "EntityAlreadyExists", w.CreateUser, &iam.CreateUserInput{UserName: name("ANA")})
	not(w, "ValidationError", w.CreateUser, &iam.CreateUserInput{UserName: name("a/b")})
	not(w, "ValidationError", w.CreateUser, &iam.CreateUserInput{UserName: name("bob"), Path: name("x")})
	not(w, "InvalidInput", w.TagUser, &iam.TagUserInput{UserName: name("ana"), Tags: []types.Tag{{Key: name("aws:x"), Value: name("")}}})
	ok(w, w.TagUser, &iam.TagUserInput{UserName: name("ana"), Tags: []types.Tag{{Key: name("é ü"), Value: name("a=b+c @ü")}}})
	if got := ok(w, w.ListUserTags, &iam.ListUserTagsInput{UserName: name("ana")}).Tags; len(got) != 2 || *got[1].Key != "é ü" || *got[1].Value != "a=b+c @ü" {
		t.Errorf("tags %+v", got)
	}
	ok(w, w.UntagUser, &iam.UntagUserInput{UserName: name("ana"), TagKeys: []string{"team"}})
	ok(w, w.UpdateUser, &iam.UpdateUserInput{UserName: name("ana"), NewPath: name("/x/")})
	if got := ok(w, w.GetUser, &iam.GetUserInput{UserName: name("ana")}).User; *got.Arn != "arn:aws:iam::"+acct+":user/x/ana" {
		t.Errorf("user %+v", got)
	}
	if got := ok(w, w.ListUsers, &iam.ListUsersInput{PathPrefix: name("/x")}); len(got.Users) != 1 || got.IsTruncated {
		t.Errorf("users %+v", got)
	}

	ok(w, w.CreateGroup, &iam.CreateGroupInput{GroupName: name("team")})
	ok(w, w.UpdateGroup, &iam.UpdateGroupInput{GroupName: name("team"), NewGroupName: name("crew")})
	ok(w, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: name("crew"), UserName: name("ana")})
	if got := ok(w, w.GetGroup, &iam.GetGroupInput{GroupName: name("crew")}); len(got.Users) != 1 {
		t.Errorf("group %+v", got)
	}
	ok(w, w.ListGroups, &iam.ListGroupsInput{})
	ok(w, w.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: name("ana")})

	key := ok(w, w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: name("ana")}).AccessKey
	ok(w, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: name("ana")})
	ok(w, w.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: name("ana"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive})
	not(w, "ValidationError", w.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: name("ana"), AccessKeyId: key.AccessKeyId, Status: "Gone"})
	if got := ok(w, w.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId}); *got.UserName != "ana" || *got.AccessKeyLastUsed.Region != "N/A" {
		t.Errorf("last use %+v", got.AccessKeyLastUsed)
	}
	ok(w, w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: name("ana"), AccessKeyId: key.AccessKeyId})

	policy := ok(w, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: name("own"), PolicyDocument: name(allowInvoke)}).Policy.Arn
	not(w, "MalformedPolicyDocument", w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: name("bad"), PolicyDocument: name("{}")})
	ok(w, w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: policy, PolicyDocument: name(allowInvoke)})
	v := ok(w, w.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: policy, VersionId: name("v2")}).PolicyVersion
	if text, err := url.QueryUnescape(*v.Document); err != nil || text != allowInvoke || v.IsDefaultVersion {
		t.Errorf("version %+v: %s", v, text)
	}
	ok(w, w.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: policy})
	ok(w, w.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: policy, VersionId: name("v2")})
	ok(w, w.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: policy, VersionId: name("v1")})
	ok(w, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: policy})
	ok(w, w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal})
	ok(w, w.TagPolicy, &iam.TagPolicyInput{PolicyArn: policy, Tags: []types.Tag{{Key: name("a"), Value: name("b")}}})
	ok(w, w.ListPolicyTags, &iam.ListPolicyTagsInput{PolicyArn: policy})
	ok(w, w.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: policy, TagKeys: []string{"a"}})
	not(w, "AccessDenied", w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: name(bedrockReadOnly)})

	ok(w, w.CreateRole, &iam.CreateRoleInput{RoleName: name("app"), AssumeRolePolicyDocument: ownTrust(acct)})
	not(w, "ValidationError", w.CreateRole, &iam.CreateRoleInput{RoleName: name("b"), AssumeRolePolicyDocument: ownTrust(acct), MaxSessionDuration: aws.Int32(43201)})
	ok(w, w.GetRole, &iam.GetRoleInput{RoleName: name("app")})
	ok(w, w.ListRoles, &iam.ListRolesInput{})
	ok(w, w.UpdateRole, &iam.UpdateRoleInput{RoleName: name("app"), MaxSessionDuration: aws.Int32(7200)})
	ok(w, w.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: name("app"), Description: name("d")})
	ok(w, w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: name("app"), PolicyDocument: ownTrust(acct)})
	ok(w, w.TagRole, &iam.TagRoleInput{RoleName: name("app"), Tags: []types.Tag{{Key: name("a"), Value: name("b")}}})
	ok(w, w.ListRoleTags, &iam.ListRoleTagsInput{RoleName: name("app")})
	ok(w, w.UntagRole, &iam.UntagRoleInput{RoleName: name("app"), TagKeys: []string{"a"}})
	ok(w, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: name("host")})
	ok(w, w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name("host"), RoleName: name("app")})
	ok(w, w.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: name("host")})
	ok(w, w.ListInstanceProfiles, &iam.ListInstanceProfilesInput{})
	if got := ok(w, w.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: name("app")}).InstanceProfiles; len(got) != 1 || len(got[0].Roles) != 1 {
		t.Errorf("instance profiles %+v", got)
	}
	ok(w, w.TagInstanceProfile, &iam.TagInstanceProfileInput{InstanceProfileName: name("host"), Tags: []types.Tag{{Key: name("a"), Value: name("b")}}})
	ok(w, w.ListInstanceProfileTags, &iam.ListInstanceProfileTagsInput{InstanceProfileName: name("host")})
	ok(w, w.UntagInstanceProfile, &iam.UntagInstanceProfileInput{InstanceProfileName: name("host"), TagKeys: []string{"a"}})

	ok(w, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: name("ana"), PolicyArn: policy})
	ok(w, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: name("crew"), PolicyArn: policy})
	ok(w, w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: name("app"), PolicyArn: policy})
	if got := ok(w, w.ListEntitiesForPolicy, &iam.ListEntitiesForPolicyInput{PolicyArn: policy}); len(got.PolicyGroups) != 1 || len(got.PolicyRoles) != 1 || len(got.PolicyUsers) != 1 {
		t.Errorf("entities %+v", got)
	}
	ok(w, w.ListAttachedUserPolicies, &iam.ListAttachedUserPoliciesInput{UserName: name("ana")})
	ok(w, w.ListAttachedGroupPolicies, &iam.ListAttachedGroupPoliciesInput{GroupName: name("crew")})
	ok(w, w.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: name("app")})
	ok(w, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: name("ana"), PolicyName: name("in"), PolicyDocument: name(allowInvoke)})
	ok(w, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: name("crew"), PolicyName: name("in"), PolicyDocument: name(allowInvoke)})
	ok(w, w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: name("app"), PolicyName: name("in"), PolicyDocument: name(allowInvoke)})
	ok(w, w.GetUserPolicy, &iam.GetUserPolicyInput{UserName: name("ana"), PolicyName: name("in")})
	ok(w, w.GetGroupPolicy, &iam.GetGroupPolicyInput{GroupName: name("crew"), PolicyName: name("in")})
	ok(w, w.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: name("app"), PolicyName: name("in")})
	ok(w, w.ListUserPolicies, &iam.ListUserPoliciesInput{UserName: name("ana")})
	ok(w, w.ListGroupPolicies, &iam.ListGroupPoliciesInput{GroupName: name("crew")})
	ok(w, w.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: name("app")})
	ok(w, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: name("ana"), PermissionsBoundary: policy})
	ok(w, w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: name("app"), PermissionsBoundary: policy})
	d := ok(w, w.GetAccountAuthorizationDetails, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeUser, types.EntityTypeLocalManagedPolicy}})
	if len(d.UserDetailList) != 1 || len(d.Policies) != 1 || len(d.RoleDetailList) != 0 || *d.UserDetailList[0].PermissionsBoundary.PermissionsBoundaryArn != *policy || *d.Policies[0].AttachmentCount != 3 {
		t.Errorf("details %+v", d)
	}
	if got := ok(w, w.GetAccountSummary, &iam.GetAccountSummaryInput{}).SummaryMap; got["Users"] != 1 || got["GroupsPerUserQuota"] != 10 {
		t.Errorf("summary %v", got)
	}
	ok(w, w.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: name("our-lab")})
	ok(w, w.ListAccountAliases, &iam.ListAccountAliasesInput{})
	ok(w, w.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: name("our-lab")})

	// And everything back.
	not(w, "DeleteConflict", w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: policy})
	not(w, "DeleteConflict", w.DeleteUser, &iam.DeleteUserInput{UserName: name("ana")})
	ok(w, w.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: name("ana")})
	ok(w, w.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name("app")})
	ok(w, w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: name("ana"), PolicyName: name("in")})
	ok(w, w.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: name("crew"), PolicyName: name("in")})
	ok(w, w.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: name("app"), PolicyName: name("in")})
	ok(w, w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: name("ana"), PolicyArn: policy})
	ok(w, w.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: name("crew"), PolicyArn: policy})
	ok(w, w.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: name("app"), PolicyArn: policy})
	ok(w, w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: name("crew"), UserName: name("ana")})
	ok(w, w.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name("host"), RoleName: name("app")})
	ok(w, w.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: name("host")})
	ok(w, w.DeleteRole, &iam.DeleteRoleInput{RoleName: name("app")})
	ok(w, w.DeleteGroup, &iam.DeleteGroupInput{GroupName: name("crew")})
	ok(w, w.DeleteUser, &iam.DeleteUserInput{UserName: name("ana")})
	ok(w, w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: policy})
	not(w, "NoSuchEntity", w.GetPolicy, &iam.GetPolicyInput{PolicyArn: policy})

	if len(w.called) != 84 {
		t.Errorf("%d operations were called, want all 84", len(w.called))
	}
}

// A change of IAM counts for the next call of a user.
func TestIAMCountsAtOnce(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "hello"})))
	w := newIAMWalk(t, s)
	user := aws.String("ana")
	ok(w, w.CreateUser, &iam.CreateUserInput{UserName: user})
	k := ok(w, w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: user}).AccessKey
	as := s.AWS(keys.Created{Key: keys.Key{ID: *k.AccessKeyId}, Secret: secret.NewString(*k.SecretAccessKey)})
	rt := bedrockruntime.NewFromConfig(as)
	call := func() error {
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: said("hello")})
		return err
	}
	for range 3 {
		wantCode(t, "without a policy", call(), "AccessDeniedException")
		ok(w, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("p"), PolicyDocument: aws.String(allowInvoke)})
		if err := call(); err != nil {
			t.Errorf("with a policy: %v", err)
		}
		ok(w, w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: aws.String("p")})
	}
	if out, err := sts.NewFromConfig(as).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil || *out.Arn != "arn:aws:iam::"+s.Account+":user/ana" {
		t.Errorf("identity %v, %v", out, err)
	}
	ok(w, w.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: k.AccessKeyId, Status: types.StatusTypeInactive})
	wantCode(t, "with a disabled key", call(), "UnrecognizedClientException")
}
