package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// FlowConfig of a FlowLog. Zero values are the defaults told.
type FlowConfig struct {
	Dir     string // where files lie; required. Made with mode 0700 for the first record
	Account string // account-id of the records, 12 digits; required
	// FileSize and FileAge end a file; 0 means 16 MiB and one hour.
	FileSize int64
	FileAge  time.Duration
	// Total bounds the bytes of all files: the oldest go first. 0 means 512 MiB.
	Total int64
	// Queue is how many records may wait to be written; more are dropped, and a
	// SKIPDATA record tells so. 0 means 8192.
	Queue int
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards
}

// FlowLog keeps flow records in files. It is safe for concurrent use; a nil
// FlowLog keeps nothing. Records that a killed process had not written yet, those
// of its last second, are lost.
type FlowLog struct {
	c FlowConfig

	mu      sync.Mutex // guards these; never held while a file is touched
	queue   []Flow
	dropped time.Time // when the first record since the last write was dropped; zero: none was
	lost    int       // records dropped so far

	wake chan struct{}

	file   sync.Mutex // guards these
	out    *os.File
	opened time.Time
	size   int64
	serial int
	buf    []byte
}

// NewFlowLog returns a log. It touches no file.
func NewFlowLog(c FlowConfig) *FlowLog {
	if c.FileSize <= 0 {
		c.FileSize = 16 << 20
	}
	if c.FileAge <= 0 {
		c.FileAge = time.Hour
	}
	if c.Total <= 0 {
		c.Total = 512 << 20
	}
	if c.Queue <= 0 {
		c.Queue = 8192
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &FlowLog{c: c, wake: make(chan struct{}, 1)}
}

// Record takes a record to be written. It never waits for a file.
func (l *FlowLog) Record(f Flow) {
	if l == nil {
		return
	}
	l.mu.Lock()
	full := len(l.queue) >= l.c.Queue
	if full {
		if l.dropped.IsZero() {
			l.dropped = l.c.Now()
		}
		l.lost++
	} else {
		l.queue = append(l.queue, f)
	}
	busy := len(l.queue) >= l.c.Queue/2
	l.mu.Unlock()
	if busy {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Lost is how many records were dropped because too many came at once.
func (l *FlowLog) Lost() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Run writes records, once a second and when many wait, until ctx ends; what is
// there by then is written before it returns. A file that cannot be written is
// told in the log, and its records are gone: serving goes on. It returns nil.
func (l *FlowLog) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var complained time.Time
	for {
		select {
		case <-ctx.Done():
			return l.Close()
		case <-tick.C:
		case <-l.wake:
		}
		if err := l.Flush(); err != nil && l.c.Now().Sub(complained) >= time.Minute {
			complained = l.c.Now()
			l.c.Log.Error("flow records are lost: they cannot be written", "error", err)
		}
	}
}

// Flush writes what waits. Programs that do not call Run call it, or Close.
func (l *FlowLog) Flush() error {
	if l == nil {
		return nil
	}
	l.file.Lock()
	defer l.file.Unlock()
	l.mu.Lock()
	batch, dropped := l.queue, l.dropped
	l.queue, l.dropped = nil, time.Time{}
	l.mu.Unlock()
	now := l.c.Now()
	if l.out != nil && now.Sub(l.opened) >= l.c.FileAge {
		l.rotate()
	}
	for len(batch) > 0 || !dropped.IsZero() {
		if err := l.open(now); err != nil {
			return err
		}
		l.buf = l.buf[:0]
		for len(batch) > 0 && l.size+int64(len(l.buf)) < l.c.FileSize {
			l.buf = batch[0].append(l.buf, l.c.Account)
			batch = batch[1:]
		}
		if len(batch) == 0 && !dropped.IsZero() {
			l.buf, dropped = skipped(l.buf, l.c.Account, dropped, now), time.Time{}
		}
		n, err := l.out.Write(l.buf)
		l.size += int64(n)
		if err != nil {
			l.rotate()
			return fmt.Errorf("write flow records: %w", err)
		}
		if l.size >= l.c.FileSize {
			l.rotate()
		}
	}
	return nil
}

// Close writes what waits and closes the file. The log may be used again.
func (l *FlowLog) Close() error {
	if l == nil {
		return nil
	}
	err := l.Flush()
	l.file.Lock()
	defer l.file.Unlock()
	l.rotate()
	return err
}

// rotate ends the current file.
func (l *FlowLog) rotate() {
	if l.out != nil {
		_ = l.out.Close() // everything is written; nothing can be done about an error
		l.out = nil
	}
}

// open begins a file when none is open.
func (l *FlowLog) open(now time.Time) error {
	if l.out != nil {
		return nil
	}
	if err := os.MkdirAll(l.c.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for flow records: %w", err)
	}
	l.serial++
	name := fmt.Sprintf("%s-%d-%05d.log", now.UTC().Format("20060102T150405Z"), os.Getpid(), l.serial)
	f, err := os.OpenFile(filepath.Join(l.c.Dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600) // #nosec G304 -- a name of our own
	if errors.Is(err, fs.ErrExist) {                                                                          // of a process with our number, in the same second
		return l.open(now)
	}
	if err != nil {
		return fmt.Errorf("begin a file of flow records: %w", err)
	}
	n, err := f.WriteString(FlowHeader + "\n")
	if err != nil {
		return errors.Join(fmt.Errorf("begin a file of flow records: %w", err), f.Close())
	}
	l.out, l.opened, l.size = f, now, int64(n)
	l.prune(name)
	return nil
}

// prune deletes the oldest files until all together are small enough. The file
// keep stays.
func (l *FlowLog) prune(keep string) {
	files, err := os.ReadDir(l.c.Dir)
	if err != nil {
		return
	}
	files = slices.DeleteFunc(files, func(e fs.DirEntry) bool { return !strings.HasSuffix(e.Name(), ".log") || !e.Type().IsRegular() })
	total := l.c.FileSize                      // what the new file may become
	for _, e := range slices.Backward(files) { // names are in the order of time
		if info, err := e.Info(); err == nil && e.Name() != keep {
			if total += info.Size(); total > l.c.Total {
				_ = os.Remove(filepath.Join(l.c.Dir, e.Name()))
			}
		}
	}
}
