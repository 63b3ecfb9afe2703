package bedrock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// createResources are the profile that CreateInferenceProfile makes, whose id
// nobody knows yet, and what it copies from. Tags are a permission of their own,
// decided together with it.
func (s *Service) createResources(_ context.Context, c *call.Call, in *br.CreateInferenceProfileInput) ([]string, error) {
	if in.ModelSource == nil || in.ModelSource.CopyFrom == nil {
		return nil, missingSource()
	}
	profiles := arn.ApplicationInferenceProfile(c.Region, c.Principal.Account, "*")
	tagOnCreate(c, in.Tags, profiles)
	return []string{profiles, *in.ModelSource.CopyFrom}, nil
}

func missingSource() error { return apierr.Validation("modelSource.copyFrom: required") }

func (s *Service) createProfile(ctx context.Context, c *call.Call, in *br.CreateInferenceProfileInput) (*br.CreateInferenceProfileOutput, error) {
	models, err := s.source(c, in.ModelSource)
	if err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err != nil {
		return nil, tagError(err)
	}
	now := s.cfg.Now().UTC()
	p := profile.Profile{
		Account: c.Principal.Account, Region: c.Region,
		Name: text(in.InferenceProfileName), Description: text(in.Description),
		ModelSource: *in.ModelSource.CopyFrom, ModelARNs: models,
		Created: now, Updated: now,
	}
	if err := s.put(ctx, &p, tags, c.TokenID); err != nil {
		return nil, err
	}
	return &br.CreateInferenceProfileOutput{InferenceProfileArn: new(p.ARN(arn.Partition(c.Region))), Status: new(br.InferenceProfileStatusActive)}, nil
}

// put stores a new profile under an id of its own. With a client token the id
// follows from the token: when a crash came between the profile and its token,
// the repeat finds the profile there and has nothing left to do.
func (s *Service) put(ctx context.Context, p *profile.Profile, tags map[string]string, tokenID string) error {
	s.creating.Lock() // one at a time, so that none slips past the quota
	defer s.creating.Unlock()
	if err := s.quota(ctx, p, tokenID); err != nil {
		return err
	}
	var err error
	for range 3 { // ids are random: a second try is already a wonder
		if p.ID = tokenID; tokenID == "" {
			p.ID = profile.NewID()
		}
		err = s.make(ctx, p, tags)
		if err == nil {
			return nil
		}
		if !errors.Is(err, profile.ErrExists) {
			return fmt.Errorf("create inference profile: %w", err)
		}
		if tokenID != "" {
			old, err := s.cfg.Profiles.GetProfile(ctx, p.Account, p.Region, tokenID)
			if err == nil && old.Name == p.Name {
				return nil
			}
			if err != nil && !errors.Is(err, profile.ErrNotFound) {
				return fmt.Errorf("look for an earlier inference profile: %w", err)
			}
		}
		same, lerr := s.cfg.Profiles.ListProfiles(ctx, profile.Query{Account: p.Account, Region: p.Region, Name: p.Name, Limit: 1})
		if lerr != nil {
			return fmt.Errorf("look for an inference profile of the same name: %w", lerr)
		}
		if len(same) > 0 {
			return apierr.Conflict("inferenceProfileName: an application inference profile named %s exists already", p.Name)
		}
	}
	return fmt.Errorf("create inference profile: no free id: %w", err)
}

// make stores a profile and, before it, its tags: so no decision ever sees it
// without them. Errors: profile.ErrExists.
func (s *Service) make(ctx context.Context, p *profile.Profile, tags map[string]string) error {
	switch _, err := s.cfg.Profiles.GetProfile(ctx, p.Account, p.Region, p.ID); {
	case err == nil: // its tags are not ours to change
		return profile.ErrExists
	case !errors.Is(err, profile.ErrNotFound):
		return err
	}
	name := p.ARN(arn.Partition(p.Region))
	if err := s.cfg.Resources.Create(ctx, name, tags); err != nil {
		return err
	}
	if err := s.cfg.Profiles.PutProfile(ctx, *p); err != nil {
		return errors.Join(err, s.cfg.Resources.Forget(ctx, name))
	}
	return nil
}

