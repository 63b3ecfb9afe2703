package openai

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// Generate runs one reply. See engine.Engine; beside an error stands an event
// whose Usage tells what was counted until then.
//
// OutputTokens of a reply that a stop text ended are the server's own count where
// it tells one with every event (llama-server, vLLM, SGLang), else the number of
// events with content.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		g := newGeneration(e, &t, r, yield)
		if err := g.run(ctx); err != nil && (g.out == nil || !g.out.Left()) {
			yield(llm.Event{Usage: g.usage}, err)
		}
	}
}

// newGeneration keeps a generation off the stack, which is held for as long as the
// stream is open and would need twice its size.
//
//go:noinline
func newGeneration(e *Engine, t *engine.Target, r *llm.Request, yield func(llm.Event, error) bool) *generation {
	return &generation{eng: e, target: t, req: r, yield: yield}
}

// generation is one call of Generate.
type generation struct {
	eng    *Engine
	target *engine.Target
	req    *llm.Request
	yield  func(llm.Event, error) bool

	up           *upstream
	conversation *conversation // until it is sent

	out    *reply.Writer
	chunk  chunk           // the one that was read last
	stops  *engine.Stopper // nil without stop texts
	usage  llm.Usage
	told   bool   // the usage is the server's
	finish string // why the server ended the reply
}

// bytesPerToken is the least that text comes to in most languages: what is set
// aside for a prompt before its tokens are known.
const bytesPerToken = 3

// run returns the error to yield.
func (g *generation) run(ctx context.Context) error {
	fa, lease, err := g.enter(ctx)
	if err != nil {
		return err
	}
	defer g.leave(lease)
	w := g.eng.fleet.Watch(ctx, g.up.c.FirstByte)
	defer w.End() // closes the connection too, which frees the server
	resp, err := g.open(w.Context(), fa, lease)
	if err == nil {
		err = g.read(w.Body(resp.Body, g.up.c.Idle), lease)
		_ = resp.Body.Close() // read only
	}
	if err == nil || g.out.Left() {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return g.up.failure(w.Context(), replied(g.out.Begun()), err)
}

// enter finds the server, makes the conversation safe for it, and waits for a
// turn there.
func (g *generation) enter(ctx context.Context) (fa *facts, lease *limit.Lease, err error) {
	if g.up, fa, err = g.eng.find(ctx, *g.target); err != nil {
		return nil, nil, err
	}
	c, err := fa.converse(g.target.Mode, g.req)
	if err != nil {
		return nil, nil, err
	}
	g.conversation = &c
	ask := limit.Ask{
		Scope: g.target.Scope, Tier: limit.TierOf(g.target.Tier), Prefix: prompt.PrefixOf(g.eng.seed, g.req),
		Reserved: g.target.Reserved,
	}
	ask.Tokens = ask.Prefix.Size/bytesPerToken + *cmp.Or(g.req.Params.MaxTokens, new(0))
	l, err := g.up.Slots.Acquire(ctx, ask)
	return fa, &l, err
}

// leave gives the turn back.
func (g *generation) leave(lease *limit.Lease) {
	g.up.Slots.Release(*lease, g.usage.InputTokens-g.usage.ReusedTokens+g.usage.OutputTokens)
}

// open asks the server for the reply.
func (g *generation) open(ctx context.Context, fa *facts, lease *limit.Lease) (*http.Response, error) {
	c := g.conversation
	g.conversation = nil // the prompt is not needed while the reply is made
	g.stops = engine.NewStopper(g.req)
	cfg := reply.Config{Yield: g.yield, Stops: g.stops, Lazy: c.calls || c.thinks, Served: &llm.Served{Queued: lease.Waited}}
	if fa.echo {
		cfg.Echo = c.prefill
	}
	g.out = reply.New(cfg)
	q := request{fa: fa, r: g.req, lease: *lease, own: g.up.c.Exclusive, stops: g.stops != nil}
	if fa.kind == VLLM || fa.kind == SGLang {
		q.salt = g.eng.salt(g.target.Scope)
	}
	resp, err := g.post(ctx, &q, c)
	if err != nil {
		return nil, err
	}
	if at := resp.Header.Get("X-Gateway-Destination-Endpoint-Served"); at != "" {
		g.up.Log.Debug("served", "endpoint", at)
	}
	resp.Request, resp.Header = nil, nil // the prompt among them; the body keeps resp until the reply ends
	return resp, nil
}

// post sends a conversation, a second time with looser schemas when the server
// does not take them as they are.
func (g *generation) post(ctx context.Context, q *request, c *conversation) (*http.Response, error) {
	more := g.eng.routing(g.up, *g.target)
	path, body := q.body(c)
	resp, err := g.up.post(ctx, path, body, more)
	if refused(err) && prompt.Loosen(c.chat.Tools) {
		path, body = q.body(c)
		return g.up.post(ctx, path, body, more)
	}
	return resp, err
}

// maxEvents bounds the events of a reply: servers send at least one token with
// nearly every one.
func maxEvents(r *llm.Request) int { return 4*(*cmp.Or(r.Params.MaxTokens, new(0))) + 4096 }

// maxText bounds the bytes of a reply.
func maxText(r *llm.Request) int { return 256*(*cmp.Or(r.Params.MaxTokens, new(0))) + 64<<10 }

// read passes the reply on until its end.
func (g *generation) read(body *remote.Body, lease *limit.Lease) error {
	var (
		s              = g.up.stream(body)
		c              = &g.chunk
		opened, kept   bool
		events, length int

		mostEvents, mostText = maxEvents(g.req), maxText(g.req)
	)
	defer g.up.ended(s)
	for {
		data, err := s.Next()
		if err == nil {
			err = c.parse(data)
		} else if errors.Is(err, io.EOF) {
			if g.finish != "" && g.told { // some servers leave the end mark away
				return g.end("")
			}
			err = errCutOff
		}
		if err != nil {
			return err
		}
		body.Sign()
		if c.failure != nil {
			return c.failure
		}
		length += len(c.text) + len(c.thought)
		if events++; events > mostEvents || length > mostText {
			return errEndless
		}
		g.note(c)
		if c.seen && !kept {
			kept = true
			g.up.Slots.Keep(*lease)
		}
		if !opened {
			opened = true
			if !g.out.Start(g.usage) {
				return nil
			}
		}
		if hit, err := g.pass(c); err != nil || g.out.Left() {
			return err
		} else if hit != "" { // the server would go on: breaking off frees it
			return g.end(hit)
		}
		if c.done {
			s.Rest()
			return g.end("")
		}
	}
}

// stream reads the events of a body. It goes back to ended.
func (u *upstream) stream(body io.Reader) *reply.Stream {
	s, ok := u.streams.Get().(*reply.Stream)
	if !ok {
		return reply.NewStream(body)
	}
	s.Reset(body)
	return s
}

func (u *upstream) ended(s *reply.Stream) {
	s.Reset(nil)
	u.streams.Put(s)
}

// note takes in what a chunk says beside its content.
func (g *generation) note(c *chunk) {
	switch {
	case c.counted:
		if c.usage.OutputTokens > 0 || g.usage.OutputTokens == 0 {
			g.usage, g.told = c.usage, c.usage.OutputTokens > 0
		}
	case c.text != "" || c.thought != "" || len(c.calls) > 0:
		g.usage.OutputTokens++ // exact at the end only: a chunk is nearly always one token
		g.told = false
	}
	g.finish = cmp.Or(c.finish, g.finish)
}

// pass passes the content of a chunk on and returns the stop text that it
// completed.
func (g *generation) pass(c *chunk) (hit string, err error) {
	if c.thought != "" && !g.out.Think(c.thought) {
		return "", nil
	}
	if c.text != "" {
		if hit = g.out.Say(c.text, c.logprob); hit != "" || g.out.Left() {
			return hit, nil
		}
	}
	for i := range c.calls {
		d := &c.calls[i]
		if !g.out.Call(d.Index, d.Function.Name, d.Function.Arguments) {
			return "", nil
		}
	}
	return "", nil
}

// end sends the closing events.
func (g *generation) end(hit string) error {
	switch {
	case hit != "":
		g.out.End(g.stops.Reason(hit), hit, g.usage)
		return nil
	case g.finish == "":
		return errCutOff
	case !g.told:
		return errNoUsage
	case g.finish == "abort" || g.finish == "error":
		return errEnded
	}
	g.out.End(g.reason(), "", g.usage)
	return nil
}

// reason says why the server ended the reply.
func (g *generation) reason() llm.StopReason {
	switch g.finish {
	case "length":
		if n := g.req.Params.MaxTokens; n != nil && g.usage.OutputTokens < *n {
			return llm.ContextWindowExceeded
		}
		return llm.MaxTokens
	case "content_filter":
		return llm.ContentFiltered
	}
	if g.out.Called() {
		return llm.ToolUse
	}
	return llm.EndTurn // the end token, or a stop text of the template
}

// Count returns the input tokens of r as Generate would report them. It takes no
// slot. Where a server cannot count, it answers r by one token, whose usage tells
// the number.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	up, fa, err := e.find(ctx, t)
	if err != nil {
		return 0, err
	}
	n := 0
	err = e.with(ctx, up, func(ctx context.Context) (err error) {
		n, err = up.count(ctx, fa, t, r, e.salt(t.Scope))
		return err
	})
	return n, err
}

