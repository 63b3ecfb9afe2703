package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// The settings that the promise of durability rests on, on every connection.
func TestSettings(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "outcrop.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, pool := range map[string]*sql.DB{"writer": db.write, "reader": db.read} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "fullfsync": "1"} {
			var got string
			if err := pool.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s = %q, %v; want %s", name, pragma, got, err, want)
			}
		}
	}
	if _, err := db.read.ExecContext(t.Context(), "DELETE FROM access_keys"); err == nil {
		t.Error("a reader deleted rows")
	}
}
