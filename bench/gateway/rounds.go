//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/bench/internal/report"
	"github.com/outcrop/outcrop/bench/internal/stats"
)

// direct stands for the mock itself, without a gateway.
const direct = "direct"

// cell is one thing that a round measures.
type cell struct {
	Lane        string // laneA, laneC, laneStream, laneBurst
	Server      string
	Connections int
}

// The lanes.
const (
	laneA      = "OpenAI chat"    // unary; instant
	laneC      = "Converse"       // unary; instant
	laneStream = "ConverseStream" // paced
	laneBurst  = "ConverseStream without pauses"
)

func (c cell) String() string {
	plural := "s"
	if c.Connections == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s, %d connection%s, %s", c.Lane, c.Connections, plural, c.Server)
}

// cells are all that a round measures. Lane C is held against the same direct
// calls as lane A: nothing but a gateway speaks Converse.
func (b *bench) cells() []cell {
	var all []cell
	for _, n := range []int{1, 16} {
		all = append(all, cell{laneA, direct, n}, cell{laneA, relay, n}, cell{laneA, outcrop, n}, cell{laneC, outcrop, n},
			cell{laneStream, direct, n}, cell{laneStream, outcrop, n})
		for _, p := range b.peers {
			if p == miniStack {
				all = append(all, cell{laneC, p, n}, cell{laneStream, p, n})
			} else {
				all = append(all, cell{laneA, p, n})
			}
		}
	}
	all = append(all, cell{laneBurst, direct, 16}, cell{laneBurst, outcrop, 16})
	return slices.DeleteFunc(all, func(c cell) bool { return !strings.Contains(c.String(), b.only) })
}

// round is what one round measured.
type round struct {
	Cells  map[string]outcome `json:"cells"` // by the cell's text
	Drift  float64            `json:"drift"` // of the direct calls' median latency from begin to end, 0.1 is 10 %
	Others float64            `json:"others"`
	Load   string             `json:"load"` // load average at its end
}

// drifted is the drift that makes a round worth nothing.
const drifted = 0.15

// measure runs the rounds. One during which the machine changed its speed is
// done again while there is time; when there is not, the calmest ones count.
func (b *bench) measure(ctx context.Context) ([]round, error) {
	order := rand.New(rand.NewPCG(uint64(b.begun.UnixNano()), 1)) // #nosec G404 -- an order, not a secret
	for _, c := range b.cells() {                                 // what a gateway does once, it does now
		if c.Server == direct || c.Connections == 1 || c.Lane == laneBurst {
			continue
		}
		if _, err := b.cell(ctx, c, b.seconds); err != nil {
			return nil, fmt.Errorf("warm-up: %s: %w", c, err)
		}
	}
	var good, spoilt []round
	var longest time.Duration
	for n := 1; len(good) < b.rounds && len(good)+len(spoilt) < 2*b.rounds; n++ {
		if left := b.limit - time.Since(b.begun); len(good)+len(spoilt) >= b.rounds && left < longest+longest/4 {
			break
		}
		begin := time.Now()
		r, err := b.round(ctx, order)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", n, err)
		}
		longest = max(longest, time.Since(begin))
		b.say("round %d took %.0f s; drift %.0f %%, others kept %.2f cores busy", n, time.Since(begin).Seconds(), 100*r.Drift, r.Others)
		if r.Drift <= drifted {
			good = append(good, r)
		} else {
			spoilt = append(spoilt, r)
		}
		if time.Since(b.begun) > b.limit {
			break
		}
	}
	slices.SortFunc(spoilt, func(x, y round) int { return int(math.Copysign(1, x.Drift-y.Drift)) })
	return append(good, spoilt[:min(len(spoilt), max(0, b.rounds-len(good)))]...), nil
}

// round measures every cell once, in an order of its own, between two looks at
// the direct calls.
func (b *bench) round(ctx context.Context, order *rand.Rand) (round, error) {
	r := round{Cells: map[string]outcome{}}
	cells := b.cells()
	order.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	used, begin := busy()-b.own(), time.Now()
	look := func() (float64, error) {
		o, err := b.cell(ctx, cell{laneA, direct, 1}, b.seconds/4)
		return o.P50, err
	}
	first, err := look()
	if err != nil {
		return r, err
	}
	for _, c := range cells {
		o, err := b.cell(ctx, c, b.seconds)
		if err == nil && o.Done == 0 {
			err = errors.New("no reply ended within the measuring")
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", c, err)
		}
		b.say("  %-55s %7d replies, p50 %9.1f µs, CPU %8.1f µs, pieces %.1f, delay %.0f/%.0f µs", c, o.Done, o.P50, o.CPU, o.Pieces, o.DelayP50, o.DelayP99)
		r.Cells[c.String()] = o
	}
	last, err := look()
	r.Drift = math.Abs(last-first) / math.Min(first, last)
	r.Others = max(0, (busy()-b.own()-used).Seconds()/time.Since(begin).Seconds())
	r.Load = report.LoadAverage()
	return r, err
}

