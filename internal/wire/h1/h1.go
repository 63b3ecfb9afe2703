// Package h1 is a client of HTTP/1.1 for requests that wait for streams.
//
// A request is written and its answer read by the goroutine that asks. net/http's
// transport has two goroutines and three buffers for each connection, which cost
// a server that holds thousands of streams most of their memory, and each request
// several changes between goroutines. In exchange this client can do less: no
// proxies, no TLS, no HTTP/2, no bodies without a known length, and an answer can
// not come before the request is out.
package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Defaults and bounds.
const (
	DefaultMaxIdle     = 64
	DefaultIdleTimeout = 30 * time.Second

	bufferSize  = 1 << 10   // for the answer's head and the framing of its body
	moreSize    = 8 << 10   // for what comes at once
	maxHead     = 256 << 10 // bytes of an answer's head
	maxInterim  = 8         // answers of status 1xx before the real one
	roomForHead = 512
	oneWrite    = 64 << 10 // bodies up to here go out with their head
	keptHead    = 16 << 10 // room for requests up to here is used again
)

// Transport is an http.RoundTripper. It is safe for concurrent use.
//
// A request's header X-Idempotency-Key, which is never sent when it is empty,
// marks it as one that may be sent twice: it is, when a kept connection turns out
// to be closed before a byte of the answer came. GET and HEAD need no mark.
//
// A kept connection on which something came meanwhile is closed: whatever it is, it
// is no answer to the next request, which may be another caller's.
type Transport struct {
	// Dial makes a connection; required.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxIdle is how many unused connections are kept for each address; 0 means
	// DefaultMaxIdle.
	MaxIdle int
	// IdleTimeout is how long an unused connection is kept; 0 means
	// DefaultIdleTimeout.
	IdleTimeout time.Duration

	mu    sync.Mutex
	idle  map[string][]*conn // by address, the one used last at the end
	timer *time.Timer        // sweeps; nil while nothing is kept

	room  sync.Pool // of *[moreSize]byte
	heads sync.Pool // of *[]byte, in which requests are written
}

var _ http.RoundTripper = (*Transport)(nil)

// conn is a connection. It belongs to one request at a time.
type conn struct {
	net.Conn
	t       *Transport
	address string
	r       *bufio.Reader
	left    int64 // bytes that the head of the answer may still have
	since   time.Time
	used    bool // it has carried a whole exchange

	full bool            // the last read filled r's buffer: there is likely more
	more *[moreSize]byte // what was read beyond it; nil: nothing
	rest []byte          // of more

	watcher watcher
}

var (
	errLongHead = errors.New("the head of the answer is too long")
	errClosed   = errors.New("the body is closed")
)

// Read reads for r, within the bound on heads. A connection that waits has no
// buffer but r's small one; when much comes at once, a larger one is borrowed.
func (c *conn) Read(b []byte) (n int, err error) {
	if c.left <= 0 {
		return 0, errLongHead
	}
	b = b[:min(int64(len(b)), c.left)]
	switch {
	case c.more != nil:
	case !c.full:
		n, err = c.Conn.Read(b)
		c.left -= int64(n)
		c.full = n == bufferSize
		return n, err
	default:
		if c.more, _ = c.t.room.Get().(*[moreSize]byte); c.more == nil {
			c.more = new([moreSize]byte)
		}
		n, err = c.Conn.Read(c.more[:])
		c.full, c.rest = n == moreSize, c.more[:n]
	}
	n = copy(b, c.rest)
	c.left -= int64(n)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.t.room.Put(c.more)
		c.more, c.rest = nil, nil
		return n, err
	}
	return n, nil // an error comes again
}

// RoundTrip implements http.RoundTripper. The request ends with its context, whose
// cause is then the error, while the body of its answer is read too.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() // as every RoundTripper must
	}
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	room, ok := t.heads.Get().(*[]byte)
	if !ok {
		room = new([]byte)
	}
	defer t.heads.Put(room)
	head, err := appendHead(slices.Grow((*room)[:0], roomForHead+int(min(oneWrite, max(0, r.ContentLength)))), r)
	if err != nil {
		return nil, err
	}
	if cap(head) <= keptHead {
		*room = head
	}
	address := r.URL.Host
	if r.URL.Port() == "" {
		address = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	c := t.kept(address)
	for {
		if c == nil {
			if c, err = t.dial(ctx, address); err != nil {
				return nil, err
			}
		}
		if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: c.used})
		}
		resp, silent, err := t.exchange(ctx, c, head, r)
		if err == nil {
			return resp, nil
		}
		again := silent && c.used && repeatable(r)
		_ = c.Close()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !again:
			return nil, err
		case r.Body != nil && r.Body != http.NoBody:
			if r.Body, err = r.GetBody(); err != nil {
				return nil, fmt.Errorf("send the request again: %w", err)
			}
		}
		c = nil // the others that are kept may be as old
	}
}

