// Package wire is the HTTP of the load clients: connections that allocate nothing per
// request, and the cutting of bodies into frames and lines.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Conn is one HTTP/1.1 connection of a load client. It allocates nothing per
// request, so that a server in the same process can be measured, and so that the
// client takes little of the time of the machine that it shares with the server.
type Conn struct {
	c   net.Conn
	r   *bufio.Reader
	buf []byte
}

// patience bounds one request of the client.
const patience = 2 * time.Minute

// Dial connects, within 10 s.
func Dial(network, address string) (*Conn, error) {
	c, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", network, err)
	}
	return New(c), nil
}

// New returns a Conn over c, which it owns.
func New(c net.Conn) *Conn {
	return &Conn{c: c, r: bufio.NewReaderSize(c, 64<<10), buf: make([]byte, 0, 64<<10)}
}

// Close closes the connection.
func (w *Conn) Close() { _ = w.c.Close() }

var (
	contentLength = []byte("content-length:")
	chunked       = []byte("transfer-encoding: chunked")
	errMalformed  = errors.New("malformed HTTP answer")
)

// Do sends a whole request and hands the body of the answer on in the pieces in
// which the server flushed it. A piece is valid until body returns.
func (w *Conn) Do(request []byte, body func(piece []byte) error) (status int, err error) {
	if err := w.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := w.c.Write(request); err != nil {
		return 0, fmt.Errorf("send request: %w", err)
	}
	line, err := w.line()
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if len(line) < 12 {
		return 0, errMalformed
	}
	if status = number3(line[9:12]); status == 0 {
		return 0, errMalformed
	}
	size, inChunks := 0, false
	for {
		if line, err = w.line(); err != nil {
			return status, fmt.Errorf("read header: %w", err)
		}
		if len(line) == 0 {
			break
		}
		switch {
		case len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength):
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return status, errMalformed
			}
		case len(line) == len(chunked) && bytes.EqualFold(line, chunked):
			inChunks = true
		}
	}
	if !inChunks {
		return status, w.piece(size, body)
	}
	for {
		if line, err = w.line(); err != nil {
			return status, fmt.Errorf("read chunk: %w", err)
		}
		n, ok := hex(line)
		if !ok {
			return status, errMalformed
		}
		if n == 0 {
			_, err := w.line()
			return status, err
		}
		if err := w.piece(n, body); err != nil {
			return status, err
		}
		if _, err := w.line(); err != nil {
			return status, fmt.Errorf("read chunk: %w", err)
		}
	}
}

// Last is the piece that was read last, for messages.
func (w *Conn) Last() []byte { return w.buf[:cap(w.buf)] }

// piece reads n bytes and hands them on.
func (w *Conn) piece(n int, body func([]byte) error) error {
	if n > 32<<20 {
		return errMalformed
	}
	if cap(w.buf) < n {
		w.buf = make([]byte, 0, n)
	}
	if _, err := io.ReadFull(w.r, w.buf[:n]); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return body(w.buf[:n])
}

func (w *Conn) line() ([]byte, error) {
	b, err := w.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

// number3 reads three digits; 0 when they are none.
func number3(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// hex reads a chunk's size.
func hex(b []byte) (n int, ok bool) {
	for i, c := range b {
		switch {
		case i == 8:
			return 0, false
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		case c >= 'A' && c <= 'F':
			n = n<<4 | int(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, len(b) > 0
}

// Cutter cuts a body into units whose end the function knows: frames, lines.
type Cutter struct {
	End  func(b []byte) int // bytes of the first unit of b; 0 when it is not whole
	held []byte
}

// Add hands on every unit that piece completes.
func (u *Cutter) Add(piece []byte, each func(unit []byte) error) error {
	b := piece
	if len(u.held) > 0 {
		u.held = append(u.held, piece...)
		b = u.held
	}
	for {
		n := u.End(b)
		if n == 0 {
			u.held = append(u.held[:0], b...)
			return nil
		}
		if err := each(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
}

// FrameEnd finds the end of an event-stream frame.
func FrameEnd(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < 16 || n > len(b) {
		return 0
	}
	return n
}

// LineEnd finds the end of a line.
func LineEnd(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }
