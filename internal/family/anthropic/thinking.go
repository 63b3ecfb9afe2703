package anthropic

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Limits of thinking.
const (
	minBudget       = 1024 // tokens
	minThinkingTopP = 0.95
)

// thinking reads whether and how the model thinks before the reply.
func (rd *reader) thinking(name string, root *body.Value) {
	v := present(root.Get("thinking")).Object()
	if v == nil {
		return
	}
	v.Require("type")
	t := &llm.Thinking{}
	kind := v.Get("type").Enum("enabled", "disabled", "adaptive", "between_tools")
	switch kind {
	case "enabled":
		v.Require("budget_tokens")
		if n := v.Get("budget_tokens").Int(body.AtLeast(minBudget)); n != nil {
			t.Budget = *n
			if limit := rd.req.Params.MaxTokens; limit != nil && *limit <= *n {
				rd.fail("`max_tokens` must be greater than `thinking.budget_tokens`.")
			}
		}
	case "disabled":
		t.Off = true
	}
	if kind != "enabled" {
		present(v.Get("budget_tokens")).Int(body.AtLeast(0))
	}
	present(v.Get("display")).Enum("summarized", "omitted")
	v.Close()
	rd.req.Thinking = t
	if !t.Off {
		rd.thinkingRules(name, root)
	}
}

// thinkingRules are what a body that asks for thoughts must not ask for too.
func (rd *reader) thinkingRules(name string, root *body.Value) {
	if rd.strict && generation(name) < 37 {
		rd.fail("thinking: Extra inputs are not permitted")
	}
	p := rd.req.Params
	if root.Has("temperature") && p.Temperature != nil && *p.Temperature != 1 {
		rd.fail("`temperature` may only be set to 1 when thinking is enabled.")
	}
	if root.Has("top_p") && p.TopP != nil && *p.TopP < minThinkingTopP {
		rd.fail("`top_p` must be greater than or equal to %v or unset when thinking is enabled.", minThinkingTopP)
	}
	if p.TopK != nil {
		rd.fail("`top_k` must be unset when thinking is enabled.")
	}
	if k := rd.req.Choice.Kind; k == llm.ChooseAny || k == llm.ChooseNamed {
		rd.fail("Thinking may not be enabled when tool_choice forces tool use.")
	}
}

// output reads the form of the reply: output_config, or output_format as the
// beta of structured outputs had it.
func (rd *reader) output(root *body.Value) {
	if c := present(root.Get("output_config")).Object(); c != nil {
		effort := present(c.Get("effort")).Enum("low", "medium", "high", "xhigh", "max")
		if effort == "xhigh" || effort == "max" {
			effort = "high"
		}
		if t := rd.req.Thinking; t != nil && !t.Off {
			t.Effort = effort
		}
		rd.format(present(c.Get("format")).Object())
		c.Close()
	}
	if v := present(root.Get("output_format")).Object(); v != nil {
		if rd.req.Format != nil {
			rd.fail("output_format: cannot be specified together with output_config.format")
		}
		rd.format(v)
	}
}

func (rd *reader) format(v *body.Value) {
	if v == nil {
		return
	}
	v.Require("type", "schema")
	v.Get("type").Enum("json_schema")
	f := &llm.Format{Name: present(v.Get("name")).Text(body.Length{})}
	if s := v.Get("schema").Object(); s != nil {
		f.Schema = s.JSON()
	}
	v.Close()
	rd.req.Format = f
}

// generation is a model's number, 35 for Claude 3.5 and 40 for Claude 4; models
// without one in their name are newer than all that have rules of their own.
func generation(name string) int {
	if legacy(name) {
		return 20
	}
	var numbers []int
	for part := range strings.SplitSeq(name, "-") {
		if digits(part) && len(part) == 1 {
			numbers = append(numbers, int(part[0]-'0'))
		}
	}
	switch len(numbers) {
	case 0:
		return 99
	case 1:
		return numbers[0] * 10
	}
	return numbers[0]*10 + numbers[1]
}
