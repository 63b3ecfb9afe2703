// Package converse maps the Converse API to llm and back. It is a model family
// like the others, except that its bodies are typed by the API.
//
// Source: API reference of Converse and ConverseStream; the wording of refusals
// is that of the service, where it is known.
package converse

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Codec maps Converse and ConverseStream. The zero value works; it is safe for
// concurrent use.
type Codec struct{}

// ConverseStreamRequest is ConverseRequest for the streaming operation.
func (c Codec) ConverseStreamRequest(m family.Model, in *rt.ConverseStreamInput) (*llm.Request, error) {
	return c.ConverseRequest(m, unstreamed(in))
}

// unstreamed is the same request without a stream. The types have the same
// members; only the guardrail's may say how a stream is processed.
func unstreamed(in *rt.ConverseStreamInput) *rt.ConverseInput {
	out := &rt.ConverseInput{
		ModelId: in.ModelId, Messages: in.Messages, System: in.System, InferenceConfig: in.InferenceConfig,
		ToolConfig: in.ToolConfig, AdditionalModelRequestFields: in.AdditionalModelRequestFields,
		PromptVariables: in.PromptVariables, AdditionalModelResponseFieldPaths: in.AdditionalModelResponseFieldPaths,
		RequestMetadata: in.RequestMetadata, PerformanceConfig: in.PerformanceConfig, ServiceTier: in.ServiceTier,
		OutputConfig: in.OutputConfig,
	}
	if g := in.GuardrailConfig; g != nil {
		out.GuardrailConfig = &rt.GuardrailConfiguration{
			GuardrailIdentifier: g.GuardrailIdentifier, GuardrailVersion: g.GuardrailVersion, Trace: g.Trace,
		}
	}
	return out
}

// ConverseRequest turns a request that passed the checks of the API's tables
// into a conversation.
//
// Text, the text of guardContent and cache points are taken; every other block
// is refused by name and place. Without inferenceConfig the weights' defaults
// hold. promptVariables, requestMetadata, performanceConfig and serviceTier say
// nothing about the conversation and are left to the service.
//
// Errors: ValidationException.
func (Codec) ConverseRequest(m family.Model, in *rt.ConverseInput) (*llm.Request, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	req := &llm.Request{}
	var err error
	if req.System, err = system(in.System); err != nil {
		return nil, err
	}
	if req.Messages, err = messages(in.Messages); err != nil {
		return nil, err
	}
	if req.Params, err = params(m, in.InferenceConfig); err != nil {
		return nil, err
	}
	if err := additional(&req.Params, in.AdditionalModelRequestFields); err != nil {
		return nil, err
	}
	return req, nil
}

// refuse refuses what no model here can do.
func refuse(in *rt.ConverseInput) error {
	if in.ToolConfig != nil {
		return apierr.Validation("This model doesn't support tool use. Remove toolConfig and try again.")
	}
	if g := in.GuardrailConfig; g != nil && (g.GuardrailIdentifier != nil || g.GuardrailVersion != nil) {
		switch {
		case g.GuardrailVersion == nil:
			return apierr.Validation("guardrailConfig.guardrailVersion is required when guardrailConfig.guardrailIdentifier is provided.")
		case g.GuardrailIdentifier == nil:
			return apierr.Validation("guardrailConfig.guardrailIdentifier is required when guardrailConfig.guardrailVersion is provided.")
		}
		return apierr.Validation("The guardrail identifier or version provided in the request does not exist.")
	}
	if o := in.OutputConfig; o != nil {
		switch {
		case o.TextFormat != nil:
			return apierr.Validation("This model doesn't support outputConfig.textFormat. Remove it and try again.")
		case o.Effort != nil:
			return apierr.Validation("This model doesn't support outputConfig.effort. Remove it and try again.")
		}
	}
	for i, p := range in.AdditionalModelResponseFieldPaths {
		if !isPointer(p) {
			return apierr.Validation("additionalModelResponseFieldPaths.%d is not a valid JSON Pointer.", i)
		}
	}
	return nil
}

