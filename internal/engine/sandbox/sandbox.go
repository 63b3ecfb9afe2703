// Package sandbox confines the processes of engines: code that reads weights from
// anywhere and text of anybody must not reach the network, the server's files and
// memory, or another engine.
//
// A confined program is started by way of a child of this program that gives up
// what it can, tells what it could not, and becomes the program by exec: same
// process, same parent, same pipes. What the platform lacks is left out and told;
// a missing part is never an error. docs/sandbox.md says what denies what.
package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Argument is the first argument by which a program is told to call Child.
const Argument = "confine-engine"

// InChild reports whether this process was started to confine itself. Main
// functions (and TestMain of packages whose tests start engines) ask it first:
//
//	if sandbox.InChild() {
//		os.Exit(sandbox.Child())
//	}
func InChild() bool { return len(os.Args) >= 3 && os.Args[1] == Argument }

// Policy is what a confined program may do beside computing. Paths are absolute.
type Policy struct {
	// Read are files and folders that it may read and run. What is not there is
	// left out.
	Read []string
	// Hidden are folders that stay closed even if a folder of Read holds them; what
	// Read names in them is open all the same.
	Hidden []string
	// Private is a folder of its own in which it may make sockets; it owns the folder.
	Private string
	// Devices are device nodes, and folders of them, that it may use. With any, it
	// may also read /sys and keep files in Private: drivers of graphics cards do.
	Devices []string
	// Memory is how many bytes of private memory it may have; 0 means no limit. It
	// counts address space that may be written, whether used or not, and neither
	// mapped files nor devices, so it is for stopping a runaway and must be generous.
	Memory int64
	// User is who it runs as; nil leaves the user.
	User *User
}

// User is who a confined program runs as. Only root can choose.
type User struct {
	UID, GID int
	// Groups are further groups, e.g. those that own device nodes.
	Groups []int
	// Alone says that nobody else runs as UID, so that its number of threads can be
	// limited.
	Alone bool
}

// Part is one of the things that confine a program.
type Part string

// The parts, in the order of reports.
const (
	Network     Part = "network"      // a network of its own with nothing in it
	IPC         Part = "ipc"          // shared memory and message queues of its own
	OwnUser     Part = "user"         // a user of its own
	Rights      Part = "capabilities" // none of root's rights, and no way to gain any
	Files       Part = "files"        // only the files that it needs
	Signals     Part = "signals"      // no signals to others, and no abstract sockets of others
	SystemCalls Part = "system calls" // no new processes, connections, mounts, traces
	MemoryLimit Part = "memory limit" // a bound on private memory
	ThreadLimit Part = "thread limit" // a bound on threads
	Limits      Part = "limits"       // no core files, no files on disk, few open files
	Inherited   Part = "open files"   // nothing but stdin, stdout and stderr
)

// Parts are all of them, in the order of reports.
func Parts() []Part {
	return []Part{Network, IPC, OwnUser, Rights, Files, Signals, SystemCalls, MemoryLimit, ThreadLimit, Limits, Inherited}
}

// Gap is a part that does not hold.
type Gap struct {
	Part Part
	Why  string
}

// Report tells what confines a program.
type Report struct {
	Held    []Part
	Missing []Gap
	// Detail adds to a part that holds, e.g. the version of the kernel's interface.
	Detail map[Part]string `json:",omitempty"`
}

// Holds reports whether p holds.
func (r Report) Holds(p Part) bool { return slices.Contains(r.Held, p) }

// Gaps writes what is missing in one line; "" when nothing is.
func (r Report) Gaps() string {
	var s []string
	for _, g := range r.Missing {
		s = append(s, string(g.Part)+" ("+g.Why+")")
	}
	return strings.Join(s, ", ")
}

func (r *Report) held(p Part) { r.Held = append(r.Held, p) }

func (r *Report) miss(p Part, format string, args ...any) {
	r.Missing = append(r.Missing, Gap{p, fmt.Sprintf(format, args...)})
}

// sort puts both lists into the order of Parts.
func (r *Report) sort() {
	rank := Parts()
	slices.SortFunc(r.Held, func(a, b Part) int { return slices.Index(rank, a) - slices.Index(rank, b) })
	slices.SortFunc(r.Missing, func(a, b Gap) int { return slices.Index(rank, a.Part) - slices.Index(rank, b.Part) })
}

// spec is what the child is told.
type spec struct {
	Policy Policy
	Parent int  // process id of the server
	Born   bool // in namespaces of its own
	// Disowned is why the user stays, though another was asked for; "" when not.
	Disowned string
	Pretend  bool // report and exit, start nothing
}

