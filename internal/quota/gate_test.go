package quota_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/quota/quotatest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	ours   = "111122223333"
	theirs = "444455556666"
	model  = "anthropic.claude-3-haiku-20240307-v1:0"
)

// engine uses some tokens in every call.
type engine struct {
	usage llm.Usage
	cache string // what a cache did for the reply
	fail  error  // instead of a reply
}

func (e *engine) Generate(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		if e.fail != nil {
			yield(llm.Event{}, e.fail)
			return
		}
		c.Usage, c.Cache = e.usage, e.cache
		_ = yield(llm.Event{Kind: llm.Start}, nil) && yield(llm.Event{Kind: llm.Done}, nil)
	}
}

func (e *engine) Embed(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.EmbedRequest, _ int) (*llm.EmbedResponse, error) {
	c.Usage.InputTokens += e.usage.InputTokens
	return &llm.EmbedResponse{}, e.fail
}

func (e *engine) Rank(_ context.Context, c *call.Call, _ *catalog.Target, _ *llm.RankRequest) (*llm.RankResponse, error) {
	c.Usage.InputTokens += e.usage.InputTokens
	return &llm.RankResponse{}, e.fail
}

func (e *engine) Picture(context.Context, *call.Call, *catalog.Target, *llm.PictureRequest) (*llm.PictureResponse, error) {
	return &llm.PictureResponse{}, e.fail
}

func (e *engine) Count(context.Context, *call.Call, *catalog.Target, *llm.Request) (int, error) {
	return 1, e.fail
}

type fixture struct {
	*quota.Service
	gate   quota.Gate
	engine *engine
	clock  *quotatest.Clock
	store  *recordtest.Store
}

func open(t testing.TB, settings ...quota.Setting) *fixture {
	t.Helper()
	f := &fixture{engine: &engine{usage: llm.Usage{InputTokens: 15, OutputTokens: 5}}, clock: quotatest.NewClock(), store: &recordtest.Store{}}
	s, err := quota.Open(t.Context(), quota.Config{Records: f.store, Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	f.Service = s
	f.gate = quota.Gate{Inference: f.engine, Quotas: s, Buckets: quota.NewMemory(f.clock.Now)}
	for _, v := range settings {
		f.set(t, v)
	}
	return f
}

func (f *fixture) set(t testing.TB, v quota.Setting) {
	t.Helper()
	if err := f.Set(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

func caller(account, name string) *call.Call {
	return &call.Call{Region: "us-east-1", Principal: call.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name}}
}

func target(id string) *catalog.Target {
	return &catalog.Target{Model: catalog.Model{ID: id}, Weights: catalog.Weights{ID: "w", ContextTokens: 2048, DefaultTokens: 100}}
}

func request(tokens int) *llm.Request {
	return &llm.Request{
		Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: strings.Repeat("x", 20)}}}},
		Params:   llm.Params{MaxTokens: &tokens},
	}
}

// generate runs a call to its end.
func (f *fixture) generate(t testing.TB, c *call.Call, id string) error {
	t.Helper()
	for _, err := range f.gate.Generate(t.Context(), c, target(id), request(30)) {
		if err != nil {
			return err
		}
	}
	return nil
}

func throttled(t *testing.T, err error, words string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != apierr.CodeThrottling || e.Status != 429 || e.Message != words+", please wait before trying again." || e.RetryAfter < time.Second {
		t.Errorf("the answer is %v, want throttling: %s", err, words)
	}
}

// Ten times as much as the quota is asked for, for three minutes, with replies
// shorter than what they reserve.
func TestGateKeepsToTokens(t *testing.T) {
	t.Parallel()
	const limit, minutes = 60_000, 3
	f := open(t, quota.Setting{Account: ours, Kind: quota.Tokens, Value: limit})
	admitted, refused := 0, 0
	for range minutes * 600 { // every 100 ms, 50 calls of 20 tokens: 600,000 a minute
		f.clock.Add(100 * time.Millisecond)
		for range 50 {
			switch err := f.generate(t, caller(ours, "ann"), model); {
			case err == nil:
				admitted += 20
			default:
				throttled(t, err, "Too many tokens")
				refused++
			}
		}
	}
	if admitted < limit*minutes*95/100 || admitted > limit*minutes*105/100 {
		t.Errorf("%d tokens were let through, want %d within 5 %%; %d calls refused", admitted, limit*minutes, refused)
	}
	t.Logf("%d tokens of %d, %d calls refused", admitted, limit*minutes, refused)
}

