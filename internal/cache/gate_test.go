package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// TestHit: the second reply is the first one, event by event, with its usage.
func TestHit(t *testing.T) {
	t.Parallel()
	m := &model{}
	g := newGate(t, m, nil)
	all := func(c *call.Call) (events []llm.Event) {
		for ev, err := range g.Generate(t.Context(), c, target(), asks("hello")) {
			if err != nil {
				t.Fatal(err)
			}
			if len(events) == 0 && c.Cache == "" {
				t.Error("the first event came before the call told of the cache")
			}
			ev.Latency, ev.FirstToken, ev.Served = 0, 0, nil
			events = append(events, ev)
		}
		return events
	}
	first, second := newCall(account), newCall(account)
	want, got := all(first), all(second)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the reply from the cache differs (-first +second):\n%s", diff)
	}
	if m.count() != 1 || first.Cache != call.CacheMiss || second.Cache != call.CacheHit || first.Spared() || !second.Spared() {
		t.Errorf("%d generations, %q, %q", m.count(), first.Cache, second.Cache)
	}
	if second.Usage != first.Usage || second.ServedBy != "w" || !second.StandIn || !second.Inferred || second.Server != "" {
		t.Errorf("the call from the cache tells %+v", second)
	}
	if s := g.Stats(); s.Hits != 1 || s.Misses != 1 || s.Kept != 1 || s.Memory.Entries != 1 || s.Memory.Bytes == 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestApart: what differs in anything that counts is never answered from another
// one's reply; what is asked again is.
func TestApart(t *testing.T) {
	t.Parallel()
	m := &model{}
	file, epoch := "f1", "e1"
	var mu sync.Mutex
	store := cache.NewMemory(0, nil)
	open := func() *cache.Gate {
		return newGate(t, m, func(cfg *cache.Config) {
			cfg.Store, cfg.Epoch = store, epoch
			cfg.Files = func(*catalog.Weights) ([]string, bool) {
				mu.Lock()
				defer mu.Unlock()
				return []string{file}, true
			}
		})
	}
	g := open()
	seen := map[string]string{}
	for _, tc := range []struct {
		name string
		edit func(c *call.Call, to *catalog.Target, r *llm.Request)
	}{
		{"plain", func(*call.Call, *catalog.Target, *llm.Request) {}},
		{"account", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.Principal.Account = other }},
		{"region", func(c *call.Call, _ *catalog.Target, _ *llm.Request) { c.Region = "eu-central-1" }},
		{"guardrail", func(c *call.Call, _ *catalog.Target, _ *llm.Request) {
			c.SetKey("bedrock:guardrailidentifier", "arn:g:1")
		}},
		{"model", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.Model.ID = "vendor.model-v2" }},
		{"regions", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.Regions = []string{region, "us-west-2"} }},
		{"profile", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.ProfileARN = "arn:p" }},
		{"weights", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.Weights.ID = "w2" }},
		{"context", func(_ *call.Call, to *catalog.Target, _ *llm.Request) { to.Weights.ContextTokens = 101 }},
		{"text", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.Messages[0].Content[0].Text = "hello!" }},
		{"system", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.System = []string{"Be brief."} }},
		{"limit", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.Params.MaxTokens = new(5) }},
		{"greedy by top_k", func(_ *call.Call, _ *catalog.Target, r *llm.Request) {
			r.Params.Temperature, r.Params.TopK = nil, new(1)
		}},
		{"tools", func(_ *call.Call, _ *catalog.Target, r *llm.Request) { r.Tools = []llm.Tool{{Name: "clock"}} }},
		{"another file", func(*call.Call, *catalog.Target, *llm.Request) { file = "f2" }},
		{"another epoch", func(*call.Call, *catalog.Target, *llm.Request) { epoch = "e2"; g = open() }},
	} {
		ask := func() string {
			c, to, r := newCall(account), target(), asks("hello")
			tc.edit(c, to, r)
			return say(t, g, c, to, r)
		}
		first := ask()
		if before, ok := seen[first]; ok {
			t.Errorf("%s is answered with the reply to %s", tc.name, before)
		}
		seen[first] = tc.name
		if again := ask(); again != first {
			t.Errorf("%s: asked again it gets %q, not %q", tc.name, again, first)
		}
	}
}

