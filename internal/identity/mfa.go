package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	mfaPrefix    = "AMFA"
	mfaSealKind  = keys.Kind("mfa")
	mfaSeedBytes = 40 // 64 characters of base32, as AWS's seeds
	maxMFA       = 8  // devices of one user

	mfaWrong   = 5 // wrong codes in a row that lock a device
	mfaLock    = 15 * time.Minute
	mfaLockMax = 24 * time.Hour
)

// MFADevice is a virtual MFA device: a seed that an authenticator app shares with
// the directory. It belongs to nobody until it is enabled for a user.
type MFADevice struct {
	ID      string // unique, of no use to others
	Account string
	Path    string // "/" or "/team/"
	Name    string
	Created time.Time
	Owner   string    `json:",omitempty"` // id of a user; "": not assigned
	Enabled time.Time // zero: not assigned
	Tags    Tags      `json:",omitempty"`

	Seed   []byte    // sealed under the root key
	Drift  int64     `json:",omitempty"` // steps of 30 s that the device's clock is ahead
	Spent  int64     `json:",omitempty"` // the newest step whose code was used: no code up to it is taken again
	Wrong  int       `json:",omitempty"` // wrong codes in a row
	Locks  int       `json:",omitempty"` // locks in a row
	Locked time.Time // no code is taken before; zero: not locked
}

var mfaKind = kind[MFADevice]{
	name: "iam/mfa", id: func(m *MFADevice) string { return m.ID }, label: func(m *MFADevice) string { return m.Name },
}

// Serial returns the device's serial number, which is its ARN.
func (m *MFADevice) Serial() string { return arnOf(m.Account, "mfa", m.Path, m.Name) }

// Assigned says that the device is enabled for a user.
func (m *MFADevice) Assigned() bool { return m.Owner != "" }

// deviceBySerial returns the device of an account with a serial number, or nil.
func deviceBySerial(s *state, acct, serial string) *MFADevice {
	owner, kind, path, name, ok := splitARN(serial)
	if !ok || kind != "mfa" || owner != acct {
		return nil
	}
	if m := named(s, &mfaKind, acct, name); m != nil && m.Path == path {
		return m
	}
	return nil
}

func noDevice(serial string) error {
	return apiError(codeNoSuchEntity, "VirtualMFADevice with serial number %s does not exist.", serial)
}

func badCode() error {
	return apierr.New("InvalidAuthenticationCode", http.StatusForbidden, "Authentication code for device is not valid.")
}

func lockedDevice() error {
	return apierr.New("EntityTemporarilyUnmodifiable", http.StatusConflict, "The device takes no codes for a while, because %d wrong ones came in a row.", mfaWrong)
}

// MFADevice returns the device with a serial number, or nil.
func (d *Directory) MFADevice(acct, serial string) *MFADevice {
	return deviceBySerial(d.state.Load(), acct, serial)
}

// MFADevices returns the virtual devices of an account by name.
func (d *Directory) MFADevices(acct string) []*MFADevice {
	return sorted(d.state.Load(), &mfaKind, acct)
}

// UserMFADevices returns the devices that are enabled for a user, by name.
func (d *Directory) UserMFADevices(acct, userID string) []*MFADevice {
	return devicesOf(d.state.Load(), acct, userID)
}

func devicesOf(s *state, acct, userID string) []*MFADevice {
	var out []*MFADevice
	for _, m := range sorted(s, &mfaKind, acct) {
		if m.Owner == userID {
			out = append(out, m)
		}
	}
	return out
}

// CreateMFADevice makes a virtual device. The seed, 40 random bytes, is returned
// this once; the directory keeps it sealed.
//
// Errors: EntityAlreadyExists, also for a name that differs in case alone;
// ValidationError, InvalidInput, LimitExceeded.
func (d *Directory) CreateMFADevice(ctx context.Context, acct, path, name string, tags Tags) (*MFADevice, []byte, error) {
	path, err := checkPath("Path", path)
	if err != nil {
		return nil, nil, err
	}
	if err := checkName("VirtualMFADeviceName", name, 226); err != nil {
		return nil, nil, err
	}
	if err := CheckTags(tags); err != nil {
		return nil, nil, err
	}
	if d.root == nil {
		return nil, nil, errors.New("identity: no root key to seal the seeds of MFA devices under")
	}
	seed := make([]byte, mfaSeedBytes)
	_, _ = rand.Read(seed) // never fails
	m := &MFADevice{ID: newID(mfaPrefix), Account: acct, Path: path, Name: name, Created: d.second(), Tags: tags}
	m.Seed = d.root.Seal(acct, m.ID, mfaSealKind, seed)
	err = d.change(ctx, func(t *tx) error {
		if taken(t.state, &mfaKind, acct, name) != nil {
			return apiError(codeExists, "MFADevice entity at the same path and name already exists.")
		}
		// Source: IAM user guide, "IAM and STS quotas": as many as users.
		if err := full(t.state, &mfaKind, acct, "VirtualMFADevicesPerAccount", maxUsers); err != nil {
			return err
		}
		return put(t, &mfaKind, acct, m)
	})
	return m, seed, err
}

