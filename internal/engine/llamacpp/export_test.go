package llamacpp

import (
	"context"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/llm"
)

// Sanitized returns the messages of r as the server gets them.
func (e *Engine) Sanitized(ctx context.Context, t engine.Target, r *llm.Request) []prompt.Message {
	m, err := e.of(ctx, t)
	if err != nil {
		return nil
	}
	c := m.facts.Load().converse(t.Mode, r)
	return c.chat.Messages
}

// Input is input for tests.
type Input = input

// Prepared returns what decides the input of r as the server gets it. The
// weights must have been loaded.
func (e *Engine) Prepared(ctx context.Context, t engine.Target, r *llm.Request) Input {
	m, err := e.of(ctx, t)
	if err != nil {
		return Input{}
	}
	return m.facts.Load().converse(t.Mode, r).chat
}

// Estimate returns the memory that a load of t is admitted with.
func (e *Engine) Estimate(ctx context.Context, t engine.Target) int64 {
	m, err := e.of(ctx, t)
	if err != nil {
		return 0
	}
	return m.facts.Load().bytes
}