// What a reply uses is taken exactly: output counts by the burndown of the model, a
// prefix from the cache not at all, and a call that fails, or whose reply no model made
// anew, costs a request.
func TestGateSettles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, model string
		usage       llm.Usage
		cache       string
		fail        error
		calls       int // that 100 tokens at once are enough for
	}{
		{"plain", model, llm.Usage{InputTokens: 15, OutputTokens: 5}, "", nil, 5},
		{"burndown", "anthropic.claude-sonnet-4-20250514-v1:0", llm.Usage{InputTokens: 15, OutputTokens: 5}, "", nil, 3},
		{"cache point", model, llm.Usage{InputTokens: 115, OutputTokens: 5, CacheRead: 100}, "", nil, 5},
		{"failure", model, llm.Usage{}, "", errors.New("engine fails"), 100},
		{"broken off before the input was told", model, llm.Usage{OutputTokens: 5}, "", nil, 1},
		{"a cache in vain", model, llm.Usage{InputTokens: 15, OutputTokens: 5}, call.CacheMiss, nil, 5},
		{"a cache", model, llm.Usage{InputTokens: 15, OutputTokens: 5}, call.CacheHit, nil, 100},
		{"another call", model, llm.Usage{InputTokens: 15, OutputTokens: 5}, call.CacheCoalesced, nil, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := open(t, quota.Setting{Kind: quota.Tokens, Value: 100, Burst: 100})
			f.engine.usage, f.engine.cache, f.engine.fail = c.usage, c.cache, c.fail
			for i := range 100 {
				err := f.generate(t, caller(ours, "ann"), c.model)
				if want := i < c.calls; want != (err == nil || errors.Is(err, c.fail)) {
					t.Fatalf("call %d answers %v, want %d calls to come through", i, err, c.calls)
				}
			}
		})
	}
}

// Every way to a model is behind the quotas.
func TestGateWays(t *testing.T) {
	t.Parallel()
	ways := func(f *fixture, t *testing.T) map[string]func() error {
		c, m := caller(ours, "ann"), target(model)
		return map[string]func() error{
			"generate": func() error { return f.generate(t, c, model) },
			"embed": func() error {
				_, err := f.gate.Embed(t.Context(), c, m, &llm.EmbedRequest{Texts: []string{"a", "b"}}, 0)
				return err
			},
			"rank": func() error {
				_, err := f.gate.Rank(t.Context(), c, m, &llm.RankRequest{Query: "a", Documents: []string{"b"}})
				return err
			},
			"picture": func() error { _, err := f.gate.Picture(t.Context(), c, m, &llm.PictureRequest{}); return err },
			"count":   func() error { _, err := f.gate.Count(t.Context(), c, m, &llm.Request{}); return err },
		}
	}
	for _, c := range []struct {
		kind  quota.Kind
		words string
		free  []string
	}{
		{quota.Requests, "Too many requests", nil},
		{quota.Tokens, "Too many tokens", []string{"picture", "count"}},
		{quota.TokensDay, "Too many tokens per day", []string{"picture", "count"}},
		{quota.Concurrent, "Too many requests", []string{"count"}},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			f := open(t)
			for name, way := range ways(f, t) {
				if err := way(); err != nil {
					t.Fatalf("%s without a setting: %v", name, err)
				}
			}
			f.set(t, quota.Setting{Account: ours, Model: model, Kind: c.kind, Value: 0})
			for name, way := range ways(f, t) {
				err := way()
				free := false
				for _, n := range c.free {
					free = free || n == name
				}
				if free {
					if err != nil {
						t.Errorf("%s is refused: %v", name, err)
					}
					continue
				}
				throttled(t, err, c.words)
			}
		})
	}
}

