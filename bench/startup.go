package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"github.com/outcrop/outcrop/bench/internal/stats"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// startupRun measures the built program: how fast it is there, how big it is.
type startupRun struct {
	starts int
	idle   time.Duration // before memory is read
	root   string        // of the repository
	folder string        // of installed models and engines
}

func (g startupRun) measure(ctx context.Context, s *section) (err error) {
	dir, err := os.MkdirTemp("", "outcrop-start-")
	if err != nil {
		return fmt.Errorf("start-up: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin := filepath.Join(dir, "outcrop")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "./cmd/outcrop")
	build.Dir, build.Env = g.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build outcrop: %w\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		return fmt.Errorf("build outcrop: %w", err)
	}
	config := filepath.Join(dir, "outcrop.yaml")
	text := fmt.Sprintf("models_dir: %q\nengines_dir: %q\n", filepath.Join(g.folder, "models"), filepath.Join(g.folder, "engines"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("start-up: %w", err)
	}
	argv := []string{bin, "serve", "--data", filepath.Join(dir, "data"), "--config", config}
	if _, err := g.start(ctx, argv, 10*time.Minute); err != nil { // the first one installs
		return err
	}
	var listen, answer, ready, memory, stop []float64
	for range g.starts {
		t, err := g.start(ctx, argv, time.Minute)
		if err != nil {
			return err
		}
		listen, answer, ready = append(listen, ms(t.listen)), append(answer, ms(t.answer)), append(ready, ms(t.ready))
		stop = append(stop, ms(t.stop))
		if t.memory > 0 {
			memory = append(memory, t.memory)
		}
	}
	add := func(name, unit string, values []float64, bound float64, note string) {
		f := figure{Name: name, Unit: unit, Value: stats.Median(values), Bound: bound, Note: note}
		if len(values) >= 5 {
			f.Interval = new(stats.Interval(values))
		}
		s.Add(f)
	}
	add("start to listening", "ms", listen, 100, fmt.Sprintf("from exec to the first connection, median of %d starts on an existing data directory", g.starts))
	add("start to the first answer", "ms", answer, 0, "GET /healthz")
	add("start to ready", "ms", ready, 1000, "GET /readyz")
	add("stop, from SIGTERM to the end", "ms", stop, 0, "")
	if len(memory) > 0 {
		add("resident memory without engines", "MB", memory, 60, fmt.Sprintf("VmRSS %s after ready", g.idle))
	}
	s.Add(figure{Name: "size of the program", Unit: "MB", Value: float64(info.Size()) / 1e6, Note: "CGO_ENABLED=0 go build -trimpath -ldflags '-s -w'"})
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// times are those of one start.
type times struct {
	listen, answer, ready, stop time.Duration
	memory                      float64 // MB; 0 when unknown
}

// start runs the program once, from exec to its end.
func (g startupRun) start(ctx context.Context, argv []string, limit time.Duration) (t times, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return t, fmt.Errorf("find a free port: %w", err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return t, fmt.Errorf("find a free port: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "--listen", address)...) //nolint:gosec // what was just built
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return t, fmt.Errorf("start outcrop: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	until := func(try func() bool) (time.Duration, error) {
		for !try() {
			select {
			case err := <-ended:
				return 0, fmt.Errorf("outcrop ended early: %w\n%s", err, said.Bytes())
			case <-time.After(500 * time.Microsecond):
			}
		}
		return time.Since(begin), nil
	}
	web := &http.Transport{DisableKeepAlives: true}
	get := func(path string) func() bool {
		return func() bool {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				return false
			}
			resp, err := web.RoundTrip(r)
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
	}
	if t.listen, err = until(func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}); err != nil {
		return t, err
	}
	if t.answer, err = until(get("/healthz")); err != nil {
		return t, err
	}
	if t.ready, err = until(get("/readyz")); err != nil {
		return t, err
	}
	select {
	case err := <-ended:
		return t, fmt.Errorf("outcrop ended early: %w\n%s", err, said.Bytes())
	case <-time.After(g.idle):
	}
	t.memory = resident(cmd.Process.Pid)
	begin = time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return t, fmt.Errorf("stop outcrop: %w", err)
	}
	if err := <-ended; err != nil {
		return t, fmt.Errorf("outcrop did not end well: %w\n%s", err, said.Bytes())
	}
	t.stop = time.Since(begin)
	return t, nil
}

// resident is VmRSS of a process in MB (1,000,000 bytes); 0 where the system
// does not tell.
func resident(pid int) float64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			if f := bytes.Fields(rest); len(f) == 2 {
				kb, _ := strconv.ParseFloat(string(f[0]), 64) // 0 when it is no number
				return kb * 1024 / 1e6
			}
		}
	}
	return 0
}
