package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/store"
)

// testText stores strings that break careless quoting and comes back for them.
func testText(t *testing.T, s Suite) {
	for name, text := range map[string]string{
		"quotes":    `'; DROP TABLE access_keys; -- "x" \' %s ? $1 :a`,
		"unicode":   "Grüße 🪨 שלום \u202e\u0301",
		"controls":  "a\nb\tc\r\x01",
		"wildcards": "%_*[a-z]",
		"long":      strings.Repeat("x", 100_000),
		"empty":     "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := s.fresh(t)
			u := usage("r", accountA, 1)
			u.ModelID, u.ErrorCode = text, text
			must(t, st.PutUsage(t.Context(), []meter.Record{u}))
			records, err := st.ListUsage(t.Context(), accountA, 9)
			must(t, err)
			same(t, "usage", records, []meter.Record{u})

			e := token(text, accountA, 1)
			must(t, st.PutToken(t.Context(), e))
			entry, err := st.GetToken(t.Context(), e.Account, e.Region, e.Operation, text)
			must(t, err)
			same(t, "token", entry, e)

			p := prof("aaaaaaaaaaaa", accountA, 1)
			p.Name, p.Description = "n"+text, text
			must(t, st.PutProfile(t.Context(), p))
			all, err := st.ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, Name: p.Name, Limit: 9})
			must(t, err)
			same(t, "profile", all, []profile.Profile{p})
		})
	}
}

// testIsolation lets two accounts, and one account in two regions, use the same
// names; neither sees or changes what is the other's.
func testIsolation(t *testing.T, s Suite) {
	st := s.fresh(t)
	a, b, far := prof("aaaaaaaaaaaa", accountA, 1), prof("aaaaaaaaaaaa", accountB, 2), prof("aaaaaaaaaaaa", accountA, 3)
	far.Region = regionB
	for _, p := range []profile.Profile{a, b, far} {
		must(t, st.PutProfile(t.Context(), p))
	}
	for _, want := range []profile.Profile{a, b, far} {
		got, err := st.GetProfile(t.Context(), want.Account, want.Region, want.ID)
		must(t, err)
		same(t, "GetProfile", got, want)
		all, err := st.ListProfiles(t.Context(), profile.Query{Account: want.Account, Region: want.Region, Limit: 9})
		must(t, err)
		same(t, "ListProfiles", all, []profile.Profile{want})
	}
	must(t, st.DeleteProfile(t.Context(), a.Account, a.Region, a.ID))
	for _, want := range []profile.Profile{b, far} {
		if _, err := st.GetProfile(t.Context(), want.Account, want.Region, want.ID); err != nil {
			t.Errorf("profile of %s in %s after another's deletion: %v", want.Account, want.Region, err)
		}
	}
	if _, err := st.GetProfile(t.Context(), accountB, regionB, a.ID); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("GetProfile in an empty region = %v, want profile.ErrNotFound", err)
	}

	must(t, st.PutUsage(t.Context(), []meter.Record{usage("a", accountA, 1), usage("b", accountB, 2)}))
	for account, want := range map[string][]string{accountA: {"a"}, accountB: {"b"}, "000000000000": {}} {
		got, err := st.ListUsage(t.Context(), account, 9)
		must(t, err)
		same(t, "ListUsage of "+account, ids(got, usageID), want)
	}

	// Tokens keep the accounts apart in "tokens"; here also the answers differ.
	for _, e := range []idempotency.Entry{token("tok", accountA, 1), token("tok", accountB, 1)} {
		e.Body = []byte(e.Account)
		must(t, st.PutToken(t.Context(), e))
	}
	for _, account := range []string{accountA, accountB} {
		e := token("tok", account, 1)
		got, err := st.GetToken(t.Context(), account, e.Region, e.Operation, e.Token)
		must(t, err)
		same(t, "body of "+account, string(got.Body), account)
	}
}

