// Package record keeps resources as JSON records: small, durable, in an account
// and a region, under a kind and a name. A domain package owns its kinds and
// what stands in them; the store knows neither.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxBody is the most bytes that the body of a record may have.
const MaxBody = 1 << 20

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("record: no such record")

// ErrConflict says that a record was not as a change expected it.
var ErrConflict = errors.New("record: changed meanwhile")

// Key names a record.
type Key struct {
	Account string // 12 digits; "" for what belongs to the installation
	Region  string // "" for what is global
	Kind    string // of the domain package, e.g. "iam/user"; required
	Name    string // unique in account, region and kind; required
}

// Record is a stored record.
type Record struct {
	Key
	Body    []byte // JSON, at most MaxBody bytes
	Version int64  // 1 for a new record, one more with every change
	Updated time.Time
}

// Expectation is what a change takes for granted about the record that it changes.
type Expectation int64

// The expectations. A positive one is the version that the record must have.
const (
	Any    Expectation = 0  // whatever is there
	Absent Expectation = -1 // nothing is there
)

// Change puts a record, or deletes it when Body is nil. Deleting what is not
// there is no error with Any.
type Change struct {
	Key
	Body   []byte
	Expect Expectation
}

// Query selects records of one kind.
type Query struct {
	Account string // every account when AllAccounts is set
	Region  string // every region when AllRegions is set
	Kind    string // required

	AllAccounts bool
	AllRegions  bool
	Prefix      string // only names that begin so
	After       string // only names behind this one, in one account and region
	Limit       int    // at most so many; 0 means all
}

// Store keeps records. It is safe for concurrent use.
type Store interface {
	// GetRecord fails with ErrNotFound.
	GetRecord(ctx context.Context, k Key) (Record, error)
	// ListRecords returns records in the order of account, region and name, names
	// by their bytes.
	ListRecords(ctx context.Context, q Query) ([]Record, error)
	// ApplyRecords makes all changes or none, durably, in their order. It fails with
	// ErrConflict when an expectation is not met. now is the time of the change.
	ApplyRecords(ctx context.Context, now time.Time, changes ...Change) error
	// RecordsRevision grows with every ApplyRecords of any process, so that a cache
	// finds out cheaply whether it is still true.
	RecordsRevision(ctx context.Context) (int64, error)
}

// Put makes the change that stores v as JSON. Errors: v cannot be JSON or is
// larger than MaxBody.
func Put(k Key, expect Expectation, v any) (Change, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return Change{}, fmt.Errorf("record %s %s: %w", k.Kind, k.Name, err)
	}
	if len(b) > MaxBody {
		return Change{}, fmt.Errorf("record %s %s: %d bytes are more than %d", k.Kind, k.Name, len(b), MaxBody)
	}
	return Change{Key: k, Body: b, Expect: expect}, nil
}

// Delete makes the change that removes a record.
func Delete(k Key, expect Expectation) Change { return Change{Key: k, Expect: expect} }

// Read fills v from the body of r.
func Read(r Record, v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("record %s %s: %w", r.Kind, r.Name, err)
	}
	return nil
}
