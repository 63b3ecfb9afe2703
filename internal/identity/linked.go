package identity

import (
	"context"
	"strings"
)

// linkedService is the only AWS service that has service-linked roles here.
const linkedService = "bedrock.amazonaws.com"

// CreateServiceLinkedRole makes the role that an AWS service assumes in an
// account: AWSServiceRoleForAmazonBedrock, with "_" and suffix behind it when there
// is one. Nobody but the service may assume or change it.
//
// Errors: InvalidInput for another service than bedrock.amazonaws.com and for a
// role that exists; ValidationError.
func (d *Directory) CreateServiceLinkedRole(ctx context.Context, acct, service, description, suffix string) (*Role, error) {
	if service != linkedService {
		return nil, apiError(codeInvalidInput, "AWSServiceName: only %s has service-linked roles here", linkedService)
	}
	name := "AWSServiceRoleForAmazonBedrock"
	if suffix != "" {
		name += "_" + suffix
	}
	r, err := d.makeRole(acct, "/aws-service-role/"+service+"/", NewRole{
		Name: name, Description: description,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`,
	})
	if err != nil {
		return nil, err
	}
	return r, d.change(ctx, func(t *tx) error {
		if taken(t.state, &roleKind, acct, name) != nil {
			return apiError(codeInvalidInput, "Service role name %s has been taken in this account, please try a different suffix.", name)
		}
		return d.putNewRole(t, r)
	})
}

// DeleteServiceLinkedRole deletes a service-linked role at once: no resource of
// Bedrock here depends on one. Errors: NoSuchEntity, InvalidInput for a role that
// is none.
func (d *Directory) DeleteServiceLinkedRole(ctx context.Context, acct, name string) (*Role, error) {
	var gone *Role
	err := d.change(ctx, func(t *tx) error {
		gone = named(t.state, &roleKind, acct, name)
		switch {
		case gone == nil:
			return missing(roleKind.name, name)
		case !gone.serviceLinked():
			return apiError(codeInvalidInput, "Role %s is not a service-linked role.", name)
		}
		remove(t, &roleKind, acct, gone)
		return nil
	})
	return gone, err
}

// ServiceLinked says which AWS service a service-linked role belongs to; "" for
// other roles.
func (r *Role) ServiceLinked() string {
	rest, ok := strings.CutPrefix(r.Path, "/aws-service-role/")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(rest, "/")
}
