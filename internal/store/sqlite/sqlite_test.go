package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// raw opens the file past the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execRaw(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// newStore opens a database and closes it at the end.
func newStore(t testing.TB, c sqlite.Config) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		want error
		text string
	}{
		"a newer Outcrop's file": {
			make: func(t *testing.T, path string) {
				db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				r := raw(t, path)
				execRaw(t, r, "INSERT INTO schema_version (version_id, is_applied) VALUES (9999, 1)")
				_ = r.Close()
			},
			want: sqlite.ErrNewer, text: "schema 9999",
		},
		"another program's database": {
			make: func(t *testing.T, path string) {
				r := raw(t, path)
				execRaw(t, r, "CREATE TABLE bookmarks (url TEXT)")
				_ = r.Close()
			},
			want: sqlite.ErrForeign, text: "name another file",
		},
		"another program's id": {
			make: func(t *testing.T, path string) {
				r := raw(t, path)
				execRaw(t, r, "PRAGMA application_id=77")
				_ = r.Close()
			},
			want: sqlite.ErrForeign, text: "0x4d",
		},
		"a file that is no database": {
			make: func(t *testing.T, path string) {
				if err := os.WriteFile(path, bytes.Repeat([]byte("not a database\n"), 400), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			text: "not a database",
		},
		"a directory": {
			make: func(t *testing.T, path string) {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			},
			text: "directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "outcrop.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
			if err == nil {
				t.Fatal("opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not say %q and the path", err, c.text)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file has changed")
			}
		})
	}
}

func TestOpenMissingDirectory(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", filepath.Join(t.TempDir(), "no", "outcrop.db")} {
		if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); err == nil {
			t.Errorf("opened %q", path)
		}
	}
}

// A process may die between marking a new file and its first migration.
func TestOpenHalfMadeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	r := raw(t, path)
	execRaw(t, r, fmt.Sprintf("PRAGMA journal_mode=WAL; PRAGMA application_id=%d", 0x4f757443))
	_ = r.Close()
	db := newStore(t, sqlite.Config{Path: path})
	if _, err := db.ListKeys(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenOddPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b%20?mode=memory#ü.db")
	if runtime.GOOS == "windows" {
		path = filepath.Join(t.TempDir(), "a b%20#ü.db")
	}
	db := newStore(t, sqlite.Config{Path: path})
	if err := db.PutKey(t.Context(), keys.Stored{ID: "K"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("file at the path: %v, %v", info, err)
	}
}

func TestFileMode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // the folder's access list protects the file there
	}
	path := filepath.Join(t.TempDir(), "outcrop.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // #nosec G306 -- too wide on purpose
		t.Fatal(err)
	}
	db := newStore(t, sqlite.Config{Path: path})
	if err := db.PutKey(t.Context(), keys.Stored{ID: "K"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v, %v; want the database and its log", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", filepath.Base(f), info.Mode().Perm())
		}
	}
}

// Another process holds the write lock: reads go on, a write waits for
// BusyTimeout and fails, and works once the lock is free.
func TestBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	db := newStore(t, sqlite.Config{Path: path, BusyTimeout: 20 * time.Millisecond})
	other := raw(t, path)
	execRaw(t, other, "BEGIN IMMEDIATE")
	if _, err := db.ListKeys(t.Context()); err != nil {
		t.Errorf("read during another's write: %v", err)
	}
	if err := db.PutKey(t.Context(), keys.Stored{ID: "K"}); err == nil {
		t.Error("wrote during another's write")
	}
	execRaw(t, other, "COMMIT")
	if err := db.PutKey(t.Context(), keys.Stored{ID: "K"}); err != nil {
		t.Errorf("write after another's write: %v", err)
	}
}

