package identity

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/keys"
)

// maxGroups is in how many groups a user may be.
const maxGroups = 10

// User is an IAM user.
type User struct {
	ID       string // "AIDA..."
	Account  string
	Name     string
	Path     string // "/" or "/team/"
	Created  time.Time
	Boundary string   `json:",omitempty"` // ARN of the permissions boundary
	Tags     Tags     `json:",omitempty"`
	Groups   []string `json:",omitempty"` // ids of groups, in the order of joining
	Grants
}

var userKind = kind[User]{
	name: "iam/user", id: func(u *User) string { return u.ID }, label: func(u *User) string { return u.Name },
	prepare: func(u *User) error { return u.Grants.prepare() },
}

// ARN returns the user's ARN.
func (u *User) ARN() string { return arnOf(u.Account, "user", u.Path, u.Name) }

// NewUser says what user to make.
type NewUser struct {
	Name     string // required
	Path     string // "" is "/"
	Boundary string // ARN of a managed policy; "" none
	Tags     Tags
}

// User returns the user with a name, or nil.
func (d *Directory) User(acct, name string) *User {
	return named(d.state.Load(), &userKind, acct, name)
}

// UserByID returns the user with an id, or nil.
func (d *Directory) UserByID(acct, id string) *User { return find(d.state.Load(), &userKind, acct, id) }

// Users returns the users of an account by name.
func (d *Directory) Users(acct string) []*User {
	return sorted(d.state.Load(), &userKind, acct)
}

// sorted returns the entities of a kind by their names.
func sorted[T any](s *state, k *kind[T], acct string) []*T {
	t := all(s, k, acct)
	out := make([]*T, 0, len(t.byID))
	for _, v := range t.byID {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b *T) int { return cmp.Compare(k.key(a), k.key(b)) })
	return out
}

// CreateUser makes a user. Errors: EntityAlreadyExists, also for a name that
// differs in case alone; NoSuchEntity for the boundary; ValidationError,
// InvalidInput.
func (d *Directory) CreateUser(ctx context.Context, acct string, in NewUser) (*User, error) {
	path, err := checkPath("Path", in.Path)
	if err != nil {
		return nil, err
	}
	if err := checkName("UserName", in.Name, 64); err != nil {
		return nil, err
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	u := &User{
		ID: newID(userPrefix), Account: acct, Name: in.Name, Path: path, Created: d.second(),
		Boundary: in.Boundary, Tags: slices.Clone(in.Tags),
	}
	return u, d.change(ctx, func(t *tx) error {
		if old := taken(t.state, &userKind, acct, in.Name); old != nil {
			return apiError(codeExists, "User with name %s already exists.", old.Name)
		}
		if err := full(t.state, &userKind, acct, "UsersPerAccount", maxUsers); err != nil {
			return err
		}
		if err := d.checkBoundary(t.state, acct, in.Boundary); err != nil {
			return err
		}
		return put(t, &userKind, acct, u)
	})
}

// second is the time now; IAM tells times in whole seconds.
func (d *Directory) second() time.Time { return d.now().UTC().Truncate(time.Second) }

// RenameUser gives a user another name or path; "" keeps the old one. Keys,
// groups and policies stay.
//
// Errors: NoSuchEntity, EntityAlreadyExists, ValidationError.
func (d *Directory) RenameUser(ctx context.Context, acct, name, newName, newPath string) error {
	if newName != "" {
		if err := checkName("NewUserName", newName, 64); err != nil {
			return err
		}
	}
	if newPath != "" {
		if _, err := checkPath("NewPath", newPath); err != nil {
			return err
		}
	}
	return d.change(ctx, func(t *tx) error {
		return edit(t, &userKind, acct, name, func(u *User) error {
			if old := taken(t.state, &userKind, acct, newName); newName != "" && old != nil && old.ID != u.ID {
				return apiError(codeExists, "User with name %s already exists.", old.Name)
			}
			u.Name, u.Path = cmp.Or(newName, u.Name), cmp.Or(newPath, u.Path)
			return nil
		})
	})
}

// DeleteUser deletes a user.
//
// Errors: NoSuchEntity; DeleteConflict for a user who still has keys, policies,
// groups or devices.
func (d *Directory) DeleteUser(ctx context.Context, acct, name string) error {
	return d.change(ctx, func(t *tx) error {
		u := named(t.state, &userKind, acct, name)
		if u == nil {
			return missing(userKind.name, name)
		}
		if err := d.userInUse(ctx, t.state, u); err != nil {
			return err
		}
		remove(t, &userKind, acct, u)
		return nil
	})
}

// userInUse is the DeleteConflict of a user who may not be deleted yet.
func (d *Directory) userInUse(ctx context.Context, s *state, u *User) error {
	keyList, err := d.keys.Owned(ctx, u.Account, u.ID)
	if err != nil {
		return err
	}
	for _, k := range keyList {
		if k.Kind == keys.Bearer {
			return apiError(codeDeleteConflict, "Cannot delete entity, must delete service specific credentials first.")
		}
	}
	return cmpConflict(
		conflict{len(keyList) > 0, "must delete access keys first"},
		conflict{len(u.Groups) > 0, "must remove users from group first"},
		conflict{len(devicesOf(s, u.Account, u.ID)) > 0, "must delete MFA device first"},
		conflict{len(u.Attached) > 0, "must detach all policies first"},
		conflict{len(u.Inline) > 0, "must delete policies first"},
	)
}

// conflict is a reason why an entity cannot be deleted.
type conflict struct {
	holds bool
	what  string
}

// cmpConflict is the DeleteConflict for the first reason that holds, or nil.
func cmpConflict(reasons ...conflict) error {
	for _, r := range reasons {
		if r.holds {
			return apiError(codeDeleteConflict, "Cannot delete entity, %s.", r.what)
		}
	}
	return nil
}

// TagUser puts tags on a user. Errors: NoSuchEntity and as CheckTags.
func (d *Directory) TagUser(ctx context.Context, acct, name string, tags Tags) error {
	return d.change(ctx, func(t *tx) error {
		return edit(t, &userKind, acct, name, func(u *User) (err error) {
			u.Tags, err = u.Tags.With(tags)
			return err
		})
	})
}

// UntagUser takes tags off a user. Errors: NoSuchEntity.
func (d *Directory) UntagUser(ctx context.Context, acct, name string, tagKeys []string) error {
	return d.change(ctx, func(t *tx) error {
		return edit(t, &userKind, acct, name, func(u *User) error {
			u.Tags = u.Tags.Without(tagKeys)
			return nil
		})
	})
}