// answer is what the child tells, once.
type answer struct {
	Report Report
	Err    string // why there is no program; "" when exec came next
}

// reportFD is the child's end of the pipe for its answer. It closes with exec.
const reportFD = 3

// Launcher starts confined programs.
type Launcher struct {
	// Command is the command that confines: a program whose main function asks
	// InChild, and Argument. See Self.
	Command []string
}

// Self is a launcher by this very program. Its main function must ask InChild.
func Self() (Launcher, error) {
	if InChild() { // it would start itself over and over
		return Launcher{}, errors.New("the main function of this program does not ask sandbox.InChild")
	}
	exe, err := os.Executable()
	if err != nil {
		return Launcher{}, fmt.Errorf("find this program: %w", err)
	}
	return Launcher{Command: []string{exe, Argument}}, nil
}

// Attempt is one way to start a process: with namespaces made at its birth, or
// without.
type Attempt struct {
	spaces bool // in a user namespace, which a process can only be born in
	last   bool
}

// Attempts are the ways to try, best first. Root makes namespaces later, in the
// child, so it has only one.
func Attempts() []Attempt {
	if bornConfined() {
		return []Attempt{{spaces: true}, {last: true}}
	}
	return []Attempt{{last: true}}
}

// Retry reports whether the next attempt may succeed where this one failed with err:
// the system refused namespaces.
func (a Attempt) Retry(err error) bool { return !a.last && notPermitted(err) }

// Pending is a program on its way into the sandbox.
type Pending struct {
	cmd     *exec.Cmd
	in, out *os.File // the pipe for the child's answer
}

// Prepare makes cmd start confined to p: it becomes the launcher, which becomes the
// program. cmd must be complete otherwise and have no ExtraFiles. The caller starts it
// with Pending.Start instead of its own method, once, and waits for it as ever.
func (l Launcher) Prepare(cmd *exec.Cmd, p Policy, a Attempt) (*Pending, error) {
	if cmd.Err != nil {
		return nil, fmt.Errorf("sandbox: %w", cmd.Err)
	}
	s := spec{Policy: p, Parent: os.Getpid(), Born: a.spaces}
	program := append([]string{cmd.Path}, cmd.Args...)
	return l.prepare(cmd, s, program)
}

func (l Launcher) prepare(cmd *exec.Cmd, s spec, program []string) (*Pending, error) {
	if len(l.Command) == 0 {
		return nil, errors.New("sandbox: there is no launcher")
	}
	if err := own(s.Policy); err != nil {
		s.Disowned = err.Error()
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	cmd.Path = l.Command[0]
	cmd.Args = slices.Concat(l.Command, []string{string(text)}, program)
	cmd.ExtraFiles = []*os.File{out}
	if s.Born {
		bear(cmd)
	}
	return &Pending{cmd, in, out}, nil
}

// Start starts the command and tells what confines the program, as soon as it runs.
// After an error no process is left.
func (p *Pending) Start() (Report, error) {
	defer p.in.Close() // only read
	err := p.cmd.Start()
	_ = p.out.Close() // the child has its own
	if err != nil {
		return Report{}, err
	}
	r, err := p.report()
	if err != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // only to be rid of it
	}
	return r, err
}

func (p *Pending) report() (Report, error) {
	b, err := io.ReadAll(p.in) // ends with the child's exec, or with the child
	if err != nil {
		return Report{}, fmt.Errorf("sandbox: %w", err)
	}
	if len(b) == 0 {
		return Report{}, errors.New("sandbox: the launcher ended without a word; does its main function ask sandbox.InChild?")
	}
	var a answer
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); { // a second answer follows when the exec failed
		if err := d.Decode(&a); err != nil {
			return Report{}, fmt.Errorf("sandbox: %w", err)
		}
	}
	if a.Err != "" {
		return Report{}, errors.New("sandbox: " + a.Err)
	}
	a.Report.sort()
	return a.Report, nil
}

// Check tells what would confine a program here. It starts the launcher and nothing
// else.
func (l Launcher) Check(ctx context.Context, p Policy) (r Report, err error) {
	for _, a := range Attempts() {
		cmd := exec.CommandContext(ctx, os.DevNull) // #nosec G204 -- it never runs
		cmd.Env = []string{}
		pending, err := l.prepare(cmd, spec{Policy: p, Parent: os.Getpid(), Born: a.spaces, Pretend: true}, []string{os.DevNull})
		if err != nil {
			return r, err
		}
		r, err = pending.Start()
		if err == nil {
			_ = cmd.Wait() // it has told what it had to
		}
		if err == nil || !a.Retry(err) {
			return r, err
		}
	}
	return r, err
}
