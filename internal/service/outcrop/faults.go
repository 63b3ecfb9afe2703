package outcrop

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// faulted is the account whose calls a rule is about: the caller's own unless it
// says another. Only the management account may say another, or all.
func (s *Service) faulted(c *call.Call, account *string) (string, error) {
	if account == nil || *account == c.Principal.Account {
		return c.Principal.Account, nil
	}
	if c.Principal.Account != s.cfg.Directory.Management() {
		return "", apierr.AccessDenied("Only principals of the management account may change the fault rules of other accounts.")
	}
	return *account, nil
}

// putFault keeps a fault rule, in the place of one of the same name.
func (s *Service) putFault(ctx context.Context, c *call.Call, in *api.PutFaultRuleInput) (*api.PutFaultRuleOutput, error) {
	account, err := s.faulted(c, in.AccountId)
	if err != nil {
		return nil, err
	}
	r := fault.Rule{
		Name: *in.RuleName, Account: account, Type: fault.Type(*in.Fault), Seed: in.Seed, By: c.Principal.ARN,
		Model: value(in.ModelId), Trigger: fault.Trigger(value(in.Trigger)), Rate: value(in.Rate),
		Latency: time.Duration(value(in.LatencyMilliseconds)) * time.Millisecond,
		After:   int(value(in.AfterTokens)), Max: int(value(in.MaxFaults)),
	}
	if r.Model != "" && !strings.Contains(r.Model, "*") { // a misspelt id would be about nothing, without a word
		if _, err := s.cfg.Catalog.Resolve(ctx, r.Model, c.Region, c.Principal.Account); err != nil {
			return nil, apierr.Validation("modelId: there is no model %q; \"*\" stands for any text", r.Model)
		}
	}
	if in.DurationSeconds != nil {
		r.Expires = s.cfg.Now().Add(time.Duration(*in.DurationSeconds) * time.Second)
	}
	kept, err := s.cfg.Faults.Put(ctx, r)
	if e, ok := errors.AsType[*fault.InvalidError](err); ok {
		return nil, apierr.Validation("%s: %s", e.Field, e.Reason)
	}
	if errors.Is(err, fault.ErrMany) {
		return nil, apierr.Validation("ruleName: account %s has %d fault rules, which is the most", account, fault.MaxRules)
	}
	if err != nil {
		return nil, err
	}
	return &api.PutFaultRuleOutput{FaultRule: faultRule(&kept)}, nil
}

// listFaults lists the rules that are about the caller's account; for the management
// account those of all accounts.
func (s *Service) listFaults(_ context.Context, c *call.Call, _ *api.ListFaultRulesInput) (*api.ListFaultRulesOutput, error) {
	account := c.Principal.Account
	if account == s.cfg.Directory.Management() {
		account = ""
	}
	out := &api.ListFaultRulesOutput{FaultRules: []api.FaultRule{}}
	for _, r := range s.cfg.Faults.List(account) {
		out.FaultRules = append(out.FaultRules, *faultRule(&r))
	}
	return out, nil
}

func (s *Service) deleteFault(ctx context.Context, c *call.Call, in *api.DeleteFaultRuleInput) (*api.DeleteFaultRuleOutput, error) {
	account, err := s.faulted(c, in.AccountId)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Faults.Delete(ctx, account, *in.RuleName)
	if errors.Is(err, fault.ErrNone) {
		return nil, apierr.NotFound("ruleName: account %s has no such fault rule", account)
	}
	if err != nil {
		return nil, err
	}
	return &api.DeleteFaultRuleOutput{}, nil
}

// faultRule is a rule as the API shows it.
func faultRule(r *fault.Counted) *api.FaultRule {
	return &api.FaultRule{
		RuleName: &r.Name, AccountId: &r.Account, ModelId: some(r.Model), Fault: new(api.FaultType(r.Type)), Trigger: new(api.FaultTrigger(r.Trigger)),
		Rate: &r.Rate, LatencyMilliseconds: number(int(r.Latency.Milliseconds())), AfterTokens: number(r.After), MaxFaults: number(r.Max), Seed: r.Seed,
		CreatedBy: &r.By, CreatedAt: date(r.Created), ExpiresAt: date(r.Expires), CallCount: &r.Calls, FaultCount: &r.Faults,
	}
}

// number is n, or nil when it is 0.
func number(n int) *int32 {
	if n == 0 {
		return nil
	}
	return new(int32(n)) // #nosec G115 -- bounded by the API
}

// value is what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}
