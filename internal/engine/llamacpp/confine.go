package llamacpp

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// Sandbox says how processes are confined.
type Sandbox struct {
	// Launcher starts them; see sandbox.Self.
	Launcher sandbox.Launcher
	// Hidden are folders that no process may look into, beside what it needs of
	// them: the data folder of the server.
	Hidden []string
	// Read are further files and folders that processes need, e.g. libraries of a
	// server that is not in /usr.
	Read []string
	// User is who processes run as when this program is root; nil gives each a
	// user of its own, see users.
	User *sandbox.User
}

// users are the ids that processes get when no user is configured: none are in use,
// because systemd sets 60578 to 61183 aside for nobody and asks others to keep out.
const (
	firstUser = 60600
	userCount = 500
)

// launch starts a process, confined as the configuration says. n is its number, and
// bytes what it is expected to need.
func (e *Engine) launch(h Host, l launch, n int, bytes int64) (*process, error) {
	argv, env, err := h.command(l)
	if err != nil {
		return nil, err
	}
	g := program{argv: argv, env: env, dir: filepath.Dir(l.socket)}
	s := e.cfg.Sandbox
	if s == nil {
		return start(nil, g)
	}
	g.policy = s.policy(h, l, n, bytes)
	g.env = private(env, g.dir)
	p, err := start(&s.Launcher, g)
	if err != nil {
		return nil, err
	}
	e.sandboxed.Do(func() {
		if gaps := p.confined.Gaps(); gaps != "" {
			e.cfg.Log.Warn("engine processes are confined in part", "missing", gaps)
		}
	})
	return p, nil
}

// user returns who the n-th process runs as; nil leaves it this program's user.
func (s *Sandbox) user(n int, devices []string) *sandbox.User {
	if os.Geteuid() != 0 {
		return nil
	}
	u := sandbox.User{UID: firstUser + n%userCount, GID: firstUser + n%userCount, Alone: true}
	if s.User != nil {
		u = *s.User
	}
	u.Groups = append(u.Groups, sandbox.DeviceGroups(devices)...)
	return &u
}

// policy is what a process that serves l may do. n is its number, and bytes what it
// is expected to need.
func (s *Sandbox) policy(h Host, l launch, n int, bytes int64) sandbox.Policy {
	p := sandbox.Policy{Hidden: s.Hidden, Private: filepath.Dir(l.socket), Devices: h.deviceNodes()}
	p.User = s.user(n, p.Devices)
	p.Read = append(p.Read, s.Read...)
	p.Read = append(p.Read, h.files()...)
	p.Read = append(p.Read, parts(l.model)...)
	if l.projector != "" {
		p.Read = append(p.Read, l.projector)
	}
	if len(p.Devices) == 0 { // drivers map far more than they use
		p.Memory = memoryCap(bytes)
	}
	return p
}

// memoryCap is the private memory that a process may have which is expected to need
// bytes. It counts the stacks of threads whole, and room that allocators set aside:
// it stops a runaway, the ledger does the rest.
func memoryCap(bytes int64) int64 { return 2*bytes + 4<<30 }

var partOfMany = regexp.MustCompile(`^(.*)-\d{5}-of-(\d{5})\.gguf$`)

// parts returns the files of a model: the server finds the others of a split one by
// the name of the first.
func parts(model string) []string {
	m := partOfMany.FindStringSubmatch(filepath.Base(model))
	if m == nil {
		return []string{model}
	}
	dir := filepath.Dir(model)
	files := []string{model}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files // the load will tell
	}
	for _, e := range entries {
		if o := partOfMany.FindStringSubmatch(e.Name()); o != nil && o[1] == m[1] && o[2] == m[2] {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// files are what the server itself consists of.
func (h Host) files() []string {
	var files []string
	for _, dir := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if filepath.IsAbs(dir) {
			files = append(files, dir)
		}
	}
	if f := os.Getenv("GGML_BACKEND_PATH"); filepath.IsAbs(f) {
		files = append(files, f)
	}
	program := h.Binary
	if program == "" {
		program = h.Python
		files = append(files, h.Site)
	}
	for _, p := range []string{program, resolved(program)} {
		dir := filepath.Dir(p)
		prefix := filepath.Dir(dir)
		// Never the folder around bin: it may be somebody's home.
		files = append(files, p, filepath.Join(prefix, "lib"), filepath.Join(prefix, "lib64"), filepath.Join(prefix, "pyvenv.cfg"))
		if h.Binary != "" {
			files = append(files, libraries(dir)...)
		}
	}
	return files
}

// libraries are the shared libraries in a folder: those of a released llama-server
// lie beside it.
func libraries(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the load will tell
	}
	var files []string
	for _, e := range entries {
		if n := e.Name(); strings.HasSuffix(n, ".so") || strings.Contains(n, ".so.") || strings.HasSuffix(n, ".metal") {
			files = append(files, filepath.Join(dir, n))
		}
	}
	return files
}

func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// private makes the environment of a confined process: its own folder takes the
// place of the user's.
func private(env []string, dir string) []string {
	out := make([]string, 0, len(env)+2)
	for _, v := range env {
		if k, _, _ := strings.Cut(v, "="); k != "HOME" && k != "TMPDIR" {
			out = append(out, v)
		}
	}
	return append(out, "HOME="+dir, "TMPDIR="+dir)
}

// Check tells what would confine a process here.
func (s *Sandbox) Check(ctx context.Context) (sandbox.Report, error) {
	return s.Launcher.Check(ctx, sandbox.Policy{Hidden: s.Hidden, User: s.user(0, nil), Memory: memoryCap(0)})
}
