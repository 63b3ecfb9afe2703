package toolcall

import (
	"bytes"
	"crypto/rand"
	"encoding/json"

	"github.com/outcrop/outcrop/internal/llm"
)

// raise returns how the events of the lowered request become those of the
// request; nil when they are the same.
func (p *plan) raise() Raise {
	var start func(o *out) taker // a reply's own
	switch {
	case p.way == forced, p.way == marked:
		start = func(o *out) taker {
			r := &reader{plan: p, out: o}
			if p.way == forced {
				r.state = inHead
			}
			return r
		}
	case p.way == engines, len(p.req.Tools) > 0 && !p.plain, p.format != nil:
		start = func(o *out) taker { return &watcher{plan: p, out: o} }
	default:
		return nil
	}
	return func(in llm.Events) llm.Events {
		return func(yield func(llm.Event, error) bool) {
			o := &out{yield: yield}
			t := start(o)
			for ev, err := range in {
				if err != nil {
					yield(ev, err)
					return
				}
				if t.take(&ev); o.left {
					return
				}
			}
		}
	}
}

// taker takes the events of an engine, one after the other.
type taker interface{ take(ev *llm.Event) }

// out is where events go.
type out struct {
	yield func(llm.Event, error) bool
	left  bool // the reader ended the range
}

func (o *out) emit(ev llm.Event) {
	if !o.left && !o.yield(ev, nil) {
		o.left = true
	}
}

// NewID makes the id of a call in the form of Bedrock's: "tooluse_" and 22
// characters of base64url, at random.
func NewID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	var b [22]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = alphabet[b[i]&63]
	}
	return "tooluse_" + string(b[:])
}

// state is where in a reply a reader is.
type state uint8

const (
	inText   state = iota // outside of calls
	inHead                // from the brace of a call to its arguments
	inInput               // in the arguments
	inTail                // behind them
	inBroken              // a forced reply that is no call is text; behind one, nothing counts
)

// maxHead bounds what is looked at to find the name of a call: names have 64
// characters at most, the rest may be white space.
const maxHead = 512

// reader finds calls in the text of a reply.
type reader struct {
	*plan
	*out
	state   state
	pending []byte // text that is not decided yet
	logprob *float64

	next  int           // index of the next block
	open  llm.BlockKind // the block that is open; 0: none
	blank []byte        // white space that a text would begin with
	text  []byte        // of the reply, when a format holds it

	tool      *tool
	input     []byte
	json      value
	calls     int  // whole ones
	malformed bool // a call left that is none
	cut       bool // the last call is not whole
}

func (r *reader) take(ev *llm.Event) {
	switch ev.Kind {
	case llm.BlockStart, llm.BlockStop, llm.Delta:
		if ev.Block != llm.Text && ev.Block != 0 {
			r.other(ev)
		} else if ev.Kind == llm.Delta {
			r.pending = append(r.pending, ev.Text...)
			r.logprob = ev.Logprob
			for r.step() {
			}
		}
	case llm.Stop:
		r.end()
		stop := *ev
		stop.Reason = r.reason(ev.Reason)
		r.emit(stop)
	default:
		r.emit(*ev)
	}
}

// other passes a block of reasoning on. A call that an engine found in spite of
// our grammar is left out.
func (r *reader) other(ev *llm.Event) {
	if ev.Block != llm.Reasoning {
		return
	}
	pass := *ev
	switch ev.Kind {
	case llm.BlockStart:
		r.close()
		r.open = llm.Reasoning
		pass.Index = r.next
		r.emit(pass)
	case llm.BlockStop:
		if r.open != llm.Reasoning {
			return
		}
		pass.Index = r.next
		r.next, r.open = r.next+1, 0
		r.emit(pass)
	default:
		if r.open == llm.Reasoning {
			pass.Index = r.next
			r.emit(pass)
		}
	}
}

// step decides on the pending text; it reports whether more can be decided.
func (r *reader) step() bool {
	switch r.state {
	case inText:
		if i := bytes.Index(r.pending, []byte(opening)); i >= 0 {
			r.say(r.pending[:i])
			r.pending = r.pending[i+len(opening):]
			r.state = inHead
			return true
		}
		keep := begins(r.pending, opening)
		r.say(r.pending[:len(r.pending)-keep])
		r.pending = append(r.pending[:0], r.pending[len(r.pending)-keep:]...)
		return false
	case inHead:
		return r.head()
	case inInput:
		return r.arguments()
	case inTail:
		return r.tail()
	default:
		if r.calls == 0 {
			r.say(r.pending)
		}
		r.pending = r.pending[:0]
		return false
	}
}

