package llamacpp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// How long a stopping process is given for each step.
const (
	politeWait = 5 * time.Second  // after stdin was closed
	termWait   = 10 * time.Second // after SIGTERM
	waitDelay  = 5 * time.Second  // after its death, for pipes that grandchildren hold
)

// stderrKept is how much of a process's last output is kept for the log.
const stderrKept = 64 << 10

// process is one child. Its methods may be called from any goroutine.
type process struct {
	pid    int
	socket string // set once it is ready
	stdin  io.WriteCloser
	stderr ring
	// confined tells what the process cannot do.
	confined sandbox.Report

	slept  chan struct{} // the server says that it sleeps; buffered 1
	dozing atomic.Bool   // it has said so last

	ready     chan struct{} // closed by the state line "ready"
	readyOnce sync.Once
	exited    chan struct{} // closed when the process is gone; then state holds
	state     *os.ProcessState

	output   atomic.Int64  // unix nanoseconds of the last output
	progress atomic.Uint64 // bits of the loaded fraction, 0..1

	mu     sync.Mutex
	reaped bool
}

// program is what start runs.
type program struct {
	argv, env []string
	dir       string
	policy    sandbox.Policy
}

// start runs a child in its own process group. On Linux it dies with this
// process (parent-death signal); elsewhere it sees the end of its stdin.
//
// With a launcher, the child is confined as far as the system lets us: it serves on a
// unix socket, reads its weights, and has no reason to reach anything else.
func start(l *sandbox.Launcher, g program) (*process, error) {
	if l == nil || !sandbox.Supported() {
		return fork(g, nil, sandbox.Attempt{})
	}
	var (
		p   *process
		err error
	)
	for _, a := range sandbox.Attempts() {
		if p, err = fork(g, l, a); err == nil || !a.Retry(err) {
			break
		}
	}
	return p, err
}

func fork(g program, l *sandbox.Launcher, a sandbox.Attempt) (*process, error) {
	p := &process{slept: make(chan struct{}, 1), ready: make(chan struct{}), exited: make(chan struct{})}
	p.output.Store(time.Now().UnixNano())
	cmd := exec.Command(g.argv[0], g.argv[1:]...) // #nosec G204 -- built by Host.command
	cmd.Env, cmd.Dir = g.env, g.dir
	cmd.SysProcAttr = sysProcAttr()
	cmd.WaitDelay = waitDelay
	cmd.Stdout = &lines{p: p}
	cmd.Stderr = &tail{p: p}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("engine's stdin: %w", err)
	}
	p.stdin = stdin
	begin := cmd.Start
	if l != nil {
		pending, err := l.Prepare(cmd, g.policy, a)
		if err != nil {
			_ = stdin.Close()
			return nil, fmt.Errorf("start %s: %w", g.argv[0], err)
		}
		begin = func() (err error) {
			p.confined, err = pending.Start()
			return err
		}
	}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is bound to the thread that forks, so the
		// thread must live as long as the child. It is not unlocked: it ends
		// with this goroutine.
		runtime.LockOSThread()
		if err := begin(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		hardenChild(p.pid)
		started <- nil
		_ = cmd.Wait() // the exit is judged by ProcessState
		p.mu.Lock()
		p.reaped = true
		p.mu.Unlock()
		p.state = cmd.ProcessState
		close(p.exited)
	}()
	if err := <-started; err != nil {
		_ = stdin.Close()
		return nil, fmt.Errorf("start %s: %w", g.argv[0], err)
	}
	return p, nil
}

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// signal sends sig to the process group, unless the process was reaped.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		signalGroup(p.pid, sig)
	}
}

// kill ends the process group at once and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.stdin.Close()
	<-p.exited
}

