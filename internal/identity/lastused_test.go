package identity_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/record"
)

func userCaller(u *identity.User, key string) *call.Principal {
	return &call.Principal{Type: call.User, Account: u.Account, ARN: u.ARN(), UserID: u.ID, Name: u.Name, AccessKeyID: key}
}

func TestLastUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	k, err := w.CreateAccessKey(t.Context(), acctA, "ana", "us-east-1")
	must(t, err)
	r, err := w.CreateRole(t.Context(), acctA, identity.NewRole{Name: "app", Trust: trustA})
	must(t, err)
	t0 := w.now.UTC().Truncate(time.Second)
	w.Used(userCaller(ana, k.ID), "bedrock:InvokeModel", "bedrock", "us-east-1", t0)
	w.Used(userCaller(ana, k.ID), "bedrock:InvokeModel", "bedrock", "us-east-1", t0.Add(10*time.Second)) // within a minute: no news
	w.Used(userCaller(ana, k.ID), "iam:GetUser", "iam", "eu-west-1", t0.Add(2*time.Minute))
	session := &call.Principal{
		Type: call.AssumedRole, Account: acctA, UserID: r.ID + ":s", AccessKeyID: "ASIAEXAMPLE",
		Session: &call.Session{RoleID: r.ID, RoleName: "app", Name: "s"},
	}
	w.Used(session, "sts:GetCallerIdentity", "sts", "us-west-2", t0)
	w.Used(&call.Principal{Type: call.Root, Account: acctB}, "bedrock:InvokeModel", "bedrock", "us-east-1", t0)
	w.Used(&call.Principal{}, "bedrock:InvokeModel", "bedrock", "us-east-1", t0) // nobody

	check := func(d *identity.Directory) {
		t.Helper()
		uses := d.ServiceUses(acctA, ana.ID)
		if len(uses) != 2 || uses[0].Service != "bedrock" || !uses[0].At.Equal(t0) || uses[0].Actions["InvokeModel"].Region != "us-east-1" || uses[1].Service != "iam" {
			t.Errorf("ana used %+v", uses)
		}
		if u, service := d.LastUse(acctA, ana.ID); service != "iam" || u.Region != "eu-west-1" || !u.At.Equal(t0.Add(2*time.Minute)) {
			t.Errorf("ana's last use: %+v of %s", u, service)
		}
		if u, service := d.LastUse(acctA, r.ID); service != "sts" || u.Region != "us-west-2" {
			t.Errorf("the role's last use: %+v of %s", u, service)
		}
		if u, _ := d.LastUse(acctA, acctA); !u.At.IsZero() {
			t.Errorf("the root of A: %+v", u)
		}
		if u, service := d.LastUse(acctB, acctB); service != "bedrock" || u.At.IsZero() {
			t.Errorf("the root of B: %+v of %s", u, service)
		}
	}
	check(w.Directory)
	if got := w.KeyUse(k.Key); got.Service != "iam" || got.Region != "eu-west-1" {
		t.Errorf("the key's use before the flush: %+v", got)
	}
	must(t, w.FlushUses(t.Context()))
	check(w.open(t))
	stored, err := w.keys.Get(t.Context(), k.ID)
	must(t, err)
	if stored.Used.Service != "iam" || !stored.Used.At.Equal(t0.Add(2*time.Minute)) {
		t.Errorf("the key's use after the flush: %+v", stored.Used)
	}
}