// quota refuses one profile too many. A repeat that finds its own profile makes
// none.
func (s *Service) quota(ctx context.Context, p *profile.Profile, tokenID string) error {
	all, err := s.cfg.Profiles.ListProfiles(ctx, profile.Query{Account: p.Account, Region: p.Region, Limit: profile.MaxPerRegion})
	if err != nil {
		return fmt.Errorf("count inference profiles: %w", err)
	}
	mine := func(q profile.Profile) bool { return tokenID != "" && q.ID == tokenID && q.Name == p.Name }
	if len(all) >= profile.MaxPerRegion && !slices.ContainsFunc(all, mine) {
		return apierr.QuotaExceeded("An account may have %d application inference profiles in a region. Delete one and try again.", profile.MaxPerRegion)
	}
	return nil
}

// source returns the ARNs of the models that a new profile stands for.
func (s *Service) source(c *call.Call, src *br.InferenceProfileModelSource) ([]string, error) {
	if src == nil || src.CopyFrom == nil {
		return nil, missingSource()
	}
	m, err := arn.ParseModel(*src.CopyFrom)
	if err != nil || !m.IsARN() || m.Kind != arn.KindFoundationModel && m.Kind != arn.KindSystemProfile {
		return nil, apierr.Validation("modelSource.copyFrom: want the ARN of a foundation model or of a system-defined inference profile")
	}
	if m.ARN.Region != c.Region {
		return nil, apierr.Validation("modelSource.copyFrom: the ARN is of region %s, the request of region %s", m.ARN.Region, c.Region)
	}
	if m.Kind == arn.KindFoundationModel {
		model, err := s.cfg.Catalog.Get(m.ID, c.Region)
		if err != nil {
			return nil, err
		}
		if !model.InRegion(c.Region) {
			return nil, apierr.Validation("modelSource.copyFrom: region %s offers %s through a system-defined inference profile alone; copy that one", c.Region, model.ID)
		}
		return []string{arn.FoundationModel(c.Region, model.ID)}, nil
	}
	if m.ARN.Account != c.Principal.Account {
		return nil, apierr.Validation("modelSource.copyFrom: the ARN is of another account")
	}
	p, err := s.cfg.Catalog.SystemProfile(m.Name(), c.Region)
	if err != nil {
		return nil, err
	}
	return profileModels(&p), nil
}

func getID(in *br.GetInferenceProfileInput) *string       { return in.InferenceProfileIdentifier }
func deleteID(in *br.DeleteInferenceProfileInput) *string { return in.InferenceProfileIdentifier }

// profileResource is the ARN of the profile that an input names, made from the id
// alone: whether there is such a profile is told to those who may ask.
func profileResource[In any](id func(*In) *string) func(context.Context, *call.Call, *In) ([]string, error) {
	return func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		m, err := parseProfile(c, id(in))
		if err != nil {
			if word := id(in); word != nil && !strings.HasPrefix(*word, "arn:") { // no profile has such an id
				name := arn.ApplicationInferenceProfile(c.Region, c.Principal.Account, *word)
				if _, malformed := arn.Parse(name); malformed == nil {
					return []string{name}, nil
				}
			}
			return nil, err
		}
		if m.Kind == arn.KindSystemProfile {
			return []string{arn.InferenceProfile(c.Region, c.Principal.Account, m.Name())}, nil
		}
		return []string{arn.ApplicationInferenceProfile(c.Region, c.Principal.Account, m.ID)}, nil
	}
}

// parseProfile reads a profile's id or ARN. The result is of one of the two
// profile kinds and, as an ARN, of the caller's account and the request's region.
func parseProfile(c *call.Call, id *string) (arn.Model, error) {
	if id == nil {
		return arn.Model{}, apierr.Validation("inferenceProfileIdentifier: required")
	}
	m, err := arn.ParseModel(*id)
	switch {
	case err != nil || m.Kind != arn.KindSystemProfile && m.Kind != arn.KindApplicationProfile:
		if strings.HasPrefix(*id, "arn:") {
			return arn.Model{}, apierr.Validation("inferenceProfileIdentifier: want the id or the ARN of an inference profile")
		}
		return arn.Model{}, noProfile(*id)
	case m.IsARN() && (m.ARN.Region != c.Region || m.ARN.Account != c.Principal.Account):
		return arn.Model{}, noProfile(*id)
	}
	return m, nil
}

