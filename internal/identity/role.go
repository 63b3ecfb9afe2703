package identity

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// The bounds of MaxSessionDuration.
const (
	minSession = time.Hour // also the default
	maxSession = 12 * time.Hour
)

// Role is an IAM role.
type Role struct {
	ID          string // "AROA..."
	Account     string
	Name        string
	Path        string // "/aws-service-role/..." for service-linked roles, which nobody may change
	Created     time.Time
	Description string        `json:",omitempty"`
	MaxSession  time.Duration // 1 to 12 hours
	Trust       string        // the trust policy, IAM JSON
	Boundary    string        `json:",omitempty"` // ARN of the permissions boundary
	Tags        Tags          `json:",omitempty"`
	Grants

	trust *policy.Document
}

var roleKind = kind[Role]{
	name: "iam/role", id: func(r *Role) string { return r.ID }, label: func(r *Role) string { return r.Name },
	prepare: func(r *Role) (err error) {
		if r.trust == nil || string(r.trust.Text()) != r.Trust {
			if r.trust, err = parse(r.Trust, policy.Trust); err != nil {
				return err
			}
		}
		return r.Grants.prepare()
	},
}

// ARN returns the role's ARN.
func (r *Role) ARN() string { return arnOf(r.Account, "role", r.Path, r.Name) }

// TrustDocument returns the compiled trust policy.
func (r *Role) TrustDocument() *policy.Document { return r.trust }

// serviceLinked tells whether the role belongs to an AWS service.
func (r *Role) serviceLinked() bool { return strings.HasPrefix(r.Path, "/aws-service-role/") }

func unmodifiable(r *Role) error {
	return apiError(codeUnmodifiable, "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
}

// NewRole says what role to make.
type NewRole struct {
	Name        string // required
	Path        string // "" is "/"
	Description string
	Trust       string        // required: who may assume it, IAM JSON
	MaxSession  time.Duration // 0 means 1 hour
	Boundary    string        // ARN of a managed policy; "" none
	Tags        Tags
}

// Role returns the role with a name, or nil.
func (d *Directory) Role(acct, name string) *Role {
	return named(d.state.Load(), &roleKind, acct, name)
}

// RoleByID returns the role with an id, or nil.
func (d *Directory) RoleByID(acct, id string) *Role { return find(d.state.Load(), &roleKind, acct, id) }

// RoleByARN returns the role that an ARN names exactly, of whatever account, or nil.
func (d *Directory) RoleByARN(roleARN string) *Role {
	acct, kind, path, name, ok := splitARN(roleARN)
	if !ok || kind != "role" {
		return nil
	}
	if r := d.Role(acct, name); r != nil && r.Path == path {
		return r
	}
	return nil
}

// Roles returns the roles of an account by name.
func (d *Directory) Roles(acct string) []*Role { return sorted(d.state.Load(), &roleKind, acct) }

// CreateRole makes a role.
//
// Errors: EntityAlreadyExists, also for a name that differs in case alone;
// MalformedPolicyDocument; LimitExceeded for a trust policy over 2048 characters;
// NoSuchEntity for the boundary; ValidationError, InvalidInput.
func (d *Directory) CreateRole(ctx context.Context, acct string, in NewRole) (*Role, error) {
	path, err := checkPath("Path", in.Path)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "/aws-service-role/") {
		return nil, apiError(codeInvalidInput, "Path: %s is kept for service-linked roles", path)
	}
	r, err := d.makeRole(acct, path, in)
	if err != nil {
		return nil, err
	}
	return r, d.change(ctx, func(t *tx) error { return d.putNewRole(t, r) })
}

