package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/localca"
)

// Limits of the HTTP server. Bodies and writes have deadlines of their own in
// the gateway, since a stream may last long.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 120 * time.Second
	maxHeader     = 64 << 10
	// drainTime is how long running calls may take after a stop was asked for.
	drainTime = 25 * time.Second
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
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// tlsConfig returns nil when TLS is off.
func tlsConfig(c Config, dir string, now time.Time) (*tls.Config, error) {
	var cert tls.Certificate
	var err error
	switch {
	case c.TLS.SelfSigned:
		host, _, _ := net.SplitHostPort(c.Listen) // withDefaults has checked it
		hosts := []string{"localhost", "127.0.0.1", "::1"}
		if host != "" && !loopbackHost(host) && !net.ParseIP(host).IsUnspecified() {
			hosts = append(hosts, host)
		}
		cert, err = localca.Ensure(dir, hosts, now)
	case c.TLS.Cert != "":
		cert, err = tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("set up TLS: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}

// serve runs srv on l until ctx ends, then lets running calls finish for
// drainTime before it cuts them.
func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			failed <- srv.ServeTLS(l, "", "")
		} else {
			failed <- srv.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close() // what is left is cut; Shutdown's error says why
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("drain HTTP: %w", err)
		}
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
