package llamacpp_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/llm"
)

// Conversations that take turns keep their slots, and a second question under a
// long text finds it read.
func TestSlotAffinity(t *testing.T) {
	t.Parallel()
	e, _, _ := startReal(t) // two slots
	long := strings.Repeat("The granite of the ridge is older than the basalt below it. ", 40)
	ask := func(scope string, r *llm.Request) *llm.Response {
		t.Helper()
		resp, err := llm.Collect(e.Generate(t.Context(), chatTarget(scope), r))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	under := func(text, question string) *llm.Request {
		r := enginetest.Ask(question, 1)
		r.System = []string{text}
		return r
	}
	first := ask("a", under(long, "What is old?"))
	second := ask("a", under(long, "And what is young, do you think?"))
	if u := second.Usage; u.ReusedTokens < u.InputTokens-30 {
		t.Errorf("the second question reuses %d of %d tokens", u.ReusedTokens, u.InputTokens)
	}
	ratio := float64(second.FirstToken) / float64(first.FirstToken)
	t.Logf("%d tokens of prefix: first token after %s, then %s (ratio %.3f)", second.Usage.ReusedTokens, first.FirstToken, second.FirstToken, ratio)
	if ratio > 0.25 {
		t.Errorf("the second question waits %.2f of the first for its first token", ratio)
	}
	if u := ask("b", under(long, "What is old?")).Usage; u.ReusedTokens != 0 {
		t.Errorf("another account reuses %d tokens", u.ReusedTokens)
	}

	// Two conversations of one account, by turns.
	talks := map[string]*llm.Request{"one": enginetest.Ask(long[:900]+"Speak of ice.", 4), "two": enginetest.Ask(long[1200:]+"Speak of fire.", 4)}
	for round := range 3 {
		for name, r := range talks {
			resp := ask("c", r)
			if u := resp.Usage; round > 0 && u.ReusedTokens < u.InputTokens-60 {
				t.Errorf("round %d of conversation %s reuses %d of %d tokens", round, name, u.ReusedTokens, u.InputTokens)
			}
			r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: resp.Content}, enginetest.Ask("Go on.", 1).Messages[0])
		}
	}
}
