package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/llm"
)

// paced makes a reply of n words, each once step lets it.
func paced(n int, step <-chan struct{}) func(context.Context, int, *llm.Request) llm.Events {
	return func(ctx context.Context, made int, _ *llm.Request) llm.Events {
		return func(yield func(llm.Event, error) bool) {
			text := make([]string, n)
			for i := range text {
				text[i] = fmt.Sprintf("%d.%d", made, i)
			}
			for ev, err := range words(strings.Join(text, " ")) {
				if ev.Kind == llm.Delta {
					select {
					case <-step:
					case <-ctx.Done():
						yield(llm.Event{}, ctx.Err())
						return
					}
				}
				if !yield(ev, err) {
					return
				}
			}
		}
	}
}

// sharing is a gate that coalesces the calls of all accounts, and keeps nothing.
func sharing(t testing.TB, m *model) *cache.Gate {
	return newGate(t, m, func(cfg *cache.Config) { cfg.Responses.Accounts, cfg.Coalesce = nil, cache.Accounts{"*"} })
}

// heard is what one call got.
type heard struct {
	call *call.Call
	text string
	err  error
}

// listen starts a call.
func listen(ctx context.Context, g *cache.Gate, c *call.Call, text string) <-chan heard {
	out := make(chan heard, 1)
	go func() {
		resp, err := llm.Collect(g.Generate(ctx, c, target(), asks(text)))
		out <- heard{c, resp.Text(), err}
	}()
	return out
}

// TestCoalesce: equal calls that come while a reply is made get all of it, from
// its first event.
func TestCoalesce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		m := &model{reply: paced(4, step)}
		g := sharing(t, m)
		var calls []<-chan heard
		for i := range 4 {
			calls = append(calls, listen(t.Context(), g, newCall(account), "hello"))
			synctest.Wait()
			if i < 3 {
				step <- struct{}{} // each comes a word later
			}
		}
		alien := listen(t.Context(), g, newCall(other), "hello")
		differs := listen(t.Context(), g, newCall(account), "hello!")
		tier := newCall(account)
		tier.Tier = "priority"
		sooner := listen(t.Context(), g, tier, "hello")
		synctest.Wait()
		if m.count() != 4 {
			t.Errorf("%d generations, want one shared one, one of another account, one of another request and one of another tier", m.count())
		}
		close(step)
		for i, c := range calls {
			h := <-c
			want := call.CacheCoalesced
			if i == 0 {
				want = call.CacheMiss
			}
			if h.err != nil || h.text != "1.0 1.1 1.2 1.3" || h.call.Cache != want || h.call.Usage != (llm.Usage{InputTokens: 7, OutputTokens: 4, ReusedTokens: 2, CacheRead: 1, CacheWrite: 3}) || h.call.ServedBy != "w" || !h.call.Inferred {
				t.Errorf("call %d: %+v, %+v", i, h, h.call)
			}
		}
		for name, c := range map[string]<-chan heard{"another account": alien, "another request": differs, "another tier": sooner} {
			if h := <-c; h.err != nil || h.call.Cache != call.CacheMiss {
				t.Errorf("%s: %+v, %q", name, h, h.call.Cache)
			}
		}
		if s := g.Stats(); s.Coalesced != 3 || s.Flights != 0 {
			t.Errorf("stats %+v", s)
		}
		if h := <-listen(t.Context(), g, newCall(account), "hello"); h.text == "1.0 1.1 1.2 1.3" {
			t.Error("a reply that had ended was given again")
		}
	})
}

// TestCoalesceHandsOver: the generation goes on without the call that began it, as
// long as anybody listens, and no longer.
func TestCoalesceHandsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		m := &model{reply: paced(3, step)}
		g := sharing(t, m)
		first, leave := context.WithCancel(t.Context())
		leader := listen(first, g, newCall(account), "hello")
		synctest.Wait()
		second, leave2 := context.WithCancel(t.Context())
		follower := listen(second, g, newCall(account), "hello")
		step <- struct{}{}
		synctest.Wait()
		leave()
		if h := <-leader; !errors.Is(h.err, context.Canceled) || h.call.Usage.OutputTokens != 1 {
			t.Errorf("the call that left: %+v, %+v", h, h.call.Usage)
		}
		third := listen(t.Context(), g, newCall(account), "hello")
		synctest.Wait()
		step <- struct{}{}
		step <- struct{}{}
		for _, c := range []<-chan heard{follower, third} {
			if h := <-c; h.err != nil || h.text != "1.0 1.1 1.2" {
				t.Errorf("a call that stayed: %+v", h)
			}
		}
		leave2()

		alone, leave3 := context.WithCancel(t.Context())
		last := listen(alone, g, newCall(account), "hello")
		synctest.Wait()
		if m.running() != 1 {
			t.Fatal("no generation")
		}
		leave3()
		if <-last; m.running() != 0 {
			t.Error("the engine still works for nobody when the call has ended")
		}
		if g.Stats().Flights != 0 {
			t.Error("a flight is left")
		}
	})
}

// TestCoalescePaid: whoever leaves, and however slowly he reads, a shared reply counts
// once and whole.
func TestCoalescePaid(t *testing.T) {
	t.Parallel()
	whole := llm.Usage{InputTokens: 7, OutputTokens: 3, ReusedTokens: 2, CacheRead: 1, CacheWrite: 3}
	t.Run("the first one leaves", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			step := make(chan struct{})
			g := sharing(t, &model{reply: paced(3, step)})
			first, leave := context.WithCancel(t.Context())
			leader := listen(first, g, newCall(account), "hello")
			synctest.Wait()
			follower := listen(t.Context(), g, newCall(account), "hello")
			synctest.Wait()
			leave()
			<-leader
			close(step)
			if h := <-follower; h.err != nil || h.call.Spared() || h.call.Usage != whole {
				t.Errorf("nobody pays: %q, %+v, %v", h.call.Cache, h.call.Usage, h.err)
			}
		})
	})
	t.Run("the first one does not read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			step := make(chan struct{})
			g := sharing(t, &model{reply: paced(3, step)})
			c, stuck, ended := newCall(account), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for range g.Generate(t.Context(), c, target(), asks("hello")) {
					<-stuck
					return
				}
			}()
			synctest.Wait()
			follower := listen(t.Context(), g, newCall(account), "hello")
			synctest.Wait()
			close(step)
			if h := <-follower; h.err != nil || !h.call.Spared() {
				t.Errorf("the second one pays too: %q, %v", h.call.Cache, h.err)
			}
			close(stuck)
			<-ended
			if c.Spared() || c.Usage != whole {
				t.Errorf("nobody pays: %q, %+v", c.Cache, c.Usage)
			}
		})
	})
}

// TestCoalesceFails: an error reaches everybody, and the next call tries again.
func TestCoalesceFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		m := &model{reply: func(ctx context.Context, n int, r *llm.Request) llm.Events {
			return func(yield func(llm.Event, error) bool) {
				for ev, err := range paced(4, step)(ctx, n, r) {
					if strings.HasSuffix(ev.Text, ".2 ") && n == 1 {
						yield(llm.Event{}, errModel)
						return
					}
					if !yield(ev, err) {
						return
					}
				}
			}
		}}
		g := sharing(t, m)
		a := listen(t.Context(), g, newCall(account), "hello")
		synctest.Wait()
		b := listen(t.Context(), g, newCall(account), "hello")
		synctest.Wait()
		close(step)
		for _, c := range []<-chan heard{a, b} {
			if h := <-c; !errors.Is(h.err, errModel) || h.text != "1.0 1.1 " {
				t.Errorf("%+v", h)
			}
		}
		if h := <-listen(t.Context(), g, newCall(account), "hello"); h.err != nil {
			t.Errorf("%+v", h)
		}
	})
}

// TestCoalescePanic: a panic of the generation is one of the calls, where it is
// caught.
func TestCoalescePanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		go1 := make(chan struct{})
		g := sharing(t, &model{reply: func(context.Context, int, *llm.Request) llm.Events {
			<-go1
			panic("lost")
		}})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != "lost" {
						t.Errorf("recovered %v", p)
					}
				}()
				_, _ = llm.Collect(g.Generate(t.Context(), newCall(account), target(), asks("hello")))
				t.Error("no panic")
			})
		}
		synctest.Wait()
		close(go1)
		wg.Wait()
	})
}

// TestCoalesceSlow: the reply is bounded in memory. It waits for a listener who is
// far behind, but not for ever.
func TestCoalesceSlow(t *testing.T) {
	t.Parallel()
	const n, size = 64, 64 << 10 // 4 MiB
	big := func(context.Context, int, *llm.Request) llm.Events {
		return words(strings.Repeat(strings.Repeat("x", size-1)+" ", n-1) + "end")
	}
	synctest.Test(t, func(t *testing.T) {
		both := make(chan struct{})
		m := &model{reply: func(ctx context.Context, n int, r *llm.Request) llm.Events {
			<-both
			return big(ctx, n, r)
		}}
		g := sharing(t, m)
		read := make(chan struct{})
		slow := make(chan heard, 1)
		go func() { // reads an event and waits
			c := newCall(account)
			var text strings.Builder
			var got error
			for ev, err := range g.Generate(t.Context(), c, target(), asks("hello")) {
				if got = err; ev.Kind == llm.Delta {
					text.WriteString(ev.Text)
					<-read
				}
			}
			slow <- heard{c, text.String(), got}
		}()
		synctest.Wait()
		quick := listen(t.Context(), g, newCall(account), "hello")
		synctest.Wait()
		begin := time.Now()
		close(both)
		h := <-quick // the slow one is let go in between
		if h.err != nil || len(h.text) != (n-1)*size+3 {
			t.Errorf("the quick call: %d bytes, %v", len(h.text), h.err)
		}
		if took := time.Since(begin); took < 20*time.Second || took > 40*time.Second {
			t.Errorf("the slow call held the others up for %s", took)
		}
		close(read)
		if h := <-slow; h.err == nil || !strings.Contains(h.err.Error(), "faster than the client read it") {
			t.Errorf("the slow call: %d bytes, %v", len(h.text), h.err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a call that comes too late for the beginning
		m := &model{reply: big}
		g := sharing(t, m)
		read := make(chan struct{})
		first := make(chan int, 1)
		go func() {
			n := 0
			for ev := range g.Generate(t.Context(), newCall(account), target(), asks("hello")) {
				if ev.Kind == llm.Delta {
					n += len(ev.Text)
					<-read
				}
			}
			first <- n
		}()
		for range 40 {
			read <- struct{}{}
		}
		synctest.Wait()
		second := listen(t.Context(), g, newCall(account), "hello")
		synctest.Wait()
		if m.count() != 2 {
			t.Errorf("%d generations", m.count())
		}
		close(read)
		if h, got := <-second, <-first; h.err != nil || len(h.text) != (n-1)*size+3 || got != len(h.text) {
			t.Errorf("%d and %d bytes, %v", got, len(h.text), h.err)
		}
	})
}

// TestCoalesceAndKeep: with both caches on, any number of calls at once and one
// after the other make one generation.
func TestCoalesceAndKeep(t *testing.T) {
	t.Parallel()
	m := &model{}
	g := newGate(t, m, func(cfg *cache.Config) { cfg.Coalesce = cache.Accounts{"*"} })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				c := newCall(account)
				if text := say(t, g, c, target(), asks("hello")); text != "reply 1" || c.Cache == "" {
					t.Errorf("%q, %q", text, c.Cache)
				}
			}
		})
	}
	wg.Wait()
	if m.count() != 1 {
		t.Errorf("%d generations", m.count())
	}
	c := newCall(account)
	c.CacheAsk = "refresh"
	if text := say(t, g, c, target(), asks("hello")); text != "reply 2" {
		t.Errorf("refresh: %q", text)
	}
}
