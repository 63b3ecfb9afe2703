package identity

import (
	"maps"
	"slices"
	"time"
)

// AccountStatus is the state of an account, in the words of AWS Organizations.
type AccountStatus string

// The states of an account.
const (
	AccountActive    AccountStatus = "ACTIVE"
	AccountSuspended AccountStatus = "SUSPENDED" // closed: no key of it works any more
)

// Account is an account of the installation.
type Account struct {
	ID      string // 12 digits
	Name    string // of people's choice, need not be unique
	Email   string
	Status  AccountStatus
	Created time.Time
}

var accountKind = kind[Account]{name: "org/account", id: func(a *Account) string { return a.ID }}

// Account returns an account, or nil.
func (d *Directory) Account(id string) *Account { return find(d.state.Load(), &accountKind, "", id) }

// Accounts returns all accounts by their ids.
func (d *Directory) Accounts() []*Account {
	t := all(d.state.Load(), &accountKind, "")
	ids := slices.Sorted(maps.Keys(t.byID))
	out := make([]*Account, len(ids))
	for i, id := range ids {
		out[i] = t.byID[id]
	}
	return out
}
