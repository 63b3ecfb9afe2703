package access

// OpenActions returns the actions that need no permission, sorted: nobody's
// policies are asked for them.
//
// GetCallerIdentity tells no more than a refusal would, and GetSessionToken is the
// second half of authentication, which policies do not control. The other two
// come from callers that nobody knows yet: the trust policy of the role decides
// over those, which their handler asks by [Authorizer.Decide] once the token of
// the identity provider has been checked.
//
// Source: STS API reference, "No permissions are required ..." of each operation.
func OpenActions() []string {
	return []string{
		"sts:AssumeRoleWithSAML",
		"sts:AssumeRoleWithWebIdentity",
		"sts:GetCallerIdentity",
		"sts:GetSessionToken",
	}
}

// isOpen tells whether an action stands in OpenActions.
func isOpen(action string) bool {
	switch action {
	case "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity", "sts:GetCallerIdentity", "sts:GetSessionToken":
		return true
	}
	return false
}
