package inference

import (
	"context"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
)

// CacheMinimum is the shortest prefix, in tokens, that a cache point caches; a
// shorter one is read as if there were no cache point. Source: Bedrock user
// guide, "Prompt caching for faster model inference": 1,024 for most Claude
// models.
const CacheMinimum = 1024

// measureCache counts the tokens in front of the cache point: one more question
// to the engine, only where a cache point stands and the prefix may be long
// enough.
//
// What stands in front of a cache point is counted as a conversation of its own,
// so the template closes it and opens the reply. The tokens of one turn are taken
// off for that: the prefix is never told longer than the tokens which a second
// request has in common with the first.
func (s *Service) measureCache(ctx context.Context, t engine.Target, w *catalog.Weights, p *prepared) error {
	if p.whole.Cache == nil || p.whole.Raw != "" {
		return nil
	}
	if bound, ok := inputBound(w, p.req, p.forces); ok && bound < CacheMinimum {
		return nil
	}
	before := toolcall.Told(cutAt(p.whole, *p.whole.Cache), p.template)
	n, err := s.cfg.Engine.Count(ctx, t, before)
	if err != nil { // a template may not take a conversation that ends there; an engine that is gone tells so next
		return ctx.Err()
	}
	if n -= templateTokensPerTurn; n >= CacheMinimum {
		p.prefix = n
	}
	return nil
}

// cutAt is the part of r in front of a mark.
func cutAt(r *llm.Request, m llm.Mark) *llm.Request {
	cut := *r
	cut.Cache = nil
	cut.Messages = nil
	if n := min(m.Message, len(r.Messages)); n > 0 {
		cut.Messages = append(cut.Messages, r.Messages[:n]...)
	}
	if m.Message < len(r.Messages) && m.Block > 0 {
		last := r.Messages[m.Message]
		last.Content = last.Content[:min(m.Block, len(last.Content))]
		cut.Messages = append(cut.Messages, last)
	}
	if len(cut.Messages) == 0 { // templates want a turn
		cut.Messages = []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: ""}}}}
	}
	return &cut
}

// cached tells in u how the prefix was read. The engine may have reused less
// than all of it, or more: that is no business of the cache point.
func (p *prepared) cached(u *llm.Usage) {
	if p.prefix == 0 {
		return
	}
	prefix := min(p.prefix, u.InputTokens)
	u.CacheRead = min(u.ReusedTokens, prefix)
	u.CacheWrite = prefix - u.CacheRead
}
