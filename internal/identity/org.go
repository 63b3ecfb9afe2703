package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const lowerDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// randomText is n random characters of an alphabet of at most 256.
func randomText(alphabet string, n int) string {
	out := make([]byte, 0, n)
	fair := 256 - 256%len(alphabet) // bytes from here on would favour some characters
	for len(out) < n {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			if len(out) < n && int(c) < fair {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Organization returns the organisation, or nil.
func (d *Directory) Organization() *Organization { return treeOf(d.state.Load()).org }

// OrgUnit returns an organisational unit, or nil.
func (d *Directory) OrgUnit(id string) *Unit { return treeOf(d.state.Load()).units[id] }

// OrgMember returns an account's place in the organisation, or nil.
func (d *Directory) OrgMember(account string) *Member { return treeOf(d.state.Load()).members[account] }

// OrgUnits returns the units right below a root or unit, by name. Errors:
// ParentNotFoundException.
func (d *Directory) OrgUnits(parent string) ([]*Unit, error) {
	t := treeOf(d.state.Load())
	if !t.isParent(parent) {
		return nil, noParent()
	}
	return t.unitsBelow(parent), nil
}

// OrgMembers returns the accounts right below a root or unit, by number; all of the
// organisation when parent is "". Errors: ParentNotFoundException.
func (d *Directory) OrgMembers(parent string) ([]*Member, error) {
	t := treeOf(d.state.Load())
	if parent != "" && !t.isParent(parent) {
		return nil, noParent()
	}
	return t.membersBelow(parent), nil
}

// OrgParent returns the id that a unit or account lies right below. Errors:
// ChildNotFoundException.
func (d *Directory) OrgParent(child string) (string, error) {
	p := treeOf(d.state.Load()).parent(child)
	if p == "" {
		return "", orgError(codeOrgNoChild, "You provided an organizational unit or account that is not in the organization.")
	}
	return p, nil
}

// OrgPath is aws:PrincipalOrgPaths of an account, e.g. "o-exampleorg/r-ab12/ou-ab12-11111111/";
// "" outside of the organisation.
func (d *Directory) OrgPath(account string) string { return treeOf(d.state.Load()).path(account) }

func noParent() error {
	return orgError(codeOrgNoParent, "You provided a root or organizational unit that does not exist.")
}

// orgChange is change for the organisation: fn gets the tree, and the errors are
// those of the Organizations API. Errors: AWSOrganizationsNotInUseException.
func (d *Directory) orgChange(ctx context.Context, fn func(t *tx, tree orgTree) error) error {
	return orgFailure(d.change(ctx, func(t *tx) error {
		tree := treeOf(t.state)
		if tree.org == nil {
			return orgError(codeOrgNotInUse, "Your account is not a member of an organization.")
		}
		return fn(t, tree)
	}))
}

// CreateOrganization makes the organisation: a root, service control policies
// enabled, and every account of the installation right below the root. Errors:
// AlreadyInOrganizationException.
func (d *Directory) CreateOrganization(ctx context.Context) (*Organization, error) {
	var made *Organization
	err := orgFailure(d.change(ctx, func(t *tx) error {
		if treeOf(t.state).org != nil {
			return orgError(codeOrgAlready, "The AWS account is already a member of an organization.")
		}
		var err error
		made, err = d.organize(t)
		return err
	}))
	return made, err
}

// organize makes the organisation within a change.
func (d *Directory) organize(t *tx) (*Organization, error) {
	now := d.now().UTC().Truncate(time.Second)
	o := &Organization{
		ID: "o-" + randomText(lowerDigits, 10), Root: "r-" + randomText(lowerDigits, 4), Management: d.management,
		Created: now, Control: true, Attached: []string{FullAccessPolicy},
	}
	if err := put(t, &orgKind, "", o); err != nil {
		return nil, err
	}
	full := &ControlPolicy{
		ID: FullAccessPolicy, Name: "FullAWSAccess", Description: "Allows access to every operation", Text: fullAccessText, Created: now,
	}
	if err := put(t, &controlKind, "", full); err != nil {
		return nil, err
	}
	for _, a := range all(t.state, &accountKind, "").byID {
		if err := d.join(t, a.ID, o.Root, ""); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// join puts an account into the organisation, if there is one. It is called for
// every account that is made, so that none escapes the service control policies
// of the installation.
func (d *Directory) join(t *tx, account, parent, request string) error {
	tree := treeOf(t.state)
	if tree.org == nil || tree.members[account] != nil {
		return nil
	}
	if parent == "" {
		parent = tree.org.Root
	}
	m := &Member{Account: account, Parent: parent, Joined: d.now().UTC().Truncate(time.Second), Request: request}
	if tree.org.Control {
		m.Attached = []string{FullAccessPolicy}
	}
	return put(t, &memberKind, "", m)
}

// CreateUnit makes an organisational unit below a root or unit.
//
// Errors: ParentNotFoundException, DuplicateOrganizationalUnitException,
// ConstraintViolationException beyond 5 levels or 2000 units, InvalidInputException.
func (d *Directory) CreateUnit(ctx context.Context, parent, name string, tags Tags) (*Unit, error) {
	if err := checkOrgName("Name", name, 128); err != nil {
		return nil, err
	}
	if err := orgFailure(CheckTags(tags)); err != nil {
		return nil, err
	}
	var made *Unit
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		switch {
		case !tree.isParent(parent):
			return noParent()
		case tree.depth(parent) >= maxUnitDepth:
			return orgReason(codeOrgConstraint, "OU_DEPTH_LIMIT_EXCEEDED", "You have exceeded the depth of organizational units, %d.", maxUnitDepth)
		case len(tree.units) >= maxUnits:
			return orgReason(codeOrgConstraint, "OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of organizational units, %d.", maxUnits)
		}
		if err := tree.unitNameFree(parent, name, ""); err != nil {
			return err
		}
		made = &Unit{
			ID:     "ou-" + strings.TrimPrefix(tree.org.Root, "r-") + "-" + randomText(lowerDigits, 8),
			Parent: parent, Name: name, Created: d.now().UTC().Truncate(time.Second), Tags: tags,
		}
		if tree.org.Control {
			made.Attached = []string{FullAccessPolicy}
		}
		return put(t, &unitKind, "", made)
	})
	return made, err
}

// unitNameFree refuses a name that another unit of the parent has.
func (t orgTree) unitNameFree(parent, name, except string) error {
	for _, u := range t.units {
		if u.Parent == parent && u.Name == name && u.ID != except {
			return orgError(codeOrgDuplicateUnit, "An organizational unit with this name exists below this parent.")
		}
	}
	return nil
}

// RenameUnit gives a unit another name. Errors: OrganizationalUnitNotFoundException,
// DuplicateOrganizationalUnitException, InvalidInputException.
func (d *Directory) RenameUnit(ctx context.Context, id, name string) (*Unit, error) {
	if err := checkOrgName("Name", name, 128); err != nil {
		return nil, err
	}
	var made *Unit
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		u := tree.units[id]
		if u == nil {
			return noUnit()
		}
		if err := tree.unitNameFree(u.Parent, name, id); err != nil {
			return err
		}
		c := *u
		c.Name, made = name, &c
		return put(t, &unitKind, "", made)
	})
	return made, err
}

// DeleteUnit deletes an empty unit. Errors: OrganizationalUnitNotFoundException,
// OrganizationalUnitNotEmptyException.
func (d *Directory) DeleteUnit(ctx context.Context, id string) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		u := tree.units[id]
		if u == nil {
			return noUnit()
		}
		if len(tree.unitsBelow(id)) > 0 || len(tree.membersBelow(id)) > 0 {
			return orgError(codeOrgUnitNotEmpty, "The organizational unit is not empty: move its accounts and remove its organizational units first.")
		}
		remove(t, &unitKind, "", u)
		return nil
	})
}