// stop ends the process: stdin closed, polite, SIGTERM to the group, term,
// SIGKILL to the group. It returns when the process is gone.
//
// The server ends by itself at the end of stdin. It must not be sent its exit
// command: the Python host would stay alive without answering.
func (p *process) stop(polite, term time.Duration) {
	_ = p.stdin.Close()
	if p.await(polite) {
		return
	}
	p.signal(syscall.SIGTERM)
	if p.await(term) {
		return
	}
	p.kill()
}

func (p *process) await(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}

// crashSignal returns the signal that ended the process, 0 if none did.
func (p *process) crashSignal() syscall.Signal {
	if ws, ok := p.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return 0
}

var errStalledLoad = errors.New("no progress while loading")

// waitReady returns when the server answers: at its state line, or when health
// returns nil, asked after 20 ms and then ever more rarely, up to every 250 ms.
// It fails when the process ends or shows no sign of life for stall.
func (p *process) waitReady(ctx context.Context, stall time.Duration, health func(context.Context) error) error {
	pause := 20 * time.Millisecond
	poll := time.NewTimer(pause)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return &exitError{state: p.state, signal: p.crashSignal()}
		case <-p.ready:
			return nil
		case <-poll.C:
		}
		if health(ctx) == nil {
			return nil
		}
		if time.Since(time.Unix(0, p.output.Load())) > stall {
			return fmt.Errorf("%w for %s", errStalledLoad, stall)
		}
		pause = min(pause+pause/4, 250*time.Millisecond)
		poll.Reset(pause)
	}
}

// exitError says how a process ended.
type exitError struct {
	state  *os.ProcessState
	signal syscall.Signal
}

func (e *exitError) Error() string { return "the engine process ended: " + e.state.String() }

// badInstruction reports whether the process died as a build does that does not
// fit the CPU.
func (e *exitError) badInstruction() bool {
	return e.signal == syscall.SIGSEGV || e.signal == syscall.SIGILL || e.signal == syscall.SIGBUS
}

// loaded is the fraction of the model that is read, 0..1.
func (p *process) loaded() float64 { return math.Float64frombits(p.progress.Load()) }

const statePrefix = "cmd_child_to_router:state:"

// line reads one line of stdout.
func (p *process) line(b []byte) {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(b), []byte(statePrefix))
	if !ok {
		return
	}
	var m struct {
		State   string `json:"state"`
		Payload struct {
			Value float64 `json:"value"`
		} `json:"payload"`
	}
	if json.Unmarshal(rest, &m) != nil {
		return
	}
	p.dozing.Store(m.State == "sleeping")
	switch m.State {
	case "sleeping":
		select {
		case p.slept <- struct{}{}:
		default:
		}
	case "loading":
		p.progress.Store(math.Float64bits(m.Payload.Value))
	case "ready":
		p.progress.Store(math.Float64bits(1))
		p.readyOnce.Do(func() { close(p.ready) })
	}
}

// lines cuts stdout into lines. Longer ones than 64 KiB are dropped.
type lines struct {
	p   *process
	buf []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.p.output.Store(time.Now().UnixNano())
	l.buf = append(l.buf, b...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 {
			break
		}
		l.p.line(l.buf[:i])
		l.buf = append(l.buf[:0], l.buf[i+1:]...)
	}
	if len(l.buf) > 64<<10 {
		l.buf = l.buf[:0]
	}
	return len(b), nil
}

// tail keeps the end of stderr.
type tail struct{ p *process }

func (t *tail) Write(b []byte) (int, error) {
	t.p.output.Store(time.Now().UnixNano())
	t.p.stderr.add(b)
	return len(b), nil
}

// ring holds the last stderrKept bytes.
type ring struct {
	mu  sync.Mutex
	buf []byte
}

func (r *ring) add(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, b...)
	if over := len(r.buf) - stderrKept; over > 0 {
		r.buf = append(r.buf[:0], r.buf[over:]...)
	}
}

// last returns at most n bytes of the end, whole lines where possible.
func (r *ring) last(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buf
	if len(b) > n {
		b = b[len(b)-n:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
