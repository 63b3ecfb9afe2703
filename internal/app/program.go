package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/datadir"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/localca"
	objectfs "github.com/outcrop/outcrop/internal/object/fs"
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
	s, err := New(ctx, cfg, cli.NewLogger(os.Stderr), p.Engine)
	if err != nil {
		return err
	}
	boundHeap(s.cfg.Limits.Bodies)
	first, err := s.firstKey(ctx)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return s.Run(ctx, func(ctx context.Context) error {
		if p.Engine == nil {
			if err := s.Install(ctx, progress); err != nil {
				return err
			}
		}
		ready(cli.Ready{
			Endpoint: s.Endpoint(), CAFile: s.caFile, Data: cfg.DataDir,
			StandIns: s.state.catalog.StandIns(), FirstKey: first, Took: time.Since(started),
		})
		return nil
	})
}

// firstKey makes the root access key of a new installation; nil on later starts.
func (s *Server) firstKey(ctx context.Context) (*cli.Credentials, error) {
	k, err := s.state.keys.EnsureRoot(ctx, s.cfg.Account)
	if err != nil || k == nil {
		return nil, err
	}
	return &cli.Credentials{AccessKeyID: k.ID, Secret: string(k.Secret.Reveal()), Region: k.Region}, nil
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
	if err != nil || !strings.HasPrefix(last, "http") {
		return endpoint(cfg, cfg.Listen)
	}
	return last
}

// endpoint is the URL for clients of a listen address.
func endpoint(cfg Config, listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if cfg.TLS.On() {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
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
		Catalog: s.catalog, Weights: s.weights, Keys: s.keys, Objects: objects,
		Endpoint: readEndpoint(cfg), Account: cfg.Account,
		Close: func() error { return errors.Join(objects.Close(), s.store.Close()) },
	}
	if cfg.TLS.SelfSigned {
		l.CAFile = localca.In(filepath.Join(cfg.DataDir, "tls")).CA
	}
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
