package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The ids that most tests call.
const (
	claudeV2    = "anthropic.claude-v2"
	claudeHaiku = "anthropic.claude-3-haiku-20240307-v1:0"
	titanText   = "amazon.titan-text-express-v1"
	titanEmbed1 = "amazon.titan-embed-text-v1"
	titanEmbed2 = "amazon.titan-embed-text-v2:0"
	smollm      = "huggingface.smollm2-135m-instruct-v1:0"
)

// options say how a server is started. The zero value is a plain server with an
// own data directory.
type options struct {
	program  string // binary; "" means outcrop
	data     string // data directory; "" makes one
	config   string // lines of YAML besides the download folders
	models   string // folder of the weights; "" means that of all tests
	firstRun bool   // downloads may be needed
}

// server is a running `outcrop serve`.
type server struct {
	cmd      *exec.Cmd
	program  string
	data     string
	config   string            // path of the configuration file
	endpoint string            // e.g. http://127.0.0.1:4711
	env      map[string]string // what `outcrop env` prints
	took     time.Duration     // from exec to the ready line
	log      *output
	exited   chan struct{} // closed when the process has been waited for
	exit     error         // result of Wait; valid once exited is closed
}

// readyLine is what `outcrop serve` prints when it takes requests.
var readyLine = regexp.MustCompile(`is ready on (https?://[^ ]+) \(`)

// start starts a server and waits for its ready line.
func start(ctx context.Context, o options) (*server, error) {
	if o.program == "" {
		o.program = s.outcrop
	}
	if o.data == "" {
		dir, err := os.MkdirTemp(s.dir, "data-")
		if err != nil {
			return nil, err
		}
		o.data = dir
	}
	if o.models == "" {
		o.models = s.models
	}
	config := filepath.Join(filepath.Dir(o.data), filepath.Base(o.data)+".yaml")
	text := fmt.Sprintf("models_dir: %q\nengines_dir: %q\n%s\n", o.models, s.engines, o.config)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	srv := &server{program: o.program, data: o.data, config: config, log: newOutput(), exited: make(chan struct{})}
	args := []string{"serve", "--data", o.data, "--config", config}
	if !strings.Contains(o.config, "listeners:") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	srv.cmd = exec.Command(o.program, args...)
	srv.cmd.Env = cleanEnv()
	srv.cmd.Stdout, srv.cmd.Stderr = srv.log, srv.log
	srv.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C at the tests is not for the server
	begin := time.Now()
	if err := srv.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		srv.exit = srv.cmd.Wait()
		close(srv.exited)
	}()
	limit := time.Minute
	if o.firstRun {
		limit = 8 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	match, err := srv.log.wait(ctx, readyLine, srv.exited)
	if err != nil {
		srv.kill()
		return nil, fmt.Errorf("no ready line: %w; the server said:\n%s", err, srv.log)
	}
	srv.endpoint, srv.took = match[1], time.Since(begin)
	out, err := srv.cli(ctx, "env", "--json").Output()
	if err != nil {
		srv.kill()
		return nil, fmt.Errorf("outcrop env: %w", commandError(err))
	}
	if err := json.Unmarshal(out, &srv.env); err != nil {
		srv.kill()
		return nil, fmt.Errorf("outcrop env --json: %w", err)
	}
	if srv.env["AWS_ENDPOINT_URL"] != srv.endpoint {
		srv.kill()
		return nil, fmt.Errorf("outcrop env names %q, the server listens on %q", srv.env["AWS_ENDPOINT_URL"], srv.endpoint)
	}
	return srv, nil
}

// startFor starts a server that is stopped, and checked for engines left
// behind, when t ends.
func startFor(t *testing.T, o options) *server {
	t.Helper()
	srv, err := start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", srv.log)
		}
	})
	return srv
}

// cli is an outcrop command on this server's installation.
func (s *server) cli(ctx context.Context, args ...string) *exec.Cmd {
	args = append(args, "--data", s.data, "--config", s.config)
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env = cleanEnv()
	cmd.WaitDelay = time.Second
	return cmd
}

// stop asks the server to end and waits until it and its engines are gone. A
// server that has ended before is fine.
func (s *server) stop() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	engines, err := descendants(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		s.kill()
		return errors.New("the server did not end within 40 s of SIGTERM")
	}
	if s.exit != nil {
		return fmt.Errorf("the server ended with %w after SIGTERM; it said:\n%s", s.exit, s.log)
	}
	return gone(engines, time.Second)
}

// kill ends the server at once and waits for it.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.exited
}

// cleanEnv is the environment without anything that steers AWS clients.
func cleanEnv(more ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "OUTCROP_") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

// commandError shows what a failed command said.
func commandError(err error) error {
	var e *exec.ExitError
	if errors.As(err, &e) && len(e.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(e.Stderr))
	}
	return err
}

// output keeps what a process prints. It is safe for concurrent use.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{} // closed and replaced at every write
}

func newOutput() *output { return &output{wrote: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.wrote)
	o.wrote = make(chan struct{})
	return o.text.Write(p)
}

// String is the text so far without the export lines, which hold a secret.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(o.text.String()) {
		if !strings.Contains(line, "export AWS_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// wait returns the first match in the text so far or to come.
func (o *output) wait(ctx context.Context, re *regexp.Regexp, exited <-chan struct{}) ([]string, error) {
	for {
		o.mu.Lock()
		match, more := re.FindStringSubmatch(o.text.String()), o.wrote
		o.mu.Unlock()
		if match != nil {
			return match, nil
		}
		select {
		case <-more:
		case <-exited:
			return nil, errors.New("the process ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// process is one process of this machine.
type process struct {
	pid, parent int
	args        string
}

// processes lists those that run; zombies do not.
func processes() ([]process, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=,args=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", commandError(err))
	}
	var list []process
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p process
		var stat string
		if _, err := fmt.Sscan(lines.Text(), &p.pid, &p.parent, &stat, &p.args); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("ps printed %q: %w", lines.Text(), err)
		}
		if !strings.HasPrefix(stat, "Z") {
			p.args = lines.Text()
			list = append(list, p)
		}
	}
	return list, lines.Err()
}

// descendants lists the processes that pid started, and theirs.
func descendants(pid int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	family := map[int]bool{pid: true}
	var found []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if family[p.parent] && !family[p.pid] {
				family[p.pid], grown = true, true
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// gone checks that the processes end within the time.
func gone(list []process, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		now, err := processes()
		if err != nil {
			return err
		}
		var left []string
		for _, p := range now {
			for _, q := range list {
				if p.pid == q.pid {
					left = append(left, p.args[:min(len(p.args), 120)])
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d engine processes outlived their server by %s:\n%s", len(left), within, strings.Join(left, "\n"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
