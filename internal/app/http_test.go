package app

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that the server's times cost none.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// overPipe runs f on a connection to the product's HTTP server in a bubble. calls
// counts the requests that reached its handler.
func overPipe(t *testing.T, f func(t *testing.T, c net.Conn, r *bufio.Reader, calls *int)) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls++
			_, _ = io.WriteString(w, "ok")
		}), nil, slog.New(slog.DiscardHandler))
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Serve(p)
		}()
		client, server := net.Pipe()
		p.conns <- server
		f(t, client, bufio.NewReader(client), &calls)
		_ = client.Close()
		_ = s.Close()
		<-done
		time.Sleep(time.Second) // net/http lets a client read before it cuts: half a second of the bubble's
	})
}

func request(t *testing.T, c net.Conn, r *bufio.Reader, text string) *http.Response {
	t.Helper()
	go func() { _, _ = io.WriteString(c, text) }() // a pipe holds nothing: the server may answer before it has all
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A connection that nobody uses is closed after 120 s, and not before: clients
// keep theirs for a minute or so.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	overPipe(t, func(t *testing.T, c net.Conn, r *bufio.Reader, calls *int) {
		for range 2 {
			resp := request(t, c, r, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if text, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(text) != "ok" {
				t.Fatalf("%d %q, %v", resp.StatusCode, text, err)
			}
			time.Sleep(idleTimeout - time.Second)
		}
		begin := time.Now()
		if _, err := r.ReadByte(); err == nil {
			t.Fatal("an idle connection said something")
		}
		if left := time.Since(begin); left > 2*time.Second || *calls != 2 {
			t.Errorf("closed after %v of %v, %d calls", idleTimeout-time.Second+left, idleTimeout, *calls)
		}
	})
}

// A client that does not end its headers is let go after 10 s.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	overPipe(t, func(t *testing.T, c net.Conn, r *bufio.Reader, calls *int) {
		begin := time.Now()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: local"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(r)
		if took := time.Since(begin); took != headerTimeout || *calls != 0 {
			t.Errorf("closed after %v, %d calls", took, *calls)
		}
	})
}

// What is not HTTP, or has too large headers, is answered by net/http itself, in
// plain text and without a handler. SDKs make an error of the status.
func TestNotHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"request line":       {"nonsense\r\n\r\n", 400},
		"version":            {"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505},
		"header":             {"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", 400},
		"two lengths":        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"transfer encoding":  {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		"headers of 128 KiB": {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 128<<10) + "\r\n\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overPipe(t, func(t *testing.T, conn net.Conn, r *bufio.Reader, calls *int) {
				resp := request(t, conn, r, c.text)
				if resp.StatusCode != c.status || *calls != 0 || !resp.Close || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
					t.Errorf("%d %v, %d calls", resp.StatusCode, resp.Header, *calls)
				}
			})
		})
	}
}
