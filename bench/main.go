// Command bench measures Outcrop: what it costs over the bare engine, what it
// costs by itself, and how fast it starts.
//
//	go run ./bench                          everything; some 20 minutes on two cores
//	go run ./bench -gateway                 one part: -engine, -gateway, -access, -soak, -overload, -startup, -micro
//	go run ./bench -write                   also puts the figures into docs/performance.md
//	go run ./bench -quick                   a few seconds of each; the figures say nothing
//
// Everything runs on loopback, against servers that this program starts and
// stops. docs/performance.md tells how to read the figures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/bench/internal/report"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

func main() {
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	if len(os.Args) == 2 && os.Args[1] == clientFlag {
		if err := client(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = o.run(ctx, os.Stdout)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

// options are the flags.
type options struct {
	engine, gateway, access, soak, overload, startup, micro bool // parts; none means all
	swap                                                    bool // a part that only runs when it is asked for
	minutes                                                 float64
	pairs                                                   int
	tokens                                                  int
	quick                                                   bool
	write                                                   bool
	json                                                    string
	folder                                                  string
	cpuProfile, allocProfile                                string
	wait                                                    time.Duration

	load func(context.Context, plan) (outcome, error)
	log  io.Writer
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{load: apart, log: stderr}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&o.engine, "engine", false, "compare decode rates with the bare engine")
	f.BoolVar(&o.gateway, "gateway", false, "measure the server with an engine that answers at once")
	f.BoolVar(&o.access, "access", false, "measure what 50 policies cost a call")
	f.BoolVar(&o.soak, "soak", false, "hold 1,000 streams open at once")
	f.BoolVar(&o.overload, "overload", false, "offer five times what the engine can do, for two minutes")
	f.BoolVar(&o.swap, "swap", false, "call three models at random on memory for two; needs gemma-3-270m installed")
	f.Float64Var(&o.minutes, "minutes", 30, "how long -swap calls")
	f.BoolVar(&o.startup, "startup", false, "measure start, memory and size of the built program")
	f.BoolVar(&o.micro, "micro", false, "run the Go benchmarks of the hot path")
	f.IntVar(&o.pairs, "pairs", 15, "pairs of -engine; three times as many with one stream")
	f.IntVar(&o.tokens, "tokens", 128, "tokens of a reply of -engine")
	f.DurationVar(&o.wait, "wait", 10*time.Minute, "how long each part may wait in all for others to leave the machine alone")
	f.BoolVar(&o.quick, "quick", false, "measure very little: a check of this program, not of the server")
	f.BoolVar(&o.write, "write", false, "put the figures into docs/performance.md")
	f.StringVar(&o.json, "json", "", "also write the figures to this `file`")
	f.StringVar(&o.folder, "models", "", "`folder` of installed models and engines (default: in the user's cache folder)")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of -engine or -gateway to this `file`")
	f.StringVar(&o.allocProfile, "allocprofile", "", "write an allocation profile of -engine or -gateway to this `file`")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.pairs < 1 || o.tokens < 2 {
		return nil, errors.New("-pairs must be at least 1 and -tokens at least 2")
	}
	if !o.swap && !o.engine && !o.gateway && !o.access && !o.soak && !o.overload && !o.startup && !o.micro {
		o.engine, o.gateway, o.access, o.soak, o.overload, o.startup, o.micro = true, true, true, true, true, true, true
	}
	if o.folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache folder: %w; name one with -models", err)
		}
		o.folder = filepath.Join(cache, "outcrop")
	}
	if o.allocProfile != "" {
		runtime.MemProfileRate = 512 // bytes; the profile shows small things too
	}
	return o, nil
}

// figure and section are what reports are made of.
type (
	figure  = report.Figure
	section = report.Section
)

// part is one kind of measurement.
type part struct {
	id      string
	on      bool
	command string
	measure func(context.Context, *section) error
}

