// Package progress shows downloads and other long steps to people: moving bars
// on a terminal, a few plain lines in a log.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/outcrop/outcrop/internal/weights"
)

// For chooses what fits f: bars when it is a terminal that can move its cursor,
// lines otherwise.
func For(f *os.File) weights.Progress {
	fd := int(f.Fd()) // #nosec G115 -- a file descriptor
	if term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		return Bars(f)
	}
	return Lines(f, time.Now)
}

// count is how far a step is. It is safe for concurrent use.
type count struct {
	mu      sync.Mutex
	now     func() time.Time
	total   int64 // 0 when not known
	done    int64
	samples []sample // of work done, oldest first, at most span apart
}

// sample is what had been worked off at a moment; Set is no work.
type sample struct {
	at   time.Time
	work int64
}

// span is the time over which the rate is taken.
const span = 8 * time.Second

func newCount(now func() time.Time, total int64) *count {
	return &count{now: now, total: max(total, 0), samples: []sample{{at: now()}}}
}

func (c *count) setTotal(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = max(n, 0)
}

func (c *count) set(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = max(n, 0)
}

func (c *count) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	now := c.now()
	last := c.samples[len(c.samples)-1]
	next := sample{at: now, work: last.work + n}
	if len(c.samples) > 1 && now.Sub(last.at) < span/16 {
		c.samples[len(c.samples)-1].work = next.work
		return
	}
	c.samples = append(c.samples, next)
	for len(c.samples) > 2 && now.Sub(c.samples[0].at) > span {
		c.samples = c.samples[1:]
	}
}

// state is a count at one moment.
type state struct {
	done, total int64
	rate        float64       // bytes per second; 0 when not known
	left        time.Duration // -1 when not known
}

func (c *count) state() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := state{done: c.done, total: c.total, left: -1}
	first, last := c.samples[0], c.samples[len(c.samples)-1]
	if t := c.now().Sub(first.at).Seconds(); t > 0.2 && last.work > first.work {
		s.rate = float64(last.work-first.work) / t
	}
	if s.rate > 0 && s.total > s.done {
		s.left = time.Duration(float64(s.total-s.done) / s.rate * float64(time.Second))
	}
	return s
}

// amount writes "12.0 MB of 98.4 MB".
func (s state) amount() string {
	if s.total > 0 {
		return weights.Bytes(s.done) + " of " + weights.Bytes(s.total)
	}
	if s.done > 0 {
		return weights.Bytes(s.done)
	}
	return ""
}

// speed writes "8.1 MB/s, 11 s left".
func (s state) speed() string {
	if s.rate <= 0 {
		return ""
	}
	out := weights.Bytes(int64(s.rate)) + "/s"
	if s.left >= 0 {
		out += ", " + short(s.left) + " left"
	}
	return out
}

// short writes a duration in one or two units.
func short(d time.Duration) string {
	s := int64((d + time.Second - 1) / time.Second)
	switch {
	case s < 100:
		return fmt.Sprintf("%d s", s)
	case s < 100*60:
		return fmt.Sprintf("%d min", (s+59)/60)
	}
	return fmt.Sprintf("%d h", (s+3599)/3600)
}

// Lines writes to w one line when a step begins and one when it ends, and in
// between one at every tenth of the size or every ten seconds, but never more
// than one in two seconds for the same step. now is the clock, time.Now but in
// tests.
func Lines(w io.Writer, now func() time.Time) weights.Progress {
	return &lines{w: w, now: now}
}

type lines struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

// say writes one line. A log that cannot be written stops nothing.
func (l *lines) say(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != "" {
		text = ": " + text
	}
	_, _ = fmt.Fprintf(l.w, "%s%s\n", name, text)
}

// Start begins a step.
func (l *lines) Start(name string, total int64) weights.Step {
	s := &lineStep{l: l, name: name, c: newCount(l.now, total), begun: l.now(), last: l.now()}
	text := ""
	if total > 0 {
		text = weights.Bytes(total)
	}
	l.say(name, text)
	return s
}

type lineStep struct {
	l     *lines
	name  string
	c     *count
	begun time.Time

	mu   sync.Mutex
	last time.Time // of the last line
	said int64     // bytes in it
}

func (s *lineStep) Total(n int64) { s.c.setTotal(n) }

func (s *lineStep) Set(n int64) {
	s.c.set(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = n
}

func (s *lineStep) Add(n int64) {
	s.c.add(n)
	if st, ok := s.due(); ok {
		text := st.amount()
		if speed := st.speed(); speed != "" {
			text += " (" + speed + ")"
		}
		s.l.say(s.name, text)
	}
}

// due reports whether it is time for another line.
func (s *lineStep) due() (state, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.l.now()
	since := now.Sub(s.last)
	if since < 2*time.Second {
		return state{}, false
	}
	st := s.c.state()
	tenth := st.total > 0 && st.done-s.said >= st.total/10
	if !tenth && since < 10*time.Second {
		return state{}, false
	}
	s.last, s.said = now, st.done
	return st, true
}

func (s *lineStep) Done(err error) {
	if err != nil {
		s.l.say(s.name, "failed") // the error itself is the caller's to show
		return
	}
	text := "done"
	if n := s.c.state().done; n > 0 {
		text += ", " + weights.Bytes(n)
	}
	if d := s.l.now().Sub(s.begun); d >= time.Second {
		text += " in " + short(d)
	}
	s.l.say(s.name, text)
}
