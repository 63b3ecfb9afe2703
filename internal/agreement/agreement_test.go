package agreement_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	home  = "000000000000"
	dev   = "111122223333"
	alice = "arn:aws:iam::111122223333:user/alice"
	boss  = "arn:aws:iam::111122223333:user/boss"
)

func target() *catalog.Target {
	return &catalog.Target{
		Model:   catalog.Model{ID: "acme.rock-v1:0", Provider: "Acme"},
		Weights: catalog.Weights{ID: "rock", License: "MIT", LicenseDigest: "first"},
	}
}

func open(t *testing.T, cfg agreement.Config) *agreement.Service {
	t.Helper()
	if cfg.Records == nil {
		cfg.Records = &recordtest.Store{}
	}
	cfg.Default = home
	s, err := agreement.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCall(account string) *call.Call {
	return &call.Call{Region: "us-east-1", Principal: call.Principal{Account: account}}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want checks status and access of an account.
func want(t *testing.T, s *agreement.Service, when, account string, m *catalog.Target, status agreement.Status) {
	t.Helper()
	if got := s.Status(account, &m.Model, &m.Weights); got != status {
		t.Errorf("%s: status %s, want %s", when, got, status)
	}
	err := s.Check(newCall(account), m)
	e, is := errors.AsType[*apierr.Error](err)
	switch {
	case status == agreement.Available:
		ok(t, err)
	case !is || e.Code != apierr.CodeAccessDenied || e.Status != 403 || e.Message != "You don't have access to the model with the specified model ID.":
		t.Errorf("%s: %v", when, err)
	}
}

func TestLifeOfAnAgreement(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := open(t, agreement.Config{Records: store, Now: func() time.Time { return now }})
	m := target()
	terms := agreement.TermsOf(&m.Weights)

	want(t, s, "at first", dev, m, agreement.Pending)
	if err := s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{}); !errors.Is(err, agreement.ErrNone) {
		t.Errorf("approval of nothing: %v", err)
	}
	if err := s.GiveUp(t.Context(), dev, m.Model.ID, alice); !errors.Is(err, agreement.ErrNone) {
		t.Errorf("end of nothing: %v", err)
	}
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, terms))
	want(t, s, "accepted", dev, m, agreement.Pending)
	if err := s.Accept(t.Context(), dev, m.Model.ID, boss, terms); !errors.Is(err, agreement.ErrAgreed) {
		t.Errorf("accepted twice: %v", err)
	}
	if w := s.Waiting(); len(w) != 1 || w[0].Account != dev || w[0].Model != m.Model.ID {
		t.Errorf("waiting: %+v", w)
	}
	if err := s.Approve(t.Context(), dev, m.Model.ID, alice, agreement.Limits{}); !errors.Is(err, agreement.ErrSelf) {
		t.Errorf("approval of one's own: %v", err)
	}
	ok(t, s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{}))
	want(t, s, "approved", dev, m, agreement.Available)
	want(t, s, "another account", "222233334444", m, agreement.Pending)
	want(t, open(t, agreement.Config{Records: store}), "after a restart", dev, m, agreement.Available)

	m.Weights.LicenseDigest = "second"
	want(t, s, "the terms changed", dev, m, agreement.Pending)
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
	want(t, s, "the new terms are accepted", dev, m, agreement.Pending)
	ok(t, s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{}))
	want(t, s, "and approved", dev, m, agreement.Available)
	if len(s.Waiting()) != 0 {
		t.Error("something waits still")
	}
	a, there := s.Agreement(dev, m.Model.ID)
	if !there || len(a.Accepted) != 2 || a.Accepted[0].Digest != "first" || a.Accepted[1].By != alice || !a.Accepted[1].At.Equal(now) || a.Accepted[1].License != "MIT" || a.Approved.By != boss {
		t.Errorf("agreement %+v", a)
	}

	ok(t, s.GiveUp(t.Context(), dev, m.Model.ID, alice))
	want(t, s, "given up", dev, m, agreement.NotAvailable)
	if err := s.GiveUp(t.Context(), dev, m.Model.ID, alice); !errors.Is(err, agreement.ErrNone) {
		t.Errorf("given up twice: %v", err)
	}
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
	want(t, s, "accepted once more", dev, m, agreement.Pending)
	if _, there := s.Agreement(dev, "acme.other"); there {
		t.Error("an agreement about another model")
	}
	if all := s.Agreements(home); len(all) != 0 {
		t.Errorf("agreements of another account: %+v", all)
	}
}

