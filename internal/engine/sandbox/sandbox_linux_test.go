package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleVar tells the test binary to be something else than a test.
const roleVar = "OUTCROP_TEST_ROLE"

func TestMain(m *testing.M) {
	if InChild() {
		os.Exit(Child())
	}
	switch os.Getenv(roleVar) {
	case "rightless":
		os.Exit(rightless())
	case "old kernel":
		os.Exit(oldKernel())
	case "loud":
		_, _ = io.Copy(os.Stdout, os.Stdin)
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func self(t testing.TB) Launcher {
	t.Helper()
	l, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startBoxed starts a program in the sandbox, or fails the test. It is made anew for
// each attempt.
func startBoxed(t testing.TB, program func() *exec.Cmd, p Policy) (*exec.Cmd, Report) {
	t.Helper()
	for _, a := range Attempts() {
		cmd := program()
		pending, err := self(t).Prepare(cmd, p, a)
		if err != nil {
			t.Fatal(err)
		}
		r, err := pending.Start()
		if err == nil {
			return cmd, r
		}
		if !a.Retry(err) {
			t.Fatal(err)
		}
	}
	panic("unreachable: the last attempt is not retried")
}

// TestPipes: standard files, exit status and process id are those of the program.
func TestPipes(t *testing.T) {
	t.Parallel()
	exe := self(t).Command[0]
	var out bytes.Buffer
	cmd, r := startBoxed(t, func() *exec.Cmd {
		cmd := exec.Command(exe)
		cmd.Env = []string{roleVar + "=loud"}
		cmd.Stdin, cmd.Stdout = strings.NewReader("through"), &out
		return cmd
	}, Policy{Read: []string{exe}})
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 || out.String() != "through" {
		t.Errorf("%v, %q", err, out.String())
	}
	if len(r.Held)+len(r.Missing) != len(Parts()) {
		t.Errorf("the report tells of %d parts, want each of %d once: %+v", len(r.Held)+len(r.Missing), len(Parts()), r)
	}
}

// TestCrash: a program that dies of a signal is seen to.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGILL, syscall.SIGABRT} {
		cmd, _ := startBoxed(t, func() *exec.Cmd {
			return exec.Command("/bin/sh", "-c", "kill -"+unix.SignalName(sig)[3:]+" $$")
		}, Policy{})
		_ = cmd.Wait()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != sig {
			t.Errorf("%s: ended by %s", sig, cmd.ProcessState)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		l    Launcher
		path string
		want string
	}{
		"no launcher":        {Launcher{}, "/bin/true", "there is no launcher"},
		"launcher missing":   {Launcher{Command: []string{"/no/such"}}, "/bin/true", "no such file"},
		"not a launcher":     {Launcher{Command: []string{"/bin/true"}}, "/bin/true", "ended without a word"},
		"program missing":    {self(t), "/no/such", "no such file"},
		"not a program":      {self(t), text, "exec format error"},
		"program not in box": {self(t), self(t).Command[0], "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Policy{}
			if name == "not a program" {
				p.Read = []string{text}
			}
			pending, err := c.l.Prepare(exec.Command(c.path), p, Attempt{last: true})
			if err == nil {
				_, err = pending.Start()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestArguments: a launcher that is given nonsense starts nothing.
func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"{"}, {"{}"}, {"{}", "/bin/true", "true"}} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self(t).Command[0], append([]string{Argument}, args...)...)
		cmd.ExtraFiles = []*os.File{out}
		if err := cmd.Run(); err == nil {
			t.Errorf("%v: ran", args)
		}
		_ = out.Close()
		var a answer
		if err := json.NewDecoder(in).Decode(&a); err != nil || a.Err == "" {
			t.Errorf("%v: %+v, %v", args, a, err)
		}
		_ = in.Close()
	}
}

// TestRightless: root without rights, as in a container that grants none, is
// confined as far as it goes, and told what is missing.
func TestRightless(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root has rights to lose
	}
	cmd := exec.Command(self(t).Command[0])
	cmd.Env = []string{roleVar + "=rightless"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, p := range []Part{OwnUser, Network} {
		if r.Holds(p) {
			t.Errorf("%s holds without the right to it", p)
		}
	}
	for _, p := range []Part{Rights, Limits, Inherited, SystemCalls} {
		if !r.Holds(p) {
			t.Errorf("%s is missing: %s", p, r.Gaps())
		}
	}
}

// rightless drops all rights of root and prints a Report.
func rightless() int {
	runtime.LockOSThread()
	if dropBounding(0) != nil || setCapabilities(0) != nil {
		return 1
	}
	l, err := Self()
	if err != nil {
		return 1
	}
	// A process is born with the rights of the thread that makes it: this one.
	r, err := l.Check(context.Background(), Policy{User: &User{UID: 60600, GID: 60600, Alone: true}})
	if err != nil || json.NewEncoder(os.Stdout).Encode(r) != nil {
		return 1
	}
	return 0
}

// TestOldKernel: on a kernel without Landlock a server that is root goes on as the
// user who can read the weights, unless one was chosen, and all else holds.
func TestOldKernel(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root may filter calls without giving up rights
	}
	cmd := exec.Command(self(t).Command[0])
	cmd.Env = []string{roleVar + "=old kernel"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var both [2]Report
	if err := json.Unmarshal(out, &both); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for i, r := range both {
		if r.Holds(Files) || r.Holds(Signals) || !strings.Contains(r.Gaps(), "files (this kernel has no Landlock") {
			t.Errorf("holds %v, lacks %s", r.Held, r.Gaps())
		}
		for _, p := range []Part{Rights, SystemCalls, Limits, Inherited} {
			if !r.Holds(p) {
				t.Errorf("%s is missing: %s", p, r.Gaps())
			}
		}
		if chosen := i == 1; r.Holds(OwnUser) != chosen {
			t.Errorf("a user of its own: %t, chosen: %t", r.Holds(OwnUser), chosen)
		}
	}
}

// oldKernel denies itself Landlock and prints two Reports: with a user of its own,
// and with one that was chosen.
func oldKernel() int {
	runtime.LockOSThread()
	var p program
	p.load(atNumber)
	p.call(unix.SYS_LANDLOCK_CREATE_RULESET, func(p *program) { p.ret(never) })
	p.ret(allow)
	prog := unix.SockFprog{Len: uint16(len(p.code)), Filter: &p.code[0]}
	if _, _, no := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); no != 0 {
		return 1
	}
	l, err := Self()
	if err != nil {
		return 1
	}
	var both [2]Report
	for i := range both {
		// A process is born with the filter of the thread that makes it: this one.
		if both[i], err = l.Check(context.Background(), Policy{User: &User{UID: 60600, GID: 60600, Alone: i == 0}}); err != nil {
			return 1
		}
	}
	if json.NewEncoder(os.Stdout).Encode(both) != nil {
		return 1
	}
	return 0
}

