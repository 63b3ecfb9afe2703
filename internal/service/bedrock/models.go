package bedrock

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

func (s *Service) listModels(_ context.Context, c *call.Call, in *br.ListFoundationModelsInput) (*br.ListFoundationModelsOutput, error) {
	models := s.cfg.Catalog.List(catalog.Filter{
		Region:        c.Region,
		Provider:      text(in.ByProvider),
		Customization: text(in.ByCustomizationType),
		Output:        text(in.ByOutputModality),
		Inference:     text(in.ByInferenceType),
	})
	out := &br.ListFoundationModelsOutput{ModelSummaries: make([]br.FoundationModelSummary, 0, len(models))}
	for i := range models {
		out.ModelSummaries = append(out.ModelSummaries, br.FoundationModelSummary(details(c.Region, &models[i])))
	}
	return out, nil
}

// modelResource is the ARN of the model that GetFoundationModel asks for.
func (s *Service) modelResource(_ context.Context, c *call.Call, in *br.GetFoundationModelInput) ([]string, error) {
	m, err := s.model(c, in.ModelIdentifier)
	name, err := modelARN(c, in.ModelIdentifier, &m, err)
	if err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// modelARN is what to decide over for the id of a model, which was looked for with
// the result m and err: the ARN of the model, or one made from the id when there is no
// such model, which nobody may learn who may not ask. A refusal names the latter.
//
// Errors: err, of an id that is malformed.
func modelARN(c *call.Call, id *string, m *catalog.Model, err error) (string, error) {
	if e, ok := errors.AsType[*apierr.Error](err); err != nil && (!ok || e.HTTPStatus() != http.StatusNotFound) {
		return "", err
	}
	asked := *id
	if !strings.HasPrefix(asked, "arn:") {
		asked = arn.FoundationModel(c.Region, asked)
	}
	if err != nil {
		return asked, nil
	}
	name := arn.FoundationModel(c.Region, m.ID)
	c.Says(name, asked)
	return name, nil
}

func (s *Service) getModel(_ context.Context, c *call.Call, in *br.GetFoundationModelInput) (*br.GetFoundationModelOutput, error) {
	m, err := s.model(c, in.ModelIdentifier)
	if err != nil {
		return nil, err
	}
	c.ModelID, c.ModelARN = *in.ModelIdentifier, arn.FoundationModel(c.Region, m.ID)
	c.ServedBy, c.StandIn = m.Weights, m.StandIn
	return &br.GetFoundationModelOutput{ModelDetails: new(details(c.Region, &m))}, nil
}

func (s *Service) model(c *call.Call, id *string) (catalog.Model, error) {
	if id == nil {
		return catalog.Model{}, apierr.Validation("The provided model identifier is invalid.")
	}
	return s.cfg.Catalog.Get(*id, c.Region)
}

// details is what the API tells of a model. A stand-in is shown as the model
// that its id names; the header x-outcrop-served-by tells the weights.
func details(region string, m *catalog.Model) br.FoundationModelDetails {
	return br.FoundationModelDetails{
		ModelArn:                   new(arn.FoundationModel(region, m.ID)),
		ModelId:                    new(m.ID),
		ModelName:                  new(m.Name),
		ProviderName:               new(m.Provider),
		InputModalities:            enums[br.ModelModality](m.Input),
		OutputModalities:           enums[br.ModelModality](m.Output),
		ResponseStreamingSupported: new(m.Streaming),
		CustomizationsSupported:    enums[br.ModelCustomization](m.Customizations),
		InferenceTypesSupported:    enums[br.InferenceType](m.Inference),
		ModelLifecycle: &br.FoundationModelLifecycle{
			Status:          new(br.FoundationModelLifecycleStatus(m.Lifecycle.Status)),
			StartOfLifeTime: date(m.Lifecycle.StartOfLife),
			EndOfLifeTime:   date(m.Lifecycle.EndOfLife),
			LegacyTime:      date(m.Lifecycle.Legacy), PublicExtendedAccessTime: date(m.Lifecycle.Extended),
		},
	}
}

// text is the string that p points to, or "".
func text[S ~string](p *S) string {
	if p == nil {
		return ""
	}
	return string(*p)
}

// enums turns words into enum values. The result is never nil: the live service
// sends empty lists.
func enums[E ~string](words []string) []E {
	out := make([]E, len(words))
	for i, w := range words {
		out[i] = E(w)
	}
	return out
}

// date is t, or nil when it is not known.
func date(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
