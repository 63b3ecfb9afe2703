package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
)

// gatewayRun measures everything above the engine: the server with an engine
// that answers at once.
type gatewayRun struct {
	rounds  int // of every measurement; the median of the rounds is reported
	count   int // Converse calls per round
	streams int // ConverseStream calls per round
	deltas  int // events with text of a stream
	load    func(context.Context, plan) (outcome, error)
	patient
}

// levels are the numbers of connections.
var levels = [...]int{1, 16, 64}

// The prompt makes a body of about 1 KB; the reply of a Converse call has as
// many words as replyTokens.
const (
	promptWords = 150
	replyTokens = 16
	shortDeltas = 8
)

// gatewayBench is the state of one run.
type gatewayBench struct {
	gatewayRun
	srv *product
	eng *scripted.Engine
}

func (g gatewayRun) measure(ctx context.Context, s *section) (err error) {
	b := &gatewayBench{gatewayRun: g}
	b.eng = scripted.New(scripted.Reply{Deltas: scripted.Split("the quick brown fox jumps over the lazy dog and"), Endless: true})
	b.srv, err = startProduct(ctx, app.Config{}, func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return b.eng, nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.srv.stop()) }()
	if err := b.refusals(ctx); err != nil {
		return err
	}
	if _, err := b.round(ctx); err != nil { // warm-up
		return err
	}
	rounds, err := take(ctx, &b.patient, g.rounds, func() ([]figure, float64, error) {
		before := look()
		f, err := b.round(ctx)
		return f, foreign(before, look()), err
	})
	if err != nil {
		return err
	}
	s.Note = "Median of rounds, " + rounds.String() + "."
	for i, f := range rounds.values[0] {
		values := make([]float64, len(rounds.values))
		for j, r := range rounds.values {
			values[j] = r[i].Value
		}
		f.Value = stats.Median(values)
		if len(values) >= 5 {
			f.Interval = new(stats.Interval(values))
		}
		s.Add(f)
	}
	return nil
}

// plan makes one out of freshly signed requests.
func (b *gatewayBench) plan(operation string, connections, count, tokens int) (plan, error) {
	p := plan{Address: b.srv.address, Connections: connections, Count: count}
	if operation == "converse-stream" {
		p.Deltas = tokens
	}
	for i := range 16 {
		body, err := converseBody(strings.Repeat(fmt.Sprintf("word%d ", i), promptWords), tokens)
		if err != nil {
			return p, err
		}
		r, err := b.srv.request(operation, body)
		if err != nil {
			return p, err
		}
		p.Requests = append(p.Requests, r)
	}
	return p, nil
}

// converseBody is the body of a Converse call as SDKs write it.
func converseBody(prompt string, tokens int) (string, error) {
	type text struct {
		Text string `json:"text"`
	}
	b, err := json.Marshal(map[string]any{
		"messages":        []any{map[string]any{"role": "user", "content": []text{{prompt}}}},
		"inferenceConfig": map[string]any{"maxTokens": tokens, "temperature": 0},
	})
	if err != nil {
		return "", fmt.Errorf("make a body: %w", err)
	}
	return string(b), nil
}

// refusals proves that the server which is measured checks signatures.
func (b *gatewayBench) refusals(ctx context.Context) error {
	p, err := b.plan("converse", 1, 1, 1)
	if err != nil {
		return err
	}
	good := p.Requests[0]
	for name, bad := range map[string][]byte{
		"unsigned": bytes.Replace(good, []byte("Authorization:"), []byte("X-Nothing:"), 1),
		"altered":  bytes.Replace(good, []byte("word0"), []byte("wor00"), 1),
	} {
		p.Requests, p.Status = [][]byte{bad}, 403
		if _, err := inside(ctx, p); err != nil {
			return fmt.Errorf("%s request: %w", name, err)
		}
	}
	return nil
}

// cost is what this process has used up.
type cost struct {
	mallocs, bytes uint64
	cpu            time.Duration
}

func spent() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cost{mallocs: m.Mallocs, bytes: m.TotalAlloc, cpu: cpuTime()}
}

// loaded runs a plan and tells what it cost the server, each per request.
func (b *gatewayBench) loaded(ctx context.Context, p plan) (o outcome, allocs, bytes, cpu float64, err error) {
	before := spent()
	if o, err = b.load(ctx, p); err != nil {
		return o, 0, 0, 0, err
	}
	after, n := spent(), float64(o.Done)
	return o, float64(after.mallocs-before.mallocs) / n, float64(after.bytes-before.bytes) / n,
		float64((after.cpu - before.cpu).Microseconds()) / n, nil
}

