package storetest

import (
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/keys"
)

func key(id, account string, n int) keys.Stored {
	return keys.Stored{
		ID: id, Account: account, Region: regionA, Kind: keys.SigV4, Status: keys.Active,
		Sealed: []byte{0, 1, 0xff, '\'', 0}, Created: at(n),
	}
}

func keyID(k keys.Stored) string { return k.ID }

func testKeys(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		want := key("AKIAAAAAAAAAAAAAAAAA", accountA, 1)
		must(t, st.PutKey(t.Context(), want))
		got, err := st.GetKey(t.Context(), want.ID)
		must(t, err)
		same(t, "GetKey", got, want)
		owned := key("ACCABBBBBBBBBBBBBBBB", accountA, 1)
		owned.Owner, owned.Name, owned.Expires = "AIDAAAAAAAAAAAAAAAAAA", "ana-at-111122223333", at(9)
		must(t, st.PutKey(t.Context(), owned))
		owned.Used = keys.Use{At: at(5), Region: regionB, Service: "bedrock"}
		must(t, st.SetKeyUse(t.Context(), owned.ID, owned.Used))
		must(t, st.SetKeyUse(t.Context(), owned.ID, keys.Use{At: at(4), Region: regionA, Service: "sts"})) // older: late news
		got, err = st.GetKey(t.Context(), owned.ID)
		must(t, err)
		same(t, "GetKey of an owned key", got, owned)
		must(t, st.SetKeyUse(t.Context(), "AKIANOSUCHKEY0000000", owned.Used)) // deleted meanwhile
	})
	t.Run("revision", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		here, there := s.open(t, place), s.open(t, place)
		ctx, k := t.Context(), key("AKIAAAAAAAAAAAAAAAAA", accountA, 1)
		last, err := here.KeysRevision(ctx)
		must(t, err)
		for name, change := range []func() error{
			func() error { return there.PutKey(ctx, k) },
			func() error { return there.SetKeyStatus(ctx, k.ID, keys.Inactive) },
			func() error { return here.SetKeyStatus(ctx, k.ID, keys.Active) },
			func() error { return there.DeleteKey(ctx, k.ID) },
		} {
			must(t, change())
			now, err := here.KeysRevision(ctx)
			must(t, err)
			if now <= last {
				t.Errorf("change %d leaves the revision at %d", name, now)
			}
			last = now
		}
		must(t, there.PutKey(ctx, k))
		last, err = here.KeysRevision(ctx)
		must(t, err)
		must(t, there.SetKeyUse(ctx, k.ID, keys.Use{At: at(5), Region: regionA, Service: "sts"}))
		if now, err := here.KeysRevision(ctx); err != nil || now != last {
			t.Errorf("a use moves the revision from %d to %d, %v", last, now, err)
		}
	})
	t.Run("taken id", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		first := key("AKIAAAAAAAAAAAAAAAAA", accountA, 1)
		must(t, st.PutKey(t.Context(), first))
		if err := st.PutKey(t.Context(), key(first.ID, accountB, 2)); err == nil {
			t.Error("PutKey took an id twice")
		}
		got, err := st.GetKey(t.Context(), first.ID)
		must(t, err)
		same(t, "GetKey after a refused PutKey", got, first)
	})
	t.Run("unknown id", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		_, err := st.GetKey(t.Context(), "AKIANOSUCHKEY0000000")
		for name, err := range map[string]error{
			"GetKey":       err,
			"SetKeyStatus": st.SetKeyStatus(t.Context(), "AKIANOSUCHKEY0000000", keys.Inactive),
			"DeleteKey":    st.DeleteKey(t.Context(), "AKIANOSUCHKEY0000000"),
		} {
			if !errors.Is(err, keys.ErrNotFound) {
				t.Errorf("%s of an unknown id = %v, want keys.ErrNotFound", name, err)
			}
		}
	})
	t.Run("status", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		want := key("AKIAAAAAAAAAAAAAAAAA", accountA, 1)
		other := key("AKIABBBBBBBBBBBBBBBB", accountA, 2)
		must(t, st.PutKey(t.Context(), want))
		must(t, st.PutKey(t.Context(), other))
		for _, status := range []keys.Status{keys.Inactive, keys.Inactive, keys.Active} {
			must(t, st.SetKeyStatus(t.Context(), want.ID, status))
			want.Status = status
			all, err := st.ListKeys(t.Context())
			must(t, err)
			same(t, "ListKeys", all, []keys.Stored{want, other})
		}
	})
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		k := key("AKIAAAAAAAAAAAAAAAAA", accountA, 1)
		must(t, st.PutKey(t.Context(), k))
		must(t, st.DeleteKey(t.Context(), k.ID))
		if _, err := st.GetKey(t.Context(), k.ID); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("GetKey of a deleted id = %v, want keys.ErrNotFound", err)
		}
		must(t, st.PutKey(t.Context(), k)) // the id is free again
	})
	t.Run("list is oldest first", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		all, err := st.ListKeys(t.Context())
		must(t, err)
		same(t, "ListKeys of an empty store", ids(all, keyID), []string{})
		for _, k := range []keys.Stored{key("D", accountA, 9), key("C", accountB, 5), key("B", accountA, 5), key("A", accountA, 7)} {
			must(t, st.PutKey(t.Context(), k))
		}
		all, err = st.ListKeys(t.Context())
		must(t, err)
		same(t, "ListKeys", ids(all, keyID), []string{"B", "C", "A", "D"})
	})
}
