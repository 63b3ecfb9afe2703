package openai

import "slices"

// SpecialTokens are what is kept out of the prompts for some weights, sorted. The
// server must have been asked for them.
func (e *Engine) SpecialTokens(weights string) []string {
	fa := e.upstreams[weights].facts.Load()
	if fa == nil {
		return nil
	}
	return slices.Sorted(slices.Values(fa.tokens))
}
