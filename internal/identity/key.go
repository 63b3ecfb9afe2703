package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// maxAccessKeys is how many access keys a user, or the root, may have.
const maxAccessKeys = 2

// Principal returns who a long-term key belongs to: a user, or the root of an
// account. It does not ask whether the key itself is good.
//
// Errors: UnrecognizedClientException (403) when the user is gone or the account
// is suspended.
func (d *Directory) Principal(k keys.Key) (call.Principal, error) {
	s := d.state.Load()
	if a := find(s, &accountKind, "", k.Account); a != nil && a.Status != AccountActive {
		return call.Principal{}, sigv4.Unrecognized()
	}
	if k.Owner == "" {
		return k.Principal(), nil
	}
	u := find(s, &userKind, k.Account, k.Owner)
	if u == nil {
		return call.Principal{}, sigv4.Unrecognized()
	}
	return call.Principal{
		Type: call.User, Account: k.Account, AccessKeyID: k.ID, ARN: u.ARN(), UserID: u.ID, Name: u.Name, Bearer: k.Kind == keys.Bearer,
	}, nil
}

// AccessKeys returns the access keys of a user, or of the root of acct when owner
// is "", oldest first.
func (d *Directory) AccessKeys(ctx context.Context, acct, owner string) ([]keys.Key, error) {
	list, err := d.keys.Owned(ctx, acct, owner)
	if err != nil {
		return nil, err
	}
	out := list[:0]
	for _, k := range list {
		if k.Kind == keys.SigV4 {
			out = append(out, k)
		}
	}
	return out, nil
}

// CreateAccessKey makes an access key for a user, or for the root of acct when
// user is "".
//
// Errors: NoSuchEntity; LimitExceeded beyond 2 keys.
func (d *Directory) CreateAccessKey(ctx context.Context, acct, user, region string) (keys.Created, error) {
	d.mu.Lock() // so that two callers do not both make the second key, and no user goes meanwhile
	defer d.mu.Unlock()
	owner, err := d.keyOwner(acct, user)
	if err != nil {
		return keys.Created{}, err
	}
	list, err := d.AccessKeys(ctx, acct, owner)
	if err != nil {
		return keys.Created{}, err
	}
	if len(list) >= maxAccessKeys {
		return keys.Created{}, apiError(codeLimit, "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
	}
	return d.keys.Create(ctx, keys.CreateInput{Account: acct, Region: region, Kind: keys.SigV4, Owner: owner})
}

// keyOwner is the id of a user; that of the root, "", for "".
func (d *Directory) keyOwner(acct, user string) (string, error) {
	if user == "" {
		return "", nil
	}
	u := d.User(acct, user)
	if u == nil {
		return "", missing(userKind.name, user)
	}
	return u.ID, nil
}

// AccessKey returns an access key of a user, or of the root when user is "".
//
// Errors: NoSuchEntity, also for a key of another user or account.
func (d *Directory) AccessKey(ctx context.Context, acct, user, id string) (keys.Key, error) {
	owner, err := d.keyOwner(acct, user)
	if err != nil {
		return keys.Key{}, err
	}
	k, err := d.keys.Get(ctx, id)
	if errors.Is(err, keys.ErrNotFound) || err == nil && (k.Account != acct || k.Owner != owner || k.Kind != keys.SigV4) {
		return keys.Key{}, noKey(id)
	}
	return k, err
}

func noKey(id string) *apierr.Error {
	return apiError(codeNoSuchEntity, "The Access Key with id %s cannot be found.", id)
}

// KeyOfAccount returns an access key of an account, whoever in it owns it. Errors:
// NoSuchEntity, also for a key of another account.
func (d *Directory) KeyOfAccount(ctx context.Context, acct, id string) (keys.Key, error) {
	k, err := d.keys.Get(ctx, id)
	if errors.Is(err, keys.ErrNotFound) || err == nil && (k.Account != acct || k.Kind != keys.SigV4) {
		return keys.Key{}, noKey(id)
	}
	return k, err
}

// SetAccessKeyStatus enables or disables an access key; it holds from the next
// call on. Errors: NoSuchEntity.
func (d *Directory) SetAccessKeyStatus(ctx context.Context, acct, user, id string, status keys.Status) error {
	if _, err := d.AccessKey(ctx, acct, user, id); err != nil {
		return err
	}
	set := d.keys.Disable
	if status == keys.Active {
		set = d.keys.Enable
	}
	err := set(ctx, id)
	if errors.Is(err, keys.ErrNotFound) {
		return noKey(id)
	}
	d.Announce()
	return err
}

// DeleteAccessKey deletes an access key for good. Errors: NoSuchEntity.
func (d *Directory) DeleteAccessKey(ctx context.Context, acct, user, id string) error {
	if _, err := d.AccessKey(ctx, acct, user, id); err != nil {
		return err
	}
	err := d.keys.Delete(ctx, id)
	if errors.Is(err, keys.ErrNotFound) {
		return noKey(id)
	}
	d.Announce()
	return err
}
