// Package agreement knows which models an account may use: who accepted which
// terms, who approved it, within which limits.
//
// Models of Amazon need no agreement. An account is approved automatically, or by
// an approver. In the first case it has access to every model that it did not give
// up; in the second, access to a model is pending until someone of the account has
// accepted its terms and an approver, who is someone else, has approved that. The
// terms are those of the weights that really serve the model; when they change,
// access is pending again.
//
// All is answered from memory.
package agreement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/record"
)

// The kinds of records. An agreement has the id of its model as name.
const (
	KindModel   = "agreement/model"
	KindAccount = "agreement/account" // how an account is approved
	KindForm    = "agreement/form"    // an account's use-case form
	KindUsed    = "agreement/used"    // tokens that count against a limit
)

// only is the name of records of which an account has one.
const only = "only"

// defaultPoll is how often Run looks for changes of other processes.
const defaultPoll = 250 * time.Millisecond

// Status says whether an account may use a model. The words are those of the API.
type Status string

// The states of access.
const (
	Available    Status = "AVAILABLE"
	Pending      Status = "PENDING"       // not accepted, not approved, or terms that have changed since
	NotAvailable Status = "NOT_AVAILABLE" // given up
)

// Approval says how the agreements of an account are approved.
type Approval string

// The ways of approval.
const (
	Automatic  Approval = "automatic"
	ByApprover Approval = "by-approver"
)

var (
	// ErrNone says that the account has no agreement about the model.
	ErrNone = errors.New("agreement: none")
	// ErrAgreed says that the account agreed to these terms already.
	ErrAgreed = errors.New("agreement: agreed already")
	// ErrSelf says that whoever accepted the terms wants to approve it as well.
	ErrSelf = errors.New("agreement: whoever accepted the terms may not approve it")
	// ErrLimits says that limits make no sense.
	ErrLimits = errors.New("agreement: limits")
)

// Terms are what is agreed to.
type Terms struct {
	Weights       string `json:"weights"` // id of the weights that serve the model
	License       string `json:"license"`
	LicenseURL    string `json:"license_url,omitempty"`
	AcceptableUse string `json:"acceptable_use,omitempty"` // limits of use beyond the licence; "" none
	Digest        string `json:"digest"`                   // SHA-256 of all of it, in hex
}

// TermsOf are the terms of weights.
func TermsOf(w *catalog.Weights) Terms {
	return Terms{Weights: w.ID, License: w.License, LicenseURL: w.LicenseURL, AcceptableUse: w.AcceptableUse, Digest: w.LicenseDigest}
}

// Acceptance says who accepted what and when.
type Acceptance struct {
	Terms
	By string    `json:"by"` // ARN of the principal
	At time.Time `json:"at"`
	// Origin is who stands behind the principal, see call.Principal.Origin; "" when By
	// is all that is known.
	Origin string `json:"origin,omitempty"`
}

// Limits bound an agreement. The zero Limits bound nothing.
type Limits struct {
	Regions []string `json:"regions,omitempty"` // the only regions; none means all
	// MonthlyTokens is how many tokens, input and output together, the account may
	// use in a calendar month of UTC; 0 means no limit. A call that begins below the
	// limit may end above it.
	MonthlyTokens int64 `json:"monthly_tokens,omitempty"`
}

// Approved says who approved an agreement.
type Approved struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Digest string    `json:"digest"` // of the terms that were approved
	Limits Limits    `json:"limits"`
}

// GivenUp says who ended an agreement.
type GivenUp struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Agreement is what an account and its approver said of a model.
type Agreement struct {
	Account string `json:"-"`
	Model   string `json:"-"` // id
	// Accepted are the acceptances, the oldest first; the last one counts. At most
	// maxHistory of them are kept.
	Accepted []Acceptance `json:"accepted,omitempty"`
	Approved *Approved    `json:"approved,omitempty"`
	GivenUp  *GivenUp     `json:"given_up,omitempty"` // nil while the agreement holds
}

const maxHistory = 20

// last is the acceptance that counts; nil when there is none.
func (a *Agreement) last() *Acceptance {
	if len(a.Accepted) == 0 || a.GivenUp != nil {
		return nil
	}
	return &a.Accepted[len(a.Accepted)-1]
}

// status is what the agreement makes of access to a model with these terms.
func (a *Agreement) status(how Approval, digest string) Status {
	switch last := a.last(); {
	case a.GivenUp != nil:
		return NotAvailable
	case how == Automatic:
		return Available
	case last == nil || last.Digest != digest || a.Approved == nil || a.Approved.Digest != digest:
		return Pending
	}
	return Available
}

