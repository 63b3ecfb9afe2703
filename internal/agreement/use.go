package agreement

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// flushEvery is how often the tokens that count against limits are kept. After a
// crash, at most those of this time are not counted.
const flushEvery = 5 * time.Second

// month is the calendar month of a count.
const month = "2006-01"

// used is what an account used of a model in a month.
type used struct {
	Month  string `json:"month"`
	Tokens int64  `json:"tokens"`
	dirty  bool   // not kept yet
}

// Check fails when the account of a call may not use a model, or not in this
// region, or not any more this month.
//
// Errors: AccessDeniedException, in AWS's words where it has some.
func (s *Service) Check(c *call.Call, t *catalog.Target) error {
	if Exempt(&t.Model) {
		return nil
	}
	account := c.Principal.Account
	if s.Status(account, &t.Model, &t.Weights) != Available {
		return apierr.AccessDenied("You don't have access to the model with the specified model ID.")
	}
	l := s.limits(account, t.Model.ID)
	if !l.covers(c.Region) {
		return apierr.AccessDenied("You don't have access to the model with the specified model ID in the region %s.", c.Region)
	}
	if l.MonthlyTokens > 0 && s.Used(account, t.Model.ID) >= l.MonthlyTokens {
		return apierr.AccessDenied("The agreement for the model allows %d tokens a month, and those of this month are used.", l.MonthlyTokens)
	}
	return nil
}

func (l *Limits) covers(region string) bool {
	return len(l.Regions) == 0 || slices.Contains(l.Regions, region)
}

// Covers reports whether the limits of an account's agreement, if it has any,
// include a region.
func (s *Service) Covers(account, model, region string) bool {
	l := s.limits(account, model)
	return l.covers(region)
}

func (s *Service) limits(account, model string) Limits {
	if a, ok := s.models.Get(modelKey(account, model)); ok && a.Approved != nil {
		return a.Approved.Limits
	}
	return Limits{}
}

// Used is how many tokens of a model an account used this month, as far as they
// count against a limit.
func (s *Service) Used(account, model string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.used[usedKey(account, model)]; u != nil && u.Month == s.cfg.Now().UTC().Format(month) {
		return u.Tokens
	}
	return 0
}

// Count adds what a call used, where the agreement has a limit of tokens.
func (s *Service) Count(c *call.Call, t *catalog.Target) {
	account, tokens := c.Principal.Account, int64(c.Usage.InputTokens)+int64(c.Usage.OutputTokens)
	if tokens <= 0 || s.limits(account, t.Model.ID).MonthlyTokens == 0 {
		return
	}
	k, now := usedKey(account, t.Model.ID), s.cfg.Now().UTC().Format(month)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.used[k]
	if u == nil || u.Month != now {
		u = &used{Month: now}
		s.used[k] = u
	}
	u.Tokens += tokens
	u.dirty = true
}

func usedKey(account, model string) record.Key {
	return record.Key{Account: account, Kind: KindUsed, Name: model}
}

func (s *Service) loadUsed(ctx context.Context) error {
	list, err := s.cfg.Records.ListRecords(ctx, record.Query{Kind: KindUsed, AllAccounts: true})
	if err != nil {
		return fmt.Errorf("read what was used of agreements: %w", err)
	}
	for _, r := range list {
		u := &used{}
		if err := record.Read(r, u); err != nil {
			return fmt.Errorf("read what was used of agreements: %w", err)
		}
		s.used[r.Key] = u
	}
	return nil
}

// flush keeps the counts that have changed.
func (s *Service) flush(ctx context.Context) error {
	s.mu.Lock()
	var changes []record.Change
	var err error
	for k, u := range s.used {
		if !u.dirty {
			continue
		}
		var c record.Change
		if c, err = record.Put(k, record.Any, u); err != nil {
			break
		}
		changes = append(changes, c)
		u.dirty = false
	}
	s.mu.Unlock()
	if err != nil || len(changes) == 0 {
		return err
	}
	if err = s.cfg.Records.ApplyRecords(ctx, s.cfg.Now(), changes...); err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if u := s.used[c.Key]; u != nil {
			u.dirty = true
		}
	}
	return fmt.Errorf("keep what was used of agreements: %w", err)
}
