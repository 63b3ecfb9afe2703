package openai

import (
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// input is what of a chat request decides its input tokens. A field that a kind
// does not know is left empty for it.
type input struct {
	Messages []prompt.Message `json:"messages"`
	Tools    []prompt.Tool    `json:"tools,omitempty"`
	// Choice is "auto" or "none": what servers make of the others is not what they
	// promise. A choice that must hold comes as a grammar.
	Choice   string        `json:"tool_choice,omitempty"`
	Parallel bool          `json:"parallel_tool_calls,omitempty"`
	Format   string        `json:"reasoning_format,omitempty"` // llama-server
	Options  *templateArgs `json:"chat_template_kwargs,omitempty"`
	// vLLM and SGLang end the last turn unless they are told to continue it.
	Generation *bool `json:"add_generation_prompt,omitempty"`
	Continue   bool  `json:"continue_final_message,omitempty"`
}

// templateArgs are the arguments that templates of weights that think take.
// Each template knows its own.
type templateArgs struct {
	Enable   bool   `json:"enable_thinking"`
	Thinking bool   `json:"thinking"`
	Effort   string `json:"reasoning_effort,omitempty"`
}

type streamOptions struct {
	Usage      bool `json:"include_usage"`
	Continuous bool `json:"continuous_usage_stats,omitempty"` // vLLM, SGLang: with every event
}

// structured is how vLLM is told a grammar.
type structured struct {
	Grammar string `json:"grammar"`
}

// sampling are the settings that chats and completions share.
type sampling struct {
	Model         string        `json:"model"`
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
	MaxTokens     *int          `json:"max_tokens,omitempty"`
	Temperature   *float64      `json:"temperature,omitempty"`
	TopP          *float64      `json:"top_p,omitempty"`
	TopK          *int          `json:"top_k,omitempty"` // not of OpenAI's API
	Seed          *uint32       `json:"seed,omitempty"`
	Frequency     *float64      `json:"frequency_penalty,omitempty"`
	Presence      *float64      `json:"presence_penalty,omitempty"`

	CacheSalt  string      `json:"cache_salt,omitempty"`         // vLLM, SGLang
	Structured *structured `json:"structured_outputs,omitempty"` // vLLM
	EBNF       string      `json:"ebnf,omitempty"`               // SGLang

	// llama-server
	Grammar  string `json:"grammar,omitempty"`
	Progress bool   `json:"return_progress,omitempty"`
	Timings  bool   `json:"timings_per_token,omitempty"`
	Slot     *int   `json:"id_slot,omitempty"`
	Cache    *bool  `json:"cache_prompt,omitempty"`
}

// chatBody is a request to /v1/chat/completions.
type chatBody struct {
	input
	sampling
	Logprobs    bool `json:"logprobs,omitempty"`
	TopLogprobs int  `json:"top_logprobs,omitempty"`
	Budget      *int `json:"thinking_budget_tokens,omitempty"` // llama-server
	TokenBudget *int `json:"thinking_token_budget,omitempty"`  // vLLM
}

// completionBody is a request to /v1/completions.
type completionBody struct {
	Prompt string `json:"prompt"`
	sampling
	Logprobs *int `json:"logprobs,omitempty"`
}

const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
)

// conversation is a request's text as the server may see it: without special
// tokens of anybody but the template. Generate and Count use the same.
type conversation struct {
	chat    input
	text    string // the whole prompt, when plain
	plain   bool   // goes to /v1/completions
	prefill string // what the reply continues; "" when the last turn is not the assistant's
	calls   bool   // the server looks for calls in the reply
	thinks  bool   // the reply may begin with thoughts
}

