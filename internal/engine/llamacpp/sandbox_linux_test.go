package llamacpp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// TestSandbox puts a probe into the engine's place, which tries what a hostile
// engine would. It reaches nothing that a part of the sandbox denies which this
// machine has; the same probe without a sandbox reaches it, so that the test shows
// something.
func TestSandbox(t *testing.T) {
	t.Parallel()
	box := confined(t)
	report, err := box.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range granted(t) {
		if !report.Holds(p) {
			t.Errorf("this machine has what %q needs, and it does not hold: %s", p, report.Gaps())
		}
	}
	if gaps := report.Gaps(); gaps != "" {
		t.Logf("this machine lacks: %s", gaps)
	}
	open := hunt(t, nil, true)
	reached := map[string]bool{}
	for _, f := range open {
		reached[f.Name] = f.Reached
		if !f.Reached {
			t.Logf("without a sandbox: %s: %s", f.Name, f.Err)
		}
	}
	for _, name := range always {
		if !reached[name] {
			t.Errorf("without a sandbox the probe does not: %s: the test shows nothing", name)
		}
	}
	denied, judged := 0, 0
	for _, f := range hunt(t, box, false) {
		switch held := slices.ContainsFunc(f.Parts, func(p string) bool { return report.Holds(sandbox.Part(p)) }); {
		case !held:
			t.Logf("not judged, as this machine lacks what would deny it: %s (reached: %t)", f.Name, f.Reached)
		case f.Reached:
			judged++
			t.Errorf("the probe does: %s", f.Name)
		default:
			judged++
			denied++
			t.Logf("denied: %s: %s", f.Name, f.Err)
		}
	}
	t.Logf("%d of %d denied; uid %d; %v", denied, judged, os.Getuid(), report.Held)
	if judged < 20 {
		t.Errorf("only %d attempts were judged", judged)
	}
}

// TestSandboxUnprivileged is TestSandbox for a server that is not root.
func TestSandboxUnprivileged(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // TestSandbox was it
	}
	dir, err := os.MkdirTemp("", "oc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const nobody = 65534
	exe := filepath.Join(dir, "test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.WriteFile(exe, program, 0o700), os.Chown(exe, nobody, nobody), os.Chown(dir, nobody, nobody)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestSandbox$", "-test.v") // #nosec G204 -- this test binary
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir, "PATH=/usr/bin:/bin", "AWS_SECRET_ACCESS_KEY=secret"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestSandbox")) {
		t.Errorf("as another user: %v", err)
	}
}

// always are attempts that succeed without a sandbox on every machine and for every
// user.
var always = []string{
	"connect to the server's listener", "send a datagram", "connect to an abstract socket", "connect to a socket of the server",
	"connect to another engine's socket", "listen on TCP", "list the server's data folder", "list other engines' folders",
	"read another model", "read outcrop.db", "read root.key", "read credentials", "read /etc/passwd", "list processes",
	"create a file beside the model", "change the mode of the model", "write into the engine's folder",
	"keep a file in its own folder", "make a link", "make a setuid program", "signal the server", "signal another engine",
	"start a program", "take all memory", "find a file that the server left open",
}

// granted are the parts that this machine can give this user, found in other ways
// than the sandbox finds them.
func granted(t *testing.T) []sandbox.Part {
	t.Helper()
	parts := []sandbox.Part{sandbox.Rights, sandbox.MemoryLimit, sandbox.Limits, sandbox.Inherited}
	if abi, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); no == 0 {
		parts = append(parts, sandbox.Files)
		if abi >= 6 {
			parts = append(parts, sandbox.Signals)
		}
	}
	if _, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail"); err == nil {
		parts = append(parts, sandbox.SystemCalls)
	}
	try := exec.Command("/bin/true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWIPC}
	if os.Geteuid() != 0 {
		try.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	}
	if try.Run() == nil {
		parts = append(parts, sandbox.Network, sandbox.IPC)
	}
	try = exec.Command("/bin/true")
	try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 60600, Gid: 60600}}
	if try.Run() == nil {
		parts = append(parts, sandbox.OwnUser, sandbox.ThreadLimit)
	}
	return parts
}

// hunt runs the probe as the engine of two weights and returns what the first one
// found.
func hunt(t *testing.T, box *llamacpp.Sandbox, control bool) []finding {
	t.Helper()
	p := prey{Server: os.Getpid(), Control: control, Data: t.TempDir(), Site: t.TempDir()}
	home := t.TempDir()
	for _, f := range []string{filepath.Join(p.Data, "outcrop.db"), filepath.Join(p.Data, "root.key"), filepath.Join(home, "credentials")} {
		if err := os.WriteFile(f, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.Files = append(p.Files, f)
	}
	p.Open = p.Files[2]
	fd, err := syscall.Open(p.Open, syscall.O_RDONLY, 0) // without O_CLOEXEC, as careless code would
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd) // only read
	p.listen(t)
	c := fake{Probe: true}.config(t)
	c.RunDir, c.Sandbox = shortDir(t), box
	p.Run = c.RunDir
	models := map[string]string{"a": tinyModel(t), "b": tinyModel(t)}
	p.Model, p.Foreign = models["a"], models["b"]
	c.Weights = llamacpp.WeightsFunc(func(_ context.Context, id string) (llamacpp.File, error) {
		return llamacpp.File{Path: models[id], Mode: targetA.Mode, ContextTokens: 512}, nil
	})
	if box != nil {
		with := *box
		with.Hidden = []string{p.Data, filepath.Dir(p.Model)}
		c.Sandbox = &with
	}
	e := begin(t, c)
	for _, target := range []engine.Target{targetB, targetA} {
		if err := e.Load(t.Context(), target); err != nil {
			t.Fatal(err)
		}
	}
	p.Engine, p.Other = filepath.Join(p.Run, "e1", "s.sock"), pidOf(t, e, "b")
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.Run, "e2", "s.sock"))
	}}
	resp, err := (&http.Client{Transport: tr}).Post("http://engine/probe", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // only read
	var found []finding
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		t.Fatalf("the probe's answer: %v", err)
	}
	return found
}

// listen opens what the server would have open.
func (p *prey) listen(t *testing.T) {
	t.Helper()
	keep := func(network, address string) net.Addr {
		l, err := net.Listen(network, address)
		if err != nil {
			if network == "tcp6" {
				return nil // a machine without IPv6
			}
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr()
	}
	p.TCP4 = keep("tcp4", "127.0.0.1:0").String()
	if a := keep("tcp6", "[::1]:0"); a != nil {
		p.TCP6 = a.String()
	}
	p.Abstract = fmt.Sprintf("outcrop-test-%d-%t", os.Getpid(), p.Control)
	keep("unix", "@"+p.Abstract)
	p.Socket = keep("unix", filepath.Join(shortDir(t), "x.sock")).String()
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	p.UDP = u.LocalAddr().String()
}
