package cache

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

// form is the first byte of a recorded reply.
const form = 1

var errForm = errors.New("cache: not a recorded reply")

// Which fields of an event follow its kind.
const (
	hasIndex = 1 << iota
	hasText
	hasCall
	hasSignature
	hasLogprob
	hasReason
	hasUsage
	hasTimes
)

// appendEvent appends one event as it is replayed: all of it but where it was made.
func appendEvent(b []byte, ev *llm.Event) []byte {
	flags := uint64(0)
	set := func(bit uint64, on bool) {
		if on {
			flags |= bit
		}
	}
	set(hasIndex, ev.Index != 0 || ev.Block != 0)
	set(hasText, ev.Text != "")
	set(hasCall, ev.Call != nil)
	set(hasSignature, ev.Signature != "")
	set(hasLogprob, ev.Logprob != nil)
	set(hasReason, ev.Reason != "" || ev.StopSequence != "")
	set(hasUsage, ev.Usage != llm.Usage{})
	set(hasTimes, ev.Latency != 0 || ev.FirstToken != 0)
	b = append(b, byte(ev.Kind))
	b = binary.AppendUvarint(b, flags)
	if flags&hasIndex != 0 {
		b = append(appendInt(b, ev.Index), byte(ev.Block))
	}
	if flags&hasText != 0 {
		b = appendText(b, ev.Text)
	}
	if flags&hasCall != 0 {
		b = appendText(appendText(appendText(b, ev.Call.ID), ev.Call.Name), string(ev.Call.Input))
	}
	if flags&hasSignature != 0 {
		b = appendText(b, ev.Signature)
	}
	if flags&hasLogprob != 0 {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(*ev.Logprob))
	}
	if flags&hasReason != 0 {
		b = appendText(appendText(b, string(ev.Reason)), ev.StopSequence)
	}
	if flags&hasUsage != 0 {
		u := &ev.Usage
		for _, n := range []int{u.InputTokens, u.OutputTokens, u.ReusedTokens, u.CacheRead, u.CacheWrite} {
			b = appendInt(b, n)
		}
	}
	if flags&hasTimes != 0 {
		b = binary.AppendVarint(binary.AppendVarint(b, int64(ev.Latency)), int64(ev.FirstToken))
	}
	return b
}

func appendInt(b []byte, n int) []byte { return binary.AppendVarint(b, int64(n)) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader reads what appendEvent wrote.
type reader struct {
	b   []byte
	bad bool
}

// event reads the next event. Errors: errForm.
func (r *reader) event() (llm.Event, error) {
	ev := llm.Event{Kind: llm.EventKind(r.byte())}
	flags := r.unsigned()
	if ev.Kind < llm.Start || ev.Kind > llm.Done || flags >= hasTimes<<1 {
		return llm.Event{}, errForm
	}
	if flags&hasIndex != 0 {
		ev.Index, ev.Block = r.int(), llm.BlockKind(r.byte())
	}
	if flags&hasText != 0 {
		ev.Text = r.text()
	}
	if flags&hasCall != 0 {
		ev.Call = &llm.Call{ID: r.text(), Name: r.text()}
		if in := r.text(); in != "" {
			ev.Call.Input = []byte(in)
		}
	}
	if flags&hasSignature != 0 {
		ev.Signature = r.text()
	}
	if flags&hasLogprob != 0 {
		if p := r.take(8); p != nil {
			ev.Logprob = new(math.Float64frombits(binary.BigEndian.Uint64(p)))
		}
	}
	if flags&hasReason != 0 {
		ev.Reason, ev.StopSequence = llm.StopReason(r.text()), r.text()
	}
	if flags&hasUsage != 0 {
		ev.Usage = llm.Usage{InputTokens: r.int(), OutputTokens: r.int(), ReusedTokens: r.int(), CacheRead: r.int(), CacheWrite: r.int()}
	}
	if flags&hasTimes != 0 {
		ev.Latency, ev.FirstToken = time.Duration(r.signed()), time.Duration(r.signed())
	}
	if r.bad || ev.Index < 0 {
		return llm.Event{}, errForm
	}
	return ev, nil
}

// readEvents reads a whole recorded reply. Errors: errForm.
func readEvents(b []byte) ([]llm.Event, error) {
	if len(b) == 0 || b[0] != form {
		return nil, errForm
	}
	r := &reader{b: b[1:]}
	var all []llm.Event
	for len(r.b) > 0 {
		ev, err := r.event()
		if err != nil {
			return nil, err
		}
		all = append(all, ev)
	}
	if len(all) == 0 || all[len(all)-1].Kind != llm.Done {
		return nil, errForm
	}
	return all, nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) text() string { return string(r.take(r.unsigned())) }

func (r *reader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int { return int(r.signed()) }
