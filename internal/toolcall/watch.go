package toolcall

import (
	"bytes"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// watcher passes the events of a reply on and looks at its calls, which an
// engine has found, and at the text that a format holds.
type watcher struct {
	*plan
	*out
	inputs    map[int]*bytes.Buffer
	text      strings.Builder
	calls     int
	malformed bool
}

func (w *watcher) take(ev *llm.Event) {
	switch {
	case ev.Kind == llm.Stop:
		stop := *ev
		stop.Reason = w.reason(ev.Reason)
		w.emit(stop)
		return
	case ev.Block == llm.ToolCall && w.way != engines:
		return // no call was asked for
	case ev.Block == llm.ToolCall:
		w.call(ev)
		return
	case w.format != nil && ev.Kind == llm.Delta && (ev.Block == llm.Text || ev.Block == 0):
		w.text.WriteString(ev.Text)
	}
	w.emit(*ev)
}

func (w *watcher) call(ev *llm.Event) {
	pass := *ev
	switch ev.Kind {
	case llm.BlockStart:
		if w.inputs == nil {
			w.inputs = map[int]*bytes.Buffer{}
		}
		w.inputs[ev.Index] = &bytes.Buffer{}
		call := llm.Call{ID: NewID()}
		if ev.Call != nil {
			call.Name = ev.Call.Name
		}
		w.calls++
		w.malformed = w.malformed || !w.known(call.Name)
		pass.Call = &call
	case llm.Delta:
		if b := w.inputs[ev.Index]; b != nil {
			b.WriteString(ev.Text)
		}
	case llm.BlockStop:
		b := w.inputs[ev.Index]
		if b == nil {
			return
		}
		if b.Len() == 0 {
			w.emit(llm.Event{Kind: llm.Delta, Index: ev.Index, Block: llm.ToolCall, Text: "{}"})
		} else if !isObject(b.Bytes()) {
			w.malformed = true
		}
		delete(w.inputs, ev.Index)
	}
	w.emit(pass)
}

func (w *watcher) known(name string) bool {
	for i := range w.req.Tools {
		if w.req.Tools[i].Name == name {
			return true
		}
	}
	return false
}

func (w *watcher) reason(why llm.StopReason) llm.StopReason {
	switch {
	case why == llm.ToolUse && w.way != engines:
		why = llm.EndTurn
	case why != llm.EndTurn && why != llm.ToolUse:
		return why // cut: the last call may be a part of one
	case w.malformed:
		return llm.MalformedToolUse
	case w.calls > 0:
		return llm.ToolUse
	}
	if w.format != nil && why == llm.EndTurn && w.format.Validate([]byte(w.text.String())) != nil {
		return llm.MalformedOutput
	}
	return why
}
