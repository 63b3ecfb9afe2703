package pool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/pool"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var target = engine.Target{Weights: "w", Mode: engine.Chat, Scope: "111122223333"}

// over is a pool with the servers, all of them members of the weights "w". A salt
// of the test's own makes choices by key repeatable.
func over(t testing.TB, change func(*pool.Config), servers ...pool.Server) *pool.Engine {
	t.Helper()
	c := pool.Config{Servers: servers, Weights: map[string][]pool.Member{}, Salt: []byte("salt"), Probe: -1}
	for _, s := range servers {
		c.Weights["w"] = append(c.Weights["w"], pool.Member{Server: s.Name})
	}
	if change != nil {
		change(&c)
	}
	e, err := pool.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// says is a server whose replies are its name.
func says(name string) pool.Server {
	return pool.Server{Name: name, Engine: scripted.New(scripted.Reply{Text: name})}
}

// fails is a server whose replies are an error; after is how many deltas come first.
func fails(name string, err error, after int) pool.Server {
	return pool.Server{Name: name, Engine: scripted.New(scripted.Reply{Text: "some of it", Err: err, After: after})}
}

func calls(s pool.Server) int { return s.Engine.(*scripted.Engine).Calls() }

// ask runs one request and returns its text.
func ask(t testing.TB, e engine.Engine, to engine.Target, r *llm.Request) (string, error) {
	t.Helper()
	resp, err := llm.Collect(e.Generate(t.Context(), to, r))
	return resp.Text(), err
}

// talk is the nth turn of a conversation.
func talk(conversation, turn int) *llm.Request {
	r := enginetest.Ask(fmt.Sprintf("Conversation %d begins.", conversation), 16)
	r.System = []string{"You are kind."}
	for range turn {
		r.Messages = append(r.Messages,
			llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "Go on."}}},
			llm.Message{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: "And then?"}}})
	}
	return r
}

const tale = "Once upon a time a naïve captain sailed from 東京 to Bergen, round the cape and back again, " +
	"and she told nobody what she had found there, for who would have believed her story of the singing ice?"

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		var engines []*scripted.Engine
		c := pool.Config{Weights: map[string][]pool.Member{}}
		for _, name := range []string{"a", "b", "c"} {
			one := scripted.New(scripted.Reply{Text: tale, Endless: true, Pace: func(ctx context.Context, i int) error {
				if i < 40 {
					return nil
				}
				<-ctx.Done() // long replies are there to be broken off
				return ctx.Err()
			}})
			one.Tools, one.Images = true, true
			one.Script = func(_ engine.Target, r *llm.Request) *scripted.Reply {
				switch {
				case r.Grammar != "":
					return &scripted.Reply{Text: `{"n": 7}`}
				case len(r.Tools) > 0 && r.Choice.Kind != llm.ChooseNone:
					return &scripted.Reply{Blocks: []scripted.Block{
						{Text: "Let me look."}, {Kind: llm.ToolCall, Name: "get_time", Text: `{"zone": "Paris"}`},
					}}
				}
				return nil
			}
			engines = append(engines, one)
			c.Servers = append(c.Servers, pool.Server{Name: name, Engine: one})
			for _, w := range []string{"w", "v"} {
				c.Weights[w] = append(c.Weights[w], pool.Member{Server: name})
			}
		}
		e, err := pool.New(c)
		if err != nil {
			t.Fatal(err)
		}
		enginetest.Start(t, e)
		return enginetest.Subject{
			Engine:  e,
			Chat:    engine.Target{Weights: "w", Mode: engine.Chat},
			Embed:   engine.Target{Weights: "v", Mode: engine.Embed},
			Tools:   engine.Target{Weights: "w", Mode: engine.Chat},
			Images:  engine.Target{Weights: "w", Mode: engine.Chat},
			Missing: engine.Target{Weights: "gone", Mode: engine.Chat},
			Kill: func(*testing.T) {
				for _, one := range engines {
					one.Kill()
				}
			},
		}
	})
}

