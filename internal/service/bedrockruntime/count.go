package bedrockruntime

import (
	"context"
	"math"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// counted names what a caller of CountTokens must be allowed to use: the
// foundation model, whatever the id went through; and before it another account's
// profile, of which nobody may learn anything who may not use it.
func (s *Service) counted(ctx context.Context, c *call.Call, in *rt.CountTokensInput) ([]string, error) {
	t, err := s.find(ctx, c, in.ModelId)
	if err != nil {
		return unknown(c, in.ModelId, err)
	}
	if a, err := arn.Parse(t.ProfileARN); err == nil && a.Account != c.Principal.Account {
		return []string{t.ProfileARN, t.ModelARN}, nil
	}
	service.SayModel(c, *in.ModelId, t.ModelARN)
	return []string{t.ModelARN}, nil
}

// countTokens counts the input of a Converse or InvokeModel request: what
// inputTokens, cacheReadInputTokens and cacheWriteInputTokens of the same request
// would be together. No inference runs and none is metered.
//
// Errors: ValidationException for what the request itself would be refused for,
// and for models that read no text of a conversation or a completion.
func (s *Service) countTokens(ctx context.Context, c *call.Call, in *rt.CountTokensInput) (*rt.CountTokensOutput, error) {
	t, err := s.resolve(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if t.Router != nil { // its models may count differently
		return nil, notCounted()
	}
	r, err := s.countable(t, in.Input)
	if err != nil {
		return nil, err
	}
	n, err := s.cfg.Inference.Count(ctx, c, t, r)
	if err != nil {
		return nil, err
	}
	return &rt.CountTokensOutput{InputTokens: new(int32(max(0, min(n, math.MaxInt32))))}, nil // #nosec G115 -- clamped
}

func (s *Service) countable(t *catalog.Target, in *rt.CountTokensInputContent) (*llm.Request, error) {
	switch {
	case in == nil:
	case in.Converse != nil:
		if !converses(t) {
			return nil, notCounted()
		}
		return s.cfg.Converse.ConverseRequest(s.model(t), &rt.ConverseInput{
			Messages: in.Converse.Messages, System: in.Converse.System, ToolConfig: in.Converse.ToolConfig,
			AdditionalModelRequestFields: in.Converse.AdditionalModelRequestFields,
		})
	case in.InvokeModel != nil:
		f, err := s.family(t)
		if err != nil {
			return nil, err
		}
		task, err := f.Parse(s.model(t), in.InvokeModel.Body)
		if err != nil {
			return nil, err
		}
		text, ok := task.(family.Text)
		if !ok {
			return nil, notCounted()
		}
		return text.Request(), nil
	}
	return nil, apierr.Validation("The CountTokensInput object at input must set one of the following keys: invokeModel, converse.")
}

func notCounted() error {
	return apierr.Validation("The provided model doesn't support counting tokens.")
}
