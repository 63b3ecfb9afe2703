// Package route is the engine of engines: it sends each request to the one that
// runs its weights.
package route

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Engine implements engine.Engine by others.
type Engine struct {
	byWeights map[string]engine.Engine
	rest      engine.Engine
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reporter = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
	_ engine.Ranker   = (*Engine)(nil)
	_ engine.Painter  = (*Engine)(nil)
)

// New returns an Engine that sends requests for the weights that byWeights names
// to their engines, and all others to rest. The maps and engines belong to it: its
// Run runs them.
func New(rest engine.Engine, byWeights map[string]engine.Engine) *Engine {
	return &Engine{byWeights: byWeights, rest: rest}
}

func (e *Engine) of(t engine.Target) engine.Engine {
	if one, ok := e.byWeights[t.Weights]; ok {
		return one
	}
	return e.rest
}

// Generate implements engine.Engine.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return e.of(t).Generate(ctx, t, r)
}

// Count implements engine.Engine.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	return e.of(t).Count(ctx, t, r)
}

// Embed implements engine.Engine.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	return e.of(t).Embed(ctx, t, r)
}

// Rank implements engine.Ranker.
func (e *Engine) Rank(ctx context.Context, t engine.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	return engine.RankBy(ctx, e.of(t), t, r)
}

// Picture implements engine.Painter.
func (e *Engine) Picture(ctx context.Context, t engine.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	return engine.PictureBy(ctx, e.of(t), t, r)
}

// Info implements engine.Engine.
func (e *Engine) Info(ctx context.Context, t engine.Target) (engine.Info, error) {
	return e.of(t).Info(ctx, t)
}

// Reserve implements engine.Reserver by the engine of the weights.
//
// Error: ServiceQuotaExceededException when that one cannot set anything aside.
func (e *Engine) Reserve(ctx context.Context, t engine.Target, holder string, n int) error {
	if r, ok := e.of(t).(engine.Reserver); ok {
		return r.Reserve(ctx, t, holder, n)
	}
	if n == 0 {
		return nil
	}
	return apierr.QuotaExceeded("The model's server cannot set throughput aside.")
}

// engines are all engines, each once.
func (e *Engine) engines() []engine.Engine {
	all := []engine.Engine{e.rest}
	for _, one := range e.byWeights {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// Processes implements engine.Reporter with what those engines tell that have
// processes.
func (e *Engine) Processes() []engine.Process {
	var all []engine.Process
	for _, one := range e.engines() {
		if r, ok := one.(engine.Reporter); ok {
			all = append(all, r.Processes()...)
		}
	}
	slices.SortStableFunc(all, func(a, b engine.Process) int {
		return cmp.Or(strings.Compare(a.Weights, b.Weights), strings.Compare(string(a.Mode), string(b.Mode)))
	})
	return all
}

// Lines implements engine.Liner with what those engines tell that have lines.
func (e *Engine) Lines() []engine.Line {
	var all []engine.Line
	for _, one := range e.engines() {
		if l, ok := one.(engine.Liner); ok {
			all = append(all, l.Lines()...)
		}
	}
	return all
}

// Run runs every engine once. When one fails, the others are stopped too; all
// have cleaned up when it returns.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := e.engines()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() {
			if errs[i] = one.Run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
