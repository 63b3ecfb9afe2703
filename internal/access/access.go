// Package access decides who may do what. It is the one place where the policy
// engine will stand; until then every key may do everything in its own account.
package access

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Authorizer decides over requests. The zero value is ready; it is safe for
// concurrent use.
type Authorizer struct{}

// Authorize returns nil when p may do action (an IAM action, e.g.
// "bedrock:InvokeModel") on all resources. Each resource is an ARN, or "*" for an
// action that names none; no resource at all is the same as "*".
//
// Resources of no account (foundation models), of AWS ("aws") and of p's own
// account are allowed. Denied: another account's, what is neither ARN nor "*", and
// a principal without an account.
//
// Errors: AccessDeniedException (403) in AWS's words, which name principal, action
// and resource.
func (Authorizer) Authorize(_ context.Context, c *call.Call, n call.Need) error {
	p, action, resources := c.Principal, n.Action, n.Resources
	if p.Account == "" {
		return apierr.AccessDenied("An anonymous caller is not authorized to perform: %s", action)
	}
	for _, r := range resources {
		if r == "*" {
			continue
		}
		a, err := arn.Parse(r)
		if err != nil {
			return denied(p, action, r, "identity-based")
		}
		if a.Account != "" && a.Account != "aws" && a.Account != p.Account {
			// Across accounts the owner has to allow it too.
			return denied(p, action, r, "resource-based")
		}
	}
	c.Decision = call.Decision{Made: true, Allowed: true}
	return nil
}

func denied(p call.Principal, action, resource, policy string) error {
	return apierr.AccessDenied("User: %s is not authorized to perform: %s on resource: %s because no %s policy allows the %s action",
		p.ARN, action, resource, policy, action)
}
