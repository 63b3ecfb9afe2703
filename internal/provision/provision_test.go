package provision_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "us-east-1"
)

// room is an engine with some slots for each weights.
type room struct {
	mu   sync.Mutex
	n    int
	held map[string]map[string]int // weights, holder
	fail error
}

func (r *room) Reserve(_ context.Context, t engine.Target, holder string, n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil && n > 0 {
		return r.fail
	}
	if r.held == nil {
		r.held = map[string]map[string]int{}
	}
	w := r.held[t.Weights]
	if w == nil {
		w = map[string]int{}
		r.held[t.Weights] = w
	}
	sum := n
	for h, k := range w {
		if h != holder {
			sum += k
		}
	}
	switch {
	case n == 0:
		delete(w, holder)
	case sum > r.n:
		return apierr.QuotaExceeded("full")
	default:
		w[holder] = n
	}
	return nil
}

// want checks what is held of some weights.
func (r *room) want(t *testing.T, weights string, want map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !maps.Equal(r.held[weights], want) {
		t.Errorf("of %s is held %v, want %v", weights, r.held[weights], want)
	}
}

func (r *room) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func target(model, _ string) (engine.Target, error) {
	if model == "none" {
		return engine.Target{}, apierr.NotFound("no such model")
	}
	return engine.Target{Weights: "w-" + model, Mode: engine.Chat}, nil
}

func open(t *testing.T, s record.Store, units int) *provision.Book {
	t.Helper()
	b, err := provision.Open(t.Context(), provision.Config{Records: s, Units: units})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keep runs a keeper until the test ends, or stop.
func keep(t *testing.T, b *provision.Book, r *room) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	k := provision.NewKeeper(provision.KeeperConfig{Book: b, Engine: r, Target: target, Log: slog.New(slog.DiscardHandler)})
	go func() {
		defer close(done)
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

func make1(t *testing.T, b *provision.Book, id string, units int, model string) provision.Throughput {
	t.Helper()
	p, err := b.Create(t.Context(), provision.Throughput{Account: account, Region: region, ID: id, Name: "name-" + id, Units: units, Model: model})
	if err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	return p
}

func state(t *testing.T, b *provision.Book, id string) provision.Throughput {
	t.Helper()
	synctest.Wait()
	p, err := b.Get(account, region, id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t, &recordtest.Store{}, 5), &room{n: 3}
		keep(t, b, r)
		one := make1(t, b, "one000000000", 2, "a")
		if one.Status != provision.Creating || one.Created.IsZero() || one.Desired != "a" {
			t.Errorf("%+v", one)
		}
		if got := state(t, b, one.ID); got.Status != provision.InService || got.Failure != "" {
			t.Errorf("%+v", got)
		}
		r.want(t, "w-a", map[string]int{one.ARN(): 2})
		two := make1(t, b, "two000000000", 2, "a")
		if got := state(t, b, two.ID); got.Status != provision.Failed || got.Failure != "full" {
			t.Errorf("%+v", got)
		}
		none := make1(t, b, "three0000000", 1, "none")
		if got := state(t, b, none.ID); got.Status != provision.Failed || got.Failure != "no such model" {
			t.Errorf("%+v", got)
		}
		// To another model, and on to one that cannot be had.
		if err := b.Update(t.Context(), account, region, one.ID, "renamed", "b"); err != nil {
			t.Fatal(err)
		}
		if got := state(t, b, "renamed"); got.Status != provision.InService || got.Model != "b" || got.Desired != "b" || got.ID != one.ID {
			t.Errorf("%+v", got)
		}
		r.want(t, "w-a", nil)
		r.want(t, "w-b", map[string]int{one.ARN(): 2})
		if err := b.Update(t.Context(), account, region, one.ID, "", "none"); err != nil {
			t.Fatal(err)
		}
		if got := state(t, b, one.ID); got.Status != provision.InService || got.Model != "b" || got.Desired != "b" || got.Failure != "no such model" {
			t.Errorf("%+v", got)
		}
		r.want(t, "w-b", map[string]int{one.ARN(): 2})
		if err := b.Delete(t.Context(), account, region, one.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.want(t, "w-b", nil)
		if _, err := b.Get(account, region, one.ID); !errors.Is(err, provision.ErrNone) {
			t.Errorf("after it was deleted: %v", err)
		}
	})
}

// What was in service gets its slots again when the server starts, before what is
// new.
func TestRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &recordtest.Store{}
		b := open(t, s, 5)
		stop := keep(t, b, &room{n: 3})
		one := make1(t, b, "one000000000", 2, "a")
		synctest.Wait()
		stop()
		late := make1(t, b, "aaa000000000", 2, "a") // made while nothing runs

		b, r := open(t, s, 5), &room{n: 3, fail: apierr.ModelNotReady("not installed")}
		keep(t, b, r)
		if got := state(t, b, one.ID); got.Status != provision.InService {
			t.Errorf("%+v", got)
		}
		if got := state(t, b, late.ID); got.Status != provision.Failed || got.Failure != "not installed" {
			t.Errorf("%+v", got)
		}
		r.want(t, "w-a", nil)
		r.set(func() { r.fail = nil })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.want(t, "w-a", map[string]int{one.ARN(): 2})
	})
}