// A request is answered in its regions alone, in their order, and there in the order
// of the servers.
func TestPlaces(t *testing.T) {
	t.Parallel()
	us, eu, eu2, any := says("us"), says("eu"), says("eu2"), says("any")
	us.Region, eu.Region, eu2.Region = "us-east-1", "eu-central-1", "eu-central-1"
	eu2.Order, any.Order = 1, 2
	broken := fails("broken", apierr.ModelNotReady("x"), 0)
	broken.Region = "eu-central-1"
	for name, c := range map[string]struct {
		servers []pool.Server
		regions []string
		want    string // "" is ModelNotReadyException
	}{
		"of one region":           {[]pool.Server{us, eu}, []string{"eu-central-1"}, "eu"},
		"none in it":              {[]pool.Server{us}, []string{"eu-central-1"}, ""},
		"a server of all regions": {[]pool.Server{us, any}, []string{"eu-central-1"}, "any"},
		"the first of two":        {[]pool.Server{us, eu}, []string{"eu-central-1", "us-east-1"}, "eu"},
		"a profile goes on":       {[]pool.Server{us, broken}, []string{"eu-central-1", "us-east-1"}, "us"},
		"no profile does not":     {[]pool.Server{us, broken}, []string{"eu-central-1"}, ""},
		"in order":                {[]pool.Server{any, eu2, eu}, []string{"eu-central-1"}, "eu"},
		"the next in order":       {[]pool.Server{any, eu2, broken}, []string{"eu-central-1"}, "eu2"},
		"anywhere":                {[]pool.Server{us, any}, nil, "us"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := target
			to.Regions = c.regions
			e := over(t, nil, c.servers...)
			for range 3 {
				text, err := ask(t, e, to, enginetest.Ask("hi", 8))
				if c.want == "" {
					enginetest.WantCode(t, err, apierr.CodeModelNotReady)
				} else if err != nil || text != c.want {
					t.Errorf("%q, %v", text, err)
				}
			}
		})
	}
}

