package llamacpp

import (
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

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
	Frequency   *float64 `json:"frequency_penalty,omitempty"`
	Presence    *float64 `json:"presence_penalty,omitempty"`
	Grammar     string   `json:"grammar,omitempty"`
	Timings     bool     `json:"timings_per_token,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// input is what of a chat request decides its input tokens.
type input struct {
	Messages []prompt.Message `json:"messages"`
	Tools    []prompt.Tool    `json:"tools,omitempty"`
	// Choice is "auto" or "none"; the server's other choices do not hold what
	// they promise.
	Choice   string        `json:"tool_choice,omitempty"`
	Parallel bool          `json:"parallel_tool_calls,omitempty"`
	Format   string        `json:"reasoning_format,omitempty"`
	Options  *templateArgs `json:"chat_template_kwargs,omitempty"`
}

// templateArgs are the arguments that templates of weights that think take.
// Each template knows its own.
type templateArgs struct {
	Enable   bool   `json:"enable_thinking"`
	Thinking bool   `json:"thinking"`
	Effort   string `json:"reasoning_effort,omitempty"`
}

// chatBody is a request to /v1/chat/completions.
type chatBody struct {
	input
	sampling
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
	Budget        *int           `json:"thinking_budget_tokens,omitempty"`
	Logprobs      bool           `json:"logprobs,omitempty"`
	TopLogprobs   int            `json:"top_logprobs,omitempty"`
}

// completionBody is a request to /completion.
type completionBody struct {
	Prompt string `json:"prompt"`
	sampling
	Probs int `json:"n_probs,omitempty"`
}

// conversation is a request's text as the server may see it: without special
// tokens of anybody but the template. Generate and Count use the same.
type conversation struct {
	chat    input
	text    string // the whole prompt, when plain
	plain   bool   // goes to /completion
	prefill string // what the reply continues; "" when the last turn is not the assistant's
	calls   bool   // the server looks for calls in the reply
	thinks  bool   // the reply may begin with thoughts
}

// converse makes the text of r safe. A raw prompt is its caller's alone and
// stays as it is.
func (fa *facts) converse(mode engine.Mode, r *llm.Request) conversation {
	switch {
	case r.Raw != "":
		return conversation{plain: true, text: strings.TrimPrefix(r.Raw, fa.bos)}
	case mode == engine.Completion:
		return conversation{plain: true, text: fa.turns.Plain(r)}
	}
	var c conversation
	c.chat.Messages, c.prefill = fa.turns.Messages(r)
	if fa.tools && len(r.Tools) > 0 {
		c.calls = r.Grammar == "" && r.Choice.Kind != llm.ChooseNone
		c.chat.Tools = fa.turns.Tools(r.Tools)
		c.chat.Choice = "none"
		if c.calls {
			c.chat.Choice, c.chat.Parallel = "auto", true
		}
	}
	c.reason(fa, r)
	return c
}

// reason settles whether the reply may think first. One that follows a grammar
// or continues a text should not.
func (c *conversation) reason(fa *facts, r *llm.Request) {
	if !fa.turns.Thoughts {
		c.chat.Format = "none" // text as the model made it
		return
	}
	c.chat.Format = "auto"
	c.thinks = r.Grammar == "" && c.prefill == ""
	off := !c.thinks || r.Thinking != nil && r.Thinking.Off
	if off || r.Thinking != nil {
		c.chat.Options = &templateArgs{Enable: !off, Thinking: !off}
		if !off {
			c.chat.Options.Effort = r.Thinking.Effort
		}
	}
}

// body is the request for a conversation on a slot. Stop texts are not sent:
// engine.Stopper finds them, and needs the counts beside every token.
func (c *conversation) body(r *llm.Request, lease limit.Lease, stops bool) (path string, body any) {
	s := sampling{
		Stream: true, Progress: true, Slot: &lease.Slot, CachePrompt: !lease.Fresh,
		MaxTokens: r.Params.MaxTokens, Temperature: r.Params.Temperature, TopP: r.Params.TopP, TopK: r.Params.TopK,
		Frequency: r.Params.FrequencyPenalty, Presence: r.Params.PresencePenalty,
		Seed: seed(r.Params.Seed), Grammar: r.Grammar, Timings: stops,
	}
	if c.plain {
		b := &completionBody{Prompt: c.text, sampling: s}
		if r.Logprobs {
			b.Probs = 1
		}
		return "/completion", b
	}
	b := &chatBody{input: c.chat, sampling: s, StreamOptions: &streamOptions{IncludeUsage: true}}
	if c.thinks && r.Thinking != nil && !r.Thinking.Off && r.Thinking.Budget > 0 {
		b.Budget = &r.Thinking.Budget
	}
	if r.Logprobs && !c.calls { // the server refuses both together
		b.Logprobs, b.TopLogprobs = true, 1
	}
	return "/v1/chat/completions", b
}