func noUnit() error {
	return orgError(codeOrgNoUnit, "You specified an organizational unit that does not exist.")
}

// MoveAccount moves an account from one parent to another.
//
// Errors: AccountNotFoundException, SourceParentNotFoundException when it does not
// lie there, DestinationParentNotFoundException, DuplicateAccountException when
// both are the same.
func (d *Directory) MoveAccount(ctx context.Context, account, from, to string) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		m := tree.members[account]
		switch {
		case m == nil:
			return noMember()
		case m.Parent != from:
			return orgError(codeOrgNoSource, "The account does not lie below the source parent that you specified.")
		case !tree.isParent(to):
			return orgError(codeOrgNoDestination, "You specified a destination parent that does not exist.")
		case from == to:
			return orgError(codeOrgDuplicateAccount, "The account lies below the destination parent already.")
		}
		c := *m
		c.Parent = to
		return put(t, &memberKind, "", &c)
	})
}

func noMember() error {
	return orgError(codeOrgNoAccount, "You specified an account that is not in the organization.")
}

// TagOrganization puts tags over those of a root, unit, account or policy.
// Errors: TargetNotFoundException, InvalidInputException, ConstraintViolationException.
func (d *Directory) TagOrganization(ctx context.Context, id string, tags Tags) error {
	return d.changeOrgTags(ctx, id, func(old Tags) (Tags, error) { return old.With(tags) })
}

