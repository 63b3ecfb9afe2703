package toolcall_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
)

// reply is an engine's reply of the given deltas.
func reply(reason llm.StopReason, deltas ...string) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		all := []llm.Event{{Kind: llm.Start}, {Kind: llm.BlockStart}}
		for _, d := range deltas {
			all = append(all, llm.Event{Kind: llm.Delta, Text: d})
		}
		all = append(all, llm.Event{Kind: llm.BlockStop}, llm.Event{Kind: llm.Stop, Reason: reason},
			llm.Event{Kind: llm.Done, Usage: llm.Usage{OutputTokens: len(deltas)}})
		for _, ev := range all {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// collect checks the order of events and returns the whole reply.
func collect(t testing.TB, events llm.Events) *llm.Response {
	t.Helper()
	open, next := -1, 0
	var kind llm.BlockKind
	checked := func(yield func(llm.Event, error) bool) {
		for ev, err := range events {
			switch {
			case err != nil:
			case ev.Kind == llm.BlockStart:
				if open >= 0 || ev.Index != next {
					t.Errorf("block %d begins while %d is open, next is %d", ev.Index, open, next)
				}
				open, kind, next = ev.Index, ev.Block, next+1
				if (ev.Block == llm.ToolCall) != (ev.Call != nil) {
					t.Errorf("block %+v", ev)
				}
			case ev.Kind == llm.Delta, ev.Kind == llm.BlockStop:
				if ev.Index != open || ev.Block != kind {
					t.Errorf("event %+v in block %d of kind %d", ev, open, kind)
				}
				if ev.Kind == llm.BlockStop {
					open = -1
				}
			case ev.Kind == llm.Stop && open >= 0:
				t.Errorf("block %d is open at the end", open)
			}
			if !yield(ev, err) {
				return
			}
		}
	}
	resp, err := llm.Collect(checked)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// shown is a reply in one line per block.
func shown(r *llm.Response) string {
	var b strings.Builder
	for _, c := range r.Content {
		switch c.Kind {
		case llm.ToolCall:
			fmt.Fprintf(&b, "%s(%s)|", c.Call.Name, c.Call.Input)
		case llm.Reasoning:
			fmt.Fprintf(&b, "thought %q|", c.Text)
		default:
			fmt.Fprintf(&b, "%q|", c.Text)
		}
	}
	return b.String() + string(r.Reason)
}

const (
	call1 = `<tool_call>{"name":"get_weather","arguments":{"city":"Os\"lo}"}}</tool_call>`
	call2 = `<tool_call>{"name":"get_time","arguments":{"zone":{"a":["}","<tool_call>"]}}}</tool_call>`
)

func markedCases() []markedCase {
	return []markedCase{
		{"text", llm.EndTurn, "Hello there.", `"Hello there."|end_turn`},
		{"nothing", llm.EndTurn, "", `end_turn`},
		{"white space", llm.EndTurn, " \n", `" \n"|end_turn`},
		{"leading white space", llm.EndTurn, "  hi", `"  hi"|end_turn`},
		{"call", llm.EndTurn, call1, `get_weather({"city":"Os\"lo}"})|tool_use`},
		{"call after text", llm.EndTurn, "Let me see. " + call1, `"Let me see. "|get_weather({"city":"Os\"lo}"})|tool_use`},
		{"call after white space", llm.EndTurn, "\n\n" + call1, `get_weather({"city":"Os\"lo}"})|tool_use`},
		{"two calls", llm.EndTurn, call1 + "\n" + call2, `get_weather({"city":"Os\"lo}"})|get_time({"zone":{"a":["}","<tool_call>"]}})|tool_use`},
		{"text between and behind", llm.EndTurn, call1 + " and " + call2 + "\nthat is all", `get_weather({"city":"Os\"lo}"})|" and "|get_time({"zone":{"a":["}","<tool_call>"]}})|"\nthat is all"|tool_use`},
		{"loose form", llm.EndTurn, "<tool_call>\n{ \"name\" : \"get_time\" ,\n\"arguments\" : {} }\n</tool_call>", `get_time({})|tool_use`},
		{"no end marker", llm.EndTurn, `<tool_call>{"name":"get_time","arguments":{}}`, `get_time({})|tool_use`},
		{"begun marker", llm.EndTurn, "a <tool_cal", `"a <tool_cal"|end_turn`},
		{"marker alone", llm.EndTurn, "a <tool_call>", `"a <tool_call>"|end_turn`},
		{"other markup", llm.EndTurn, "a < b <tool_x> <<tool_call", `"a < b <tool_x> <<tool_call"|end_turn`},
		{"unknown tool", llm.EndTurn, `<tool_call>{"name":"rm","arguments":{}}</tool_call>`, `"<tool_call>{\"name\":\"rm\",\"arguments\":{}}</tool_call>"|end_turn`},
		{"words in the marker", llm.EndTurn, `<tool_call>hello</tool_call>`, `"<tool_call>hello</tool_call>"|end_turn`},
		{"marker in a broken call", llm.EndTurn, `<tool_call>{"x":` + call1, `"<tool_call>{\"x\":"|get_weather({"city":"Os\"lo}"})|tool_use`},
		{"arguments that are no object", llm.EndTurn, `<tool_call>{"name":"get_time","arguments":[]}</tool_call>`, `"<tool_call>{\"name\":\"get_time\",\"arguments\":[]}</tool_call>"|end_turn`},
		{"does not fit", llm.EndTurn, `<tool_call>{"name":"get_weather","arguments":{"days":1}}</tool_call>`, `get_weather({"days":1})|malformed_tool_use`},
		{"no JSON", llm.EndTurn, `<tool_call>{"name":"get_time","arguments":{no}}</tool_call>`, `get_time({no})|malformed_tool_use`},
		{"ends in a call", llm.EndTurn, `<tool_call>{"name":"get_weather","arguments":{"ci`, `get_weather({"ci)|malformed_tool_use`},
		{"cut in a call", llm.MaxTokens, `<tool_call>{"name":"get_weather","arguments":{"ci`, `get_weather({"ci)|max_tokens`},
		{"cut in the head of a call", llm.MaxTokens, `<tool_call>{"name":"get_w`, `"<tool_call>{\"name\":\"get_w"|max_tokens`},
		{"cut behind a call", llm.MaxTokens, call1 + "<tool", `get_weather({"city":"Os\"lo}"})|"<tool"|max_tokens`},
		{"stop text", llm.StopSequence, call1, `get_weather({"city":"Os\"lo}"})|stop_sequence`},
		{"long head", llm.EndTurn, `<tool_call>{"name":"` + strings.Repeat("x", 600), `"<tool_call>{\"name\":\"` + strings.Repeat("x", 600) + `"|end_turn`},
		{"letters of many bytes", llm.EndTurn, "東京 " + call1, `"東京 "|get_weather({"city":"Os\"lo}"})|tool_use`},
	}
}

type markedCase struct {
	name   string
	reason llm.StopReason
	text   string
	want   string
}

// cuts cuts a text into pieces, in several ways.
func cuts(s string) [][]string {
	var runes []string
	for _, r := range s {
		runes = append(runes, string(r))
	}
	all := [][]string{{s}, runes}
	for i := range s {
		if i > 0 {
			all = append(all, []string{s[:i], s[i:]})
		}
	}
	return all
}

func TestMarked(t *testing.T) {
	t.Parallel()
	for _, c := range markedCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, raise := lower(t, asking(llm.Choice{}), toolcall.Plain)
			for _, deltas := range cuts(c.text) {
				resp := collect(t, raise(reply(c.reason, deltas...)))
				if got := shown(resp); got != c.want {
					t.Fatalf("cut as %q:\ngot  %s\nwant %s", deltas, got, c.want)
				}
				if resp.Usage.OutputTokens != len(deltas) {
					t.Errorf("usage %+v", resp.Usage)
				}
			}
		})
	}
}

func TestForced(t *testing.T) {
	t.Parallel()
	const whole = `{"name":"get_weather","arguments":{"city":"Oslo","days":2}}`
	for _, c := range []markedCase{
		{"call", llm.EndTurn, whole, `get_weather({"city":"Oslo","days":2})|tool_use`},
		{"white space around", llm.EndTurn, " " + whole + "\n", `get_weather({"city":"Oslo","days":2})|tool_use`},
		{"last brace cut off", llm.MaxTokens, whole[:len(whole)-1], `get_weather({"city":"Oslo","days":2})|tool_use`},
		{"cut", llm.MaxTokens, whole[:41], `get_weather({"city")|max_tokens`},
		{"cut by a stop text", llm.StopSequence, whole[:41], `get_weather({"city")|stop_sequence`},
		{"cut at the context's end", llm.ContextWindowExceeded, whole[:41], `get_weather({"city")|model_context_window_exceeded`},
		{"cut in the head", llm.MaxTokens, whole[:15], `max_tokens`},
		{"ended", llm.EndTurn, whole[:41], `get_weather({"city")|malformed_tool_use`},
		{"does not fit", llm.EndTurn, `{"name":"get_weather","arguments":{"days":"x"}}`, `get_weather({"days":"x"})|malformed_tool_use`},
		{"words", llm.EndTurn, `Sunny.`, `"Sunny."|malformed_tool_use`},
		{"words behind", llm.EndTurn, whole + " Sunny.", `get_weather({"city":"Oslo","days":2})|malformed_tool_use`},
		{"another tool", llm.EndTurn, `{"name":"get_time","arguments":{}}`, `"{\"name\":\"get_time\",\"arguments\":{}}"|malformed_tool_use`},
		{"nothing", llm.EndTurn, ``, `malformed_tool_use`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, tmpl := range []toolcall.Template{toolcall.Plain, toolcall.Native} {
				_, raise := lower(t, asking(llm.Choice{Kind: llm.ChooseNamed, Name: "get_weather"}), tmpl)
				for _, deltas := range cuts(c.text) {
					if got := shown(collect(t, raise(reply(c.reason, deltas...)))); got != c.want {
						t.Fatalf("cut as %q:\ngot  %s\nwant %s", deltas, got, c.want)
					}
				}
			}
		})
	}
}

// Each piece of the arguments leaves when it comes.
func TestLive(t *testing.T) {
	t.Parallel()
	_, raise := lower(t, asking(llm.Choice{Kind: llm.ChooseAny}), toolcall.Plain)
	var sent, seen []string
	in := reply(llm.EndTurn, `{"name":"get_`, `weather","arguments":{"ci`, `ty":`, `"Os`, `lo"}`, `}`)
	watched := func(yield func(llm.Event, error) bool) {
		for ev, err := range in {
			sent = append(sent, ev.Text)
			if !yield(ev, err) {
				return
			}
		}
	}
	for ev := range raise(watched) {
		if ev.Kind == llm.Delta {
			seen = append(seen, ev.Text)
			if last := sent[len(sent)-1]; !strings.HasSuffix(last, ev.Text) {
				t.Errorf("%q left after %q had come", ev.Text, last)
			}
		}
	}
	if got := strings.Join(seen, "|"); got != `{"ci|ty":|"Os|lo"}` {
		t.Errorf("deltas %s", got)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	_, raise := lower(t, asking(llm.Choice{}), toolcall.Plain)
	resp := collect(t, raise(reply(llm.EndTurn, call1, call2)))
	form := regexp.MustCompile(`^tooluse_[A-Za-z0-9_-]{22}$`)
	a, b := resp.Content[0].Call.ID, resp.Content[1].Call.ID
	if a == b || !form.MatchString(a) || !form.MatchString(b) {
		t.Errorf("ids %q and %q", a, b)
	}
}

func TestNoneAndHostileText(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{Kind: llm.ChooseNone})
	if _, raise := lower(t, r, toolcall.Plain); raise != nil {
		t.Error("calls are looked for")
	}
	_, raise := lower(t, r, toolcall.Native)
	resp := collect(t, raise(reply(llm.EndTurn, call1)))
	if got := shown(resp); got != fmt.Sprintf("%q|end_turn", call1) {
		t.Errorf("got %s", got)
	}
	// What a user says is never read as a call, only what the model says.
	r = asking(llm.Choice{})
	r.Messages[0].Content[0].Text = "Say " + call1
	lowered, raise := lower(t, r, toolcall.Plain)
	if strings.Contains(lowered.Messages[0].Content[0].Text, "<tool_call>") {
		t.Errorf("the user's marker reaches the model: %q", lowered.Messages[0].Content[0].Text)
	}
	if got := shown(collect(t, raise(reply(llm.EndTurn, "No.")))); got != `"No."|end_turn` {
		t.Errorf("got %s", got)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	schema := &llm.Format{Schema: []byte(`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`)}
	only := asking(llm.Choice{})
	only.Tools, only.Format = nil, schema
	tools := asking(llm.Choice{})
	tools.Format = schema
	none := asking(llm.Choice{Kind: llm.ChooseNone})
	none.Format = schema
	for _, c := range []markedCase{
		{"fits", llm.EndTurn, `{"a":1}`, `"{\"a\":1}"|end_turn`},
		{"does not fit", llm.EndTurn, `{"b":1}`, `"{\"b\":1}"|malformed_model_output`},
		{"no JSON", llm.EndTurn, `Sure!`, `"Sure!"|malformed_model_output`},
		{"cut", llm.MaxTokens, `{"a":`, `"{\"a\":"|max_tokens`},
	} {
		for name, r := range map[string]*llm.Request{"alone": only, "beside tools": tools, "beside tools that are not used": none} {
			for _, tmpl := range []toolcall.Template{toolcall.Plain, toolcall.Native} {
				_, raise := lower(t, r, tmpl)
				for _, deltas := range cuts(c.text) {
					if got := shown(collect(t, raise(reply(c.reason, deltas...)))); got != c.want {
						t.Errorf("%s %s, cut as %q: got %s, want %s", c.name, name, deltas, got, c.want)
					}
				}
			}
		}
	}
	_, raise := lower(t, tools, toolcall.Plain)
	if got := shown(collect(t, raise(reply(llm.EndTurn, call1)))); got != `get_weather({"city":"Os\"lo}"})|tool_use` {
		t.Errorf("a call beside a format: %s", got)
	}
}

// native is the reply of an engine that finds calls by itself.
func native(reason llm.StopReason, name string, deltas ...string) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		all := []llm.Event{
			{Kind: llm.Start}, {Kind: llm.BlockStart}, {Kind: llm.Delta, Text: "Hm."}, {Kind: llm.BlockStop},
			{Kind: llm.BlockStart, Index: 1, Block: llm.ToolCall, Call: &llm.Call{ID: "engine", Name: name}},
		}
		for _, d := range deltas {
			all = append(all, llm.Event{Kind: llm.Delta, Index: 1, Block: llm.ToolCall, Text: d})
		}
		all = append(all, llm.Event{Kind: llm.BlockStop, Index: 1, Block: llm.ToolCall}, llm.Event{Kind: llm.Stop, Reason: reason}, llm.Event{Kind: llm.Done})
		for _, ev := range all {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

func TestCallsOfTheEngine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		reason llm.StopReason
		tool   string
		deltas []string
		want   string
	}{
		{"call", llm.ToolUse, "get_time", []string{`{"a"`, `:1}`}, `"Hm."|get_time({"a":1})|tool_use`},
		{"told as the end of a turn", llm.EndTurn, "get_time", []string{`{}`}, `"Hm."|get_time({})|tool_use`},
		{"without arguments", llm.ToolUse, "get_time", nil, `"Hm."|get_time({})|tool_use`},
		{"broken JSON", llm.ToolUse, "get_time", []string{`{"a":`}, `"Hm."|get_time({"a":)|malformed_tool_use`},
		{"no object", llm.ToolUse, "get_time", []string{`"a"`}, `"Hm."|get_time("a")|malformed_tool_use`},
		{"unknown tool", llm.ToolUse, "rm", []string{`{}`}, `"Hm."|rm({})|malformed_tool_use`},
		{"cut", llm.MaxTokens, "get_time", []string{`{"a":`}, `"Hm."|get_time({"a":)|max_tokens`},
	} {
		_, raise := lower(t, asking(llm.Choice{}), toolcall.Native)
		resp := collect(t, raise(native(c.reason, c.tool, c.deltas...)))
		if got := shown(resp); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if id := resp.Content[1].Call.ID; !strings.HasPrefix(id, "tooluse_") {
			t.Errorf("%s: id %q", c.name, id)
		}
	}
	_, raise := lower(t, asking(llm.Choice{Kind: llm.ChooseNone}), toolcall.Native)
	if got := shown(collect(t, raise(native(llm.ToolUse, "get_time", "{}")))); got != `"Hm."|end_turn` {
		t.Errorf("a call that was not asked for: %s", got)
	}
}

func TestReasoningPasses(t *testing.T) {
	t.Parallel()
	in := func(yield func(llm.Event, error) bool) {
		for _, ev := range []llm.Event{
			{Kind: llm.Start},
			{Kind: llm.BlockStart, Block: llm.Reasoning}, {Kind: llm.Delta, Block: llm.Reasoning, Text: "<tool_call>"}, {Kind: llm.BlockStop, Block: llm.Reasoning, Signature: "s"},
			{Kind: llm.BlockStart, Index: 1}, {Kind: llm.Delta, Index: 1, Text: "Well. " + call1}, {Kind: llm.BlockStop, Index: 1},
			{Kind: llm.Stop, Reason: llm.EndTurn}, {Kind: llm.Done},
		} {
			if !yield(ev, nil) {
				return
			}
		}
	}
	_, raise := lower(t, asking(llm.Choice{}), toolcall.Plain)
	resp := collect(t, raise(in))
	if got := shown(resp); got != `thought "<tool_call>"|"Well. "|get_weather({"city":"Os\"lo}"})|tool_use` || resp.Content[0].Signature != "s" {
		t.Errorf("got %s, signature %q", got, resp.Content[0].Signature)
	}
}

// A stream that breaks says so, and a reader that leaves ends it.
func TestBrokenAndLeft(t *testing.T) {
	t.Parallel()
	broke := errors.New("broke")
	_, raise := lower(t, asking(llm.Choice{}), toolcall.Plain)
	whole := call1 + call2
	for n := range len(whole) {
		ended := false
		in := func(yield func(llm.Event, error) bool) {
			defer func() { ended = true }()
			_ = yield(llm.Event{Kind: llm.Start}, nil) && yield(llm.Event{Kind: llm.BlockStart}, nil) &&
				yield(llm.Event{Kind: llm.Delta, Text: whole[:n]}, nil) && yield(llm.Event{Usage: llm.Usage{OutputTokens: 7}}, broke)
		}
		resp, err := llm.Collect(raise(in))
		if !errors.Is(err, broke) || resp.Reason != "" || !ended {
			t.Fatalf("%d bytes: %v, reason %q", n, err, resp.Reason)
		}
	}
	taken := 0
	for range raise(reply(llm.EndTurn, strings.Split(whole, "")...)) {
		if taken++; taken == 4 {
			break
		}
	}
}

// FuzzRaise: whatever a model says, in whatever pieces, comes out in order; what
// is not in a call comes out as text, and a turn that ends in tool use has whole
// calls only.
func FuzzRaise(f *testing.F) {
	for _, c := range markedCases() {
		f.Add(c.text, uint16(3), false)
	}
	f.Add(`{"name":"get_weather","arguments":{"city":"x"}}`, uint16(1), true)
	_, marked, err := toolcall.Lower(asking(llm.Choice{}), toolcall.Plain)
	if err != nil {
		f.Fatal(err)
	}
	_, called, err := toolcall.Lower(asking(llm.Choice{Kind: llm.ChooseAny}), toolcall.Plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said string, size uint16, forced bool) {
		raise := marked
		if forced {
			raise = called
		}
		var deltas []string
		for rest := said; rest != ""; {
			n := min(len(rest), 1+int(size%17))
			for n < len(rest) && !utf8.RuneStart(rest[n]) {
				n++
			}
			deltas, rest = append(deltas, rest[:n]), rest[n:]
		}
		pieces := collect(t, raise(reply(llm.EndTurn, deltas...)))
		whole := collect(t, raise(reply(llm.EndTurn, said)))
		if shown(pieces) != shown(whole) {
			t.Fatalf("in pieces %s\nas a whole %s", shown(pieces), shown(whole))
		}
		calls := 0
		for _, b := range whole.Content {
			if b.Kind != llm.ToolCall {
				continue
			}
			calls++
			if whole.Reason == llm.ToolUse && !json.Valid(b.Call.Input) {
				t.Fatalf("a call with %q", b.Call.Input)
			}
			if !strings.Contains(said, string(b.Call.Input)) {
				t.Fatalf("%q was not said", b.Call.Input)
			}
		}
		if (whole.Reason == llm.ToolUse) && calls == 0 {
			t.Fatal("tool use without a call")
		}
		if !forced && calls == 0 && whole.Text() != said && whole.Reason == llm.EndTurn {
			t.Fatalf("said %q, heard %q", said, whole.Text())
		}
	})
}
