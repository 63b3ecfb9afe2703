package mistral

import (
	"encoding/json"
	"errors"
	"flag"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{
		New: func() family.Family { return Family{} }, Text: textOf, Calls: callsOf,
		Free: []string{"parameters"}, Update: *update,
	}
}

type native struct {
	Outputs []struct {
		Text *string `json:"text"`
	} `json:"outputs"`
	Choices []struct {
		Message *struct {
			Content   *string `json:"content"`
			ToolCalls []struct {
				ID       string `json:"id"`
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		} `json:"message"`
	} `json:"choices"`
}

func parse(data []byte) (native, error) {
	var v native
	err := json.Unmarshal(data, &v)
	return v, err
}

// textOf takes the text out of a reply or a chunk.
func textOf(data []byte) (string, error) {
	v, err := parse(data)
	switch {
	case err != nil:
		return "", err
	case len(v.Outputs) == 1 && v.Outputs[0].Text != nil:
		return *v.Outputs[0].Text, nil
	case len(v.Choices) == 1 && v.Choices[0].Message != nil && v.Choices[0].Message.Content != nil:
		return *v.Choices[0].Message.Content, nil
	}
	return "", errors.New("no text")
}

// callsOf takes the tool calls out of a reply or a chunk.
func callsOf(data []byte) ([]llm.Call, error) {
	v, err := parse(data)
	if err != nil || len(v.Choices) == 0 {
		return nil, err
	}
	var out []llm.Call
	for _, c := range v.Choices[0].Message.ToolCalls {
		out = append(out, llm.Call{ID: c.ID, Name: c.Function.Name, Input: []byte(c.Function.Arguments)})
	}
	return out, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

// TestRanges holds the ranges of the user guide, which differ by model.
func TestRanges(t *testing.T) {
	t.Parallel()
	for id, most := range map[string]string{
		"mistral.mistral-7b-instruct-v0:2":   "8192",
		"mistral.mixtral-8x7b-instruct-v0:1": "4096",
		"mistral.mistral-large-2402-v1:0":    "8192",
		"mistral.mistral-small-2402-v1:0":    "8192",
	} {
		keys := map[string]familytest.Bounds{
			"max_tokens":  {Good: []string{"1", most}, Bad: []string{"0", most + "0", "1.5", "null"}},
			"temperature": {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1", "null"}},
			"top_p":       {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1", "null"}},
			"top_k":       {Good: []string{"1", "200"}, Bad: []string{"0", "201", "1.5"}},
			"stop":        {Good: []string{"[]", `["1","2","3","4","5","6","7","8","9","10"]`}, Bad: []string{`["1","2","3","4","5","6","7","8","9","10","11"]`, `[""]`, `"a"`}},
		}
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"prompt":"a"}`, keys)
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"messages":[{"role":"user","content":"a"}]}`, keys)
	}
}

// TestDefaults holds the defaults of the user guide, which differ by model.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]defaults{
		"mistral.mistral-7b-instruct-v0:2":   {512, 8192, 0.5, 0.9, new(50)},
		"mistral.mixtral-8x7b-instruct-v0:1": {512, 4096, 0.5, 0.9, new(50)},
		"mistral.mistral-large-2402-v1:0":    {0, 8192, 0.7, 1, nil},
		"mistral.mistral-large-2407-v1:0":    {0, 8192, 0.7, 1, nil},
	} {
		task, err := Family{}.Parse(family.Model{ID: id}, []byte(`{"prompt":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		p := task.(family.Text).Request().Params
		if *chat.Or(p.MaxTokens, 0) != want.tokens || *p.Temperature != want.temperature || *p.TopP != want.topP || (p.TopK == nil) != (want.topK == nil) {
			t.Errorf("%s: %+v", id, p)
		}
	}
}
