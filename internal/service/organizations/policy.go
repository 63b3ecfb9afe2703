package organizations

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
)

// onlyControl refuses every type of policy but the one there is.
func onlyControl(t *api.PolicyType) error {
	if deref(t) != api.PolicyTypeServiceControlPolicy {
		return apierr.New("PolicyTypeNotAvailableForOrganizationException", http.StatusBadRequest,
			"The policy type %s is not available here: only SERVICE_CONTROL_POLICY is.", deref(t))
	}
	return nil
}

func (s *Service) summary(p *identity.ControlPolicy) *api.PolicySummary {
	return &api.PolicySummary{
		Id: new(p.ID), Arn: new(s.policyARN(p.ID)), Name: new(p.Name), Description: new(p.Description),
		Type: new(api.PolicyTypeServiceControlPolicy), AwsManaged: new(p.AWSManaged()),
	}
}

func (s *Service) policyOut(p *identity.ControlPolicy) *api.Policy {
	return &api.Policy{PolicySummary: s.summary(p), Content: new(p.Text)}
}

func (s *Service) createPolicy(ctx context.Context, in *api.CreatePolicyInput) (*api.CreatePolicyOutput, error) {
	if err := onlyControl(in.Type); err != nil {
		return nil, err
	}
	p, err := s.dir.CreateControlPolicy(ctx, deref(in.Name), deref(in.Description), deref(in.Content), tagsIn(in.Tags))
	if err != nil {
		return nil, err
	}
	return &api.CreatePolicyOutput{Policy: s.policyOut(p)}, nil
}

func (s *Service) describePolicy(_ context.Context, in *api.DescribePolicyInput) (*api.DescribePolicyOutput, error) {
	p := s.dir.ControlPolicy(deref(in.PolicyId))
	if p == nil {
		return nil, notFound("PolicyNotFoundException", "You specified a policy that does not exist.")
	}
	return &api.DescribePolicyOutput{Policy: s.policyOut(p)}, nil
}

func (s *Service) updatePolicy(ctx context.Context, in *api.UpdatePolicyInput) (*api.UpdatePolicyOutput, error) {
	p, err := s.dir.UpdateControlPolicy(ctx, deref(in.PolicyId), identity.ControlPolicyUpdate{
		Name: in.Name, Description: in.Description, Text: in.Content,
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdatePolicyOutput{Policy: s.policyOut(p)}, nil
}

func (s *Service) deletePolicy(ctx context.Context, in *api.DeletePolicyInput) (*api.DeletePolicyOutput, error) {
	return &api.DeletePolicyOutput{}, s.dir.DeleteControlPolicy(ctx, deref(in.PolicyId))
}

// summaries is a page of policies.
func (s *Service) summaries(all []*identity.ControlPolicy, token *string, most *int32) ([]api.PolicySummary, *string, error) {
	some, next, err := cut(all, func(p *identity.ControlPolicy) string { return p.ID }, token, most)
	out := make([]api.PolicySummary, len(some))
	for i, p := range some {
		out[i] = *s.summary(p)
	}
	return out, next, err
}

func (s *Service) listPolicies(_ context.Context, in *api.ListPoliciesInput) (*api.ListPoliciesOutput, error) {
	var all []*identity.ControlPolicy
	if deref(in.Filter) == api.PolicyTypeServiceControlPolicy {
		all = s.dir.ControlPolicies()
	}
	list, next, err := s.summaries(all, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListPoliciesOutput{Policies: list, NextToken: next}, nil
}

func (s *Service) attachPolicy(ctx context.Context, in *api.AttachPolicyInput) (*api.AttachPolicyOutput, error) {
	return &api.AttachPolicyOutput{}, s.dir.AttachControlPolicy(ctx, deref(in.PolicyId), deref(in.TargetId))
}

func (s *Service) detachPolicy(ctx context.Context, in *api.DetachPolicyInput) (*api.DetachPolicyOutput, error) {
	return &api.DetachPolicyOutput{}, s.dir.DetachControlPolicy(ctx, deref(in.PolicyId), deref(in.TargetId))
}

func (s *Service) listPoliciesForTarget(_ context.Context, in *api.ListPoliciesForTargetInput) (*api.ListPoliciesForTargetOutput, error) {
	all, err := s.dir.AttachedControlPolicies(deref(in.TargetId))
	if err != nil {
		return nil, err
	}
	if deref(in.Filter) != api.PolicyTypeServiceControlPolicy {
		all = nil
	}
	list, next, err := s.summaries(all, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListPoliciesForTargetOutput{Policies: list, NextToken: next}, nil
}

func (s *Service) listTargetsForPolicy(_ context.Context, in *api.ListTargetsForPolicyInput) (*api.ListTargetsForPolicyOutput, error) {
	all, err := s.dir.ControlPolicyTargets(deref(in.PolicyId))
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	some, next, err := cut(all, func(id string) string { return id }, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListTargetsForPolicyOutput{NextToken: next, Targets: []api.PolicyTargetSummary{}}
	for _, id := range some {
		out.Targets = append(out.Targets, s.target(id))
	}
	return out, nil
}

// target describes a root, unit or account by its id.
func (s *Service) target(id string) api.PolicyTargetSummary {
	t := api.PolicyTargetSummary{TargetId: new(id), Arn: new(s.arns(&id)[0]), Name: new(rootName), Type: new(api.TargetTypeRoot)}
	switch {
	case strings.HasPrefix(id, "ou-"):
		t.Type = new(api.TargetTypeOrganizationalUnit)
		if u := s.dir.OrgUnit(id); u != nil {
			t.Name = new(u.Name)
		}
	case !strings.HasPrefix(id, "r-"):
		t.Type = new(api.TargetTypeAccount)
		if a := s.dir.Account(id); a != nil {
			t.Name = new(a.Name)
		}
	}
	return t
}

func (s *Service) enablePolicyType(ctx context.Context, in *api.EnablePolicyTypeInput) (*api.EnablePolicyTypeOutput, error) {
	if err := onlyControl(in.PolicyType); err != nil {
		return nil, err
	}
	o, err := s.dir.EnableControl(ctx, deref(in.RootId))
	if err != nil {
		return nil, err
	}
	return &api.EnablePolicyTypeOutput{Root: rootOut(o)}, nil
}

func (s *Service) disablePolicyType(ctx context.Context, in *api.DisablePolicyTypeInput) (*api.DisablePolicyTypeOutput, error) {
	if err := onlyControl(in.PolicyType); err != nil {
		return nil, err
	}
	o, err := s.dir.DisableControl(ctx, deref(in.RootId))
	if err != nil {
		return nil, err
	}
	return &api.DisablePolicyTypeOutput{Root: rootOut(o)}, nil
}
