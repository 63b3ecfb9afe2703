package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/convert"
	"github.com/outcrop/outcrop/internal/weights/file"
	"github.com/outcrop/outcrop/internal/weights/huggingface"
	"github.com/outcrop/outcrop/internal/weights/web"
	"github.com/outcrop/outcrop/internal/weights/wheel"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// newWeights returns the store of model files with every kind of source.
func newWeights(cfg Config) (*weights.Store, error) {
	return weights.New(weights.Config{
		Dir:     cfg.ModelsDir,
		Sources: []weights.Source{file.Source{}, web.Source{}, &huggingface.Source{Client: newClient(cfg.out, network.Models)}, cfg.pip()},
		Fetch:   cfg.fetcher(),
		Convert: convert.Convert,
	})
}

// engineInstaller finds the engine, or installs the pinned wheel.
type engineInstaller struct {
	dir      string // of engines
	wheels   *wheel.Installer
	progress weights.Progress
}

func newEngineInstaller(cfg Config, p weights.Progress) *engineInstaller {
	return &engineInstaller{
		dir:      filepath.Join(cfg.EnginesDir, "llama.cpp"),
		wheels:   &wheel.Installer{Source: cfg.pip(), Fetch: cfg.fetcher()},
		progress: p,
	}
}

// Engine implements llamacpp.Installer.
func (i *engineInstaller) Engine(ctx context.Context) (llamacpp.Host, error) {
	python, err := findPython(ctx)
	if err != nil {
		return llamacpp.Host{}, err
	}
	site, err := i.wheels.Install(ctx, wheel.LlamaCPP(), i.dir, i.progress)
	if err != nil {
		return llamacpp.Host{}, err
	}
	return llamacpp.Host{Python: python, Site: site, Build: engineBuild(), Dir: site}, nil
}

// engineBuild names the engine that Outcrop installs.
func engineBuild() string {
	w := wheel.LlamaCPP()
	return "llama.cpp in " + w.Package + " " + w.Version
}

// findPython returns an interpreter that can host the wheel: 3.10 or newer.
func findPython(ctx context.Context) (string, error) {
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		// The interpreter itself, not a shim that would stand between it and us.
		out, err := exec.CommandContext(ctx, path, "-I", "-S", "-c", // #nosec G204 -- a fixed program of PATH
			"import sys; print(sys.executable if sys.version_info >= (3, 10) else '')").Output()
		if err != nil {
			continue
		}
		if exe := strings.TrimSpace(string(out)); exe != "" {
			return exe, nil
		}
	}
	return "", fmt.Errorf("%w: the engine needs Python 3.10 or newer, or a llama-server on PATH; install one of them and start again", weights.ErrToolMissing)
}

// LlamaCpp is how the engine of a server with cfg is set up. It is for programs
// that run the same engine beside a server, to compare the two.
func LlamaCpp(cfg Config, cat *catalog.Catalog, store *weights.Store, log *slog.Logger) llamacpp.Config {
	sleep, unload := cfg.Engine.idle()
	return llamacpp.Config{
		Weights:     modelFiles(cat, store),
		Installer:   llamacpp.Discover(cfg.Engine.Command, newEngineInstaller(cfg, weights.Silent)),
		Slots:       cfg.Engine.Slots,
		MaxContext:  cfg.Engine.MaxContext,
		Threads:     cfg.Engine.Threads,
		MemoryLimit: cfg.Engine.MemoryLimit,
		QueueWait:   cfg.Engine.QueueDeadline,
		Queue:       cfg.Engine.Queue,
		IdleSleep:   sleep,
		IdleUnload:  unload,
		Replicas:    cfg.Engine.Replicas,
		Pin:         cfg.Engine.Pin,
		Preload:     cfg.Engine.Preload,
		KVTokens:    cfg.Engine.KVTokens,
		Log:         log,
		Sandbox:     cfg.confinement(),
	}
}

// newLlamaCpp makes the engine constructor of a real server.
func newLlamaCpp(log *slog.Logger) func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
	return func(cfg Config, cat *catalog.Catalog, store *weights.Store) (engine.Engine, error) {
		c := LlamaCpp(cfg, cat, store, log)
		c.RunDir = socketDir(cfg.DataDir)
		known := func(id string) bool { _, ok := cat.WeightsByID(id); return ok }
		if err := cfg.Engine.checkWeights(known); err != nil {
			return nil, err
		}
		return llamacpp.New(c), nil
	}
}

// socketDir is the folder for the engines' sockets. It lies in the data
// directory, which is private and locked by the server, so that a killed server
// leaves nothing behind that the next one does not clear. "" lets the engine
// make a temporary one: where the path is too long for a socket, or the file
// system takes none.
func socketDir(dataDir string) string {
	const longest = 103 // bytes of a socket's path
	dir := filepath.Join(dataDir, "run")
	probe := filepath.Join(dir, "probe.sock")
	if len(filepath.Join(dir, "e9999", "s.sock")) > longest || os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	_ = os.Remove(probe) // of a server that was killed right here
	l, err := net.Listen("unix", probe)
	if err != nil {
		return ""
	}
	_ = l.Close() // removes it
	return dir
}

// modelFiles tells the engine where the weights of the catalogue lie.
func modelFiles(cat *catalog.Catalog, store *weights.Store) llamacpp.Weights {
	return llamacpp.WeightsFunc(func(_ context.Context, id string) (llamacpp.File, error) {
		w, ok := cat.WeightsByID(id)
		if !ok {
			return llamacpp.File{}, fmt.Errorf("no weights %q in the catalogue", id)
		}
		path, ok := store.Path(id)
		if !ok {
			return llamacpp.File{}, apierr.ModelNotReady("The weights %s are not installed on this server. Its operator can install them: outcrop models pull %s", id, id)
		}
		f := llamacpp.File{Path: path, Mode: engine.Mode(w.Mode), ContextTokens: w.ContextTokens}
		if f.Mode == engine.Chat {
			f.Projector, _ = store.Projector(id)
		}
		return f, nil
	})
}

// install brings the engine and the default models to this machine.
func install(ctx context.Context, cfg Config, cat *catalog.Catalog, store *weights.Store, p weights.Progress) error {
	if _, err := llamacpp.Discover(cfg.Engine.Command, newEngineInstaller(cfg, p)).Engine(ctx); err != nil {
		return err
	}
	var errs []error
	installed := false
	for _, w := range cat.Weights() {
		_, here := store.Path(w.ID)
		installed = installed || here
		// Without a way out a server makes do with what is here: what is missing says so
		// when it is asked for.
		if w.Default && (here || !cfg.out.Off()) {
			errs = append(errs, store.Pull(ctx, w, p))
		}
	}
	if cfg.out.Off() && !installed {
		return errors.New("no model is installed, and nothing may leave this machine: bring a bundle and run outcrop bundle install, or start without --offline once")
	}
	return errors.Join(errs...)
}
