package identity

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	// BedrockService is the only service that credentials can be made for.
	BedrockService = "bedrock.amazonaws.com"

	maxCredentials = 2     // of one user for one service
	maxAgeDays     = 36600 // longest life of a credential
)

// Credential is a service-specific credential of a user: a long-term bearer key
// of Amazon Bedrock.
type Credential struct {
	ID      string // "ACCA...", the same for the credential's whole life
	Account string
	User    *User
	Alias   string // the public part of the key, e.g. "ana-at-111122223333"
	Status  keys.Status
	Created time.Time
	Expires time.Time // zero: never
	keyID   string    // of the bearer key, another one after each reset
}

// resetKey remembers which credential a bearer key stands for that is not the
// credential's first.
type resetKey struct {
	Key        string // id of the bearer key
	Credential string // id of the credential
}

var resetKind = kind[resetKey]{name: "iam/reset-key", id: func(r *resetKey) string { return r.Key }}

// Credentials returns the service-specific credentials of a user, oldest first.
func (d *Directory) Credentials(ctx context.Context, u *User) ([]Credential, error) {
	list, err := d.keys.Owned(ctx, u.Account, u.ID)
	if err != nil {
		return nil, err
	}
	var out []Credential
	s := d.state.Load()
	for _, k := range list {
		if k.Kind == keys.Bearer {
			out = append(out, credentialOf(s, u, k))
		}
	}
	return out, nil
}

func credentialOf(s *state, u *User, k keys.Key) Credential {
	c := Credential{
		ID: k.ID, Account: u.Account, User: u, Alias: k.Name, Status: k.Status,
		Created: k.Created.Truncate(time.Second), Expires: k.Expires, keyID: k.ID,
	}
	if r := find(s, &resetKind, u.Account, k.ID); r != nil {
		c.ID = r.Credential
	}
	return c
}

// CreateCredential makes a bearer key for a user. The second result is the key
// itself, which can never be read again. ageDays is after how many days it ends, 1
// to 36600; 0 means never.
//
// Errors: NoSuchEntity for the user; ServiceNotSupportedException (404) for
// another service than bedrock.amazonaws.com; LimitExceeded beyond 2 keys;
// AccessDenied (403) where the configuration forbids long-term keys;
// ValidationError.
func (d *Directory) CreateCredential(ctx context.Context, acct, user, service string, ageDays int, region string) (Credential, keys.Created, error) {
	if err := d.credentialsAllowed(service); err != nil {
		return Credential{}, keys.Created{}, err
	}
	if ageDays < 0 || ageDays > maxAgeDays {
		return Credential{}, keys.Created{}, apiError(codeValidation, "CredentialAgeDays: must be 1 to %d", maxAgeDays)
	}
	d.mu.Lock() // so that two callers do not both make the second key, and no user goes meanwhile
	defer d.mu.Unlock()
	u := d.User(acct, user)
	if u == nil {
		return Credential{}, keys.Created{}, missing(userKind.name, user)
	}
	have, err := d.Credentials(ctx, u)
	if err != nil {
		return Credential{}, keys.Created{}, err
	}
	if len(have) >= maxCredentials {
		return Credential{}, keys.Created{}, apiError(codeLimit, "Cannot exceed quota for ServiceSpecificCredentialsPerUser: %d", maxCredentials)
	}
	var expires time.Time
	if ageDays > 0 {
		expires = d.second().AddDate(0, 0, ageDays)
	}
	made, err := d.keys.Create(ctx, keys.CreateInput{
		Account: acct, Region: region, Kind: keys.Bearer, Owner: u.ID, Name: freeAlias(u, have), Expires: expires,
	})
	if err != nil {
		return Credential{}, keys.Created{}, err
	}
	return credentialOf(d.state.Load(), u, made.Key), made, nil
}

// freeAlias is the public part of a new key: user and account, and a number when
// another key has that already.
func freeAlias(u *User, have []Credential) string {
	for n := 0; ; n++ {
		name := u.Name
		if n > 0 {
			name += "+" + strconv.Itoa(n)
		}
		name += "-at-" + u.Account
		if !slices.ContainsFunc(have, func(c Credential) bool { return c.Alias == name }) {
			return name
		}
	}
}

func (d *Directory) credentialsAllowed(service string) error {
	if service != BedrockService {
		return apierr.New("NotSupportedService", http.StatusNotFound, "ServiceName: only %s has service-specific credentials here", BedrockService)
	}
	return d.LongTermAllowed()
}

// LongTermAllowed tells whether long-term bearer keys may be made. Errors:
// AccessDenied (403) where the configuration forbids it.
func (d *Directory) LongTermAllowed() error {
	if d.forbidLongTerm {
		return apierr.New("AccessDenied", http.StatusForbidden, "Long-term bearer keys are forbidden by the configuration of this installation (keys.forbid_long_term_bearer).")
	}
	return nil
}

