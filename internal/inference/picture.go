package inference

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/picture"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Canvas makes requests for pictures ready for an engine, and what it made ready
// for the caller. *picture.Canvas implements it.
type Canvas interface {
	Prepare(ctx context.Context, r *llm.PictureRequest) (*llm.PictureRequest, error)
	Finish(ctx context.Context, r *llm.PictureRequest, made [][]byte) ([][]byte, error)
}

// Picture makes pictures, in the format and size of r, and notes the facts in c.
// r is not changed.
//
// Errors: ValidationException for a picture of r that cannot be read, with its
// place, for a mask that is told in words, and for what the engine cannot do;
// ModelErrorException when the engine made something else than r asked for; and
// whatever the engine says. Weights that no engine runs are a ValidationException
// too, because the SDKs would try ModelNotReadyException again and again.
func (s *Service) Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	et := s.note(c, t)
	switch {
	case t.Weights.Mode != string(engine.Image):
		return nil, apierr.Validation("The model %s does not make pictures.", t.Model.ID)
	case !t.Weights.Remote(), s.cfg.Canvas == nil:
		return nil, laterEngine(t, "pictures")
	case r.MaskPrompt != "":
		return nil, apierr.Validation("maskPrompt: the model %s on this server cannot find what a mask in words means (task %s). Give the mask as an image.", t.Model.ID, r.Task)
	}
	ready, err := s.cfg.Canvas.Prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	c.Inferred = true
	start := s.cfg.Now()
	defer func() { c.Latency = s.cfg.Now().Sub(start) }()
	resp, err := engine.PictureBy(ctx, s.cfg.Engine, et, ready)
	if err != nil {
		return nil, err
	}
	if len(resp.Images) != r.Count || len(resp.Seeds) != r.Count {
		return nil, apierr.ModelError("The model made another number of pictures than it was asked for. Try again.")
	}
	out := &llm.PictureResponse{Seeds: resp.Seeds, Latency: resp.Latency}
	if out.Images, err = s.cfg.Canvas.Finish(ctx, ready, resp.Images); err != nil {
		if _, bad := errors.AsType[*picture.Error](err); bad {
			return nil, apierr.ModelError("The model did not answer with a picture. Try again.").WithCause(err)
		}
		return nil, err
	}
	return out, nil
}
