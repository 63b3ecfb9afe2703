package bedrock

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// The bodies of Converse, as far as they are sent. Source: bedrock-runtime model,
// ConverseStreamRequest.
type (
	conversation struct {
		Messages   []message      `json:"messages"`
		System     []content      `json:"system,omitempty"`
		Tools      *tools         `json:"toolConfig,omitempty"`
		Additional map[string]any `json:"additionalModelRequestFields,omitempty"`
	}
	converse struct {
		conversation
		Inference inference `json:"inferenceConfig"`
		Output    *output   `json:"outputConfig,omitempty"`
		Paths     []string  `json:"additionalModelResponseFieldPaths,omitempty"`
	}
	message struct {
		Role    string    `json:"role"`
		Content []content `json:"content"`
	}
	content struct {
		Text      *string    `json:"text,omitempty"`
		Image     *picture   `json:"image,omitempty"`
		ToolUse   *toolUse   `json:"toolUse,omitempty"`
		Result    *result    `json:"toolResult,omitempty"`
		Reasoning *reasoning `json:"reasoningContent,omitempty"`
	}
	picture struct {
		Format string `json:"format"`
		Source struct {
			Bytes []byte `json:"bytes"`
		} `json:"source"`
	}
	toolUse struct {
		ID    string          `json:"toolUseId"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	}
	result struct {
		ID      string    `json:"toolUseId"`
		Content []content `json:"content"`
		Status  string    `json:"status,omitempty"`
	}
	reasoning struct {
		Text     *reasoned `json:"reasoningText,omitempty"`
		Redacted []byte    `json:"redactedContent,omitempty"`
	}
	reasoned struct {
		Text      string `json:"text"`
		Signature string `json:"signature,omitempty"`
	}
	tools struct {
		Tools  []tool         `json:"tools"`
		Choice map[string]any `json:"toolChoice,omitempty"`
	}
	tool struct {
		Spec spec `json:"toolSpec"`
	}
	spec struct {
		Name        string `json:"name"`
		Description string `json:"description,omitempty"`
		Schema      struct {
			JSON json.RawMessage `json:"json"`
		} `json:"inputSchema"`
		Strict bool `json:"strict,omitempty"`
	}
	inference struct {
		MaxTokens   *int     `json:"maxTokens,omitempty"`
		Temperature *float64 `json:"temperature,omitempty"`
		TopP        *float64 `json:"topP,omitempty"`
		Stop        []string `json:"stopSequences,omitempty"`
	}
	output struct {
		Format struct {
			Type      string `json:"type"`
			Structure struct {
				Schema struct {
					Schema string `json:"schema"`
					Name   string `json:"name,omitempty"`
				} `json:"jsonSchema"`
			} `json:"structure"`
		} `json:"textFormat"`
	}
)

// stopPath is where Claude's own reply, and any of Outcrop, tells which stop text
// it ended by. A model without it leaves it out.
const stopPath = "/stop_sequence"

// converseOf is what is asked with r. ValidationException: Converse has no words
// for it.
func (u *upstream) converseOf(r *llm.Request) (*converse, error) {
	switch {
	case r.Raw != "":
		return nil, apierr.Validation("prompt: the upstream of this model takes conversations, and no prompt in the model's own template.")
	case r.Grammar != "":
		return nil, apierr.Validation("The upstream of this model cannot be made to follow a grammar.")
	case r.Logprobs:
		return nil, apierr.Validation("logprobs: the upstream of this model does not tell the probabilities of tokens.")
	}
	r, err := told(r)
	if err != nil {
		return nil, err
	}
	c := &converse{}
	for _, s := range r.System {
		if s != "" {
			c.System = append(c.System, content{Text: &s})
		}
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		out := message{Role: string(m.Role)}
		for j := range m.Content {
			if b, ok := u.block(&m.Content[j]); ok {
				out.Content = append(out.Content, b)
			}
		}
		if len(out.Content) > 0 {
			c.Messages = append(c.Messages, out)
		}
	}
	c.Tools = toolsOf(r)
	if f := r.Format; f != nil {
		c.Output = &output{}
		c.Output.Format.Type = "json_schema"
		c.Output.Format.Structure.Schema.Schema = cmp.Or(string(f.Schema), `{"type":"object"}`)
		c.Output.Format.Structure.Schema.Name = f.Name
	}
	c.Inference = inference{MaxTokens: r.Params.MaxTokens, Temperature: r.Params.Temperature, TopP: r.Params.TopP}
	c.Inference.Stop = stopsOf(r)
	if len(c.Inference.Stop) > 0 {
		c.Paths = []string{stopPath}
	}
	u.additional(c, r)
	return c, nil
}

// told is r with its calls and results as text where no tools go with them:
// Converse takes neither a choice of none, nor such blocks without their tools.
func told(r *llm.Request) (*llm.Request, error) {
	if len(r.Tools) > 0 && r.Choice.Kind != llm.ChooseNone {
		return r, nil
	}
	plain := *r
	plain.Tools, plain.Choice, plain.Format = nil, llm.Choice{}, nil
	out, _, err := toolcall.Lower(&plain, toolcall.Plain)
	if err != nil {
		return nil, err
	}
	if r.Format != nil {
		formatted := *out
		formatted.Format = r.Format
		out = &formatted
	}
	return out, nil
}

// block is a piece of a message; false leaves it out.
func (u *upstream) block(b *llm.Block) (content, bool) {
	switch b.Kind {
	case llm.Text:
		return content{Text: &b.Text}, b.Text != ""
	case llm.Image:
		p := &picture{Format: b.Media.Format}
		p.Source.Bytes = b.Media.Data
		return content{Image: p}, true
	case llm.ToolCall:
		return content{ToolUse: &toolUse{ID: b.Call.ID, Name: b.Call.Name, Input: object(b.Call.Input)}}, true
	case llm.ToolResult:
		res := &result{ID: b.Result.CallID, Content: []content{}}
		if b.Result.Failed {
			res.Status = "error"
		}
		for i := range b.Result.Content {
			if c, ok := u.block(&b.Result.Content[i]); ok {
				res.Content = append(res.Content, c)
			}
		}
		return content{Result: res}, true
	case llm.Reasoning:
		if b.Redacted != nil {
			return content{Reasoning: &reasoning{Redacted: b.Redacted}}, true
		}
		// Claude takes only thoughts that it signed.
		ok := b.Text != "" && (b.Signature != "" || !u.is("anthropic."))
		return content{Reasoning: &reasoning{Text: &reasoned{b.Text, b.Signature}}}, ok
	}
	return content{}, false
}

// object is the input of a call; what is no JSON object, because the reply that
// made it was cut short, is an empty one.
func object(input []byte) json.RawMessage {
	if b := bytes.TrimSpace(input); len(b) > 1 && b[0] == '{' && json.Valid(b) {
		return b
	}
	return json.RawMessage("{}")
}

func toolsOf(r *llm.Request) *tools {
	if len(r.Tools) == 0 {
		return nil
	}
	out := &tools{}
	for _, t := range r.Tools {
		s := spec{Name: t.Name, Description: t.Description, Strict: t.Strict}
		if s.Schema.JSON = t.Schema; len(t.Schema) == 0 {
			s.Schema.JSON = json.RawMessage(`{"type":"object"}`)
		}
		out.Tools = append(out.Tools, tool{s})
	}
	switch r.Choice.Kind {
	case llm.ChooseAny:
		out.Choice = map[string]any{"any": struct{}{}}
	case llm.ChooseNamed:
		out.Choice = map[string]any{"tool": map[string]string{"name": r.Choice.Name}}
	default:
		out.Choice = map[string]any{"auto": struct{}{}}
	}
	return out
}

// stopsOf are all stop texts of r, each once.
func stopsOf(r *llm.Request) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, list := range [][]string{r.Params.Stop, r.BuiltinStop} {
		for _, s := range list {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// is reports whether the model's id, or that of its profile, has a part.
func (u *upstream) is(part string) bool { return strings.Contains(u.c.Model, part) }

// Tokens of thinking by effort, for models that take a number.
const (
	lowBudget    = 1024 // the least that Claude takes
	mediumBudget = 4096
	highBudget   = 16384
)

// additional sets what Converse has no field of its own for. What the model there
// has no name for is left away: seeds, and penalties of most.
func (u *upstream) additional(c *converse, r *llm.Request) {
	set := func(key string, v any) {
		if c.Additional == nil {
			c.Additional = map[string]any{}
		}
		c.Additional[key] = v
	}
	if k := r.Params.TopK; k != nil && *k > 0 {
		switch {
		case u.is("anthropic."), u.is("mistral."):
			set("top_k", *k)
		case u.is("cohere."):
			set("k", *k)
		case u.is("amazon.nova"):
			set("inferenceConfig", map[string]int{"topK": *k})
		}
	}
	if u.is("cohere.") || u.is("ai21.") || u.is("openai.") {
		if p := r.Params.FrequencyPenalty; p != nil {
			set("frequency_penalty", *p)
		}
		if p := r.Params.PresencePenalty; p != nil {
			set("presence_penalty", *p)
		}
	}
	if s := r.Params.Seed; s != nil && (u.is("cohere.") || u.is("openai.")) {
		set("seed", uint32(*s)) // #nosec G115 -- folding is meant
	}
	t := r.Thinking
	if t == nil || t.Off {
		return
	}
	switch {
	case u.is("anthropic."):
		budget := t.Budget
		if budget == 0 {
			budget = map[string]int{"low": lowBudget, "high": highBudget}[t.Effort]
		}
		budget = max(lowBudget, cmp.Or(budget, mediumBudget))
		if r.Params.MaxTokens != nil {
			budget = min(budget, *r.Params.MaxTokens-1)
		}
		if budget >= lowBudget {
			set("thinking", map[string]any{"type": "enabled", "budget_tokens": budget})
		}
	case u.is("amazon.nova"):
		set("reasoningConfig", map[string]string{"type": "enabled", "maxReasoningEffort": cmp.Or(t.Effort, "medium")})
	case t.Effort != "" && (u.is("openai.") || u.is("deepseek.")):
		set("reasoning_effort", t.Effort)
	}
}
