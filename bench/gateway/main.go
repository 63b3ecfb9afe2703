//go:build linux

// Command gateway compares Outcrop with other gateways, each before the same
// mock upstream.
//
//	go run ./bench/gateway                    the whole protocol; at most 45 minutes on two cores
//	go run ./bench/gateway -rounds 1 -seconds 1 -warm 0.5 -streams 200
//	go run ./bench/gateway -peers ""          Outcrop alone
//	go run ./bench/gateway -write             also puts the figures into docs/performance.md
//
// It installs the peers from their registries into the user's cache folder, in
// pinned versions, builds Outcrop, and runs everything on loopback in one network
// namespace: the gateways on one core, mock and load client on another. It needs
// Linux, Go, Python 3.10 with venv, and npm. docs/performance.md tells how to read
// the figures.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/bench/internal/report"
)

// Roles of this program when it is started by itself.
const (
	roleMock  = "-role-mock"
	roleLoad  = "-role-load"
	roleRelay = "-role-relay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench/gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, log io.Writer) error {
	if len(args) == 1 && args[0] == roleMock {
		return runMock(ctx, in, out)
	}
	if len(args) == 1 && args[0] == roleLoad {
		return runLoad(ctx, in, out)
	}
	if len(args) == 3 && args[0] == roleRelay {
		return runRelay(ctx, args[1], args[2])
	}
	b, err := parse(args, log)
	if err != nil {
		return err
	}
	return b.run(ctx, out)
}

// bench is one run of the whole.
type bench struct {
	rounds        int
	seconds, warm float64 // of a cell
	streams       int     // most that are open at once; 0 leaves memory out
	peers         []string
	limit         time.Duration
	write         bool
	json          string
	only          string // part of the names of cells
	environment   string
	program       string // measured instead of a fresh build
	log           io.Writer

	self, taskset           string
	gatewayCore, clientCore int
	repository, cache, dir  string
	mock                    string // HOST:PORT
	ours                    *product
	servers                 map[string]*server
	begun                   time.Time
}

func parse(args []string, log io.Writer) (*bench, error) {
	b := &bench{log: log, begun: time.Now(), servers: map[string]*server{}}
	f := flag.NewFlagSet("gateway", flag.ContinueOnError)
	f.SetOutput(log)
	var peers string
	f.IntVar(&b.rounds, "rounds", 9, "rounds; each measures everything once, in a new order")
	f.Float64Var(&b.seconds, "seconds", 8, "how long each cell of a round is measured")
	f.Float64Var(&b.warm, "warm", 2, "seconds of load before that")
	f.IntVar(&b.streams, "streams", 2000, "streams that are open at once, for memory; 0 leaves that out")
	f.StringVar(&peers, "peers", strings.Join([]string{liteLLM, portkey, miniStack}, ","), "`names` of the peers, with commas; none leaves Outcrop alone")
	f.DurationVar(&b.limit, "limit", 45*time.Minute, "when the last round must have begun to end")
	f.BoolVar(&b.write, "write", false, "put the figures into docs/performance.md")
	f.StringVar(&b.json, "json", "", "also write what was measured to this `file`, round by round")
	f.StringVar(&b.only, "only", "", "measure only cells whose name contains this `text`")
	f.StringVar(&b.environment, "environment", "", "variables for Outcrop, e.g. \"GOGC=50\"")
	f.StringVar(&b.program, "program", "", "measure this `file` instead of a fresh build of Outcrop")
	f.StringVar(&b.cache, "cache", "", "`folder` of peers, models and engines (default: outcrop in the user's cache folder)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if b.rounds < 1 || b.seconds <= 0 || b.warm < 0 || b.streams < 0 {
		return nil, errors.New("-rounds must be at least 1, -seconds more than 0, -warm and -streams not less")
	}
	for p := range strings.SplitSeq(peers, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if !slices.Contains([]string{liteLLM, portkey, miniStack}, p) {
			return nil, fmt.Errorf("-peers: there is no %q", p)
		}
		b.peers = append(b.peers, p)
	}
	return b, b.place()
}

// place finds the folders and the cores.
func (b *bench) place() error {
	var err error
	if b.repository, err = report.Repository(); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if b.cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find the cache folder: %w; name one with -cache", err)
		}
		b.cache = filepath.Join(cache, "outcrop")
	}
	if runtime.NumCPU() > 1 {
		b.taskset, _ = exec.LookPath("taskset") // "" runs everything anywhere
		b.clientCore = 1
	}
	return nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, "%6.1fs "+format+"\n", append([]any{time.Since(b.begun).Seconds()}, args...)...)
}

// run measures and reports.
func (b *bench) run(ctx context.Context, out io.Writer) (err error) {
	if b.dir, err = os.MkdirTemp("", "outcrop-gateways-"); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	s := report.Section{ID: "peers", Command: b.command(), Time: time.Now().UTC(), Machine: report.Machine(), Load: report.LoadAverage()}
	stop, err := b.startMock(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if b.ours, err = b.startProduct(ctx); err != nil {
		return err
	}
	b.servers[outcrop] = b.ours.server
	defer func() {
		for _, s := range b.servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, name := range append([]string{relay}, b.peers...) {
		if b.servers[name], err = b.startPeer(ctx, name); err != nil {
			delete(b.servers, name)
			return err
		}
	}
	for _, s := range b.servers {
		if err := s.rest(); err != nil {
			return err
		}
	}
	rounds, err := b.measure(ctx)
	if err != nil {
		return err
	}
	b.figures(&s, rounds)
	if err := b.memory(ctx, &s); err != nil {
		return err
	}
	return b.tell(out, &s, rounds)
}

// tell reports what was measured.
func (b *bench) tell(out io.Writer, s *report.Section, rounds []round) error {
	if err := s.Markdown(out); err != nil {
		return err
	}
	if b.json != "" {
		text, err := json.MarshalIndent(struct {
			Section *report.Section `json:"section"`
			Rounds  []round         `json:"rounds"`
		}{s, rounds}, "", " ")
		if err == nil {
			err = os.WriteFile(b.json, append(text, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write the figures: %w", err)
		}
	}
	if b.write {
		return report.RewriteFile(filepath.Join(b.repository, "docs", "performance.md"), []report.Section{*s})
	}
	return nil
}

// command is how this run is started again.
func (b *bench) command() string {
	text := fmt.Sprintf("go run ./bench/gateway -rounds %d -seconds %g -warm %g -streams %d", b.rounds, b.seconds, b.warm, b.streams)
	if len(b.peers) < 3 {
		text += fmt.Sprintf(" -peers %q", strings.Join(b.peers, ","))
	}
	return text
}

// startMock starts the mock on the clients' core.
func (b *bench) startMock(ctx context.Context) (stop func(), err error) {
	cmd := b.pinned(ctx, b.clientCore, b.self, roleMock)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	stop = func() {
		_ = in.Close() // it ends with its input
		_ = cmd.Wait() // how it ended says nothing of what was measured
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	b.mock = strings.TrimSpace(line)
	return stop, nil
}