// converse makes the text of r safe. A raw prompt is its caller's alone and
// stays as it is. ValidationException: the server cannot do what r asks for.
func (fa *facts) converse(mode engine.Mode, r *llm.Request) (conversation, error) {
	if r.Grammar != "" && !fa.grammars() {
		return conversation{}, apierr.Validation("The server of this model cannot be made to follow a tool choice or a format. Leave toolChoice and the output format away, or ask for another model.")
	}
	switch {
	case r.Raw != "":
		return conversation{plain: true, text: strings.TrimPrefix(r.Raw, fa.bos)}, nil
	case mode == engine.Completion:
		return conversation{plain: true, text: fa.turns.Plain(r)}, nil
	}
	var c conversation
	c.chat.Messages, c.prefill = fa.turns.Messages(r)
	if c.prefill != "" {
		switch fa.kind {
		case VLLM, SGLang:
			c.chat.Continue = true
			if fa.kind == VLLM {
				c.chat.Generation = new(false)
			}
		case Other:
			return conversation{}, apierr.Validation("messages: the server of this model cannot continue a turn of the assistant. End the conversation with a turn of the user.")
		}
	}
	if fa.tools && len(r.Tools) > 0 {
		c.calls = r.Grammar == "" && r.Choice.Kind != llm.ChooseNone
		c.chat.Tools, c.chat.Choice = fa.turns.Tools(r.Tools), "none"
		if c.calls {
			c.chat.Choice, c.chat.Parallel = "auto", true
		}
	}
	c.reason(fa, r)
	return c, nil
}

// reason settles whether the reply may think first. One that follows a grammar
// or continues a text should not.
func (c *conversation) reason(fa *facts, r *llm.Request) {
	if !fa.turns.Thoughts {
		if fa.kind == LlamaServer {
			c.chat.Format = "none" // text as the model made it
		}
		return
	}
	if fa.kind == LlamaServer {
		c.chat.Format = "auto"
	}
	c.thinks = r.Grammar == "" && c.prefill == ""
	off := !c.thinks || r.Thinking != nil && r.Thinking.Off
	if fa.kind != Other && (off || r.Thinking != nil) {
		c.chat.Options = &templateArgs{Enable: !off, Thinking: !off}
		if !off {
			c.chat.Options.Effort = r.Thinking.Effort
		}
	}
}

// request is what a server is asked with a conversation.
type request struct {
	fa    *facts
	r     *llm.Request
	salt  string      // the name of the account for the server's cache
	lease limit.Lease // of an exclusive server
	own   bool        // the server is exclusive
	stops bool        // stop texts are looked for
}

// body is the request for a conversation. Stop texts are not sent: engine.Stopper
// finds them, and needs the counts beside every token.
func (q *request) body(c *conversation) (path string, body any) {
	s := q.sampling()
	if c.plain {
		b := &completionBody{Prompt: c.text, sampling: s}
		if q.r.Logprobs {
			b.Logprobs = new(1)
		}
		return completionPath, b
	}
	b := &chatBody{input: c.chat, sampling: s}
	if t := q.r.Thinking; c.thinks && t != nil && !t.Off && t.Budget > 0 {
		switch q.fa.kind {
		case LlamaServer:
			b.Budget = &t.Budget
		case VLLM:
			b.TokenBudget = &t.Budget
		}
	}
	if q.r.Logprobs && !(c.calls && q.fa.kind == LlamaServer) { // which refuses both together
		b.Logprobs, b.TopLogprobs = true, 1
	}
	return chatPath, b
}

func (q *request) sampling() sampling {
	p := &q.r.Params
	s := sampling{
		Model: q.fa.model, Stream: true, StreamOptions: streamOptions{Usage: true},
		MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: p.TopP, TopK: p.TopK,
		Frequency: p.FrequencyPenalty, Presence: p.PresencePenalty, Seed: seed(p.Seed),
	}
	switch q.fa.kind {
	case LlamaServer:
		s.Grammar, s.Progress, s.Timings = q.r.Grammar, true, q.stops
		s.Cache = new(q.own && !q.lease.Fresh)
		if q.own {
			s.Slot = &q.lease.ID
		}
	case VLLM:
		s.CacheSalt, s.StreamOptions.Continuous = q.salt, q.stops
		if q.r.Grammar != "" {
			s.Structured = &structured{q.r.Grammar}
		}
	case SGLang:
		s.CacheSalt, s.StreamOptions.Continuous, s.EBNF = q.salt, q.stops, q.r.Grammar
	case Other:
		s.TopK = nil
	}
	return s
}

// seed folds a seed into 32 bits, leaving out the value that means a random one
// to llama-server.
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
