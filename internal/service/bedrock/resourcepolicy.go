package bedrock

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

func putPolicyARN(in *br.PutResourcePolicyInput) *string       { return in.ResourceArn }
func getPolicyARN(in *br.GetResourcePolicyInput) *string       { return in.ResourceArn }
func deletePolicyARN(in *br.DeleteResourcePolicyInput) *string { return in.ResourceArn }

// policyResource is the resource whose policy a call is about.
func policyResource[In any](s *Service, id func(*In) *string) func(context.Context, *call.Call, *In) ([]string, error) {
	return func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		name, err := s.policyName(c, id(in))
		return []string{name}, err
	}
}

// policyName is the ARN under which a resource has its policy. Size variants of a
// model share the policy of the model, as they share its ARN when it is invoked.
func (s *Service) policyName(c *call.Call, id *string) (string, error) {
	if id == nil {
		return "", apierr.Validation("resourceArn: required")
	}
	a, err := arn.Parse(*id)
	if err != nil || a.Service != "bedrock" {
		return "", apierr.Validation("resourceArn: want the ARN of a Bedrock resource")
	}
	if a.Region != c.Region {
		return "", apierr.Validation("resourceArn: the ARN is of region %s, the request of region %s", a.Region, c.Region)
	}
	if m, err := s.cfg.Catalog.Get(*id, c.Region); err == nil {
		name := arn.FoundationModel(c.Region, m.ID)
		c.Says(name, *id)
		return name, nil
	}
	return *id, nil
}

// policyTarget is policyName of a resource that exists; there is false when it
// does not.
func (s *Service) policyTarget(ctx context.Context, c *call.Call, id *string) (name string, there bool, err error) {
	if name, err = s.policyName(c, id); err != nil {
		return "", false, err
	}
	m, err := arn.ParseModel(name)
	if err == nil {
		switch m.Kind {
		case arn.KindFoundationModel:
			_, err := s.cfg.Catalog.Get(name, c.Region)
			return name, err == nil, nil
		case arn.KindSystemProfile:
			_, err := s.cfg.Catalog.SystemProfile(m.Name(), c.Region)
			return name, err == nil, nil
		}
	}
	there, _, err = s.cfg.Resources.Exists(ctx, name)
	if err != nil {
		return "", false, fmt.Errorf("look for a resource: %w", err)
	}
	return name, there, nil
}

// putPolicy puts a resource policy. On a foundation model it concerns the account
// that puts it alone; AWS has no such policies. A policy that would keep its author
// from taking it off again is refused: it binds the root of the account too, so
// nobody might be left who can.
func (s *Service) putPolicy(ctx context.Context, c *call.Call, in *br.PutResourcePolicyInput) (*br.PutResourcePolicyOutput, error) {
	name, there, err := s.policyTarget(ctx, c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, apierr.Validation("resourceArn: %s does not exist", *in.ResourceArn)
	}
	doc, err := policy.Parse([]byte(text(in.ResourcePolicy)), policy.Resource)
	if err != nil {
		return nil, badPolicy(err)
	}
	switch locked, err := s.cfg.Locks(ctx, c, name, doc); {
	case err != nil:
		return nil, fmt.Errorf("decide over a new resource policy: %w", err)
	case locked:
		return nil, apierr.Validation("resourcePolicy: it would deny you bedrock:DeleteResourcePolicy on %s. Leave that out of the statements that deny, or leave yourself out of their principals.", name)
	}
	if err := s.cfg.Resources.PutPolicy(ctx, name, c.Principal.Account, text(in.ResourcePolicy)); err != nil {
		return nil, tagError(badPolicy(err))
	}
	return &br.PutResourcePolicyOutput{ResourceArn: in.ResourceArn}, nil
}

// badPolicy tells the author of a policy what is wrong with it.
func badPolicy(err error) error {
	if bad, ok := errors.AsType[*policy.Error](err); ok {
		return apierr.Validation("resourcePolicy: %s", bad)
	}
	return err
}

func (s *Service) getPolicy(ctx context.Context, c *call.Call, in *br.GetResourcePolicyInput) (*br.GetResourcePolicyOutput, error) {
	name, there, err := s.policyTarget(ctx, c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	doc, err := "", error(resource.ErrNoPolicy)
	if there {
		doc, err = s.cfg.Resources.Policy(name, c.Principal.Account)
	}
	if err != nil {
		return nil, noPolicy(err, *in.ResourceArn)
	}
	return &br.GetResourcePolicyOutput{ResourcePolicy: new(doc)}, nil
}

func (s *Service) deletePolicy(ctx context.Context, c *call.Call, in *br.DeleteResourcePolicyInput) (*br.DeleteResourcePolicyOutput, error) {
	name, there, err := s.policyTarget(ctx, c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	err = error(resource.ErrNoPolicy)
	if there {
		err = s.cfg.Resources.DeletePolicy(ctx, name, c.Principal.Account)
	}
	if err != nil {
		return nil, noPolicy(err, *in.ResourceArn)
	}
	return &br.DeleteResourcePolicyOutput{}, nil
}

func noPolicy(err error, id string) error {
	if errors.Is(err, resource.ErrNoPolicy) {
		return apierr.NotFound("The resource %s has no resource policy.", id)
	}
	return tagError(err)
}
