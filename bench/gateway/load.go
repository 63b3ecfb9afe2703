//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/bench/internal/wire"
)

// form is how an answer is read and checked.
type form string

const (
	chatJSON     form = "chat"     // an OpenAI chat completion
	chatEvents   form = "events"   // its stream
	converseJSON form = "converse" // an answer of Converse
	frames       form = "frames"   // of ConverseStream
)

// plan is one cell of a round: closed loops over loopback, for a time.
type plan struct {
	Address     string   `json:"address"`  // HOST:PORT
	Requests    [][]byte `json:"requests"` // whole requests, taken in turn
	Refused     [][]byte `json:"refused"`  // requests that must be refused, once each
	Refusal     int      `json:"refusal"`  // the status of that
	Connections int      `json:"connections"`
	Warm        float64  `json:"warm"`    // seconds before the measuring
	Seconds     float64  `json:"seconds"` // of the measuring
	Form        form     `json:"form"`
	Tokens      int      `json:"tokens"` // that the mock makes for each reply
	Root        int      `json:"root"`   // process whose tree is charged; 0: nobody
	// Hold opens all connections, reads the first token of each, writes a line, and
	// goes on when a line comes.
	Hold bool `json:"hold"`
}

// outcome is what the load client saw. Times are microseconds. NaN cannot be
// sent, so what was not measured is 0.
type outcome struct {
	Done     int     `json:"done"` // replies within the measuring
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu"` // of the charged tree per reply
	P50      float64 `json:"p50"` // whole reply
	P99      float64 `json:"p99"`
	First    float64 `json:"first"`     // stamp of the first token to its arrival, median
	DelayP50 float64 `json:"delay_p50"` // stamp of a token to its arrival
	DelayP99 float64 `json:"delay_p99"`
	Pieces   float64 `json:"pieces"` // pieces of text per reply
	Error    string  `json:"error,omitempty"`
}

// tally is what one connection measured.
type tally struct {
	whole, first, delay []float64
	pieces              int
}

// worker is one connection of a plan.
type worker struct {
	plan    *plan
	w       *wire.Conn
	state   *atomic.Int32 // of the run
	counted *atomic.Int64 // replies of all workers that count
	check   checker
	tally
}

// patience is how long the first reply may take.
const patience = time.Minute

// The states of a run.
const (
	warming = iota
	measuring
	over
)

// run does the plan. Any unexpected answer ends it.
func (p *plan) run(ctx context.Context) (outcome, error) {
	if err := p.refusals(); err != nil {
		return outcome{}, err
	}
	var (
		state   atomic.Int32
		counted atomic.Int64
		wg      sync.WaitGroup
	)
	workers := make([]*worker, p.Connections)
	errs := make([]error, p.Connections)
	for i := range workers {
		c, err := wire.Dial("tcp", p.Address)
		if err != nil {
			return outcome{}, err // the process ends, and the others' connections with it
		}
		workers[i] = &worker{plan: p, w: c, state: &state, counted: &counted, check: checker{form: p.Form, tokens: p.Tokens}}
	}
	failed := make(chan struct{}, len(workers)+1)
	for i, w := range workers {
		wg.Go(func() {
			if errs[i] = w.loop(i); errs[i] != nil {
				failed <- struct{}{}
			}
		})
	}
	pause := func(seconds float64) {
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
		case <-failed:
			failed <- struct{}{} // for the next pause
		case <-ctx.Done():
		}
	}
	pause(p.Warm)
	before, begin := treeCPU(p.Root), time.Now()
	state.Store(measuring)
	pause(p.Seconds)
	for counted.Load() == 0 && len(failed) == 0 && ctx.Err() == nil && time.Since(begin) < patience { // a slow machine, or a short run
		pause(p.Seconds)
	}
	state.Store(over)
	used, took := treeCPU(p.Root)-before, time.Since(begin)
	wg.Wait()
	for _, w := range workers {
		w.w.Close()
	}
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return outcome{}, err
	}
	return sum(workers, used, took), nil
}

// sum makes one outcome of what all connections measured.
func sum(workers []*worker, used, took time.Duration) outcome {
	var all tally
	for _, w := range workers {
		all.whole, all.first, all.delay = append(all.whole, w.whole...), append(all.first, w.first...), append(all.delay, w.delay...)
		all.pieces += w.pieces
	}
	n := len(all.whole)
	if n == 0 {
		return outcome{}
	}
	q := func(values []float64, at float64) float64 {
		if v := stats.Quantile(stats.Sorted(values), at); !math.IsNaN(v) {
			return v
		}
		return 0
	}
	return outcome{
		Done: n, Seconds: took.Seconds(), CPU: float64(used.Microseconds()) / float64(n),
		P50: q(all.whole, 0.5), P99: q(all.whole, 0.99), First: q(all.first, 0.5),
		DelayP50: q(all.delay, 0.5), DelayP99: q(all.delay, 0.99), Pieces: float64(all.pieces) / float64(n),
	}
}

