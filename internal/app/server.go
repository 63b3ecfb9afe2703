package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of the HTTP server. Bodies and writes have deadlines of their own in
// the gateway, since a stream may last long.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 120 * time.Second
	maxHeader     = 64 << 10
	// endTime is how long calls may take to end once their connections are cut.
	endTime = 5 * time.Second
	// lastWord is how long calls may take to tell their clients that the server
	// stops, before their connections are cut.
	lastWord = 2 * time.Second
)

// newServer speaks HTTP/1.1, HTTP/2 over TLS, and HTTP/2 without TLS with prior
// knowledge, which is what the JavaScript SDK uses on http:// endpoints.
func newServer(h http.Handler, tc *tls.Config, log *slog.Logger) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(tc == nil)
	return &http.Server{
		Handler:           h,
		TLSConfig:         tc,
		Protocols:         p,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1000,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// net/http would answer "OPTIONS *" itself, to anyone.
		DisableGeneralOptionsHandler: true,
	}
}

// serve takes calls until ctx ends, then lets running ones finish for the drain
// time before it ends them with ServiceUnavailableException. When it returns, no
// call runs.
func (s *Server) serve(ctx context.Context) error {
	calls, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	failed := make(chan error, 1)
	go func() { failed <- s.front.serve(calls) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Limits.Drain)
	defer cancel()
	if err := s.front.shutdown(drain); err != nil {
		end(apierr.Unavailable("The server is stopping."))
		// The calls end now, but over HTTP/2 their last frames leave a little later.
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		_ = s.front.shutdown(flush) // the first one's error counts
		cancel()
		_ = s.front.cut() // what is left is cut; Shutdown's error says why
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("drain HTTP: %w", err)
		}
		s.log.Warn("calls were ended: they took longer than the drain time", "drain", s.cfg.Limits.Drain)
	}
	// A call still has its record to write after its connection is gone.
	if n := s.calls.wait(endTime); n > 0 {
		s.log.Error("calls did not end after their connections were cut", "calls", n)
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// calls counts the requests that are being served.
type calls struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed while n is 0
}

func newCalls() *calls {
	c := &calls{idle: make(chan struct{})}
	close(c.idle)
	return c
}

func (c *calls) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.add(1)
		defer c.add(-1)
		next.ServeHTTP(w, r)
	})
}

// running is how many calls run.
func (c *calls) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *calls) add(d int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		c.idle = make(chan struct{})
	}
	if c.n += d; c.n == 0 {
		close(c.idle)
	}
}

// wait waits until nothing is served, for at most d. It returns how many
// requests are left.
func (c *calls) wait(d time.Duration) int {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
