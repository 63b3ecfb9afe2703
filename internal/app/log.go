package app

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Under load the lines of many calls leave together: a write of its own for each
// would be a fortieth of what a call costs.
const (
	linesWait = 20 * time.Millisecond // at most, unless they are warnings
	linesRoom = 32 << 10              // bytes
)

// newLog writes one line per call and what an operator must know. It never carries
// prompts, completions or secrets. The caller ends it with flush.
func newLog(w io.Writer) (log *slog.Logger, flush func()) {
	l := &lines{to: w}
	return slog.New(urgent{slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}), l}), l.flush
}

// lines is a writer that passes a line on at once when none went out shortly before,
// and later together with others when one did. It is safe for concurrent use.
type lines struct {
	to io.Writer

	mu    sync.Mutex
	kept  []byte
	last  time.Time   // when lines went out
	timer *time.Timer // flushes what is kept; nil before the first
}

// Write implements io.Writer. What goes wrong with the lines that are kept, nobody
// learns: there is no place to tell it.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := len(l.kept) > 0
	l.kept = append(l.kept, line...)
	switch since := time.Since(l.last); {
	case since >= linesWait || len(l.kept) >= linesRoom:
		l.write()
	case waiting: // so the timer runs
	case l.timer == nil:
		l.timer = time.AfterFunc(linesWait-since, l.flush)
	default:
		l.timer.Reset(linesWait - since)
	}
	return len(line), nil
}

// flush writes the lines that are kept.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write()
}

// write needs the lock.
func (l *lines) write() {
	if l.timer != nil {
		l.timer.Stop()
	}
	if len(l.kept) == 0 {
		return
	}
	_, _ = l.to.Write(l.kept)
	l.last = time.Now()
	if l.kept = l.kept[:0]; cap(l.kept) > 2*linesRoom {
		l.kept = nil
	}
}

// urgent lets warnings and errors leave at once: they may be the last that a process
// says.
type urgent struct {
	slog.Handler
	lines *lines
}

// Handle implements slog.Handler.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		u.lines.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.lines}
}

// WithGroup implements slog.Handler.
func (u urgent) WithGroup(name string) slog.Handler {
	return urgent{u.Handler.WithGroup(name), u.lines}
}
