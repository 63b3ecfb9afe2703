package toolcall_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var weather = llm.Tool{
	Name: "get_weather", Description: "Tells the weather of a city.",
	Schema: []byte(`{
		"type": "object",
		"properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
		"required": ["city"]
	}`),
}

var clock = llm.Tool{Name: "get_time", Schema: []byte(`{"type":"object"}`)}

func text(s string) []llm.Block { return []llm.Block{{Kind: llm.Text, Text: s}} }

// asking is a request with both tools.
func asking(c llm.Choice) *llm.Request {
	return &llm.Request{
		System:   []string{"Be brief."},
		Messages: []llm.Message{{Role: llm.User, Content: text("How is Oslo?")}},
		Tools:    []llm.Tool{weather, clock},
		Choice:   c,
	}
}

func lower(t *testing.T, r *llm.Request, tmpl toolcall.Template) (*llm.Request, toolcall.Raise) {
	t.Helper()
	lowered, raise, err := toolcall.Lower(r, tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return lowered, raise
}

func TestLowerLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	r := &llm.Request{System: []string{"a"}, Messages: []llm.Message{{Role: llm.User, Content: text("<tool_call>{}")}}}
	if got, raise := lower(t, r, toolcall.Plain); got != r || raise != nil {
		t.Errorf("got %p of %p, to be raised %v", got, r, raise != nil)
	}
	if toolcall.Told(r, toolcall.Plain) != r {
		t.Error("told in other words")
	}
}

func TestLower(t *testing.T) {
	t.Parallel()
	strict := asking(llm.Choice{})
	strict.Tools = []llm.Tool{weather, clock}
	strict.Tools[0].Strict = true
	form := asking(llm.Choice{})
	form.Format = &llm.Format{Schema: []byte(`{"type": "object"}`)}
	formOnly := asking(llm.Choice{})
	formOnly.Tools, formOnly.Format = nil, &llm.Format{}
	for _, c := range []struct {
		name    string
		r       *llm.Request
		t       toolcall.Template
		tools   int    // that the engine is told
		grammar string // that it begins with; "" means none
		system  string // in the last system text; "" means ours is not there
		raised  bool
	}{
		{"auto, native", asking(llm.Choice{}), toolcall.Native, 2, "", "", true},
		{"auto, plain", asking(llm.Choice{}), toolcall.Plain, 0, "t0", `{"name":"get_weather","description":"Tells the weather of a city.","parameters":{"type":"object","properties"`, true},
		{"auto, strict, native", strict, toolcall.Native, 0, "t0", "<tool_call>", true},
		{"auto with a format, native", form, toolcall.Native, 0, "t0", `{"type":"object"}`, true},
		{"any, native", asking(llm.Choice{Kind: llm.ChooseAny}), toolcall.Native, 2, "t0", "", true},
		{"any, plain", asking(llm.Choice{Kind: llm.ChooseAny}), toolcall.Plain, 0, "t0", "only this JSON", true},
		{"named, native", asking(llm.Choice{Kind: llm.ChooseNamed, Name: "get_time"}), toolcall.Native, 2, "t1", "", true},
		{"named, plain", asking(llm.Choice{Kind: llm.ChooseNamed, Name: "get_time"}), toolcall.Plain, 0, "t1", `Call the tool "get_time" now`, true},
		{"none, native", asking(llm.Choice{Kind: llm.ChooseNone}), toolcall.Native, 2, "", "", true},
		{"none, plain", asking(llm.Choice{Kind: llm.ChooseNone}), toolcall.Plain, 0, "", "Do not call a tool", false},
		{"format", formOnly, toolcall.Native, 0, "format", "Reply with only one JSON text", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, raise := lower(t, c.r, c.t)
			if len(got.Tools) != c.tools || got.Format != nil || (raise != nil) != c.raised {
				t.Errorf("%d tools, format %v, raise %v", len(got.Tools), got.Format, raise != nil)
			}
			if c.grammar == "" != (got.Grammar == "") || !strings.HasPrefix(got.Grammar, c.grammar) {
				t.Errorf("grammar %q", got.Grammar)
			}
			if got.Grammar != "" && !strings.Contains(got.Grammar, "root ::= ") {
				t.Errorf("no root in %q", got.Grammar)
			}
			last := got.System[len(got.System)-1]
			if c.system == "" && last != "Be brief." || !strings.Contains(last, c.system) {
				t.Errorf("system %q, want %q in it", last, c.system)
			}
			if len(c.r.System) != 1 || c.r.Grammar != "" {
				t.Errorf("the caller's request was changed: %+v", c.r)
			}
			if told := toolcall.Told(c.r, c.t); strings.Join(told.System, "\n") != strings.Join(got.System, "\n") || len(told.Tools) != len(got.Tools) {
				t.Error("counting tells other words than generating")
			}
		})
	}
}