// isPointer reports whether s is a JSON Pointer (RFC 6901) to a member.
func isPointer(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

func system(blocks []rt.SystemContentBlock) ([]string, error) {
	var out []string
	for i := range blocks {
		b := &blocks[i]
		var text *string
		switch {
		case b.Text != nil:
			text = b.Text
		case b.CachePoint != nil:
			continue
		case b.GuardContent != nil && b.GuardContent.Text != nil:
			text = b.GuardContent.Text.Text
		case b.GuardContent != nil:
			return nil, unsupported("guardContent.image", "system", -1, i)
		default:
			return nil, apierr.Validation("The SystemContentBlock object at system.%d must set one of the following keys: text, guardContent, cachePoint.", i)
		}
		if blank(text) {
			return nil, apierr.Validation("The text field in the SystemContentBlock object at system.%d is blank. Add text to the text field, and try again.", i)
		}
		out = append(out, *text)
	}
	return out, nil
}

// messages reads the turns: the user speaks first, then the roles alternate. A
// last turn of the assistant is the start of the reply.
func messages(in []rt.Message) ([]llm.Message, error) {
	if len(in) == 0 || role(&in[0]) == llm.Assistant {
		return nil, apierr.Validation("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	out := make([]llm.Message, len(in))
	for i := range in {
		r := role(&in[i])
		if r != llm.User && r != llm.Assistant {
			return nil, apierr.Validation("The role at messages.%d is not supported by this model. Use user or assistant, and the system field for system prompts.", i)
		}
		if i > 0 && out[i-1].Role == r {
			return nil, apierr.Validation("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		}
		blocks, err := content(in[i].Content, i)
		if err != nil {
			return nil, err
		}
		out[i] = llm.Message{Role: r, Content: blocks}
	}
	return out, nil
}

func role(m *rt.Message) llm.Role {
	if m.Role == nil {
		return ""
	}
	return llm.Role(*m.Role)
}

// content reads the blocks of message i.
func content(in []rt.ContentBlock, i int) ([]llm.Block, error) {
	out := make([]llm.Block, 0, len(in))
	for j := range in {
		b := &in[j]
		var text *string
		switch {
		case b.Text != nil:
			text = b.Text
		case b.CachePoint != nil:
			continue
		case b.GuardContent != nil && b.GuardContent.Text != nil:
			text = b.GuardContent.Text.Text
		default:
			if name := blockName(b); name != "" {
				return nil, unsupported(name, "messages", i, j)
			}
			return nil, apierr.Validation("The ContentBlock object at messages.%d.content.%d must set one of its keys.", i, j)
		}
		if blank(text) {
			return nil, apierr.Validation("The text field in the ContentBlock object at messages.%d.content.%d is blank. Add text to the text field, and try again.", i, j)
		}
		out = append(out, llm.Block{Kind: llm.Text, Text: *text})
	}
	if len(out) == 0 {
		return nil, apierr.Validation("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
	}
	return out, nil
}

// blockName is the key of a block that is not text, "" for an empty block.
func blockName(b *rt.ContentBlock) string {
	switch {
	case b.Image != nil:
		return "image"
	case b.Document != nil:
		return "document"
	case b.Video != nil:
		return "video"
	case b.Audio != nil:
		return "audio"
	case b.ToolUse != nil:
		return "toolUse"
	case b.ToolResult != nil:
		return "toolResult"
	case b.GuardContent != nil:
		return "guardContent.image"
	case b.ReasoningContent != nil:
		return "reasoningContent"
	case b.CitationsContent != nil:
		return "citationsContent"
	case b.SearchResult != nil:
		return "searchResult"
	case b.ToolAddition != nil:
		return "toolAddition"
	case b.ToolRemoval != nil:
		return "toolRemoval"
	}
	return ""
}

// unsupported refuses block j of the field, of its item i when i is not -1.
func unsupported(name, field string, i, j int) error {
	place := fmt.Sprintf("%s.%d", field, j)
	if i >= 0 {
		place = fmt.Sprintf("%s.%d.content.%d", field, i, j)
	}
	return apierr.Validation("This model doesn't support the %s content block that you provided at %s. Remove the content block and try again.", name, place)
}

func blank(s *string) bool { return s == nil || strings.TrimSpace(*s) == "" }

func params(m family.Model, in *rt.InferenceConfiguration) (llm.Params, error) {
	var p llm.Params
	if in == nil {
		return p, nil
	}
	if in.MaxTokens != nil {
		n := int(*in.MaxTokens)
		if m.MaxOutput > 0 && n > m.MaxOutput {
			return p, apierr.Validation("The maximum tokens you requested exceeds the model limit of %d. Try again with a maximum tokens value that is lower than %d.", m.MaxOutput, m.MaxOutput)
		}
		p.MaxTokens = &n
	}
	p.Temperature = exact(in.Temperature)
	p.TopP = exact(in.TopP)
	for i, s := range in.StopSequences {
		if s == "" {
			return p, apierr.Validation("The value at inferenceConfig.stopSequences.%d is empty. Add text to the stop sequence, and try again.", i)
		}
	}
	p.Stop = in.StopSequences
	return p, nil
}

// exact returns the float64 that has the decimal digits of f: 0.7 for
// float32(0.7), as the caller wrote it.
func exact(f *float32) *float64 {
	if f == nil {
		return nil
	}
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(*f), 'g', -1, 32), 64)
	if err != nil || math.IsNaN(d) {
		return new(float64(*f))
	}
	return &d
}