// Config is what a Service is made of.
type Config struct {
	Records record.Store // required
	// Default is the account that is approved automatically until SetApproval says
	// otherwise; every other account begins with an approver.
	Default string
	Poll    time.Duration    // how often Run looks for changes of other processes; 0 means 250 ms
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// Service keeps agreements. It is safe for concurrent use.
type Service struct {
	cfg      Config
	models   *record.Mirror[*Agreement]
	accounts *record.Mirror[Approval]
	forms    *record.Mirror[[]byte]
	seen     int64 // revision of the records that follow has seen

	mu   sync.Mutex
	used map[record.Key]*used
}

// Open reads all records.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, seen: -1, used: map[record.Key]*used{}}
	s.models = record.NewMirror(cfg.Records, KindModel, readAgreement, nil, cfg.Now)
	s.accounts = record.NewMirror(cfg.Records, KindAccount, func(r *record.Record) (how Approval, err error) {
		return how, record.Read(*r, &how)
	}, nil, cfg.Now)
	s.forms = record.NewMirror(cfg.Records, KindForm, func(r *record.Record) (form []byte, err error) {
		return form, record.Read(*r, &form)
	}, nil, cfg.Now)
	if err := s.follow(ctx); err != nil {
		return nil, err
	}
	return s, s.loadUsed(ctx)
}

func readAgreement(r *record.Record) (*Agreement, error) {
	a := &Agreement{}
	if err := record.Read(*r, a); err != nil {
		return nil, err
	}
	a.Account, a.Model = r.Account, r.Name
	return a, nil
}

// follow takes over what another process has changed. Only Open and Run call it.
func (s *Service) follow(ctx context.Context) error {
	revision, err := s.cfg.Records.RecordsRevision(ctx)
	if err != nil || revision == s.seen {
		return err
	}
	if err := errors.Join(s.models.Follow(ctx), s.accounts.Follow(ctx), s.forms.Follow(ctx)); err != nil {
		return err
	}
	s.seen = revision
	return nil
}

// Run follows what other processes change, such as an approver's command, and
// keeps what was used, until ctx ends. It always returns nil: while the store
// fails, everything stays as it is.
func (s *Service) Run(ctx context.Context) error {
	const notKept = "tokens that count against agreements are not kept: the store fails"
	record.Poll(ctx, s.cfg.Log,
		record.Chore{Every: s.cfg.Poll, Do: s.follow, Fails: "agreements are not followed: the store fails"},
		record.Chore{Every: flushEvery, Do: s.flush, Fails: notKept})
	if err := s.flush(context.WithoutCancel(ctx)); err != nil {
		s.cfg.Log.Error(notKept, "error", err)
	}
	return nil
}

func modelKey(account, model string) record.Key {
	return record.Key{Account: account, Kind: KindModel, Name: model}
}

// Approval tells how the agreements of an account are approved.
func (s *Service) Approval(account string) Approval {
	if how, ok := s.accounts.Get(record.Key{Account: account, Name: only}); ok {
		return how
	}
	if account == s.cfg.Default {
		return Automatic
	}
	return ByApprover
}

// SetApproval changes how the agreements of an account are approved. It holds for
// the next call.
func (s *Service) SetApproval(ctx context.Context, account string, how Approval) error {
	if how != Automatic && how != ByApprover {
		return fmt.Errorf("agreement: no way of approval: %q", how)
	}
	return s.accounts.Change(ctx, record.Key{Account: account, Name: only}, func(Approval, bool) (any, error) { return how, nil })
}

// Exempt reports whether a model needs no agreement.
func Exempt(m *catalog.Model) bool { return strings.EqualFold(m.Provider, "Amazon") }

// Status tells of an account's access to a model, whatever its limits.
func (s *Service) Status(account string, m *catalog.Model, w *catalog.Weights) Status {
	if Exempt(m) {
		return Available
	}
	a, ok := s.models.Get(modelKey(account, m.ID))
	if !ok {
		a = &Agreement{}
	}
	return a.status(s.Approval(account), w.LicenseDigest)
}

// Accept keeps that a principal of an account accepted terms. Unless the account is
// approved automatically, access is pending until Approve.
//
// Errors: ErrAgreed.
func (s *Service) Accept(ctx context.Context, account, model, principal string, t Terms) error {
	return s.accept(ctx, account, model, Acceptance{Terms: t, By: principal})
}

