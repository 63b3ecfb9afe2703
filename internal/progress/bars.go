package progress

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/outcrop/outcrop/internal/weights"
)

// Bars draws one bar per step on the terminal w: name, bar, amount, rate and
// time left. When no step runs, nothing is drawn and the terminal is free for
// other output; bars of ended steps stay on it.
func Bars(w io.Writer) weights.Progress {
	return &bars{w: w}
}

type bars struct {
	w io.Writer

	mu      sync.Mutex
	group   *mpb.Progress // nil while no step runs
	running int
}

// Start adds a bar.
func (b *bars) Start(name string, total int64) weights.Step {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.group == nil {
		b.group = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(100), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithAutoRefresh())
	}
	b.running++
	s := &barStep{b: b, c: newCount(time.Now, total)}
	s.bar = b.group.New(0, // a total given here would end the bar by itself
		mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarWidth(32),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 28, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(s.text)),
	)
	s.Total(total)
	return s
}

type barStep struct {
	b   *bars
	bar *mpb.Bar
	c   *count
	end atomic.Int32 // ended or failed once it is over
}

const (
	ended  = 1
	failed = 2
)

// text is what stands right of the bar.
func (s *barStep) text(decor.Statistics) string {
	now := s.c.state()
	switch s.end.Load() {
	case failed:
		return " failed"
	case ended:
		if now.done > 0 {
			return " " + weights.Bytes(now.done) + ", done"
		}
		return " done"
	}
	out := " " + now.amount()
	if speed := now.speed(); speed != "" {
		out += " " + speed
	}
	return out
}

func (s *barStep) Total(n int64) {
	if n > 0 {
		s.c.setTotal(n)
		s.bar.SetTotal(n, false)
	}
}

func (s *barStep) Set(n int64) {
	s.c.set(n)
	s.bar.SetCurrent(n)
}

func (s *barStep) Add(n int64) {
	s.c.add(n)
	s.bar.IncrInt64(n)
}

// Done ends the bar; the last one waits until everything is drawn.
func (s *barStep) Done(err error) {
	if err != nil {
		s.end.Store(failed)
		s.bar.Abort(false)
	} else {
		s.end.Store(ended)
		st := s.c.state()
		if st.done == 0 { // steps without bytes, such as waiting
			s.bar.SetCurrent(1)
		}
		s.bar.SetTotal(-1, true)
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.running--
	if s.b.running == 0 {
		s.b.group.Wait()
		s.b.group = nil
	}
}
