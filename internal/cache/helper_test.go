package cache_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "us-east-1"
)

// model is an Inference that numbers its replies, so that one can see which was
// made when.
type model struct {
	cache.Inference // for the methods that no test calls

	// reply, when set, makes the events of the n-th generation, from 1.
	reply func(ctx context.Context, n int, r *llm.Request) llm.Events
	embed func(ctx context.Context, c *call.Call, r *llm.EmbedRequest) (*llm.EmbedResponse, error)

	mu      sync.Mutex
	made    int
	open    int // generations that have not ended
	passes  [][]string
	targets []*catalog.Target
}

func (m *model) Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		m.mu.Lock()
		m.made++
		m.open++
		n := m.made
		m.targets = append(m.targets, t)
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.open--
		}()
		c.ServedBy, c.StandIn, c.Inferred = t.Weights.ID, t.Model.StandIn, true
		events := words(fmt.Sprintf("reply %d", n))
		if m.reply != nil {
			events = m.reply(ctx, n, r)
		}
		for ev, err := range events {
			switch ev.Kind {
			case llm.Start, llm.Done:
				c.Usage = ev.Usage
			case llm.Delta:
				c.Usage.OutputTokens++
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

func (m *model) Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, _ int) (*llm.EmbedResponse, error) {
	m.mu.Lock()
	m.passes = append(m.passes, r.Texts)
	m.mu.Unlock()
	c.ServedBy, c.Inferred = t.Weights.ID, true
	made := vectors
	if m.embed != nil {
		made = func(r *llm.EmbedRequest) (*llm.EmbedResponse, error) { return m.embed(ctx, c, r) }
	}
	out, err := made(r)
	if err == nil {
		for _, n := range out.Tokens {
			c.Usage.InputTokens += n
		}
	}
	return out, err
}

// vectors are one per text: of two equal words each, of different lengths.
func vectors(r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	out := &llm.EmbedResponse{Latency: time.Millisecond}
	for _, text := range r.Texts {
		out.Tokens = append(out.Tokens, len(strings.Fields(text)))
	}
	if r.Check != nil {
		if err := r.Check(out.Tokens); err != nil {
			return nil, err
		}
	}
	for _, text := range r.Texts {
		out.Vectors = append(out.Vectors, []float32{float32(len(text)), 1})
	}
	return out, nil
}

func (m *model) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made
}

func (m *model) running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

func (m *model) batches() [][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.passes
}

// words are the events of a text.
func words(text string) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		usage := llm.Usage{InputTokens: 7, ReusedTokens: 2, CacheRead: 1, CacheWrite: 3}
		if !yield(llm.Event{Kind: llm.Start, Usage: usage, Served: &llm.Served{Server: "s", Region: region}}, nil) || !yield(llm.Event{Kind: llm.BlockStart}, nil) {
			return
		}
		for _, w := range strings.SplitAfter(text, " ") {
			usage.OutputTokens++
			if !yield(llm.Event{Kind: llm.Delta, Text: w}, nil) {
				return
			}
		}
		if yield(llm.Event{Kind: llm.BlockStop}, nil) && yield(llm.Event{Kind: llm.Stop, Reason: llm.EndTurn}, nil) {
			yield(llm.Event{Kind: llm.Done, Usage: usage, Latency: time.Second, FirstToken: time.Millisecond}, nil)
		}
	}
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newGate makes a gate for the replies of all accounts.
func newGate(t testing.TB, m *model, edit func(*cache.Config)) *cache.Gate {
	t.Helper()
	cfg := cache.Config{
		Inference: m, Secret: [32]byte{1}, Files: func(*catalog.Weights) ([]string, bool) { return []string{"f1"}, true },
		Responses: cache.Responses{Accounts: cache.Accounts{"*"}},
	}
	if edit != nil {
		edit(&cfg)
	}
	g, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newCall(owner string) *call.Call {
	return &call.Call{Region: region, Principal: call.Principal{Account: owner}}
}

func target() *catalog.Target {
	return &catalog.Target{
		Model: catalog.Model{ID: "vendor.model-v1", StandIn: true}, Weights: catalog.Weights{ID: "w", Mode: "chat", ContextTokens: 100},
		Regions: []string{region},
	}
}

// asks is a request whose reply is the likeliest one.
func asks(text string) *llm.Request {
	return &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: text}}}},
		Params:   llm.Params{Temperature: new(0.0)},
	}
}

// say runs a request and returns the text of the reply.
func say(t testing.TB, g *cache.Gate, c *call.Call, to *catalog.Target, r *llm.Request) string {
	t.Helper()
	before := *to
	resp, err := llm.Collect(g.Generate(t.Context(), c, to, r))
	if err != nil {
		t.Errorf("generate: %v", err)
	}
	if !reflect.DeepEqual(before, *to) {
		t.Errorf("the target is changed: %+v", *to)
	}
	return resp.Text()
}

var errModel = errors.New("the model failed")