func noProfile(id string) error {
	return apierr.NotFound("The inference profile %s does not exist in this account and region.", id)
}

func (s *Service) getProfile(ctx context.Context, c *call.Call, in *br.GetInferenceProfileInput) (*br.GetInferenceProfileOutput, error) {
	m, err := parseProfile(c, in.InferenceProfileIdentifier)
	if err != nil {
		return nil, err
	}
	if m.Kind == arn.KindSystemProfile {
		p, err := s.cfg.Catalog.SystemProfile(m.Name(), c.Region)
		if err != nil {
			return nil, err
		}
		c.ModelID, c.ModelARN = *in.InferenceProfileIdentifier, arn.FoundationModel(c.Region, p.Model.ID)
		c.ServedBy, c.StandIn = p.Model.Weights, p.Model.StandIn
		return new(br.GetInferenceProfileOutput(systemSummary(c, &p))), nil
	}
	p, err := s.cfg.Profiles.GetProfile(ctx, c.Principal.Account, c.Region, m.ID)
	if errors.Is(err, profile.ErrNotFound) {
		return nil, noProfile(*in.InferenceProfileIdentifier)
	}
	if err != nil {
		return nil, fmt.Errorf("get inference profile: %w", err)
	}
	return new(br.GetInferenceProfileOutput(applicationSummary(&p))), nil
}

func (s *Service) deleteProfile(ctx context.Context, c *call.Call, in *br.DeleteInferenceProfileInput) (*br.DeleteInferenceProfileOutput, error) {
	m, err := parseProfile(c, in.InferenceProfileIdentifier)
	if err != nil {
		return nil, err
	}
	if m.Kind == arn.KindSystemProfile {
		return nil, apierr.Validation("inferenceProfileIdentifier: %s is a system-defined inference profile; only application inference profiles can be deleted", m.Name())
	}
	err = s.cfg.Profiles.DeleteProfile(ctx, c.Principal.Account, c.Region, m.ID)
	if errors.Is(err, profile.ErrNotFound) {
		return nil, noProfile(*in.InferenceProfileIdentifier)
	}
	if err != nil {
		return nil, fmt.Errorf("delete inference profile: %w", err)
	}
	if err := s.cfg.Resources.Forget(ctx, arn.ApplicationInferenceProfile(c.Region, c.Principal.Account, m.ID)); err != nil {
		return nil, fmt.Errorf("forget the tags of an inference profile: %w", err)
	}
	return &br.DeleteInferenceProfileOutput{}, nil
}

func systemSummary(c *call.Call, p *catalog.Profile) br.InferenceProfileSummary {
	return br.InferenceProfileSummary{
		InferenceProfileName: new(p.Name),
		Description:          new(p.Description),
		InferenceProfileArn:  new(arn.InferenceProfile(c.Region, c.Principal.Account, p.ID)),
		InferenceProfileId:   new(p.ID),
		Models:               models(profileModels(p)),
		Status:               new(br.InferenceProfileStatusActive),
		Type:                 new(br.InferenceProfileTypeSystemDefined),
	}
}

func applicationSummary(p *profile.Profile) br.InferenceProfileSummary {
	out := br.InferenceProfileSummary{
		InferenceProfileName: new(p.Name),
		CreatedAt:            date(p.Created),
		UpdatedAt:            date(p.Updated),
		InferenceProfileArn:  new(p.ARN(arn.Partition(p.Region))),
		InferenceProfileId:   new(p.ID),
		Models:               models(p.ModelARNs),
		Status:               new(br.InferenceProfileStatusActive),
		Type:                 new(br.InferenceProfileTypeApplication),
	}
	if p.Description != "" {
		out.Description = new(p.Description)
	}
	return out
}

// profileModels are the ARNs of a system profile's model in its regions.
func profileModels(p *catalog.Profile) []string {
	arns := make([]string, len(p.Regions))
	for i, r := range p.Regions {
		arns[i] = arn.FoundationModel(r, p.Model.ID)
	}
	return arns
}

func models(arns []string) []br.InferenceProfileModel {
	out := make([]br.InferenceProfileModel, len(arns))
	for i, a := range arns {
		out[i] = br.InferenceProfileModel{ModelArn: new(a)}
	}
	return out
}
