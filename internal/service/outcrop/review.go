package outcrop

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// getReview reviews who may do what in the caller's account.
func (s *Service) getReview(ctx context.Context, c *call.Call, in *api.GetAccessReviewInput) (*api.GetAccessReviewOutput, error) {
	r, err := s.cfg.Analyzer.Review(ctx, c.Principal.Account, days(in.UnusedDays))
	if err != nil {
		return nil, err
	}
	out := &api.GetAccessReviewOutput{Findings: []api.Finding{}, UnusedDays: new(int32(r.Days)), Since: &r.Since}
	for i := range r.Findings {
		f := &r.Findings[i]
		v := api.Finding{
			FindingId: &f.ID, Type: new(api.FindingType(f.Type)), Resource: &f.Resource, Detail: &f.Detail, Advice: &f.Advice,
			Principals: f.Principals, Actions: f.Actions, AccessKeyId: some(f.Key), LastUsed: date(f.LastUsed),
		}
		if f.Type == analyze.ExternalAccess {
			v.IsPublic = &f.Public
		}
		out.Findings = append(out.Findings, v)
	}
	return out, nil
}

// days is a number of days; none stands for the default.
func days(n *int32) int {
	if n == nil {
		return analyze.DefaultDays
	}
	return int(*n)
}

// generatePolicy makes a policy of what a user or role of the caller's account did.
func (s *Service) generatePolicy(ctx context.Context, c *call.Call, in *api.GenerateLeastPrivilegePolicyInput) (*api.GenerateLeastPrivilegePolicyOutput, error) {
	g, err := s.cfg.Analyzer.LeastPrivilege(ctx, c.Principal.Account, *in.PrincipalArn, days(in.Days))
	if errors.Is(err, analyze.ErrNoPrincipal) {
		return nil, apierr.NotFound("principalArn: there is no such user or role in this account")
	}
	if err != nil {
		return nil, err
	}
	return &api.GenerateLeastPrivilegePolicyOutput{
		PolicyDocument: some(g.Policy), Exact: &g.Exact, UsedActions: list(g.Actions), UnusedActions: list(g.Unused), Since: &g.Since,
	}, nil
}
