package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/bench/internal/wire"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// plan is a bounded piece of load: closed loops over loopback that stop by
// themselves.
type plan struct {
	Address     string   `json:"address"`  // HOST:PORT
	Requests    [][]byte `json:"requests"` // whole signed requests, taken in turn
	Connections int      `json:"connections"`
	Count       int      `json:"count"`  // requests of all connections together
	Status      int      `json:"status"` // that every answer must have; 0 means 200
	// Deltas is how many contentBlockDelta events each reply must have; 0 for
	// replies that are no streams.
	Deltas int `json:"deltas"`
	// Counted tells that delta i of every reply is the text of the number i: each
	// is read whole and must be.
	Counted bool `json:"counted"`
}

// outcome is what the load client saw. Times are microseconds.
type outcome struct {
	Done       int     `json:"done"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50"` // whole request
	P99        float64 `json:"p99"`
	FirstP50   float64 `json:"first_p50"` // until the first contentBlockDelta
	FirstP99   float64 `json:"first_p99"`
	FirstError string  `json:"first_error,omitempty"`
}

// run does the load of a plan in this process. Any unexpected answer ends it.
func (p plan) run() (outcome, error) {
	if p.Status == 0 {
		p.Status = 200
	}
	conns := make([]*loader, p.Connections)
	for i := range conns {
		w, err := wire.Dial("tcp", p.Address)
		if err != nil {
			return outcome{}, err
		}
		defer w.Close()
		n := p.Count / p.Connections
		if i < p.Count%p.Connections {
			n++
		}
		conns[i] = newLoader(p, w, n)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(conns))
	begin := time.Now()
	for i, l := range conns {
		wg.Go(func() { errs[i] = l.loop(i) })
	}
	wg.Wait()
	took := time.Since(begin)
	var whole, first []time.Duration
	for _, l := range conns {
		whole, first = append(whole, l.whole...), append(first, l.first...)
	}
	o := outcome{Done: len(whole), Seconds: took.Seconds()}
	us := stats.Micros(whole)
	o.P50, o.P99 = stats.Quantile(us, 0.5), stats.Quantile(us, 0.99)
	if p.Deltas > 0 {
		us = stats.Micros(first)
		o.FirstP50, o.FirstP99 = stats.Quantile(us, 0.5), stats.Quantile(us, 0.99)
	}
	return o, errors.Join(errs...)
}

// loader is one connection of a plan.
type loader struct {
	plan  plan
	w     *wire.Conn
	n     int
	whole []time.Duration
	first []time.Duration

	cut    wire.Cutter
	begin  time.Time
	deltas int
	ended  bool // the metadata event came
	check  bool // decode every frame of this reply
}

func newLoader(p plan, w *wire.Conn, n int) *loader {
	return &loader{
		plan: p, w: w, n: n, cut: wire.Cutter{End: wire.FrameEnd},
		whole: make([]time.Duration, 0, n), first: make([]time.Duration, 0, n),
	}
}

func (l *loader) loop(offset int) error {
	body := l.body // bound once: a method value costs an allocation
	for i := range l.n {
		l.deltas, l.ended, l.check = 0, false, i == 0
		l.begin = time.Now()
		status, err := l.w.Do(l.plan.Requests[(offset+i)%len(l.plan.Requests)], body)
		if err != nil {
			return err
		}
		l.whole = append(l.whole, time.Since(l.begin))
		if status != l.plan.Status {
			return fmt.Errorf("answer %d, expected %d: %.300s", status, l.plan.Status, l.w.Last())
		}
		if l.plan.Deltas > 0 && (l.deltas != l.plan.Deltas || !l.ended) {
			return fmt.Errorf("stream with %d deltas, expected %d; metadata: %v", l.deltas, l.plan.Deltas, l.ended)
		}
	}
	return nil
}

func (l *loader) body(piece []byte) error {
	if l.plan.Deltas == 0 {
		return nil
	}
	return l.cut.Add(piece, l.frame)
}

var (
	deltaName    = []byte("contentBlockDelta")
	metadataName = []byte("metadata")
)

// frame looks at one frame: by its name only, but for the first reply of each
// connection, which is checked whole.
func (l *loader) frame(f []byte) error {
	if l.check || l.plan.Counted {
		ev, _, err := eventstream.Decode(f)
		if err == nil && l.plan.Counted {
			err = l.counted(&ev)
		}
		if err != nil {
			return err
		}
	}
	head := f[:min(len(f), 64)]
	switch {
	case bytes.Contains(head, deltaName):
		if l.deltas++; l.deltas == 1 {
			l.first = append(l.first, time.Since(l.begin))
		}
	case bytes.Contains(head, metadataName):
		l.ended = true
	}
	return nil
}

// counted checks that a delta is the next number.
func (l *loader) counted(f *eventstream.Frame) error {
	if f.Text(eventstream.HeaderEventType) != string(deltaName) {
		return nil
	}
	var ev struct {
		Delta struct {
			Text string `json:"text"`
		} `json:"delta"`
	}
	if err := json.Unmarshal(f.Payload, &ev); err != nil {
		return fmt.Errorf("read a delta: %w", err)
	}
	if want := strconv.Itoa(l.deltas); ev.Delta.Text != want {
		return fmt.Errorf("delta %q where %q should come", ev.Delta.Text, want)
	}
	return nil
}

// clientFlag makes this program the load client of another one.
const clientFlag = "-client"

// client reads plans from in and writes their outcomes to out.
func client(in io.Reader, out io.Writer) error {
	var p plan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	o, err := p.run()
	if err != nil {
		o.FirstError = err.Error()
	}
	return json.NewEncoder(out).Encode(o)
}

// apart runs a plan in a process of its own, so that what the server costs can
// be told from what the client costs.
func apart(ctx context.Context, p plan) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, fmt.Errorf("start the load client: %w", err)
	}
	in, err := json.Marshal(p)
	if err != nil {
		return outcome{}, fmt.Errorf("start the load client: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, clientFlag) //nolint:gosec // this program
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("load client: %w", err)
	}
	var o outcome
	if err := json.Unmarshal(b, &o); err != nil {
		return outcome{}, fmt.Errorf("load client: %w", err)
	}
	if o.FirstError != "" {
		return o, fmt.Errorf("load client: %s", o.FirstError)
	}
	return o, nil
}

// inside runs a plan in this process.
func inside(_ context.Context, p plan) (outcome, error) { return p.run() }
