package gateway_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
)

// pipes is a network in memory, so that a test can run in a synctest bubble,
// where time costs nothing.
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
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// dial opens a connection to the server.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// overPipes serves the gateway on a network in memory. stop ends it, which a
// bubble needs before its own end.
func (f *fixture) overPipes(t *testing.T) (p *pipes, stop func()) {
	t.Helper()
	p = &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: f.handler, Protocols: protocols}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(p)
	}()
	return p, func() {
		_ = s.Close()
		<-done
	}
}

// client is an HTTP client over p, of HTTP/1.1 or of HTTP/2 with prior knowledge.
func (p *pipes) client(major int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(major == 1)
	protocols.SetUnencryptedHTTP2(major == 2)
	return &http.Client{Transport: &http.Transport{
		Protocols:   protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
	}}
}

// raw is a connection on which a test writes what it likes.
type raw struct {
	net.Conn
	r *bufio.Reader
}

func newRaw(c net.Conn) *raw { return &raw{c, bufio.NewReader(c)} }

// answer reads one response.
func (c *raw) answer(t *testing.T) answer {
	t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return read(t, resp)
}

// tcp is the gateway on a real port, for HTTP/1.1 and HTTP/2 without TLS.
type tcp struct{ url string }

func (f *fixture) listenTCP(t *testing.T) tcp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: f.handler, Protocols: protocols}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return tcp{"http://" + l.Addr().String()}
}

func (tcp) client(major int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(major == 1)
	protocols.SetUnencryptedHTTP2(major == 2)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}
