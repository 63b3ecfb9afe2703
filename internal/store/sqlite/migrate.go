package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
)

// migrationFiles are applied in the order of their numbers, each in one
// transaction. A file that was released is never changed; new ones are added.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// applicationID marks the file as Outcrop's in its header: "OutC".
	applicationID = 0x4f757443
	// versionTable is where goose notes what it applied.
	versionTable = "schema_version"
)

// ErrNewer says that a newer Outcrop wrote the database.
var ErrNewer = errors.New("written by a newer Outcrop")

// ErrForeign says that the file is not an Outcrop database.
var ErrForeign = errors.New("not an Outcrop database")

// migrate checks whose file it is and applies the migrations it lacks. A file
// that is up to date is only read.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	migrations, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	newest, err := newestVersion(migrations)
	if err != nil {
		return err
	}
	at, err := version(ctx, db)
	if err != nil {
		return err
	}
	if at == newest {
		return nil
	}
	if at > newest {
		return newer(at, newest)
	}

	// Two processes may come here at once; one of them does the work.
	lock := flock.New(path + ".migrate")
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another process's migration: %w", err)
	}
	defer lock.Close()
	if at, err = version(ctx, db); err != nil {
		return err
	}
	if at == 0 {
		// WAL first: the mode is kept in the file and cannot change in a transaction.
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA journal_mode=WAL; PRAGMA application_id=%d", applicationID)); err != nil {
			return fmt.Errorf("mark new database: %w", err)
		}
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", at, newest, err)
	}
	return nil
}

func newer(at, newest int64) error {
	return fmt.Errorf("%w (schema %d, this one knows up to %d): run that version again, or start with another data directory", ErrNewer, at, newest)
}

// version returns the number of the last migration in the file; 0 means that
// the file is new.
func version(ctx context.Context, db *sql.DB) (int64, error) {
	var app, tables, versions int64
	err := db.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id()),
		(SELECT count(*) FROM sqlite_schema),
		(SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '`+versionTable+`')`).Scan(&app, &tables, &versions)
	if err != nil {
		return 0, fmt.Errorf("read header: %w", err)
	}
	switch {
	case app != applicationID && (app != 0 || tables != 0):
		return 0, fmt.Errorf("%w (application id %#x): name another file or data directory", ErrForeign, app)
	case versions == 0:
		return 0, nil
	}
	var at int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied = 1`).Scan(&at); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return at, nil
}

// newestVersion is the highest number of the migration files ("0001_start.sql").
func newestVersion(migrations fs.FS) (int64, error) {
	files, err := fs.ReadDir(migrations, ".")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration file %s: %w", f.Name(), err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}