// A read that was cancelled gives its connection back.
func TestCancelledRead(t *testing.T) {
	t.Parallel()
	db := newStore(t, sqlite.Config{Path: filepath.Join(t.TempDir(), "outcrop.db"), Readers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.GetKey(ctx, "K"); !errors.Is(err, context.Canceled) {
		t.Errorf("GetKey = %v, want context.Canceled", err)
	}
	// The only reader is still usable.
	if _, err := db.GetKey(t.Context(), "K"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("GetKey = %v, want keys.ErrNotFound", err)
	}
}

// Migrations are numbered from 1 without gaps, so that two branches that both
// add one collide instead of being applied in different orders.
func TestMigrationNumbers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("migrations", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	for i, f := range files {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(filepath.Base(f), want) || filepath.Ext(f) != ".sql" {
			t.Errorf("migration %d is %s, want %s*.sql", i+1, filepath.Base(f), want)
		}
	}
}

func BenchmarkOpenExisting(b *testing.B) {
	path := filepath.Join(b.TempDir(), "outcrop.db")
	newStore(b, sqlite.Config{Path: path}) // stays open, as under a running server
	for b.Loop() {
		db, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenNew(b *testing.B) {
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		db, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(dir, fmt.Sprint(n))})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutKey(b *testing.B) {
	db := newStore(b, sqlite.Config{Path: filepath.Join(b.TempDir(), "outcrop.db")})
	for n := 0; b.Loop(); n++ {
		if err := db.PutKey(b.Context(), keys.Stored{ID: fmt.Sprint(n)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetKey(b *testing.B) {
	db := newStore(b, sqlite.Config{Path: filepath.Join(b.TempDir(), "outcrop.db")})
	if err := db.PutKey(b.Context(), keys.Stored{ID: "K"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.GetKey(b.Context(), "K"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutUsage stores batches of the size that meter.Writer makes at most,
// four calls a millisecond.
func BenchmarkPutUsage(b *testing.B) {
	db := newStore(b, sqlite.Config{Path: filepath.Join(b.TempDir(), "outcrop.db")})
	batch := make([]meter.Record, 256)
	for n := 0; b.Loop(); n++ {
		for i := range batch {
			batch[i] = meter.Record{
				RequestID: uuid.NewString(), Time: time.UnixMilli(1_800_000_000_000 + int64(n*len(batch)+i)/4), Account: "111122223333", Region: "us-east-1",
				Principal: "arn:aws:iam::111122223333:user/alice", AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Service: "bedrock-runtime", Operation: "Converse",
				ModelID: "anthropic.claude-v2", ServedBy: "smollm2", InputTokens: 11, OutputTokens: 12, Status: 200,
			}
		}
		if err := db.PutUsage(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/256, "µs/record")
}

// TestUsageOrder brings usage records of the form before migration 7 to the new one.
func TestUsageOrder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outcrop.db")
	if err := newStore(t, sqlite.Config{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	start, err := os.ReadFile(filepath.Join("migrations", "0001_start.sql"))
	if err != nil {
		t.Fatal(err)
	}
	_, old, _ := strings.Cut(string(start), "CREATE TABLE usage_records (")
	old, _, _ = strings.Cut(old, "CREATE TABLE")
	db := raw(t, path)
	execRaw(t, db, "DROP TABLE usage_records")
	execRaw(t, db, "CREATE TABLE usage_records ("+old)
	execRaw(t, db, "DELETE FROM schema_version WHERE version_id >= 7")
	for i, id := range []string{"b", "a", "c"} {
		execRaw(t, db, fmt.Sprintf(`INSERT INTO usage_records VALUES (%d, '%s', %d, '111122223333', 'us-east-1', 'arn', 'AKIA', 'bedrock', 'Converse', 'm', 'w', 1, 2, 3, 4, 200, '', 5, 6, 7)`, i+1, id, 1000+i))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	st := newStore(t, sqlite.Config{Path: path})
	record := func(id string, ms int64) meter.Record {
		return meter.Record{
			RequestID: id, Time: time.UnixMilli(ms).UTC(), Account: "111122223333", Region: "us-east-1", Principal: "arn", AccessKeyID: "AKIA", Service: "bedrock",
			Operation: "Converse", ModelID: "m", ServedBy: "w", StandIn: true, InputTokens: 2, OutputTokens: 3, ReusedTokens: 4, Status: 200, LatencyMS: 5, FirstTokenMS: 6, DurationMS: 7,
		}
	}
	if err := st.PutUsage(t.Context(), []meter.Record{record("a", 1001), record("d", 1003)}); err != nil {
		t.Fatal(err)
	}
	got, err := st.ListUsage(t.Context(), "111122223333", 9)
	if err != nil {
		t.Fatal(err)
	}
	want := []meter.Record{record("d", 1003), record("c", 1002), record("a", 1001), record("b", 1000)}
	if !slices.Equal(got, want) {
		t.Errorf("after the migration: %+v", got)
	}
}

// ends is a context that ends after some looks at it.
type ends struct {
	context.Context
	looks *int
}

func (e ends) Err() error {
	if *e.looks--; *e.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestUsageEnds: a commit whose time is up in its middle stores nothing and leaves the
// connection to the next one.
func TestUsageEnds(t *testing.T) {
	t.Parallel()
	st := newStore(t, sqlite.Config{Path: filepath.Join(t.TempDir(), "outcrop.db")})
	records := make([]meter.Record, 20)
	for i := range records {
		records[i] = meter.Record{RequestID: fmt.Sprint(i), Time: time.UnixMilli(int64(i)), Account: "111122223333"}
	}
	looks := 10
	if err := st.PutUsage(ends{t.Context(), &looks}, records); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("put: %v", err)
	}
	if all, err := st.ListUsage(t.Context(), "", 100); err != nil || len(all) != 0 {
		t.Fatalf("%d records of a commit that was broken off, %v", len(all), err)
	}
	if err := st.PutUsage(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if all, err := st.ListUsage(t.Context(), "", 100); err != nil || len(all) != len(records) {
		t.Fatalf("%d records, %v", len(all), err)
	}
}
