package bedrock_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/bedrock"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

func TestMain(m *testing.M) {
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	goleak.VerifyTestMain(m)
}

const (
	haiku = "anthropic.claude-3-haiku-20240307-v1:0"
	titan = "amazon.titan-embed-text-v2:0"
)

// keys are credentials that stay the same.
type keys bedrock.Keys

// Credentials implements bedrock.Credentials.
func (k keys) Credentials() (bedrock.Keys, error) { return bedrock.Keys(k), nil }

func keysOf(s *apptest.Server) bedrock.Credentials {
	return keys{AccessKeyID: s.Key.ID, Secret: s.Key.Secret}
}

// relay passes connections on to a server and can break them all.
type relay struct {
	to string
	l  net.Listener

	mu   sync.Mutex
	open map[net.Conn]bool
}

func startRelay(t *testing.T, endpoint string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{to: strings.TrimPrefix(endpoint, "http://"), l: l, open: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.kill()
		wg.Wait()
	})
	return r
}

func (r *relay) serve(c net.Conn) {
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = c.Close()
		return
	}
	r.mu.Lock()
	r.open[c], r.open[up] = true, true
	r.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, p := range [][2]net.Conn{{c, up}, {up, c}} {
		go func() {
			_, _ = io.Copy(p[0], p[1]) // until either side is gone
			_ = p[0].Close()
			_ = p[1].Close()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	r.mu.Lock()
	delete(r.open, c)
	delete(r.open, up)
	r.mu.Unlock()
}

func (r *relay) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close()
	}
}

func (r *relay) url() string { return "http://" + r.l.Addr().String() }

const tale = "Once upon a time a naïve captain sailed from 東京 to Bergen, round the cape and back again, " +
	"and she told nobody what she had found there, for who would have believed her story of the singing ice?"

func begin(t *testing.T, c bedrock.Config) *bedrock.Engine {
	t.Helper()
	e, err := bedrock.New(c)
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Start(t, e)
	return e
}

// TestConformance runs the suite of all engines against another Outcrop, over the
// wire and with its signatures.
func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		e := scripted.New(scripted.Reply{Text: tale, Endless: true, Pace: func(ctx context.Context, i int) error {
			if i < 40 {
				return nil
			}
			<-ctx.Done() // long replies are there to be broken off
			return ctx.Err()
		}})
		e.Tools, e.Images = true, true
		e.Script = func(_ engine.Target, r *llm.Request) *scripted.Reply {
			if len(r.Tools) > 0 && r.Choice.Kind != llm.ChooseNone {
				return &scripted.Reply{Blocks: []scripted.Block{
					{Text: "Let me look."}, {Kind: llm.ToolCall, Name: "get_time", Text: `{"zone": "Paris"}`},
				}}
			}
			return nil
		}
		s := apptest.Start(t, apptest.Engine(e))
		r := startRelay(t, s.Endpoint)
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		up := func(m engine.Mode, images bool) bedrock.Upstream {
			u := bedrock.Upstream{
				URL: r.url(), Region: "us-east-1", Model: haiku, Mode: m, Credentials: keysOf(s), Transport: transport,
				Concurrent: 4, ContextTokens: 8192, Idle: 30 * time.Second, Images: images,
			}
			if m == engine.Embed {
				u.Model, u.Dimensions = titan, 1024
			}
			return u
		}
		return enginetest.Subject{
			Engine: begin(t, bedrock.Config{QueueWait: time.Minute, Upstreams: map[string]bedrock.Upstream{
				"chat": up(engine.Chat, false), "tools": up(engine.Chat, false), "images": up(engine.Chat, true), "embed": up(engine.Embed, false),
			}}),
			Plain: true, Slots: 4,
			Chat:    engine.Target{Weights: "chat", Mode: engine.Chat},
			Tools:   engine.Target{Weights: "tools", Mode: engine.Chat},
			Images:  engine.Target{Weights: "images", Mode: engine.Chat},
			Embed:   engine.Target{Weights: "embed", Mode: engine.Embed},
			Missing: engine.Target{Weights: "gone", Mode: engine.Chat},
			Kill:    func(*testing.T) { r.kill() },
		}
	})
}

// TestRealConformance runs it against another Outcrop with its own engine and
// models, which call no tools.
func TestRealConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		s := apptest.Start(t, apptest.RealEngine())
		r := startRelay(t, s.Endpoint)
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		up := bedrock.Upstream{
			URL: r.url(), Region: "us-east-1", Model: haiku, Mode: engine.Chat, Credentials: keysOf(s), Transport: transport,
			Concurrent: 2, ContextTokens: 4096,
		}
		embed := up
		embed.Model, embed.Mode, embed.Dimensions, embed.Concurrent = titan, engine.Embed, 1024, 1 // one at a time: the same vectors to the last bit
		return enginetest.Subject{
			Engine: begin(t, bedrock.Config{QueueWait: time.Minute, Upstreams: map[string]bedrock.Upstream{"chat": up, "embed": embed}}),
			Plain:  true, Slots: 2,
			Chat:    engine.Target{Weights: "chat", Mode: engine.Chat},
			Embed:   engine.Target{Weights: "embed", Mode: engine.Embed},
			Missing: engine.Target{Weights: "gone", Mode: engine.Chat},
			Kill:    func(*testing.T) { r.kill() },
		}
	})
}
