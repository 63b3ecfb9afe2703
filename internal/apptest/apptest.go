// Package apptest starts whole servers for tests: real wire, real signatures,
// real store, and the engine that the test chooses.
package apptest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/weights"
)

// Option changes how Start starts a server.
type Option func(*options)

type options struct {
	cfg    app.Config
	engine engine.Engine
	log    *slog.Logger
}

// Engine sets the engine; the default says one sentence from a script.
func Engine(e engine.Engine) Option { return func(o *options) { o.engine = e } }

// Config changes the configuration.
func Config(f func(*app.Config)) Option { return func(o *options) { f(&o.cfg) } }

// Log sets where the server logs; the default discards.
func Log(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// Server is a running server.
type Server struct {
	Endpoint string
	Account  string
	Key      keys.Created // an access key of Account
	Data     string
	app      *app.Server
}

// Start runs a server on a free port until the test ends, and fails the test
// when the server does not stop cleanly.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := options{cfg: app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}}
	for _, f := range opts {
		f(&o)
	}
	if o.engine == nil {
		o.engine = scripted.New()
	}
	ctx, stop := context.WithCancel(context.Background())
	s, err := app.New(ctx, o.cfg, o.log, func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return o.engine, nil })
	if err != nil {
		stop()
		t.Fatalf("compose the server: %v", err)
	}
	done := make(chan error, 1)
	srv := &Server{Endpoint: s.Endpoint(), Account: keys.DefaultAccount, Data: o.cfg.DataDir, app: s}
	srv.Key = srv.NewKey(t, keys.DefaultAccount, keys.SigV4)
	ready := make(chan struct{})
	go func() {
		done <- s.Run(ctx, func(context.Context) error { close(ready); return nil })
	}()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server did not stop cleanly: %v", err)
		}
	})
	return srv
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

// AWS is the configuration of an SDK client that calls as the owner of k, once
// per request (no retries).
func (s *Server) AWS(k keys.Created) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.Endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(k.ID, string(k.Secret.Reveal()), ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// Runtime is a bedrock-runtime client with the server's own key.
func (s *Server) Runtime() *bedrockruntime.Client { return bedrockruntime.NewFromConfig(s.AWS(s.Key)) }

// Bedrock is a bedrock client with the server's own key.
func (s *Server) Bedrock() *bedrock.Client { return bedrock.NewFromConfig(s.AWS(s.Key)) }

// STS is an sts client with the server's own key.
func (s *Server) STS() *sts.Client { return sts.NewFromConfig(s.AWS(s.Key)) }