// AcceptAs is Accept by the caller of a request: whoever stands behind it, through
// however many roles, may not approve it. Errors: as Accept.
func (s *Service) AcceptAs(ctx context.Context, account, model string, by *call.Principal, t Terms) error {
	return s.accept(ctx, account, model, Acceptance{Terms: t, By: by.ARN, Origin: by.Origin()})
}

func (s *Service) accept(ctx context.Context, account, model string, v Acceptance) error {
	return s.change(ctx, account, model, func(a *Agreement) error {
		if last := a.last(); last != nil && last.Digest == v.Digest {
			return ErrAgreed
		}
		a.GivenUp = nil
		v.At = s.cfg.Now().UTC()
		a.Accepted = append(a.Accepted, v)
		a.Accepted = a.Accepted[max(0, len(a.Accepted)-maxHistory):]
		return nil
	})
}

// Approve lets an account use a model, under the terms that it accepted last and
// within limits. Approving again changes the limits.
//
// Errors: ErrNone when nobody of the account accepted terms, ErrSelf when approver
// did, ErrLimits.
func (s *Service) Approve(ctx context.Context, account, model, approver string, l Limits) error {
	return s.approve(ctx, account, model, approver, "", l)
}

// ApproveAs is Approve by the caller of a request. Errors: as Approve; ErrSelf also
// for whoever stands behind the acceptance.
func (s *Service) ApproveAs(ctx context.Context, account, model string, by *call.Principal, l Limits) error {
	return s.approve(ctx, account, model, by.ARN, by.Origin(), l)
}

func (s *Service) approve(ctx context.Context, account, model, approver, origin string, l Limits) error {
	if l.MonthlyTokens < 0 {
		return fmt.Errorf("%w: %d tokens a month", ErrLimits, l.MonthlyTokens)
	}
	return s.change(ctx, account, model, func(a *Agreement) error {
		last := a.last()
		switch {
		case last == nil:
			return ErrNone
		case last.By == approver, origin != "" && last.Origin == origin:
			return ErrSelf
		}
		a.Approved = &Approved{By: approver, At: s.cfg.Now().UTC(), Digest: last.Digest, Limits: l}
		return nil
	})
}

// GiveUp ends an account's access to a model until it accepts the terms again; an
// approval ends with it. Without an agreement there is something to give up only
// where the account is approved automatically.
//
// Errors: ErrNone.
func (s *Service) GiveUp(ctx context.Context, account, model, principal string) error {
	return s.change(ctx, account, model, func(a *Agreement) error {
		if a.GivenUp != nil || len(a.Accepted) == 0 && s.Approval(account) != Automatic {
			return ErrNone
		}
		a.Approved = nil
		a.GivenUp = &GivenUp{By: principal, At: s.cfg.Now().UTC()}
		return nil
	})
}

// change edits a copy of an agreement.
func (s *Service) change(ctx context.Context, account, model string, edit func(a *Agreement) error) error {
	err := s.models.Change(ctx, modelKey(account, model), func(old *Agreement, ok bool) (any, error) {
		a := Agreement{}
		if ok {
			a = *old
			a.Accepted = slices.Clone(old.Accepted)
		}
		return &a, edit(&a)
	})
	if err != nil {
		return fmt.Errorf("agreement of account %s on %s: %w", account, model, err)
	}
	return nil
}

// Agreement returns what an account and its approver said of a model.
func (s *Service) Agreement(account, model string) (Agreement, bool) {
	a, ok := s.models.Get(modelKey(account, model))
	if !ok {
		return Agreement{}, false
	}
	return *a, true
}

// Agreements lists the agreements of an account, or of all when account is "", by
// account and model.
func (s *Service) Agreements(account string) []Agreement {
	var out []Agreement
	for _, a := range s.models.All() {
		if account == "" || a.Account == account {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Agreement) int {
		return slices.Compare([]string{a.Account, a.Model}, []string{b.Account, b.Model})
	})
	return out
}

// Waiting lists the agreements that wait for an approver.
func (s *Service) Waiting() []Agreement {
	return slices.DeleteFunc(s.Agreements(""), func(a Agreement) bool {
		last := a.last()
		return last == nil || s.Approval(a.Account) == Automatic || a.Approved != nil && a.Approved.Digest == last.Digest
	})
}

// Form is the use-case form of an account; nil when it sent none.
func (s *Service) Form(account string) []byte {
	form, _ := s.forms.Get(record.Key{Account: account, Name: only})
	return form
}

// PutForm keeps the use-case form of an account, in the place of an earlier one.
func (s *Service) PutForm(ctx context.Context, account string, form []byte) error {
	return s.forms.Change(ctx, record.Key{Account: account, Name: only}, func([]byte, bool) (any, error) { return form, nil })
}
