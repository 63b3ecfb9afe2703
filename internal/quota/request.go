package quota

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/record"
)

// Status is where a request stands. The words are those of Service Quotas.
type Status string

// The states of a request.
const (
	Pending  Status = "PENDING"
	Approved Status = "APPROVED"
	Denied   Status = "DENIED"
)

// The bounds of the requests of an account in a region.
const (
	MaxPending  = 100  // that wait for an answer
	maxRequests = 1000 // that are kept; the oldest answered ones go first
)

var (
	// ErrPending says that a request about the same quota waits for an answer.
	ErrPending = errors.New("quota: a request for this quota is pending")
	// ErrMany says that an account has MaxPending requests waiting.
	ErrMany = errors.New("quota: too many requests are pending")
	// ErrNotMore says that a request asks for no more than there is.
	ErrNotMore = errors.New("quota: the quota is that high already")
	// ErrAnswered says that a request was answered before.
	ErrAnswered = errors.New("quota: the request was answered before")
)

// Request asks for a higher quota of an account in a region.
type Request struct {
	ID      string    `json:"-"` // 32 hexadecimal digits
	Account string    `json:"-"`
	Region  string    `json:"-"`
	Model   string    `json:"model"`
	Kind    Kind      `json:"kind"`
	Value   int64     `json:"value"` // that is asked for
	Status  Status    `json:"status"`
	By      string    `json:"by"`                  // ARN of who asked
	Answer  string    `json:"answer_by,omitempty"` // who answered
	Created time.Time `json:"created"`
	Updated time.Time `json:"-"`
}

func readRequest(rec *record.Record) (*Request, error) {
	r := &Request{}
	if err := record.Read(*rec, r); err != nil {
		return nil, err
	}
	r.ID, r.Account, r.Region, r.Updated = rec.Name, rec.Account, rec.Region, rec.Updated
	return r, nil
}

func (r *Request) key() record.Key {
	return record.Key{Account: r.Account, Region: r.Region, Name: r.ID}
}

// Ask keeps a request for a higher quota. Of r the account, the region, the model,
// the kind, the value and who asks are read.
//
// Errors: ErrPending, ErrMany, ErrNotMore, those of the store.
func (s *Service) Ask(ctx context.Context, r Request) (Request, error) {
	if now := s.Applied(r.Account, r.Region, r.Model, r.Kind); now == Unlimited || r.Value <= now {
		return Request{}, ErrNotMore
	}
	pending := 0
	all := s.Requests(r.Account, r.Region)
	for i := range all {
		if all[i].Status != Pending {
			continue
		}
		if pending++; all[i].Model == r.Model && all[i].Kind == r.Kind {
			return Request{}, ErrPending
		}
	}
	if pending >= MaxPending {
		return Request{}, ErrMany
	}
	for i := len(all) - 1; i >= 0 && len(all) >= maxRequests; i-- { // the oldest are last
		if all[i].Status == Pending {
			continue
		}
		if err := s.requests.Change(ctx, all[i].key(), func(*Request, bool) (any, error) { return nil, nil }); err != nil {
			return Request{}, fmt.Errorf("forget quota request %s: %w", all[i].ID, err)
		}
		all = slices.Delete(all, i, i+1)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	r.ID, r.Status, r.Created, r.Answer = hex.EncodeToString(id[:]), Pending, s.cfg.Now().UTC().Truncate(time.Millisecond), ""
	r.Updated = r.Created
	if err := s.requests.Change(ctx, r.key(), func(*Request, bool) (any, error) { return &r, nil }); err != nil {
		return Request{}, fmt.Errorf("keep quota request: %w", err)
	}
	return r, nil
}

// Requests are the requests of an account in a region, of every one when they are
// "", newest first.
func (s *Service) Requests(account, region string) []Request {
	var out []Request
	for _, r := range s.requests.All() {
		if (account == "" || r.Account == account) && (region == "" || r.Region == region) {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b Request) int { return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID)) })
	return out
}

// Request returns one request of an account in a region. Errors: ErrNone.
func (s *Service) Request(account, region, id string) (Request, error) {
	r, ok := s.requests.Get(record.Key{Account: account, Region: region, Name: id})
	if !ok {
		return Request{}, ErrNone
	}
	return *r, nil
}

// Approve sets the quota that a request asks for. Errors: ErrNone, ErrAnswered,
// those of the store.
func (s *Service) Approve(ctx context.Context, id, by string) (Request, error) {
	r, err := s.pending(id)
	if err != nil {
		return Request{}, err
	}
	if err := s.Set(ctx, Setting{Account: r.Account, Region: r.Region, Model: r.Model, Kind: r.Kind, Value: r.Value, By: by}); err != nil {
		return Request{}, err
	}
	return s.Request(r.Account, r.Region, id)
}

// Deny leaves a quota as it is. Errors: ErrNone, ErrAnswered, those of the store.
func (s *Service) Deny(ctx context.Context, id, by string) (Request, error) {
	r, err := s.pending(id)
	if err != nil {
		return Request{}, err
	}
	if err := s.answer(ctx, &r, Denied, by); err != nil {
		return Request{}, err
	}
	return s.Request(r.Account, r.Region, id)
}

func (s *Service) pending(id string) (Request, error) {
	for _, r := range s.requests.All() {
		switch {
		case r.ID != id:
		case r.Status != Pending:
			return Request{}, ErrAnswered
		default:
			return *r, nil
		}
	}
	return Request{}, ErrNone
}

// answer notes what became of a request.
func (s *Service) answer(ctx context.Context, r *Request, status Status, by string) error {
	err := s.requests.Change(ctx, r.key(), func(old *Request, ok bool) (any, error) {
		if !ok || old.Status != Pending {
			return nil, ErrAnswered
		}
		next := *old
		next.Status, next.Answer = status, by
		return &next, nil
	})
	if err != nil {
		return fmt.Errorf("answer quota request %s: %w", r.ID, err)
	}
	return nil
}

// fulfil approves the requests that ask for no more than there is now.
func (s *Service) fulfil(ctx context.Context, by string) error {
	for _, r := range s.requests.All() {
		now := s.Applied(r.Account, r.Region, r.Model, r.Kind)
		if r.Status != Pending || now != Unlimited && now < r.Value {
			continue
		}
		if err := s.answer(ctx, r, Approved, by); err != nil && !errors.Is(err, ErrAnswered) {
			return err
		}
	}
	return nil
}
