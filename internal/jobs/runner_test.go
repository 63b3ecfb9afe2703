package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a store in memory for one runner or two.
type memory struct {
	mu    sync.Mutex
	jobs  []*held
	lease error // of LeaseJob, when set
}

type held struct {
	Job
	owner string
	until time.Time
}

func (m *memory) PutJob(_ context.Context, j Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = append(m.jobs, &held{Job: j})
	return nil
}

func (m *memory) find(id string) *held {
	for _, h := range m.jobs {
		if h.ID == id {
			return h
		}
	}
	return nil
}

func (m *memory) GetJob(_ context.Context, _, _, _, id string) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(id).Job, nil
}

func (m *memory) ListJobs(context.Context, Query) ([]Job, error) { return nil, nil }

func (m *memory) LeaseJob(_ context.Context, _ []string, owner string, now, until time.Time) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease != nil {
		return Job{}, m.lease
	}
	for _, h := range m.jobs {
		if !h.Status.Ended() && h.until.Before(now) {
			h.Status, h.owner, h.until = Running, owner, until
			h.Tries++
			return h.Job, nil
		}
	}
	return Job{}, ErrNotFound
}

func (m *memory) DropJobs(_ context.Context, _ []string, t time.Time, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.jobs)
	m.jobs = slices.DeleteFunc(m.jobs, func(h *held) bool { return h.Status.Ended() && h.Ended.Before(t) })
	return min(before-len(m.jobs), limit), nil
}

func (m *memory) mine(j Job, owner string, do func(*held)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.find(j.ID)
	if h.owner != owner || h.Status != Running {
		return ErrLost
	}
	do(h)
	return nil
}

func (m *memory) RenewJob(_ context.Context, j Job, owner string, until time.Time) error {
	return m.mine(j, owner, func(h *held) { h.until = until })
}

func (m *memory) EndJob(_ context.Context, j Job, owner string) error {
	return m.mine(j, owner, func(h *held) { h.Job, h.owner = j, "" })
}

func (m *memory) ReleaseJob(_ context.Context, j Job, owner string) error {
	return m.mine(j, owner, func(h *held) { h.Status, h.owner, h.until = Queued, "", time.Time{}; h.Tries-- })
}

func (m *memory) FreeJobs(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.jobs {
		h.until = time.Time{}
	}
	return nil
}

func (m *memory) status(id string) (Status, string) {
	j, _ := m.GetJob(context.Background(), "", "", "", id)
	return j.Status, j.Failure
}

func newTestRunner(m *memory, h Handler) *Runner {
	return NewRunner(Config{Store: m, Handlers: map[string]Handler{"k": h}, Failure: func(err error) string { return "failed: " + err.Error() }})
}

func put(m *memory, ids ...string) {
	for _, id := range ids {
		_ = m.PutJob(context.Background(), Job{ID: id, Kind: "k", Status: Queued})
	}
}

func TestRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newTestRunner(m, func(_ context.Context, j Job) error {
			switch j.ID {
			case "bad":
				return errors.New("no")
			case "panic":
				panic("a prompt")
			}
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		put(m, "good", "bad", "panic")
		r.Wake()
		synctest.Wait()
		for id, want := range map[string]string{"good": "Completed ", "bad": "Failed failed: no", "panic": "Failed failed: jobs: panic with a string"} {
			if s, f := m.status(id); string(s)+" "+f != want {
				t.Errorf("%s: %s %s", id, s, f)
			}
		}
		put(m, "unnoticed") // nobody wakes the runner: it looks by itself
		time.Sleep(DefaultPoll + time.Second)
		synctest.Wait()
		if s, _ := m.status("unnoticed"); s != Completed {
			t.Errorf("unnoticed: %s", s)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLongJob keeps its lease for as long as it works.
func TestLongJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		runs := 0
		work := func(ctx context.Context, _ Job) error {
			runs++
			select {
			case <-time.After(10 * DefaultLease):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		put(m, "long")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for range 2 { // two servers on one store
			go func() { _ = newTestRunner(m, work).Run(ctx) }()
		}
		time.Sleep(11 * DefaultLease)
		synctest.Wait()
		if s, _ := m.status("long"); s != Completed || runs != 1 {
			t.Errorf("%s after %d runs", s, runs)
		}
		stop()
		synctest.Wait()
	})
}

// TestStop gives a running job back, and another server takes it up.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		put(m, "j")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- newTestRunner(m, func(ctx context.Context, _ Job) error { <-ctx.Done(); return ctx.Err() }).Run(ctx)
		}()
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s, _ := m.status("j"); s != Queued {
			t.Errorf("after the stop: %s", s)
		}
		ctx, stop = context.WithCancel(t.Context())
		go func() { _ = newTestRunner(m, func(context.Context, Job) error { return nil }).Run(ctx) }()
		synctest.Wait()
		if s, _ := m.status("j"); s != Completed || m.find("j").Tries != 1 {
			t.Errorf("after the next start: %s, %d tries", s, m.find("j").Tries)
		}
		stop()
		synctest.Wait()
	})
}

