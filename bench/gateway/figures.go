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
	"strings"
	"time"

	"github.com/outcrop/outcrop/bench/internal/report"
)

func self() int { return os.Getpid() }

func cpu(o *outcome) float64  { return o.CPU }
func p50(o *outcome) float64  { return o.P50 }
func p99(o *outcome) float64  { return o.P99 }
func rate(o *outcome) float64 { return float64(o.Done) / o.Seconds }

// figures turns rounds into the rows of the table.
func (b *bench) figures(s *report.Section, rounds []round) {
	others := 0.0
	for i := range rounds {
		others = math.Max(others, rounds[i].Others)
	}
	s.Note = fmt.Sprintf("Medians of %d rounds; others kept up to %.2f cores busy.", len(rounds), others)
	if b.taskset == "" {
		s.Note += " Nothing was pinned to cores."
	}
	add := func(f report.Figure, values []float64) {
		if len(values) == 0 {
			return
		}
		f.Value, f.Interval = middle(values)
		s.Add(f)
	}
	of := func(c cell, value func(*outcome) float64) []float64 {
		return across(rounds, func(r *round) float64 { return r.at(c, value) })
	}
	for _, lane := range []string{laneA, laneC, laneStream, laneBurst} {
		for _, n := range []int{1, 16} {
			for _, name := range append([]string{outcrop, relay}, append(b.peers, direct)...) {
				b.cellFigures(cell{lane, name, n}, rounds, of, add)
			}
		}
	}
}

// cellFigures are the rows of one cell.
func (b *bench) cellFigures(c cell, rounds []round, of func(cell, func(*outcome) float64) []float64, add func(report.Figure, []float64)) {
	base := cell{c.Lane, direct, c.Connections}
	if c.Lane == laneC {
		base.Lane = laneA
	}
	ours := cell{c.Lane, outcrop, c.Connections}
	name := c.String() + ": "
	added := func(value func(*outcome) float64) []float64 {
		return across(rounds, func(r *round) float64 { return (r.at(c, value) - r.at(base, value)) / 1000 })
	}
	if c.Server == direct {
		add(report.Figure{Name: name + "replies/s", Note: "mock and load client share a core"}, of(c, rate))
		add(report.Figure{Name: name + "latency p50", Unit: "µs"}, of(c, p50))
		if c.Lane == laneStream {
			add(report.Figure{Name: name + "token to client, p50", Unit: "µs"}, of(c, func(o *outcome) float64 { return o.DelayP50 }))
		}
		return
	}
	bound := func(on bool, v float64) float64 {
		if on && c.Server == outcrop {
			return v
		}
		return 0
	}
	add(report.Figure{Name: name + "CPU per request", Unit: "µs", Bound: bound(c.Lane == laneC, 120)}, of(c, cpu))
	if c.Server != outcrop {
		f := report.Figure{Name: name + "CPU per request, in times Outcrop's", Least: true}
		if c.Lane == laneA && c.Connections == 16 {
			f.Bound = map[string]float64{liteLLM: 20, portkey: 8}[c.Server]
		}
		add(f, across(rounds, func(r *round) float64 { return r.at(c, cpu) / r.at(ours, cpu) }))
	}
	if c.Lane == laneStream || c.Lane == laneBurst {
		b.streamFigures(c, base, rounds, of, add)
		return
	}
	add(report.Figure{Name: name + "added latency p50", Unit: "ms", Bound: bound(c.Connections == 1, 0.2)}, added(p50))
	add(report.Figure{Name: name + "added latency p99", Unit: "ms"}, added(p99))
	if c.Connections > 1 {
		add(report.Figure{Name: name + "requests/s on one core"}, of(c, rate))
	}
	if c.Server == outcrop {
		control := cell{laneA, relay, c.Connections}
		beyond := func(value func(*outcome) float64) []float64 {
			return across(rounds, func(r *round) float64 { return r.at(c, value) - r.at(control, value) })
		}
		add(report.Figure{Name: name + "CPU per request beyond a plain relay's", Unit: "µs"}, beyond(cpu))
		add(report.Figure{Name: name + "latency p50 beyond a plain relay's", Unit: "µs"}, beyond(p50))
	}
}

