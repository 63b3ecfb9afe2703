package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) accountRoutes() []service.Route {
	return []service.Route{
		service.Bind(api.OpCreateAccountAlias, s.createAlias),
		service.Bind(api.OpListAccountAliases, s.listAliases),
		service.Bind(api.OpDeleteAccountAlias, s.deleteAlias),
		service.Bind(api.OpGetAccountSummary, s.summary),
		service.Bind(api.OpGetAccountAuthorizationDetails, s.details),
	}
}

func (s *Service) createAlias(ctx context.Context, c *call.Call, in *api.CreateAccountAliasInput) (*api.CreateAccountAliasOutput, error) {
	if err := s.dir.SetAlias(ctx, c.Principal.Account, text(in.AccountAlias)); err != nil {
		return nil, err
	}
	return &api.CreateAccountAliasOutput{}, nil
}

func (s *Service) listAliases(_ context.Context, c *call.Call, in *api.ListAccountAliasesInput) (*api.ListAccountAliasesOutput, error) {
	var all []string
	if a := s.dir.Alias(c.Principal.Account); a != "" {
		all = append(all, a)
	}
	items, marker, truncated, err := cut(all, position, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAccountAliasesOutput{AccountAliases: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) deleteAlias(ctx context.Context, c *call.Call, in *api.DeleteAccountAliasInput) (*api.DeleteAccountAliasOutput, error) {
	if err := s.dir.DeleteAlias(ctx, c.Principal.Account, text(in.AccountAlias)); err != nil {
		return nil, err
	}
	return &api.DeleteAccountAliasOutput{}, nil
}

// summary counts what the account has, beside the limits that hold for it.
func (s *Service) summary(ctx context.Context, c *call.Call, _ *api.GetAccountSummaryInput) (*api.GetAccountSummaryOutput, error) {
	acct := c.Principal.Account
	rootKeys, err := s.dir.AccessKeys(ctx, acct, "")
	if err != nil {
		return nil, err
	}
	policies, versions := s.dir.LocalPolicies(acct), 0
	for _, p := range policies {
		versions += len(p.Versions)
	}
	devices := s.dir.MFADevices(acct)
	inUse, root := 0, 0
	for _, m := range devices {
		switch {
		case m.Owner == acct:
			root = 1
			inUse++
		case m.Assigned():
			inUse++
		}
	}
	one := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	q := identity.AccountQuotas()
	counts := map[string]int{
		"Users": len(s.dir.Users(acct)), "UsersQuota": q.Users,
		"Groups": len(s.dir.Groups(acct)), "GroupsQuota": q.Groups,
		"Roles": len(s.dir.Roles(acct)), "RolesQuota": q.Roles,
		"InstanceProfiles": len(s.dir.InstanceProfiles(acct)), "InstanceProfilesQuota": q.InstanceProfiles,
		"Policies": len(policies), "PoliciesQuota": q.Policies,
		"PolicyVersionsInUse": versions, "PolicyVersionsInUseQuota": 10000,
		"Providers":  len(s.dir.OIDCProviders(acct)),
		"MFADevices": len(devices), "MFADevicesInUse": inUse,
		"AccountMFAEnabled": root, "AccountAccessKeysPresent": one(len(rootKeys) > 0),
		"AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0,
		"ServerCertificates": 0, "ServerCertificatesQuota": 20,
		"GlobalEndpointTokenVersion": 2,

		"AccessKeysPerUserQuota": q.AccessKeysPerUser, "SigningCertificatesPerUserQuota": 2, "GroupsPerUserQuota": q.GroupsPerUser,
		"AttachedPoliciesPerUserQuota": q.AttachedPolicies, "AttachedPoliciesPerGroupQuota": q.AttachedPolicies, "AttachedPoliciesPerRoleQuota": q.AttachedPolicies,
		"UserPolicySizeQuota": policy.MaxUserInline, "GroupPolicySizeQuota": policy.MaxGroupInline, "RolePolicySizeQuota": policy.MaxRoleInline,
		"AssumeRolePolicySizeQuota": policy.MaxTrust, "PolicySizeQuota": policy.MaxManaged, "VersionsPerPolicyQuota": q.VersionsPerPolicy,
	}
	out := &api.GetAccountSummaryOutput{SummaryMap: make(map[string]int32, len(counts))}
	for k, v := range counts {
		out.SummaryMap[k] = *count(v)
	}
	return out, nil
}

// details lists users, groups, roles and policies with all that stands in them.
func (s *Service) details(_ context.Context, c *call.Call, in *api.GetAccountAuthorizationDetailsInput) (*api.GetAccountAuthorizationDetailsOutput, error) {
	acct := c.Principal.Account
	wanted := func(kind api.EntityType) bool {
		if len(in.Filter) == 0 {
			return true
		}
		for _, f := range in.Filter {
			if f == kind {
				return true
			}
		}
		return false
	}
	use := s.dir.PolicyUsage(acct)
	all := s.entities(acct)
	for _, p := range s.dir.ManagedPolicies() {
		// As AWS does: of its own policies those that somebody uses.
		if u := use[p.ARN()]; u.Attached > 0 || u.Bounds > 0 {
			all = append(all, entity{kind: api.EntityTypeAWSManagedPolicy, name: p.Name, of: p})
		}
	}
	for _, p := range s.dir.LocalPolicies(acct) {
		all = append(all, entity{kind: api.EntityTypeLocalManagedPolicy, name: p.Name, of: p})
	}
	all = kept(all, func(e entity) bool { return wanted(e.kind) })
	sortEntities(all)
	items, marker, truncated, err := cut(all, entityKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []api.UserDetail{}, GroupDetailList: []api.GroupDetail{}, RoleDetailList: []api.RoleDetail{},
		Policies: []api.ManagedPolicyDetail{}, Marker: marker, IsTruncated: truncated,
	}
	for _, e := range items {
		switch v := e.of.(type) {
		case *identity.User:
			out.UserDetailList = append(out.UserDetailList, s.userDetail(v))
		case *identity.Group:
			out.GroupDetailList = append(out.GroupDetailList, api.GroupDetail{
				Path: new(v.Path), GroupName: new(v.Name), GroupId: new(v.ID), Arn: new(v.ARN()), CreateDate: new(v.Created),
				GroupPolicyList: apiInline(&v.Grants), AttachedManagedPolicies: s.apiAttached(acct, &v.Grants),
			})
		case *identity.Role:
			out.RoleDetailList = append(out.RoleDetailList, s.roleDetail(v))
		case *identity.Policy:
			out.Policies = append(out.Policies, policyDetail(v, use[v.ARN()]))
		}
	}
	return out, nil
}

func (s *Service) userDetail(u *identity.User) api.UserDetail {
	return api.UserDetail{
		Path: new(u.Path), UserName: new(u.Name), UserId: new(u.ID), Arn: new(u.ARN()), CreateDate: new(u.Created),
		UserPolicyList: apiInline(&u.Grants), AttachedManagedPolicies: s.apiAttached(u.Account, &u.Grants),
		GroupList:           mapped(s.dir.GroupsOf(u), func(g *identity.Group) string { return g.Name }),
		PermissionsBoundary: apiBoundary(u.Boundary), Tags: apiTags(u.Tags),
	}
}

func (s *Service) roleDetail(r *identity.Role) api.RoleDetail {
	return api.RoleDetail{
		Path: new(r.Path), RoleName: new(r.Name), RoleId: new(r.ID), Arn: new(r.ARN()), CreateDate: new(r.Created),
		AssumeRolePolicyDocument: new(r.Trust), InstanceProfileList: mapped(s.profilesOf(r), s.apiProfile),
		RolePolicyList: apiInline(&r.Grants), AttachedManagedPolicies: s.apiAttached(r.Account, &r.Grants),
		PermissionsBoundary: apiBoundary(r.Boundary), Tags: apiTags(r.Tags), RoleLastUsed: s.roleLastUsed(r),
	}
}

func policyDetail(p *identity.Policy, use identity.Usage) api.ManagedPolicyDetail {
	return api.ManagedPolicyDetail{
		PolicyName: new(p.Name), PolicyId: new(p.ID), Arn: new(p.ARN()), Path: new(p.Path), DefaultVersionId: new(p.Default),
		AttachmentCount: count(use.Attached), PermissionsBoundaryUsageCount: count(use.Bounds), IsAttachable: new(true),
		Description: maybe(p.Description), CreateDate: new(p.Created), UpdateDate: new(p.Updated),
		PolicyVersionList: mapped(p.Versions, func(v identity.PolicyVersion) api.PolicyVersion { return *fullVersion(p, v) }),
	}
}
