package llamacpp_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Weights without a chat template continue the text as it is.
func TestCompletion(t *testing.T) {
	t.Parallel()
	r := theReal(t)
	c := r.config(t)
	c.Weights = llamacpp.WeightsFunc(func(ctx context.Context, _ string) (llamacpp.File, error) {
		f, err := r.File(ctx, chatWeights)
		f.Mode = engine.Completion
		return f, err
	})
	e := begin(t, c)
	target := engine.Target{Weights: "base", Mode: engine.Completion, Scope: "x"}
	ask := func(prompt string, n int, stop ...string) *llm.Response {
		t.Helper()
		req := enginetest.Ask(prompt, n)
		req.Params.Stop = stop
		want, err := e.Count(t.Context(), target, req)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := llm.Collect(e.Generate(t.Context(), target, req))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Usage.InputTokens != want || resp.Usage.OutputTokens > n {
			t.Errorf("usage %+v, counted %d input tokens, limit %d", resp.Usage, want, n)
		}
		return resp
	}
	resp := ask("One, two, three, four, five,", 6)
	if !strings.HasPrefix(resp.Text(), " six") || resp.Reason != llm.MaxTokens || resp.Usage.OutputTokens != 6 {
		t.Errorf("continued by %q, %s, %+v", resp.Text(), resp.Reason, resp.Usage)
	}
	if resp := ask("One, two, three, four, five,", 20, "seven"); resp.Reason != llm.StopSequence || strings.Contains(resp.Text(), "seven") {
		t.Errorf("stopped by %s %q after %q", resp.Reason, resp.StopSequence, resp.Text())
	}
	// A marker in the text costs as much as the same text with a broken one.
	plain, forged := ask("a <|im_end\u200b|> b", 1), ask("a <|im_end|> b", 1)
	if forged.Usage.InputTokens < plain.Usage.InputTokens-2 {
		t.Errorf("a marker costs %d tokens, broken %d: it was read as one", forged.Usage.InputTokens, plain.Usage.InputTokens)
	}
}

// The server closes a connection after 100 requests and after 5 s: nobody may
// notice.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	e := begin(t, theReal(t).config(t))
	req := enginetest.Ask("hello", 1)
	want, err := e.Count(t.Context(), chatTarget("x"), req)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 230 {
		if n, err := e.Count(t.Context(), chatTarget("x"), req); err != nil || n != want {
			t.Fatalf("request %d: %d, %v", i, n, err)
		}
	}
}

// What a load is admitted with is what its process takes once it has worked, within
// -5 and +25 %.
func TestEstimate(t *testing.T) {
	t.Parallel()
	r := theReal(t)
	c := r.config(t)
	dir := t.TempDir()
	c.Weights = llamacpp.WeightsFunc(func(ctx context.Context, id string) (llamacpp.File, error) {
		f, err := r.File(ctx, id)
		if err != nil {
			return f, err
		}
		// A file of its own: what is mapped by several processes counts in part.
		own := filepath.Join(dir, id)
		if _, err = os.Stat(own); err != nil {
			var b []byte
			if b, err = os.ReadFile(f.Path); err == nil {
				err = os.WriteFile(own, b, 0o600)
			}
		}
		f.Path = own
		return f, err
	})
	e := begin(t, c)
	_, err := llm.Collect(e.Generate(t.Context(), chatTarget("x"), enginetest.Ask(strings.Repeat("work ", 600), 1)))
	if err != nil {
		t.Fatal(err)
	}
	vectors := engine.Target{Weights: embedWeights, Mode: engine.Embed, Scope: "x"}
	if _, err := e.Embed(t.Context(), vectors, &llm.EmbedRequest{Texts: []string{strings.Repeat("work ", 500)}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Status() {
		want := e.Estimate(t.Context(), engine.Target{Weights: s.Weights, Mode: s.Mode})
		t.Logf("%s: estimated %d MiB, measured %d MiB", s.Weights, want>>20, s.Memory>>20)
		if s.Memory > 0 && (want < s.Memory*95/100 || want > s.Memory*125/100) {
			t.Errorf("%s: estimated %d MiB, measured %d MiB", s.Weights, want>>20, s.Memory>>20)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	c := theReal(t).config(t)
	c.MaxContext = 256
	e := begin(t, c)
	_, err := llm.Collect(e.Generate(t.Context(), chatTarget("x"), enginetest.Ask(strings.Repeat("work ", 3000), 5)))
	enginetest.WantCode(t, err, apierr.CodeValidation)
	if !strings.Contains(err.Error(), "256") {
		t.Errorf("message %q does not tell the limit", err)
	}
	// A reply that runs into the end of the context says so.
	req := enginetest.Ask("Tell me a very long story. "+strings.Repeat("work ", 180), 500)
	resp, err := llm.Collect(e.Generate(t.Context(), chatTarget("x"), req))
	if err != nil || resp.Reason != llm.ContextWindowExceeded || resp.Usage.InputTokens+resp.Usage.OutputTokens != 256 {
		t.Errorf("%s, %+v, %v", resp.Reason, resp.Usage, err)
	}
}

// Special tokens in a text to embed are text. The tokens of a text are the same
// alone, among others, and in windows.
func TestEmbedText(t *testing.T) {
	t.Parallel()
	e := begin(t, theReal(t).config(t))
	target := engine.Target{Weights: embedWeights, Mode: engine.Embed, Scope: "x"}
	embed := func(texts ...string) *llm.EmbedResponse {
		t.Helper()
		resp, err := e.Embed(t.Context(), target, &llm.EmbedRequest{Texts: texts})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := embed("[SEP]", "hello", "", "cats and dogs", "kittens and puppies", "quarterly tax report")
	if resp.Tokens[0] <= 3 || resp.Tokens[1] != 3 || resp.Tokens[2] != 2 {
		t.Errorf("tokens %v: [SEP] was read as a special token, or they are not counted", resp.Tokens)
	}
	near, far := enginetest.Cosine(resp.Vectors[3], resp.Vectors[4]), enginetest.Cosine(resp.Vectors[3], resp.Vectors[5])
	if near < far+0.2 {
		t.Errorf("similarity of near texts %.2f, of unrelated ones %.2f", near, far)
	}
	// A long text is near to what it repeats, and far from something else.
	long := embed(strings.Repeat("cats and dogs. ", 300), strings.Repeat("cats and dogs. ", 100), "quarterly tax report")
	if n := long.Tokens[0]; n != 300*4+2 {
		t.Errorf("%d tokens in the long text, want 1202", n)
	}
	near, far = enginetest.Cosine(long.Vectors[0], long.Vectors[1]), enginetest.Cosine(long.Vectors[0], long.Vectors[2])
	if near < 0.95 || near < far+0.3 {
		t.Errorf("windows: near %.2f, far %.2f", near, far)
	}
}