// TestHidden: a folder that is open in general stays closed where a policy hides it.
func TestHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, f := range []string{"open/a", "open/hidden/b", "open/hidden/own"} {
		f = filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := filepath.Join(dir, "open")
	var out bytes.Buffer
	cmd, r := startBoxed(t, func() *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", `for f in a hidden/b hidden/own; do read x < $f && echo $f; :; done 2>/dev/null`)
		cmd.Dir = open
		cmd.Stdout = &out
		return cmd
	}, Policy{Read: []string{open, filepath.Join(open, "hidden", "own")}, Hidden: []string{filepath.Join(open, "hidden")}})
	_ = cmd.Wait()
	if got := strings.Fields(out.String()); r.Holds(Files) && !slices.Equal(got, []string{"a", "hidden/own"}) {
		t.Errorf("it reads %q", got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	var r Report
	r.held(Limits)
	r.held(Network)
	r.miss(OwnUser, "why %d", 1)
	r.sort()
	if r.Held[0] != Network || !r.Holds(Limits) || r.Holds(OwnUser) || r.Gaps() != "user (why 1)" {
		t.Errorf("%+v", r)
	}
}

// BenchmarkStart measures what the sandbox adds to the start of a program.
func BenchmarkStart(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("confined", func(b *testing.B) {
		for b.Loop() {
			cmd, _ := startBoxed(b, func() *exec.Cmd { return exec.Command("/bin/true") }, Policy{})
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
