package bedrockruntime

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Access knows which models an account may use. agreement.Service implements it.
type Access interface {
	// Check fails with AccessDeniedException when the account of the call has no
	// access to the model.
	Check(c *call.Call, t *catalog.Target) error
}

// find resolves the model that a caller named.
func (s *Service) find(ctx context.Context, c *call.Call, id *string) (*catalog.Target, error) {
	if id == nil {
		return nil, apierr.Validation("The provided model identifier is invalid.")
	}
	t, err := s.cfg.Catalog.Resolve(ctx, *id, c.Region, c.Principal.Account)
	if err != nil {
		return nil, err
	}
	service.Note(c, *id, t)
	return t, nil
}

// resolve is find for a call that is authorised: the account needs access to the
// model too.
func (s *Service) resolve(ctx context.Context, c *call.Call, id *string) (*catalog.Target, error) {
	t, err := s.find(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Access.Check(c, t); err != nil {
		return nil, err
	}
	return t, nil
}

// use names what a call to a model acts on.
func (s *Service) use(ctx context.Context, c *call.Call, op *awsapi.Operation, id *string) ([]string, error) {
	t, err := s.find(ctx, c, id)
	if err != nil {
		return unknown(c, id, err)
	}
	return service.UseModel(c, op.Action, *id, t), nil
}

// unknown is what to decide over when an id led nowhere, or why that is to be told
// at once.
func unknown(c *call.Call, id *string, err error) ([]string, error) {
	if id != nil {
		if resources, ok := service.Unresolved(c, *id, err); ok {
			return resources, nil
		}
	}
	return nil, err
}

func (s *Service) invokeResources(ctx context.Context, c *call.Call, in *rt.InvokeModelInput) ([]string, error) {
	service.UseGuardrail(c, in.GuardrailIdentifier, in.GuardrailVersion)
	service.UseTier(c, word(in.ServiceTier))
	return s.use(ctx, c, rt.OpInvokeModel.Operation, in.ModelId)
}

func (s *Service) invokeStreamResources(ctx context.Context, c *call.Call, in *rt.InvokeModelWithResponseStreamInput) ([]string, error) {
	service.UseGuardrail(c, in.GuardrailIdentifier, in.GuardrailVersion)
	service.UseTier(c, word(in.ServiceTier))
	return s.use(ctx, c, rt.OpInvokeModelWithResponseStream.Operation, in.ModelId)
}

func (s *Service) converseResources(ctx context.Context, c *call.Call, in *rt.ConverseInput) ([]string, error) {
	if g := in.GuardrailConfig; g != nil {
		service.UseGuardrail(c, g.GuardrailIdentifier, g.GuardrailVersion)
	}
	if t := in.ServiceTier; t != nil {
		service.UseTier(c, word(t.Type))
	}
	c.Metadata = in.RequestMetadata
	return s.use(ctx, c, rt.OpConverse.Operation, in.ModelId)
}

func (s *Service) converseStreamResources(ctx context.Context, c *call.Call, in *rt.ConverseStreamInput) ([]string, error) {
	if g := in.GuardrailConfig; g != nil {
		service.UseGuardrail(c, g.GuardrailIdentifier, g.GuardrailVersion)
	}
	if t := in.ServiceTier; t != nil {
		service.UseTier(c, word(t.Type))
	}
	c.Metadata = in.RequestMetadata
	return s.use(ctx, c, rt.OpConverseStream.Operation, in.ModelId)
}

func (s *Service) bidirectionalResources(ctx context.Context, c *call.Call, in *rt.InvokeModelWithBidirectionalStreamInput) ([]string, error) {
	return s.use(ctx, c, rt.OpInvokeModelWithBidirectionalStream.Operation, in.ModelId)
}

// word is the string that p points to, or "".
func word[S ~string](p *S) string {
	if p == nil {
		return ""
	}
	return string(*p)
}
