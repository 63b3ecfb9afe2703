package identity

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

const (
	// DefaultAccessRole is the role by which the management account reaches an account
	// that it made.
	DefaultAccessRole = "OrganizationAccountAccessRole"

	administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
	maxRequests   = 1000 // requests that are remembered; the oldest go first
)

// AccountRequest is what became of a CreateAccount.
type AccountRequest struct {
	ID        string // "car-" and 32 characters
	Name      string
	Requested time.Time
	Completed time.Time
	Account   string // the new account; "" when it failed
	Failure   string // as the API names it, e.g. "EMAIL_ALREADY_EXISTS"; "" when it succeeded
}

// NewAccount says what account to make.
type NewAccount struct {
	Name  string // required, 1 to 50 characters; need not be unique
	Email string // required, unique in the installation
	Role  string // by which the management account reaches it; "" means DefaultAccessRole
	Tags  Tags
}

// CreateOrgAccount makes an account right below the root of the organisation, with
// a role that the management account may assume and that may do everything. It is
// done when CreateOrgAccount returns; an email that another account has makes a
// request that failed, which is no error.
//
// Errors: AWSOrganizationsNotInUseException, InvalidInputException,
// ConstraintViolationException beyond 10000 accounts.
func (d *Directory) CreateOrgAccount(ctx context.Context, in NewAccount) (*AccountRequest, error) {
	if err := checkOrgName("AccountName", in.Name, 50); err != nil {
		return nil, err
	}
	if err := orgFailure(CheckTags(in.Tags)); err != nil {
		return nil, err
	}
	if in.Role = cmp.Or(in.Role, DefaultAccessRole); checkName("RoleName", in.Role, 64) != nil {
		return nil, orgReason(codeOrgInvalidInput, "INVALID_PATTERN", "RoleName: must have 1 to 64 letters, digits and characters of +=,.@_-")
	}
	var made *AccountRequest
	err := d.orgChange(ctx, func(t *tx, tree orgTree) error {
		now := d.second()
		made = &AccountRequest{ID: "car-" + randomText(lowerDigits, 32), Name: in.Name, Requested: now, Completed: now}
		accounts := all(t.state, &accountKind, "").byID
		if len(accounts) >= maxMembers {
			return orgReason(codeOrgConstraint, "ACCOUNT_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of accounts, %d.", maxMembers)
		}
		for _, a := range accounts {
			if strings.EqualFold(a.Email, in.Email) {
				made.Failure = "EMAIL_ALREADY_EXISTS"
			}
		}
		if made.Failure == "" {
			var err error
			if made.Account, err = d.putAccount(t, tree, in, made); err != nil {
				return err
			}
		}
		if err := put(t, &requestKind, "", made); err != nil {
			return err
		}
		forgetRequests(t)
		return nil
	})
	return made, err
}

// putAccount makes account, membership and access role within a change.
func (d *Directory) putAccount(t *tx, tree orgTree, in NewAccount, r *AccountRequest) (string, error) {
	id := ""
	for id == "" || find(t.state, &accountKind, "", id) != nil || t.state.accounts[id] != nil {
		id = randomText("123456789", 1) + randomText("0123456789", 11)
	}
	a := &Account{ID: id, Name: in.Name, Email: in.Email, Status: AccountActive, Created: r.Completed}
	if err := put(t, &accountKind, "", a); err != nil {
		return "", err
	}
	m := &Member{Account: id, Parent: tree.org.Root, Joined: r.Completed, Request: r.ID, Tags: in.Tags}
	if tree.org.Control {
		m.Attached = []string{FullAccessPolicy}
	}
	if err := put(t, &memberKind, "", m); err != nil {
		return "", err
	}
	role, err := d.makeRole(id, "/", NewRole{
		Name:  in.Role,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + tree.org.Management + `:root"},"Action":"sts:AssumeRole"}]}`,
	})
	if err != nil {
		return "", err
	}
	role.Attached = []string{administrator}
	return id, d.putNewRole(t, role)
}

// forgetRequests drops the oldest requests beyond maxRequests.
func forgetRequests(t *tx) {
	list := oldestFirst(all(t.state, &requestKind, "").byID)
	for _, r := range list[:max(0, len(list)-maxRequests)] {
		remove(t, &requestKind, "", r)
	}
}

func oldestFirst(m map[string]*AccountRequest) []*AccountRequest {
	return slices.SortedFunc(maps.Values(m), func(a, b *AccountRequest) int {
		return cmp.Or(a.Requested.Compare(b.Requested), cmp.Compare(a.ID, b.ID))
	})
}

// AccountRequest returns what became of a CreateAccount. Errors:
// CreateAccountStatusNotFoundException.
func (d *Directory) AccountRequest(id string) (*AccountRequest, error) {
	if r := find(d.state.Load(), &requestKind, "", id); r != nil {
		return r, nil
	}
	return nil, orgError(codeOrgNoRequest, "We can't find a create account request with the id that you specified.")
}

// AccountRequests returns the last 1000 requests, oldest first.
func (d *Directory) AccountRequests() []*AccountRequest {
	return oldestFirst(all(d.state.Load(), &requestKind, "").byID)
}

// CloseAccount closes an account of the organisation for good: none of its keys
// works any more. What it has stays.
//
// Errors: AccountNotFoundException, AccountAlreadyClosedException,
// ConstraintViolationException for the management account.
func (d *Directory) CloseAccount(ctx context.Context, id string) error {
	return d.orgChange(ctx, func(t *tx, tree orgTree) error {
		a := find(t.state, &accountKind, "", id)
		switch {
		case a == nil || tree.members[id] == nil:
			return noMember()
		case id == tree.org.Management:
			return orgReason(codeOrgConstraint, "CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "You can't close the management account.")
		case a.Status != AccountActive:
			return orgError(codeOrgAlreadyClosed, "The account is closed already.")
		}
		c := *a
		c.Status = AccountSuspended
		return put(t, &accountKind, "", &c)
	})
}

// EnsureAccount makes the record of an account that is known by a key alone, and a
// member of the organisation if there is one. It does nothing for an account that
// exists. id must be 12 digits.
func (d *Directory) EnsureAccount(ctx context.Context, id string) error {
	if !arn.ValidAccount(id) {
		return apiError(codeValidation, "account: must be 12 digits")
	}
	if d.Account(id) != nil {
		return nil
	}
	return d.change(ctx, func(t *tx) error {
		if find(t.state, &accountKind, "", id) != nil {
			return nil
		}
		a := &Account{ID: id, Name: id, Email: id + "@outcrop.invalid", Status: AccountActive, Created: d.second()}
		if err := put(t, &accountKind, "", a); err != nil {
			return err
		}
		return d.join(t, id, "", "")
	})
}

// adopt makes the records of accounts that have keys and nothing else.
func (d *Directory) adopt(ctx context.Context) error {
	list, err := d.keys.List(ctx)
	if err != nil {
		return err
	}
	for _, k := range list {
		if err := d.EnsureAccount(ctx, k.Account); err != nil {
			return err
		}
	}
	return nil
}
