// Package idempotency makes create operations safe to repeat: a second request
// with the same client token and the same parameters gets the first answer,
// also after a restart; the same token with other parameters is a
// ConflictException.
package idempotency

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound says that a token has not been used.
var ErrNotFound = errors.New("idempotency: token not used")

// Entry is the remembered answer of one token.
type Entry struct {
	Account   string
	Region    string
	Operation string // e.g. "bedrock:CreateInferenceProfile"
	Token     string
	Hash      [32]byte // of the parameters, the token left out
	Status    int      // HTTP status of the first answer
	Body      []byte   // its body
	Created   time.Time
}

// Store keeps entries by (Account, Region, Operation, Token).
type Store interface {
	GetToken(ctx context.Context, account, region, operation, token string) (Entry, error)
	// PutToken fails with ErrExists when the token is taken.
	PutToken(ctx context.Context, e Entry) error
	// DropTokens forgets entries made before t.
	DropTokens(ctx context.Context, t time.Time) error
}

// ErrExists says that another request took the token first.
var ErrExists = errors.New("idempotency: token taken")
