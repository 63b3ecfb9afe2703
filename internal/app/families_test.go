package app_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// words are the words of a body for what all families can do. A dot goes into an
// object.
type words struct {
	prompt, temperature, topP, tokens, stop string
	fixed                                   string // the rest of the body
}

func messages(tokens, topP, stop, rest string) words {
	return words{"messages", "temperature", topP, tokens, stop, rest}
}

// bodies are the native bodies of one id of each kind.
func bodies() map[string]words {
	claude := `{"anthropic_version":"bedrock-2023-05-31"}`
	return map[string]words{
		"anthropic.claude-v2":                    {"prompt", "temperature", "top_p", "max_tokens_to_sample", "stop_sequences", "{}"},
		"anthropic.claude-3-haiku-20240307-v1:0": messages("max_tokens", "top_p", "stop_sequences", claude),
		"amazon.titan-text-express-v1":           {"inputText", "textGenerationConfig.temperature", "textGenerationConfig.topP", "textGenerationConfig.maxTokenCount", "textGenerationConfig.stopSequences", "{}"},
		"ai21.j2-mid-v1":                         {"prompt", "temperature", "topP", "maxTokens", "stopSequences", "{}"},
		"ai21.jamba-1-5-mini-v1:0":               messages("max_tokens", "top_p", "stop", "{}"),
		"cohere.command-text-v14":                {"prompt", "temperature", "p", "max_tokens", "stop_sequences", "{}"},
		"cohere.command-r-v1:0":                  {"message", "temperature", "p", "max_tokens", "stop_sequences", "{}"},
		"meta.llama2-70b-chat-v1":                {"prompt", "temperature", "top_p", "max_gen_len", "", "{}"}, // has no stop sequences at AWS either
		"meta.llama3-8b-instruct-v1:0":           {"prompt", "temperature", "top_p", "max_gen_len", "", "{}"},
		"mistral.mistral-7b-instruct-v0:2":       {"prompt", "temperature", "top_p", "max_tokens", "stop", "{}"},
		"mistral.mistral-large-2407-v1:0":        messages("max_tokens", "top_p", "stop", "{}"),
		"openai.gpt-oss-20b-1:0":                 messages("max_completion_tokens", "top_p", "stop", "{}"),
		"qwen.qwen3-32b-v1:0":                    messages("max_tokens", "top_p", "stop", "{}"),
		"deepseek.r1-v1:0":                       {"prompt", "temperature", "top_p", "max_tokens", "stop", "{}"},
		"huggingface.smollm2-135m-instruct-v1:0": messages("max_tokens", "top_p", "stop", "{}"),
	}
}

// build makes a body.
func (k words) build(t *testing.T, prompt string, temperature, topP float64, tokens int, stop []string) []byte {
	t.Helper()
	root := map[string]any{}
	if err := json.Unmarshal([]byte(k.fixed), &root); err != nil {
		t.Fatal(err)
	}
	set := func(path string, v any) {
		at := root
		head, last, nested := strings.Cut(path, ".")
		if nested {
			if at[head] == nil {
				at[head] = map[string]any{}
			}
			at, head = at[head].(map[string]any), last
		}
		if head != "" {
			at[head] = v
		}
	}
	if k.prompt == "messages" {
		set("messages", []any{map[string]any{"role": "user", "content": prompt}})
	} else {
		set(k.prompt, prompt)
	}
	set(k.temperature, temperature)
	set(k.topP, topP)
	set(k.tokens, tokens)
	set(k.stop, stop)
	b, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parse reads a body as InvokeModel does.
func parse(t *testing.T, id string, body []byte) (family.Task, error) {
	t.Helper()
	c, err := catalog.New(catalog.Options{StandIns: true})
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.Resolve(t.Context(), id, "us-east-1", "111122223333")
	if err != nil {
		t.Fatal(err)
	}
	f, ok := app.Families()[target.Model.Family]
	if !ok {
		t.Fatalf("%s: no family %s", id, target.Model.Family)
	}
	return f.Parse(family.Model{ID: target.Model.ID, MaxOutput: target.Model.MaxOutput, Dimensions: target.Model.Dimensions}, body)
}

// The four sets of parameters of the seed document mean the same in every
// family.
func TestSeedParameters(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]struct {
		temperature, topP float64
		tokens            int
		stop              []string
	}{
		"code":     {0.2, 0.8, 500, []string{"```", "//END"}},
		"creative": {0.8, 0.9, 1500, []string{"THE END"}},
		"data":     {0.1, 0.7, 800, []string{"—", "Summary:"}},
		"service":  {0.4, 0.8, 300, []string{"Thanks", "Best regards"}},
	} {
		for id, k := range bodies() {
			task, err := parse(t, id, k.build(t, "Hello", set.temperature, set.topP, set.tokens, set.stop))
			if err != nil {
				t.Errorf("%s: %s: %v", name, id, err)
				continue
			}
			p := task.(family.Text).Request().Params
			stop := set.stop
			if k.stop == "" {
				stop = nil
			}
			if *p.Temperature != set.temperature || *p.TopP != set.topP || *p.MaxTokens != set.tokens || !slices.Equal(p.Stop, stop) {
				t.Errorf("%s: %s: %v %v %v %q", name, id, *p.Temperature, *p.TopP, *p.MaxTokens, p.Stop)
			}
		}
	}
}

// A prompt of several lines, such as the seed document's structured one, comes to
// the model with all its line breaks.
func TestLineBreaksStay(t *testing.T) {
	t.Parallel()
	const prompt = "Context: You are a cloud architect.\n\nTask:\n- compare\r\n- decide\n\n\tFormat: table\nRole: be brief"
	for id, k := range bodies() {
		task, err := parse(t, id, k.build(t, prompt, 0.5, 0.5, 100, []string{"x"}))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		m := task.(family.Text).Request().Messages
		if len(m) != 1 || m[0].Role != llm.User || len(m[0].Content) != 1 || m[0].Content[0].Text != prompt {
			t.Errorf("%s: %+v", id, m)
		}
	}
}

// Every id of the catalogue has a family that reads bodies: an empty one is
// refused for what it lacks.
func TestEveryModelHasABody(t *testing.T) {
	t.Parallel()
	c, err := catalog.New(catalog.Options{StandIns: true})
	if err != nil {
		t.Fatal(err)
	}
	families := app.Families()
	seen := map[string]bool{}
	for _, m := range c.List(catalog.Filter{}) {
		f, ok := families[m.Family]
		if !ok {
			t.Errorf("%s: no family %s", m.ID, m.Family)
			continue
		}
		seen[m.Family] = true
		_, err := f.Parse(family.Model{ID: m.ID, MaxOutput: m.MaxOutput, Dimensions: m.Dimensions}, []byte("{}"))
		if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeValidation || !strings.Contains(e.Message, "required key [") {
			t.Errorf("%s: an empty body gives %v", m.ID, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if !seen[name] {
			t.Errorf("no model speaks %s", name)
		}
	}
}
