package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	client "github.com/valkey-io/valkey-go"

	"github.com/outcrop/outcrop/internal/cache"
	cachevalkey "github.com/outcrop/outcrop/internal/cache/valkey"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/quota"
	quotavalkey "github.com/outcrop/outcrop/internal/quota/valkey"
)

// Valkey is a Valkey or Redis server, or a cluster of them, in which several servers
// count what quotas bound and keep cached replies. Default none: this process counts
// for itself, from zero after a restart, and keeps replies in its memory.
type Valkey struct {
	// Addresses are HOST:PORT of the server, or of some servers of a cluster. None
	// means that there is no server.
	Addresses []string `yaml:"addresses"`
	// User and PasswordFile are sent when connecting; the file holds the password, and
	// white space around it does not count. Default none.
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	// TLS encrypts connections. CAFile holds certificates, in PEM, of the authorities
	// that the server's may be signed by; default those of the machine.
	TLS    bool   `yaml:"tls"`
	CAFile string `yaml:"ca_file"`
	// Prefix begins all keys; installations that share a server have one each. Default
	// outcrop.
	Prefix string `yaml:"prefix"`
	// Timeout bounds one question of quotas; default 500 ms. A call whose quotas cannot
	// be asked gets ServiceUnavailableException; one whose cache cannot, goes on.
	Timeout time.Duration `yaml:"timeout"`
}

func (v Valkey) on() bool { return len(v.Addresses) > 0 }

// check refuses what cannot work.
func (v Valkey) check() error {
	for _, a := range v.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return fmt.Errorf("valkey: addresses: %q is not HOST:PORT", a)
		}
	}
	switch {
	case !v.on() && (v.User+v.PasswordFile+v.CAFile+v.Prefix != "" || v.TLS || v.Timeout != 0):
		return errors.New("valkey: addresses are missing")
	case v.User != "" && v.PasswordFile == "":
		return errors.New("valkey: user: password_file is missing")
	case v.CAFile != "" && !v.TLS:
		return errors.New("valkey: ca_file: set tls too")
	case v.Timeout < 0:
		return errors.New("valkey: timeout must not be negative")
	case strings.ContainsAny(v.Prefix, "{}: \n"):
		return errors.New("valkey: prefix must hold none of {}:, spaces and line ends")
	}
	return nil
}

// connectTimeout bounds the first connection, which a server needs to start.
const connectTimeout = 10 * time.Second

// shared is what several servers of an installation share; its parts are this
// process's own when the configuration names no server.
type shared struct {
	client client.Client // nil without a server
	cfg    Valkey
	log    *slog.Logger
}

// openShared connects to the server of the configuration, if it has one.
func (c Config) openShared(ctx context.Context, log *slog.Logger) (*shared, error) {
	s := &shared{cfg: c.Valkey, log: log}
	if !s.cfg.on() {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c.grantValkey()
	o, err := s.cfg.options(c.out)
	if err != nil {
		return nil, fmt.Errorf("valkey: %w", err)
	}
	type made struct {
		client client.Client
		err    error
	}
	done := make(chan made, 1)
	go func() {
		cl, err := client.NewClient(o)
		done <- made{cl, err}
	}()
	select {
	case m := <-done:
		s.client, err = m.client, m.err
	case <-ctx.Done():
		err = ctx.Err()
		go func() { // whenever it is done
			if m := <-done; m.err == nil {
				m.client.Close()
			}
		}()
	}
	if err != nil {
		return nil, fmt.Errorf("valkey: connect to %s: %w", strings.Join(s.cfg.Addresses, ", "), err)
	}
	return s, nil
}

func (s *shared) close() {
	if s != nil && s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// buckets is where the use of quotas is counted; run has to run beside it.
func (s *shared) buckets() (b quota.Buckets, run func(context.Context) error) {
	if s.client == nil {
		return quota.NewMemory(nil), func(context.Context) error { return nil }
	}
	v := quotavalkey.New(quotavalkey.Config{Client: s.client, Prefix: s.cfg.Prefix, Timeout: s.cfg.Timeout, Log: s.log})
	return v, v.Run
}

// cache is where replies are kept: of this process, at most so many bytes.
func (s *shared) cache(bytes int64) cache.Store {
	if s.client == nil {
		return cache.NewMemory(bytes, nil)
	}
	return cachevalkey.New(cachevalkey.Config{Client: s.client, Prefix: s.cfg.Prefix})
}

// options are those of the client library.
func (v Valkey) options(out *network.Egress) (client.ClientOption, error) {
	o := client.ClientOption{
		InitAddress: v.Addresses, Username: v.User, DisableCache: true,
		PipelineMultiplex: -1, // one connection: calls that come together share a write
		ClientSetInfo:     client.DisableClientSetInfo,
	}
	if v.PasswordFile != "" {
		b, err := os.ReadFile(v.PasswordFile)
		if err != nil {
			return o, fmt.Errorf("password_file: %w", err)
		}
		if o.Password = string(bytes.TrimSpace(b)); o.Password == "" {
			return o, errors.New("password_file: it is empty")
		}
	}
	if v.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if v.CAFile != "" {
		pem, err := os.ReadFile(v.CAFile)
		if err != nil {
			return o, fmt.Errorf("ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return o, errors.New("ca_file: it holds no certificate in PEM")
		}
		o.TLSConfig.RootCAs = pool
	}
	o.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, secure *tls.Config) (net.Conn, error) {
		plain, err := out.Dial(ctx, network.State, address)
		if err != nil || secure == nil {
			return plain, err
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		named := secure.Clone()
		named.ServerName = host
		conn := tls.Client(plain, named)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return conn, nil
	}
	return o, nil
}

// grantValkey opens the way to the server that counts, unless the configuration
// lists where connections may go. The nodes of a cluster that addresses does not name
// have to stand in the list.
func (c Config) grantValkey() {
	if c.Egress.State != nil {
		return
	}
	for _, a := range c.Valkey.Addresses {
		if d, err := network.ParseDestination(a); err == nil {
			c.out.Grant(network.State, d)
		}
	}
}
