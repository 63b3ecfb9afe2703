package bedrock

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// Agreements knows which models an account may use. agreement.Service implements
// it.
type Agreements interface {
	Approval(account string) agreement.Approval
	Status(account string, m *catalog.Model, w *catalog.Weights) agreement.Status
	// Covers reports whether the limits of an agreement include a region.
	Covers(account, model, region string) bool
	AcceptAs(ctx context.Context, account, model string, by *call.Principal, t agreement.Terms) error
	GiveUp(ctx context.Context, account, model, principal string) error
	Form(account string) []byte
	PutForm(ctx context.Context, account string, form []byte) error
}

// terms finds a model and the weights that serve it, whose terms count.
func (s *Service) terms(c *call.Call, id *string) (catalog.Model, catalog.Weights, error) {
	m, err := s.model(c, id)
	if err != nil {
		return m, catalog.Weights{}, err
	}
	w, _ := s.cfg.Catalog.WeightsByID(m.Weights)
	return m, w, nil
}

// listOffers shows the one offer of a model: the licence of its weights, and its
// prices, also of models that need no agreement.
func (s *Service) listOffers(_ context.Context, c *call.Call, in *br.ListFoundationModelAgreementOffersInput) (*br.ListFoundationModelAgreementOffersOutput, error) {
	m, w, err := s.terms(c, in.ModelId)
	if err != nil {
		return nil, err
	}
	url := w.LicenseURL
	if url == "" {
		url = "urn:outcrop:license:" + strings.ReplaceAll(w.License, " ", "-")
	}
	return &br.ListFoundationModelAgreementOffersOutput{ModelId: new(m.ID), Offers: []br.Offer{{
		OfferId:    new("offer-" + w.LicenseDigest),
		OfferToken: new(offerToken(c.Principal.Account, &m, &w)),
		TermDetails: &br.TermDetails{
			UsageBasedPricingTerm: &br.PricingTerm{RateCard: rateCard(&m)},
			LegalTerm:             &br.LegalTerm{Url: &url},
			SupportTerm:           &br.SupportTerm{RefundPolicyDescription: new("Prices are for reports of cost; nothing is charged, so nothing is refunded.")},
		},
	}}}, nil
}

// rateCard shows the prices of the catalogue, which are for 1,000,000 tokens.
func rateCard(m *catalog.Model) []br.DimensionalPriceRate {
	rate := func(dimension, what string, price float64) br.DimensionalPriceRate {
		return br.DimensionalPriceRate{
			Dimension: &dimension, Price: new(strconv.FormatFloat(price, 'f', -1, 64)),
			Description: new("US dollars for 1,000,000 " + what + " tokens of " + m.ID), Unit: new("1M tokens"),
		}
	}
	card := []br.DimensionalPriceRate{rate("InputTokens", "input", m.Price.Input)}
	if !m.Embedding() {
		card = append(card, rate("OutputTokens", "output", m.Price.Output))
	}
	return card
}