// TestLastUsedWakesNobody: noting a use changes no decision.
func TestLastUsedWakesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	changed := w.Changed()
	w.Used(userCaller(ana, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
	must(t, w.FlushUses(t.Context()))
	must(t, w.Refresh(t.Context()))
	select {
	case <-changed:
		t.Error("a flush of last uses looks like a change of the directory")
	default:
	}
}

// TestLastUsedRetention: after 400 days a use is forgotten, in memory and on disk.
func TestLastUsedRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	start := w.now
	w.Used(userCaller(ana, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", start)
	must(t, w.FlushUses(t.Context()))
	w.now = start.Add(399 * 24 * time.Hour)
	if len(w.ServiceUses(acctA, ana.ID)) != 1 {
		t.Error("forgotten too early")
	}
	w.now = start.Add(401 * 24 * time.Hour)
	if got := w.ServiceUses(acctA, ana.ID); len(got) != 0 {
		t.Errorf("remembered too long: %+v", got)
	}
	d := w.open(t)
	must(t, d.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 0 {
		t.Errorf("%d records remain", n)
	}
}

// TestLastUsedGone: the uses of a deleted user go with the next flush.
func TestLastUsedGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	w.Used(userCaller(ana, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
	must(t, w.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 1 {
		t.Fatalf("%d records", n)
	}
	must(t, w.DeleteUser(t.Context(), acctA, "ana"))
	must(t, w.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 0 {
		t.Errorf("%d records of a user who is gone", n)
	}
}

func (w *world) useRecords(t *testing.T) int {
	t.Helper()
	all, err := w.records.ListRecords(t.Context(), record.Query{Kind: "iam/last-used", AllAccounts: true})
	must(t, err)
	return len(all)
}

// TestLastUsedBounds: names of any number and length cost bounded memory.
func TestLastUsedBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	p := userCaller(ana, "")
	for i := range 2000 {
		w.Used(p, fmt.Sprintf("bedrock:Action%d", i), "bedrock", "us-east-1", w.now)
		w.Used(p, "x:Y", fmt.Sprintf("service%d", i), "us-east-1", w.now)
	}
	w.Used(p, string(make([]byte, 1000)), "bedrock", "us-east-1", w.now)
	uses := w.ServiceUses(acctA, ana.ID)
	if len(uses) != 64 {
		t.Errorf("%d services", len(uses))
	}
	for _, u := range uses {
		if len(u.Actions) > 1024 {
			t.Errorf("%d actions of %s", len(u.Actions), u.Service)
		}
	}
	must(t, w.FlushUses(t.Context()))
}

// failing is a store that refuses to write while it is told to.
type failing struct {
	record.Store
	fail bool
}

func (f *failing) ApplyRecords(ctx context.Context, now time.Time, changes ...record.Change) error {
	if f.fail {
		return errors.New("disk full")
	}
	return f.Store.ApplyRecords(ctx, now, changes...)
}

// TestLastUsedRetry: what could not be written is written with the next flush.
func TestLastUsedRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	f := &failing{Store: w.records}
	w.records = f
	d := w.open(t)
	d.Used(userCaller(ana, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
	f.fail = true
	if d.FlushUses(t.Context()) == nil {
		t.Fatal("a flush to a full disk succeeds")
	}
	f.fail = false
	must(t, d.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 1 {
		t.Errorf("%d records after the retry", n)
	}
}

// TestRunFlushes: Run writes every minute, and once more when it ends.
func TestRunFlushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ana := w.user(t, acctA, "ana")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		w.Used(userCaller(ana, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := w.useRecords(t); n != 1 {
			t.Errorf("%d records after a minute", n)
		}
		bob := w.user(t, acctA, "bob")
		w.Used(userCaller(bob, ""), "bedrock:InvokeModel", "bedrock", "us-east-1", w.now)
		cancel()
		must(t, <-done)
		if n := w.useRecords(t); n != 2 {
			t.Errorf("%d records after the end", n)
		}
	})
}

// BenchmarkUsed is what noting a use costs a call: it allocates nothing once the
// principal is known.
func BenchmarkUsed(b *testing.B) {
	w := newWorld(b)
	ana := w.user(b, acctA, "ana")
	p := userCaller(ana, "AKIAEXAMPLE")
	at := w.now
	w.Used(p, "bedrock:InvokeModel", "bedrock", "us-east-1", at)
	b.ReportAllocs()
	for b.Loop() {
		w.Used(p, "bedrock:InvokeModel", "bedrock", "us-east-1", at)
	}
}
