package anthropic

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{
		New:       func() family.Family { return Family{Rand: strings.NewReader(strings.Repeat("outcrop", 100))} },
		Text:      func(native []byte) (string, error) { s, _, _, err := said(native); return s, err },
		Calls:     func(native []byte) ([]llm.Call, error) { _, c, _, err := said(native); return c, err },
		Reasoning: func(native []byte) (string, error) { _, _, s, err := said(native); return s, err },
		Free:      []string{"input_schema", "input", "schema", "metadata", "context_management", "input_examples"},
		Update:    *update,
	}
}

// said takes apart a reply or a chunk of either API.
func said(native []byte) (text string, calls []llm.Call, thoughts string, err error) {
	type block struct {
		Type     string          `json:"type"`
		Text     string          `json:"text"`
		Thinking string          `json:"thinking"`
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Input    json.RawMessage `json:"input"`
		Partial  string          `json:"partial_json"`
	}
	var v struct {
		Type       string  `json:"type"`
		Completion *string `json:"completion"`
		Content    []block `json:"content"`
		Start      *block  `json:"content_block"`
		Delta      block   `json:"delta"`
	}
	if err := json.Unmarshal(native, &v); err != nil {
		return "", nil, "", err
	}
	switch v.Type {
	case "completion":
		if v.Completion == nil {
			return "", nil, "", errors.New("no completion")
		}
		return *v.Completion, nil, "", nil
	case "message":
		for _, b := range v.Content {
			text += b.Text
			thoughts += b.Thinking
			if b.Type == "tool_use" {
				calls = append(calls, llm.Call{ID: b.ID, Name: b.Name, Input: b.Input})
			}
		}
		return text, calls, thoughts, nil
	case "content_block_start":
		if v.Start.Type == "tool_use" {
			calls = append(calls, llm.Call{ID: v.Start.ID, Name: v.Start.Name})
		}
		return "", calls, "", nil
	case "content_block_delta":
		if v.Delta.Type == "input_json_delta" {
			calls = append(calls, llm.Call{Input: []byte(v.Delta.Partial)})
		}
		return v.Delta.Text, calls, v.Delta.Thinking, nil
	case "message_start", "content_block_stop", "message_delta", "message_stop":
		return "", nil, "", nil
	}
	return "", nil, "", fmt.Errorf("unknown type %q", v.Type)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

func TestRanges(t *testing.T) {
	t.Parallel()
	old := family.Model{ID: "anthropic.claude-v2"}
	familytest.Ranges(t, Family{}, old, `{"prompt":"\n\nHuman: a\n\nAssistant:","max_tokens_to_sample":9}`, map[string]familytest.Bounds{
		"max_tokens_to_sample": {Good: []string{"1", "4096"}, Bad: []string{"-1", "4097", "1.5", `"9"`, "null"}},
		"temperature":          {Good: []string{"0", "1", "0.5"}, Bad: []string{"-0.1", "1.1", `"1"`}},
		"top_p":                {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.01"}},
		"top_k":                {Good: []string{"0", "500"}, Bad: []string{"-1", "501", "2.0"}},
	})
	const talk = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`
	for id, limit := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":    "4096",
		"anthropic.claude-3-5-sonnet-20241022-v2:0": "8192",
		"anthropic.claude-3-7-sonnet-20250219-v1:0": "128000",
		"anthropic.claude-v2:1":                     "4096",
	} {
		familytest.Ranges(t, Family{}, family.Model{ID: id}, talk, map[string]familytest.Bounds{
			"max_tokens":           {Good: []string{"1", limit}, Bad: []string{"0", limit + "0", `"9"`}},
			"temperature":          {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"top_p":                {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"top_k":                {Good: []string{"0", "500"}, Bad: []string{"-1", "501"}},
			"stop_sequences":       {Good: []string{"[]", `["a"]`}, Bad: []string{`"a"`, "{}"}},
			"anthropic_version":    {Good: []string{`"bedrock-2023-05-31"`}, Bad: []string{`"2023-06-01"`, "1"}},
			"metadata.user_id":     {Good: []string{`"a"`, "null"}, Bad: []string{"1", `"` + strings.Repeat("a", 257) + `"`}},
			"service_tier":         {Good: []string{`"auto"`, `"standard_only"`}, Bad: []string{`"fast"`}},
			"speed":                {Good: []string{`"standard"`, `"fast"`}, Bad: []string{`"slow"`}},
			"thinking.type":        {Good: []string{`"adaptive"`, `"disabled"`, `"between_tools"`}, Bad: []string{`"on"`}},
			"output_config.effort": {Good: []string{`"low"`, `"medium"`, `"high"`, `"xhigh"`, `"max"`, "null"}, Bad: []string{`"none"`}},
		})
	}
	open := family.Model{ID: "anthropic.claude-sonnet-4-5-20250929-v1:0"}
	familytest.Ranges(t, Family{}, open, talk, map[string]familytest.Bounds{"max_tokens": {Good: []string{"1000000"}, Bad: []string{"3000000000"}}})
	familytest.Ranges(t, Family{}, open,
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":5000,"messages":[{"role":"user","content":"a"}],"thinking":{"type":"enabled","budget_tokens":2000}}`,
		map[string]familytest.Bounds{
			"thinking.budget_tokens": {Good: []string{"1024", "4999"}, Bad: []string{"1023", "1024.5"}},
			"thinking.display":       {Good: []string{`"summarized"`, `"omitted"`, "null"}, Bad: []string{`"shown"`}},
		})
}

func TestModelName(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"anthropic.claude-v2":                            "claude-2.0",
		"anthropic.claude-v2:0:18k":                      "claude-2.0",
		"anthropic.claude-v2:1":                          "claude-2.1",
		"anthropic.claude-v2:1:200k":                     "claude-2.1",
		"anthropic.claude-instant-v1":                    "claude-instant-1.2",
		"anthropic.claude-3-sonnet-20240229-v1:0":        "claude-3-sonnet-20240229",
		"anthropic.claude-3-haiku-20240307-v1:0:48k":     "claude-3-haiku-20240307",
		"anthropic.claude-3-5-sonnet-20241022-v2:0":      "claude-3-5-sonnet-20241022",
		"anthropic.claude-opus-4-6-v1":                   "claude-opus-4-6",
		"anthropic.claude-sonnet-4-6":                    "claude-sonnet-4-6",
		"claude-local":                                   "claude-local",
		"anthropic.claude-haiku-4-5-20251001-v1:0":       "claude-haiku-4-5-20251001",
		"anthropic.claude-very-special-vintage-20240229": "claude-very-special-vintage-20240229",
	} {
		if got := modelName(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

// TestRedactedThoughts checks thoughts without text, which only a whole reply can
// hold.
func TestRedactedThoughts(t *testing.T) {
	t.Parallel()
	p, err := Family{}.Parse(family.Model{ID: "anthropic.claude-sonnet-4-5-20250929-v1:0"},
		[]byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":2000,"messages":[{"role":"user","content":"a"}],"thinking":{"type":"enabled","budget_tokens":1024}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.(family.Text).Response(&llm.Response{Content: []llm.Block{{Kind: llm.Reasoning, Redacted: []byte("b3BhcXVl")}}})
	if err != nil || !strings.Contains(string(got), `"content":[{"type":"redacted_thinking","data":"b3BhcXVl"}]`) {
		t.Errorf("%s, %v", got, err)
	}
}

// TestNamedIDs checks that a refusal names a few of many calls.
func TestNamedIDs(t *testing.T) {
	t.Parallel()
	var calls strings.Builder
	for i := range 100 {
		fmt.Fprintf(&calls, `,{"type":"tool_use","id":"call_%d","name":"t","input":{}}`, i)
	}
	_, err := Family{}.Parse(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0"},
		[]byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[`+
			calls.String()[1:]+`]},{"role":"user","content":"b"}]}`))
	if err == nil || !strings.Contains(err.Error(), "after: call_0, call_1, call_2, call_3, call_4. Each") {
		t.Error(err)
	}
}

func TestIDsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id, err := Family{}.newID()
		if err != nil {
			t.Fatal(err)
		}
		if len(id) != len(idPrefix)+idLength || !strings.HasPrefix(id, "msg_bdrk_") || seen[id] {
			t.Fatalf("bad or repeated id %q", id)
		}
		seen[id] = true
	}
}

// TestUnknownInputCount checks that the input tokens are told in the end when
// the engine did not know them at the start.
func TestUnknownInputCount(t *testing.T) {
	t.Parallel()
	p, err := Family{}.Parse(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0"},
		[]byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	st, err := p.(family.Text).Stream()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, ev := range []llm.Event{{Kind: llm.Start}, {Kind: llm.Stop, Reason: llm.EndTurn}, {Kind: llm.Done, Usage: llm.Usage{InputTokens: 7, OutputTokens: 2}}} {
		if err := st.Chunks(ev, func(c []byte) error { all.Write(c); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(all.String(), `"usage":{"input_tokens":7,"output_tokens":2}`) {
		t.Errorf("message_delta does not tell the input tokens: %s", all.String())
	}
}

func BenchmarkParseCompletion(b *testing.B) {
	data := []byte(`{"prompt":"\n\nHuman: Explain quantum computing in simple terms.\n\nAssistant:","max_tokens_to_sample":300,"temperature":0.7}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Family{}).Parse(family.Model{ID: "anthropic.claude-v2"}, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamChunk(b *testing.B) {
	p, err := Family{}.Parse(family.Model{ID: "anthropic.claude-v2"}, []byte(`{"prompt":"x","max_tokens_to_sample":300}`))
	if err != nil {
		b.Fatal(err)
	}
	st, err := p.(family.Text).Stream()
	if err != nil {
		b.Fatal(err)
	}
	emit := func([]byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := st.Chunks(llm.Event{Kind: llm.Delta, Text: " quantum"}, emit); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseManyCalls is a hostile body: its cost must grow as its length.
func BenchmarkParseManyCalls(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var calls, results strings.Builder
			for i := range n {
				fmt.Fprintf(&calls, `,{"type":"tool_use","id":"call_%d","name":"t","input":{}}`, i)
				fmt.Fprintf(&results, `,{"type":"tool_result","tool_use_id":"call_%d"}`, i)
			}
			data := []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[` +
				calls.String()[1:] + `]},{"role":"user","content":[` + results.String()[1:] + `]}]}`)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Family{}).Parse(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0"}, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMessagesStreamChunk(b *testing.B) {
	p, err := Family{}.Parse(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0"},
		[]byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	st, err := p.(family.Text).Stream()
	if err != nil {
		b.Fatal(err)
	}
	emit := func([]byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := st.Chunks(llm.Event{Kind: llm.Delta, Text: " quantum"}, emit); err != nil {
			b.Fatal(err)
		}
	}
}
