package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/bench/internal/wire"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/weights"
)

// engineRun compares the whole product with the bare engine: two processes of
// the same server with the same flags, of which only one works at a time.
type engineRun struct {
	pairs  int
	tokens int // of every reply
	folder string
	log    func(format string, args ...any)
	patient
}

// The slots of both processes, and the streams at a time with the least ratio
// that is wanted of each.
const engineSlots = 8

type target struct {
	streams int
	least   float64
}

var streamTargets = [...]target{{1, 0.97}, {4, 0.96}, {8, 0.96}}

// A prompt that a small model answers at length. It is always the same one, so
// both processes have it in their slots' caches after the warm-up and the time
// is that of decoding.
const storyPrompt = "Write a very long story about an old lighthouse keeper who finds a strange machine on the beach. " +
	"Describe every day of his work in detail, the weather, the sea, the people of the village, and what the machine does. Do not stop early."

// sides are the two ways to the weights.
type sides struct {
	product *product
	socket  string // of the bare engine
	tokens  int
	stop    func() error
}

func (g *engineRun) measure(ctx context.Context, s *section) (err error) {
	b, err := g.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	for _, t := range streamTargets {
		pairs, err := g.compare(ctx, b, t.streams)
		if err != nil {
			return fmt.Errorf("%d streams: %w", t.streams, err)
		}
		var ratios, ours, bare, cpu []float64
		for _, p := range pairs.values {
			ratios, ours, bare = append(ratios, p[0].rate/p[1].rate), append(ours, p[0].rate), append(bare, p[1].rate)
			cpu = append(cpu, float64((p[0].cpu-p[1].cpu).Microseconds())/float64(t.streams*b.tokens))
		}
		name := fmt.Sprintf("%d streams, aggregate rate", t.streams)
		if t.streams == 1 {
			name = "1 stream, decode rate"
		}
		s.Add(figure{
			Name: name + ": ratio to the bare engine", Value: stats.Median(ratios), Interval: new(stats.Interval(ratios)),
			Bound: t.least, Least: true,
			Note: "median of pairs, " + pairs.String(),
		})
		s.Add(figure{Name: name + " through Outcrop", Value: stats.Median(ours), Unit: "tokens/s"})
		s.Add(figure{Name: name + ", bare engine", Value: stats.Median(bare), Unit: "tokens/s"})
		s.Add(figure{
			Name: name + ": CPU of Outcrop per token", Value: stats.Median(cpu), Unit: "µs", Interval: new(stats.Interval(cpu)),
			Note: "of this process, less what it uses as the client of the bare engine",
		})
	}
	return nil
}

// engineTime is one run of one side.
type engineTime struct {
	rate float64       // tokens per second
	cpu  time.Duration // of this process: server and client, or the client alone
}

// compare measures pairs in the order A B, B A, A B, ... so that a drift of the
// machine's speed meets both sides alike. A pair holds our run and the bare one.
func (g *engineRun) compare(ctx context.Context, b *sides, streams int) (*calm[[2]engineTime], error) {
	order := [2]func(int) (float64, error){b.ours, b.bare}
	for _, f := range order {
		if _, err := f(streams); err != nil { // warm-up: fills the slots
			return nil, err
		}
	}
	i := 0
	n := g.pairs
	if streams == 1 {
		n *= 3 // a short run: more of them, since it varies more
	}
	return take(ctx, &g.patient, n, func() (pair [2]engineTime, cores float64, err error) {
		for j := range 2 {
			side, before, cpu := (i+j)%2, look(), cpuTime()
			if pair[side].rate, err = order[side](streams); err != nil {
				return pair, 0, err
			}
			pair[side].cpu = cpuTime() - cpu
			cores = max(cores, foreign(before, look()))
		}
		i++
		g.log("%d streams, pair %d: %.1f and %.1f tokens/s, ratio %.3f; others: %.2f cores", streams, i, pair[0].rate, pair[1].rate, pair[0].rate/pair[1].rate, cores)
		return pair, cores, nil
	})
}

// ours is the rate through the product: signed ConverseStream calls.
func (b *sides) ours(streams int) (float64, error) {
	body, err := converseBody(storyPrompt, b.tokens)
	if err != nil {
		return 0, err
	}
	req, err := b.product.request("converse-stream", body)
	if err != nil {
		return 0, err
	}
	return rate(streams, b.tokens, func() *reply {
		return &reply{network: "tcp", address: b.product.address, request: req, cut: wire.Cutter{End: wire.FrameEnd}, read: (*reply).readFrame}
	})
}

// bare is the rate of the engine alone, asked over its socket.
func (b *sides) bare(streams int) (float64, error) {
	body, err := json.Marshal(map[string]any{
		"messages":   []any{map[string]any{"role": "user", "content": storyPrompt}},
		"max_tokens": b.tokens, "temperature": 0, "stream": true, "cache_prompt": true,
		"stream_options": map[string]any{"include_usage": true},
	})
	if err != nil {
		return 0, fmt.Errorf("make a request: %w", err)
	}
	req := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return rate(streams, b.tokens, func() *reply {
		return &reply{network: "unix", address: b.socket, request: req, cut: wire.Cutter{End: wire.LineEnd}, read: (*reply).readEvent}
	})
}

