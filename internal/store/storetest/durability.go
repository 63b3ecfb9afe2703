package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/store"
)

// placeVariable asks a test binary to be the writer that gets killed.
const placeVariable = "OUTCROP_STORETEST_PLACE"

// batchSize is the number of records of one PutUsage in the killed writer.
const batchSize = 5

// Main runs the tests of a store's package; TestMain calls it. In the second
// process that the durability test starts, it writes until it is killed.
func Main(m *testing.M, s Suite) {
	place := os.Getenv(placeVariable)
	if place == "" {
		os.Exit(m.Run())
	}
	if err := writeForever(s, place); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// writeForever puts rows of every kind and prints the name of each row once its
// method has returned. It ends with the process that started it.
func writeForever(s Suite, place string) error {
	go func() { // stdin closes when the parent dies
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	ctx := context.Background()
	st, err := s.Open(ctx, place)
	if err != nil {
		return err
	}
	run := fmt.Sprint(os.Getpid())
	failed := make(chan error)
	for kind, put := range writers(ctx, st) {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d", run, n)
				if err := put(id, n); err != nil {
					failed <- err
					return
				}
				// One write call per line: a line is there whole or not at all.
				if _, err := os.Stdout.WriteString(kind + " " + id + "\n"); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// writers are the rows that the killed process puts, by kind.
func writers(ctx context.Context, st store.Store) map[string]func(id string, n int) error {
	return map[string]func(id string, n int) error{
		"key":     func(id string, n int) error { return st.PutKey(ctx, key(id, accountA, n)) },
		"token":   func(id string, n int) error { return st.PutToken(ctx, token(id, accountA, n)) },
		"profile": func(id string, n int) error { return st.PutProfile(ctx, prof(id, accountA, n)) },
		"usage": func(id string, n int) error {
			batch := make([]meter.Record, batchSize)
			for i := range batch {
				batch[i] = usage(fmt.Sprintf("%s/%d", id, i), accountA, n)
			}
			return st.PutUsage(ctx, batch)
		},
		"deletion": func(id string, n int) error {
			k := key("gone-"+id, accountB, n)
			return errors.Join(st.PutKey(ctx, k), st.DeleteKey(ctx, k.ID))
		},
	}
}

func testDurability(t *testing.T, s Suite) {
	t.Run("closed and opened again", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		st, err := s.Open(t.Context(), place)
		must(t, err)
		for _, put := range writers(t.Context(), st) {
			must(t, put("x-1", 1))
		}
		must(t, st.SetKeyStatus(t.Context(), "x-1", keys.Inactive))
		must(t, st.Close())
		st = s.open(t, place)
		checkRows(t, st, []string{"key x-1", "token x-1", "profile x-1", "usage x-1", "deletion x-1"})
		k, err := st.GetKey(t.Context(), "x-1")
		must(t, err)
		same(t, "status", k.Status, keys.Inactive)
	})
	t.Run("another store sees a write at once", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		a, b := s.open(t, place), s.open(t, place)
		for n, st := range []store.Store{a, b} {
			must(t, st.PutKey(t.Context(), key(fmt.Sprint("K", n), accountA, n)))
			for _, reader := range []store.Store{a, b} {
				all, err := reader.ListKeys(t.Context())
				must(t, err)
				same(t, "keys", len(all), n+1)
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		var acknowledged []string
		for round := range 3 {
			acknowledged = append(acknowledged, killWriter(t, place, 60+40*round)...)
			st, err := s.Open(t.Context(), place)
			must(t, err)
			checkRows(t, st, acknowledged)
			must(t, st.Close())
		}
	})
}

// killWriter starts the test binary as a writer on place, kills it without
// warning after n acknowledged rows, and returns the names of all of them.
func killWriter(t *testing.T, place string, n int) []string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self) // #nosec G204 -- this very test binary
	cmd.Env = append(os.Environ(), placeVariable+"="+place)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var rows []string
	var kill sync.Once
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		rows = append(rows, lines.Text())
		if len(rows) >= n {
			kill.Do(func() { must(t, cmd.Process.Kill()) })
		}
	}
	if err := cmd.Wait(); err == nil || len(rows) < n {
		t.Fatalf("writer ended by itself after %d rows: %v\n%s", len(rows), err, stderr.String())
	}
	return rows
}

// checkRows looks for every acknowledged row, and for halves of batches.
func checkRows(t *testing.T, st store.Store, acknowledged []string) {
	t.Helper()
	ctx := t.Context()
	records, err := st.ListUsage(ctx, accountA, 1_000_000)
	must(t, err)
	batches := map[string]int{}
	for _, u := range records {
		id, _, _ := strings.Cut(u.RequestID, "/")
		batches[id]++
	}
	for id, n := range batches {
		if n != batchSize {
			t.Errorf("batch %s has %d records, want all %d or none", id, n, batchSize)
		}
	}
	for _, line := range acknowledged {
		kind, id, _ := strings.Cut(line, " ")
		var err error
		switch kind {
		case "key":
			_, err = st.GetKey(ctx, id)
		case "token":
			e := token(id, accountA, 0)
			_, err = st.GetToken(ctx, e.Account, e.Region, e.Operation, id)
		case "profile":
			_, err = st.GetProfile(ctx, accountA, regionA, id)
		case "usage":
			if batches[id] == 0 {
				err = errors.New("no record of the batch")
			}
		case "deletion":
			if _, getErr := st.GetKey(ctx, "gone-"+id); !errors.Is(getErr, keys.ErrNotFound) {
				err = fmt.Errorf("deleted key is back: %v", getErr)
			}
		default:
			t.Fatalf("unknown line %q", line)
		}
		if err != nil {
			t.Errorf("acknowledged %s is lost: %v", line, err)
		}
	}
}
