package app

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// Sandbox says how the processes of models are confined. Default: as far as the
// system can; docs/sandbox.md tells what that means.
type Sandbox struct {
	// Off leaves the processes as free as the server. It is for a llama-server that
	// does not run confined, e.g. a script that starts one.
	Off bool `yaml:"off"`
	// User is who the processes run as when the server is root: a name, UID or
	// UID:GID. Default: each as a user of its own, from 60600 to 61099.
	User string `yaml:"user"`
	// Read are further files and folders that the processes may read, e.g. the
	// libraries of a llama-server that is not in /usr. Default none.
	Read []string `yaml:"read"`

	user *sandbox.User // what User means; set by withDefaults
}

// resolve checks the section and finds its user.
func (s *Sandbox) resolve() error {
	for _, path := range s.Read {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("engine: sandbox: read: %q is not an absolute path", path)
		}
	}
	if s.User == "" {
		return nil
	}
	u, err := findUser(s.User)
	if err != nil {
		return fmt.Errorf("engine: sandbox: user: %w", err)
	}
	s.user = u
	return nil
}

func findUser(text string) (*sandbox.User, error) {
	id, group, _ := strings.Cut(text, ":")
	if uid, err := strconv.ParseUint(id, 10, 31); err == nil {
		gid := uid
		if group != "" {
			if gid, err = strconv.ParseUint(group, 10, 31); err != nil {
				return nil, fmt.Errorf("%q is neither a name, UID nor UID:GID", text)
			}
		}
		if uid == 0 {
			return nil, errors.New("0 is root, which is what the sandbox is for")
		}
		return &sandbox.User{UID: int(uid), GID: int(gid)}, nil // #nosec G115 -- 31 bits
	}
	u, err := user.Lookup(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("%q has no number here: %w", text, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("%q has no number here: %w", text, err)
	}
	if uid == 0 {
		return nil, fmt.Errorf("%q is root, which is what the sandbox is for", text)
	}
	return &sandbox.User{UID: uid, GID: gid}, nil
}

// confinement is how the engine of a server with c is confined; nil is not at all.
func (c Config) confinement() *llamacpp.Sandbox {
	if c.Engine.Sandbox.Off || len(c.EngineLauncher) == 0 {
		return nil
	}
	return &llamacpp.Sandbox{
		Launcher: sandbox.Launcher{Command: c.EngineLauncher},
		Hidden:   []string{c.DataDir, c.ModelsDir},
		Read:     c.Engine.Sandbox.Read,
		User:     c.Engine.Sandbox.user,
	}
}

// checkSandbox tells of each part of the sandbox whether it holds here. A part that
// the system lacks is told, and no failure: nothing but another system would help.
func checkSandbox(ctx context.Context, cfg Config) []cli.Check {
	s := cfg.confinement()
	switch {
	case cfg.Engine.Sandbox.Off:
		return []cli.Check{{Name: "sandbox", OK: true, Detail: "off: the processes of models may do all that the server may"}}
	case s == nil || !sandbox.Supported():
		return []cli.Check{{Name: "sandbox", OK: true, Detail: "this system has none: the processes of models may do all that the server may"}}
	}
	r, err := s.Check(ctx)
	if err != nil {
		return []cli.Check{{Name: "sandbox", Detail: err.Error(), Fix: "engine: sandbox: off: true starts models without one"}}
	}
	var checks []cli.Check
	for _, p := range r.Held {
		c := cli.Check{Name: "sandbox", OK: true, Detail: string(p) + ": holds"}
		if d := r.Detail[p]; d != "" {
			c.Detail += " (" + d + ")"
		}
		checks = append(checks, c)
	}
	for _, g := range r.Missing {
		checks = append(checks, cli.Check{Name: "sandbox", OK: true, Detail: string(g.Part) + ": missing (" + g.Why + ")"})
	}
	return checks
}
