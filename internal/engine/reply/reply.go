// Package reply turns what a chat server sends piece by piece into the events of
// one reply, so that every engine over such a server does it the same way.
package reply

import (
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
)

// Config of a Writer.
type Config struct {
	// Yield takes the events; false means that the reader went away.
	Yield func(llm.Event, error) bool
	// Stops finds stop texts; nil when the request has none.
	Stops *engine.Stopper
	// Lazy leaves it to the reply whether it has a text at all: it may be
	// thoughts and calls alone. Otherwise the reply is one text.
	Lazy bool
	// Served tells where the reply is made; nil: nothing is told.
	Served *llm.Served
	// Echo is what the reply may begin with and should not: the prefill, from
	// servers that repeat it.
	Echo string
}

// Writer writes the events of one reply. It is not safe for concurrent use. Its
// methods report false once the reader went away; nothing is passed on then.
type Writer struct {
	c     Config
	begin time.Time
	first time.Duration
	left  bool

	index   int           // of the block that was begun last; -1 before the first
	kind    llm.BlockKind // of the open one; 0 when none is
	space   string        // white space that no block has begun with so far
	called  bool          // a call was begun
	call    int           // the server's number of the open call
	logprob *float64      // of tokens whose text is held back
}

// New returns a Writer; the reply's time begins now.
func New(c Config) *Writer { return &Writer{c: c, begin: time.Now(), index: -1} }

// Left reports whether the reader went away.
func (w *Writer) Left() bool { return w.left }

// Begun reports whether anything of the reply was passed on.
func (w *Writer) Begun() bool { return w.first > 0 }

// Called reports whether the reply calls a tool.
func (w *Writer) Called() bool { return w.called }

// Start tells that the server accepted the prompt.
func (w *Writer) Start(u llm.Usage) bool {
	return w.emit(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: u.InputTokens, ReusedTokens: u.ReusedTokens}, Served: w.c.Served}) &&
		(w.c.Lazy || w.open(llm.Text, nil))
}

// Think passes reasoning on. Where the reply is one text, that is what the
// reasoning belongs to: a template opened thoughts that nobody asked for.
func (w *Writer) Think(text string) bool {
	if !w.c.Lazy {
		w.Say(text, nil)
		return !w.left
	}
	if w.kind == 0 && strings.TrimSpace(text) == "" {
		return !w.left
	}
	return w.open(llm.Reasoning, nil) && w.delta(text, nil)
}

// Say passes text on and returns the stop text that it completed: the reply ends
// there. White space between thoughts and calls is no text. logprob, when not
// nil, is that of the tokens of the text.
func (w *Writer) Say(text string, logprob *float64) (hit string) {
	if text = w.unechoed(text); text == "" {
		return ""
	}
	if w.kind != llm.Text {
		if text = w.space + text; strings.TrimSpace(text) == "" {
			w.space = text
			return ""
		}
		w.space = ""
		if !w.open(llm.Text, nil) {
			return ""
		}
	}
	if w.c.Stops != nil {
		text, hit = w.c.Stops.Push(text)
	}
	w.delta(text, logprob)
	return hit
}

// Call passes a piece of a call on. index is the server's number of the call;
// name counts in its first piece.
func (w *Writer) Call(index int, name, arguments string) bool {
	if w.kind != llm.ToolCall || index != w.call {
		w.space, w.called, w.call = "", true, index
		if !w.open(llm.ToolCall, &llm.Call{ID: toolcall.NewID(), Name: name}) {
			return false
		}
	}
	return w.delta(arguments, nil)
}

// End sends the closing events. hit is the stop text that ended the reply, ""
// when none did.
func (w *Writer) End(reason llm.StopReason, hit string, u llm.Usage) {
	if w.index < 0 { // a reply has a block
		if !w.open(llm.Text, nil) || !w.delta(w.space, nil) {
			return
		}
	}
	_ = w.close() &&
		w.emit(llm.Event{Kind: llm.Stop, Reason: reason, StopSequence: hit}) &&
		w.emit(llm.Event{Kind: llm.Done, Usage: u, Latency: time.Since(w.begin), FirstToken: w.first})
}

// unechoed is text less the prefill that some servers repeat.
func (w *Writer) unechoed(text string) string {
	echo := w.c.Echo
	if echo == "" {
		return text
	}
	n := 0
	for n < len(text) && n < len(echo) && text[n] == echo[n] {
		n++
	}
	if n == len(text) {
		w.c.Echo = echo[n:]
		return ""
	}
	w.c.Echo = ""
	return text[n:]
}

// open begins a block, ending the one before. One of the same kind goes on, but
// each call is a block of its own.
func (w *Writer) open(kind llm.BlockKind, call *llm.Call) bool {
	if w.kind == kind && kind != llm.ToolCall {
		return !w.left
	}
	if !w.close() {
		return false
	}
	w.index++
	w.kind = kind
	return w.emit(llm.Event{Kind: llm.BlockStart, Index: w.index, Block: kind, Call: call})
}

// close ends the open block, if there is one, after what was held back of it.
func (w *Writer) close() bool {
	if w.kind == 0 {
		return !w.left
	}
	if w.kind == llm.Text && w.c.Stops != nil && !w.delta(w.c.Stops.Rest(), nil) {
		return false
	}
	kind := w.kind
	w.kind = 0
	return w.emit(llm.Event{Kind: llm.BlockStop, Index: w.index, Block: kind})
}

// delta passes a piece of the open block on.
func (w *Writer) delta(text string, logprob *float64) bool {
	if logprob != nil { // of all tokens since the last piece
		if w.logprob != nil {
			*logprob += *w.logprob
		}
		w.logprob = logprob
	}
	if text == "" {
		return !w.left
	}
	if w.first == 0 {
		w.first = max(time.Since(w.begin), 1)
	}
	logprob, w.logprob = w.logprob, nil
	return w.emit(llm.Event{Kind: llm.Delta, Index: w.index, Block: w.kind, Text: text, Logprob: logprob})
}

func (w *Writer) emit(ev llm.Event) bool {
	if !w.left && !w.c.Yield(ev, nil) {
		w.left = true
	}
	return !w.left
}