// TestWhen says which calls a cache is for.
func TestWhen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		accounts cache.Accounts
		edit     func(c *call.Call, r *llm.Request)
		files    bool
		made     int    // generations of two calls
		told     string // by the second
	}{
		"temperature 0":     {cache.Accounts{account}, nil, true, 1, call.CacheHit},
		"another account":   {cache.Accounts{other}, nil, true, 2, ""},
		"nobody":            {nil, nil, true, 2, ""},
		"no temperature":    {cache.Accounts{"*"}, func(_ *call.Call, r *llm.Request) { r.Params.Temperature = nil }, true, 2, ""},
		"temperature 1":     {cache.Accounts{"*"}, func(_ *call.Call, r *llm.Request) { r.Params.Temperature = new(1.0) }, true, 2, ""},
		"temperature 1, on": {cache.Accounts{"*"}, func(c *call.Call, r *llm.Request) { r.Params.Temperature, c.CacheAsk = new(1.0), "On" }, true, 1, call.CacheHit},
		"on by metadata": {cache.Accounts{"*"}, func(c *call.Call, r *llm.Request) {
			r.Params = llm.Params{}
			c.Metadata = map[string]string{cache.MetadataKey: "on"}
		}, true, 1, call.CacheHit},
		"on, not the account's": {nil, func(c *call.Call, _ *llm.Request) { c.CacheAsk = "on" }, true, 2, ""},
		"off":                   {cache.Accounts{"*"}, func(c *call.Call, _ *llm.Request) { c.CacheAsk = "off" }, true, 2, ""},
		"off by metadata":       {cache.Accounts{"*"}, func(c *call.Call, _ *llm.Request) { c.Metadata = map[string]string{cache.MetadataKey: "off"} }, true, 2, ""},
		"the header wins": {cache.Accounts{"*"}, func(c *call.Call, _ *llm.Request) {
			c.CacheAsk, c.Metadata = "on", map[string]string{cache.MetadataKey: "off"}
		}, true, 1, call.CacheHit},
		"refresh":      {cache.Accounts{"*"}, func(c *call.Call, _ *llm.Request) { c.CacheAsk = "refresh" }, true, 2, call.CacheMiss},
		"another word": {cache.Accounts{"*"}, func(c *call.Call, _ *llm.Request) { c.CacheAsk = "perhaps" }, true, 1, call.CacheHit},
		"an object": {cache.Accounts{"*"}, func(_ *call.Call, r *llm.Request) {
			r.Messages[0].Content[0] = llm.Block{Kind: llm.Image, Media: &llm.Media{URI: "s3://b/k"}}
		}, true, 2, ""},
		"an object in a result": {cache.Accounts{"*"}, func(_ *call.Call, r *llm.Request) {
			r.Messages[0].Content[0] = llm.Block{Kind: llm.ToolResult, Result: &llm.Result{Content: []llm.Block{{Kind: llm.Image, Media: &llm.Media{URI: "s3://b/k"}}}}}
		}, true, 2, ""},
		"no files": {cache.Accounts{"*"}, nil, false, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{}
			g := newGate(t, m, func(cfg *cache.Config) {
				cfg.Responses.Accounts = tc.accounts
				cfg.Files = func(*catalog.Weights) ([]string, bool) { return []string{"f"}, tc.files }
			})
			var c *call.Call
			for range 2 {
				c = newCall(account)
				r := asks("hello")
				if tc.edit != nil {
					tc.edit(c, r)
				}
				say(t, g, c, target(), r)
			}
			if m.count() != tc.made || c.Cache != tc.told {
				t.Errorf("%d generations, %q; want %d, %q", m.count(), c.Cache, tc.made, tc.told)
			}
		})
	}
}