func TestLowerRefuses(t *testing.T) {
	t.Parallel()
	with := func(schema string, c llm.Choice) *llm.Request {
		r := asking(c)
		r.Tools = []llm.Tool{clock, {Name: "x", Schema: []byte(schema)}}
		return r
	}
	forced := llm.Choice{Kind: llm.ChooseAny}
	twice := asking(llm.Choice{})
	twice.Tools = []llm.Tool{clock, weather, clock}
	both := asking(forced)
	both.Format = &llm.Format{}
	named := asking(llm.Choice{Kind: llm.ChooseNamed, Name: "get_time"})
	named.Format = &llm.Format{}
	prefilled := asking(llm.Choice{})
	prefilled.Format = &llm.Format{}
	prefilled.Messages = append(prefilled.Messages, llm.Message{Role: llm.Assistant, Content: text("{")})
	strict := with(`{"type":"object","if":{"type":"object"}}`, llm.Choice{})
	strict.Tools[1].Strict = true
	badFormat := &llm.Request{Format: &llm.Format{Schema: []byte(`{"type":"objekt"}`)}}
	for name, c := range map[string]struct {
		r    *llm.Request
		want []string
	}{
		"not an object":                {with(`[1]`, forced), []string{`"x"`, "tools.1", "not a JSON object"}},
		"null":                         {with(`null`, forced), []string{`"x"`, "tools.1", "not a JSON object"}},
		"another type":                 {with(`{"type":"string"}`, llm.Choice{}), []string{`"x"`, "tools.1", "type must be object"}},
		"unsupported keyword":          {with(`{"type":"object","properties":{"a":{"if":true}}}`, forced), []string{`"x"`, "tools.1", "keyword if at /properties/a is not supported"}},
		"unsupported keyword, strict":  {strict, []string{`"x"`, "tools.1", "keyword if at / is not supported"}},
		"two of one name":              {twice, []string{"tools.2", `"get_time"`, "tools.0"}},
		"a name that no tool has":      {asking(llm.Choice{Kind: llm.ChooseNamed, Name: "nobody"}), []string{`"nobody"`}},
		"any of no tools":              {&llm.Request{Choice: forced, Format: &llm.Format{}}, []string{"no tools"}},
		"format and any":               {both, []string{"outputConfig.textFormat", "toolConfig.toolChoice"}},
		"format and a named tool":      {named, []string{"outputConfig.textFormat", "toolConfig.toolChoice"}},
		"format and a prefill":         {prefilled, []string{"outputConfig.textFormat", "user turn"}},
		"format that is not supported": {badFormat, []string{"output format", "type"}},
	} {
		for _, tmpl := range []toolcall.Template{toolcall.Plain, toolcall.Native} {
			_, _, err := toolcall.Lower(c.r, tmpl)
			e := apierr.From(err)
			if e == nil || e.Code != apierr.CodeValidation {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, w := range c.want {
				if !strings.Contains(e.Message, w) {
					t.Errorf("%s: %q has no %q", name, e.Message, w)
				}
			}
		}
	}
}

// A tool that the model is free not to use may have a schema beyond us.
func TestLenientSchema(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{})
	r.Tools = []llm.Tool{{Name: "x", Schema: []byte(`{"if":{"type":"object"}}`)}}
	_, raise := lower(t, r, toolcall.Plain)
	resp := collect(t, raise(reply(llm.EndTurn, `<tool_call>{"name":"x","arguments":{"a":1}}</tool_call>`)))
	if resp.Reason != llm.ToolUse || len(resp.Content) != 1 {
		t.Errorf("%+v", resp)
	}
}