// EnableMFADevice gives a device to a user who shows two codes in a row.
//
// Errors: NoSuchEntity for user and device; EntityAlreadyExists for a device that
// is in use; LimitExceeded beyond 8 devices; InvalidAuthenticationCode 403;
// EntityTemporarilyUnmodifiable 409 after too many wrong codes.
func (d *Directory) EnableMFADevice(ctx context.Context, acct, user, serial, code1, code2 string) error {
	return d.pairMFA(ctx, acct, user, serial, code1, code2, func(s *state, m *MFADevice, u *User) error {
		if m.Assigned() {
			return apiError(codeExists, "MFA Device with serial number %s is already in use.", serial)
		}
		if len(devicesOf(s, acct, u.ID)) >= maxMFA {
			return apiError(codeLimit, "Cannot exceed quota for MFADevicesPerUser: %d", maxMFA)
		}
		return nil
	})
}

// ResyncMFADevice finds out again where the clock of a user's device stands, from
// two codes in a row that may be 10 minutes off.
//
// Errors: NoSuchEntity for the user and for a device that is not the user's;
// InvalidAuthenticationCode 403; EntityTemporarilyUnmodifiable 409.
func (d *Directory) ResyncMFADevice(ctx context.Context, acct, user, serial, code1, code2 string) error {
	return d.pairMFA(ctx, acct, user, serial, code1, code2, func(_ *state, m *MFADevice, u *User) error {
		if m.Owner != u.ID {
			return notTheirs(user, serial)
		}
		return nil
	})
}

// pairMFA takes two codes in a row for a device that check agrees with. The device
// is the user's and in step when it returns nil.
func (d *Directory) pairMFA(ctx context.Context, acct, user, serial, code1, code2 string, check func(*state, *MFADevice, *User) error) error {
	var verdict error
	err := d.change(ctx, func(t *tx) error {
		u := named(t.state, &userKind, acct, user)
		if u == nil {
			return missing(userKind.name, user)
		}
		m := deviceBySerial(t.state, acct, serial)
		if m == nil {
			return noDevice(serial)
		}
		if err := check(t.state, m, u); err != nil {
			return err
		}
		now := d.now()
		if now.Before(m.Locked) {
			return lockedDevice()
		}
		seed, err := d.openSeed(m)
		if err != nil {
			return err
		}
		c := *m
		step, ok := totpPair(seed, code1, code2, totpAt(now), m.Spent)
		if verdict = nil; !ok {
			c.miss(now)
			verdict = badCode()
			return put(t, &mfaKind, acct, &c)
		}
		c.hit(step)
		if c.Drift = step - totpAt(now); c.Drift >= -totpWindow && c.Drift <= totpWindow {
			c.Drift = 0 // that is how one shows two codes
		}
		if c.Owner = u.ID; c.Enabled.IsZero() {
			c.Enabled = d.second()
		}
		return put(t, &mfaKind, acct, &c)
	})
	if err != nil {
		return err
	}
	return verdict
}

// openSeed unseals the seed of a device.
func (d *Directory) openSeed(m *MFADevice) ([]byte, error) {
	if d.root == nil {
		return nil, errors.New("identity: no root key to open the seeds of MFA devices with")
	}
	return d.root.Unseal(m.Account, m.ID, mfaSealKind, m.Seed)
}

// hit notes that the code of a step was right.
func (m *MFADevice) hit(step int64) {
	m.Spent, m.Wrong, m.Locks, m.Locked = step, 0, 0, time.Time{}
}