// testConcurrency races writers and readers, through two stores on one place.
func testConcurrency(t *testing.T, s Suite) {
	t.Run("one winner", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		stores := []store.Store{s.open(t, place), s.open(t, place)}
		for name, put := range map[string]func(st store.Store, n int) error{
			"key": func(st store.Store, n int) error { return st.PutKey(t.Context(), key("K", accountA, n)) },
			"token": func(st store.Store, n int) error {
				return orAlien(st.PutToken(t.Context(), token("tok", accountA, n)), idempotency.ErrExists)
			},
			"profile": func(st store.Store, n int) error {
				p := prof(fmt.Sprint("id", n), accountA, n)
				p.Name = "one name"
				return orAlien(st.PutProfile(t.Context(), p), profile.ErrExists)
			},
		} {
			var won atomic.Int32
			var wg sync.WaitGroup
			for n := range 16 {
				wg.Go(func() {
					err := put(stores[n%2], n)
					if err == nil {
						won.Add(1)
					}
					if errors.Is(err, errAlien) {
						t.Errorf("%s: a loser got %v", name, err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d of 16 writers won, want 1", name, won.Load())
			}
		}
	})
	t.Run("nothing lost", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		stores := []store.Store{s.open(t, place), s.open(t, place)}
		const writers, each = 8, 15
		var wg sync.WaitGroup
		for w := range writers {
			st := stores[w%2]
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("w%02di%02d", w, i)
					if err := errors.Join(
						st.PutKey(t.Context(), key(id, accountA, i)),
						st.PutProfile(t.Context(), prof(id, accountA, i)),
						st.PutUsage(t.Context(), []meter.Record{usage(id+"a", accountA, i), usage(id+"b", accountA, i)}),
					); err != nil {
						t.Errorf("%s: %v", id, err)
					}
					// What a store acknowledged, it shows at once.
					if _, err := st.GetKey(t.Context(), id); err != nil {
						t.Errorf("GetKey right after PutKey(%s): %v", id, err)
					}
					if _, err := st.ListUsage(t.Context(), accountA, 5); err != nil {
						t.Errorf("ListUsage: %v", err)
					}
				}
			})
		}
		wg.Wait()
		all, err := stores[0].ListKeys(t.Context())
		must(t, err)
		records, err := stores[1].ListUsage(t.Context(), accountA, 10_000)
		must(t, err)
		profiles, err := stores[0].ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, Limit: 10_000})
		must(t, err)
		same(t, "keys, records and profiles", []int{len(all), len(records), len(profiles)}, []int{writers * each, 2 * writers * each, writers * each})
	})
}

var errAlien = errors.New("not the error of a taken name")

// orAlien marks an error that is neither nil nor the expected one.
func orAlien(err, expected error) error {
	if err == nil || errors.Is(err, expected) {
		return err
	}
	return fmt.Errorf("%w: %w", errAlien, err)
}