// own is the processor time of this program, the gateways, the mock and the load
// clients.
func (b *bench) own() time.Duration { return treeCPU(self()) }

// cell measures one cell. Only its gateway runs meanwhile.
func (b *bench) cell(ctx context.Context, c cell, seconds float64) (outcome, error) {
	p, err := b.plan(c)
	if err != nil {
		return outcome{}, err
	}
	p.Warm, p.Seconds = b.warm, seconds
	if s := b.servers[c.Server]; s != nil {
		if err := s.wake(); err != nil {
			return outcome{}, err
		}
		defer func() { _ = s.rest() }() // it ends with the run at the latest
	}
	return b.apart(ctx, p)
}

// plan makes the requests of a cell, freshly signed.
func (b *bench) plan(c cell) (*plan, error) {
	p := &plan{Address: b.mock, Connections: c.Connections, Tokens: instantTokens}
	kind := instant
	switch c.Lane {
	case laneA:
		p.Form = chatJSON
	case laneC:
		p.Form = converseJSON
	case laneStream:
		kind, p.Form = paced, frames
	case laneBurst:
		kind, p.Form = burst, frames
	}
	p.Tokens = tokensOf(kind)
	if s := b.servers[c.Server]; s != nil {
		p.Address, p.Root = s.address, s.root()
	} else if p.Form == frames {
		p.Form = chatEvents
	}
	for i := range 16 {
		r, err := b.request(c, p, kind, i)
		if err != nil {
			return nil, err
		}
		p.Requests = append(p.Requests, r)
	}
	if c.Server == outcrop {
		good := p.Requests[0]
		p.Refusal = 403
		p.Refused = [][]byte{bytes.Replace(good, []byte("Authorization:"), []byte("X-Nothing:"), 1)}
		if c.Lane == laneA { // whose key is in the header
			p.Refused[0] = bytes.Replace(good, []byte("Bearer "), []byte("Bearer x"), 1)
			p.Refusal = 401
		} else {
			p.Refused = append(p.Refused, bytes.Replace(good, []byte("word0"), []byte("wor00"), 1))
		}
	}
	return p, nil
}

// promptWords makes prompts of about 1 KB.
const promptWords = 150

// request is the bytes of one request of a cell.
func (b *bench) request(c cell, p *plan, kind string, i int) ([]byte, error) {
	text := strings.Repeat(fmt.Sprintf("word%d ", i), promptWords)
	if c.Lane != laneA && c.Server != direct {
		type block struct {
			Text string `json:"text"`
		}
		body, err := json.Marshal(map[string]any{
			"messages":        []any{map[string]any{"role": "user", "content": []block{{text}}}},
			"inferenceConfig": map[string]any{"maxTokens": p.Tokens, "temperature": 0},
		})
		if err != nil {
			return nil, fmt.Errorf("make a request: %w", err)
		}
		operation := "converse"
		if p.Form == frames {
			operation = "converse-stream"
		}
		return signed(p.Address, kind, operation, string(body), b.ours.creds)
	}
	path, name := "/v1/chat/completions", kind
	headers := []string{"Authorization", "Bearer none"}
	switch c.Server {
	case portkey:
		headers = append(headers, "x-portkey-provider", "openai", "x-portkey-custom-host", "http://"+b.mock+"/v1")
	case outcrop:
		path, name = "/openai"+path, modelID(kind)
		headers[1] = "Bearer " + b.ours.bearer
	}
	in := map[string]any{"model": name, "messages": []any{map[string]any{"role": "user", "content": text}}, "max_tokens": p.Tokens, "temperature": 0}
	if p.Form == chatEvents {
		in["stream"], in["stream_options"] = true, map[string]any{"include_usage": true}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	return post(p.Address, path, string(body), headers...), nil
}

// across collects a value of each round; rounds without it are left out.
func across(rounds []round, value func(r *round) float64) []float64 {
	var all []float64
	for i := range rounds {
		if v := value(&rounds[i]); !math.IsNaN(v) && !math.IsInf(v, 0) {
			all = append(all, v)
		}
	}
	return all
}

// at returns a value of a cell; NaN where the cell was not measured.
func (r *round) at(c cell, value func(o *outcome) float64) float64 {
	o, ok := r.Cells[c.String()]
	if !ok {
		return math.NaN()
	}
	return value(&o)
}

// middle is the median with its interval where there are enough values.
func middle(values []float64) (float64, *[2]float64) {
	if len(values) == 0 {
		return math.NaN(), nil
	}
	if len(values) < 5 {
		return stats.Median(values), nil
	}
	return stats.Median(values), new(stats.Interval(values))
}
