package accessanalyzer

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
)

// startGeneration makes a policy of what a principal did, at once: what AWS reads
// from trails is kept here beside the last uses, so trails are neither needed nor
// read, but for the time from which they count.
func (s *Service) startGeneration(ctx context.Context, c *call.Call, in *api.StartPolicyGenerationInput) (*api.StartPolicyGenerationOutput, error) {
	now := s.cfg.Now().UTC()
	since := now.AddDate(0, 0, -analyze.DefaultDays)
	if t := in.CloudTrailDetails; t != nil {
		if t.EndTime != nil && t.EndTime.Before(*t.StartTime) {
			return nil, invalid("cloudTrailDetails.endTime: comes before startTime")
		}
		if since = *t.StartTime; since.After(now) {
			return nil, invalid("cloudTrailDetails.startTime: lies in the future")
		}
	}
	g, err := s.cfg.Analyzer.LeastPrivilegeSince(ctx, c.Principal.Account, *in.PolicyGenerationDetails.PrincipalArn, since)
	if errors.Is(err, analyze.ErrNoPrincipal) {
		return nil, invalid("policyGenerationDetails.principalArn: there is no such user or role in this account")
	}
	if err != nil {
		return nil, err
	}
	made, err := s.cfg.Registry.Generate(ctx, c.Principal.Account, g)
	if err != nil {
		return nil, err
	}
	return &api.StartPolicyGenerationOutput{JobId: &made.ID}, nil
}

func (s *Service) getGenerated(_ context.Context, c *call.Call, in *api.GetGeneratedPolicyInput) (*api.GetGeneratedPolicyOutput, error) {
	g, err := s.cfg.Registry.Generation(c.Principal.Account, *in.JobId)
	if err != nil { // the operation models no other error
		return nil, invalid("jobId: there is no policy generation %s", *in.JobId)
	}
	r := &api.GeneratedPolicyResult{
		Properties: &api.GeneratedPolicyProperties{
			IsComplete: new(true), PrincipalArn: &g.Principal,
			CloudTrailProperties: &api.CloudTrailProperties{TrailProperties: []api.TrailProperties{}, StartTime: &g.Since, EndTime: &g.Started},
		},
		GeneratedPolicies: []api.GeneratedPolicy{},
	}
	if g.Policy != "" {
		r.GeneratedPolicies = append(r.GeneratedPolicies, api.GeneratedPolicy{Policy: &g.Policy})
	}
	return &api.GetGeneratedPolicyOutput{
		JobDetails:            &api.JobDetails{JobId: &g.ID, Status: new(api.JobStatusSucceeded), StartedOn: &g.Started, CompletedOn: &g.Started},
		GeneratedPolicyResult: r,
	}, nil
}

func (s *Service) listGenerations(_ context.Context, c *call.Call, in *api.ListPolicyGenerationsInput) (*api.ListPolicyGenerationsOutput, error) {
	var all []api.PolicyGeneration
	for _, g := range s.cfg.Registry.Generations(c.Principal.Account) {
		if in.PrincipalArn == nil || *in.PrincipalArn == g.Principal {
			all = append(all, api.PolicyGeneration{
				JobId: &g.ID, PrincipalArn: &g.Principal, Status: new(api.JobStatusSucceeded), StartedOn: &g.Started, CompletedOn: &g.Started,
			})
		}
	}
	out := &api.ListPolicyGenerationsOutput{}
	var err error
	out.PolicyGenerations, out.NextToken, err = cut(all, in.NextToken, in.MaxResults)
	return out, err
}
