package meter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/meter"
)

// fake is a store that notes its commits.
type fake struct {
	mu      sync.Mutex
	commits []commit
	err     error         // returned instead of storing
	takes   time.Duration // how long one commit lasts
}

type commit struct {
	at  time.Duration // since the fake was made
	ids []string
}

var errDisk = errors.New("disk full")

func (f *fake) PutUsage(ctx context.Context, records []meter.Record) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.takes):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	c := commit{at: time.Since(start)}
	for _, r := range records {
		c.ids = append(c.ids, r.RequestID)
	}
	f.commits = append(f.commits, c)
	return nil
}

func (f *fake) ListUsage(context.Context, string, int) ([]meter.Record, error) { return nil, nil }

func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// start is when the clock of every synctest bubble starts.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// shape is the time and size of every commit.
func (f *fake) shape() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := ""
	for _, c := range f.commits {
		s += fmt.Sprintf("%v:%d ", c.at, len(c.ids))
	}
	return s
}

func (f *fake) ids() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]int{}
	for _, c := range f.commits {
		for _, id := range c.ids {
			all[id]++
		}
	}
	return all
}

// run starts a writer in a bubble; stop ends it and returns Run's error.
func run(t *testing.T, c meter.Config) (w *meter.Writer, stop func() error) {
	t.Helper()
	w = meter.NewWriter(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return w, func() error {
		cancel()
		return <-ended
	}
}

func add(t *testing.T, w *meter.Writer, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		if err := w.Add(meter.Record{RequestID: fmt.Sprint(i)}); err != nil {
			t.Errorf("Add(%d): %v", i, err)
		}
	}
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: commits %s, want %s", what, got, want)
	}
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		w, stop := run(t, meter.Config{Store: f})
		time.Sleep(time.Second) // nothing to do
		add(t, w, 0, 1)
		time.Sleep(150 * time.Millisecond)
		add(t, w, 1, 9)
		time.Sleep(49 * time.Millisecond)
		check(t, "before the interval ends", f.shape(), "")
		time.Sleep(time.Second)
		check(t, "after it", f.shape(), "1.2s:10 ")
		add(t, w, 10, 256) // a whole batch does not wait
		synctest.Wait()
		check(t, "whole batch", f.shape(), "1.2s:10 2.199s:256 ")
		add(t, w, 266, 300) // one and a part of the next
		time.Sleep(time.Second)
		check(t, "more than a batch", f.shape(), "1.2s:10 2.199s:256 2.199s:256 2.399s:44 ")
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Under a steady load, commits come at the interval, not one upon the other.
func TestSteadyLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: 10 * time.Millisecond}
		w, stop := run(t, meter.Config{Store: f})
		for n := range 1000 {
			add(t, w, n, 1)
			time.Sleep(2 * time.Millisecond)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(f.commits); n < 9 || n > 12 {
			t.Errorf("%d commits in 2 s: %s", n, f.shape())
		}
		for i := 1; i < len(f.commits); i++ {
			if gap := f.commits[i].at - f.commits[i-1].at; gap > 215*time.Millisecond {
				t.Errorf("commit %d came %v after the one before", i, gap)
			}
		}
		if n := len(f.ids()); n != 1000 {
			t.Errorf("%d records stored, want 1000", n)
		}
	})
}

func TestStopStoresTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		w, stop := run(t, meter.Config{Store: f})
		add(t, w, 0, 600)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(f.ids()); n != 600 {
			t.Errorf("%d records stored, want 600", n)
		}
		if err := w.Add(meter.Record{}); !errors.Is(err, meter.ErrStopped) {
			t.Errorf("Add after the end = %v, want ErrStopped", err)
		}
	})
}

// Records that race with the stop are stored or refused, never dropped.
func TestStopRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Millisecond}
		w, stop := run(t, meter.Config{Store: f, Batch: 4, Queue: 8})
		var accepted sync.Map
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 50 {
					id := fmt.Sprint(g, "/", i)
					if w.Add(meter.Record{RequestID: id}) == nil {
						accepted.Store(id, true)
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		if err := stop(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		stored := f.ids()
		accepted.Range(func(id, _ any) bool {
			if stored[id.(string)] != 1 {
				t.Errorf("record %v was accepted and stored %d times", id, stored[id.(string)])
			}
			delete(stored, id.(string))
			return true
		})
		if len(stored) > 0 {
			t.Errorf("stored but refused: %v", stored)
		}
	})
}

func TestStrict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: 10 * time.Millisecond}
		w, stop := run(t, meter.Config{Store: f, Strict: true})
		var wg sync.WaitGroup
		for n := range 20 { // the first alone, the others while it commits
			wg.Go(func() {
				id := fmt.Sprint(n)
				if err := w.Add(meter.Record{RequestID: id}); err != nil {
					t.Errorf("Add: %v", err)
				}
				if f.ids()[id] != 1 {
					t.Errorf("Add(%s) returned before its record was stored", id)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		check(t, "strict", f.shape(), "10ms:1 20ms:19 ")

		f.fail(errDisk)
		if err := w.Add(meter.Record{}); !errors.Is(err, errDisk) {
			t.Errorf("Add to a failing store = %v, want its error", err)
		}
		f.fail(nil)
		if err := w.Add(meter.Record{RequestID: "again"}); err != nil {
			t.Errorf("Add after the store's recovery: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// While the store fails, records wait; a full queue holds Add up; nothing is
// lost once the store works again.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.fail(errDisk)
		w, stop := run(t, meter.Config{Store: f, Batch: 4, Queue: 10})
		add(t, w, 0, 10)
		added := make(chan struct{})
		go func() {
			add(t, w, 10, 1)
			close(added)
		}()
		time.Sleep(time.Minute)
		select {
		case <-added:
			t.Fatal("Add did not wait for room")
		default:
		}
		f.fail(nil)
		<-added
		if err := stop(); err != nil {
			t.Error(err)
		}
		stored := f.ids()
		for n := range 11 {
			if stored[fmt.Sprint(n)] != 1 {
				t.Errorf("record %d stored %d times", n, stored[fmt.Sprint(n)])
			}
		}
	})
}

// A stop with a store that stays broken ends within the grace and tells how
// many records are lost.
func TestStopWithBrokenStore(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fake{"fails": {err: errDisk}, "hangs": {takes: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, stop := run(t, meter.Config{Store: f})
				add(t, w, 0, 3)
				began := time.Now()
				err := stop()
				if err == nil || time.Since(began) > 6*time.Second {
					t.Errorf("Run ended after %v with %v, want an error within 6 s", time.Since(began), err)
				}
			})
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	w := meter.NewWriter(meter.Config{Store: &fake{}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	r := meter.Record{RequestID: "r", Account: "111122223333", Operation: "Converse"}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Add(r); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// While the store fails, half of the queue is kept for the calls that run.
func TestReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: errDisk}
		w, stop := run(t, meter.Config{Store: f, Batch: 4, Queue: 20})
		add(t, w, 0, 9)
		time.Sleep(time.Second)
		if !w.Ready() {
			t.Error("not ready with 9 of 20 waiting")
		}
		add(t, w, 9, 1)
		if w.Ready() {
			t.Error("ready with 10 of 20 waiting while the store fails")
		}
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if !w.Ready() || len(f.ids()) != 10 {
			t.Errorf("ready %v with %d records stored, want 10", w.Ready(), len(f.ids()))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
