package ai21

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{
		New:  func() family.Family { return Family{Rand: strings.NewReader(strings.Repeat("outcrop", 100))} },
		Text: textOf, Calls: callsOf, Free: []string{"parameters"}, Update: *update,
	}
}

type native struct {
	Completions []struct {
		Data *struct {
			Text string `json:"text"`
		} `json:"data"`
	} `json:"completions"`
	Choices []struct {
		Message, Delta *struct {
			Content   *string `json:"content"`
			ToolCalls []struct {
				ID       string `json:"id"`
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
	} `json:"choices"`
}

// textOf takes the text out of a reply or a chunk.
func textOf(data []byte) (string, error) {
	var v native
	if err := json.Unmarshal(data, &v); err != nil {
		return "", err
	}
	if len(v.Completions) > 0 && v.Completions[0].Data != nil {
		return v.Completions[0].Data.Text, nil
	}
	if len(v.Choices) == 0 {
		return "", errors.New("no text")
	}
	m := v.Choices[0].Message
	if m == nil {
		m = v.Choices[0].Delta
	}
	if m == nil {
		return "", errors.New("neither message nor delta")
	}
	if m.Content == nil {
		return "", nil
	}
	return *m.Content, nil
}

// callsOf takes the tool calls out of a reply or a chunk.
func callsOf(data []byte) ([]llm.Call, error) {
	var v native
	if err := json.Unmarshal(data, &v); err != nil || len(v.Choices) == 0 {
		return nil, err
	}
	m := v.Choices[0].Message
	if m == nil {
		m = v.Choices[0].Delta
	}
	var out []llm.Call
	for _, c := range m.ToolCalls {
		out = append(out, llm.Call{ID: c.ID, Name: c.Function.Name, Input: []byte(c.Function.Arguments)})
	}
	return out, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

// TestRanges holds the ranges of the user guide.
func TestRanges(t *testing.T) {
	t.Parallel()
	familytest.Ranges(t, Family{}, family.Model{ID: "ai21.j2-ultra-v1"}, `{"prompt":"a"}`, map[string]familytest.Bounds{
		"maxTokens":              {Good: []string{"1", "8191"}, Bad: []string{"0", "8192", "1.5", "null"}},
		"temperature":            {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1", "null"}},
		"topP":                   {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1", "null"}},
		"numResults":             {Good: []string{"1", "16"}, Bad: []string{"0", "17"}},
		"stopSequences":          {Good: []string{"[]", `["—","THE END"]`}, Bad: []string{`[""]`, `"a"`, "null"}},
		"presencePenalty.scale":  {Good: []string{"0", "5"}, Bad: []string{"-1", "5.1"}},
		"countPenalty.scale":     {Good: []string{"0", "1"}, Bad: []string{"-1", "1.1"}},
		"frequencyPenalty.scale": {Good: []string{"0", "500"}, Bad: []string{"-1", "501"}},
		"frequencyPenalty":       {Good: []string{`{"scale":1,"applyToWhitespaces":true,"applyToPunctuations":false,"applyToNumbers":true,"applyToStopwords":true,"applyToEmojis":true}`, "null"}, Bad: []string{"{}", "1", `{"scale":1,"applyToAll":true}`}},
	})
	familytest.Ranges(t, Family{}, family.Model{ID: "ai21.jamba-1-5-mini-v1:0"}, `{"messages":[{"role":"user","content":"a"}]}`, map[string]familytest.Bounds{
		"max_tokens":        {Good: []string{"1", "4096"}, Bad: []string{"0", "4097"}},
		"temperature":       {Good: []string{"0", "2"}, Bad: []string{"-0.1", "2.1"}},
		"top_p":             {Good: []string{"0.01", "1"}, Bad: []string{"0", "1.1"}},
		"n":                 {Good: []string{"1", "16"}, Bad: []string{"0", "17"}},
		"stop":              {Good: []string{`"a"`, `["a","b"]`, "null"}, Bad: []string{`""`, `[""]`, "1"}},
		"frequency_penalty": {Good: []string{"-2", "2"}, Bad: []string{"-2.1", "2.1"}},
		"presence_penalty":  {Good: []string{"-2", "2"}, Bad: []string{"-2.1", "2.1"}},
	})
}

// TestTokens checks that the ranges of the tokens cover the text, in characters.
func TestTokens(t *testing.T) {
	t.Parallel()
	task, err := Family{}.Parse(family.Model{ID: "ai21.j2-mid-v1"}, []byte(`{"prompt":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	pieces := []llm.Piece{{Text: " né", Logprob: -0.5}, {Text: " 🪨"}, {Text: ""}, {Text: "\n", Logprob: math.Inf(-1)}}
	r := &llm.Response{Content: []llm.Block{{Kind: llm.Text, Text: " né 🪨\n"}}, Pieces: pieces, Reason: llm.EndTurn}
	data, err := task.(family.Text).Response(r)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Completions []struct {
			Data struct {
				Tokens []struct {
					GeneratedToken struct{ Token string }
					TextRange      struct{ Start, End int }
				}
			}
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	var got []string
	for _, tok := range v.Completions[0].Data.Tokens {
		got = append(got, tok.GeneratedToken.Token+"|"+string([]rune(" né 🪨\n")[tok.TextRange.Start:tok.TextRange.End]))
	}
	if s := strings.Join(got, ";"); s != "▁né| né;▁🪨| 🪨;|;\n|\n" {
		t.Errorf("tokens %q", s)
	}
}