// Credential returns a service-specific credential. user is its owner's name.
// Errors: NoSuchEntity, also for a credential of another user.
func (d *Directory) Credential(ctx context.Context, acct, user, id string) (Credential, error) {
	u := d.User(acct, user)
	if u == nil {
		return Credential{}, missing(userKind.name, user)
	}
	have, err := d.Credentials(ctx, u)
	if err != nil {
		return Credential{}, err
	}
	if i := slices.IndexFunc(have, func(c Credential) bool { return c.ID == id }); i >= 0 {
		return have[i], nil
	}
	return Credential{}, apiError(codeNoSuchEntity, "No such credential %s exists", id)
}

// SetCredentialStatus enables or disables a credential; it holds from the next
// call on. Errors: NoSuchEntity.
func (d *Directory) SetCredentialStatus(ctx context.Context, acct, user, id string, status keys.Status) error {
	c, err := d.Credential(ctx, acct, user, id)
	if err != nil {
		return err
	}
	set := d.keys.Disable
	if status == keys.Active {
		set = d.keys.Enable
	}
	if err := set(ctx, c.keyID); err != nil {
		return goneCredential(err, id)
	}
	d.Announce()
	return nil
}

// ResetCredential gives a credential another key; the old one is refused from the
// next call on. Id, alias, status and end stay.
//
// Errors: NoSuchEntity; AccessDenied (403) where long-term keys are forbidden;
// ConcurrentModification 409 when somebody else resets it at the same time.
func (d *Directory) ResetCredential(ctx context.Context, acct, user, id, region string) (Credential, keys.Created, error) {
	if err := d.credentialsAllowed(BedrockService); err != nil {
		return Credential{}, keys.Created{}, err
	}
	old, err := d.Credential(ctx, acct, user, id)
	if err != nil {
		return Credential{}, keys.Created{}, err
	}
	made, err := d.keys.Create(ctx, keys.CreateInput{
		Account: acct, Region: region, Kind: keys.Bearer, Owner: old.User.ID, Name: old.Alias, Expires: old.Expires,
	})
	if err != nil {
		return Credential{}, keys.Created{}, err
	}
	if old.Status != keys.Active {
		if err := d.keys.Disable(ctx, made.ID); err != nil {
			return Credential{}, keys.Created{}, err
		}
		made.Status = old.Status
	}
	// From here on a crash leaves two keys with the same id, of which nobody has the
	// new one; another reset mends that.
	err = d.change(ctx, func(t *tx) error {
		for _, r := range all(t.state, &resetKind, acct).byID {
			switch {
			case r.Credential != id:
			case r.Key != old.keyID: // else two keys would live under one id, and one outlive every reset
				return apiError(codeConcurrent, "The credential is being reset by somebody else.")
			default:
				remove(t, &resetKind, acct, r)
			}
		}
		return put(t, &resetKind, acct, &resetKey{Key: made.ID, Credential: id})
	})
	if err != nil {
		return Credential{}, keys.Created{}, errors.Join(err, d.keys.Delete(ctx, made.ID))
	}
	switch err := d.keys.Delete(ctx, old.keyID); {
	case errors.Is(err, keys.ErrNotFound): // somebody deleted the credential meanwhile: the new key goes too
		return Credential{}, keys.Created{}, errors.Join(goneCredential(err, id), d.keys.Delete(ctx, made.ID))
	case err != nil:
		return Credential{}, keys.Created{}, err
	}
	d.Announce()
	return credentialOf(d.state.Load(), old.User, made.Key), made, nil
}

// DeleteCredential deletes a credential for good. Errors: NoSuchEntity.
func (d *Directory) DeleteCredential(ctx context.Context, acct, user, id string) error {
	c, err := d.Credential(ctx, acct, user, id)
	if err != nil {
		return err
	}
	if err := d.keys.Delete(ctx, c.keyID); err != nil {
		return goneCredential(err, id)
	}
	err = d.change(ctx, func(t *tx) error {
		if r := find(t.state, &resetKind, acct, c.keyID); r != nil {
			remove(t, &resetKind, acct, r)
		}
		return nil
	})
	d.Announce()
	return err
}

func goneCredential(err error, id string) error {
	if errors.Is(err, keys.ErrNotFound) {
		return apiError(codeNoSuchEntity, "No such credential %s exists", id)
	}
	return err
}

// AllCredentials returns the service-specific credentials of all users of an
// account, by user and age.
func (d *Directory) AllCredentials(ctx context.Context, acct string) ([]Credential, error) {
	var out []Credential
	for _, u := range d.Users(acct) {
		list, err := d.Credentials(ctx, u)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(a, b Credential) int { return cmp.Compare(a.User.Name, b.User.Name) })
	return out, nil
}

// AccountKeys returns all keys of an account by the ids of their owners, oldest
// first; "" is the root.
func (d *Directory) AccountKeys(ctx context.Context, acct string) (map[string][]keys.Key, error) {
	list, err := d.keys.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]keys.Key)
	for _, k := range list {
		if k.Account == acct {
			out[k.Owner] = append(out[k.Owner], k)
		}
	}
	return out, nil
}
