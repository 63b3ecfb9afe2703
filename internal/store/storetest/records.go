package storetest

import (
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/record"
)

func recordKey(account, region, kind, name string) record.Key {
	return record.Key{Account: account, Region: region, Kind: kind, Name: name}
}

func put(k record.Key, body string, e record.Expectation) record.Change {
	return record.Change{Key: k, Body: []byte(body), Expect: e}
}

func recordName(r record.Record) string { return r.Account + "/" + r.Region + "/" + r.Name }

func testRecords(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		k := recordKey(accountA, "", "kind", "A name/with ünïcode")
		_, err := st.GetRecord(t.Context(), k)
		if !errors.Is(err, record.ErrNotFound) {
			t.Fatalf("GetRecord of nothing = %v", err)
		}
		must(t, st.ApplyRecords(t.Context(), at(1), put(k, `{"a":1}`, record.Absent)))
		must(t, st.ApplyRecords(t.Context(), at(2), put(k, `{"a":2}`, record.Any)))
		must(t, st.ApplyRecords(t.Context(), at(3), put(k, `{"a":3}`, 2)))
		got, err := st.GetRecord(t.Context(), k)
		must(t, err)
		same(t, "GetRecord", got, record.Record{Key: k, Body: []byte(`{"a":3}`), Version: 3, Updated: at(3)})
		must(t, st.ApplyRecords(t.Context(), at(4), record.Delete(k, 3), record.Delete(k, record.Any)))
		if _, err = st.GetRecord(t.Context(), k); !errors.Is(err, record.ErrNotFound) {
			t.Fatalf("GetRecord of a deleted record = %v", err)
		}
	})
	t.Run("expectations", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		k, other := recordKey(accountA, regionA, "kind", "a"), recordKey(accountA, regionA, "kind", "b")
		must(t, st.ApplyRecords(t.Context(), at(1), put(k, `1`, record.Absent)))
		before, err := st.RecordsRevision(t.Context())
		must(t, err)
		for what, c := range map[string]record.Change{
			"taken":              put(k, `2`, record.Absent),
			"older version":      put(k, `2`, 2),
			"version of nothing": put(recordKey(accountA, regionA, "kind", "c"), `2`, 1),
			"delete other":       record.Delete(k, 7),
			"delete nothing":     record.Delete(recordKey(accountA, regionA, "kind", "c"), 1),
		} {
			if err := st.ApplyRecords(t.Context(), at(2), put(other, `9`, record.Any), c); !errors.Is(err, record.ErrConflict) {
				t.Errorf("%s: %v, want record.ErrConflict", what, err)
			}
		}
		all, err := st.ListRecords(t.Context(), record.Query{Kind: "kind", AllAccounts: true, AllRegions: true})
		must(t, err)
		same(t, "records", all, []record.Record{{Key: k, Body: []byte(`1`), Version: 1, Updated: at(1)}})
		after, err := st.RecordsRevision(t.Context())
		must(t, err)
		if after != before {
			t.Errorf("refused changes moved the revision from %d to %d", before, after)
		}
	})
	t.Run("lists", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		var changes []record.Change
		for _, k := range []record.Key{
			recordKey(accountB, regionA, "kind", "b"), recordKey(accountA, regionB, "kind", "b1"), recordKey(accountA, regionA, "kind", "b2"),
			recordKey(accountA, regionA, "kind", "a"), recordKey(accountA, regionA, "kind", "B"), recordKey(accountA, regionA, "other", "b"), recordKey("", "", "kind", "b"),
			recordKey(accountA, regionA, "kind", "b%"),
		} {
			changes = append(changes, put(k, `{}`, record.Absent))
		}
		must(t, st.ApplyRecords(t.Context(), at(1), changes...))
		for what, c := range map[string]struct {
			q    record.Query
			want []string
		}{
			"one region":   {record.Query{Account: accountA, Region: regionA, Kind: "kind"}, []string{accountA + "/" + regionA + "/B", accountA + "/" + regionA + "/a", accountA + "/" + regionA + "/b%", accountA + "/" + regionA + "/b2"}},
			"prefix":       {record.Query{Account: accountA, AllRegions: true, Kind: "kind", Prefix: "b"}, []string{accountA + "/" + regionB + "/b1", accountA + "/" + regionA + "/b%", accountA + "/" + regionA + "/b2"}},
			"odd prefix":   {record.Query{Account: accountA, Region: regionA, Kind: "kind", Prefix: "b%"}, []string{accountA + "/" + regionA + "/b%"}},
			"all":          {record.Query{AllAccounts: true, AllRegions: true, Kind: "kind", Prefix: "b", Limit: 2}, []string{"//b", accountA + "/" + regionB + "/b1"}},
			"behind":       {record.Query{Account: accountA, Region: regionA, Kind: "kind", After: "a", Limit: 1}, []string{accountA + "/" + regionA + "/b%"}},
			"installation": {record.Query{Kind: "kind"}, []string{"//b"}},
			"nothing":      {record.Query{Account: accountB, Region: regionB, Kind: "kind"}, []string{}},
		} {
			got, err := st.ListRecords(t.Context(), c.q)
			must(t, err)
			same(t, what, ids(got, recordName), c.want)
		}
	})
	t.Run("another process", func(t *testing.T) {
		t.Parallel()
		place := s.Place(t)
		a, b := s.open(t, place), s.open(t, place)
		before, err := a.RecordsRevision(t.Context())
		must(t, err)
		k := recordKey(accountA, regionA, "kind", "a")
		must(t, b.ApplyRecords(t.Context(), at(1), put(k, `1`, record.Absent)))
		after, err := a.RecordsRevision(t.Context())
		must(t, err)
		if after <= before {
			t.Errorf("the revision stays %d after a change of another process", after)
		}
		if _, err := a.GetRecord(t.Context(), k); err != nil {
			t.Error(err)
		}
	})
}