func TestApproval(t *testing.T) {
	t.Parallel()
	s := open(t, agreement.Config{})
	m, amazon := target(), target()
	amazon.Model.Provider = "Amazon"
	want(t, s, "default account", home, m, agreement.Available)
	want(t, s, "a model of Amazon", dev, amazon, agreement.Available)
	ok(t, s.SetApproval(t.Context(), home, agreement.ByApprover))
	ok(t, s.SetApproval(t.Context(), dev, agreement.Automatic))
	want(t, s, "default account with an approver", home, m, agreement.Pending)
	want(t, s, "another one without", dev, m, agreement.Available)
	ok(t, s.GiveUp(t.Context(), dev, m.Model.ID, alice))
	want(t, s, "given up", dev, m, agreement.NotAvailable)
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
	want(t, s, "accepted", dev, m, agreement.Available)
	if len(s.Waiting()) != 0 {
		t.Error("an account that is approved automatically waits")
	}
	if err := s.SetApproval(t.Context(), dev, "whim"); err == nil {
		t.Error("approval by whim")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	now := time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)
	cfg := agreement.Config{Records: store, Now: func() time.Time { return now }}
	s := open(t, cfg)
	m := target()
	c := newCall(dev)
	c.Usage = llm.Usage{InputTokens: 60, OutputTokens: 40}
	ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
	ok(t, s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{}))
	s.Count(c, m) // no limit, no count
	ok(t, s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{Regions: []string{"us-east-1", "eu-west-1"}, MonthlyTokens: 150}))
	far := newCall(dev)
	far.Region = "us-west-2"
	denied := func(when string, c *call.Call, part string) {
		t.Helper()
		e, is := errors.AsType[*apierr.Error](s.Check(c, m))
		if !is || e.Code != apierr.CodeAccessDenied || part != "" && e.Message != part {
			t.Errorf("%s: %v", when, e)
		}
	}
	denied("another region", far, "You don't have access to the model with the specified model ID in the region us-west-2.")
	if s.Covers(dev, m.Model.ID, "us-west-2") || !s.Covers(dev, m.Model.ID, "eu-west-1") || !s.Covers(home, m.Model.ID, "us-west-2") {
		t.Error("the limits cover other regions than they say")
	}
	for range 2 {
		ok(t, s.Check(newCall(dev), m))
		s.Count(c, m)
	}
	denied("over the limit", newCall(dev), "The agreement for the model allows 150 tokens a month, and those of this month are used.")
	if n := s.Used(dev, m.Model.ID); n != 200 {
		t.Errorf("%d tokens used, want 200", n)
	}
	// A stop keeps what was counted.
	ctx, stop := context.WithCancel(t.Context())
	stop()
	ok(t, s.Run(ctx))
	s = open(t, cfg)
	denied("after a restart", newCall(dev), "")
	now = now.Add(2 * time.Hour)
	ok(t, s.Check(newCall(dev), m))
	s.Count(c, m)
	if n := s.Used(dev, m.Model.ID); n != 100 {
		t.Errorf("%d tokens used in the new month, want 100", n)
	}
	if err := s.Approve(t.Context(), dev, m.Model.ID, boss, agreement.Limits{MonthlyTokens: -1}); !errors.Is(err, agreement.ErrLimits) {
		t.Errorf("a negative limit: %v", err)
	}
	ok(t, s.GiveUp(t.Context(), dev, m.Model.ID, alice))
	if s.Used(home, m.Model.ID) != 0 {
		t.Error("another account used something")
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	s := open(t, agreement.Config{Records: store})
	if s.Form(dev) != nil {
		t.Error("a form before there is one")
	}
	ok(t, s.PutForm(t.Context(), dev, []byte("one")))
	ok(t, s.PutForm(t.Context(), dev, []byte{0, 255}))
	if got := open(t, agreement.Config{Records: store}).Form(dev); !slices.Equal(got, []byte{0, 255}) || s.Form(home) != nil {
		t.Errorf("form %q", got)
	}
}