// What is no stream keeps to the regions too, and is tried again.
func TestEveryMethod(t *testing.T) {
	t.Parallel()
	gone := scripted.New()
	gone.Missing = []string{"w"}
	far := says("far")
	far.Region = "us-east-1"
	good := scripted.New()
	e := over(t, nil, pool.Server{Name: "gone", Engine: gone}, far, pool.Server{Name: "good", Engine: good, Order: 1})
	to := target
	to.Regions = []string{"eu-central-1"}
	for range 3 {
		if n, err := e.Count(t.Context(), to, enginetest.Ask("one two", 4)); n != 4 || err != nil {
			t.Errorf("counted %d, %v", n, err)
		}
		if info, err := e.Info(t.Context(), to); info.ContextTokens != 8192 || err != nil {
			t.Errorf("%+v, %v", info, err)
		}
		v := to
		v.Mode = engine.Embed
		if out, err := e.Embed(t.Context(), v, &llm.EmbedRequest{Texts: []string{"a", "b"}}); err != nil || len(out.Vectors) != 2 {
			t.Errorf("%+v, %v", out, err)
		}
		_, err := e.Rank(t.Context(), to, &llm.RankRequest{Query: "q", Documents: []string{"d"}})
		enginetest.WantCode(t, err, apierr.CodeValidation)
		_, err = e.Picture(t.Context(), to, &llm.PictureRequest{})
		enginetest.WantCode(t, err, apierr.CodeValidation)
	}
	to.Regions = []string{"us-west-2"}
	e = over(t, nil, far)
	_, err := e.Count(t.Context(), to, enginetest.Ask("hi", 4))
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
	if err == nil || !strings.Contains(err.Error(), "us-west-2") || strings.Contains(err.Error(), "far") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Count(ctx, target, enginetest.Ask("hi", 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Until the first event another server takes over from one that failed, and only
// from one that failed.
func TestRetry(t *testing.T) {
	t.Parallel()
	upstream := func(status int) error {
		e := apierr.ModelError("x")
		e.OriginalStatus = status
		return e
	}
	for name, c := range map[string]struct {
		err   error
		after int
		whole bool
		code  string // "" is the other server's reply
	}{
		"not ready":          {err: apierr.ModelNotReady("x")},
		"unavailable":        {err: apierr.Unavailable("x")},
		"full":               {err: apierr.Throttling("x")},
		"connection broken":  {err: upstream(0)},
		"internal error":     {err: upstream(500)},
		"our key is refused": {err: upstream(401)},
		"not this account":   {err: apierr.AccessDenied("x")},
		"a bad request":      {err: upstream(400), code: apierr.CodeModelError},
		"validation":         {err: apierr.Validation("x"), code: apierr.CodeValidation},
		"too slow":           {err: apierr.ModelTimeout("x"), code: apierr.CodeModelTimeout},
		"begun":              {err: apierr.ModelStreamError("x"), after: 2, code: apierr.CodeModelStreamError},
		"begun, not ready":   {err: apierr.ModelNotReady("x"), after: 1, code: apierr.CodeModelNotReady},
		"whole":              {err: apierr.ModelStreamError("x"), after: 2, whole: true},
		"whole, too slow":    {err: apierr.ModelTimeout("x"), after: 2, whole: true, code: apierr.CodeModelTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := fails("bad", c.err, c.after), says("good")
			good.Order = 1
			e := over(t, nil, bad, good)
			to := target
			to.Whole = c.whole
			text, err := ask(t, e, to, enginetest.Ask("hi", 8))
			if c.code != "" {
				enginetest.WantCode(t, err, c.code)
				if calls(good) != 0 {
					t.Error("the other server was asked")
				}
			} else if err != nil || text != "good" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// A reply tells where it is made, what it waited, and by which weights when they
// are others.
func TestServed(t *testing.T) {
	t.Parallel()
	first := says("far")
	first.Region = "us-east-1"
	var asked atomic.Value
	own := scripted.New(scripted.Reply{Text: "own"})
	own.Observe = func(t engine.Target, _ *llm.Request) { asked.Store(t.Weights) }
	e := over(t, func(c *pool.Config) {
		c.Servers = append(c.Servers, pool.Server{Name: "local", Engine: own, Borrowed: true, Order: 1})
		c.Weights["w"] = append(c.Weights["w"], pool.Member{Server: "local", Weights: "small"})
	}, first)
	for region, want := range map[string]llm.Served{"us-east-1": {Server: "far", Region: "us-east-1"}, "eu-central-1": {Server: "local", Weights: "small"}} {
		to := target
		to.Regions = []string{region}
		for ev, err := range e.Generate(t.Context(), to, enginetest.Ask("hi", 8)) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Kind == llm.Start && (ev.Served == nil || *ev.Served != want) {
				t.Errorf("%s: %+v", region, ev.Served)
			}
		}
	}
	if asked.Load() != "small" {
		t.Errorf("asked for %v", asked.Load())
	}
}

// Who tried in vain everywhere gets the last error; no server is asked twice.
func TestAttempts(t *testing.T) {
	t.Parallel()
	var all []pool.Server
	for i := range 5 {
		all = append(all, fails(fmt.Sprint(i), apierr.ModelNotReady("x"), 0))
	}
	for attempts, want := range map[int]int{0: pool.DefaultAttempts, 1: 1, 9: 5} {
		before := 0
		for _, s := range all {
			before += calls(s)
		}
		_, err := ask(t, over(t, func(c *pool.Config) { c.Attempts = attempts }, all...), target, enginetest.Ask("hi", 8))
		enginetest.WantCode(t, err, apierr.CodeModelNotReady)
		after := 0
		for _, s := range all {
			after += calls(s)
		}
		if after-before != want {
			t.Errorf("attempts %d: asked %d times, want %d", attempts, after-before, want)
		}
	}
}

// While nothing works, second attempts run out; what works gives them back.
func TestBudget(t *testing.T) {
	t.Parallel()
	a, b := fails("a", apierr.Throttling("x"), 0), fails("b", apierr.Throttling("x"), 0)
	e := over(t, nil, a, b)
	for range 1000 {
		_, err := ask(t, e, target, enginetest.Ask("hi", 8))
		enginetest.WantCode(t, err, apierr.CodeThrottling)
	}
	if n := calls(a) + calls(b); n < 1001 || n > 1300 {
		t.Errorf("%d attempts of 1,000 requests", n)
	}
}

// What a request needs decides which servers can have it, and what the pool tells
// is what all can do.
func TestNeeds(t *testing.T) {
	t.Parallel()
	plain, able := scripted.New(scripted.Reply{Text: "plain"}), scripted.New(scripted.Reply{Text: "able"})
	able.Tools, able.Images, able.Context = true, true, 4096
	e := over(t, nil, pool.Server{Name: "plain", Engine: plain}, pool.Server{Name: "able", Engine: able, Order: 1})
	r := enginetest.Ask("hi", 8)
	r.Tools = []llm.Tool{{Name: "f", Schema: []byte("{}")}}
	if text, err := ask(t, e, target, r); text != "able" || err != nil {
		t.Errorf("tools: %q, %v", text, err)
	}
	r = enginetest.Ask("hi", 8)
	r.Messages[0].Content = append(r.Messages[0].Content, llm.Block{Kind: llm.ToolResult, Result: &llm.Result{
		Content: []llm.Block{{Kind: llm.Image, Media: &llm.Media{Format: "png", Data: []byte("x")}}},
	}})
	if text, err := ask(t, e, target, r); text != "able" || err != nil {
		t.Errorf("images: %q, %v", text, err)
	}
	if info, err := e.Info(t.Context(), target); err != nil || info.Tools || info.Images || info.ContextTokens != 4096 {
		t.Errorf("%+v, %v", info, err)
	}
	e = over(t, nil, pool.Server{Name: "plain", Engine: plain})
	_, err := ask(t, e, target, r)
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
}

// What is known of servers is told from the start where modes are, else from the
// first request on.
func TestProcesses(t *testing.T) {
	t.Parallel()
	e := over(t, nil, says("a"))
	if all := e.Processes(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	e = over(t, func(c *pool.Config) { c.Modes = map[string]engine.Mode{"w": engine.Chat} }, says("b"), says("a"))
	if all := e.Processes(); len(all) != 2 || all[0].Weights != "w@a" || all[0].State != engine.Cold || all[1].Mode != engine.Chat || all[1].Since.IsZero() {
		t.Errorf("%+v", all)
	}
	if _, err := e.Info(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if all := e.Processes(); all[0].State == all[1].State {
		t.Errorf("%+v", all)
	}
	e = over(t, func(c *pool.Config) { c.Modes = map[string]engine.Mode{"w": engine.Chat} }, says("a"))
	if _, err := ask(t, e, target, enginetest.Ask("Hi", 5)); err != nil {
		t.Fatal(err)
	}
	if all := e.Processes(); len(all) != 1 || all[0].State != engine.Ready {
		t.Errorf("after a reply: %+v", all)
	}
}

// lined is an engine with a line of its own before each of two weights.
type lined struct {
	*scripted.Engine
	waiting int
}

// Lines implements engine.Liner.
func (l lined) Lines() []engine.Line {
	return []engine.Line{
		{Weights: "w", Mode: engine.Chat, Stats: limit.Stats{Waiting: l.waiting}},
		{Weights: "x", Mode: engine.Chat, Stats: limit.Stats{Waiting: 100}},
	}
}

// The line of each server is told under its name, and that of a borrowed engine,
// which tells of it itself, is not.
func TestLines(t *testing.T) {
	t.Parallel()
	e := over(t, func(c *pool.Config) { c.Modes = map[string]engine.Mode{"w": engine.Chat} },
		pool.Server{Name: "a", Engine: lined{scripted.New(), 3}}, pool.Server{Name: "b", Engine: lined{scripted.New(), 4}},
		pool.Server{Name: "c", Engine: lined{scripted.New(), 5}, Borrowed: true}, says("d"))
	got := map[string]int{}
	for _, l := range e.Lines() {
		got[l.Weights] += l.Waiting
	}
	if want := map[string]int{"w@a": 3, "w@b": 4}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, p := range e.Processes() {
		if p.Waiting != got[p.Weights] || p.Busy != 0 {
			t.Errorf("%+v", p)
		}
	}
}

// holder is an engine that can set slots aside.
type holder struct {
	*scripted.Engine
	free int
	held map[string]int
}

// Reserve implements engine.Reserver.
func (h *holder) Reserve(_ context.Context, _ engine.Target, name string, n int) error {
	if n-h.held[name] > h.free {
		return apierr.QuotaExceeded("x")
	}
	h.free -= n - h.held[name]
	h.held[name] = n
	return nil
}

// Slots are set aside evenly, as far as there are some, and requests for them go
// where they are.
func TestReserve(t *testing.T) {
	t.Parallel()
	newHolder := func(name string, n int) *holder {
		return &holder{Engine: scripted.New(scripted.Reply{Text: name}), free: n, held: map[string]int{}}
	}
	a, b := newHolder("a", 1), newHolder("b", 4)
	e := over(t, nil, pool.Server{Name: "a", Engine: a}, pool.Server{Name: "b", Engine: b}, says("c"))
	to := target
	if err := e.Reserve(t.Context(), to, "x", 4); err != nil || a.held["x"] != 1 || b.held["x"] != 3 {
		t.Errorf("%v: %d and %d", err, a.held["x"], b.held["x"])
	}
	enginetest.WantCode(t, e.Reserve(t.Context(), to, "x", 6), apierr.CodeServiceQuotaExceeded)
	if a.held["x"] != 1 || b.held["x"] != 3 {
		t.Errorf("after a refusal: %d and %d", a.held["x"], b.held["x"])
	}
	if err := e.Reserve(t.Context(), to, "x", 1); err != nil || a.held["x"]+b.held["x"] != 1 {
		t.Errorf("%v: %d and %d", err, a.held["x"], b.held["x"])
	}
	to.Reserved = "x"
	for i := range 20 {
		if text, err := ask(t, e, to, talk(i, 0)); err != nil || a.held[""]+b.held[""] != 0 || text == "c" || map[string]*holder{"a": a, "b": b}[text].held["x"] != 1 {
			t.Errorf("%q, %v", text, err)
		}
	}
	if err := e.Reserve(t.Context(), to, "x", 0); err != nil || a.free != 1 || b.free != 4 {
		t.Errorf("%v: %d and %d free", err, a.free, b.free)
	}
	_, err := ask(t, e, to, talk(0, 0))
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
	enginetest.WantCode(t, e.Reserve(t.Context(), engine.Target{Weights: "gone"}, "x", 1), apierr.CodeModelNotReady)
}

// Slots are set aside where the holder's requests may be answered, and nowhere else.
func TestReserveRegion(t *testing.T) {
	t.Parallel()
	far := &holder{Engine: scripted.New(scripted.Reply{Text: "far"}), free: 9, held: map[string]int{}}
	near := &holder{Engine: scripted.New(scripted.Reply{Text: "near"}), free: 2, held: map[string]int{}}
	e := over(t, nil, pool.Server{Name: "far", Engine: far, Region: "us-east-1"}, pool.Server{Name: "near", Engine: near, Region: "eu-central-1"})
	to := target
	to.Regions = []string{"eu-central-1"}
	if err := e.Reserve(t.Context(), to, "x", 2); err != nil || far.held["x"] != 0 || near.held["x"] != 2 {
		t.Errorf("%v: %d far, %d near", err, far.held["x"], near.held["x"])
	}
	enginetest.WantCode(t, e.Reserve(t.Context(), to, "x", 3), apierr.CodeServiceQuotaExceeded)
	to.Reserved = "x"
	if text, err := ask(t, e, to, talk(0, 0)); err != nil || text != "near" {
		t.Errorf("%q, %v", text, err)
	}
}

// Run runs each engine once, but not a borrowed one, and ends when one fails.
func TestRun(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ran []string
	run := func(name string, err error) engine.Engine {
		return &runs{Engine: scripted.New(), run: func(ctx context.Context) error {
			mu.Lock()
			ran = append(ran, name)
			mu.Unlock()
			if err == nil {
				<-ctx.Done()
			}
			return err
		}}
	}
	bad := errors.New("bad")
	shared := run("shared", nil)
	e := over(t, nil, pool.Server{Name: "a", Engine: shared}, pool.Server{Name: "b", Engine: shared},
		pool.Server{Name: "c", Engine: run("borrowed", nil), Borrowed: true}, pool.Server{Name: "d", Engine: run("bad", bad)})
	if err := e.Run(t.Context()); !errors.Is(err, bad) {
		t.Errorf("%v", err)
	}
	slices.Sort(ran)
	if !slices.Equal(ran, []string{"bad", "shared"}) {
		t.Errorf("ran %q", ran)
	}
}

type runs struct {
	*scripted.Engine
	run func(context.Context) error
}

// Run implements engine.Engine.
func (r *runs) Run(ctx context.Context) error { return r.run(ctx) }

// What cannot work is refused, with the name of the place.
func TestNewErrors(t *testing.T) {
	t.Parallel()
	ok := says("a")
	for want, c := range map[string]pool.Config{
		"missing or stands twice": {Servers: []pool.Server{ok, ok}},
		"it has no engine":        {Servers: []pool.Server{{Name: "x"}}},
		"order, concurrent":       {Servers: []pool.Server{{Name: "x", Engine: ok.Engine, Order: -1}}},
		`no server "b"`:           {Servers: []pool.Server{ok}, Weights: map[string][]pool.Member{"w": {{Server: "b"}}}},
		"server a stands twice":   {Servers: []pool.Server{ok}, Weights: map[string][]pool.Member{"w": {{Server: "a"}, {Server: "a"}}}},
		"they have no server":     {Weights: map[string][]pool.Member{"w": {}}},
		"must not be negative":    {HedgeAfter: -1},
		"shorter than eject":      {Eject: 5, MaxEject: 4},
	} {
		if _, err := pool.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