// TestKeep drops a job a while after it has ended, and none that waits.
func TestKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		put(m, "ends")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = newTestRunner(m, func(context.Context, Job) error { return nil }).Run(ctx) }()
		time.Sleep(DefaultKeep - time.Minute)
		synctest.Wait()
		m.mu.Lock()
		m.lease = ErrNotFound
		m.mu.Unlock()
		put(m, "waits")
		if s, _ := m.status("ends"); s != Completed {
			t.Errorf("%s after almost %v", s, DefaultKeep)
		}
		time.Sleep(dropEvery + 2*time.Minute)
		synctest.Wait()
		m.mu.Lock()
		if len(m.jobs) != 1 || m.jobs[0].ID != "waits" {
			t.Errorf("%d jobs are left", len(m.jobs))
		}
		m.mu.Unlock()
		stop()
		synctest.Wait()
	})
}

// TestAlone takes up at once what a server left that died.
func TestAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		put(m, "j")
		_, _ = m.LeaseJob(t.Context(), nil, "dead", time.Now(), time.Now().Add(time.Hour))
		c := newTestRunner(m, func(context.Context, Job) error { return nil }).c
		c.Alone = true
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = NewRunner(c).Run(ctx) }()
		synctest.Wait()
		if s, _ := m.status("j"); s != Completed || m.find("j").Tries != 2 {
			t.Errorf("%s, %d tries", s, m.find("j").Tries)
		}
		stop()
		synctest.Wait()
	})
}

// TestLost stops the work on a job that another runner has taken over, and does
// not touch its state.
func TestLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		put(m, "j")
		ctx, stop := context.WithCancel(t.Context())
		ended := false
		go func() {
			_ = newTestRunner(m, func(ctx context.Context, _ Job) error { <-ctx.Done(); ended = true; return ctx.Err() }).Run(ctx)
		}()
		synctest.Wait()
		m.mu.Lock()
		m.find("j").owner = "another"
		m.find("j").until = time.Now().Add(time.Hour)
		m.mu.Unlock()
		time.Sleep(DefaultLease)
		synctest.Wait()
		if s, _ := m.status("j"); s != Running || !ended {
			t.Errorf("%s, work ended: %t", s, ended)
		}
		stop()
		synctest.Wait()
	})
}

// TestTries fails a job that ended its server again and again.
func TestTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		put(m, "j")
		m.find("j").Tries = MaxTries
		m.lease = errors.New("the disk is away for a while")
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			_ = newTestRunner(m, func(context.Context, Job) error { return nil }).Run(ctx)
		}()
		synctest.Wait()
		m.mu.Lock()
		m.lease = nil
		m.mu.Unlock()
		time.Sleep(DefaultPoll + time.Second)
		synctest.Wait()
		if s, f := m.status("j"); s != Failed || f == "" {
			t.Errorf("%s %q", s, f)
		}
		stop()
		synctest.Wait()
	})
}
