//go:build unix

package h1

import (
	"errors"
	"syscall"
)

// watcher looks at a connection without waiting. It is made once, so that a look
// allocates nothing.
type watcher struct {
	raw   syscall.RawConn // nil: the connection has no descriptor
	look  func(fd uintptr) bool
	quiet bool
	b     [1]byte
}

func (w *watcher) init(of any) {
	s, ok := of.(syscall.Conn)
	if !ok {
		return
	}
	var err error
	if w.raw, err = s.SyscallConn(); err != nil {
		w.raw = nil
		return
	}
	w.look = func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), w.b[:])
		w.quiet = errors.Is(err, syscall.EAGAIN)
		return true
	}
}

// silent reports whether a connection is open and nothing has come on it. One that is
// not can be closed alone: what came is gone.
func (w *watcher) silent() bool {
	return w.raw == nil || w.raw.Read(w.look) == nil && w.quiet
}
