package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

func TestSandboxConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   Sandbox
		want *sandbox.User
		err  string
	}{
		"default":         {Sandbox{}, nil, ""},
		"a number":        {Sandbox{User: "1234"}, &sandbox.User{UID: 1234, GID: 1234}, ""},
		"two numbers":     {Sandbox{User: "1234:5678"}, &sandbox.User{UID: 1234, GID: 5678}, ""},
		"a bad group":     {Sandbox{User: "1234:x"}, nil, `engine: sandbox: user: "1234:x" is neither a name, UID nor UID:GID`},
		"root":            {Sandbox{User: "0"}, nil, "engine: sandbox: user: 0 is root"},
		"root by name":    {Sandbox{User: "root"}, nil, `engine: sandbox: user: "root" is root`},
		"nobody of them":  {Sandbox{User: "no-such-user"}, nil, `engine: sandbox: user: "no-such-user"`},
		"a relative path": {Sandbox{Read: []string{"lib"}}, nil, `engine: sandbox: read: "lib" is not an absolute path`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Config{DataDir: t.TempDir(), Engine: Engine{Sandbox: c.in}}.withDefaults()
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			u := got.Engine.Sandbox.user
			if (u == nil) != (c.want == nil) || u != nil && (u.UID != c.want.UID || u.GID != c.want.GID) {
				t.Errorf("%+v, want %+v", u, c.want)
			}
			box := got.confinement()
			if box == nil || box.Hidden[0] != got.DataDir || len(box.Launcher.Command) != 2 || box.Launcher.Command[1] != sandbox.Argument {
				t.Errorf("%+v", box)
			}
		})
	}
	off, err := Config{DataDir: t.TempDir(), Engine: Engine{Sandbox: Sandbox{Off: true}}}.withDefaults()
	if err != nil || off.confinement() != nil {
		t.Errorf("off: %+v, %v", off.confinement(), err)
	}
}

// TestDoctorSandbox: the doctor tells of each part whether it holds.
func TestDoctorSandbox(t *testing.T) {
	t.Parallel()
	cfg, err := Config{DataDir: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	checks := checkSandbox(t.Context(), cfg)
	if !sandbox.Supported() {
		if len(checks) != 1 || !strings.Contains(checks[0].Detail, "this system has none") {
			t.Errorf("%+v", checks)
		}
		return
	}
	if len(checks) != len(sandbox.Parts()) {
		t.Errorf("%d lines, want one for each of %d parts: %+v", len(checks), len(sandbox.Parts()), checks)
	}
	for _, c := range checks {
		if !c.OK || !strings.Contains(c.Detail, ": holds") && !strings.Contains(c.Detail, ": missing (") {
			t.Errorf("%+v", c)
		}
	}
	cfg.Engine.Sandbox.Off = true
	if c := checkSandbox(t.Context(), cfg); len(c) != 1 || !strings.Contains(c[0].Detail, "off:") {
		t.Errorf("%+v", c)
	}
	cfg.Engine.Sandbox.Off, cfg.EngineLauncher = false, []string{"/no/such"}
	if c := checkSandbox(t.Context(), cfg); len(c) != 1 || c[0].OK || c[0].Fix == "" {
		t.Errorf("%+v", c)
	}
}

func TestDoctorDevices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := func(name, list string) llamacpp.Host {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+list), 0o700); err != nil {
			t.Fatal(err)
		}
		return llamacpp.Host{Binary: path, Build: "b1", Dir: dir}
	}
	details := func(checks []cli.Check) string {
		var s []string
		for _, c := range checks {
			s = append(s, c.Detail)
		}
		return strings.Join(s, " | ")
	}
	if got := details(checkDevices(t.Context(), server("none", "echo Available devices:"))); got != "the CPU alone" {
		t.Error(got)
	}
	card := server("card", "echo Available devices:; echo '  CUDA0: card (8192 MiB, 8000 MiB free)'")
	if got := details(checkDevices(t.Context(), card)); got != "CUDA0: card, 8000 of 8192 MiB free" {
		t.Error(got)
	}
	if err := os.WriteFile(card.CPUNote(), []byte("b1\nCUDA0: card\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := details(checkDevices(t.Context(), card)); !strings.Contains(got, "not used: a self-test on them failed before") {
		t.Error(got)
	}
	if got := details(checkDevices(t.Context(), server("old", "exit 1"))); !strings.Contains(got, "does not tell its devices") {
		t.Error(got)
	}
}
