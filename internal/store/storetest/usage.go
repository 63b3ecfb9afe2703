package storetest

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/meter"
)

func usage(id, account string, n int) meter.Record {
	return meter.Record{
		RequestID: id, Time: at(n), Account: account, Region: regionA, Principal: "arn:aws:iam::" + account + ":root",
		AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Service: "bedrock-runtime", Operation: "Converse", ModelID: "anthropic.claude-v2",
		ServedBy: "smollm2", StandIn: true, InputTokens: 11, OutputTokens: 12, ReusedTokens: 13, Status: 200,
		LatencyMS: 14, FirstTokenMS: 15, DurationMS: 1 << 40,
	}
}

func usageID(u meter.Record) string { return u.RequestID }

func testUsage(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		failed := usage("r2", accountA, 2)
		failed.StandIn, failed.Status, failed.ErrorCode = false, 429, "ThrottlingException"
		want := []meter.Record{failed, usage("r1", accountA, 1)}
		must(t, st.PutUsage(t.Context(), []meter.Record{want[1], want[0]}))
		got, err := st.ListUsage(t.Context(), accountA, 10)
		must(t, err)
		same(t, "ListUsage", got, want)
	})
	t.Run("newest first, at most limit", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		must(t, st.PutUsage(t.Context(), []meter.Record{usage("b", accountA, 2), usage("d", accountA, 4)}))
		must(t, st.PutUsage(t.Context(), []meter.Record{usage("a", accountA, 1), usage("c", accountA, 3)}))
		for limit, want := range map[int][]string{1: {"d"}, 3: {"d", "c", "b"}, 99: {"d", "c", "b", "a"}} {
			got, err := st.ListUsage(t.Context(), accountA, limit)
			must(t, err)
			same(t, fmt.Sprintf("ListUsage of %d", limit), ids(got, usageID), want)
		}
	})
	t.Run("same millisecond: latest arrival first", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		must(t, st.PutUsage(t.Context(), []meter.Record{usage("z", accountA, 1), usage("m", accountA, 1)}))
		must(t, st.PutUsage(t.Context(), []meter.Record{usage("a", accountA, 1)}))
		got, err := st.ListUsage(t.Context(), accountA, 9)
		must(t, err)
		same(t, "ListUsage", ids(got, usageID), []string{"a", "m", "z"})
	})
	t.Run("old ones are dropped, a few at a time", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		for i, id := range []string{"c", "a", "b", "e", "d"} {
			must(t, st.PutUsage(t.Context(), []meter.Record{usage(id, []string{accountA, accountB}[i%2], []int{3, 1, 2, 5, 4}[i])}))
		}
		for _, want := range []struct {
			n    int
			left []string
		}{{2, []string{"e", "d", "c"}}, {1, []string{"e", "d"}}, {0, []string{"e", "d"}}} {
			n, err := st.DropUsage(t.Context(), at(4), 2)
			must(t, err)
			got, err := st.ListUsage(t.Context(), "", 9)
			must(t, err)
			if n != want.n {
				t.Errorf("DropUsage dropped %d, want %d", n, want.n)
			}
			same(t, "ListUsage", ids(got, usageID), want.left)
		}
	})
	t.Run("a repeated batch counts once", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		batch := []meter.Record{usage("a", accountA, 1), usage("b", accountA, 2)}
		must(t, st.PutUsage(t.Context(), batch))
		must(t, st.PutUsage(t.Context(), append(batch, usage("c", accountA, 3))))
		got, err := st.ListUsage(t.Context(), accountA, 9)
		must(t, err)
		same(t, "ListUsage", ids(got, usageID), []string{"c", "b", "a"})
	})
	t.Run("no account is every account", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		nobody := usage("n", "", 2)
		must(t, st.PutUsage(t.Context(), []meter.Record{usage("a", accountA, 1), nobody, usage("b", accountB, 3)}))
		got, err := st.ListUsage(t.Context(), "", 9)
		must(t, err)
		same(t, "ListUsage", ids(got, usageID), []string{"b", "n", "a"})
	})
	t.Run("large batch", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		batch := make([]meter.Record, 5000)
		for i := range batch {
			batch[i] = usage(fmt.Sprint("r", i), accountA, i)
		}
		must(t, st.PutUsage(t.Context(), nil))
		must(t, st.PutUsage(t.Context(), batch))
		got, err := st.ListUsage(t.Context(), accountA, len(batch)+1)
		must(t, err)
		if len(got) != len(batch) {
			t.Errorf("%d records listed, %d put", len(got), len(batch))
		}
	})
}