// everyCall names each method and calls it.
func everyCall(st store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"PutKey":        func(ctx context.Context) error { return st.PutKey(ctx, key("F", accountA, 1)) },
		"GetKey":        func(ctx context.Context) error { _, err := st.GetKey(ctx, "K"); return err },
		"ListKeys":      func(ctx context.Context) error { _, err := st.ListKeys(ctx); return err },
		"SetKeyStatus":  func(ctx context.Context) error { return st.SetKeyStatus(ctx, "K", keys.Inactive) },
		"KeysRevision":  func(ctx context.Context) error { _, err := st.KeysRevision(ctx); return err },
		"SetKeyUse":     func(ctx context.Context) error { return st.SetKeyUse(ctx, "K", keys.Use{At: at(1)}) },
		"DeleteKey":     func(ctx context.Context) error { return st.DeleteKey(ctx, "K") },
		"PutUsage":      func(ctx context.Context) error { return st.PutUsage(ctx, []meter.Record{usage("f", accountA, 1)}) },
		"ListUsage":     func(ctx context.Context) error { _, err := st.ListUsage(ctx, accountA, 1); return err },
		"DropUsage":     func(ctx context.Context) error { _, err := st.DropUsage(ctx, at(0), 1); return err },
		"DropJobs":      func(ctx context.Context) error { _, err := st.DropJobs(ctx, []string{kindA}, at(0), 1); return err },
		"FreeJobs":      func(ctx context.Context) error { return st.FreeJobs(ctx) },
		"GetToken":      func(ctx context.Context) error { _, err := st.GetToken(ctx, accountA, regionA, "o", "t"); return err },
		"PutToken":      func(ctx context.Context) error { return st.PutToken(ctx, token("f", accountA, 1)) },
		"DropTokens":    func(ctx context.Context) error { return st.DropTokens(ctx, at(1000)) },
		"PutProfile":    func(ctx context.Context) error { return st.PutProfile(ctx, prof("f", accountA, 1)) },
		"GetProfile":    func(ctx context.Context) error { _, err := st.GetProfile(ctx, accountA, regionA, "p"); return err },
		"DeleteProfile": func(ctx context.Context) error { return st.DeleteProfile(ctx, accountA, regionA, "p") },
		"ListProfiles": func(ctx context.Context) error {
			_, err := st.ListProfiles(ctx, profile.Query{Account: accountA, Region: regionA, Limit: 1})
			return err
		},
	}
}

// isAnswer reports whether err is one of the errors that mean "no such thing".
func isAnswer(err error) bool {
	return errors.Is(err, keys.ErrNotFound) || errors.Is(err, idempotency.ErrNotFound) || errors.Is(err, profile.ErrNotFound) ||
		errors.Is(err, idempotency.ErrExists) || errors.Is(err, profile.ErrExists)
}

func testFaults(t *testing.T, s Suite) {
	t.Run("context has ended", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		k := key("K", accountA, 1)
		must(t, st.PutKey(t.Context(), k))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, do := range everyCall(st) {
			if err := do(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s = %v, want context.Canceled", name, err)
			}
		}
		all, err := st.ListKeys(t.Context())
		must(t, err)
		same(t, "ListKeys afterwards", all, []keys.Stored{k})
		records, err := st.ListUsage(t.Context(), "", 9)
		must(t, err)
		profiles, err := st.ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, Limit: 9})
		must(t, err)
		same(t, "records and profiles afterwards", []int{len(records), len(profiles)}, []int{0, 0})
	})
	t.Run("context ends during a batch", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		batch := make([]meter.Record, 2000)
		for i := range batch {
			batch[i] = usage(fmt.Sprint("r", i), accountA, i)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- st.PutUsage(ctx, batch) }()
		cancel()
		err := <-done
		got, listErr := st.ListUsage(t.Context(), accountA, len(batch))
		must(t, listErr)
		if n := len(got); n != 0 && n != len(batch) || err == nil && n == 0 {
			t.Errorf("%d of %d records stored, error %v; want all or none", n, len(batch), err)
		}
		must(t, st.PutUsage(t.Context(), batch)) // the same batch may be put again
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		st, err := s.Open(t.Context(), s.Place(t))
		must(t, err)
		must(t, st.Close())
		for name, do := range everyCall(st) {
			if err := do(t.Context()); err == nil || isAnswer(err) {
				t.Errorf("%s of a closed store = %v, want a failure", name, err)
			}
		}
	})
	t.Run("many open at once", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() {
				st, err := s.Open(t.Context(), place)
				if err != nil {
					t.Errorf("open %d: %v", n, err)
					return
				}
				if err := errors.Join(st.PutKey(t.Context(), key(fmt.Sprint("K", n), accountA, n)), st.Close()); err != nil {
					t.Errorf("open %d: %v", n, err)
				}
			})
		}
		wg.Wait()
		all, err := s.open(t, place).ListKeys(t.Context())
		must(t, err)
		same(t, "ListKeys", ids(all, keyID), []string{"K0", "K1", "K2", "K3", "K4", "K5"})
	})
}
