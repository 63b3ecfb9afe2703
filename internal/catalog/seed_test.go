package catalog_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
)

// The prices of the seed document, US dollars per 1,000,000 tokens.
func TestSeedPrices(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	for id, want := range map[string]catalog.Price{
		"anthropic.claude-instant-v1": {Input: 0.80, Output: 2.40},
		"anthropic.claude-v2":         {Input: 8.00, Output: 24.00},
		"meta.llama2-70b-chat-v1":     {Input: 0.65, Output: 2.75},
		"cohere.command-text-v14":     {Input: 1.50, Output: 2.00},
	} {
		got, err := c.Resolve(t.Context(), id, "us-east-1", "111122223333")
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if p := got.Model.Price; math.Abs(p.Input-want.Input) > 1e-9 || math.Abs(p.Output-want.Output) > 1e-9 {
			t.Errorf("%s costs %+v, want %+v", id, p, want)
		}
	}
}

// A price is edited by naming it in a file; what the file leaves out stays.
func TestPriceIsEditable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	text := "models:\n  - id: anthropic.claude-v2\n    price: {input: 1, output: 2.5}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t, catalog.Options{StandIns: true, File: file})
	got, err := c.Resolve(t.Context(), "anthropic.claude-v2", "us-east-1", "111122223333")
	if err != nil {
		t.Fatal(err)
	}
	if got.Model.Price != (catalog.Price{Input: 1, Output: 2.5}) || got.Weights.ID != "smollm2-135m-instruct" || !got.Model.StandIn {
		t.Errorf("the edited model is %+v on %s", got.Model, got.Weights.ID)
	}
}

// The four providers of the seed document's tables, by the names that a filter
// is given.
func TestSeedProviders(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	count := map[string]int{}
	for _, m := range c.List(catalog.Filter{}) {
		count[m.Provider]++
	}
	for _, provider := range []string{"Amazon", "Anthropic", "AI21 Labs", "Cohere"} {
		if n := len(c.List(catalog.Filter{Provider: provider})); n == 0 || n != count[provider] {
			t.Errorf("%s: the filter gives %d models, the list has %d", provider, n, count[provider])
		}
	}
}
