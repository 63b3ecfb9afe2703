package converse

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// TestWishes has what a request may wish of a reply beside the conversation.
func TestWishes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		want llm.Request
	}{
		"tools":           {tools, llm.Request{Tools: toolsOf()}},
		"auto":            {`"toolConfig":{"tools":[` + clock + `],"toolChoice":{"auto":{}}}`, llm.Request{Tools: toolsOf()[1:]}},
		"any":             {`"toolConfig":{"tools":[` + clock + `],"toolChoice":{"any":{}}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseAny}}},
		"named":           {`"toolConfig":{"tools":[` + clock + `],"toolChoice":{"tool":{"name":"clock"}}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseNamed, Name: "clock"}}},
		"none":            {`"toolConfig":{"tools":[` + clock + `]},"additionalModelRequestFields":{"tool_choice":{"type":"none"}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseNone}}},
		"native any":      {`"toolConfig":{"tools":[` + clock + `]},"additionalModelRequestFields":{"tool_choice":{"type":"any","disable_parallel_tool_use":false}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseAny}}},
		"native tool":     {`"toolConfig":{"tools":[` + clock + `],"toolChoice":{"auto":{}}},"additionalModelRequestFields":{"tool_choice":{"type":"tool","name":"clock"}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseNamed, Name: "clock"}}},
		"native auto":     {`"toolConfig":{"tools":[` + clock + `],"toolChoice":{"any":{}}},"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`, llm.Request{Tools: toolsOf()[1:], Choice: llm.Choice{Kind: llm.ChooseAny}}},
		"point in tools":  {`"toolConfig":{"tools":[` + clock + `,{"cachePoint":{"type":"default"}}]}`, llm.Request{Tools: toolsOf()[1:], Cache: &llm.Mark{}}},
		"point in system": {`"system":[{"text":"s"},{"cachePoint":{"type":"default"}}]`, llm.Request{System: []string{"s"}, Cache: &llm.Mark{}}},
		"schema":          {`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"n","schema":"{ \"type\": \"object\" }"}}}}`, llm.Request{Format: &llm.Format{Name: "n", Schema: []byte(`{"type":"object"}`)}}},
		"effort":          {`"outputConfig":{"effort":"max"}`, llm.Request{Thinking: &llm.Thinking{Effort: "high"}}},
		"budget":          {`"inferenceConfig":{"maxTokens":2049},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2048}}`, llm.Request{Params: llm.Params{MaxTokens: new(2049)}, Thinking: &llm.Thinking{Budget: 2048}}},
		"native format":   {`"additionalModelRequestFields":{"output_config":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}}`, llm.Request{Format: &llm.Format{Schema: []byte(`{"type":"object"}`), Name: "n"}}},
		"adaptive":        {`"additionalModelRequestFields":{"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}`, llm.Request{Thinking: &llm.Thinking{Effort: "low"}}},
		"other name":      {`"additionalModelRequestFields":{"reasoning_config":{"type":"disabled"}}`, llm.Request{Thinking: &llm.Thinking{Off: true}}},
		"Nova's":          {`"additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}}`, llm.Request{Thinking: &llm.Thinking{Effort: "medium"}}},
		"Nova's, within":  {`"additionalModelRequestFields":{"inferenceConfig":{"topK":3,"reasoningConfig":{"type":"disabled"}}}`, llm.Request{Params: llm.Params{TopK: new(3)}, Thinking: &llm.Thinking{Off: true}}},
		"OpenAI's":        {`"additionalModelRequestFields":{"reasoning_effort":"high","frequency_penalty":-2,"presence_penalty":0.5,"seed":4294967295}`, llm.Request{Params: llm.Params{FrequencyPenalty: new(-2.0), PresencePenalty: new(0.5), Seed: new(int64(4294967295))}, Thinking: &llm.Thinking{Effort: "high"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Codec{}.ConverseRequest(family.Model{}, input(t, `{`+hello+`,`+c.in+`}`))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Messages = []llm.Message{say(llm.User, "Hello")}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestCachePoints checks that the last cache point counts, and where it stands.
func TestCachePoints(t *testing.T) {
	t.Parallel()
	const point = `{"cachePoint":{"type":"default","ttl":"1h"}}`
	for name, c := range map[string]struct {
		in   string
		want *llm.Mark
	}{
		"none":           {turns(`{"text":"a"}`), nil},
		"in the middle":  {turns(`{"text":"a"},` + point + `,{"text":"b"}`), &llm.Mark{Message: 0, Block: 1}},
		"at the end":     {turns(`{"text":"a"},{"text":"b"},` + point), &llm.Mark{Message: 0, Block: 2}},
		"two":            {turns(`{"text":"a"},`+point, `{"text":"b"}`, point+`,{"text":"c"}`), &llm.Mark{Message: 2, Block: 0}},
		"after a reply":  {turns(`{"text":"a"}`, `{"text":"b"},`+point, `{"text":"c"}`), &llm.Mark{Message: 1, Block: 1}},
		"message's wins": {`"system":[{"text":"s"},` + point + `],` + turns(`{"text":"a"},`+point), &llm.Mark{Message: 0, Block: 1}},
	} {
		in := input(t, `{`+c.in+`}`)
		got, err := Codec{}.ConverseRequest(family.Model{}, in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got.Cache); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
		if (lastCache(in) != nil) != (c.want != nil) {
			t.Errorf("%s: the reply would tell another thing", name)
		}
	}
}

// TestResume checks that a broken reply goes on where it broke off.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "anthropic.claude-3-haiku-20240307-v1:0"} {
		got, err := Codec{}.ConverseRequest(family.Model{ID: id}, input(t, `{`+hello+`,"additionalModelRequestFields":{"seed":7,"outcrop_resume":{"text":"Once upon a \n"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		want := &llm.Request{
			Messages: []llm.Message{say(llm.User, "Hello"), say(llm.Assistant, "Once upon a \n")}, Params: llm.Params{Seed: new(int64(7))},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
}
