package identity

// How many entities an account may have: AWS's default quotas, which keep the
// directory small enough for memory.
const (
	maxUsers           = 5000
	maxGroupsOfAccount = 300
	maxRoles           = 1000
	maxPolicies        = 1500
	maxProfiles        = 1000
)

// Quotas of an account, as GetAccountSummary tells them.
type Quotas struct {
	Users, Groups, Roles, Policies, InstanceProfiles int
	AttachedPolicies                                 int // per identity
	GroupsPerUser                                    int
	AccessKeysPerUser                                int
	VersionsPerPolicy                                int
}

// AccountQuotas returns the quotas that hold for every account.
func AccountQuotas() Quotas {
	return Quotas{
		Users: maxUsers, Groups: maxGroupsOfAccount, Roles: maxRoles, Policies: maxPolicies, InstanceProfiles: maxProfiles,
		AttachedPolicies: maxAttached, GroupsPerUser: maxGroups, AccessKeysPerUser: maxAccessKeys, VersionsPerPolicy: maxVersions,
	}
}

// full is LimitExceeded when an account has as many entities of a kind as it may.
func full[T any](s *state, k *kind[T], acct, quota string, most int) error {
	if len(all(s, k, acct).byID) >= most {
		return apiError(codeLimit, "Cannot exceed quota for %s: %d", quota, most)
	}
	return nil
}
