package app

import (
	"context"
	"path/filepath"
	"runtime"
	"time"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// bundleSource is what a bundle of an installation is made of.
func (s *state) bundleSource() bundle.Source {
	e := newEngineInstaller(s.cfg, weights.Silent)
	b := bundle.Source{
		Weights: s.weights, Models: s.cfg.ModelsDir, Build: engineBuild(), Catalog: s.cfg.Catalog,
		Outcrop: version, Platform: runtime.GOOS + "/" + runtime.GOARCH, Now: time.Now,
	}
	if site, ok := e.wheels.Installed(wheel.LlamaCPP(), e.dir); ok {
		b.Engine = site
	}
	return b
}

// bundleTarget is where a bundle goes in an installation. Its catalogue comes to
// lie beside the database; the configuration has to name it.
func (s *state) bundleTarget() bundle.Target {
	e := newEngineInstaller(s.cfg, weights.Silent)
	return bundle.Target{
		Weights: s.weights, Models: s.cfg.ModelsDir, Engines: e.dir, Catalog: filepath.Join(s.cfg.DataDir, "catalog.yaml"),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Adopt: func(ctx context.Context, folder string, p weights.Progress) error {
			return e.wheels.Adopt(ctx, wheel.LlamaCPP(), folder, e.dir, p)
		},
	}
}