func (o *options) parts(root string) []part {
	g := gatewayRun{rounds: 9, count: 4000, streams: 1000, deltas: 200, load: o.load, patient: patient{o.wait}}
	a := accessRun{rounds: 15, count: 2000, load: o.load, patient: patient{o.wait}}
	e := engineRun{pairs: o.pairs, tokens: o.tokens, folder: o.folder, log: o.say, patient: patient{o.wait}}
	s := startupRun{starts: 15, idle: 3 * time.Second, root: root, folder: o.folder}
	k := soakRun{streams: 1000, deltas: 300, load: o.load}
	v := overloadRun{
		clients: 100, times: 5, slots: 4, first: 50 * time.Millisecond, token: 5 * time.Millisecond, tokens: 31,
		peak: 10 * time.Second, last: 2 * time.Minute,
	}
	swap := swapRun{last: time.Duration(o.minutes * float64(time.Minute)), swaps: 5, folder: o.folder}
	m := microRun{root: root, count: 5, time: "0.2s"}
	if o.quick {
		g.wait, a.wait, e.wait = 0, 0, 0
		a.rounds, a.count = 1, 64
		g.rounds, g.count, g.streams, g.deltas = 1, 128, 64, 2*shortDeltas
		e.pairs, e.tokens = 1, 8
		k.streams, k.deltas = 32, 20
		v.peak, v.last = time.Second, 6*time.Second
		s.starts, s.idle = 1, 0
		m.count, m.time = 1, "1x"
	}
	return []part{
		{"engine", o.engine, fmt.Sprintf("go run ./bench -engine -pairs %d -tokens %d", e.pairs, e.tokens), e.measure},
		{"gateway", o.gateway, "go run ./bench -gateway", g.measure},
		{"access", o.access, "go run ./bench -access", a.measure},
		{"soak", o.soak, "go run ./bench -soak", k.measure},
		{"overload", o.overload, "go run ./bench -overload", v.measure},
		{"swap", o.swap, fmt.Sprintf("go run ./bench -swap -minutes %g", o.minutes), swap.measure},
		{"startup", o.startup, "go run ./bench -startup", s.measure},
		{"micro", o.micro, "go run ./bench -micro", m.measure},
	}
}

func (o *options) say(format string, args ...any) {
	fmt.Fprintf(o.log, format+"\n", args...)
}

// run measures what was asked for and reports it.
func (o *options) run(ctx context.Context, out io.Writer) (err error) {
	root, err := report.Repository()
	if err != nil {
		return err
	}
	stop, err := o.profile()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var sections []section
	for _, p := range o.parts(root) {
		if !p.on {
			continue
		}
		s := section{ID: p.id, Command: p.command, Time: time.Now().UTC(), Machine: report.Machine(), Load: report.LoadAverage()}
		if o.quick {
			s.Command += " -quick"
		}
		o.say("measuring: %s", p.id)
		if err := p.measure(ctx, &s); err != nil {
			return fmt.Errorf("%s: %w", p.id, err)
		}
		fmt.Fprintf(out, "\n## %s\n\n", p.id)
		if err := s.Markdown(out); err != nil {
			return err
		}
		sections = append(sections, s)
	}
	missed := 0
	for i := range sections {
		missed += sections[i].Missed()
	}
	fmt.Fprintf(out, "\n%d targets missed\n", missed)
	if o.json != "" {
		b, err := json.MarshalIndent(sections, "", "  ")
		if err != nil {
			return fmt.Errorf("write the figures: %w", err)
		}
		if err := os.WriteFile(o.json, append(b, '\n'), 0o600); err != nil {
			return fmt.Errorf("write the figures: %w", err)
		}
	}
	if o.write {
		if o.quick {
			return errors.New("figures of -quick say nothing and are not written to the document")
		}
		return report.RewriteFile(filepath.Join(root, "docs", "performance.md"), sections)
	}
	return nil
}

// profile starts what the flags ask for; the function that it returns writes it.
func (o *options) profile() (func() error, error) {
	var cpu *os.File
	if o.cpuProfile != "" {
		var err error
		if cpu, err = os.Create(o.cpuProfile); err == nil {
			err = pprof.StartCPUProfile(cpu)
		}
		if err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return fmt.Errorf("profile: %w", err)
			}
		}
		if o.allocProfile == "" {
			return nil
		}
		f, err := os.Create(o.allocProfile)
		if err == nil {
			err = errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
		}
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		return nil
	}, nil
}
