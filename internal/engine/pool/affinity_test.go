package pool_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/pool"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

// where tells which server answers.
func where(t testing.TB, e engine.Engine, to engine.Target, r *llm.Request) string {
	t.Helper()
	name := ""
	for ev, err := range e.Generate(t.Context(), to, r) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == llm.Start {
			name = ev.Served.Server
		}
	}
	return name
}

// All turns of a conversation go to one server, in every process that has the same
// salt; conversations are spread.
func TestAffinity(t *testing.T) {
	t.Parallel()
	servers := []pool.Server{says("a"), says("b"), says("c")}
	one, two := over(t, nil, servers...), over(t, nil, servers...)
	count := map[string]int{}
	for i := range 300 {
		at := where(t, one, target, talk(i, 0))
		count[at]++
		for turn := range 4 {
			if got := where(t, two, target, talk(i, turn+1)); got != at {
				t.Fatalf("turn %d of conversation %d went to %s, the first to %s", turn+1, i, got, at)
			}
		}
	}
	for name, n := range count {
		if n < 70 || n > 130 {
			t.Errorf("%d of 300 conversations went to %s", n, name)
		}
	}
}

// What makes a key: everything before the second turn, and whose it is.
func TestKeys(t *testing.T) {
	t.Parallel()
	var servers []pool.Server
	for i := range 64 { // so many that keys are seldom at the same one
		servers = append(servers, says(fmt.Sprint("s", i)))
	}
	e := over(t, nil, servers...)
	base := func() (engine.Target, *llm.Request) {
		r := talk(1, 2)
		r.Tools = []llm.Tool{{Name: "f", Description: "d", Schema: []byte("{}")}}
		return target, r
	}
	for _, s := range servers {
		s.Engine.(*scripted.Engine).Tools = true
	}
	to, r := base()
	want := where(t, e, to, r)
	for name, c := range map[string]struct {
		change func(*engine.Target, *llm.Request)
		same   bool
	}{
		"another turn":     {func(_ *engine.Target, r *llm.Request) { r.Messages[2].Content[0].Text = "Why?" }, true},
		"other parameters": {func(_ *engine.Target, r *llm.Request) { r.Params.Temperature = new(1.0) }, true},
		"another account":  {func(t *engine.Target, _ *llm.Request) { t.Scope = "444455556667" }, false},
		"another system":   {func(_ *engine.Target, r *llm.Request) { r.System[0] = "You are rude." }, false},
		"another tool":     {func(_ *engine.Target, r *llm.Request) { r.Tools[0].Schema = []byte("[]") }, false},
		"another first":    {func(_ *engine.Target, r *llm.Request) { r.Messages[0].Content[0].Text = "x" }, false},
		"behind a cache point": {func(_ *engine.Target, r *llm.Request) {
			r.Cache = &llm.Mark{Message: 0, Block: 1}
			r.Messages[0].Content = append(r.Messages[0].Content, llm.Block{Kind: llm.Text, Text: "and this"})
		}, true},
		"behind 32 KiB": {func(_ *engine.Target, r *llm.Request) { r.System[0] = strings.Repeat("x", 40<<10) }, false},
	} {
		to, r := base()
		c.change(&to, r)
		if got := where(t, e, to, r); (got == want) != c.same {
			t.Errorf("%s: at %s, before at %s", name, got, want)
		}
	}
}

// When a server goes, only its conversations move.
func TestOnlyItsOwnMove(t *testing.T) {
	t.Parallel()
	all := []pool.Server{says("a"), says("b"), says("c"), says("d")}
	before, after := over(t, nil, all...), over(t, nil, all[:3]...)
	moved := map[string]int{}
	for i := range 200 {
		at := where(t, before, target, talk(i, 0))
		got := where(t, after, target, talk(i, 0))
		if at != "d" && got != at {
			t.Errorf("conversation %d moved from %s to %s", i, at, got)
		}
		if at == "d" {
			moved[got]++
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		if moved[name] < 5 {
			t.Errorf("%d conversations moved to %s", moved[name], name)
		}
	}
}

// busy is servers whose replies take d; most is the most that ran at once on each.
func busy(d time.Duration, n int) (servers []pool.Server, most []*atomic.Int64) {
	for i := range n {
		var now atomic.Int64
		peak := new(atomic.Int64)
		one := scripted.New(scripted.Reply{Text: "x", Pace: func(ctx context.Context, _ int) error {
			if n := now.Add(1); n > peak.Load() {
				peak.Store(n)
			}
			defer now.Add(-1)
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		servers = append(servers, pool.Server{Name: fmt.Sprint("s", i), Engine: one})
		most = append(most, peak)
	}
	return servers, most
}

// A prompt that everybody sends does not keep one server busy and the others idle.
func TestLoadIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers, most := busy(time.Second, 4)
		e := over(t, nil, servers...)
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() {
				if _, err := ask(t, e, target, talk(7, 0)); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(10 * time.Millisecond) // 100 at a time
		}
		wg.Wait()
		for i, n := range most {
			if n.Load() > 100*5/4/4+3 {
				t.Errorf("server %d had %d at a time", i, n.Load())
			}
		}
	})
}

// Conversations that run at the same time stay where they are: chance alone does
// not pass the bound.
func TestAffinityUnderLoad(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		synctest.Test(t, func(t *testing.T) {
			servers, _ := busy(time.Second, n)
			e := over(t, nil, servers...)
			var moved, turns atomic.Int64
			var wg sync.WaitGroup
			free := make(chan struct{}, 8) // turns at a time
			for i := range 50 {
				wg.Go(func() {
					home := ""
					for turn := range 8 {
						free <- struct{}{}
						at := where(t, e, target, talk(i, turn))
						<-free
						if turns.Add(1); home == "" {
							home = at
						} else if at != home {
							moved.Add(1)
						}
						time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if moved.Load()*10 > turns.Load() {
				t.Errorf("%d servers: %d of %d turns elsewhere", n, moved.Load(), turns.Load())
			}
		})
	}
}

// A server takes no more than it is configured for while others have room; then
// requests go to the one with the fewest tokens.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pool.Server){
		"concurrent": func(s *pool.Server) { s.Concurrent = 2 },
		"tokens":     func(s *pool.Server) { s.MaxTokens = 250 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers, most := busy(time.Second, 3)
				change(&servers[0])
				change(&servers[1])
				servers[1].Region, servers[2].Order = "eu-central-1", 1
				e := over(t, nil, servers...)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if _, err := ask(t, e, target, enginetest.Ask("hi", 100)); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				for i, want := range []int64{2, 2, 6} {
					if most[i].Load() != want {
						t.Errorf("server %d had %d at a time, want %d", i, most[i].Load(), want)
					}
				}
			})
		})
	}
}

// What has no prompt is spread by tokens.
func TestWithoutKey(t *testing.T) {
	t.Parallel()
	seen := map[string]*atomic.Int64{"a": {}, "b": {}}
	var servers []pool.Server
	for name, n := range seen {
		one := scripted.New()
		one.ObserveEmb = func(engine.Target, *llm.EmbedRequest) { n.Add(1) }
		servers = append(servers, pool.Server{Name: name, Engine: one})
	}
	e := over(t, nil, servers...)
	to := target
	to.Mode = engine.Embed
	for range 100 {
		if _, err := e.Embed(t.Context(), to, &llm.EmbedRequest{Texts: []string{"the same text"}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, n := range seen {
		if n.Load() < 25 {
			t.Errorf("%s got %d of 100", name, n.Load())
		}
	}
}

// Picking costs little beside a request.
func BenchmarkGenerate(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var servers []pool.Server
			for i := range n {
				servers = append(servers, says(fmt.Sprint("s", i)))
			}
			e := over(b, nil, servers...)
			r := talk(1, 3)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range e.Generate(b.Context(), target, r) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