// offerToken stands for one offer to one account: it changes with the terms and the
// prices. It is no secret; it shows that the offer was read. Hexadecimal, since a
// command line takes a value that begins with "-" for an option.
func offerToken(account string, m *catalog.Model, w *catalog.Weights) string {
	text := strings.Join([]string{
		"offer", account, m.ID, w.LicenseDigest, strconv.FormatFloat(m.Price.Input, 'g', -1, 64), strconv.FormatFloat(m.Price.Output, 'g', -1, 64),
	}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s *Service) createAgreement(ctx context.Context, c *call.Call, in *br.CreateFoundationModelAgreementInput) (*br.CreateFoundationModelAgreementOutput, error) {
	m, w, err := s.terms(c, in.ModelId)
	if err != nil {
		return nil, err
	}
	account := c.Principal.Account
	switch {
	case agreement.Exempt(&m):
		return nil, apierr.Validation("modelId: %s needs no agreement", m.ID)
	case subtle.ConstantTimeCompare([]byte(text(in.OfferToken)), []byte(offerToken(account, &m, &w))) == 0:
		return nil, apierr.Validation("offerToken: not the token of the model's offer; ListFoundationModelAgreementOffers tells it")
	case s.cfg.Agreements.Approval(account) != agreement.Automatic && strings.EqualFold(m.Provider, "Anthropic") && s.cfg.Agreements.Form(account) == nil:
		return nil, apierr.NotFound("Model use case details have not been submitted for this account. Submit them with PutUseCaseForModelAccess and try again.")
	}
	err = s.cfg.Agreements.AcceptAs(ctx, account, m.ID, &c.Principal, agreement.TermsOf(&w))
	if errors.Is(err, agreement.ErrAgreed) {
		return nil, apierr.Conflict("The account agreed to the terms of %s already.", m.ID)
	}
	if err != nil {
		return nil, tagError(err)
	}
	return &br.CreateFoundationModelAgreementOutput{ModelId: new(m.ID)}, nil
}

func (s *Service) deleteAgreement(ctx context.Context, c *call.Call, in *br.DeleteFoundationModelAgreementInput) (*br.DeleteFoundationModelAgreementOutput, error) {
	m, _, err := s.terms(c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if agreement.Exempt(&m) {
		return nil, apierr.Validation("modelId: %s needs no agreement", m.ID)
	}
	err = s.cfg.Agreements.GiveUp(ctx, c.Principal.Account, m.ID, c.Principal.ARN)
	if errors.Is(err, agreement.ErrNone) {
		return nil, apierr.NotFound("The account has no agreement about %s.", m.ID)
	}
	if err != nil {
		return nil, tagError(err)
	}
	return &br.DeleteFoundationModelAgreementOutput{}, nil
}

// getAvailability tells whether the account can use a model. Weights with terms
// that nobody accepted on this machine count as a missing agreement.
func (s *Service) getAvailability(ctx context.Context, c *call.Call, in *br.GetFoundationModelAvailabilityInput) (*br.GetFoundationModelAvailabilityOutput, error) {
	m, err := s.model(c, in.ModelId)
	region := br.RegionAvailabilityAvailable
	if err != nil && in.ModelId != nil {
		var anywhere error
		if m, anywhere = s.cfg.Catalog.Get(*in.ModelId, ""); anywhere == nil {
			region, err = br.RegionAvailabilityNotAvailable, nil
		}
	}
	if err != nil {
		return nil, err
	}
	w, _ := s.cfg.Catalog.WeightsByID(m.Weights)
	agreed := br.AgreementStatus(s.cfg.Agreements.Status(c.Principal.Account, &m, &w))
	if w.Terms && !s.cfg.Accepted(w.ID, w.LicenseURL) {
		agreed = br.AgreementStatusNotAvailable
	}
	entitled := br.EntitlementAvailabilityNotAvailable
	if agreed == br.AgreementStatusAvailable && s.cfg.Agreements.Covers(c.Principal.Account, m.ID, c.Region) {
		entitled = br.EntitlementAvailabilityAvailable
	}
	authorized := br.AuthorizationStatusAuthorized
	if !s.cfg.May(ctx, c, call.Need{Action: "bedrock:InvokeModel", Resources: []string{arn.FoundationModel(c.Region, m.ID)}}) {
		authorized = br.AuthorizationStatusNotAuthorized
	}
	return &br.GetFoundationModelAvailabilityOutput{
		ModelId:                 new(m.ID),
		AgreementAvailability:   &br.AgreementAvailability{Status: &agreed},
		AuthorizationStatus:     &authorized,
		EntitlementAvailability: &entitled,
		RegionAvailability:      &region,
	}, nil
}

func (s *Service) getUseCase(_ context.Context, c *call.Call, _ *br.GetUseCaseForModelAccessInput) (*br.GetUseCaseForModelAccessOutput, error) {
	form := s.cfg.Agreements.Form(c.Principal.Account)
	if form == nil {
		return nil, apierr.NotFound("Model use case details have not been submitted for this account.")
	}
	return &br.GetUseCaseForModelAccessOutput{FormData: form}, nil
}

// putUseCase keeps the form as it came: JSON, or base64 of JSON, which is what
// callers make who encode it before their SDK does.
func (s *Service) putUseCase(ctx context.Context, c *call.Call, in *br.PutUseCaseForModelAccessInput) (*br.PutUseCaseForModelAccessOutput, error) {
	var form struct {
		Company *string `json:"companyName"`
		Uses    *string `json:"useCases"`
	}
	data := in.FormData
	if plain, err := base64.StdEncoding.DecodeString(string(data)); err == nil {
		data = plain
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, apierr.Validation("formData: want a JSON object with companyName, companyWebsite, intendedUsers, industryOption, otherIndustryOption and useCases")
	}
	switch {
	case strings.TrimSpace(text(form.Company)) == "":
		return nil, apierr.Validation("formData.companyName: required")
	case strings.TrimSpace(text(form.Uses)) == "":
		return nil, apierr.Validation("formData.useCases: required")
	}
	if err := s.cfg.Agreements.PutForm(ctx, c.Principal.Account, in.FormData); err != nil {
		return nil, tagError(err)
	}
	return &br.PutUseCaseForModelAccessOutput{}, nil
}
