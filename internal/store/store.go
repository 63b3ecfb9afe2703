// Package store is the parent of the databases that keep Outcrop's state.
//
// Each database is one folder below this one; storetest is the conformance
// suite that all of them run. A domain package declares the store it needs;
// this package only names their sum, which is what a database has to offer.
package store

import (
	"errors"

	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/record"
)

// ErrFull says that there is no room for a write. Every database wraps it, so that
// callers are told to come back instead of an internal error.
var ErrFull = errors.New("store: the disk is full")

// ErrBusy says that another process kept the database for too long.
var ErrBusy = errors.New("store: the database is busy")

// Store is everything that a database keeps.
//
// A write is durable when its method returns nil: it survives kill -9 of the
// server and loss of power. A write that fails has left nothing behind; when
// the context ends during a write, it either happened whole or not at all. Its
// error is ErrFull or ErrBusy where that is why.
// Times are kept in UTC to the millisecond. It is safe for concurrent use.
type Store interface {
	keys.Store
	meter.Store
	meter.Dropper
	idempotency.Store
	profile.Store
	jobs.Store
	record.Store
	// Close waits for running calls and frees the database. Calls after Close
	// fail.
	Close() error
}
