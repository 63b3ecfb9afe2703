package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/datadir"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/localca"
	objectfs "github.com/outcrop/outcrop/internal/object/fs"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// version of the product; a release sets it.
const version = "0.1.0-dev"

// Program implements cli.Program. The zero value is what the command outcrop runs.
type Program struct {
	// Engine makes the engine of Serve; nil means llama.cpp. With another engine
	// nothing is installed.
	Engine func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error)
}

var _ cli.Program = Program{}

// config reads what the options name.
func config(o cli.Options) (Config, error) {
	c, err := LoadConfig(o.Config)
	if err != nil {
		return c, err
	}
	c.DataDir = o.Data
	if c.DataDir == "" {
		if c.DataDir, err = datadir.Default(); err != nil {
			return c, err
		}
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	if o.Listen != "" {
		c.Listen = o.Listen
	}
	if o.TLS != "" {
		c.TLS = TLS{SelfSigned: true, ClientCA: c.TLS.ClientCA}
	}
	if o.Offline {
		c.Egress.Off = true
	}
	return c.withDefaults()
}

// Serve implements cli.Program.
func (p Program) Serve(ctx context.Context, o cli.Options, progress weights.Progress, ready func(cli.Ready)) error {
	started := time.Now()
	forbidCores()
	cfg, err := config(o)
	if err != nil {
		return err
	}
	log, flush := newLog(os.Stderr)
	defer flush()
	s, err := New(ctx, cfg, log, p.Engine)
	if err != nil {
		return err
	}
	boundHeap(s.cfg.Limits.Bodies)
	go newSpacing().run(ctx) // ends with ctx
	first, err := s.firstKey(ctx)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	stop := s.reloadOnHangup()
	defer stop()
	return s.Run(ctx, func(ctx context.Context) error {
		if p.Engine == nil {
			if err := s.Install(ctx, progress); err != nil {
				return err
			}
		}
		ready(cli.Ready{
			Endpoint: s.Endpoint(), CAFile: caFile(s.cfg, s.Endpoint()), Extra: s.front.others(), Data: cfg.DataDir,
			StandIns: s.state.catalog.StandIns(), FirstKey: first, Took: time.Since(started),
		})
		return nil
	})
}

// ProtectKey implements cli.Program.
func (Program) ProtectKey(ctx context.Context, o cli.Options) (err error) {
	cfg, err := config(o)
	if err != nil {
		return err
	}
	unlock, err := datadir.Lock(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	p, err := cfg.RootKey.protection()
	if err != nil {
		return err
	}
	return keys.ProtectRootKey(ctx, filepath.Join(cfg.DataDir, keys.RootKeyFile), p)
}

// firstKey makes the root access key of a new installation; nil on later starts.
func (s *Server) firstKey(ctx context.Context) (*cli.Credentials, error) {
	k, err := s.state.keys.EnsureRoot(ctx, s.cfg.Account)
	if err != nil || k == nil {
		return nil, err
	}
	return &cli.Credentials{AccessKeyID: k.ID, Secret: string(k.Secret.Reveal()), Region: s.cfg.region()}, nil
}

// endpointFile remembers where the last server of a data directory listened, so
// that `outcrop env` finds it without being told. It stays when the server
// stops: the next one mostly listens there again.
const endpointFile = "endpoint"

func writeEndpoint(dir, endpoint string) error {
	path := filepath.Join(dir, endpointFile)
	err := os.WriteFile(path+".new", []byte(endpoint+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("remember the endpoint: %w", err)
	}
	return nil
}

func readEndpoint(cfg Config) string {
	b, err := os.ReadFile(filepath.Join(cfg.DataDir, endpointFile))
	last := strings.TrimSpace(string(b))
	if err != nil || !strings.HasPrefix(last, "http") && !strings.HasPrefix(last, "unix:") {
		d := cfg.doors()[mainDoor(cfg.doors())]
		return d.endpoint(d.Address)
	}
	return last
}

// caFile is the local authority that clients of an endpoint trust; "" when it does
// not sign for it.
func caFile(cfg Config, endpoint string) string {
	ca := localca.In(tlsDir(cfg)).CA
	d := cfg.doors()[mainDoor(cfg.doors())]
	own := d.TLS.SelfSigned || len(cfg.Listeners) == 0 && !d.TLS.On() // serve --tls self, asked about by another command
	if !own || !strings.HasPrefix(endpoint, "https://") || !exists(ca) {
		return ""
	}
	return ca
}

// reloadOnHangup takes up changed certificates and endpoint policies on SIGHUP,
// until the function that it returns is called.
func (s *Server) reloadOnHangup() (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangup:
				s.front.reload()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(done)
	}
}

// Open implements cli.Program.
func (Program) Open(ctx context.Context, o cli.Options) (*cli.Local, error) {
	cfg, err := config(o)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	objects, err := objectfs.Open(objectsDir(cfg))
	if err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	l := &cli.Local{
		Catalog: s.catalog, Weights: s.weights, Keys: s.keys, Objects: objects, Directory: s.directory,
		Endpoint: readEndpoint(cfg), Account: cfg.Account, Region: cfg.region(),
		Bundle: s.bundleSource(), Unbundle: s.bundleTarget(),
		Close: func() error { return errors.Join(objects.Close(), s.store.Close(), cfg.disconnect()) },
	}
	l.CAFile = caFile(cfg, l.Endpoint)
	l.Agreements = func(ctx context.Context) (*agreement.Service, error) {
		return openAgreements(ctx, s.store, cfg.Account, nil)
	}
	l.Quotas = func(ctx context.Context) (*quota.Service, error) { return openQuotas(ctx, s.store, nil) }
	return l, nil
}

// Version implements cli.Program.
func (Program) Version() cli.Version {
	v := cli.Version{
		Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Engine: engineBuild(), Models: "botocore " + bedrockruntime.Model.BotocoreModel,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return v
}
