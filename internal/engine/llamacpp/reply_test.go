package llamacpp_test

import (
	"reflect"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/llm"
)

// What the server says in pieces becomes blocks, whatever their order.
func TestBlocks(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return `{"delta":{"content":"` + s + `"}}` }
	thought := func(s string) string { return `{"delta":{"reasoning_content":"` + s + `"}}` }
	call := func(n, name, args string) string {
		return `{"delta":{"tool_calls":[{"index":` + n + `,"id":"x","type":"function","function":{"name":"` + name + `","arguments":"` + args + `"}}]}}`
	}
	more := func(n, args string) string {
		return `{"delta":{"tool_calls":[{"index":` + n + `,"function":{"arguments":"` + args + `"}}]}}`
	}
	end := func(reason string) string { return `{"finish_reason":"` + reason + `","delta":{}}` }
	said := func(s string) llm.Block { return llm.Block{Kind: llm.Text, Text: s} }
	called := func(name, input string) llm.Block {
		return llm.Block{Kind: llm.ToolCall, Call: &llm.Call{Name: name, Input: []byte(input)}}
	}
	for name, c := range map[string]struct {
		lines  []string
		stop   []string
		want   []llm.Block
		reason llm.StopReason
	}{
		"text alone":    {[]string{text(" a"), text("b "), end("stop")}, nil, []llm.Block{said(" ab ")}, llm.EndTurn},
		"text and call": {[]string{text("Look."), call("0", "f", "{"), more("0", "}"), end("tool_calls")}, nil, []llm.Block{said("Look."), called("f", "{}")}, llm.ToolUse},
		"two calls": {
			[]string{text("\\n"), text("\\n"), call("0", "f", "{}"), call("1", "g", `{\"a\":`), more("1", "1}"), end("tool_calls")}, nil,
			[]llm.Block{called("f", "{}"), called("g", `{"a":1}`)}, llm.ToolUse,
		},
		"everything": {
			[]string{thought("Hm."), text("\\n"), text("So:"), call("0", "f", "{}"), text("\\n"), text("Done."), end("tool_calls")}, nil,
			[]llm.Block{{Kind: llm.Reasoning, Text: "Hm."}, said("\nSo:"), called("f", "{}"), said("\nDone.")}, llm.ToolUse,
		},
		"thoughts alone":     {[]string{thought("Hm"), thought("m."), end("stop")}, nil, []llm.Block{{Kind: llm.Reasoning, Text: "Hmm."}}, llm.EndTurn},
		"white space alone":  {[]string{text(" "), text(" "), end("stop")}, nil, []llm.Block{said("  ")}, llm.EndTurn},
		"a cut call":         {[]string{call("0", "f", `{\"a\"`), end("length")}, nil, []llm.Block{called("f", `{"a"`)}, llm.MaxTokens},
		"held back, a call":  {[]string{text("ab EN"), call("0", "f", "{}"), end("tool_calls")}, []string{"END"}, []llm.Block{said("ab EN"), called("f", "{}")}, llm.ToolUse},
		"calls hold no stop": {[]string{call("0", "f", `{\"END\":1}`), end("tool_calls")}, []string{"END"}, []llm.Block{called("f", `{"END":1}`)}, llm.ToolUse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := begin(t, fake{Lines: c.lines}.config(t))
			r := enginetest.Ask("x", len(c.lines))
			r.Params.Stop = c.stop
			r.Tools = []llm.Tool{{Name: "f", Schema: []byte(`{"type":"object"}`)}}
			resp, _ := enginetest.Reply(t, e, targetA, r)
			ids := map[string]bool{}
			for i := range resp.Content {
				if call := resp.Content[i].Call; call != nil {
					if len(call.ID) != len("tooluse_")+22 || ids[call.ID] {
						t.Errorf("id %q", call.ID)
					}
					ids[call.ID] = true
					call.ID = ""
				}
			}
			if !reflect.DeepEqual(resp.Content, c.want) || resp.Reason != c.reason {
				t.Errorf("%+v by %s, want %+v by %s", resp.Content, resp.Reason, c.want, c.reason)
			}
		})
	}
}
