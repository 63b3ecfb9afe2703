package access

import (
	"strings"

	"github.com/outcrop/outcrop/internal/call"
)

// unfit tells that temporary credentials are of a kind that an API does not take
// at all, whatever policies say: those of GetFederationToken are no credentials
// for IAM, and for STS only to ask who they are; those of GetSessionToken are none
// for IAM unless a one-time code was proved for them.
//
// Source: IAM user guide, "Compare AWS STS credentials".
func unfit(p *call.Principal, action string) bool {
	if p.Session == nil || p.Account == "" {
		return false
	}
	service, _, _ := strings.Cut(action, ":")
	switch p.Type {
	case call.FederatedUser:
		return strings.EqualFold(service, "iam") || strings.EqualFold(service, "sts")
	case call.User, call.Root:
		return strings.EqualFold(service, "iam") && p.Session.MFA.IsZero()
	default:
		return false
	}
}