// What another process changed is taken over.
func TestFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &recordtest.Store{}
		b, r := open(t, s, 5), &room{n: 3}
		keep(t, b, r)
		one := make1(t, open(t, s, 5), "one000000000", 1, "a")
		time.Sleep(time.Second)
		synctest.Wait()
		r.want(t, "w-a", map[string]int{one.ARN(): 1})
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	b, err := provision.Open(t.Context(), provision.Config{Records: &recordtest.Store{}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if b.Units() != 2 {
		t.Errorf("%d units", b.Units())
	}
	p := provision.Throughput{Account: account, Region: region, ID: "one000000000", Name: "one", Units: 1, Model: "a", Commitment: provision.OneMonth}
	made, err := b.Create(t.Context(), p)
	if err != nil || !made.Expires.Equal(now.AddDate(0, 1, 0)) {
		t.Fatalf("%+v, %v", made, err)
	}
	if again, err := b.Create(t.Context(), p); err != nil || again != made {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	same := p
	same.ID = "two000000000"
	if _, err := b.Create(t.Context(), same); !errors.Is(err, provision.ErrName) {
		t.Errorf("same name: %v", err)
	}
	same.Name, same.Units = "two", 2
	if _, err := b.Create(t.Context(), same); !errors.Is(err, provision.ErrUnits) {
		t.Errorf("too many units: %v", err)
	}
	for _, elsewhere := range []provision.Throughput{{Account: other, Region: region}, {Account: account, Region: "us-west-2"}} {
		elsewhere.ID, elsewhere.Name, elsewhere.Units, elsewhere.Model, elsewhere.Commitment = p.ID, p.Name, 2, p.Model, provision.SixMonths
		if _, err := b.Create(t.Context(), elsewhere); err != nil {
			t.Errorf("elsewhere: %v", err)
		}
		if l := b.List(elsewhere.Account, elsewhere.Region); len(l) != 1 || l[0].Units != 2 {
			t.Errorf("%+v", l)
		}
	}
	if err := b.Update(t.Context(), account, region, p.ID, "new", ""); !errors.Is(err, provision.ErrBusy) {
		t.Errorf("update while it is made: %v", err)
	}
	for _, err := range []error{
		b.Update(t.Context(), account, region, "none", "new", ""),
		b.Delete(t.Context(), account, region, "none"),
		b.Delete(t.Context(), other, "us-west-2", p.ID),
	} {
		if !errors.Is(err, provision.ErrNone) {
			t.Error(err)
		}
	}
	if err := b.Delete(t.Context(), account, region, p.ID); !errors.Is(err, provision.ErrCommitted) {
		t.Errorf("committed: %v", err)
	}
	now = now.AddDate(0, 1, 1)
	if err := b.Delete(t.Context(), account, region, p.ID); err != nil {
		t.Errorf("after the commitment: %v", err)
	}
	if there, err := b.Exists(t.Context(), account, region, p.ID); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t, &recordtest.Store{}, 5), &room{n: 2}
		one := make1(t, b, "one000000000", 1, "a")
		if _, _, err := b.LookupProvisioned(account, region, one.ID); apierr.From(err).Code != apierr.CodeModelNotReady {
			t.Errorf("being made: %v", err)
		}
		keep(t, b, r)
		bad := make1(t, b, "bad000000000", 2, "a")
		synctest.Wait()
		for _, name := range []string{one.ID, one.Name} {
			if arn, model, err := b.LookupProvisioned(account, region, name); err != nil || model != "a" || arn != fmt.Sprintf("arn:aws:bedrock:%s:%s:provisioned-model/%s", region, account, one.ID) {
				t.Errorf("%s: %s, %s, %v", name, arn, model, err)
			}
		}
		if _, _, err := b.LookupProvisioned(account, region, bad.ID); apierr.From(err).Code != apierr.CodeValidation {
			t.Errorf("failed: %v", err)
		}
		for _, place := range [][2]string{{other, region}, {account, "us-west-2"}} {
			if _, _, err := b.LookupProvisioned(place[0], place[1], one.ID); !errors.Is(err, provision.ErrNone) {
				t.Errorf("elsewhere: %v", err)
			}
		}
	})
}

// Where regions are not listed, an account has its units once, in whatever regions it
// calls; and throughputs that failed do not grow without end.
func TestUnitsEverywhere(t *testing.T) {
	t.Parallel()
	in := func(b *provision.Book, region, id string) error {
		_, err := b.Create(t.Context(), provision.Throughput{Account: account, Region: region, ID: id, Name: id, Units: 2, Model: "a"})
		return err
	}
	for _, together := range []bool{false, true} {
		b, err := provision.Open(t.Context(), provision.Config{Records: &recordtest.Store{}, Units: 2, Together: together})
		if err != nil {
			t.Fatal(err)
		}
		if err := in(b, "us-east-1", "one000000000"); err != nil {
			t.Fatal(err)
		}
		if err := in(b, "eu-made-1", "one000000000"); errors.Is(err, provision.ErrUnits) != together || err != nil && !together {
			t.Errorf("together %v: %v", together, err)
		}
		if err := in(b, "us-east-1", "two000000000"); !errors.Is(err, provision.ErrUnits) {
			t.Errorf("in the same region: %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := open(t, &recordtest.Store{}, 2)
		keep(t, b, &room{})
		for i := range provision.MaxPerRegion {
			if err := in(b, region, fmt.Sprintf("%012d", i)); err != nil {
				t.Fatal(i, err)
			}
			synctest.Wait()
		}
		if err := in(b, region, "more00000000"); !errors.Is(err, provision.ErrUnits) {
			t.Errorf("after %d that failed: %v", provision.MaxPerRegion, err)
		}
	})
}
