// Package keys issues and looks up the credentials of Outcrop's callers: SigV4
// access keys and bearer API keys. Secrets are sealed with AES-GCM under the
// root key of the data directory before they reach a store.
package keys

import (
	"context"
	"errors"
	"time"
)

// Kind tells how a key authenticates.
type Kind string

// The kinds of keys.
const (
	SigV4  Kind = "sigv4"  // access key id + secret access key
	Bearer Kind = "bearer" // one opaque token
)

// Status says whether a key may be used. The words are IAM's.
type Status string

// The states of a key.
const (
	Active   Status = "Active"
	Inactive Status = "Inactive"
)

// ErrNotFound says that a store holds no such key.
var ErrNotFound = errors.New("keys: no such key")

// Stored is a key as a store holds it.
type Stored struct {
	ID      string // 20 characters: "AKIA..." of an access key, "ACCA..." of a bearer key
	Account string // 12 digits
	Region  string // region the key was made in; keys work in every region
	Kind    Kind
	Status  Status
	Sealed  []byte // SigV4: sealed secret; Bearer: sealed SHA-256 of the token
	Created time.Time
	Owner   string    // id of a user, "AIDA..."; "" is the root of the account
	Name    string    // user name of a service-specific credential, e.g. "ana-at-111122223333"; "" otherwise
	Expires time.Time // zero: never
	Used    Use       // the last one that is known
}

// Use is the last use of a key.
type Use struct {
	At      time.Time // zero: never used
	Region  string
	Service string // as IAM names it, e.g. "bedrock"
}

// Store keeps keys. Every method is durable when it returns. It is safe for
// concurrent use.
type Store interface {
	PutKey(ctx context.Context, k Stored) error // fails when the id exists
	GetKey(ctx context.Context, id string) (Stored, error)
	ListKeys(ctx context.Context) ([]Stored, error) // by creation time, oldest first
	SetKeyStatus(ctx context.Context, id string, s Status) error
	DeleteKey(ctx context.Context, id string) error
	// KeysRevision grows with every change of a key by any process, so that a cache
	// finds out cheaply whether it is still true. A use is no change.
	KeysRevision(ctx context.Context) (int64, error)
	// SetKeyUse notes the last use of a key; it never makes it older.
	SetKeyUse(ctx context.Context, id string, u Use) error
}