// refusals proves that requests which nobody may make are refused, right before
// the measuring.
func (p *plan) refusals() error {
	for i, r := range p.Refused {
		c, err := wire.Dial("tcp", p.Address)
		if err != nil {
			return err
		}
		status, err := c.Do(r, func([]byte) error { return nil })
		c.Close()
		if err != nil {
			return err
		}
		if status != p.Refusal {
			return fmt.Errorf("request %d that nobody may make was answered by %d", i, status)
		}
	}
	return nil
}

func (w *worker) loop(offset int) error {
	for i := 0; w.state.Load() != over; i++ {
		counts := w.state.Load() == measuring
		w.check.reset(i == 0)
		begin := time.Now()
		status, err := w.do(w.plan.Requests[(offset+i)%len(w.plan.Requests)], i > 0)
		took := time.Since(begin)
		if err == nil && status != 200 {
			err = fmt.Errorf("answer %d: %.300q", status, w.check.start)
		}
		if err == nil {
			err = w.check.end()
		}
		if err != nil {
			return err
		}
		if counts && w.state.Load() == measuring {
			w.whole = append(w.whole, float64(took)/1e3)
			w.pieces += w.check.pieces
			w.counted.Add(1)
			if len(w.check.delays) > 0 {
				w.first, w.delay = append(w.first, w.check.delays[0]), append(w.delay, w.check.delays...)
			}
		}
	}
	return nil
}

// do sends a request, once more over a new connection where the server closed
// the one that is there: servers do so after a number of requests.
func (w *worker) do(request []byte, used bool) (status int, err error) {
	status, err = w.w.Do(request, w.check.piece)
	gone := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if !used || status != 0 || !gone {
		return status, err
	}
	w.w.Close()
	if w.w, err = wire.Dial("tcp", w.plan.Address); err != nil {
		return 0, err
	}
	return w.w.Do(request, w.check.piece)
}

// runLoad is the load client as a process of its own.
func runLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	d := json.NewDecoder(in)
	var p plan
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if p.Hold {
		return p.hold(d, out)
	}
	o, err := p.run(ctx)
	if err != nil {
		o = outcome{Error: err.Error()}
	}
	return json.NewEncoder(out).Encode(o)
}

// hold opens the streams and keeps them until a line comes.
func (p *plan) hold(more *json.Decoder, out io.Writer) error {
	opened := make(chan error, p.Connections)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range p.Connections {
		c, err := wire.Dial("tcp", p.Address)
		if err != nil {
			return err
		}
		defer c.Close() // ends its reader
		wg.Go(func() {
			check, told := checker{form: p.Form, tokens: p.Tokens}, false
			status, err := c.Do(p.Requests[i%len(p.Requests)], func(b []byte) error {
				err := check.piece(b)
				if !told && (err != nil || check.pieces > 0) {
					told = true
					opened <- err
				}
				return err
			})
			if !told {
				opened <- fmt.Errorf("stream %d: status %d, %w", i, status, err)
			}
		})
		if i%32 == 31 { // the listener's queue is short
			for range 32 {
				if err := <-opened; err != nil {
					return err
				}
			}
		}
	}
	for range p.Connections % 32 {
		if err := <-opened; err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out, p.Connections); err != nil {
		return err
	}
	var line any
	_ = more.Decode(&line) // the end of the input will do
	return nil
}

// stampsIn finds the stamps in a piece of an answer: runs of so many digits.
func stampsIn(b []byte, each func(ns int64)) {
	run := 0
	for i, c := range b {
		if c < '0' || c > '9' {
			run = 0
			continue
		}
		if run++; run == stampDigits {
			if n, err := strconv.ParseInt(string(b[i+1-stampDigits:i+1]), 10, 64); err == nil {
				each(n)
			}
		}
	}
}

// apart runs a plan in a process of its own on the client's cores.
func (b *bench) apart(ctx context.Context, p *plan) (outcome, error) {
	in, err := json.Marshal(p)
	if err != nil {
		return outcome{}, fmt.Errorf("start the load client: %w", err)
	}
	cmd := b.pinned(ctx, b.clientCore, b.self, roleLoad)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("load client: %w", err)
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return outcome{}, fmt.Errorf("load client: %w", err)
	}
	if o.Error != "" {
		return o, errors.New(o.Error)
	}
	return o, nil
}
