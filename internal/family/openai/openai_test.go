package openai

import (
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fixed() family.Family {
	return Family{
		Rand: strings.NewReader(strings.Repeat("outcrop", 100)),
		Now:  func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
}

func subject() familytest.Subject {
	return familytest.Subject{
		New: fixed, Text: textOf, Said: said, Calls: callsOf,
		Free: []string{"parameters", "schema", "metadata"}, Update: *update,
	}
}

type native struct {
	Choices []struct {
		Text    *string
		Message *message
		Delta   *message
	}
}

type message struct {
	Content   *string
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		ID       string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

func parse(data []byte) (native, *message, error) {
	var v native
	if err := json.Unmarshal(data, &v); err != nil {
		return v, nil, err
	}
	if v.Choices == nil {
		return v, nil, errors.New("no choices")
	}
	if len(v.Choices) == 0 {
		return v, &message{}, nil // the chunk with the usage
	}
	m := v.Choices[0].Message
	if m == nil {
		m = v.Choices[0].Delta
	}
	if m == nil {
		m = &message{Content: v.Choices[0].Text}
		if m.Content == nil {
			return v, nil, errors.New("neither message, delta nor text")
		}
	}
	return v, m, nil
}

// textOf takes thoughts and text out of a reply or a chunk, without tags.
func textOf(data []byte) (string, error) {
	_, m, err := parse(data)
	if err != nil {
		return "", err
	}
	text := m.Reasoning
	if m.Content != nil {
		text += tags.Replace(*m.Content)
	}
	return text, nil
}

var tags = strings.NewReplacer("<reasoning>", "", "</reasoning>", "", "<think>\n", "", "\n</think>\n\n", "")

func callsOf(data []byte) ([]llm.Call, error) {
	_, m, err := parse(data)
	if err != nil {
		return nil, err
	}
	var out []llm.Call
	for _, c := range m.ToolCalls {
		out = append(out, llm.Call{ID: c.ID, Name: c.Function.Name, Input: []byte(c.Function.Arguments)})
	}
	return out, nil
}

// said is what bodies of OpenAI's form tell of a reply: its thoughts, then its
// text.
func said(r *llm.Response) string {
	var thoughts string
	for _, b := range r.Content {
		if b.Kind == llm.Reasoning {
			thoughts += b.Text
		}
	}
	return thoughts + r.Text()
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

const least = `{"messages":[{"role":"user","content":"a"}]}`

// TestRanges holds the ranges of both bodies.
func TestRanges(t *testing.T) {
	t.Parallel()
	familytest.Ranges(t, Family{}, family.Model{ID: "openai.gpt-oss-20b-1:0", MaxOutput: 100}, least, map[string]familytest.Bounds{
		"max_tokens":            {Good: []string{"1", "100", "null"}, Bad: []string{"0", "101", "1.5"}},
		"max_completion_tokens": {Good: []string{"1", "100", "null"}, Bad: []string{"0", "101"}},
		"temperature":           {Good: []string{"0", "2", "null"}, Bad: []string{"-0.1", "2.1", `"1"`}},
		"top_p":                 {Good: []string{"0", "1", "null"}, Bad: []string{"-0.1", "1.1"}},
		"top_k":                 {Good: []string{"0", "500"}, Bad: []string{"-1", "501"}},
		"n":                     {Good: []string{"1", "16", "null"}, Bad: []string{"0", "17"}},
		"seed":                  {Good: []string{"-9007199254740992", "9007199254740992", "null"}, Bad: []string{"9007199254740993e1", "1.5"}},
		"stop":                  {Good: []string{`"a"`, `["a","—"]`, "null"}, Bad: []string{`""`, `[""]`, "1"}},
		"frequency_penalty":     {Good: []string{"-2", "2", "null"}, Bad: []string{"-2.1", "2.1"}},
		"presence_penalty":      {Good: []string{"-2", "2", "null"}, Bad: []string{"-2.1", "2.1"}},
		"reasoning_effort":      {Good: []string{`"low"`, `"medium"`, `"high"`, "null"}, Bad: []string{`"huge"`, "1"}},
		"top_logprobs":          {Good: []string{"0", "null"}, Bad: []string{"1", "-1"}},
		"logit_bias":            {Good: []string{"{}", "null"}, Bad: []string{`"a"`}},
		"parallel_tool_calls":   {Good: []string{"true", "false", "null"}, Bad: []string{"1"}},
		"response_format":       {Good: []string{`{"type":"text"}`, `{"type":"json_object"}`, `{"type":"json_schema","json_schema":{"name":"a","schema":{}}}`, "null"}, Bad: []string{`{"type":"xml"}`, "{}", `{"type":"json_schema"}`}},
	})
	familytest.Ranges(t, Family{}, family.Model{ID: "deepseek.r1-v1:0"}, `{"prompt":"a"}`, map[string]familytest.Bounds{
		"max_tokens":  {Good: []string{"1", "32768"}, Bad: []string{"0", "32769"}},
		"temperature": {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"top_p":       {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"stop":        {Good: []string{`["1","2","3","4","5","6","7","8","9","10"]`}, Bad: []string{`["1","2","3","4","5","6","7","8","9","10","11"]`, `[""]`}},
	})
}

// TestModel checks that the body's model is the path's.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"openai.gpt-oss-20b-1:0":    true,
		"us.openai.gpt-oss-20b-1:0": true,
		"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghijkl": true,
		"abcdefghijkl":            true,
		"openai.gpt-oss-120b-1:0": false,
		"anthropic.claude-v2":     false,
	} {
		_, err := Family{}.Parse(family.Model{ID: "openai.gpt-oss-20b-1:0"}, []byte(`{"model":"`+name+`","messages":[{"role":"user","content":"a"}]}`))
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDirect checks that a body of OpenAI's own API may name its model otherwise,
// and that its streams tell nothing of Bedrock's.
func TestDirect(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", `"stream_options":{"include_usage":true},`} {
		data := `{"model":"gpt-oss-20b","stream":true,` + options + `"messages":[{"role":"user","content":"a"}]}`
		task, err := fixed().Parse(family.Model{ID: "openai.gpt-oss-20b-1:0", Direct: true}, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		st, err := task.(family.Text).Stream()
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, ev := range []llm.Event{{Kind: llm.Start}, {Kind: llm.Delta, Text: "a"}, {Kind: llm.Stop, Reason: llm.EndTurn}, {Kind: llm.Done, Usage: llm.Usage{InputTokens: 3}}} {
			if err := st.Chunks(ev, func(c []byte) error { all.Write(c); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if s := all.String(); strings.Contains(s, "amazon") || !strings.Contains(s, `"model":"gpt-oss-20b"`) || strings.Contains(s, `"prompt_tokens":3`) != (options != "") {
			t.Errorf("chunks %s", s)
		}
	}
	if _, err := fixed().Parse(family.Model{ID: "deepseek.r1-v1:0", Direct: true}, []byte(`{"prompt":"a"}`)); err == nil || !strings.Contains(err.Error(), "required key [messages] not found") {
		t.Errorf("a prompt: %v", err)
	}
}

// TestHead checks what a route reads before it knows the model.
func TestHead(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]chat.Head{
		`{"model":"a","stream":true,"x":1}`: {Model: "a", Stream: true},
		`{"model":"a","stream":null}`:       {Model: "a"},
		`{"model":"a"}`:                     {Model: "a"},
	} {
		if got, err := chat.ReadHead([]byte(data)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", data, got, err)
		}
	}
	for data, want := range map[string]string{
		`{}`:                       "required key [model] not found",
		`{"model":1}`:              "#/model: expected type: String, found: Integer",
		`{"model":""}`:             "#/model: expected minLength: 1, actual: 0",
		`{"model":"a","stream":1}`: "#/stream: expected type: Boolean, found: Integer",
		`[]`:                       "expected type: JSONObject, found: JSONArray",
	} {
		if _, err := chat.ReadHead([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// TestChunks checks that every piece of text and of thoughts is a chunk of its
// own, that only the first has the role, and what the flags of streams do.
func TestChunks(t *testing.T) {
	t.Parallel()
	for data, ok := range map[string]bool{
		least: true,
		`{"stream":true,"messages":[{"role":"user","content":"a"}]}`:  true,
		`{"stream":null,"messages":[{"role":"user","content":"a"}]}`:  true,
		`{"stream":false,"messages":[{"role":"user","content":"a"}]}`: false,
		`{"n":2,"messages":[{"role":"user","content":"a"}]}`:          false,
	} {
		task, err := fixed().Parse(family.Model{ID: "qwen.qwen3-32b-v1:0"}, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		st, err := task.(family.Text).Stream()
		if (err == nil) != ok {
			t.Errorf("%s: %v", data, err)
		}
		if err != nil {
			continue
		}
		var chunks []string
		for _, ev := range []llm.Event{
			{Kind: llm.Start}, {Kind: llm.BlockStart, Block: llm.Reasoning}, {Kind: llm.Delta, Block: llm.Reasoning, Text: "h"},
			{Kind: llm.Delta, Block: llm.Reasoning, Text: "m"}, {Kind: llm.BlockStop}, {Kind: llm.BlockStart, Index: 1},
			{Kind: llm.Delta, Index: 1, Text: "a"}, {Kind: llm.Delta, Index: 1, Text: "b"}, {Kind: llm.BlockStop, Index: 1},
			{Kind: llm.Stop, Reason: llm.MaxTokens}, {Kind: llm.Done},
		} {
			if err := st.Chunks(ev, func(c []byte) error { chunks = append(chunks, string(c)); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if len(chunks) != 6 || strings.Count(strings.Join(chunks, ""), `"role"`) != 1 || !strings.Contains(chunks[5], `"finish_reason":"length"`) {
			t.Errorf("chunks %s", strings.Join(chunks, "\n"))
		}
	}
}
