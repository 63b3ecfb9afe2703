package cache_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

const profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghijkl"

// meaning makes vectors whose cosine is that of the sets of words of two texts.
func meaning(_ context.Context, _ *call.Call, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	out := &llm.EmbedResponse{}
	for _, text := range r.Texts {
		v := make([]float32, 64)
		var square float64
		for w := range strings.FieldsSeq(strings.ToLower(text)) {
			h := 0
			for _, c := range w {
				h = (h*31 + int(c)) % len(v)
			}
			v[h]++
		}
		for _, x := range v {
			square += float64(x) * float64(x)
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(square))
		}
		out.Vectors, out.Tokens = append(out.Vectors, v), append(out.Tokens, 1)
	}
	return out, nil
}

// semantic is a gate whose profile answers questions that are near enough.
func semantic(t *testing.T, m *model, threshold string, edit func(*cache.Config)) *cache.Gate {
	t.Helper()
	if m.embed == nil {
		m.embed = meaning
	}
	return newGate(t, m, func(cfg *cache.Config) {
		cfg.Responses.Accounts = nil
		cfg.Semantic = cache.Semantic{
			Accounts: cache.Accounts{"*"}, Weights: catalog.Weights{ID: "e", Mode: "embed", Dimensions: 64},
			Tags: func(arn string) map[string]string {
				if arn == profile {
					return map[string]string{cache.Tag: threshold}
				}
				return nil
			},
		}
		if edit != nil {
			edit(cfg)
		}
	})
}

// through is a target behind the profile.
func through() *catalog.Target {
	t := target()
	t.ProfileARN = profile
	return t
}

func TestSemantic(t *testing.T) {
	t.Parallel()
	const first = "what is the capital city of france please"
	for name, tc := range map[string]struct {
		threshold string
		edit      func(c *call.Call, to *catalog.Target, r *llm.Request) // of the second call
		text      string                                                 // of the second call; "" means first
		hit       bool
	}{
		"the same":            {"0.9", nil, "", true},
		"near":                {"0.9", nil, "What is the capital city of France", true},
		"near, not enough":    {"0.99", nil, "what is the capital city of france", false},
		"far":                 {"0.8", nil, "how do i bake bread", false},
		"another number":      {"0.8", nil, first + " 2", false},
		"no threshold":        {"", nil, "", false},
		"a threshold too low": {"0.5", nil, "", false},
		"not a number":        {"NaN", nil, "", false},
		"another account":     {"0.8", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.Principal.Account = other }, "", false},
		"another region":      {"0.8", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.Region = "us-west-2" }, "", false},
		"another system text": {"0.8", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.System = []string{"Lie."} }, "", false},
		"another temperature": {"0.8", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.Params.Temperature = new(0.5) }, "", false},
		"another history": {"0.8", func(_ *call.Call, _ *catalog.Target, r *llm.Request) {
			r.Messages = append([]llm.Message{{Role: llm.User}, {Role: llm.Assistant}}, r.Messages...)
		}, "", false},
		"no profile":   {"0.8", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.ProfileARN = "" }, "", false},
		"off":          {"0.8", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.CacheAsk = "off" }, "", false},
		"refresh":      {"0.8", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.CacheAsk = "refresh" }, "", false},
		"a long text":  {"0.8", nil, first + strings.Repeat(" ", 5000), false},
		"ends in none": {"0.8", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.Messages[0].Role = llm.Assistant }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{}
			g := semantic(t, m, tc.threshold, nil)
			if got := say(t, g, newCall(account), through(), asks(first)); got != "reply 1" {
				t.Fatalf("%q", got)
			}
			c, to, r := newCall(account), through(), asks(first)
			if tc.text != "" {
				r.Messages[0].Content[0].Text = tc.text
			}
			if tc.edit != nil {
				tc.edit(c, to, r)
			}
			got := say(t, g, c, to, r)
			if hit := got == "reply 1"; hit != tc.hit || hit != (c.Cache == call.CacheSemanticHit) || hit != (c.Similarity > 0) {
				t.Errorf("%q, %q, similarity %g", got, c.Cache, c.Similarity)
			}
			if tc.hit && (c.Usage.InputTokens != 7 || c.ServedBy != "w" || c.Similarity > 1) {
				t.Errorf("the call tells %+v", c)
			}
		})
	}
}

