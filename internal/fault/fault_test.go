package fault_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	account = "111122223333"
	other   = "444455556666"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

// healthy is an Inference that says five words and counts its calls.
type healthy struct {
	fault.Inference
	calls int
}

func (h *healthy) Generate(context.Context, *call.Call, *catalog.Target, *llm.Request) llm.Events {
	h.calls++
	return func(yield func(llm.Event, error) bool) {
		events := []llm.Event{{Kind: llm.Start}, {Kind: llm.BlockStart}}
		for range 5 {
			events = append(events, llm.Event{Kind: llm.Delta, Text: "x"})
		}
		events = append(events, llm.Event{Kind: llm.BlockStop}, llm.Event{Kind: llm.Stop, Reason: llm.EndTurn}, llm.Event{Kind: llm.Done})
		for _, ev := range events {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

func (h *healthy) Embed(context.Context, *call.Call, *catalog.Target, *llm.EmbedRequest, int) (*llm.EmbedResponse, error) {
	h.calls++
	return &llm.EmbedResponse{}, nil
}

func (h *healthy) Rank(context.Context, *call.Call, *catalog.Target, *llm.RankRequest) (*llm.RankResponse, error) {
	h.calls++
	return &llm.RankResponse{}, nil
}

func (h *healthy) Picture(context.Context, *call.Call, *catalog.Target, *llm.PictureRequest) (*llm.PictureResponse, error) {
	h.calls++
	return &llm.PictureResponse{}, nil
}

func (h *healthy) Count(context.Context, *call.Call, *catalog.Target, *llm.Request) (int, error) {
	h.calls++
	return 7, nil
}

// bench is an injector over a healthy inference.
type bench struct {
	fault.Injector
	t     *testing.T
	model *healthy
	store *recordtest.Store
	now   time.Time
}

func newBench(t *testing.T, rules ...fault.Rule) *bench {
	t.Helper()
	b := &bench{t: t, model: &healthy{}, store: &recordtest.Store{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.Injector = fault.Injector{Inference: b.model, Rules: b.open()}
	for _, r := range rules {
		b.put(r)
	}
	return b
}

func (b *bench) open() *fault.Rules {
	b.t.Helper()
	r, err := fault.Open(b.t.Context(), fault.Config{Records: b.store, Now: func() time.Time { return b.now }})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) put(r fault.Rule) {
	b.t.Helper()
	if r.Account == "" {
		r.Account = account
	}
	if _, err := b.Rules.Put(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
}

func target(id string) *catalog.Target { return &catalog.Target{Model: catalog.Model{ID: id}} }

// by is a call of an account, whose requestMetadata name rules.
func by(account, metadata string) *call.Call {
	c := &call.Call{Principal: call.Principal{Account: account}, ModelID: haiku}
	if metadata != "" {
		c.Metadata = map[string]string{fault.MetadataKey: metadata}
	}
	return c
}

// reply runs a call and returns its words, its error's code and what the call
// tells of faults.
func (b *bench) reply(c *call.Call) (words int, code, told string) {
	b.t.Helper()
	resp, err := llm.Collect(b.Generate(b.t.Context(), c, target(haiku), &llm.Request{}))
	if err != nil {
		code = apierr.From(err).Code
		if errors.Is(err, call.ErrHangUp) {
			code = "hang up"
		}
	}
	return len(resp.Text()), code, c.Fault
}

func TestTypes(t *testing.T) {
	t.Parallel()
	want := map[fault.Type]struct {
		code  string
		words int
		calls int // that reach the model
	}{
		fault.Latency:       {"", 5, 1},
		fault.Throttling:    {apierr.CodeThrottling, 0, 0},
		fault.Timeout:       {apierr.CodeModelTimeout, 0, 0},
		fault.ModelError:    {apierr.CodeModelError, 0, 0},
		fault.NotReady:      {apierr.CodeModelNotReady, 0, 0},
		fault.Unavailable:   {apierr.CodeServiceUnavailable, 0, 0},
		fault.InternalError: {apierr.CodeInternal, 0, 0},
		fault.StreamBreak:   {apierr.CodeModelStreamError, 3, 1},
		fault.ConnectionCut: {"hang up", 3, 1},
	}
	for _, typ := range fault.Types() {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fault.Rule{Name: "f", Type: typ, Latency: time.Minute})
				begin := time.Now()
				words, code, told := b.reply(by(account, ""))
				w := want[typ]
				if words != w.words || code != w.code || b.model.calls != w.calls || told != "f="+string(typ) {
					t.Errorf("%d words, %q, %d calls, told %q; want %+v", words, code, b.model.calls, told, w)
				}
				if took := time.Since(begin); took != time.Minute {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Operations whose answer is one piece break off with an error of the model.
func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	for typ, want := range map[fault.Type]string{
		fault.Throttling: apierr.CodeThrottling, fault.StreamBreak: apierr.CodeModelError, fault.ConnectionCut: "hang up",
	} {
		b := newBench(t, fault.Rule{Name: "f", Type: typ})
		ctx, tg := t.Context(), target(haiku)
		ops := map[string]func(*call.Call) error{
			"embed":   func(c *call.Call) error { _, err := b.Embed(ctx, c, tg, &llm.EmbedRequest{}, 0); return err },
			"rank":    func(c *call.Call) error { _, err := b.Rank(ctx, c, tg, &llm.RankRequest{}); return err },
			"picture": func(c *call.Call) error { _, err := b.Picture(ctx, c, tg, &llm.PictureRequest{}); return err },
		}
		for name, op := range ops {
			err := op(by(account, ""))
			code := apierr.From(err).Code
			if errors.Is(err, call.ErrHangUp) {
				code = "hang up"
			}
			if code != want {
				t.Errorf("%s, %s: %v", name, typ, err)
			}
			if err := op(by(other, "")); err != nil {
				t.Errorf("%s, %s, another account: %v", name, typ, err)
			}
		}
		if b.model.calls != len(ops) {
			t.Errorf("%d calls reached the model", b.model.calls)
		}
	}
}

// CountTokens has no exceptions of replies.
func TestCount(t *testing.T) {
	t.Parallel()
	want := map[fault.Type]string{
		fault.Throttling: apierr.CodeThrottling, fault.Unavailable: apierr.CodeServiceUnavailable, fault.InternalError: apierr.CodeInternal,
	}
	for _, typ := range fault.Types() {
		b := newBench(t, fault.Rule{Name: "f", Type: typ, Latency: time.Millisecond})
		c := by(account, "")
		n, err := b.Count(t.Context(), c, target(haiku), &llm.Request{})
		code := ""
		if err != nil {
			code = apierr.From(err).Code
		}
		if told := typ == fault.Latency || want[typ] != ""; code != want[typ] || (err == nil) != (n == 7) || (c.Fault != "") != told {
			t.Errorf("%s: %d, %v, told %q", typ, n, err, c.Fault)
		}
		if calls := b.Rules.List(account)[0].Calls; (calls == 1) != (c.Fault != "") {
			t.Errorf("%s: %d calls counted", typ, calls)
		}
	}
}

func TestWhomARuleIsAbout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule fault.Rule
		call *call.Call
		want bool
	}{
		"own account":         {fault.Rule{}, by(account, ""), true},
		"another account":     {fault.Rule{}, by(other, ""), false},
		"every account":       {fault.Rule{Account: "*"}, by(other, ""), true},
		"the model":           {fault.Rule{Model: haiku}, by(account, ""), true},
		"another model":       {fault.Rule{Model: "amazon.titan-text-express-v1"}, by(account, ""), false},
		"a family":            {fault.Rule{Model: "anthropic.*"}, by(account, ""), true},
		"in the middle":       {fault.Rule{Model: "*claude*haiku*:0"}, by(account, ""), true},
		"other in the middle": {fault.Rule{Model: "*claude*sonnet*:0"}, by(account, ""), false},
		"other end":           {fault.Rule{Model: "anthropic.*:1"}, by(account, ""), false},
		"not named":           {fault.Rule{Trigger: fault.OnRequest}, by(account, ""), false},
		"named":               {fault.Rule{Trigger: fault.OnRequest}, by(account, "f"), true},
		"named among others":  {fault.Rule{Trigger: fault.OnRequest}, by(account, "slow, f"), true},
		"other named":         {fault.Rule{Trigger: fault.OnRequest}, by(account, "ff"), false},
		"named elsewhere":     {fault.Rule{Trigger: fault.OnRequest}, by(other, "f"), false},
		"named needlessly":    {fault.Rule{}, by(account, "f"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.rule.Name, c.rule.Type = "f", fault.Throttling
			b := newBench(t, c.rule)
			if _, code, told := b.reply(c.call); (code != "") != c.want || (told != "") != c.want {
				t.Errorf("%q, told %q", code, told)
			}
		})
	}
	// The metadata alone do nothing, whatever they name.
	if _, code, told := newBench(t).reply(by(account, "THROTTLING")); code != "" || told != "" {
		t.Errorf("%q, told %q without a rule", code, told)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	const calls = 10_000
	run := func(seed *int64, rate float64) (string, int) {
		b := newBench(t, fault.Rule{Name: "f", Type: fault.Throttling, Rate: rate, Seed: seed})
		var seen strings.Builder
		failed := 0
		for range calls {
			if _, code, told := b.reply(by(account, "")); code != "" {
				failed++
				seen.WriteByte('x')
			} else if seen.WriteByte('.'); told != "" {
				t.Fatal("told of a fault that was none")
			}
		}
		if got := b.Rules.List(account)[0]; got.Calls != calls || got.Faults != int64(failed) {
			t.Errorf("counted %d of %d, want %d of %d", got.Faults, got.Calls, failed, calls)
		}
		return seen.String(), failed
	}
	for _, rate := range []float64{0.01, 0.3, 0.9} {
		a, failed := run(new(int64(7)), rate)
		if off := float64(failed)/calls - rate; off < -0.02 || off > 0.02 {
			t.Errorf("rate %v: %d of %d", rate, failed, calls)
		}
		if again, _ := run(new(int64(7)), rate); again != a {
			t.Error("the same seed, another sequence")
		}
		if b, _ := run(new(int64(8)), rate); b == a {
			t.Error("another seed, the same sequence")
		}
	}
	a, _ := run(nil, 0.3)
	if b, _ := run(nil, 0.3); a == b {
		t.Error("without a seed the sequence is always the same")
	}
}

// The first calls fail and the next one comes through: the plainest retry test.
func TestMax(t *testing.T) {
	t.Parallel()
	b := newBench(t, fault.Rule{Name: "f", Type: fault.Unavailable, Max: 2})
	var got []string
	for range 4 {
		_, code, _ := b.reply(by(account, ""))
		got = append(got, code)
	}
	if want := []string{apierr.CodeServiceUnavailable, apierr.CodeServiceUnavailable, "", ""}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	b.put(fault.Rule{Name: "f", Type: fault.Unavailable, Max: 1}) // begins anew
	if _, code, _ := b.reply(by(account, "")); code == "" {
		t.Error("a changed rule still counts the old calls")
	}
}

// Waits add up, and the first fault that ends the call is the last.
func TestSeveralRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t,
			fault.Rule{Name: "c", Type: fault.Timeout},
			fault.Rule{Name: "a", Type: fault.Latency, Latency: 2 * time.Second},
			fault.Rule{Name: "b", Type: fault.Throttling, Latency: 3 * time.Second})
		begin := time.Now()
		_, code, told := b.reply(by(account, ""))
		if code != apierr.CodeThrottling || told != "a=LATENCY, b=THROTTLING" || time.Since(begin) != 5*time.Second {
			t.Errorf("%q, told %q after %v", code, told, time.Since(begin))
		}
	})
}

// A caller who leaves does not wait, and the model is not asked.
func TestLeaving(t *testing.T) {
	t.Parallel()
	b := newBench(t, fault.Rule{Name: "f", Type: fault.Latency, Latency: time.Minute})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	_, err := llm.Collect(b.Generate(ctx, by(account, ""), target(haiku), &llm.Request{}))
	if !errors.Is(err, context.Canceled) || b.model.calls != 0 {
		t.Errorf("%v, %d calls", err, b.model.calls)
	}
}

// A reply that ends before its break would come breaks off before its end.
func TestShortReply(t *testing.T) {
	t.Parallel()
	b := newBench(t, fault.Rule{Name: "f", Type: fault.StreamBreak, After: 100})
	if words, code, _ := b.reply(by(account, "")); words != 5 || code != apierr.CodeModelStreamError {
		t.Errorf("%d words, %q", words, code)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	b := newBench(t, fault.Rule{Name: "f", Type: fault.Throttling})
	if l := b.Rules.List(account); len(l) != 1 || !l[0].Expires.Equal(b.now.Add(24*time.Hour)) {
		t.Fatalf("%+v", l)
	}
	b.now = b.now.Add(24 * time.Hour)
	if _, code, _ := b.reply(by(account, "")); code != "" || len(b.Rules.List(account)) != 0 {
		t.Errorf("%q after its time", code)
	}
}

// Run removes what has expired, and sees what another process does.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &recordtest.Store{}
		open := func() *fault.Rules {
			r, err := fault.Open(t.Context(), fault.Config{Records: s})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		a, b := open(), open()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		if _, err := b.Put(ctx, fault.Rule{Name: "f", Account: account, Type: fault.Throttling, Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if l := a.List(account); len(l) != 1 {
			t.Errorf("another process's rule is not seen: %+v", l)
		}
		time.Sleep(time.Minute)
		if err := b.Delete(ctx, account, "f"); !errors.Is(err, fault.ErrNone) {
			t.Errorf("an expired rule is still kept: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPutDeleteList(t *testing.T) {
	t.Parallel()
	b := newBench(t,
		fault.Rule{Name: "b", Type: fault.Throttling}, fault.Rule{Name: "a", Type: fault.StreamBreak},
		fault.Rule{Name: "x", Account: "*", Type: fault.Throttling}, fault.Rule{Name: "b", Account: other, Type: fault.Throttling})
	names := func(account string) string {
		var out []string
		for _, r := range b.Rules.List(account) {
			out = append(out, r.Account+"/"+r.Name)
		}
		return strings.Join(out, " ")
	}
	for of, want := range map[string]string{
		account: "*/x " + account + "/a " + account + "/b",
		other:   "*/x " + other + "/b",
		"*":     "*/x",
		"":      "*/x " + account + "/a " + account + "/b " + other + "/b",
	} {
		if got := names(of); got != want {
			t.Errorf("rules of %q: %s", of, got)
		}
	}
	if r := b.Rules.List(account)[1]; r.Rate != 1 || r.After != 3 || r.Trigger != fault.Always || r.Created.IsZero() {
		t.Errorf("defaults: %+v", r)
	}
	b.Rules = b.open() // they were durable
	if got := names(account); !strings.Contains(got, "/a") {
		t.Errorf("after a restart: %s", got)
	}
	if err := b.Rules.Delete(t.Context(), "*", "x"); err != nil {
		t.Error(err)
	}
	if err := b.Rules.Delete(t.Context(), other, "a"); !errors.Is(err, fault.ErrNone) {
		t.Errorf("deleting what is not there: %v", err)
	}
	if got := names(other); got != other+"/b" {
		t.Errorf("left: %s", got)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ok := fault.Rule{Name: "f", Account: account, Type: fault.Throttling}
	for field, spoil := range map[string]func(*fault.Rule){
		"ruleName":             func(r *fault.Rule) { r.Name = "a b" },
		"accountId":            func(r *fault.Rule) { r.Account = "12" },
		"fault":                func(r *fault.Rule) { r.Type = "FIRE" },
		"trigger":              func(r *fault.Rule) { r.Trigger = "NEVER" },
		"rate":                 func(r *fault.Rule) { r.Rate = 1.1 },
		"rate ":                func(r *fault.Rule) { r.Rate = -1 },
		"latencyMilliseconds":  func(r *fault.Rule) { r.Latency = time.Hour },
		"latencyMilliseconds ": func(r *fault.Rule) { r.Type = fault.Latency },
		"afterTokens":          func(r *fault.Rule) { r.After = 3 },
		"afterTokens ":         func(r *fault.Rule) { r.Type, r.After = fault.StreamBreak, -3 },
		"maxFaults":            func(r *fault.Rule) { r.Max = -1 },
		"durationSeconds":      func(r *fault.Rule) { r.Expires = b.now },
		"durationSeconds ":     func(r *fault.Rule) { r.Expires = b.now.Add(fault.MaxLasts + 1) },
		"modelId":              func(r *fault.Rule) { r.Model = strings.Repeat("m", 3000) },
	} {
		r := ok
		spoil(&r)
		_, err := b.Rules.Put(t.Context(), r)
		if e, is := errors.AsType[*fault.InvalidError](err); !is || e.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	disk := errors.New("disk on fire")
	b.store.Fail(disk)
	if _, err := b.Rules.Put(t.Context(), fault.Rule{Name: "f", Account: account, Type: fault.Throttling}); !errors.Is(err, disk) {
		t.Error(err)
	}
	if err := b.Rules.Delete(t.Context(), account, "f"); !errors.Is(err, disk) {
		t.Error(err)
	}
	if _, code, _ := b.reply(by(account, "")); code != "" {
		t.Error("a rule that was not kept is at work")
	}
}

// A call that no rule is about costs nothing.
func TestNoCost(t *testing.T) {
	b := newBench(t)
	c, tg, r := by(account, ""), target(haiku), &llm.Request{}
	if n := testing.AllocsPerRun(100, func() { _, _ = b.Count(t.Context(), c, tg, r) }); n != 0 {
		t.Errorf("%v allocations without rules", n)
	}
	b.put(fault.Rule{Name: "f", Account: other, Type: fault.Throttling})
	if n := testing.AllocsPerRun(100, func() { _, _ = b.Count(t.Context(), c, tg, r) }); n != 0 {
		t.Errorf("%v allocations with another account's rule", n)
	}
}

// BenchmarkNoRule is what every call pays for the rules that it does not meet.
func BenchmarkNoRule(b *testing.B) {
	for name, whose := range map[string]string{"none": "", "of another account": other} {
		b.Run(name, func(b *testing.B) {
			rules, err := fault.Open(b.Context(), fault.Config{Records: &recordtest.Store{}})
			if err != nil {
				b.Fatal(err)
			}
			if whose != "" {
				if _, err := rules.Put(b.Context(), fault.Rule{Name: "f", Account: whose, Type: fault.Throttling}); err != nil {
					b.Fatal(err)
				}
			}
			i := fault.Injector{Inference: &healthy{}, Rules: rules}
			c, tg, r := by(account, ""), target(haiku), &llm.Request{}
			for b.Loop() {
				_, _ = i.Count(b.Context(), c, tg, r)
			}
		})
	}
}
