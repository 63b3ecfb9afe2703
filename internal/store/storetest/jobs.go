package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/jobs"
)

const kindA, kindB = "async-invoke", "import"

func job(id, account string, n int) jobs.Job {
	return jobs.Job{
		Account: account, Region: regionA, Kind: kindA, ID: id, Status: jobs.Queued, Spec: []byte(`{"spec":"` + id + `"}`), Input: []byte("input of " + id),
		Created: at(n), Updated: at(n),
	}
}

func jobID(j jobs.Job) string { return j.ID }

// seen is a job as Get and List tell it.
func seen(j jobs.Job) jobs.Job {
	j.Input = nil
	return j
}

func testJobs(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		want := job("aaaaaaaaaaaa", accountA, 1)
		must(t, st.PutJob(t.Context(), want))
		got, err := st.GetJob(t.Context(), want.Account, want.Region, want.Kind, want.ID)
		must(t, err)
		same(t, "GetJob", got, seen(want))
		if err := st.PutJob(t.Context(), want); !errors.Is(err, jobs.ErrExists) {
			t.Errorf("PutJob of a taken id = %v, want jobs.ErrExists", err)
		}
		for what, key := range map[string][4]string{
			"account": {accountB, regionA, kindA, want.ID}, "region": {accountA, regionB, kindA, want.ID},
			"kind": {accountA, regionA, kindB, want.ID}, "id": {accountA, regionA, kindA, "bbbbbbbbbbbb"},
		} {
			if _, err := st.GetJob(t.Context(), key[0], key[1], key[2], key[3]); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("GetJob of another %s = %v, want jobs.ErrNotFound", what, err)
			}
		}
	})
	t.Run("lists", func(t *testing.T) { t.Parallel(); testJobLists(t, s) })
	t.Run("leases", func(t *testing.T) { t.Parallel(); testLeases(t, s) })
	t.Run("old ones are dropped", func(t *testing.T) { t.Parallel(); testDropJobs(t, s) })
	t.Run("one runner each", func(t *testing.T) { t.Parallel(); testLeaseRace(t, s) })
}

func testJobLists(t *testing.T, s Suite) {
	st := s.fresh(t)
	for i, id := range []string{"c", "a", "b", "d"} { // a and b are of one moment
		j := job(id, accountA, []int{1, 2, 2, 3}[i])
		must(t, st.PutJob(t.Context(), j))
	}
	must(t, st.PutJob(t.Context(), job("z", accountB, 2)))
	for _, c := range []struct {
		name string
		q    jobs.Query
		want string
	}{
		{"all", jobs.Query{Limit: 9}, "c a b d"},
		{"newest first", jobs.Query{Newest: true, Limit: 9}, "d b a c"},
		{"limit", jobs.Query{Limit: 2}, "c a"},
		{"behind", jobs.Query{Limit: 9, After: jobs.Cursor{Created: at(2), ID: "a"}}, "b d"},
		{"behind, newest first", jobs.Query{Newest: true, Limit: 9, After: jobs.Cursor{Created: at(2), ID: "b"}}, "a c"},
		{"after", jobs.Query{Limit: 9, From: at(1)}, "a b d"},
		{"before", jobs.Query{Limit: 9, To: at(3)}, "c a b"},
		{"status", jobs.Query{Limit: 9, Statuses: []jobs.Status{jobs.Completed, jobs.Queued}}, "c a b d"},
		{"other status", jobs.Query{Limit: 9, Statuses: []jobs.Status{jobs.Failed}}, ""},
	} {
		c.q.Account, c.q.Region, c.q.Kind = accountA, regionA, kindA
		got, err := st.ListJobs(t.Context(), c.q)
		must(t, err)
		text := ""
		for i, id := range ids(got, jobID) {
			if i > 0 {
				text += " "
			}
			text += id
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}

func testLeases(t *testing.T, s Suite) {
	st := s.fresh(t)
	ctx := t.Context()
	second, first := job("second", accountB, 2), job("first", accountA, 1)
	other := job("other", accountA, 0)
	other.Kind = kindB
	for _, j := range []jobs.Job{second, first, other} {
		must(t, st.PutJob(ctx, j))
	}
	now := at(10)
	lease := func(owner string, now time.Time) (jobs.Job, error) {
		return st.LeaseJob(ctx, []string{kindA, "none"}, owner, now, now.Add(time.Minute))
	}
	got, err := lease("one", now)
	must(t, err)
	want := first
	want.Status, want.Tries, want.Updated = jobs.Running, 1, now
	same(t, "LeaseJob", got, want)
	got2, err := lease("two", now)
	must(t, err)
	if got2.ID != "second" {
		t.Errorf("second lease %s", got2.ID)
	}
	if _, err := lease("three", now); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("a job was leased twice: %v", err)
	}
	// A lease that was renewed holds, one that was not goes to another.
	must(t, st.RenewJob(ctx, got, "one", now.Add(10*time.Minute)))
	if err := st.RenewJob(ctx, got, "two", now.Add(time.Hour)); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("a stranger renewed: %v", err)
	}
	taken, err := lease("three", now.Add(2*time.Minute))
	must(t, err)
	if taken.ID != "second" || taken.Tries != 2 || string(taken.Input) != string(second.Input) {
		t.Errorf("taken over: %+v", taken)
	}
	if err := st.EndJob(ctx, got2, "two"); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("a lost job was ended: %v", err)
	}
	got.Status, got.Failure, got.Ended, got.Updated, got.Spec = jobs.Failed, "no luck", now.Add(time.Second), now.Add(time.Second), []byte(`{"less":1}`)
	must(t, st.EndJob(ctx, got, "one"))
	after, err := st.GetJob(ctx, accountA, regionA, kindA, "first")
	must(t, err)
	same(t, "ended job", after, seen(got))
	must(t, st.ReleaseJob(ctx, taken, "three"))
	again, err := lease("four", now.Add(2*time.Minute))
	must(t, err)
	if again.ID != "second" || again.Tries != 2 {
		t.Errorf("released: %+v", again)
	}
	must(t, st.FreeJobs(ctx))
	freed, err := lease("five", now.Add(2*time.Minute))
	must(t, err)
	if freed.ID != "second" || freed.Tries != 3 {
		t.Errorf("freed: %+v", freed)
	}
	if ended, err := st.GetJob(ctx, accountA, regionA, kindA, "first"); err != nil || ended.Status != jobs.Failed {
		t.Errorf("an ended job was freed: %+v, %v", ended, err)
	}
}

