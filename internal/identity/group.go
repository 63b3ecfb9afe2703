package identity

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Group is an IAM group.
type Group struct {
	ID      string // "AGPA..."
	Account string
	Name    string
	Path    string
	Created time.Time
	Grants
}

var groupKind = kind[Group]{
	name: "iam/group", id: func(g *Group) string { return g.ID }, label: func(g *Group) string { return g.Name },
	prepare: func(g *Group) error { return g.Grants.prepare() },
}

// ARN returns the group's ARN.
func (g *Group) ARN() string { return arnOf(g.Account, "group", g.Path, g.Name) }

// Group returns the group with a name, or nil.
func (d *Directory) Group(acct, name string) *Group {
	return named(d.state.Load(), &groupKind, acct, name)
}

// Groups returns the groups of an account by name.
func (d *Directory) Groups(acct string) []*Group { return sorted(d.state.Load(), &groupKind, acct) }

// GroupMembers returns the users of a group by name.
func (d *Directory) GroupMembers(g *Group) []*User {
	return slices.DeleteFunc(d.Users(g.Account), func(u *User) bool { return !slices.Contains(u.Groups, g.ID) })
}

// GroupsOf returns the groups of a user, in the order of joining.
func (d *Directory) GroupsOf(u *User) []*Group {
	s := d.state.Load()
	out := make([]*Group, 0, len(u.Groups))
	for _, id := range u.Groups {
		if g := find(s, &groupKind, u.Account, id); g != nil {
			out = append(out, g)
		}
	}
	return out
}

// CreateGroup makes a group. Errors: EntityAlreadyExists, ValidationError.
func (d *Directory) CreateGroup(ctx context.Context, acct, name, path string) (*Group, error) {
	path, err := checkPath("Path", path)
	if err != nil {
		return nil, err
	}
	if err := checkName("GroupName", name, 128); err != nil {
		return nil, err
	}
	g := &Group{ID: newID(groupPrefix), Account: acct, Name: name, Path: path, Created: d.second()}
	return g, d.change(ctx, func(t *tx) error {
		if old := taken(t.state, &groupKind, acct, name); old != nil {
			return apiError(codeExists, "Group with name %s already exists.", old.Name)
		}
		if err := full(t.state, &groupKind, acct, "GroupsPerAccount", maxGroupsOfAccount); err != nil {
			return err
		}
		return put(t, &groupKind, acct, g)
	})
}

// RenameGroup gives a group another name or path; "" keeps the old one.
//
// Errors: NoSuchEntity, EntityAlreadyExists, ValidationError.
func (d *Directory) RenameGroup(ctx context.Context, acct, name, newName, newPath string) error {
	if newName != "" {
		if err := checkName("NewGroupName", newName, 128); err != nil {
			return err
		}
	}
	if newPath != "" {
		if _, err := checkPath("NewPath", newPath); err != nil {
			return err
		}
	}
	return d.change(ctx, func(t *tx) error {
		return edit(t, &groupKind, acct, name, func(g *Group) error {
			if old := taken(t.state, &groupKind, acct, newName); newName != "" && old != nil && old.ID != g.ID {
				return apiError(codeExists, "Group with name %s already exists.", old.Name)
			}
			g.Name, g.Path = cmp.Or(newName, g.Name), cmp.Or(newPath, g.Path)
			return nil
		})
	})
}

// DeleteGroup deletes a group. Errors: NoSuchEntity; DeleteConflict for a group
// that has users or policies.
func (d *Directory) DeleteGroup(ctx context.Context, acct, name string) error {
	return d.change(ctx, func(t *tx) error {
		g := named(t.state, &groupKind, acct, name)
		if g == nil {
			return missing(groupKind.name, name)
		}
		users := false
		for _, u := range all(t.state, &userKind, acct).byID {
			users = users || slices.Contains(u.Groups, g.ID)
		}
		err := cmpConflict(
			conflict{users, "must remove users from group first"},
			conflict{len(g.Attached) > 0, "must detach all policies first"},
			conflict{len(g.Inline) > 0, "must delete policies first"},
		)
		if err == nil {
			remove(t, &groupKind, acct, g)
		}
		return err
	})
}

// JoinGroup puts a user into a group; once more is no error. Errors:
// NoSuchEntity; LimitExceeded beyond 10 groups.
func (d *Directory) JoinGroup(ctx context.Context, acct, group, user string) error {
	return d.change(ctx, func(t *tx) error {
		g := named(t.state, &groupKind, acct, group)
		if g == nil {
			return missing(groupKind.name, group)
		}
		return edit(t, &userKind, acct, user, func(u *User) error {
			switch {
			case slices.Contains(u.Groups, g.ID):
			case len(u.Groups) >= maxGroups:
				return apiError(codeLimit, "Cannot exceed quota for GroupsPerUser: %d", maxGroups)
			default:
				u.Groups = append(slices.Clone(u.Groups), g.ID)
			}
			return nil
		})
	})
}

// LeaveGroup takes a user out of a group; one who is not in it is no error.
// Errors: NoSuchEntity.
func (d *Directory) LeaveGroup(ctx context.Context, acct, group, user string) error {
	return d.change(ctx, func(t *tx) error {
		g := named(t.state, &groupKind, acct, group)
		if g == nil {
			return missing(groupKind.name, group)
		}
		return edit(t, &userKind, acct, user, func(u *User) error {
			u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(id string) bool { return id == g.ID })
			return nil
		})
	})
}
