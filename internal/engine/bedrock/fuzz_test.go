package bedrock

import (
	"bytes"
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// FuzzTake: whatever events an upstream sends, in whatever order, the events that go
// on are those of a reply: blocks that begin and end in turn, pieces within them, and
// numbers of tokens that are none below 0. A line of the input is an event: its name,
// a space and its payload.
func FuzzTake(f *testing.F) {
	for _, s := range []string{
		"messageStart {\"role\":\"assistant\"}\ncontentBlockDelta {\"delta\":{\"text\":\"a stop b\"}}\ncontentBlockStop {}\nmessageStop {\"stopReason\":\"end_turn\"}\nmetadata {\"usage\":{\"inputTokens\":3,\"outputTokens\":2}}",
		"contentBlockStart {\"start\":{\"toolUse\":{\"toolUseId\":\"!\",\"name\":\"x\"}}}\ncontentBlockDelta {\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}\nmessageStop {\"stopReason\":\"tool_use\"}",
		"contentBlockDelta {\"delta\":{\"reasoningContent\":{\"text\":\"hm\",\"signature\":\"s\"}}}\ncontentBlockDelta {\"delta\":{\"text\":\"x\"}}\nmetadata {\"usage\":{\"inputTokens\":-1}}",
		"messageStop {\"stopReason\":\"stop_sequence\",\"additionalModelResponseFields\":{\"stop_sequence\":\"stop\"}}\nmetadata {\"usage\":{\"inputTokens\":9223372036854775807,\"cacheReadInputTokens\":1}}",
		"contentBlockDelta {\"delta\":{\"toolUse\":{\"input\":\"\"}}}", "messageStart", "metadata {]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		var open llm.BlockKind
		next, ended := 0, false
		p := player{index: -1, texts: []string{"stop"}, stops: engine.NewStopper(&llm.Request{Params: llm.Params{Stop: []string{"stop"}}})}
		p.yield = func(ev llm.Event, err error) bool {
			switch ok := err == nil && !ended; ev.Kind {
			case llm.BlockStart:
				if !ok || open != 0 || ev.Index != next || (ev.Block == llm.ToolCall) != (ev.Call != nil) {
					t.Fatalf("%+v, %v begins beside %v", ev, err, open)
				}
				open = ev.Block
			case llm.Delta:
				if !ok || open == 0 || ev.Block != open || ev.Index != next || ev.Text == "" {
					t.Fatalf("%+v, %v in %v", ev, err, open)
				}
			case llm.BlockStop:
				if !ok || open == 0 || ev.Block != open || ev.Index != next {
					t.Fatalf("%+v, %v ends %v", ev, err, open)
				}
				open = 0
				next++
			case llm.Done:
				ended = true
				if u := ev.Usage; open != 0 || next == 0 || min(u.InputTokens, u.OutputTokens, u.ReusedTokens) < 0 || u.InputTokens < 1 {
					t.Fatalf("%+v after %d blocks, in %v", ev, next, open)
				}
			}
			return true
		}
		for line := range bytes.Lines(events) {
			kind, payload, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(" "))
			done, err := p.take(string(kind), payload)
			if err != nil {
				return
			}
			if done {
				if p.reason != "" {
					p.end()
				}
				return
			}
		}
	})
}