// miss notes a wrong code. Every fifth in a row locks the device, each time twice
// as long as the last, from 15 minutes to a day.
func (m *MFADevice) miss(now time.Time) {
	if m.Wrong++; m.Wrong < mfaWrong {
		return
	}
	lock := mfaLock << min(m.Locks, 10)
	m.Wrong, m.Locked = 0, now.UTC().Add(min(lock, mfaLockMax))
	m.Locks++
}

// ProveMFA checks a one-time code of a user's device. The code of a step, this
// one, the one before or the one after, is good once.
//
// userID is the id of the user who asks, "AIDA...". What is noted, a used step or
// a wrong code, is durable when ProveMFA returns.
//
// Errors: AccessDenied (403) in AWS's words, for a device that is not the user's,
// for a wrong or used code, and while the device is locked: 5 wrong codes in a row
// lock it for 15 minutes, and each further 5 for twice as long, up to a day.
func (d *Directory) ProveMFA(ctx context.Context, account, serial, code, userID string) error {
	var verdict error
	err := d.change(ctx, func(t *tx) error {
		m := deviceBySerial(t.state, account, serial)
		if m == nil || userID == "" || m.Owner != userID {
			return apierr.New("AccessDenied", http.StatusForbidden,
				"MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user.")
		}
		now := d.now()
		if now.Before(m.Locked) {
			return apierr.New("AccessDenied", http.StatusForbidden,
				"MultiFactorAuthentication failed, the device takes no codes for a while because %d wrong ones came in a row.", mfaWrong)
		}
		seed, err := d.openSeed(m)
		if err != nil {
			return err
		}
		c := *m
		step, ok := totpMatch(seed, code, totpAt(now)+m.Drift, totpWindow, m.Spent)
		if verdict = nil; ok {
			c.hit(step)
		} else {
			c.miss(now)
			verdict = apierr.New("AccessDenied", http.StatusForbidden, "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
		}
		return put(t, &mfaKind, account, &c)
	})
	if err != nil {
		return err
	}
	return verdict
}

func notTheirs(user, serial string) error {
	return apiError(codeNoSuchEntity, "MFA Device with serial number %s is not enabled for user %s.", serial, user)
}

// DeactivateMFADevice takes a device from its user. It stays, assigned to nobody.
// Errors: NoSuchEntity for the user and for a device that is not the user's.
func (d *Directory) DeactivateMFADevice(ctx context.Context, acct, user, serial string) error {
	return d.change(ctx, func(t *tx) error {
		u := named(t.state, &userKind, acct, user)
		if u == nil {
			return missing(userKind.name, user)
		}
		m := deviceBySerial(t.state, acct, serial)
		if m == nil || m.Owner != u.ID {
			return notTheirs(user, serial)
		}
		c := *m
		c.Owner, c.Enabled, c.Drift = "", time.Time{}, 0
		return put(t, &mfaKind, acct, &c)
	})
}

// DeleteMFADevice deletes a device that is assigned to nobody. Errors:
// NoSuchEntity, DeleteConflict.
func (d *Directory) DeleteMFADevice(ctx context.Context, acct, serial string) error {
	return d.change(ctx, func(t *tx) error {
		m := deviceBySerial(t.state, acct, serial)
		if m == nil {
			return noDevice(serial)
		}
		if m.Assigned() {
			return apiError(codeDeleteConflict, "MFA VirtualDevice in use. Must deactivate first.")
		}
		remove(t, &mfaKind, acct, m)
		return nil
	})
}

// TagMFADevice puts tags on a device. Errors: NoSuchEntity, and as CheckTags.
func (d *Directory) TagMFADevice(ctx context.Context, acct, serial string, tags Tags) error {
	return d.editMFA(ctx, acct, serial, func(m *MFADevice) (err error) {
		m.Tags, err = m.Tags.With(tags)
		return err
	})
}

// UntagMFADevice takes tags off a device. Errors: NoSuchEntity.
func (d *Directory) UntagMFADevice(ctx context.Context, acct, serial string, tagKeys []string) error {
	return d.editMFA(ctx, acct, serial, func(m *MFADevice) error {
		m.Tags = m.Tags.Without(tagKeys)
		return nil
	})
}

func (d *Directory) editMFA(ctx context.Context, acct, serial string, fn func(m *MFADevice) error) error {
	return d.change(ctx, func(t *tx) error {
		m := deviceBySerial(t.state, acct, serial)
		if m == nil {
			return noDevice(serial)
		}
		c := *m
		if err := fn(&c); err != nil {
			return err
		}
		return put(t, &mfaKind, acct, &c)
	})
}
