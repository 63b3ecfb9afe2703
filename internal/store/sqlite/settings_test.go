package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/store"
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

// What a job's run needed is gone from the file when the job has ended.
func TestErased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "a prompt that nobody else may read; "
	j := jobs.Job{Account: "000000000000", Region: "us-east-1", Kind: "k", ID: "aaaaaaaaaaaa", Status: jobs.Queued, Input: []byte(strings.Repeat(secret, 5000))}
	if err := db.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	held := func() bool {
		if _, err := db.write.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(data), secret)
	}
	if !held() {
		t.Error("the job's input is not where the test looks for it")
	}
	now := time.Now()
	if j, err = db.LeaseJob(t.Context(), []string{"k"}, "me", now, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	j.Status = jobs.Completed
	if err := db.EndJob(t.Context(), j, "me"); err != nil {
		t.Fatal(err)
	}
	if held() {
		t.Error("the input of a job that has ended is still in the file")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// A write that waits too long for another process says so.
func TestBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	var dbs [2]*DB
	for i := range dbs {
		var err error
		if dbs[i], err = Open(t.Context(), Config{Path: path, BusyTimeout: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		defer dbs[i].Close()
	}
	tx, err := dbs[0].write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dbs[1].PutKey(t.Context(), keys.Stored{ID: "k"}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a key: %v", err)
	}
	if err := dbs[1].PutUsage(t.Context(), make([]meter.Record, 1)); !errors.Is(err, store.ErrBusy) {
		t.Errorf("usage: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := dbs[1].PutKey(t.Context(), keys.Stored{ID: "k"}); err != nil {
		t.Error(err)
	}
}

// The disk fills up in the middle of a batch: none of it is stored, what was
// stored before is intact, and the next write works once there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "outcrop.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	batch := func(name string, n int) []meter.Record {
		all := make([]meter.Record, n)
		for i := range all {
			all[i].RequestID = fmt.Sprint(name, i)
		}
		return all
	}
	setPages := func(n int) {
		t.Helper()
		if _, err := db.write.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count=%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		t.Helper()
		all, err := db.ListUsage(t.Context(), "", 100_000)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if err := db.PutUsage(t.Context(), batch("first", 10)); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 100_000)
	setPages(1) // as many as there are
	if err := db.PutUsage(t.Context(), batch("second", 5000)); !errors.Is(err, store.ErrFull) {
		t.Fatalf("stored more than fits: %v", err)
	}
	for what, put := range map[string]func() error{
		"profile": func() error {
			return db.PutProfile(t.Context(), profile.Profile{ID: "p", Account: "1", Name: large})
		},
		"job":   func() error { return db.PutJob(t.Context(), jobs.Job{ID: "j", Input: []byte(large)}) },
		"key":   func() error { return db.PutKey(t.Context(), keys.Stored{ID: "k", Sealed: []byte(large)}) },
		"token": func() error { return db.PutToken(t.Context(), idempotency.Entry{Token: "t", Body: []byte(large)}) },
	} {
		if err := put(); !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := count(); n != 10 {
		t.Errorf("%d records after a failed batch, want 10", n)
	}
	setPages(1 << 30)
	if err := db.PutUsage(t.Context(), batch("second", 5000)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if n := count(); n != 5010 {
		t.Errorf("%d records, want 5010", n)
	}
}