func (b *bench) streamFigures(c, base cell, rounds []round, of func(cell, func(*outcome) float64) []float64, add func(report.Figure, []float64)) {
	name := c.String() + ": "
	tokens := pacedTokens
	if c.Lane == laneBurst {
		tokens = burstTokens
		add(report.Figure{Name: name + "chunks/s on one core"}, of(c, func(o *outcome) float64 { return rate(o) * o.Pieces }))
	}
	add(report.Figure{Name: name + "CPU per chunk", Unit: "µs"}, of(c, func(o *outcome) float64 { return o.CPU / o.Pieces }))
	f := report.Figure{Name: name + "chunks out for each chunk in"}
	if c.Server == outcrop {
		f.Bound, f.Least = 1, true
	}
	add(f, of(c, func(o *outcome) float64 { return o.Pieces / float64(tokens) }))
	if c.Lane == laneBurst {
		return
	}
	more := func(value func(*outcome) float64) []float64 {
		return across(rounds, func(r *round) float64 { return (r.at(c, value) - r.at(base, value)) / 1000 })
	}
	add(report.Figure{Name: name + "added to the first token, p50", Unit: "ms"}, more(func(o *outcome) float64 { return o.First }))
	add(report.Figure{Name: name + "added to each token, p50", Unit: "ms"}, more(func(o *outcome) float64 { return o.DelayP50 }))
	add(report.Figure{Name: name + "added to each token, p99", Unit: "ms"}, more(func(o *outcome) float64 { return o.DelayP99 }))
}

// memory measures what an open stream takes: the slope of the proportional set
// size over numbers of streams that the mock holds open.
func (b *bench) memory(ctx context.Context, s *report.Section) error {
	if b.streams == 0 {
		return nil
	}
	if err := b.ours.wake(); err != nil {
		return err
	}
	var x, y []float64
	for _, n := range []int{b.streams / 10, b.streams / 4, b.streams / 2, b.streams} {
		pss, err := b.hold(ctx, n)
		if err != nil {
			return fmt.Errorf("%d streams: %w", n, err)
		}
		b.say("%d open streams: %.1f MB", n, float64(pss)/1e6)
		x, y = append(x, float64(n)), append(y, float64(pss))
	}
	s.Add(report.Figure{Name: "memory per open stream", Unit: "KB", Value: slope(x, y) / 1000, Bound: 48,
		Note: fmt.Sprintf("slope of the proportional set size from %.0f to %.0f streams, each with its connection to the upstream, 5 s after they were opened", x[0], x[len(x)-1])})
	s.Add(report.Figure{Name: fmt.Sprintf("memory with %d open streams", b.streams), Unit: "MB", Value: y[len(y)-1] / 1e6})
	return nil
}

// slope is that of the straight line nearest to the points.
func slope(x, y []float64) float64 {
	var mx, my, above, below float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		above, below = above+(x[i]-mx)*(y[i]-my), below+(x[i]-mx)*(x[i]-mx)
	}
	return above / below
}

// hold opens n streams and returns the memory of Outcrop while they are open.
func (b *bench) hold(ctx context.Context, n int) (pss int64, err error) {
	p := &plan{Address: b.ours.address, Connections: n, Form: frames, Tokens: tokensOf(stay), Hold: true}
	for i := range 16 {
		body := fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":%q}]}],"inferenceConfig":{"maxTokens":16}}`, strings.Repeat(fmt.Sprintf("word%d ", i), promptWords))
		r, err := signed(p.Address, stay, "converse-stream", body, b.ours.creds)
		if err != nil {
			return 0, err
		}
		p.Requests = append(p.Requests, r)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return 0, fmt.Errorf("start the load client: %w", err)
	}
	cmd := b.pinned(ctx, b.clientCore, b.self, roleLoad)
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("start the load client: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("start the load client: %w", err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the load client: %w", err)
	}
	defer func() {
		_ = in.Close() // it leaves with its input
		if e := cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("load client: %w: %s", e, said.Bytes()))
		}
	}()
	if _, err := in.Write(append(text, '\n')); err != nil {
		return 0, fmt.Errorf("start the load client: %w", err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("the streams did not open: %w", err)
	}
	select {
	case <-time.After(5 * time.Second): // what opening them needed goes
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return treePSS(b.ours.root())
}