// UntagOrganization takes tags away. Errors: TargetNotFoundException.
func (d *Directory) UntagOrganization(ctx context.Context, id string, keys []string) error {
	return d.changeOrgTags(ctx, id, func(old Tags) (Tags, error) { return old.Without(keys), nil })
}

func (d *Directory) changeOrgTags(ctx context.Context, id string, edit func(Tags) (Tags, error)) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		old, ok := tree.tags(id)
		if !ok {
			return noTarget()
		}
		tags, err := edit(old)
		if err != nil {
			return err
		}
		if p := tree.policies[id]; p != nil {
			if p.AWSManaged() {
				return immutable()
			}
			c := *p
			c.Tags = tags
			return put(t, &controlKind, "", &c)
		}
		return tree.edit(t, id, func(_ *[]string, held *Tags) { *held = tags })
	})
}

// OrganizationTags returns the tags of a root, unit, account or policy. Errors:
// TargetNotFoundException.
func (d *Directory) OrganizationTags(id string) (Tags, error) {
	tags, ok := treeOf(d.state.Load()).tags(id)
	if !ok {
		return nil, noTarget()
	}
	return tags, nil
}

// tags returns the tags of what has an id.
func (t orgTree) tags(id string) (Tags, bool) {
	switch {
	case t.org == nil:
		return nil, false
	case id == t.org.Root:
		return t.org.Tags, true
	case t.units[id] != nil:
		return t.units[id].Tags, true
	case t.members[id] != nil:
		return t.members[id].Tags, true
	case t.policies[id] != nil:
		return t.policies[id].Tags, true
	}
	return nil, false
}

// edit stores a root, unit or account with other attachments or tags. The
// attachments that fn gets are a copy.
func (t orgTree) edit(x *tx, id string, fn func(attached *[]string, tags *Tags)) error {
	switch {
	case id == t.org.Root:
		c := *t.org
		c.Attached = slices.Clone(c.Attached)
		fn(&c.Attached, &c.Tags)
		return put(x, &orgKind, "", &c)
	case t.units[id] != nil:
		c := *t.units[id]
		c.Attached = slices.Clone(c.Attached)
		fn(&c.Attached, &c.Tags)
		return put(x, &unitKind, "", &c)
	case t.members[id] != nil:
		c := *t.members[id]
		c.Attached = slices.Clone(c.Attached)
		fn(&c.Attached, &c.Tags)
		return put(x, &memberKind, "", &c)
	}
	return fmt.Errorf("organisation: nothing has the id %s", id)
}

func noTarget() error {
	return orgError(codeOrgNoTarget, "You specified a root, organizational unit, account or policy that does not exist.")
}

// checkOrgName checks a name of the Organizations API.
func checkOrgName(field, name string, most int) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > most {
		return orgReason(codeOrgInvalidInput, "MAX_LENGTH_EXCEEDED", "%s: must have 1 to %d characters", field, most)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return orgReason(codeOrgInvalidInput, "INVALID_PATTERN", "%s: must not have control characters", field)
		}
	}
	return nil
}
