package h1

import (
	"context"
	"io"
	"time"
)

// body is the body of an answer. Read to its end, it leaves the connection to the
// next request; closed before, it closes the connection, which tells the server.
type body struct {
	t      *Transport
	c      *conn
	ctx    context.Context
	unhook func() bool
	from   io.ReadCloser
	close  bool // the connection is good for nothing more
	err    error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	if err != nil {
		b.end(err)
	}
	return n, b.err
}

// end notes how the body ended and lets the connection go.
func (b *body) end(err error) {
	b.err = err
	free := b.unhook() // false: the context ended, and with it the connection
	if err != io.EOF && b.ctx.Err() != nil {
		b.err = context.Cause(b.ctx)
	}
	if err == io.EOF && free && !b.close {
		b.t.keep(b.c)
		return
	}
	_ = b.c.Close() // whatever was lost, the body's reader was told
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.err != nil {
		return nil
	}
	b.err = errClosed
	b.unhook()
	return b.c.Close()
}

// kept returns a connection that was used before and is still open; nil when there is
// none.
func (t *Transport) kept(address string) *conn {
	for {
		c := t.pop(address)
		if c == nil || c.watcher.silent() {
			return c
		}
		_ = c.Close()
	}
}

// pop returns the connection that was used last.
func (t *Transport) pop(address string) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.idle[address]
	if len(all) == 0 {
		return nil
	}
	c := all[len(all)-1]
	all[len(all)-1] = nil
	t.idle[address] = all[:len(all)-1]
	if time.Since(c.since) > t.idleTimeout() {
		_ = c.Close() // so are all older ones; they go with the next sweep
		return nil
	}
	return c
}

// keep takes back a connection whose exchange is done.
func (t *Transport) keep(c *conn) {
	c.used, c.since = true, time.Now()
	most := t.MaxIdle
	if most == 0 {
		most = DefaultMaxIdle
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.r.Buffered() > 0 || c.more != nil || len(t.idle[c.address]) >= most {
		_ = c.Close()
		return
	}
	if t.idle == nil {
		t.idle = map[string][]*conn{}
	}
	t.idle[c.address] = append(t.idle[c.address], c)
	if t.timer == nil {
		t.timer = time.AfterFunc(t.idleTimeout(), t.sweep)
	}
}

func (t *Transport) idleTimeout() time.Duration {
	if t.IdleTimeout == 0 {
		return DefaultIdleTimeout
	}
	return t.IdleTimeout
}

// sweep closes connections that nobody used for long.
func (t *Transport) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	for address, all := range t.idle {
		n := 0
		for n < len(all) && time.Since(all[n].since) >= t.idleTimeout() {
			_ = all[n].Close()
			n++
		}
		if n == len(all) {
			delete(t.idle, address)
			continue
		}
		t.idle[address] = append(all[:0:0], all[n:]...)
	}
	if len(t.idle) > 0 {
		t.timer = time.AfterFunc(t.idleTimeout(), t.sweep)
	}
}

// CloseIdleConnections closes the connections that are unused now.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, all := range t.idle {
		for _, c := range all {
			_ = c.Close()
		}
	}
	t.idle = nil
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}