// TestSemanticNearest: of several questions the nearest one answers; exact replies
// come first where they are kept.
func TestSemanticNearest(t *testing.T) {
	t.Parallel()
	m := &model{}
	g := semantic(t, m, "0.8", nil)
	for _, text := range []string{"a b c d e f", "a b c d e g"} {
		c := newCall(account)
		c.CacheAsk = "refresh"
		say(t, g, c, through(), asks(text))
	}
	c := newCall(account)
	if got := say(t, g, c, through(), asks("a b c d g e")); got != "reply 2" || c.Similarity != 1 {
		t.Errorf("%q, similarity %g", got, c.Similarity)
	}
	if s := g.Stats(); s.SemanticHits != 1 || s.Questions != 2 {
		t.Errorf("stats %+v", s)
	}

	m = &model{}
	g = semantic(t, m, "0.8", func(cfg *cache.Config) { cfg.Responses.Accounts = cache.Accounts{"*"} })
	for _, want := range []string{call.CacheMiss, call.CacheHit} {
		c := newCall(account)
		if say(t, g, c, through(), asks("a b c d e f")); c.Cache != want {
			t.Errorf("%q, want %q", c.Cache, want)
		}
	}
	if n := len(m.batches()); n != 1 {
		t.Errorf("%d questions were embedded, want one", n)
	}
}

// TestSemanticEnds: questions have an end, and there is room for so many.
func TestSemanticEnds(t *testing.T) {
	t.Parallel()
	now := newClock()
	m := &model{}
	g := semantic(t, m, "0.8", func(cfg *cache.Config) {
		cfg.Now, cfg.Semantic.TTL, cfg.Semantic.Questions = now.Now, time.Minute, 2
		cfg.Store = cache.NewMemory(0, func() time.Time { return newClock().Now() }) // keeps for ever
	})
	ask := func(text string) string { return say(t, g, newCall(account), through(), asks(text)) }
	ask("one two three")
	if got := ask("one two three"); got != "reply 1" {
		t.Errorf("%q", got)
	}
	now.Add(2 * time.Minute)
	if got := ask("one two three"); got != "reply 2" {
		t.Errorf("%q", got)
	}
	ask("four five six")
	ask("seven eight nine")
	if got := g.Stats().Questions; got != 2 {
		t.Errorf("%d questions are held", got)
	}
	if got := ask("one two three"); got != "reply 5" {
		t.Errorf("%q", got)
	}
}

// TestSemanticFails: without vectors, and without the reply that a question points
// to, calls go on.
func TestSemanticFails(t *testing.T) {
	t.Parallel()
	m := &model{embed: func(context.Context, *call.Call, *llm.EmbedRequest) (*llm.EmbedResponse, error) { return nil, errModel }}
	g := semantic(t, m, "0.8", nil)
	for range 2 {
		c := newCall(account)
		if say(t, g, c, through(), asks("hello")); c.Cache != call.CacheMiss || c.Usage.InputTokens != 7 {
			t.Errorf("%+v", c)
		}
	}
	if g.Stats().Failures != 2 || m.count() != 2 {
		t.Errorf("stats %+v", g.Stats())
	}
	m = &model{}
	g = semantic(t, m, "0.8", func(cfg *cache.Config) { cfg.Store = forgetful{} })
	for range 2 {
		say(t, g, newCall(account), through(), asks("hello"))
	}
	if m.count() != 2 || g.Stats().Questions != 1 {
		t.Errorf("%d generations, stats %+v", m.count(), g.Stats())
	}
}

// forgetful is a store that keeps nothing.
type forgetful struct{}

func (forgetful) Get(context.Context, cache.Key) ([]byte, bool, error)        { return nil, false, nil }
func (forgetful) Put(context.Context, cache.Key, []byte, time.Duration) error { return nil }

// TestSemanticShares: a generation under way is joined before questions are compared.
func TestSemanticShares(t *testing.T) {
	t.Parallel()
	m := &model{}
	g := semantic(t, m, "0.8", func(cfg *cache.Config) { cfg.Coalesce = cache.Accounts{"*"} })
	for _, want := range []string{call.CacheMiss, call.CacheSemanticHit} {
		c := newCall(account)
		if got := say(t, g, c, through(), asks("one two three")); got != "reply 1" || c.Cache != want {
			t.Errorf("%q, %q, want %q", got, c.Cache, want)
		}
	}
}