// makeRole checks a new role, but for what depends on the state.
func (d *Directory) makeRole(acct, path string, in NewRole) (*Role, error) {
	if err := checkName("RoleName", in.Name, 64); err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if in.MaxSession == 0 {
		in.MaxSession = minSession
	}
	if err := checkMaxSession(in.MaxSession); err != nil {
		return nil, err
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	trust, err := parseTrust(in.Trust)
	if err != nil {
		return nil, err
	}
	return &Role{
		ID: newID(rolePrefix), Account: acct, Name: in.Name, Path: path, Created: d.second(), Description: in.Description,
		MaxSession: in.MaxSession, Trust: in.Trust, trust: trust, Boundary: in.Boundary, Tags: slices.Clone(in.Tags),
	}, nil
}

func (d *Directory) putNewRole(t *tx, r *Role) error {
	if old := taken(t.state, &roleKind, r.Account, r.Name); old != nil {
		return apiError(codeExists, "Role with name %s already exists.", old.Name)
	}
	if err := full(t.state, &roleKind, r.Account, "RolesPerAccount", maxRoles); err != nil {
		return err
	}
	if err := d.checkBoundary(t.state, r.Account, r.Boundary); err != nil {
		return err
	}
	return put(t, &roleKind, r.Account, r)
}

func parseTrust(text string) (*policy.Document, error) {
	doc, err := parse(text, policy.Trust)
	if err != nil {
		return nil, err
	}
	if policy.Size([]byte(text), policy.Trust) > policy.MaxTrust {
		return nil, apiError(codeLimit, "Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrust)
	}
	return doc, nil
}

func checkMaxSession(d time.Duration) error {
	if d < minSession || d > maxSession {
		return apiError(codeValidation, "MaxSessionDuration: must be 3600 to 43200 seconds")
	}
	return nil
}

func checkDescription(s string) error {
	if utf8.RuneCountInString(s) > 1000 {
		return apiError(codeValidation, "Description: must have at most 1000 characters")
	}
	return nil
}

// RoleChange says what to change of a role; nil keeps what is there.
type RoleChange struct {
	Description *string
	MaxSession  *time.Duration
	Trust       *string
}

// ChangeRole changes a role.
//
// Errors: NoSuchEntity; UnmodifiableEntity for a service-linked role;
// MalformedPolicyDocument; LimitExceeded; ValidationError.
func (d *Directory) ChangeRole(ctx context.Context, acct, name string, in RoleChange) (*Role, error) {
	var changed *Role
	err := d.editRole(ctx, acct, name, func(r *Role) error {
		if in.Description != nil {
			if err := checkDescription(*in.Description); err != nil {
				return err
			}
			r.Description = *in.Description
		}
		if in.MaxSession != nil {
			if err := checkMaxSession(*in.MaxSession); err != nil {
				return err
			}
			r.MaxSession = *in.MaxSession
		}
		if in.Trust != nil {
			doc, err := parseTrust(*in.Trust)
			if err != nil {
				return err
			}
			r.Trust, r.trust = *in.Trust, doc
		}
		changed = r
		return nil
	})
	return changed, err
}

func (d *Directory) editRole(ctx context.Context, acct, name string, fn func(r *Role) error) error {
	return d.change(ctx, func(t *tx) error {
		return edit(t, &roleKind, acct, name, func(r *Role) error {
			if r.serviceLinked() {
				return unmodifiable(r)
			}
			return fn(r)
		})
	})
}

// DeleteRole deletes a role.
//
// Errors: NoSuchEntity; UnmodifiableEntity for a service-linked role;
// DeleteConflict for a role that has policies or stands in an instance profile.
func (d *Directory) DeleteRole(ctx context.Context, acct, name string) error {
	return d.change(ctx, func(t *tx) error {
		r := named(t.state, &roleKind, acct, name)
		switch {
		case r == nil:
			return missing(roleKind.name, name)
		case r.serviceLinked():
			return unmodifiable(r)
		}
		profiles := false
		for _, p := range all(t.state, &profileKind, acct).byID {
			profiles = profiles || p.Role == r.ID
		}
		err := cmpConflict(
			conflict{profiles, "must remove roles from instance profile first"},
			conflict{len(r.Attached) > 0, "must detach all policies first"},
			conflict{len(r.Inline) > 0, "must delete policies first"},
		)
		if err == nil {
			remove(t, &roleKind, acct, r)
		}
		return err
	})
}

// TagRole puts tags on a role. Errors: NoSuchEntity, UnmodifiableEntity, and as
// CheckTags.
func (d *Directory) TagRole(ctx context.Context, acct, name string, tags Tags) error {
	return d.editRole(ctx, acct, name, func(r *Role) (err error) {
		r.Tags, err = r.Tags.With(tags)
		return err
	})
}

// UntagRole takes tags off a role. Errors: NoSuchEntity, UnmodifiableEntity.
func (d *Directory) UntagRole(ctx context.Context, acct, name string, tagKeys []string) error {
	return d.editRole(ctx, acct, name, func(r *Role) error {
		r.Tags = r.Tags.Without(tagKeys)
		return nil
	})
}
