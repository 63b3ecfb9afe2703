package fetch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/weights"
)

// network is a server and a client that reach each other through memory, so
// that synctest's clock rules all of their waiting.
type network struct {
	Client *http.Client
}

// connect serves h at every host name until the test ends.
func connect(t *testing.T, h http.HandlerFunc) *network {
	t.Helper()
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var handlers sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	tr := &http.Transport{
		DialContext:       l.dial,
		DisableKeepAlives: true,
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-done
		handlers.Wait()
	})
	return &network{Client: &http.Client{Transport: tr}}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case l.conns <- a:
		return b, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

// content is n bytes that differ everywhere and by seed.
func content(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7+i>>8*13) + seed
	}
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// requests remembers what was asked.
type requests struct {
	mu   sync.Mutex
	seen []string
}

func (r *requests) add(req *http.Request) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf("%s|%s", req.Header.Get("Range"), req.Header.Get("If-Range")))
	return len(r.seen)
}

func (r *requests) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.seen...)
}

// steps counts what a Fetch reports.
type steps struct {
	mu          sync.Mutex
	total, done int64
	set         []int64
}

var _ weights.Step = (*steps)(nil)

func (s *steps) Total(n int64) { s.mu.Lock(); s.total = n; s.mu.Unlock() }
func (s *steps) Set(n int64)   { s.mu.Lock(); s.done = n; s.set = append(s.set, n); s.mu.Unlock() }
func (s *steps) Add(n int64)   { s.mu.Lock(); s.done += n; s.mu.Unlock() }
func (s *steps) Done(error)    {}
