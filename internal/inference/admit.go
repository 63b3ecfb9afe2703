package inference

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// limit is how many tokens one request may use, input and output together.
func (s *Service) limit(w *catalog.Weights) int {
	if s.cfg.MaxContext > 0 && !w.Remote() && // whose memory is not ours
		(w.ContextTokens == 0 || s.cfg.MaxContext < w.ContextTokens) {
		return s.cfg.MaxContext
	}
	return w.ContextTokens
}

// admit checks that input and output fit the context, and sets MaxTokens.
func (s *Service) admit(ctx context.Context, c *call.Call, t engine.Target, w *catalog.Weights, p *prepared) error {
	r, limit, want := p.req, s.limit(w), w.DefaultTokens
	if r.Params.MaxTokens != nil {
		want = *r.Params.MaxTokens
	}
	// A token is at least one byte of text, so a short request needs no count.
	if bound, ok := inputBound(w, r, p.forces); ok && bound+want <= limit {
		r.Params.MaxTokens = &want
		return nil
	}
	c.Inferred = true
	if err := s.hopeless(ctx, t, limit, want, r); err != nil {
		return err
	}
	input, err := s.cfg.Engine.Count(ctx, t, r)
	if err != nil {
		return err
	}
	if r.Params.MaxTokens == nil && input < limit { // our own default gives way
		want = min(want, limit-input)
	}
	if input+want > limit {
		return apierr.Validation("Input is too long for requested model. The input has %d tokens and the output limit is %d tokens; together they may be at most %d.", input, want, limit)
	}
	r.Params.MaxTokens = &want
	return nil
}

// hopeless refuses a text that cannot fit, whatever its tokens are. Counting
// costs time and memory in proportion to the text, outside the slots.
func (s *Service) hopeless(ctx context.Context, t engine.Target, limit, want int, r *llm.Request) error {
	info, err := s.cfg.Engine.Info(ctx, t)
	if err != nil {
		return err
	}
	if least := inputLeast(info, r); least > limit {
		return apierr.Validation("Input is too long for requested model. The input has at least %d tokens and the output limit is %d tokens; together they may be at most %d.", least, want, limit)
	}
	return nil
}

// These bounds are far above what any template of the catalogue's own weights
// adds. Weights that an operator brought tell the size of theirs.
const (
	templateTokens        = 256 // once per request, a built-in system text included
	templateTokensPerTurn = 16
)

// What a model behind an engine that forces choices itself adds at most: the
// instructions for tools, and what an image of our size is read as.
const (
	toolTokens  = 1024 // once per request with tools
	imageTokens = 4096
)

// inputBound is an upper bound of the input tokens of r; ok is false when there
// is none: a template may write tools and calls at any length, and what an image
// takes only the engine knows. Of an engine that forces choices itself both are
// known well enough: counting there may cost as much as a reply.
func inputBound(w *catalog.Weights, r *llm.Request, forces bool) (n int, ok bool) {
	if len(r.Tools) > 0 && !forces {
		return 0, false
	}
	n = max(templateTokens, w.TemplateBytes) + len(r.Raw)
	if len(r.Tools) > 0 {
		n += toolTokens
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		n += len(t.Name) + len(t.Description) + len(t.Schema) + templateTokensPerTurn
	}
	if r.Format != nil {
		n += len(r.Format.Schema)
	}
	for _, s := range r.System {
		n += len(s) + templateTokensPerTurn
	}
	for i := range r.Messages {
		n += templateTokensPerTurn
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			if b.Kind != llm.Text && b.Kind != llm.Reasoning {
				if !forces {
					return 0, false
				}
				n += blockBound(b)
			}
			n += len(b.Text)
		}
	}
	return n, true
}

// blockBound is an upper bound of what a block takes beside its own text.
func blockBound(b *llm.Block) int {
	n := 0
	switch {
	case b.Kind == llm.Image:
		n = imageTokens
	case b.Call != nil:
		n = templateTokensPerTurn + len(b.Call.ID) + len(b.Call.Name) + len(b.Call.Input)
	case b.Result != nil:
		n = templateTokensPerTurn + len(b.Result.CallID)
		for i := range b.Result.Content {
			n += len(b.Result.Content[i].Text) + blockBound(&b.Result.Content[i])
		}
	}
	return n
}

// inputLeast is a lower bound of the input tokens of r; 0 when the weights give
// none. White space around texts is left out, since templates trim it; so are
// thoughts, which they may leave out.
func inputLeast(info engine.Info, r *llm.Request) int {
	if info.TokenBytes < 1 || info.TokenInk < 1 {
		return 0
	}
	all, ink := 0, 0
	add := func(text string) {
		text = strings.TrimSpace(text)
		all += len(text)
		ink += len(text)
		for i := range len(text) {
			switch text[i] {
			case ' ', '\t', '\n', '\r':
				ink--
			}
		}
	}
	add(r.Raw)
	for _, s := range r.System {
		add(s)
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			switch {
			case b.Kind == llm.Text:
				add(b.Text)
			case b.Kind == llm.ToolCall && b.Call != nil:
				n := 0
				for _, c := range b.Call.Input {
					if c > ' ' {
						n++
					}
				}
				n /= 6 // written anew, "\u0041" is "A"
				all, ink = all+n, ink+n
			case b.Kind == llm.ToolResult && b.Result != nil:
				for k := range b.Result.Content {
					add(b.Result.Content[k].Text)
				}
			}
		}
	}
	return max(all/info.TokenBytes, ink/info.TokenInk)
}
