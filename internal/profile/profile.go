// Package profile holds application inference profiles: names that an account
// gives to a model so that it can track and tag the use of it. Their tags stand in
// package resource, with those of all other resources.
//
// System-defined profiles ("us.", "eu.", ...) come from the catalogue and are
// never stored here.
package profile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxModels is how many models one profile may stand for.
const MaxModels = 5

// MaxPerRegion is how many application inference profiles an account may have in
// one region.
//
// Source: AWS General Reference, Amazon Bedrock quotas, "Inference profiles per
// account" (L-40EC9882): 1,000 in each region, adjustable.
const MaxPerRegion = 1000

// ErrNotFound says that the account has no such profile in the region.
var ErrNotFound = errors.New("profile: no such profile")

// ErrExists says that the id or the name is taken in the account and region.
var ErrExists = errors.New("profile: id or name taken")

// Profile is one application inference profile.
type Profile struct {
	ID          string // 12 characters [a-z0-9]; unique in account and region
	Account     string // 12 digits
	Region      string
	Name        string // 1..64 characters; unique in account and region
	Description string // "" when none was given
	// ModelSource is the ARN that the profile was copied from: a foundation
	// model or an inference profile.
	ModelSource string
	ModelARNs   []string  // 1..MaxModels foundation models, in order
	Created     time.Time // kept to the millisecond
	Updated     time.Time // kept to the millisecond
}

// ARN is the profile's name across AWS, in the given partition ("aws", ...).
func (p *Profile) ARN(partition string) string {
	return fmt.Sprintf("arn:%s:bedrock:%s:%s:application-inference-profile/%s", partition, p.Region, p.Account, p.ID)
}

// NewID makes a random profile id: 12 characters [a-z0-9], some 60 bits.
func NewID() string {
	return strings.ToLower(rand.Text()[:12])
}

// Cursor is a place between two profiles of a list. The zero Cursor stands
// before the first.
type Cursor struct {
	Created time.Time
	ID      string
}

// Cursor is the place right behind p.
func (p *Profile) Cursor() Cursor { return Cursor{Created: p.Created, ID: p.ID} }

// IsZero reports whether c stands before the first profile.
func (c Cursor) IsZero() bool { return c.ID == "" }

// Query selects profiles of one account and region.
type Query struct {
	Account string // required
	Region  string // required
	Name    string // only the profile of this exact name; "" means every name
	After   Cursor // only profiles behind this place
	Limit   int    // at most so many; at least 1
}

// Store keeps profiles. Every method is durable when it returns and sees only
// the account and region that it names. It is safe for concurrent use.
type Store interface {
	// PutProfile adds p. It fails with ErrExists when p's id or name is taken.
	PutProfile(ctx context.Context, p Profile) error
	// GetProfile fails with ErrNotFound when there is no such profile.
	GetProfile(ctx context.Context, account, region, id string) (Profile, error)
	// ListProfiles returns profiles by creation time and id, oldest first.
	ListProfiles(ctx context.Context, q Query) ([]Profile, error)
	// DeleteProfile fails with ErrNotFound when there is no such profile.
	DeleteProfile(ctx context.Context, account, region, id string) error
}

// Exists returns a function that reports whether an account has a profile in a
// region.
func Exists(s Store) func(ctx context.Context, account, region, id string) (bool, error) {
	return func(ctx context.Context, account, region, id string) (bool, error) {
		_, err := s.GetProfile(ctx, account, region, id)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
}
