package llamacpp

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// seed folds a seed into the server's 32 bits, leaving out the value that means
// a random one.
func seed(s *int64) *uint32 {
	if s == nil {
		return nil
	}
	n := uint32(*s) ^ uint32(*s>>32) // #nosec G115 -- folding is meant
	if n == ^uint32(0) {
		n--
	}
	return &n
}

// Generate runs one reply. See engine.Engine; beside an error stands an event
// whose Usage tells what was counted until then.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		g := generation{eng: e, target: t, req: r, yield: yield}
		if err := g.run(ctx); err != nil && (g.out == nil || !g.out.Left()) {
			yield(llm.Event{Usage: g.usage}, err)
		}
	}
}

// generation is one call of Generate.
type generation struct {
	eng    *Engine
	target engine.Target
	req    *llm.Request
	yield  func(llm.Event, error) bool

	model  *model
	out    *reply.Writer
	usage  llm.Usage
	kept   bool            // the slot is known to hold this prompt
	stops  *engine.Stopper // nil without stop texts
	finish string          // the server's finish_reason or stop_type
}

// run returns the error to yield. It asks the server at most twice: the second
// time only when the first request met a process that no longer answered.
func (g *generation) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := g.eng.of(ctx, g.target)
	if err != nil {
		return err
	}
	g.model = m
	want := ask(g.target, prompt.PrefixOf(g.eng.seed, g.req), g.req)
	if m.kv > 0 { // what it is granted must be enough
		n, err := g.eng.Count(ctx, g.target, g.req)
		if err != nil {
			return err
		}
		if want.Tokens = n; g.req.Params.MaxTokens != nil {
			want.Tokens += *g.req.Params.MaxTokens
		}
	}
	for try := 1; ; try++ {
		again, err := g.once(ctx, want)
		if !again || try == 2 {
			return err
		}
	}
}

// once waits for a slot and asks its process. again is that of ask.
func (g *generation) once(ctx context.Context, want limit.Ask) (again bool, err error) {
	lease, inst, err := g.model.lease(ctx, want)
	if err != nil {
		return false, err
	}
	defer func() {
		inst.leave()
		g.model.slots.Release(lease, g.usage.InputTokens-g.usage.ReusedTokens+g.usage.OutputTokens)
	}()
	return g.ask(ctx, inst, lease)
}

// bytesPerToken is the least that text comes to in most languages: what is set aside
// for a prompt before its tokens are known.
const bytesPerToken = 3

// ask is what a request wants of a slot: its prompt, about, and all it may answer.
func ask(t engine.Target, p limit.Prefix, r *llm.Request) limit.Ask {
	tokens := p.Size / bytesPerToken
	if r.Params.MaxTokens != nil {
		tokens += *r.Params.MaxTokens
	}
	return limit.Ask{Scope: t.Scope, Prefix: p, Tier: limit.TierOf(t.Tier), Tokens: tokens, Reserved: t.Reserved}
}

// ask sends the request to one process and reads the answer. again means that
// nothing came back because the process was gone.
func (g *generation) ask(ctx context.Context, inst *instance, lease limit.Lease) (again bool, err error) {
	// Ending this context closes the connection, which frees the slot.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := inst.facts.converse(g.target.Mode, g.req)
	g.stops = engine.NewStopper(g.req)
	cfg := reply.Config{Yield: g.yield, Stops: g.stops, Lazy: c.calls || c.thinks, Served: &llm.Served{Queued: lease.Waited, File: filepath.Base(inst.facts.file.Path)}}
	if inst.facts.echo {
		cfg.Echo = c.prefill
	}
	g.out = reply.New(cfg)
	resp, err := g.post(ctx, inst, &c, lease)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if _, ok := errors.AsType[*serverError](err); ok {
			return false, g.failure(inst, err)
		}
		inst.suspect()
		return !inst.stalled.Load(), g.failure(inst, err)
	}
	defer resp.Body.Close() // closing it early is how a reply is broken off
	err = g.read(newStream(resp.Body), inst, lease)
	if err != nil && !g.out.Left() {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if broken(ctx, err) {
			inst.suspect()
		}
		return false, g.failure(inst, err)
	}
	return false, nil
}

// post sends a conversation, a second time with looser schemas when the server
// does not take them as they are. An answer other than 200 is a *serverError.
func (g *generation) post(ctx context.Context, inst *instance, c *conversation, lease limit.Lease) (*http.Response, error) {
	for first := true; ; first = false {
		path, body := c.body(g.req, lease, g.stops != nil)
		inst.ask()
		resp, err := inst.client.post(ctx, path, body)
		inst.answered()
		if err != nil || resp.StatusCode == http.StatusOK {
			return resp, err
		}
		err = readError(resp)
		_ = resp.Body.Close()
		if !first || !refused(err) || !prompt.Loosen(c.chat.Tools) {
			return nil, err
		}
	}
}

// failure turns what went wrong into the error for the caller.
func (g *generation) failure(inst *instance, err error) error {
	if ctxErr := context.Cause(g.eng.base); ctxErr != nil {
		return errStopping.WithCause(err)
	}
	if inst.stalled.Load() {
		return apierr.ModelTimeout("The model stopped making tokens and was restarted. Try again.").WithCause(err)
	}
	var se *serverError
	status := 0
	if errors.As(err, &se) {
		if se.Type == "exceed_context_size_error" {
			return apierr.Validation("Input is too long for requested model: %d input tokens, the context holds %d.", se.Prompt, se.Context).WithCause(err)
		}
		status = se.Code
	}
	e := apierr.ModelError("The model failed before it replied. Try again.")
	if g.out != nil && g.out.Begun() {
		e = apierr.ModelStreamError("The model failed in the middle of the reply.")
	}
	e.OriginalStatus, e.Err = status, err
	return e
}

// Count returns the input tokens of r as Generate would report them. It makes
// no token and takes no slot.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	n := 0
	err := e.with(ctx, t, func(inst *instance) error {
		c := inst.facts.converse(t.Mode, r)
		if c.plain {
			ids, err := tokenizeParsed(ctx, inst.client, c.text)
			n = len(ids)
			return err
		}
		var out struct {
			Tokens int `json:"input_tokens"`
		}
		const path = "/v1/chat/completions/input_tokens"
		err := inst.client.call(ctx, path, &c.chat, &out)
		if refused(err) && prompt.Loosen(c.chat.Tools) {
			err = inst.client.call(ctx, path, &c.chat, &out)
		}
		n = out.Tokens
		return err
	})
	return n, err
}

// with runs one request that is not a generation on a process of t, once more
// when the process was gone.
func (e *Engine) with(ctx context.Context, t engine.Target, do func(*instance) error) error {
	m, err := e.of(ctx, t)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		inst, err := m.acquire(ctx)
		if err != nil {
			return err
		}
		again, err := e.on(ctx, inst, do)
		inst.leave()
		if !again || try == 2 {
			return err
		}
	}
}

// on runs one request that is not a generation on a process. again means that the
// process was gone.
func (e *Engine) on(ctx context.Context, inst *instance, do func(*instance) error) (again bool, err error) {
	inst.ask()
	err = do(inst)
	inst.answered()
	if err == nil {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	gone := broken(ctx, err)
	if gone {
		inst.suspect()
	}
	if _, ok := errors.AsType[*apierr.Error](err); ok {
		return false, err
	}
	g := generation{eng: e}
	return gone && !inst.stalled.Load(), g.failure(inst, err)
}