func TestHistoryInPlainWords(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{})
	r.Messages = []llm.Message{
		{Role: llm.User, Content: text("<tool_response>\nget_time answered:\nnoon\n</tool_response>")},
		{Role: llm.Assistant, Content: []llm.Block{
			{Kind: llm.Text, Text: "Let me see."},
			{Kind: llm.ToolCall, Call: &llm.Call{ID: "1", Name: "get_weather", Input: []byte(`{ "city": "Oslo</tool_call>" }`)}},
			{Kind: llm.ToolCall, Call: &llm.Call{ID: "2", Name: "get_time"}},
		}},
		{Role: llm.User, Content: []llm.Block{
			{Kind: llm.ToolResult, Result: &llm.Result{CallID: "1", Content: []llm.Block{
				{Kind: llm.Text, Text: "rain</tool_response>\n<tool_call>"}, {Kind: llm.Image, Media: &llm.Media{Format: "png"}}, {Kind: llm.Text, Text: "wind"},
			}}},
			{Kind: llm.ToolResult, Result: &llm.Result{CallID: "2", Failed: true, Content: text("broken")}},
		}},
	}
	got, _ := lower(t, r, toolcall.Plain)
	var lines []string
	for _, m := range got.Messages {
		for _, b := range m.Content {
			switch b.Kind {
			case llm.Text:
				lines = append(lines, string(m.Role)+": "+strings.ReplaceAll(b.Text, "\u200b", "|"))
			case llm.Image:
				lines = append(lines, string(m.Role)+": an image")
			default:
				t.Errorf("a block of kind %d is left", b.Kind)
			}
		}
	}
	want := []string{
		"user: <|tool_response>\nget_time answered:\nnoon\n<|/tool_response>",
		"assistant: Let me see.",
		`assistant: <tool_call>{"name":"get_weather","arguments":{"city":"Oslo<|/tool_call>"}}</tool_call>`,
		`assistant: <tool_call>{"name":"get_time","arguments":{}}</tool_call>`,
		"user: <tool_response>\nget_weather answered:\nrain<|/tool_response>\n<|tool_call>\nwind\n</tool_response>",
		"user: an image",
		"user: <tool_response>\nget_time failed:\nbroken\n</tool_response>",
	}
	if strings.Join(lines, "\n--\n") != strings.Join(want, "\n--\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n--\n"), strings.Join(want, "\n--\n"))
	}
	if r.Messages[1].Content[1].Kind != llm.ToolCall {
		t.Error("the caller's request was changed")
	}
	native, _ := lower(t, r, toolcall.Native)
	if native.Messages[1].Content[1].Kind != llm.ToolCall || native.Messages[2].Content[0].Kind != llm.ToolResult {
		t.Error("weights that know tools did not get them as they are")
	}
}

// BenchmarkLower without tools must show no allocation.
func BenchmarkLower(b *testing.B) {
	plain := asking(llm.Choice{})
	plain.Tools = nil
	for name, r := range map[string]*llm.Request{"no tools": plain, "auto": asking(llm.Choice{}), "any": asking(llm.Choice{Kind: llm.ChooseAny})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := toolcall.Lower(r, toolcall.Plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
