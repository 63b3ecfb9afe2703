package engine

import (
	"context"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Ranker is what an Engine that runs weights of mode Rank also is. Errors are
// those of Engine; ValidationException when the query and a document are too long
// for the weights together.
type Ranker interface {
	// Rank scores every document of r against its query, 0 to 1, in their order.
	Rank(ctx context.Context, t Target, r *llm.RankRequest) (*llm.RankResponse, error)
}

// Painter is what an Engine that runs weights of mode Image also is. Errors are
// those of Engine; ValidationException, which names the task, for what its server
// cannot do.
type Painter interface {
	// Picture makes r.Count pictures in r.Format. Their bytes may be in another
	// format or of another size than asked for, where the server knows no other:
	// the pipeline makes them fit.
	Picture(ctx context.Context, t Target, r *llm.PictureRequest) (*llm.PictureResponse, error)
}

// RankBy ranks by e, which may be no Ranker: then it is a ValidationException.
func RankBy(ctx context.Context, e Engine, t Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	if one, ok := e.(Ranker); ok {
		return one.Rank(ctx, t, r)
	}
	return nil, apierr.Validation("The engine of the model %q does not rank documents.", t.Weights)
}

// PictureBy makes pictures by e, which may be no Painter: then it is a
// ValidationException.
func PictureBy(ctx context.Context, e Engine, t Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	if one, ok := e.(Painter); ok {
		return one.Picture(ctx, t, r)
	}
	return nil, apierr.Validation("The engine of the model %q does not make pictures.", t.Weights)
}