// TestRun sees what an approver's command did in another process, and keeps counts
// while the server runs.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &recordtest.Store{}
		s, command := open(t, agreement.Config{Records: store}), open(t, agreement.Config{Records: store})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		m := target()
		ok(t, s.Accept(t.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)))
		ok(t, command.Approve(t.Context(), dev, m.Model.ID, "operator", agreement.Limits{MonthlyTokens: 1000}))
		ok(t, command.SetApproval(t.Context(), home, agreement.ByApprover))
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		want(t, s, "approved elsewhere", dev, m, agreement.Available)
		want(t, s, "switched elsewhere", home, m, agreement.Pending)

		c := newCall(dev)
		c.Usage.OutputTokens = 7
		s.Count(c, m)
		store.Fail(errors.New("disk on fire"))
		time.Sleep(6 * time.Second)
		store.Fail(nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := open(t, agreement.Config{Records: store}).Used(dev, m.Model.ID); n != 7 {
			t.Errorf("%d tokens kept, want 7", n)
		}
		s.Count(c, m)
		store.Fail(errors.New("disk on fire"))
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	store := &recordtest.Store{}
	store.Fail(broken)
	if _, err := agreement.Open(t.Context(), agreement.Config{Records: store}); !errors.Is(err, broken) {
		t.Errorf("open: %v", err)
	}
	for _, kind := range []string{agreement.KindModel, agreement.KindAccount, agreement.KindForm, agreement.KindUsed} {
		store := &recordtest.Store{}
		ok(t, store.ApplyRecords(t.Context(), time.Now(), record.Change{Key: record.Key{Account: dev, Kind: kind, Name: "only"}, Body: []byte("[[1]]")}))
		if _, err := agreement.Open(t.Context(), agreement.Config{Records: store}); err == nil {
			t.Errorf("a record of %s that cannot be read was passed over", kind)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s, err := agreement.Open(b.Context(), agreement.Config{Records: &recordtest.Store{}, Default: home})
	if err != nil {
		b.Fatal(err)
	}
	m, c := target(), newCall(dev)
	if err := errors.Join(s.Accept(b.Context(), dev, m.Model.ID, alice, agreement.TermsOf(&m.Weights)), s.Approve(b.Context(), dev, m.Model.ID, boss, agreement.Limits{})); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Check(c, m); err != nil {
			b.Fatal(err)
		}
	}
}

// Whoever accepted terms as a role does not approve them as a user, or as another
// role.
func TestNobodyApprovesHisOwnThroughARole(t *testing.T) {
	t.Parallel()
	s := open(t, agreement.Config{})
	m := target()
	as := func(arn, origin string) *call.Principal {
		return &call.Principal{Type: call.AssumedRole, Account: dev, ARN: arn, UserID: arn, Session: &call.Session{Origin: origin}}
	}
	ok(t, s.AcceptAs(t.Context(), dev, m.Model.ID, as("role/one/ana", "AIDAANA"), agreement.TermsOf(&m.Weights)))
	for _, approver := range []*call.Principal{as("role/two/bob", "AIDAANA"), as("role/one/ana", "AIDABOB"), {Type: call.User, ARN: "user/ana", UserID: "AIDAANA"}} {
		if err := s.ApproveAs(t.Context(), dev, m.Model.ID, approver, agreement.Limits{}); !errors.Is(err, agreement.ErrSelf) {
			t.Errorf("%s of %s: %v", approver.ARN, approver.Origin(), err)
		}
	}
	ok(t, s.ApproveAs(t.Context(), dev, m.Model.ID, as("role/two/bob", "AIDABOB"), agreement.Limits{}))
}