// One account or model uses nothing of another's. Regions share what was not set for
// one of them: anybody can make up their names.
func TestGateIsolates(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Kind: quota.Requests, Value: 60, Burst: 3})
	for range 3 {
		if err := f.generate(t, caller(ours, "ann"), model); err != nil {
			t.Fatal(err)
		}
	}
	throttled(t, f.generate(t, caller(ours, "bob"), model), "Too many requests")
	if err := f.generate(t, caller(theirs, "ann"), model); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := f.generate(t, caller(ours, "ann"), "amazon.nova-lite-v1:0"); err != nil {
		t.Errorf("another model: %v", err)
	}
	west := caller(ours, "ann")
	west.Region = "us-west-2"
	throttled(t, f.generate(t, west, model), "Too many requests")
	f.set(t, quota.Setting{Account: ours, Region: "us-west-2", Kind: quota.Requests, Value: 60, Burst: 2})
	if err := f.generate(t, west, model); err != nil {
		t.Errorf("a region with a quota of its own: %v", err)
	}
	throttled(t, f.generate(t, caller(ours, "ann"), model), "Too many requests")
}

// With a quota for each principal, one that floods leaves the others their share.
func TestGateFairness(t *testing.T) {
	t.Parallel()
	const each = 600
	f := open(t,
		quota.Setting{Account: ours, Kind: quota.Requests, Value: 3 * each},
		quota.Setting{Account: ours, Kind: quota.Requests, Subject: quota.Everyone, Value: each},
		quota.Setting{Account: ours, Kind: quota.Requests, Subject: "arn:aws:iam::" + ours + ":role/nightly", Value: 60},
	)
	night := caller(ours, "")
	night.Principal.ARN = "arn:aws:sts::" + ours + ":assumed-role/nightly/session-1"
	night.Principal.Session = &call.Session{RoleARN: "arn:aws:iam::" + ours + ":role/nightly"}
	got := map[string]int{}
	for range 1800 { // three minutes
		f.clock.Add(100 * time.Millisecond)
		for range 20 {
			if f.generate(t, caller(ours, "flood"), model) == nil {
				got["flood"]++
			}
		}
		if f.generate(t, caller(ours, "ann"), model) == nil {
			got["ann"]++
		}
		if f.generate(t, night, model) == nil {
			got["night"]++
		}
	}
	for who, want := range map[string]int{"flood": 3 * each, "ann": 3 * each, "night": 180} {
		if n := got[who]; n < want*90/100 || n > want*105/100 {
			t.Errorf("%s got %d calls through, want %d", who, n, want)
		}
	}
}

// An application inference profile has a quota of its own when one is set.
func TestGateProfile(t *testing.T) {
	t.Parallel()
	profile := "arn:aws:bedrock:us-east-1:" + ours + ":application-inference-profile/abcdefghij12"
	f := open(t, quota.Setting{Account: ours, Subject: profile, Kind: quota.Requests, Value: 0})
	through := target(model)
	through.ProfileARN = profile
	for _, err := range f.gate.Generate(t.Context(), caller(ours, "ann"), through, request(1)) {
		throttled(t, err, "Too many requests")
	}
	if err := f.generate(t, caller(ours, "ann"), model); err != nil {
		t.Errorf("without the profile: %v", err)
	}
}

// A place among the calls at one time is held until the reply ends, and given back
// by one that is cut short.
func TestGateConcurrent(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Account: ours, Kind: quota.Concurrent, Value: 1})
	for _, err := range f.gate.Generate(t.Context(), caller(ours, "ann"), target(model), request(1)) {
		if err != nil {
			t.Fatal(err)
		}
		throttled(t, f.generate(t, caller(ours, "ann"), model), "Too many requests")
		break
	}
	if err := f.generate(t, caller(ours, "ann"), model); err != nil {
		t.Errorf("after the first call: %v", err)
	}
}

