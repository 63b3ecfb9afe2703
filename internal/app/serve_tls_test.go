package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/weights"
)

// TestServeTLSSelf: one flag gives TLS that clients can trust by one file, which
// later commands find.
func TestServeTLSSelf(t *testing.T) {
	t.Parallel()
	o := cli.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", TLS: "self"}
	p := Program{Engine: func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return scripted.New(), nil }}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var r cli.Ready
	err := p.Serve(ctx, o, weights.Silent, func(ready cli.Ready) {
		defer stop()
		r = ready
		b, err := os.ReadFile(r.CAFile)
		if err != nil {
			t.Error(err)
			return
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(b)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(r.Endpoint + "/healthz")
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.TLS.Version != tls.VersionTLS13 || resp.ProtoMajor != 2 {
			t.Errorf("status %d, %s, HTTP/%d", resp.StatusCode, tls.VersionName(resp.TLS.Version), resp.ProtoMajor)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Endpoint, "https://") || r.CAFile != filepath.Join(o.Data, "tls", "ca.pem") {
		t.Errorf("%+v", r)
	}
	l, err := p.Open(t.Context(), cli.Options{Data: o.Data})
	if err != nil {
		t.Fatal(err)
	}
	if l.CAFile != r.CAFile || l.Endpoint != r.Endpoint {
		t.Errorf("env tells %s and %s", l.Endpoint, l.CAFile)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// toldLog is a log that passes messages on.
type toldLog struct {
	slog.Handler
	lines chan string
}

func (l toldLog) Handle(_ context.Context, r slog.Record) error {
	l.lines <- r.Message
	return nil
}

func (l toldLog) Enabled(context.Context, slog.Level) bool { return true }

// SIGHUP reads certificates and policies again.
func TestHangup(t *testing.T) {
	t.Parallel()
	policy := writeFile(t, "policy.json", endpointPolicy("one"))
	log := toldLog{slog.DiscardHandler, make(chan string, 10)}
	f := openDoors(t, Config{DataDir: t.TempDir(), Listeners: []Listener{{Name: "door", Address: "127.0.0.1:0", Policy: policy}}}, nil, slog.New(log))
	stop := (&Server{front: f}).reloadOnHangup()
	defer stop()
	if err := os.WriteFile(policy, []byte(endpointPolicy("two")), 0o600); err != nil {
		t.Fatal(err)
	}
	me, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := me.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if line := <-log.lines; !strings.Contains(line, "again") {
		t.Errorf("log %q", line)
	}
	if _, got, err := get(f, 0, nil, nil); err != nil || got.Policy != endpointPolicy("two") {
		t.Errorf("%+v, %v", got, err)
	}
}
