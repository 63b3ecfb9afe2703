package identity

import (
	"context"
	"slices"
	"time"
)

// InstanceProfile is an instance profile: the role of a machine.
type InstanceProfile struct {
	ID      string // "AIPA..."
	Account string
	Name    string
	Path    string
	Created time.Time
	Role    string `json:",omitempty"` // id of its role; "" none
	Tags    Tags   `json:",omitempty"`
}

var profileKind = kind[InstanceProfile]{
	name: "iam/instance-profile", id: func(p *InstanceProfile) string { return p.ID }, label: func(p *InstanceProfile) string { return p.Name },
}

// ARN returns the profile's ARN.
func (p *InstanceProfile) ARN() string { return arnOf(p.Account, "instance-profile", p.Path, p.Name) }

// InstanceProfile returns the instance profile with a name, or nil.
func (d *Directory) InstanceProfile(acct, name string) *InstanceProfile {
	return named(d.state.Load(), &profileKind, acct, name)
}

// InstanceProfiles returns the instance profiles of an account by name.
func (d *Directory) InstanceProfiles(acct string) []*InstanceProfile {
	return sorted(d.state.Load(), &profileKind, acct)
}

// CreateInstanceProfile makes an instance profile. Errors: EntityAlreadyExists,
// ValidationError, InvalidInput.
func (d *Directory) CreateInstanceProfile(ctx context.Context, acct, name, path string, tags Tags) (*InstanceProfile, error) {
	path, err := checkPath("Path", path)
	if err != nil {
		return nil, err
	}
	if err := checkName("InstanceProfileName", name, 128); err != nil {
		return nil, err
	}
	if err := CheckTags(tags); err != nil {
		return nil, err
	}
	p := &InstanceProfile{ID: newID(profilePrefix), Account: acct, Name: name, Path: path, Created: d.second(), Tags: slices.Clone(tags)}
	return p, d.change(ctx, func(t *tx) error {
		if old := taken(t.state, &profileKind, acct, name); old != nil {
			return apiError(codeExists, "Instance Profile %s already exists.", old.Name)
		}
		if err := full(t.state, &profileKind, acct, "InstanceProfilesPerAccount", maxProfiles); err != nil {
			return err
		}
		return put(t, &profileKind, acct, p)
	})
}

// DeleteInstanceProfile deletes an instance profile. Errors: NoSuchEntity;
// DeleteConflict for one that has a role.
func (d *Directory) DeleteInstanceProfile(ctx context.Context, acct, name string) error {
	return d.change(ctx, func(t *tx) error {
		p := named(t.state, &profileKind, acct, name)
		if p == nil {
			return missing(profileKind.name, name)
		}
		if err := cmpConflict(conflict{p.Role != "", "must remove roles from instance profile first"}); err != nil {
			return err
		}
		remove(t, &profileKind, acct, p)
		return nil
	})
}

// AddRoleToProfile gives an instance profile its role. Errors: NoSuchEntity;
// LimitExceeded for one that has a role; UnmodifiableEntity for a service-linked
// role.
func (d *Directory) AddRoleToProfile(ctx context.Context, acct, profile, role string) error {
	return d.change(ctx, func(t *tx) error {
		r := named(t.state, &roleKind, acct, role)
		switch {
		case r == nil:
			return missing(roleKind.name, role)
		case r.serviceLinked():
			return unmodifiable(r)
		}
		return edit(t, &profileKind, acct, profile, func(p *InstanceProfile) error {
			if p.Role != "" {
				return apiError(codeLimit, "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
			}
			p.Role = r.ID
			return nil
		})
	})
}

// RemoveRoleFromProfile takes the role from an instance profile. Errors:
// NoSuchEntity, also for a role that the profile does not have.
func (d *Directory) RemoveRoleFromProfile(ctx context.Context, acct, profile, role string) error {
	return d.change(ctx, func(t *tx) error {
		r := named(t.state, &roleKind, acct, role)
		return edit(t, &profileKind, acct, profile, func(p *InstanceProfile) error {
			if r == nil || p.Role != r.ID {
				return missing(roleKind.name, role)
			}
			p.Role = ""
			return nil
		})
	})
}

// TagInstanceProfile puts tags on an instance profile. Errors: NoSuchEntity and as
// CheckTags.
func (d *Directory) TagInstanceProfile(ctx context.Context, acct, name string, tags Tags) error {
	return d.change(ctx, func(t *tx) error {
		return edit(t, &profileKind, acct, name, func(p *InstanceProfile) (err error) {
			p.Tags, err = p.Tags.With(tags)
			return err
		})
	})
}

// UntagInstanceProfile takes tags off an instance profile. Errors: NoSuchEntity.
func (d *Directory) UntagInstanceProfile(ctx context.Context, acct, name string, tagKeys []string) error {
	return d.change(ctx, func(t *tx) error {
		return edit(t, &profileKind, acct, name, func(p *InstanceProfile) error {
			p.Tags = p.Tags.Without(tagKeys)
			return nil
		})
	})
}