func (u *upstream) count(ctx context.Context, fa *facts, t engine.Target, r *llm.Request, salt string) (int, error) {
	c, err := fa.converse(t.Mode, r)
	if err != nil {
		return 0, err
	}
	switch {
	case !fa.counts():
		one := *r
		one.Params = llm.Params{MaxTokens: new(1)}
		one.Grammar, one.Logprobs = "", false
		_, used, err := u.once(ctx, fa, &one, salt)
		return used.InputTokens, err
	case c.plain && fa.kind == VLLM:
		ids, err := u.tokenizeVLLM(ctx, fa, c.text, true)
		return len(ids), err
	case c.plain:
		ids, err := u.tokenize(ctx, c.text, true, true)
		return len(ids), err
	}
	var out struct {
		Input int `json:"input_tokens"` // llama-server
		Count int `json:"count"`        // vLLM
	}
	path := "/v1/chat/completions/input_tokens"
	ask := func() any { return &c.chat }
	if fa.kind == VLLM {
		path = "/tokenize"
		ask = func() any {
			return struct {
				Model string `json:"model"`
				input
			}{fa.model, c.chat}
		}
	}
	err = u.call(ctx, path, ask(), &out)
	if refused(err) && prompt.Loosen(c.chat.Tools) {
		err = u.call(ctx, path, ask(), &out)
	}
	return out.Input + out.Count, err
}

// with runs requests that are no generation.
func (e *Engine) with(ctx context.Context, u *upstream, do func(context.Context) error) error {
	return e.fleet.Within(ctx, u.c.FirstByte, do, func(ctx context.Context, err error) error { return u.failure(ctx, false, err) })
}
