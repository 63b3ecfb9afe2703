package llamacpp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// message is one turn as the server takes it.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// sampling are the settings that both ways to generate share.
type sampling struct {
	Stream      bool     `json:"stream"`
	Progress    bool     `json:"return_progress,omitempty"`
	Slot        *int     `json:"id_slot,omitempty"`
	CachePrompt bool     `json:"cache_prompt"`
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	Seed        *uint32  `json:"seed,omitempty"`
	Timings     bool     `json:"timings_per_token,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// chatBody is a request to /v1/chat/completions.
type chatBody struct {
	Messages []message `json:"messages"`
	sampling
	StreamOptions   *streamOptions `json:"stream_options,omitempty"`
	ReasoningFormat string         `json:"reasoning_format,omitempty"`
}

// completionBody is a request to /completion.
type completionBody struct {
	Prompt string `json:"prompt"`
	sampling
}

// conversation is a request's text as the server may see it: without special
// tokens of anybody but the template. Generate and Count use the same.
type conversation struct {
	messages []message
	prompt   string // completion mode
}

// converse makes the text of r safe.
func (fa *facts) converse(mode engine.Mode, r *llm.Request) conversation {
	if mode == engine.Completion {
		parts := slices.Clone(r.System)
		for i := range r.Messages {
			parts = append(parts, joined(r.Messages[i].Content))
		}
		return conversation{prompt: fa.guard.clean(strings.Join(parts, "\n"), nil)}
	}
	c := conversation{messages: make([]message, 0, len(r.Messages)+1)}
	add := func(role, text string) {
		c.messages = append(c.messages, message{role, fa.guard.clean(text, fa.edgesOf(role))})
	}
	if len(r.System) > 0 {
		add("system", strings.Join(r.System, "\n"))
	}
	for i := range r.Messages {
		add(string(r.Messages[i].Role), joined(r.Messages[i].Content))
	}
	return c
}

// joined is the text of one turn: its blocks, one below the other.
func joined(blocks []llm.Block) string {
	if len(blocks) == 1 {
		return blocks[0].Text
	}
	parts := make([]string, len(blocks))
	for i := range blocks {
		parts[i] = blocks[i].Text
	}
	return strings.Join(parts, "\n")
}

// prefill is the text that the reply continues; "" when the last turn is not
// the assistant's.
func (c *conversation) prefill() string {
	if n := len(c.messages); n > 0 && c.messages[n-1].Role == string(llm.Assistant) {
		return c.messages[n-1].Content
	}
	return ""
}

// body is the request for a conversation on a slot. Stop texts are not sent:
// engine.Stopper finds them, and needs the counts beside every token.
func (c *conversation) body(mode engine.Mode, r *llm.Request, lease limit.Lease, stops bool) (path string, body any) {
	s := sampling{
		Stream: true, Progress: true, Slot: &lease.ID, CachePrompt: !lease.Fresh,
		MaxTokens: r.Params.MaxTokens, Temperature: r.Params.Temperature, TopP: r.Params.TopP, TopK: r.Params.TopK,
		Seed: seed(r.Params.Seed), Timings: stops,
	}
	if mode == engine.Completion {
		return "/completion", &completionBody{Prompt: c.prompt, sampling: s}
	}
	return "/v1/chat/completions", &chatBody{
		Messages: c.messages, sampling: s, StreamOptions: &streamOptions{IncludeUsage: true},
		ReasoningFormat: "none", // text as the model made it
	}
}

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
		if err := g.run(ctx); err != nil && !g.left {
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
	left   bool // the reader ended the range

	runner *runner
	usage  llm.Usage
	begin  time.Time
	first  time.Duration
	kept   bool            // the slot is known to hold this prompt
	opened bool            // Start and BlockStart went out
	stops  *engine.Stopper // nil without stop texts
	finish string          // the server's finish_reason or stop_type
	echo   string          // what the reply may begin with and should not
}

// run returns the error to yield. It asks the server at most twice: the second
// time only when the first request met a process that no longer answered.
func (g *generation) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := g.eng.runner(ctx, g.target)
	if err != nil {
		return err
	}
	g.runner = r
	inst, err := r.acquire(ctx) // loads before it queues
	if err != nil {
		return err
	}
	inst.leave()
	lease, err := r.slots.Acquire(ctx, g.target.Scope)
	if err != nil {
		return err
	}
	defer r.slots.Release(lease)
	for try := 1; ; try++ {
		if inst, err = r.acquire(ctx); err != nil {
			return err
		}
		again, err := g.ask(ctx, inst, lease)
		inst.leave()
		if !again || try == 2 {
			return err
		}
		lease.Fresh = true // whatever the slot holds now
	}
}

// ask sends the request to one process and reads the answer. again means that
// nothing came back because the process was gone.
func (g *generation) ask(ctx context.Context, inst *instance, lease limit.Lease) (again bool, err error) {
	// Ending this context closes the connection, which frees the slot.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := inst.facts.converse(g.target.Mode, g.req)
	if inst.facts.echo {
		g.echo = c.prefill()
	}
	g.stops = engine.NewStopper(g.req)
	path, body := c.body(g.target.Mode, g.req, lease, g.stops != nil)
	g.begin = time.Now()
	inst.ask()
	resp, err := inst.client.post(ctx, path, body)
	inst.answered()
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		inst.suspect()
		return !inst.stalled.Load(), g.failure(inst, err)
	}
	defer resp.Body.Close() // closing it early is how a reply is broken off
	if resp.StatusCode != http.StatusOK {
		return false, g.failure(inst, readError(resp))
	}
	err = g.read(newStream(resp.Body), inst, lease)
	if err != nil && !g.left {
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
	if g.first > 0 {
		e = apierr.ModelStreamError("The model failed in the middle of the reply.")
	}
	e.OriginalStatus, e.Err = status, err
	return e
}

var errCutOff = errors.New("the engine's stream ended before its end mark")

// read passes the reply on until its end. A nil error with g.left set means
// that the reader went away.
func (g *generation) read(s *stream, inst *instance, lease limit.Lease) error {
	var c chunk
	for {
		waited := time.Now()
		inst.ask()
		err := s.next(&c)
		inst.answered()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errCutOff
			}
			return err
		}
		inst.gaps.add(time.Since(waited))
		if c.Error != nil {
			return c.Error
		}
		g.note(&c)
		if !g.kept && (c.Progress == nil || c.Progress.Processed > 0) {
			g.kept = true
			g.runner.slots.Keep(lease)
		}
		if !g.opened {
			g.opened = true
			if !g.emit(llm.Event{Kind: llm.Start, Usage: llm.Usage{InputTokens: g.usage.InputTokens}}) ||
				!g.emit(llm.Event{Kind: llm.BlockStart}) {
				return nil
			}
		}
		text, hit := g.unechoed(c.text), ""
		if g.stops != nil {
			text, hit = g.stops.Push(text)
		}
		if !g.delta(text) {
			return nil
		}
		if hit != "" { // the server would go on: breaking off frees its slot
			if err := s.detail(&c); err != nil {
				return err
			}
			g.usage = c.counted()
			return g.finished(g.stops.Reason(hit), hit)
		}
		if c.done || c.Stop {
			s.rest() // so that the connection can be used again
			if g.stops != nil && !g.delta(g.stops.Rest()) {
				return nil
			}
			return g.finished(g.reason(), "")
		}
	}
}

// note takes in what a chunk says beside text.
func (g *generation) note(c *chunk) {
	switch {
	case c.Usage != nil:
		g.usage = llm.Usage{InputTokens: c.Usage.Prompt, OutputTokens: c.Usage.Completion, ReusedTokens: c.Usage.Details.Cached}
	case c.Stop:
		g.usage, g.finish = c.counted(), c.StopType
	case c.Progress != nil:
		g.usage.InputTokens, g.usage.ReusedTokens = c.Progress.Total, c.Progress.Cached
	case c.text != "":
		g.usage.OutputTokens++ // exact at the end only: a chunk is nearly always one token
	}
	if len(c.Choices) > 0 && c.Choices[0].FinishReason != nil {
		g.finish = *c.Choices[0].FinishReason
	}
}

// unechoed is text less the prefill that some servers repeat.
func (g *generation) unechoed(text string) string {
	if g.echo == "" {
		return text
	}
	n := 0
	for n < len(text) && n < len(g.echo) && text[n] == g.echo[n] {
		n++
	}
	if n == len(text) {
		g.echo = g.echo[n:]
		return ""
	}
	g.echo = ""
	return text[n:]
}

// delta passes text on.
func (g *generation) delta(text string) bool {
	if text == "" {
		return !g.left
	}
	if g.first == 0 {
		g.first = max(time.Since(g.begin), 1)
	}
	return g.emit(llm.Event{Kind: llm.Delta, Text: text})
}

// finished sends the closing events.
func (g *generation) finished(reason llm.StopReason, hit string) error {
	_ = g.emit(llm.Event{Kind: llm.BlockStop}) &&
		g.emit(llm.Event{Kind: llm.Stop, Reason: reason, StopSequence: hit}) &&
		g.emit(llm.Event{Kind: llm.Done, Usage: g.usage, Latency: time.Since(g.begin), FirstToken: g.first})
	return nil
}

// reason says why the server ended the reply.
func (g *generation) reason() llm.StopReason {
	if g.finish != "length" && g.finish != "limit" {
		return llm.EndTurn // the end token, or a stop text of the template
	}
	if n := g.req.Params.MaxTokens; n != nil && g.usage.OutputTokens < *n {
		return llm.ContextWindowExceeded
	}
	return llm.MaxTokens
}

func (g *generation) emit(ev llm.Event) bool {
	if !g.left && !g.yield(ev, nil) {
		g.left = true
	}
	return !g.left
}

// Count returns the input tokens of r as Generate would report them. It makes
// no token and takes no slot.
func (e *Engine) Count(ctx context.Context, t engine.Target, r *llm.Request) (int, error) {
	n := 0
	err := e.with(ctx, t, func(inst *instance) error {
		c := inst.facts.converse(t.Mode, r)
		if t.Mode == engine.Completion {
			ids, err := tokenizeParsed(ctx, inst.client, c.prompt)
			n = len(ids)
			return err
		}
		var out struct {
			Tokens int `json:"input_tokens"`
		}
		err := inst.client.call(ctx, "/v1/chat/completions/input_tokens", &chatBody{Messages: c.messages}, &out)
		n = out.Tokens
		return err
	})
	return n, err
}

// with runs one request that is not a generation on the process of t, once more
// when the process was gone.
func (e *Engine) with(ctx context.Context, t engine.Target, do func(*instance) error) error {
	r, err := e.runner(ctx, t)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		inst, err := r.acquire(ctx)
		if err != nil {
			return err
		}
		inst.ask()
		err = do(inst)
		inst.answered()
		inst.leave()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gone := broken(ctx, err)
		if gone {
			inst.suspect()
		}
		if !gone || try == 2 || inst.stalled.Load() {
			if _, ok := errors.AsType[*apierr.Error](err); ok {
				return err
			}
			g := generation{eng: e}
			return g.failure(inst, err)
		}
	}
}
