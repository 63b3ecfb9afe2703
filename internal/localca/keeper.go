package localca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// KeeperConfig says what a server shows and asks for in TLS handshakes. Either
// Cert and Key, or Dir and Hosts are set.
type KeeperConfig struct {
	Cert, Key string   // PEM files: the server's chain and its key
	Dir       string   // folder of a local authority; see Ensure
	Hosts     []string // names and addresses of a certificate of that authority
	// ClientCA is a PEM file with authorities. When it is set, clients must show a
	// certificate of one of them.
	ClientCA string
	Every    time.Duration    // how often Run looks for changes; 0 means 5 s
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil discards
}

// Keeper holds what a server shows in TLS handshakes, and takes up new files
// while connections stay open: a handshake uses what holds at its beginning. It is
// safe for concurrent use.
type Keeper struct {
	c   KeeperConfig
	now atomic.Pointer[tls.Config]

	mu    sync.Mutex // one Reload at a time; guards stamp
	stamp string     // of the files at the last try
}

// NewKeeper loads the files.
//
// Errors: when one is missing or broken, key and certificate do not belong
// together, or the certificate has ended.
func NewKeeper(c KeeperConfig) (*Keeper, error) {
	if c.Every <= 0 {
		c.Every = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{c: c}
	return k, k.Reload()
}

// Config is for a TLS server: TLS 1.2 with ephemeral keys and authenticated
// encryption, or 1.3; HTTP/2 and HTTP/1.1.
func (k *Keeper) Config() *tls.Config {
	c := k.now.Load().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.now.Load(), nil }
	return c
}

// Reload takes up the files as they are now. When they cannot be used, what held
// before goes on to hold.
func (k *Keeper) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stamp = k.stamps()
	fresh, err := k.load()
	if err != nil {
		return err
	}
	k.now.Store(fresh)
	return nil
}

// Run reloads changed files, and renews a certificate of our own authority, until
// ctx ends. It logs what it does. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.c.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !k.due() {
			continue
		}
		if err := k.Reload(); err != nil {
			k.c.Log.Error("the new TLS files cannot be used; the old ones stay in use", "error", err)
		} else {
			k.c.Log.Info("took up new TLS files", "certificate", k.c.Cert)
		}
	}
}

// due reports whether there is something to take up.
func (k *Keeper) due() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.c.Cert == "" {
		leaf := k.now.Load().Certificates[0].Leaf
		if k.c.Now().Add(renewBefore).After(leaf.NotAfter) {
			return true
		}
	}
	return k.stamps() != k.stamp
}

// stamps tells files apart that were written at different times.
func (k *Keeper) stamps() string {
	var s string
	for _, name := range []string{k.c.Cert, k.c.Key, k.c.ClientCA} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			s += fmt.Sprintf("%d %d;", info.Size(), info.ModTime().UnixNano())
		} else {
			s += "gone;"
		}
	}
	return s
}

func (k *Keeper) load() (*tls.Config, error) {
	var cert tls.Certificate
	var err error
	if k.c.Cert == "" {
		cert, err = Ensure(k.c.Dir, k.c.Hosts, k.c.Now())
	} else {
		cert, err = tls.LoadX509KeyPair(k.c.Cert, k.c.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("load the certificate: %w", err)
		}
	}
	if k.c.Now().After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate %s ended on %s", k.c.Cert, cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: Suites(),
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if k.c.ClientCA != "" {
		pem, err := os.ReadFile(k.c.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("load the authorities of clients: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("load the authorities of clients: " + k.c.ClientCA + " holds no certificate in PEM")
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Suites are the suites of TLS 1.2 that a Keeper offers: ephemeral keys and
// authenticated encryption. Those of TLS 1.3 are all of this kind and cannot be
// chosen.
func Suites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}