// Ids that the catalogue does not list share one quota, so that making up ids gets
// nobody any further.
func TestGateUnlisted(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Kind: quota.Requests, Value: 60, Burst: 2}, quota.Setting{Model: "anthropic.claude-9-named", Kind: quota.Requests, Value: 60, Burst: 1})
	f.gate.Listed = func(id string) bool { return id == model }
	for _, id := range []string{"anthropic.claude-9-a", "anthropic.claude-9-b", model, "anthropic.claude-9-named"} {
		if err := f.generate(t, caller(ours, "ann"), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	throttled(t, f.generate(t, caller(ours, "ann"), "anthropic.claude-9-c"), "Too many requests")
	throttled(t, f.generate(t, caller(ours, "ann"), "anthropic.claude-9-named"), "Too many requests")
}

// broken buckets cannot be asked.
type broken struct{}

func (broken) Take(context.Context, []quota.Charge) (quota.Refusal, error) {
	return quota.Refusal{}, errors.New("no connection to the secret host")
}
func (broken) Settle(context.Context, []quota.Charge) error { return nil }

// Nothing goes past quotas that nobody can look up.
func TestGateBroken(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.gate.Buckets = broken{}
	e, ok := errors.AsType[*apierr.Error](f.generate(t, caller(ours, "ann"), model))
	if !ok || e.Code != apierr.CodeServiceUnavailable || strings.Contains(e.Message, "secret") {
		t.Errorf("the answer is %v", e)
	}
}

// BenchmarkGate is what quotas cost a call: less than 2 µs and one small allocation, of
// the iterator.
func BenchmarkGate(b *testing.B) {
	f := open(b,
		quota.Setting{Kind: quota.Requests, Value: quota.MaxValue, Burst: quota.MaxValue},
		quota.Setting{Kind: quota.Tokens, Value: quota.MaxValue, Burst: quota.MaxValue},
	)
	f.gate.Buckets = quota.NewMemory(nil)
	c, m, r := caller(ours, "ann"), target(model), request(30)
	none := func(_ llm.Event, err error) bool {
		if err != nil {
			b.Fatal(err)
		}
		return true
	}
	b.ReportAllocs()
	for b.Loop() {
		f.gate.Generate(b.Context(), c, m, r)(none)
	}
}

func BenchmarkWithoutGate(b *testing.B) {
	f := open(b)
	c, m, r := caller(ours, "ann"), target(model), request(30)
	none := func(llm.Event, error) bool { return true }
	b.ReportAllocs()
	for b.Loop() {
		f.engine.Generate(b.Context(), c, m, r)(none)
	}
}

// Quotas cost a call no memory to speak of. Allocations cannot be counted beside
// other tests.
func TestGateAllocates(t *testing.T) {
	f := open(t)
	c, m, r := caller(ours, "ann"), target(model), request(30)
	none := func(llm.Event, error) bool { return true }
	if n := testing.AllocsPerRun(1000, func() { f.gate.Generate(t.Context(), c, m, r)(none) }); n > 1 {
		t.Errorf("%v allocations, want 1 at most", n)
	}
}

// A server that tells fewer tokens than none gives nobody a larger quota.
func TestGateRefundsNoMore(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Account: ours, Kind: quota.TokensDay, Value: 100})
	f.engine.usage = llm.Usage{InputTokens: -1_000_000}
	if err := f.generate(t, caller(ours, "ann"), model); err != nil {
		t.Fatal(err)
	}
	f.engine.usage = llm.Usage{InputTokens: 60}
	for range 2 {
		if err := f.generate(t, caller(ours, "ann"), model); err != nil {
			t.Fatal(err)
		}
	}
	throttled(t, f.generate(t, caller(ours, "ann"), model), "Too many tokens per day")
}

// Calls to provisioned throughput have slots of their own: what bounds on-demand
// calls of the account does not bound them, what was set for a principal does.
func TestProvisioned(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Account: ours, Model: model, Kind: quota.Requests, Value: 0})
	ann := caller(ours, "ann")
	to := target(model)
	say := func() error {
		_, err := llm.Collect(f.gate.Generate(t.Context(), ann, to, request(30)))
		return err
	}
	throttled(t, say(), "Too many requests")
	to.Reserved = "arn:aws:bedrock:us-east-1:" + ours + ":provisioned-model/abcdefghijkl"
	if err := say(); err != nil {
		t.Error(err)
	}
	f.set(t, quota.Setting{Account: ours, Subject: ann.Principal.ARN, Kind: quota.Requests, Value: 0})
	throttled(t, say(), "Too many requests")
}
