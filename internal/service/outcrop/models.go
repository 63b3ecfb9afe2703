package outcrop

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// listModels lists the models whose terms somebody of an account accepted. The
// management account may ask for every account, others for themselves.
func (s *Service) listModels(_ context.Context, c *call.Call, in *api.ListModelAccessInput) (*api.ListModelAccessOutput, error) {
	if *in.AccountId != c.Principal.Account && c.Principal.Account != s.cfg.Directory.Management() {
		return nil, apierr.AccessDenied("Only the management account may see the model access of other accounts.")
	}
	out := &api.ListModelAccessOutput{Models: []api.ModelAccess{}}
	for _, a := range s.cfg.Agreements.Agreements(*in.AccountId) {
		out.Models = append(out.Models, *s.modelAccess(&a))
	}
	return out, nil
}

// modelAccess is an agreement as the API shows it.
func (s *Service) modelAccess(a *agreement.Agreement) *api.ModelAccess {
	v := &api.ModelAccess{ModelId: &a.Model, State: new(api.ModelAccessStateNotAvailable)}
	if m, err := s.cfg.Catalog.Get(a.Model, ""); err == nil { // else the catalogue knows it no more
		w, _ := s.cfg.Catalog.WeightsByID(m.Weights)
		v.State = new(api.ModelAccessState(s.cfg.Agreements.Status(a.Account, &m, &w)))
	}
	if n := len(a.Accepted); n > 0 {
		last := &a.Accepted[n-1]
		v.AcceptedBy, v.AcceptedAt, v.License, v.LicenseDigest = some(last.By), date(last.At), some(last.License), some(last.Digest)
	}
	if a.Approved != nil {
		v.ApprovedBy, v.ApprovedAt = some(a.Approved.By), date(a.Approved.At)
	}
	return v
}

// approveModel lets an account use a model whose terms it accepted. The limits of
// an earlier approval stay.
func (s *Service) approveModel(ctx context.Context, c *call.Call, in *api.ApproveModelAccessInput) (*api.ApproveModelAccessOutput, error) {
	if c.Principal.Account != s.cfg.Directory.Management() {
		return nil, apierr.AccessDenied("Only principals of the management account may approve access to models.")
	}
	m, err := s.cfg.Catalog.Get(*in.ModelId, "")
	if err != nil {
		return nil, apierr.NotFound("modelId: there is no such model")
	}
	if agreement.Exempt(&m) {
		return nil, conflict("modelId: %s needs no agreement", m.ID)
	}
	limits := agreement.Limits{}
	if old, ok := s.cfg.Agreements.Agreement(*in.AccountId, m.ID); ok && old.Approved != nil {
		limits = old.Approved.Limits
	}
	switch err := s.cfg.Agreements.ApproveAs(ctx, *in.AccountId, m.ID, &c.Principal, limits); {
	case errors.Is(err, agreement.ErrNone):
		return nil, apierr.NotFound("Account %s has not accepted the terms of %s; it does so with CreateFoundationModelAgreement.", *in.AccountId, m.ID)
	case errors.Is(err, agreement.ErrSelf):
		return nil, apierr.AccessDenied("Whoever accepted the terms may not approve it.")
	case err != nil:
		return nil, err
	}
	a, ok := s.cfg.Agreements.Agreement(*in.AccountId, m.ID)
	if !ok {
		return nil, conflict("The agreement was changed meanwhile.")
	}
	return &api.ApproveModelAccessOutput{Model: s.modelAccess(&a)}, nil
}
