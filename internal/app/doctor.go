package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// Doctor implements cli.Program. It changes nothing and asks for nothing from
// outside this machine.
func (Program) Doctor(ctx context.Context, o cli.Options) []cli.Check {
	cfg, err := config(o)
	if err != nil {
		return []cli.Check{{Name: "configuration", Detail: err.Error(), Fix: "correct the configuration and run the doctor again"}}
	}
	checks := []cli.Check{{Name: "configuration", OK: true, Detail: "listen " + cfg.doors()[mainDoor(cfg.doors())].Address}}
	if !exists(filepath.Join(cfg.DataDir, databaseFile)) {
		return append(checks, cli.Check{Name: "data directory", Detail: cfg.DataDir + " holds no installation yet", Fix: "outcrop serve"})
	}
	s, err := open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return append(checks, cli.Check{Name: "data directory", Detail: err.Error(), Fix: "correct what the message names, or use another --data"})
	}
	defer s.store.Close() // nothing was written
	checks = append(checks, checkData(cfg), checkKeys(ctx, s))
	checks = append(checks, checkEngine(ctx, cfg)...)
	checks = append(checks, checkSandbox(ctx, cfg)...)
	checks = append(checks, checkModels(ctx, s)...)
	return append(append(checks, checkPorts(ctx, cfg)...), checkClock(ctx, s))
}

func checkData(cfg Config) cli.Check {
	c := cli.Check{Name: "data directory", Detail: cfg.DataDir}
	f, err := os.CreateTemp(cfg.DataDir, ".doctor-*")
	if err != nil {
		c.Detail, c.Fix = "cannot write to "+cfg.DataDir, "give yourself the right to write there, or use another --data"
		return c
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if st, err := os.Stat(cfg.DataDir); err == nil && st.Mode().Perm()&0o077 != 0 {
		c.Detail, c.Fix = "other users can look into "+cfg.DataDir, "chmod 700 "+cfg.DataDir
		return c
	}
	if err := weights.CheckSpace(cfg.DataDir, 1<<30); err != nil {
		c.Detail, c.Fix = "less than 1 GiB is free on the disk of "+cfg.DataDir, "free some space"
		return c
	}
	c.OK = true
	return c
}

func checkKeys(ctx context.Context, s *state) cli.Check {
	c := cli.Check{Name: "keys"}
	list, err := s.keys.List(ctx)
	if err != nil {
		c.Detail, c.Fix = "the keys cannot be read", "run the doctor as the user who owns the data directory"
		return c
	}
	if len(list) == 0 {
		c.Detail, c.Fix = "there is no key", "outcrop keys create"
		return c
	}
	c.OK, c.Detail = true, fmt.Sprintf("%d", len(list))
	return c
}

// checkEngine tells of the engine and, where there are any, of the devices that it
// knows.
func checkEngine(ctx context.Context, cfg Config) []cli.Check {
	c := cli.Check{Name: "engine"}
	e := newEngineInstaller(cfg, weights.Silent)
	h, err := llamacpp.Discover(cfg.Engine.Command, llamacpp.InstallerFunc(e.installed)).Engine(ctx)
	if err != nil {
		c.Detail, c.Fix = err.Error(), "outcrop serve installs it; it needs Python 3.10 or newer, or a llama-server on PATH"
		return []cli.Check{c}
	}
	c.OK, c.Detail = true, h.Build
	return append([]cli.Check{c}, checkDevices(ctx, h)...)
}

// checkDevices lists the devices that the engine can compute on. One that it does
// not use is no failure: the CPU does the same, only slower.
func checkDevices(ctx context.Context, h llamacpp.Host) []cli.Check {
	list, err := llamacpp.ListDevices(ctx, h)
	if err != nil {
		return []cli.Check{{Name: "device", OK: true, Detail: "the engine does not tell its devices, and computes on the CPU: " + err.Error()}}
	}
	checks := []cli.Check{}
	for _, d := range list {
		checks = append(checks, cli.Check{Name: "device", OK: true, Detail: d.String()})
	}
	if len(list) == 0 {
		checks = append(checks, cli.Check{Name: "device", OK: true, Detail: "the CPU alone"})
	}
	if h.Devices = list; h.KnownBroken() {
		checks = append(checks, cli.Check{Name: "device", OK: true, Detail: "not used: a self-test on them failed before; remove " + h.CPUNote() + " to try again"})
	}
	return checks
}

// installed is Engine without installing anything.
func (i *engineInstaller) installed(ctx context.Context) (llamacpp.Host, error) {
	python, err := findPython(ctx)
	if err != nil {
		return llamacpp.Host{}, err
	}
	site, ok := i.wheels.Installed(wheel.LlamaCPP(), i.dir)
	if !ok {
		return llamacpp.Host{}, errors.New(engineBuild() + " is not installed")
	}
	return llamacpp.Host{Python: python, Site: site, Build: engineBuild(), Dir: site}, nil
}

func checkModels(ctx context.Context, s *state) []cli.Check {
	var checks []cli.Check
	for _, w := range s.catalog.Weights() {
		c := cli.Check{Name: "model", Detail: w.ID}
		_, installed := s.weights.Path(w.ID)
		switch {
		case !installed && !w.Default:
			continue
		case !installed:
			c.Detail, c.Fix = w.ID+" is not installed", "outcrop models pull "+w.ID
		default:
			if err := s.weights.Verify(ctx, w.ID, nil); err != nil {
				c.Detail, c.Fix = w.ID+" is damaged", "outcrop models rm "+w.ID+" && outcrop models pull "+w.ID
			} else {
				c.OK, c.Detail = true, w.ID+", sha256 verified"
			}
		}
		checks = append(checks, c)
	}
	return checks
}

// checkPorts tells of each address whether it is free, or held by an Outcrop that
// answers.
func checkPorts(ctx context.Context, cfg Config) []cli.Check {
	var checks []cli.Check
	for _, d := range cfg.doors() {
		if _, unix := d.path(); !unix {
			checks = append(checks, checkPort(ctx, d))
		}
	}
	return checks
}

func checkPort(ctx context.Context, d Listener) cli.Check {
	c := cli.Check{Name: "port"}
	l, err := net.Listen("tcp", d.Address)
	if err == nil {
		_ = l.Close()
		c.OK, c.Detail = true, d.Address+" is free"
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	url := d.endpoint(d.Address) + "/healthz"
	if r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil); err == nil && !d.TLS.On() {
		resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
		if err == nil {
			b, _ := io.ReadAll(io.LimitReader(resp.Body, 16)) // a short answer is enough
			_ = resp.Body.Close()
			if string(b) == "ok\n" {
				c.OK, c.Detail = true, "a server answers on "+d.Address
				return c
			}
		}
	}
	c.Detail, c.Fix = d.Address+" is taken", "stop the program that holds it, or choose another with --listen"
	return c
}

// checkClock compares the clock with the newest thing that is known to have
// happened: SigV4 refuses requests that are five minutes off.
func checkClock(ctx context.Context, s *state) cli.Check {
	c := cli.Check{Name: "clock", OK: true, Detail: time.Now().UTC().Format(time.RFC3339)}
	last, err := s.store.ListUsage(ctx, "", 1)
	if err == nil && len(last) == 1 && last[0].Time.After(time.Now().Add(time.Minute)) {
		c.OK = false
		c.Detail = "the clock is behind the newest call, " + last[0].Time.UTC().Format(time.RFC3339)
		c.Fix = "set the clock; signatures more than five minutes off are refused"
	}
	return c
}
