// Package apptest starts whole servers for tests: real wire, real signatures,
// real store, and the engine that the test chooses.
package apptest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/progress"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/weights"
)

// Option changes how Start starts a server.
type Option func(*options)

type options struct {
	cfg    app.Config
	engine engine.Engine
	real   bool
	log    *slog.Logger
}

// Engine sets the engine; the default says one sentence from a script.
func Engine(e engine.Engine) Option { return func(o *options) { o.engine = e } }

// RealEngine runs llama.cpp and the default models. They lie in the outcrop
// folder of the user's cache, which all tests share; the first test of a machine
// installs them, with progress in its output. Two slots of 4096 tokens and one
// thread are enough for tests; Config changes that.
func RealEngine() Option {
	return func(o *options) {
		o.real = true
		o.cfg.Engine.Slots, o.cfg.Engine.MaxContext, o.cfg.Engine.Threads = 2, 4096, 1
	}
}

// Config changes the configuration.
func Config(f func(*app.Config)) Option { return func(o *options) { f(&o.cfg) } }

// Documents lets the server read documents of all formats, in processes of the
// test's own program: TestMain of the package must ask document.InChild first.
// Without it plain text is read, and the rest fails.
func Documents() Option {
	return func(o *options) { o.cfg.DocumentReader = nil }
}

// Data sets the data directory, for a server that starts again.
func Data(dir string) Option { return func(o *options) { o.cfg.DataDir = dir } }

// Log sets where the server logs; the default discards.
func Log(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// Server is a running server.
type Server struct {
	Endpoint string
	Account  string
	Key      keys.Created // an access key of Account
	Data     string
	app      *app.Server
	http     *http.Client // of all SDK clients
	stop     func() error // once; waits until the server has ended
}

// Start runs a server on a free port until the test ends, and fails the test
// when the server does not stop cleanly.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := options{cfg: app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", DocumentReader: []string{"outcrop-reads-no-documents"}}}
	for _, f := range opts {
		f(&o)
	}
	newEngine := func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return o.engine, nil }
	switch {
	case o.real:
		newEngine = nil
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("the user's cache folder: %v", err)
		}
		o.cfg.ModelsDir = cmp.Or(o.cfg.ModelsDir, filepath.Join(cache, "outcrop", "models"))
		o.cfg.EnginesDir = cmp.Or(o.cfg.EnginesDir, filepath.Join(cache, "outcrop", "engines"))
	case o.engine == nil:
		o.engine = scripted.New()
	}
	ctx, stop := context.WithCancel(context.Background())
	s, err := app.New(ctx, o.cfg, o.log, newEngine)
	if err != nil {
		stop()
		t.Fatalf("compose the server: %v", err)
	}
	done := make(chan error, 1)
	srv := &Server{Endpoint: s.Endpoint(), Account: keys.DefaultAccount, Data: o.cfg.DataDir, app: s, http: newClient()}
	srv.Key = srv.NewKey(t, keys.DefaultAccount, keys.SigV4)
	ready := make(chan struct{})
	go func() {
		done <- s.Run(ctx, func(ctx context.Context) error {
			if o.real {
				if err := s.Install(ctx, progress.Lines(t.Output(), time.Now)); err != nil {
					return fmt.Errorf("install the engine and its models: %w", err)
				}
			}
			close(ready)
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-done:
		stop()
		t.Fatalf("the server did not start: %v", err)
	}
	srv.stop = sync.OnceValue(func() error {
		stop()
		return <-done
	})
	t.Cleanup(func() {
		srv.http.CloseIdleConnections()
		srv.Stop(t)
	})
	return srv
}

// Stop asks the server to stop and waits until it has, as SIGTERM does. A second
// call does nothing.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Errorf("the server did not stop cleanly: %v", err)
	}
}

// NewKey makes a key of an account.
func (s *Server) NewKey(t testing.TB, account string, kind keys.Kind) keys.Created {
	t.Helper()
	k, err := s.app.Keys().Create(context.Background(), keys.CreateInput{Account: account, Kind: kind})
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	return k
}

// Disable disables a key.
func (s *Server) Disable(t testing.TB, id string) {
	t.Helper()
	if err := s.app.Keys().Disable(context.Background(), id); err != nil {
		t.Fatalf("disable a key: %v", err)
	}
}

// AutoApprove lets an account use every model, as the first account may.
func (s *Server) AutoApprove(t testing.TB, account string) {
	t.Helper()
	if err := s.app.Agreements().SetApproval(context.Background(), account, agreement.Automatic); err != nil {
		t.Fatalf("approve the models of %s: %v", account, err)
	}
}

// Host is the engine that a server with RealEngine runs.
func (s *Server) Host(t testing.TB) llamacpp.Host {
	t.Helper()
	h, err := s.app.EngineHost(t.Context())
	if err != nil {
		t.Fatalf("find the engine: %v", err)
	}
	return h
}

// WeightsFile is the model file of some weights of a server with RealEngine.
func (s *Server) WeightsFile(t testing.TB, id string) string {
	t.Helper()
	path, ok := s.app.WeightsFile(id)
	if !ok {
		t.Fatalf("the weights %s are not installed", id)
	}
	return path
}

// Usage returns the newest usage records of an account, newest first; "" means
// of every account. A record is there as soon as its call has ended when
// Config.Usage.Strict is set, and within 200 ms otherwise.
func (s *Server) Usage(t testing.TB, account string, limit int) []meter.Record {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(s.Data, "outcrop.db")})
	if err != nil {
		t.Fatalf("open the server's database: %v", err)
	}
	defer db.Close() // read only
	records, err := db.ListUsage(t.Context(), account, limit)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// AWS is the configuration of an SDK client that calls as the owner of k, once
// per request (no retries).
func (s *Server) AWS(k keys.Created) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.Endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(k.ID, string(k.Secret.Reveal()), ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		HTTPClient:   s.http,
	}
}

// Runtime is a bedrock-runtime client with the server's own key.
func (s *Server) Runtime() *bedrockruntime.Client { return bedrockruntime.NewFromConfig(s.AWS(s.Key)) }

// Bedrock is a bedrock client with the server's own key.
func (s *Server) Bedrock() *bedrock.Client { return bedrock.NewFromConfig(s.AWS(s.Key)) }

// STS is an sts client with the server's own key.
func (s *Server) STS() *sts.Client { return sts.NewFromConfig(s.AWS(s.Key)) }
