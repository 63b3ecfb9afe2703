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
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// batching is a gate whose calls share passes of at most 4 texts.
func batching(t testing.TB, m *model) *cache.Gate {
	return newGate(t, m, func(cfg *cache.Config) {
		cfg.Batch = cache.Batch{Accounts: cache.Accounts{account}, Window: 10 * time.Millisecond, Max: 4}
	})
}

func embedder() *catalog.Target {
	return &catalog.Target{Model: catalog.Model{ID: "e"}, Weights: catalog.Weights{ID: "e", Mode: "embed"}}
}

// embedded is what one call got.
type embedded struct {
	call *call.Call
	resp *llm.EmbedResponse
	err  error
}

func embed(ctx context.Context, g *cache.Gate, c *call.Call, r *llm.EmbedRequest) <-chan embedded {
	out := make(chan embedded, 1)
	go func() {
		resp, err := g.Embed(ctx, c, embedder(), r, 2)
		out <- embedded{c, resp, err}
	}()
	return out
}

func texts(all ...string) *llm.EmbedRequest { return &llm.EmbedRequest{Texts: all} }

// want checks that a call got what it would have got alone.
func (e embedded) want(t *testing.T, name string, all ...string) {
	t.Helper()
	alone, err := vectors(texts(all...))
	if err != nil || e.err != nil {
		t.Errorf("%s: %v", name, e.err)
		return
	}
	if fmt.Sprint(e.resp.Vectors, e.resp.Tokens) != fmt.Sprint(alone.Vectors, alone.Tokens) {
		t.Errorf("%s: %v", name, e.resp)
	}
	tokens := 0
	for _, n := range alone.Tokens {
		tokens += n
	}
	if e.call.Usage.InputTokens != tokens || e.call.ServedBy != "e" || !e.call.Inferred {
		t.Errorf("%s: the call tells %+v", name, e.call)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &model{}
		g := batching(t, m)
		begin := time.Now()
		a := embed(t.Context(), g, newCall(account), texts("one"))
		b := embed(t.Context(), g, newCall(account), texts("two three", "four"))
		alien := embed(t.Context(), g, newCall(other), texts("alien"))
		far := newCall(account)
		far.Region = "us-west-2"
		c := embed(t.Context(), g, far, texts("far away"))
		(<-alien).want(t, "another account", "alien")
		if time.Since(begin) != 0 {
			t.Error("an account without batches waits for others")
		}
		(<-a).want(t, "first", "one")
		(<-b).want(t, "second", "two three", "four")
		(<-c).want(t, "another region", "far away")
		if time.Since(begin) != 10*time.Millisecond {
			t.Errorf("took %s", time.Since(begin))
		}
		if n := len(m.batches()); n != 3 {
			t.Errorf("%d passes: %q", n, m.batches())
		}
		if s := g.Stats(); s.Batches != 1 || s.Batched != 2 {
			t.Errorf("stats %+v", s)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a pass that is full begins at once
		m := &model{}
		g := batching(t, m)
		begin := time.Now()
		a := embed(t.Context(), g, newCall(account), texts("one", "two"))
		synctest.Wait()
		b := embed(t.Context(), g, newCall(account), texts("three", "four"))
		(<-a).want(t, "first", "one", "two")
		(<-b).want(t, "second", "three", "four")
		big := embed(t.Context(), g, newCall(account), texts("1", "2", "3", "4"))
		(<-big).want(t, "one that is as large as a pass", "1", "2", "3", "4")
		off := newCall(account)
		off.CacheAsk = "off"
		(<-embed(t.Context(), g, off, texts("alone"))).want(t, "off", "alone")
		if time.Since(begin) != 0 {
			t.Errorf("took %s", time.Since(begin))
		}
		c := embed(t.Context(), g, newCall(account), texts("one", "two", "three"))
		synctest.Wait()
		d := embed(t.Context(), g, newCall(account), texts("four", "five"))
		(<-c).want(t, "before a large one", "one", "two", "three")
		if time.Since(begin) != 0 {
			t.Errorf("the pass that had no room waited: %s", time.Since(begin))
		}
		(<-d).want(t, "behind a full one", "four", "five")
	})
}

// TestBatchFails: what is wrong with one call is no business of the others.
func TestBatchFails(t *testing.T) {
	t.Parallel()
	refusal := apierr.Validation("too many tokens")
	for name, tc := range map[string]struct {
		embed func(ctx context.Context, c *call.Call, r *llm.EmbedRequest) (*llm.EmbedResponse, error)
		check func([]int) error
		bad   error // of the call with the bad text
		good  error
	}{
		"a call that refuses its tokens": {nil, func(tokens []int) error {
			if len(tokens) != 1 || tokens[0] != 2 {
				return errors.New("tokens of another call")
			}
			return refusal
		}, refusal, nil},
		"a text that the model refuses": {func(_ context.Context, _ *call.Call, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
			if strings.Contains(strings.Join(r.Texts, " "), "bad") {
				return nil, refusal
			}
			return vectors(r)
		}, nil, refusal, nil},
		"a model that fails": {func(context.Context, *call.Call, *llm.EmbedRequest) (*llm.EmbedResponse, error) { return nil, errModel }, nil, errModel, errModel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := batching(t, &model{embed: tc.embed})
				r := texts("bad text")
				r.Check = tc.check
				checked := texts("fine")
				checked.Check = func([]int) error { return nil }
				a, b, c := embed(t.Context(), g, newCall(account), r), embed(t.Context(), g, newCall(account), checked), embed(t.Context(), g, newCall(account), texts("well"))
				if got := <-a; !errors.Is(got.err, tc.bad) {
					t.Errorf("the bad call: %v", got.err)
				}
				for _, one := range []<-chan embedded{b, c} {
					if got := <-one; !errors.Is(got.err, tc.good) || got.err == nil && len(got.resp.Vectors) != 1 {
						t.Errorf("a good call: %v, %+v", got.err, got.resp)
					}
				}
			})
		})
	}
}

// TestBatchLeft: a call that leaves is not waited for, and a pass for nobody ends.
func TestBatchLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &model{}
		g := batching(t, m)
		ctx, leave := context.WithCancel(t.Context())
		a := embed(ctx, g, newCall(account), texts("gone"))
		b := embed(t.Context(), g, newCall(account), texts("here"))
		synctest.Wait()
		leave()
		if got := <-a; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%v", got.err)
		}
		(<-b).want(t, "the one that stays", "here")
		if got := fmt.Sprint(m.batches()); got != "[[here]]" {
			t.Errorf("passes %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ended := false
		m := &model{embed: func(ctx context.Context, _ *call.Call, _ *llm.EmbedRequest) (*llm.EmbedResponse, error) {
			<-ctx.Done()
			ended = true
			return nil, ctx.Err()
		}}
		g := batching(t, m)
		ctx, leave := context.WithCancel(t.Context())
		a, b := embed(ctx, g, newCall(account), texts("one")), embed(ctx, g, newCall(account), texts("two"))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		leave()
		<-a
		if <-b; !ended {
			t.Error("the engine still works for nobody")
		}
	})
}

func TestBatchPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := batching(t, &model{embed: func(context.Context, *call.Call, *llm.EmbedRequest) (*llm.EmbedResponse, error) { panic("lost") }})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != "lost" {
						t.Errorf("recovered %v", p)
					}
				}()
				_, _ = g.Embed(t.Context(), newCall(account), embedder(), texts("one"), 2)
				t.Error("no panic")
			})
		}
		wg.Wait()
	})
}