// TestRefresh: what is made anew takes the place of what was kept.
func TestRefresh(t *testing.T) {
	t.Parallel()
	g := newGate(t, &model{}, nil)
	for i, tc := range []struct{ ask, want string }{{"", "reply 1"}, {"", "reply 1"}, {"refresh", "reply 2"}, {"", "reply 2"}, {"off", "reply 3"}, {"", "reply 2"}} {
		c := newCall(account)
		c.CacheAsk = tc.ask
		if got := say(t, g, c, target(), asks("hello")); got != tc.want {
			t.Errorf("call %d: %q, want %q", i, got, tc.want)
		}
	}
}

// TestSeveral: replies of one call are different ones, unless there can be only one.
func TestSeveral(t *testing.T) {
	t.Parallel()
	m := &model{}
	g := newGate(t, m, nil)
	three := func(temperature float64) string {
		c := newCall(account)
		c.CacheAsk = "on"
		var all []string
		for range 3 {
			r := asks("hello")
			r.Params.Temperature = new(temperature)
			all = append(all, say(t, g, c, target(), r))
		}
		return strings.Join(all, ", ")
	}
	for _, want := range []string{"reply 1, reply 2, reply 3", "reply 1, reply 2, reply 3"} {
		if got := three(0.7); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := three(0); got != "reply 4, reply 4, reply 4" {
		t.Errorf("%q", got)
	}
}

// TestNotKept: a reply that is not whole or not good is made again.
func TestNotKept(t *testing.T) {
	t.Parallel()
	ending := func(reason llm.StopReason) func(context.Context, int, *llm.Request) llm.Events {
		return func(context.Context, int, *llm.Request) llm.Events {
			return func(yield func(llm.Event, error) bool) {
				for ev, err := range words("a reply") {
					if ev.Kind == llm.Stop {
						ev.Reason = reason
					}
					if !yield(ev, err) {
						return
					}
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		reply func(context.Context, int, *llm.Request) llm.Events
		made  int
	}{
		"refused": {func(context.Context, int, *llm.Request) llm.Events { return llm.Fail(errModel) }, 2},
		"broken": {func(context.Context, int, *llm.Request) llm.Events {
			return func(yield func(llm.Event, error) bool) {
				n := 0
				for ev := range words("a long reply") {
					if n++; n > 4 {
						yield(llm.Event{}, errModel)
						return
					}
					if !yield(ev, nil) {
						return
					}
				}
			}
		}, 2},
		"malformed": {ending(llm.MalformedToolUse), 2},
		"filtered":  {ending(llm.ContentFiltered), 2},
		"guarded":   {ending(llm.GuardrailIntervened), 2},
		"limit":     {ending(llm.MaxTokens), 1},
		"tools":     {ending(llm.ToolUse), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{reply: tc.reply}
			g := newGate(t, m, nil)
			for range 2 {
				for _, err := range g.Generate(t.Context(), newCall(account), target(), asks("hello")) {
					if err != nil && !errors.Is(err, errModel) {
						t.Error(err)
					}
				}
			}
			if m.count() != tc.made {
				t.Errorf("%d generations, want %d", m.count(), tc.made)
			}
		})
	}
	t.Run("cut by its reader", func(t *testing.T) {
		t.Parallel()
		m := &model{}
		g := newGate(t, m, nil)
		for range 2 {
			for ev := range g.Generate(t.Context(), newCall(account), target(), asks("hello")) {
				if ev.Kind == llm.Delta {
					break
				}
			}
		}
		if m.count() != 2 || m.running() != 0 {
			t.Errorf("%d generations, %d running", m.count(), m.running())
		}
	})
	t.Run("by other weights and files", func(t *testing.T) {
		t.Parallel()
		at := []*llm.Served{{File: "f0"}, {Weights: "w2"}, {File: "f1"}, {File: "f2"}}
		m := &model{reply: func(_ context.Context, n int, _ *llm.Request) llm.Events {
			return func(yield func(llm.Event, error) bool) {
				for ev, err := range words("reply") {
					if ev.Kind == llm.Start {
						ev.Served = at[n-1]
					}
					if !yield(ev, err) {
						return
					}
				}
			}
		}}
		g := newGate(t, m, nil)
		for i, want := range []int{1, 2, 3, 3, 3} {
			if say(t, g, newCall(account), target(), asks("hello")); m.count() != want {
				t.Errorf("call %d: %d generations, want %d", i, m.count(), want)
			}
		}
	})
	t.Run("of weights that changed meanwhile", func(t *testing.T) {
		t.Parallel()
		file := "old"
		m := &model{reply: func(_ context.Context, n int, _ *llm.Request) llm.Events {
			file = "new"
			return words("reply")
		}}
		g := newGate(t, m, func(cfg *cache.Config) {
			cfg.Files = func(*catalog.Weights) ([]string, bool) { return []string{file}, true }
		})
		say(t, g, newCall(account), target(), asks("hello"))
		file = "old"
		if say(t, g, newCall(account), target(), asks("hello")); m.count() != 2 {
			t.Errorf("%d generations", m.count())
		}
	})
}

// TestReplayCut: a client that leaves in the middle of a reply from the cache pays
// for what it got.
func TestReplayCut(t *testing.T) {
	t.Parallel()
	g := newGate(t, &model{reply: func(context.Context, int, *llm.Request) llm.Events { return words("one two three") }}, nil)
	say(t, g, newCall(account), target(), asks("hello"))
	c := newCall(account)
	for ev := range g.Generate(t.Context(), c, target(), asks("hello")) {
		if ev.Text == "two " {
			break
		}
	}
	if c.Usage.OutputTokens != 2 || c.Usage.InputTokens != 7 {
		t.Errorf("usage %+v", c.Usage)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got error
	for ev, err := range g.Generate(ctx, newCall(account), target(), asks("hello")) {
		if got = err; ev.Text == "one " {
			cancel()
		}
	}
	if !errors.Is(got, context.Canceled) {
		t.Errorf("a reply from the cache goes on past the end of its call: %v", got)
	}
}

// TestToolIDs: calls of tools in a reply that is given again have ids of their own.
func TestToolIDs(t *testing.T) {
	t.Parallel()
	g := newGate(t, &model{reply: func(context.Context, int, *llm.Request) llm.Events {
		return func(yield func(llm.Event, error) bool) {
			for _, ev := range []llm.Event{
				{Kind: llm.Start}, {Kind: llm.BlockStart, Block: llm.ToolCall, Call: &llm.Call{ID: "tooluse_first", Name: "clock"}},
				{Kind: llm.Delta, Block: llm.ToolCall, Text: `{"zone":"Oslo"}`}, {Kind: llm.BlockStop}, {Kind: llm.Stop, Reason: llm.ToolUse}, {Kind: llm.Done},
			} {
				if !yield(ev, nil) {
					return
				}
			}
		}
	}}, nil)
	seen := map[string]bool{}
	for range 3 {
		resp, err := llm.Collect(g.Generate(t.Context(), newCall(account), target(), asks("hello")))
		if err != nil {
			t.Fatal(err)
		}
		c := resp.Content[0].Call
		if seen[c.ID] || c.Name != "clock" || string(c.Input) != `{"zone":"Oslo"}` || !strings.HasPrefix(c.ID, "tooluse_") {
			t.Errorf("call %+v", c)
		}
		seen[c.ID] = true
	}
}

// TestEnd: a reply is kept for a time.
func TestEnd(t *testing.T) {
	t.Parallel()
	now := newClock()
	m := &model{}
	g := newGate(t, m, func(cfg *cache.Config) { cfg.Now, cfg.Responses.TTL = now.Now, time.Minute })
	for i, want := range []int{1, 1, 2} {
		if say(t, g, newCall(account), target(), asks("hello")); m.count() != want {
			t.Errorf("call %d: %d generations, want %d", i, m.count(), want)
		}
		now.Add(40 * time.Second)
	}
}

// brokenStore fails, or holds what nobody put.
type brokenStore struct {
	value []byte
	err   error
}

func (s brokenStore) Get(context.Context, cache.Key) ([]byte, bool, error) {
	return s.value, s.value != nil, s.err
}

func (s brokenStore) Put(context.Context, cache.Key, []byte, time.Duration) error { return s.err }

// TestBrokenStore: calls go on without their cache, and the log says so once.
func TestBrokenStore(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]brokenStore{
		"fails": {err: errors.New("no connection")}, "forged": {value: []byte("not sealed by anyone, but long enough to be")}, "short": {value: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			m := &model{}
			g := newGate(t, m, func(cfg *cache.Config) { cfg.Store, cfg.Log = s, slog.New(slog.NewTextHandler(&log, nil)) })
			for range 3 {
				c := newCall(account)
				if say(t, g, c, target(), asks("a secret")); c.Cache != call.CacheMiss {
					t.Errorf("cache %q", c.Cache)
				}
			}
			if m.count() != 3 || g.Stats().Failures < 3 {
				t.Errorf("%d generations, %+v", m.count(), g.Stats())
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "a secret") {
				t.Errorf("the log says: %s", log.String())
			}
		})
	}
}

// spy is a store that shows what it is given.
type spy struct {
	cache.Store
	mu   sync.Mutex
	all  []byte
	keys []cache.Key
}

func (s *spy) Put(ctx context.Context, k cache.Key, v []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, v...)
	s.keys = append(s.keys, k)
	return s.Store.Put(ctx, k, v, ttl)
}

// TestSealed: a store learns neither questions nor replies, a value opens under no
// other key, and servers with other secrets find nothing.
func TestSealed(t *testing.T) {
	t.Parallel()
	m := &model{reply: func(context.Context, int, *llm.Request) llm.Events { return words("a-secret-reply") }}
	s := &spy{Store: cache.NewMemory(0, nil)}
	g := newGate(t, m, func(cfg *cache.Config) { cfg.Store = s })
	for _, who := range []string{account, other} {
		say(t, g, newCall(who), target(), asks("a-secret-question"))
	}
	if bytes.Contains(s.all, []byte("secret")) {
		t.Error("the store can read replies")
	}
	if len(s.keys) != 2 || s.keys[0].Sum == s.keys[1].Sum {
		t.Error("two accounts have the same key")
	}
	v, _, err := s.Get(t.Context(), s.keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), s.keys[1], v, time.Minute); err != nil { // one account's value in the place of another's
		t.Fatal(err)
	}
	c := newCall(other)
	if say(t, g, c, target(), asks("a-secret-question")); c.Cache != call.CacheMiss || g.Stats().Failures != 1 {
		t.Errorf("a value opened in another place: %q, %+v", c.Cache, g.Stats())
	}
	again := newGate(t, m, func(cfg *cache.Config) { cfg.Store = s })
	foreign := newGate(t, m, func(cfg *cache.Config) { cfg.Store, cfg.Secret = s, [32]byte{2} })
	for _, tc := range []struct {
		g    *cache.Gate
		want string
	}{{again, call.CacheHit}, {foreign, call.CacheMiss}} {
		c := newCall(account)
		if say(t, tc.g, c, target(), asks("a-secret-question")); c.Cache != tc.want {
			t.Errorf("another server: %q, want %q", c.Cache, tc.want)
		}
	}
}