// testDropJobs drops what ended before a time, of some kinds, a few at a time.
func testDropJobs(t *testing.T, s Suite) {
	st := s.fresh(t)
	for i, id := range []string{"waits", "b", "a", "c", "d", "other"} {
		j := job(id, accountA, i)
		if id == "other" {
			j.Kind = kindB
		}
		if id != "waits" {
			j.Status, j.Ended, j.Input = jobs.Completed, at([]int{0, 20, 10, 30, 40, 10}[i]), nil
		}
		must(t, st.PutJob(t.Context(), j))
	}
	for _, want := range []struct {
		kinds []string
		limit int
		n     int
		left  []string
	}{{nil, 9, 0, []string{"waits", "b", "a", "c", "d"}}, {[]string{kindA, "none"}, 1, 1, []string{"waits", "b", "c", "d"}}, {[]string{kindA}, 9, 1, []string{"waits", "c", "d"}}} {
		n, err := st.DropJobs(t.Context(), want.kinds, at(30), want.limit)
		must(t, err)
		if n != want.n {
			t.Errorf("DropJobs of %v dropped %d, want %d", want.kinds, n, want.n)
		}
		got, err := st.ListJobs(t.Context(), jobs.Query{Account: accountA, Region: regionA, Kind: kindA, Limit: 9})
		must(t, err)
		same(t, "ListJobs", ids(got, jobID), want.left)
	}
	if _, err := st.GetJob(t.Context(), accountA, regionA, kindB, "other"); err != nil {
		t.Errorf("a job of another kind: %v", err)
	}
}

// testLeaseRace lets many runners take jobs at once: each job goes to one.
func testLeaseRace(t *testing.T, s Suite) {
	st := s.fresh(t)
	const n = 24
	for i := range n {
		must(t, st.PutJob(t.Context(), job(fmt.Sprintf("job%02d", i), accountA, i)))
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var all sync.WaitGroup
	for r := range 4 {
		all.Go(func() {
			for {
				j, err := st.LeaseJob(t.Context(), []string{kindA}, fmt.Sprint("runner ", r), at(100), at(200))
				if errors.Is(err, jobs.ErrNotFound) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				taken[j.ID]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id, times := range taken {
		if times != 1 {
			t.Errorf("%s was leased %d times", id, times)
		}
	}
	if len(taken) != n {
		t.Errorf("%d of %d jobs were leased", len(taken), n)
	}
}
