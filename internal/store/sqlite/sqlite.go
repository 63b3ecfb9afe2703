// Package sqlite keeps Outcrop's state in one SQLite file.
//
// The file is in WAL mode with synchronous=FULL: a commit has reached the disk
// before its method returns. Writes go one after the other through a single
// connection; reads have connections of their own and never wait for a write.
// Several processes may open the same file (the command line makes keys while a
// server runs); SQLite's own locks keep them apart.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/outcrop/outcrop/internal/store"
)

// Config says which file to open and how.
type Config struct {
	// Path of the database file; required. It is created with mode 0600 when it
	// is missing; its directory must exist.
	Path string
	// Readers is the largest number of connections that read at once; 0 means 4.
	Readers int
	// BusyTimeout is how long a write waits for a write of another process;
	// 0 means 10 s.
	BusyTimeout time.Duration
}

// DB is an open database. It implements store.Store.
type DB struct {
	path  string
	write *sql.DB // one connection
	read  *sql.DB
}

// Open opens or creates the database and brings its tables up to date.
//
// It refuses a file that a newer Outcrop wrote and a file that is not an
// Outcrop database; neither is changed.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Path == "" {
		return nil, errors.New("open database: no path given")
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 10 * time.Second
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := makePrivate(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	d := &DB{path: path}
	if d.write, err = connect(path, c.BusyTimeout, 1, false); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if err := migrate(ctx, d.write, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), d.write.Close())
	}
	if d.read, err = connect(path, c.BusyTimeout, c.Readers, true); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), d.write.Close())
	}
	return d, nil
}

// Close waits for running calls, folds the log into the file when no other
// process has it open, and frees the connections.
func (d *DB) Close() error {
	if err := errors.Join(d.read.Close(), d.write.Close()); err != nil {
		return fmt.Errorf("close database %s: %w", d.path, err)
	}
	return nil
}

// makePrivate creates the file when it is missing and takes the rights of
// group and others away. SQLite gives its log files the mode of the database.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator chose the path
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return f.Chmod(0o600)
	}
	return nil
}

// connect makes a pool of at most n connections that stay open.
func connect(path string, busy time.Duration, n int, readOnly bool) (*sql.DB, error) {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") { // a Windows drive
		p = "/" + p
	}
	q := url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {strconv.FormatInt(busy.Milliseconds(), 10)},
		"_foreign_keys": {"on"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		// On macOS fsync alone leaves data in the drive's cache. What is deleted is
		// overwritten: the input of a job is a prompt.
		"_pragma": {"fullfsync(1)", "checkpoint_fullfsync(1)", "trusted_schema(0)", "secure_delete(1)"},
	}
	if readOnly {
		q.Set("_query_only", "on")
		q.Set("_txlock", "deferred")
	}
	dsn := url.URL{Scheme: "file", Path: p, RawQuery: q.Encode()}
	c, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// The rows hold times as milliseconds since 1970, UTC.
func fromTime(t time.Time) int64 { return t.UnixMilli() }
func toTime(ms int64) time.Time  { return time.UnixMilli(ms).UTC() }

// A time that may be missing is kept as 0.
func fromMaybe(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return fromTime(t)
}

func maybeTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return toTime(ms)
}

// classify adds what kind of failure an error of SQLite is, where callers can do
// something about it.
func classify(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return err
	}
	switch {
	case e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE, e.Code()&0xff == sqlite3.SQLITE_FULL: // the low byte is the kind
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case e.Code()&0xff == sqlite3.SQLITE_BUSY, e.Code()&0xff == sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	}
	return err
}

// exec runs one write.
func (d *DB) exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	res, err := d.write.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, classify(err)
	}
	return res.RowsAffected()
}

// collect reads all rows of a query with scan.
func collect[T any](ctx context.Context, db *sql.DB, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// row is a *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }
