package bedrock

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// maxFrame bounds one event: a piece of text, or of a call's input.
const maxFrame = 1 << 20

// event is the payload of any event of ConverseStream.
type event struct {
	Start *struct {
		ToolUse *struct {
			ID   string `json:"toolUseId"`
			Name string `json:"name"`
		} `json:"toolUse"`
	} `json:"start"`
	Delta struct {
		Text    *string `json:"text"`
		ToolUse *struct {
			Input string `json:"input"`
		} `json:"toolUse"`
		Reasoning *struct {
			Text      string `json:"text"`
			Signature string `json:"signature"`
		} `json:"reasoningContent"`
	} `json:"delta"`
	StopReason string          `json:"stopReason"`
	Additional json.RawMessage `json:"additionalModelResponseFields"`
	Usage      *struct {
		Input  int `json:"inputTokens"`
		Output int `json:"outputTokens"`
		Read   int `json:"cacheReadInputTokens"`
		Write  int `json:"cacheWriteInputTokens"`
	} `json:"usage"`
}

// player turns the events of the upstream into those of one reply.
type player struct {
	yield func(llm.Event, error) bool
	stops *engine.Stopper // nil without stop texts
	texts []string        // the stop texts
	left  bool            // the reader went away

	served *llm.Served
	begin  time.Time
	first  time.Duration
	index  int // of the block that was begun last; -1 before the first
	open   llm.BlockKind
	sign   string // of the open reasoning
	called bool

	hit    string // the stop text that was found in the text
	reason llm.StopReason
	usage  llm.Usage
}

// next reads one event of the upstream. kind is its name; io.EOF: there is no more.
func next(r *eventstream.Reader) (kind string, payload []byte, err error) {
	f, err := r.Next()
	if err != nil {
		return "", nil, err
	}
	switch f.Text(":message-type") {
	case "event":
		return f.Text(":event-type"), f.Payload, nil
	case "exception":
		return "", nil, serverErrorOf(0, f.Text(":exception-type"), f.Payload)
	case "error":
		return "", nil, serverErrorOf(0, f.Text(":error-code"), nil)
	}
	return "", nil, errOrder
}

// take handles one event and reports whether it was the last one.
func (p *player) take(kind string, payload []byte) (done bool, err error) {
	var ev event
	if len(payload) > 0 && json.Unmarshal(payload, &ev) != nil {
		return false, remote.ErrBadJSON
	}
	switch kind {
	case "messageStart":
		if p.index != -1 {
			return false, errOrder
		}
	case "contentBlockStart":
		if ev.Start != nil && ev.Start.ToolUse != nil {
			p.call(ev.Start.ToolUse.ID, ev.Start.ToolUse.Name)
		}
	case "contentBlockDelta":
		return false, p.delta(&ev)
	case "contentBlockStop":
		p.close()
	case "messageStop":
		p.close()
		p.stopped(&ev)
	case "metadata":
		u := ev.Usage
		if u == nil || u.Input+u.Read+u.Write < 1 || u.Input < 0 || u.Output < 0 || u.Read < 0 || u.Write < 0 {
			return false, errNoUsage
		}
		p.usage = llm.Usage{InputTokens: u.Input + u.Read + u.Write, OutputTokens: u.Output, ReusedTokens: u.Read}
		return true, nil
	}
	return false, nil // events that we do not know are allowed
}

func (p *player) delta(ev *event) error {
	d := &ev.Delta
	switch {
	case d.Text != nil:
		p.say(*d.Text)
	case d.ToolUse != nil:
		if p.open != llm.ToolCall {
			return errOrder
		}
		p.pass(d.ToolUse.Input)
	case d.Reasoning != nil:
		if d.Reasoning.Text == "" && d.Reasoning.Signature == "" {
			return nil // redacted thoughts, which no event can carry
		}
		p.begun(llm.Reasoning, nil)
		p.sign += d.Reasoning.Signature
		p.pass(d.Reasoning.Text)
	}
	return nil
}

// say passes text on, up to a stop text.
func (p *player) say(text string) {
	if text == "" || p.hit != "" {
		return
	}
	p.begun(llm.Text, nil)
	if p.stops == nil {
		p.pass(text)
		return
	}
	out, hit := p.stops.Push(text)
	p.pass(out)
	p.hit = hit
}

func (p *player) call(id, name string) {
	if p.hit != "" {
		return
	}
	if !validID(id) {
		id = toolcall.NewID()
	}
	p.close()
	p.called = true
	p.begun(llm.ToolCall, &llm.Call{ID: id, Name: name})
}

// validID reports whether an id is one that callers may be told.
// Source: bedrock-runtime model, ToolUseId.
func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// begun opens a block, unless one of its kind is open.
func (p *player) begun(kind llm.BlockKind, call *llm.Call) {
	if p.open == kind && kind != llm.ToolCall {
		return
	}
	p.close()
	p.index++
	p.open = kind
	p.emit(llm.Event{Kind: llm.BlockStart, Index: p.index, Block: kind, Call: call})
}

func (p *player) close() {
	if p.open == 0 {
		return
	}
	if p.open == llm.Text && p.stops != nil && p.hit == "" {
		p.pass(p.stops.Rest())
	}
	ev := llm.Event{Kind: llm.BlockStop, Index: p.index, Block: p.open, Signature: p.sign}
	p.open, p.sign = 0, ""
	p.emit(ev)
}

func (p *player) pass(text string) {
	if text == "" {
		return
	}
	if p.first == 0 {
		p.first = max(time.Since(p.begin), 1)
	}
	p.emit(llm.Event{Kind: llm.Delta, Index: p.index, Block: p.open, Text: text})
}

func (p *player) emit(ev llm.Event) {
	if !p.left && !p.yield(ev, nil) {
		p.left = true
	}
}

// stopped reads why the reply ended.
func (p *player) stopped(ev *event) {
	switch r := llm.StopReason(ev.StopReason); r {
	case llm.EndTurn, llm.MaxTokens, llm.StopSequence, llm.ToolUse, llm.ContentFiltered, llm.ContextWindowExceeded, llm.MalformedOutput, llm.MalformedToolUse:
		p.reason = r
	case llm.GuardrailIntervened:
		p.reason = llm.ContentFiltered
	default:
		p.reason = llm.EndTurn
	}
	if p.hit != "" || len(p.texts) == 0 {
		return
	}
	var told struct {
		Stop *string `json:"stop_sequence"`
	}
	if b := bytes.TrimSpace(ev.Additional); len(b) > 0 {
		_ = json.Unmarshal(b, &told) // what is not there stays empty
	}
	for _, s := range p.texts {
		if told.Stop != nil && *told.Stop == s {
			p.hit = s
		}
	}
	if p.hit == "" && p.reason == llm.StopSequence && len(p.texts) == 1 {
		p.hit = p.texts[0]
	}
}

// end sends the closing events.
func (p *player) end() {
	if p.index < 0 { // a reply has a block
		p.begun(llm.Text, nil)
		p.close()
	}
	reason := p.reason
	if p.hit != "" {
		reason = p.stops.Reason(p.hit)
	}
	p.emit(llm.Event{Kind: llm.Stop, Reason: reason, StopSequence: p.hit})
	p.emit(llm.Event{Kind: llm.Done, Usage: p.usage, Latency: time.Since(p.begin), FirstToken: p.first})
}

// over makes the end of a stream before its last event an error.
func over(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, eventstream.ErrShort) {
		return errCutOff
	}
	return err
}