func (r *reader) head() bool {
	name, n, v := head(r.pending)
	if v == more && len(r.pending) <= maxHead {
		return false
	}
	var t *tool
	for i := range r.tools {
		if v == yes && r.tools[i].name == name {
			t = &r.tools[i]
		}
	}
	if t == nil {
		r.noCall()
		return true
	}
	r.close()
	r.blank = nil
	r.pending = r.pending[n:]
	r.tool, r.input, r.json, r.state, r.cut = t, nil, value{}, inInput, true
	r.open = llm.ToolCall
	r.emit(llm.Event{Kind: llm.BlockStart, Index: r.next, Block: llm.ToolCall, Call: &llm.Call{ID: NewID(), Name: name}})
	return true
}

// noCall: what looked like a call is text.
func (r *reader) noCall() {
	if r.way == forced {
		r.state = inBroken
		return
	}
	r.say([]byte(opening))
	r.state = inText
}

func (r *reader) arguments() bool {
	n, whole := r.json.push(r.pending)
	if n > 0 {
		r.input = append(r.input, r.pending[:n]...)
		r.emit(llm.Event{Kind: llm.Delta, Index: r.next, Block: llm.ToolCall, Text: string(r.pending[:n])})
		r.pending = r.pending[n:]
	}
	if !whole {
		return false
	}
	if !r.tool.fits(r.input) {
		r.malformed = true
	}
	r.close()
	r.calls, r.cut, r.state = r.calls+1, false, inTail
	return true
}

// fits reports whether an input is an object that satisfies the tool's schema.
func (t *tool) fits(input []byte) bool {
	if t.schema == nil {
		return isObject(input)
	}
	return t.schema.Validate(input) == nil
}

func isObject(input []byte) bool {
	trimmed := bytes.TrimLeft(input, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(input)
}

func (r *reader) tail() bool {
	closer := closing
	if r.way == forced {
		closer = ""
	}
	n, v := tail(r.pending, closer)
	switch {
	case v == more && len(r.pending) <= maxHead:
		return false
	case r.way == forced && v == yes && len(bytes.TrimSpace(r.pending[n:])) == 0:
		return false // white space behind the call
	case r.way == forced:
		r.malformed, r.state = true, inBroken
		r.pending = r.pending[:0]
		return false
	case v == yes:
		r.pending = r.pending[n:]
	}
	r.state = inText
	return true
}

// say passes text on. White space alone does not begin a block: a client would
// have to send it back, and may not.
func (r *reader) say(text []byte) {
	if len(text) == 0 {
		return
	}
	if r.format != nil {
		r.text = append(r.text, text...)
	}
	if r.open != llm.Text {
		r.blank = append(r.blank, text...)
		if len(bytes.TrimSpace(r.blank)) == 0 {
			return
		}
		text = r.blank
		r.blank = nil
		r.begin()
	}
	r.emit(llm.Event{Kind: llm.Delta, Index: r.next, Text: string(text), Logprob: r.logprob})
	r.logprob = nil
}

func (r *reader) begin() {
	r.close()
	r.open = llm.Text
	r.emit(llm.Event{Kind: llm.BlockStart, Index: r.next})
}

// close ends the open block.
func (r *reader) close() {
	if r.open == 0 {
		return
	}
	ev := llm.Event{Kind: llm.BlockStop, Index: r.next}
	if r.open != llm.Text {
		ev.Block = r.open
	}
	r.next, r.open = r.next+1, 0
	r.emit(ev)
}

// end decides on what is left when nothing more comes.
func (r *reader) end() {
	switch {
	case r.state == inText:
		r.say(r.pending)
	case r.state == inHead && r.way == marked:
		r.say([]byte(opening))
		r.say(r.pending)
	}
	if r.calls == 0 && !r.cut && r.open != llm.Text { // a reply has text, empty if need be
		blank := r.blank
		r.blank = nil
		r.begin()
		if len(blank) > 0 {
			r.emit(llm.Event{Kind: llm.Delta, Index: r.next, Text: string(blank)})
		}
	}
	r.close()
}

// reason is why the reply ended, in view of what was found in it.
func (r *reader) reason(why llm.StopReason) llm.StopReason {
	switch {
	case r.malformed:
		return llm.MalformedToolUse
	case r.way == forced && r.calls > 0: // whole, even if its last brace was cut off
		return llm.ToolUse
	case why != llm.EndTurn && why != llm.ToolUse:
		return why
	case r.cut, r.way == forced:
		return llm.MalformedToolUse
	case r.calls > 0:
		return llm.ToolUse
	case r.format != nil && r.format.Validate(r.text) != nil:
		return llm.MalformedOutput
	}
	return llm.EndTurn
}
