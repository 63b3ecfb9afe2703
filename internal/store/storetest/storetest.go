// Package storetest is the conformance suite of the stores. Every database
// below internal/store runs it; a bug in one adds a case for all.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/outcrop/outcrop/internal/store"
)

// Suite tells how to get at the stores under test. Both fields are required.
type Suite struct {
	// Open opens the store of a place. The same place holds the same data, also
	// for two stores that are open at once and in another process.
	Open func(ctx context.Context, place string) (store.Store, error)
	// Place makes an empty place for one test, e.g. a path or a connection
	// string. It clears the place up with t.Cleanup.
	Place func(t testing.TB) string
}

// Run tests everything that store.Store and its parts promise. The package of
// the caller must call Main from TestMain: one test kills a second process.
func Run(t *testing.T, s Suite) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Suite){
		"keys":        testKeys,
		"usage":       testUsage,
		"tokens":      testTokens,
		"profiles":    testProfiles,
		"records":     testRecords,
		"jobs":        testJobs,
		"text":        testText,
		"isolation":   testIsolation,
		"concurrency": testConcurrency,
		"faults":      testFaults,
		"durability":  testDurability,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// open opens a store that is closed at the end of the test.
func (s Suite) open(t testing.TB, place string) store.Store {
	t.Helper()
	st, err := s.Open(t.Context(), place)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return st
}

// fresh opens a store in an empty place.
func (s Suite) fresh(t testing.TB) store.Store {
	t.Helper()
	return s.open(t, s.Place(t))
}

const (
	accountA = "111122223333"
	accountB = "444455556666"
	regionA  = "us-east-1"
	regionB  = "eu-central-1"
)

// at is a moment, n seconds and some odd milliseconds into the suite's calendar.
func at(n int) time.Time {
	return time.Date(2026, 2, 28, 23, 59, 0, 7_000_000, time.UTC).Add(time.Duration(n) * time.Second)
}

// must stops the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a store returned with what was put. A store need not tell
// nil from empty.
func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// ids maps a list to one string per item.
func ids[T any](all []T, id func(T) string) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = id(v)
	}
	return out
}
