package cache

import (
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
)

// accountant writes into a call what a reply used that was made for another one.
// What was cut short counts as far as it came.
type accountant struct {
	c      *call.Call
	start  time.Time
	now    func() time.Time
	rename bool // calls of tools get new ids: they are of another reply
	again  bool // the reply was made long ago: times are those of now
	done   bool
}

// take accounts for one event, and fits it to the call.
func (a *accountant) take(ev *llm.Event) {
	switch ev.Kind {
	case llm.Start:
		a.c.Usage = ev.Usage
		if a.again {
			ev.Served = nil
		}
	case llm.BlockStart:
		if a.rename && ev.Call != nil {
			fresh := *ev.Call
			fresh.ID = toolcall.NewID()
			ev.Call = &fresh
		}
	case llm.Delta:
		if a.c.Usage.OutputTokens == 0 {
			a.c.FirstToken = a.now().Sub(a.start)
		}
		a.c.Usage.OutputTokens++
	case llm.Done:
		a.done = true
		if a.again {
			ev.Latency, ev.FirstToken = a.now().Sub(a.start), a.c.FirstToken
		}
		a.c.Usage, a.c.Latency, a.c.FirstToken = ev.Usage, ev.Latency, ev.FirstToken
	}
}

// end accounts for a reply that was cut short.
func (a *accountant) end() {
	if !a.done && a.c.Inferred {
		a.c.Latency = a.now().Sub(a.start)
	}
}