// rate runs streams at a time and returns tokens per second: of one stream
// between its first and its last token, of several all tokens by the time from
// the first request to the last token.
func rate(streams, tokens int, open func() *reply) (float64, error) {
	replies := make([]*reply, streams)
	for i := range replies {
		replies[i] = open()
	}
	errs := make([]error, streams)
	var wg sync.WaitGroup
	begin := time.Now()
	for i, r := range replies {
		wg.Go(func() { errs[i] = r.run() })
	}
	wg.Wait()
	total, end := 0, begin
	for i, r := range replies {
		if errs[i] != nil {
			return 0, errs[i]
		}
		if r.tokens != tokens {
			return 0, fmt.Errorf("a reply of %d tokens, expected %d", r.tokens, tokens)
		}
		total += r.tokens
		if r.last.After(end) {
			end = r.last
		}
	}
	if streams == 1 {
		return float64(tokens-1) / replies[0].last.Sub(replies[0].first).Seconds(), nil
	}
	return float64(total) / end.Sub(begin).Seconds(), nil
}

// reply is one streamed reply of either side.
type reply struct {
	network, address string
	request          []byte
	cut              wire.Cutter
	read             func(*reply, []byte) error

	first, last time.Time // text
	tokens      int       // as the usage tells
}

func (r *reply) run() error {
	w, err := wire.Dial(r.network, r.address)
	if err != nil {
		return err
	}
	defer w.Close()
	status, err := w.Do(r.request, func(piece []byte) error {
		return r.cut.Add(piece, func(unit []byte) error { return r.read(r, unit) })
	})
	if err == nil && status != 200 {
		err = fmt.Errorf("answer %d: %.300s", status, w.Last())
	}
	return err
}

func (r *reply) text() {
	r.last = time.Now()
	if r.first.IsZero() {
		r.first = r.last
	}
}

// readFrame reads one frame of ConverseStream.
func (r *reply) readFrame(f []byte) error {
	head := f[:min(len(f), 64)]
	switch {
	case bytes.Contains(head, deltaName):
		r.text()
	case bytes.Contains(head, metadataName):
		var m struct {
			Usage struct {
				Output int `json:"outputTokens"`
			} `json:"usage"`
		}
		if err := json.Unmarshal(f[bytes.IndexByte(f, '{'):len(f)-4], &m); err != nil {
			return fmt.Errorf("metadata event: %w", err)
		}
		r.tokens = m.Usage.Output
	}
	return nil
}

var (
	textMark  = []byte(`"delta":{"content":"`)
	usageMark = []byte(`"usage":{`)
)

// readEvent reads one line of the engine's stream.
func (r *reply) readEvent(line []byte) error {
	switch {
	case bytes.Contains(line, textMark):
		r.text()
	case bytes.Contains(line, usageMark):
		var m struct {
			Usage struct {
				Output int `json:"completion_tokens"`
			} `json:"usage"`
		}
		data, _ := bytes.CutPrefix(line, []byte("data: "))
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("usage event: %w", err)
		}
		r.tokens = m.Usage.Output
	}
	return nil
}

// start brings up the product and the bare engine, both loaded.
func (g *engineRun) start(ctx context.Context) (_ *sides, err error) {
	dir, err := os.MkdirTemp("", "outcrop-bare-") // short: sockets lie in it
	if err != nil {
		return nil, fmt.Errorf("start the engines: %w", err)
	}
	b := &sides{tokens: g.tokens}
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	b.stop = func() error {
		var err error
		if b.product != nil {
			err = b.product.stop()
		}
		cancel()
		wg.Wait()
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop())
		}
	}()
	var bare *llamacpp.Engine
	cfg := app.Config{
		ModelsDir: filepath.Join(g.folder, "models"), EnginesDir: filepath.Join(g.folder, "engines"),
		Engine: app.Engine{Slots: engineSlots},
	}
	b.product, err = startProduct(ctx, cfg, func(cfg app.Config, cat *catalog.Catalog, store *weights.Store) (engine.Engine, error) {
		w, ok := cat.WeightsByID(chatWeights)
		if !ok {
			return nil, fmt.Errorf("the catalogue has no weights %s", chatWeights)
		}
		if err := store.Pull(ctx, w, weights.Silent); err != nil { // nothing to do when they are there
			return nil, err
		}
		c := app.LlamaCpp(cfg, cat, store, slog.New(slog.DiscardHandler))
		c.MemoryLimit = -1 // two engines stand side by side
		ours := llamacpp.New(c)
		c.RunDir = dir
		bare = llamacpp.New(c)
		return ours, nil
	})
	if err != nil {
		return nil, err
	}
	wg.Go(func() { _ = bare.Run(run) }) // what goes wrong shows in Load
	// The supervisor starts this process with the flags that it gives to every
	// other; after that only the socket is used.
	if err := bare.Load(ctx, engine.Target{Weights: chatWeights, Mode: engine.Chat}); err != nil {
		return nil, fmt.Errorf("load the bare engine: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "e*", "s.sock"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("load the bare engine: %d sockets (%w)", len(found), err)
	}
	b.socket = found[0]
	return b, nil
}
