package converse

import (
	"errors"
	"math"
	"slices"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Limits of additional fields.
const (
	maxTopK   = 500  // the largest of the families
	minBudget = 1024 // tokens of reasoning
	// maxPenalty is that of OpenAI's bodies; other families have less.
	maxPenalty = 2
)

// additional reads additionalModelRequestFields: what the models' native bodies
// have beyond inferenceConfig. Whichever model is asked, all of these are known:
//
//	top_k                      Claude, Mistral
//	k                          Cohere
//	inferenceConfig            Nova: {"topK", "reasoningConfig"}
//	seed                       Cohere, OpenAI
//	frequency_penalty,
//	presence_penalty           Cohere, AI21, OpenAI
//	thinking, reasoning_config Claude: {"type": "enabled", "budget_tokens"}, "adaptive", "disabled"
//	output_config              Claude: {"effort", "format": {"type": "json_schema", "schema"}}
//	tool_choice                Claude: {"type", "name", "disable_parallel_tool_use"}; "none" is known here alone
//	reasoningConfig            Nova: {"type", "maxReasoningEffort"}
//	reasoning_effort           OpenAI, DeepSeek
//	anthropic_beta,
//	anthropic_version          Claude; without effect
//	outcrop_resume             Outcrop: {"text"}, see ConverseRequest
//
// Every other key is refused by name, as a model refuses it.
func (rd *reader) additional(in *rt.ConverseInput) error {
	if len(in.AdditionalModelRequestFields) == 0 {
		return nil
	}
	root, err := body.Parse(in.AdditionalModelRequestFields)
	if err != nil {
		return fromModel(err)
	}
	for _, key := range [...]string{"messages", "system", "max_tokens", "temperature", "top_p", "stop_sequences"} {
		if root.Has(key) {
			return apierr.Validation("The additional field %s conflicts with an existing field.", key)
		}
	}
	rd.sampling(root)
	rd.reasoning(root)
	root.Get("anthropic_beta").Texts(body.Length{})
	root.Get("anthropic_version").Text(body.Length{})
	choice := rd.nativeChoice(root.Get("tool_choice").Object())
	resume := ""
	if r := root.Get("outcrop_resume").Object(); r != nil {
		r.Require("text")
		resume = r.Get("text").Text(body.Length{Min: 1})
		r.Close()
		rd.resume = true
	}
	root.Close()
	if err := root.Err(); err != nil {
		return fromModel(err)
	}
	if err := rd.override(choice); err != nil {
		return err
	}
	if err := rd.budget(); err != nil {
		return err
	}
	if rd.resume {
		return rd.continueFrom(resume)
	}
	return nil
}

// nativeChoice reads Claude's own tool_choice; nil means that toolConfig's holds.
// Whether one call is the most is read again for the reply, see single.
func (rd *reader) nativeChoice(c *body.Value) *llm.Choice {
	if c == nil {
		return nil
	}
	c.Require("type")
	c.Get(oneCall).Bool()
	var choice *llm.Choice
	switch c.Get("type").Enum("auto", "any", "tool", "none") {
	case "any":
		choice = &llm.Choice{Kind: llm.ChooseAny}
	case "tool":
		c.Require("name")
		choice = &llm.Choice{Kind: llm.ChooseNamed, Name: c.Get("name").Text(body.Length{Min: 1})}
	case "none":
		choice = &llm.Choice{Kind: llm.ChooseNone}
	}
	c.Close()
	return choice
}

// override takes the native choice of tools in place of toolConfig's.
func (rd *reader) override(c *llm.Choice) error {
	if c == nil {
		return nil
	}
	known := func(t llm.Tool) bool { return c.Name == "" || t.Name == c.Name }
	switch {
	case len(rd.req.Tools) == 0 && c.Kind != llm.ChooseNone:
		return apierr.Validation("The model returned the following errors: tool_choice: tool_choice may only be specified while providing tools.")
	case len(rd.req.Tools) > 0 && !slices.ContainsFunc(rd.req.Tools, known):
		return apierr.Validation("The model returned the following errors: tool_choice.name: Tool '%s' not found in provided tools", clip(c.Name))
	}
	rd.req.Choice = *c
	return nil
}

// oneCall is the key with which Claude is told to call one tool at most.
const oneCall = "disable_parallel_tool_use"

// single reports whether a reply may have one tool call at most.
func single(in *rt.ConverseInput) bool {
	root, ok := object(in.AdditionalModelRequestFields)
	if !ok {
		return false
	}
	one := root.Get("tool_choice").Get(oneCall).Bool()
	return one != nil && *one
}

func (rd *reader) sampling(root *body.Value) {
	p := &rd.req.Params
	k := body.Range{Max: maxTopK}
	setTopK := func(n *int) {
		if n != nil {
			p.TopK = n
		}
	}
	setTopK(root.Get("top_k").Int(k))
	setTopK(root.Get("k").Int(k))
	if c := root.Get("inferenceConfig").Object(); c != nil {
		setTopK(c.Get("topK").Int(k))
		rd.novaReasoning(c.Get("reasoningConfig").Object())
		c.Close()
	}
	p.Seed = root.Get("seed").Long(body.Range{Min: math.MinInt32, Max: math.MaxUint32})
	penalty := body.Range{Min: -maxPenalty, Max: maxPenalty}
	p.FrequencyPenalty = root.Get("frequency_penalty").Num(penalty)
	p.PresencePenalty = root.Get("presence_penalty").Num(penalty)
}

func (rd *reader) reasoning(root *body.Value) {
	for _, key := range [...]string{"thinking", "reasoning_config"} {
		t := root.Get(key).Object()
		if t == nil {
			continue
		}
		t.Require("type")
		switch t.Get("type").Enum("enabled", "adaptive", "disabled") {
		case "enabled":
			t.Require("budget_tokens")
			if n := t.Get("budget_tokens").Int(body.AtLeast(minBudget)); n != nil {
				rd.thinking().Budget = *n
			}
		case "adaptive":
			rd.thinking()
		case "disabled":
			rd.thinking().Off = true
		}
		t.Close()
	}
	rd.novaReasoning(root.Get("reasoningConfig").Object())
	if c := root.Get("output_config").Object(); c != nil {
		rd.effort(c.Get("effort").Enum("low", "medium", "high", "xhigh", "max"))
		rd.nativeFormat(c.Get("format").Object())
		c.Close()
	}
	rd.effort(root.Get("reasoning_effort").Enum("low", "medium", "high"))
}

// nativeFormat reads Claude's own form of outputConfig.textFormat.
func (rd *reader) nativeFormat(v *body.Value) {
	if v == nil {
		return
	}
	v.Require("type", "schema")
	v.Get("type").Enum("json_schema")
	name := v.Get("name").Text(body.Length{})
	if s := v.Get("schema").Object(); s != nil && rd.req.Format == nil {
		rd.req.Format = &llm.Format{Schema: s.JSON(), Name: name}
	}
	v.Close()
}

func (rd *reader) novaReasoning(c *body.Value) {
	if c == nil {
		return
	}
	c.Require("type")
	effort := c.Get("maxReasoningEffort").Enum("low", "medium", "high")
	switch c.Get("type").Enum("enabled", "disabled") {
	case "enabled":
		rd.thinking()
		rd.effort(effort)
	case "disabled":
		rd.thinking().Off = true
	}
	c.Close()
}

func (rd *reader) effort(word string) {
	if word != "" {
		rd.thinking().Effort = efforts[word]
	}
}

// budget checks what reasoning and the rest of the request say about each other.
func (rd *reader) budget() error {
	t, most := rd.req.Thinking, rd.req.Params.MaxTokens
	if t == nil || t.Budget == 0 {
		return nil
	}
	if most != nil && *most <= t.Budget {
		return apierr.Validation("The model returned the following errors: `max_tokens` must be greater than `thinking.budget_tokens`.")
	}
	if k := rd.req.Choice.Kind; k == llm.ChooseAny || k == llm.ChooseNamed {
		return apierr.Validation("The model returned the following errors: Thinking may not be enabled when tool_choice forces tool use.")
	}
	return nil
}

// continueFrom makes the text received of an earlier reply the start of this one.
func (rd *reader) continueFrom(text string) error {
	m := rd.req.Messages
	if m[len(m)-1].Role != llm.User {
		return apierr.Validation("additionalModelRequestFields.outcrop_resume needs a conversation that ends with a user message. Remove the last message and try again.")
	}
	rd.req.Messages = append(m, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: text}}})
	return nil
}

// fromModel marks a refusal as the model's own.
func fromModel(err error) error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return apierr.Validation("The model returned the following errors: %s", e.Message)
	}
	return err
}