// repeatable reports whether a request may be sent twice.
func repeatable(r *http.Request) bool {
	_, marked := r.Header["X-Idempotency-Key"]
	whole := r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
	return whole && (marked || r.Method == http.MethodGet || r.Method == http.MethodHead)
}

func (t *Transport) dial(ctx context.Context, address string) (*conn, error) {
	raw, err := t.Dial(ctx, "tcp", address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	c := &conn{Conn: raw, t: t, address: address}
	c.watcher.init(raw)
	c.r = bufio.NewReaderSize(c, bufferSize)
	return c, nil
}

// past is a deadline that ends what a connection waits for.
var past = time.Unix(1, 0)

// exchange sends a request and reads the head of its answer. silent tells that
// the connection ended before a byte of it came.
func (t *Transport) exchange(ctx context.Context, c *conn, head []byte, r *http.Request) (resp *http.Response, silent bool, err error) {
	unhook := context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) }) // fails only when it is closed
	defer func() {
		if err != nil {
			unhook()
		}
	}()
	sent := send(c, head, r)
	if sent != nil && !closed(sent) {
		return nil, false, fmt.Errorf("send the request: %w", sent)
	}
	c.left, c.full = maxHead, true // a buffer is lent until the head is here
	if _, err := c.r.Peek(1); err != nil {
		if sent != nil && !errors.Is(err, errLongHead) {
			err = sent
		}
		return nil, closed(err), fmt.Errorf("read the answer: %w", unexpected(err))
	}
	for range maxInterim {
		if resp, err = http.ReadResponse(c.r, r); err != nil {
			return nil, false, fmt.Errorf("read the answer: %w", unexpected(err))
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	if resp.StatusCode < 200 {
		return nil, false, errors.New("read the answer: nothing but interim answers")
	}
	c.left = 1<<63 - 1
	// A server that answers before it has read everything, to refuse it, closes.
	resp.Body = &body{t: t, c: c, ctx: ctx, unhook: unhook, from: resp.Body, close: resp.Close || sent != nil}
	return resp, false, nil
}

// closed reports whether err is what the end of a connection looks like.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// unexpected makes the end of a connection an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// send writes a request.
func send(c *conn, head []byte, r *http.Request) error {
	n := r.ContentLength
	if n == 0 || r.Body == nil {
		_, err := c.Write(head)
		return err
	}
	if n <= oneWrite {
		at := len(head)
		head = append(head, make([]byte, n)...)
		if _, err := io.ReadFull(r.Body, head[at:]); err != nil {
			return fmt.Errorf("read the request's body: %w", err)
		}
		_, err := c.Write(head)
		return err
	}
	if _, err := c.Write(head); err != nil {
		return err
	}
	sent, err := io.Copy(c.Conn, io.LimitReader(r.Body, n))
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// appendHead writes the request line and the header.
func appendHead(b []byte, r *http.Request) ([]byte, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	uri := r.URL.RequestURI()
	switch {
	case r.URL.Scheme != "http":
		return nil, fmt.Errorf("scheme %q: want http", r.URL.Scheme)
	case r.Body != nil && r.Body != http.NoBody && r.ContentLength <= 0:
		return nil, errors.New("the length of the request's body is not known")
	case host == "" || !plain(host) || !token(r.Method) || !plain(uri) || strings.Contains(uri, " "):
		return nil, errors.New("malformed request")
	}
	b = append(append(b, r.Method...), ' ')
	b = append(append(b, uri...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	for name, values := range r.Header {
		if !token(name) {
			return nil, errors.New("malformed name of a header")
		}
		switch name {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Host":
			continue
		}
		for _, v := range values {
			if !plain(v) {
				return nil, fmt.Errorf("malformed header %s", name)
			}
			b = append(append(b, name...), ": "...)
			b = append(append(b, v...), "\r\n"...)
		}
	}
	if r.ContentLength > 0 || r.Method == http.MethodPost {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, r.ContentLength, 10), "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// plain reports whether a value has no control characters, which could end a line.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// token reports whether s is a token of RFC 9110.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