// round measures everything once: the same figures in the same order each time.
func (b *gatewayBench) round(ctx context.Context) ([]figure, error) {
	var all []figure
	note := func(f figure, value float64) {
		f.Value = value
		all = append(all, f)
	}
	if err := b.firstToken(ctx, note); err != nil {
		return nil, err
	}
	for _, n := range levels {
		if err := b.unary(ctx, n, note); err != nil {
			return nil, err
		}
	}
	for _, n := range levels {
		if err := b.streamed(ctx, n, note); err != nil {
			return nil, err
		}
	}
	return all, b.perChunk(ctx, note)
}

// firstToken compares a call through the server with a direct call of its engine.
func (b *gatewayBench) firstToken(ctx context.Context, note func(figure, float64)) error {
	p, err := b.plan("converse-stream", 1, b.streams, shortDeltas)
	if err != nil {
		return err
	}
	o, err := b.load(ctx, p)
	if err != nil {
		return err
	}
	direct := make([]time.Duration, b.streams)
	r := &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: strings.Repeat("word0 ", promptWords)}}}},
		Params:   llm.Params{MaxTokens: new(shortDeltas)},
	}
	for i := range direct {
		begin := time.Now()
		for ev, err := range b.eng.Generate(ctx, engine.Target{Weights: chatWeights, Mode: engine.Chat}, r) {
			if err != nil {
				return fmt.Errorf("direct call: %w", err)
			}
			if ev.Kind == llm.Delta {
				direct[i] = time.Since(begin)
				break
			}
		}
	}
	base := stats.Quantile(stats.Micros(direct), 0.5)
	note(figure{Name: "added time to first token, p50", Unit: "ms", Bound: 1, Note: "ConverseStream over one connection, less the median of direct calls of the engine"}, (o.FirstP50-base)/1000)
	note(figure{Name: "added time to first token, p99", Unit: "ms", Bound: 5}, (o.FirstP99-base)/1000)
	return nil
}

func (b *gatewayBench) unary(ctx context.Context, n int, note func(figure, float64)) error {
	p, err := b.plan("converse", n, b.count, replyTokens)
	if err != nil {
		return err
	}
	o, allocs, bytes, cpu, err := b.loaded(ctx, p)
	if err != nil {
		return err
	}
	at := fmt.Sprintf("Converse, %d connections: ", n)
	if n == 1 {
		at = "Converse, 1 connection: "
	}
	note(figure{Name: at + "requests/s"}, float64(o.Done)/o.Seconds)
	note(figure{Name: at + "latency p50", Unit: "µs"}, o.P50)
	note(figure{Name: at + "latency p99", Unit: "µs"}, o.P99)
	note(figure{Name: at + "allocations per request"}, allocs)
	note(figure{Name: at + "bytes allocated per request", Unit: "B"}, bytes)
	note(figure{Name: at + "CPU of the server per request", Unit: "µs"}, cpu)
	return nil
}

func (b *gatewayBench) streamed(ctx context.Context, n int, note func(figure, float64)) error {
	p, err := b.plan("converse-stream", n, b.streams, b.deltas)
	if err != nil {
		return err
	}
	o, err := b.load(ctx, p)
	if err != nil {
		return err
	}
	at := fmt.Sprintf("ConverseStream, %d connections: ", n)
	if n == 1 {
		at = "ConverseStream, 1 connection: "
	}
	note(figure{Name: at + "chunks/s", Note: fmt.Sprintf("%d chunks a stream, each flushed by itself", b.deltas)}, float64(o.Done*b.deltas)/o.Seconds)
	return nil
}

// perChunk tells the cost of a chunk from that of a stream by streams of two
// lengths.
func (b *gatewayBench) perChunk(ctx context.Context, note func(figure, float64)) error {
	var allocs, bytes, cpu [2]float64
	for i, deltas := range [...]int{shortDeltas, b.deltas} {
		p, err := b.plan("converse-stream", 1, b.streams, deltas)
		if err != nil {
			return err
		}
		if _, allocs[i], bytes[i], cpu[i], err = b.loaded(ctx, p); err != nil {
			return err
		}
	}
	n := float64(b.deltas - shortDeltas)
	note(figure{Name: "ConverseStream: allocations per stream", Note: fmt.Sprintf("with %d chunks", shortDeltas)}, allocs[0])
	note(figure{Name: "ConverseStream: allocations per chunk"}, (allocs[1]-allocs[0])/n)
	note(figure{Name: "ConverseStream: bytes allocated per chunk", Unit: "B"}, (bytes[1]-bytes[0])/n)
	note(figure{Name: "ConverseStream: CPU of the server per chunk", Unit: "µs"}, (cpu[1]-cpu[0])/n)
	return nil
}
