// Package converse maps the Converse API to llm and back. It is a model family
// like the others, except that its bodies are typed by the API.
//
// Source: API reference of Converse and ConverseStream; the wording of refusals
// is that of the service where public reports of it are known, and in its manner
// elsewhere.
package converse

import (
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
type Codec struct {
	// NewID makes the "id" that additionalModelResponseFieldPaths can ask for;
	// nil means a random one.
	NewID func() string
}

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
// Text, images, documents, tool calls and their results, reasoning, guardContent
// (whose qualifiers say nothing here), search results and citations (which become
// text) and cache points are taken; video, audio and every other block is refused
// by name and place. A last turn of the assistant is the start of the reply.
// Without inferenceConfig the weights' defaults hold. promptVariables mean nothing
// without a prompt; requestMetadata, performanceConfig and serviceTier say nothing
// about the conversation.
//
// additionalModelRequestFields may hold what the models' native bodies have beyond
// inferenceConfig, and one member that only Outcrop has:
//
//	"outcrop_resume": {"text": "..."}
//
// continues a reply that broke off: text is everything received of it so far, 1
// character at least, and may end in white space. The conversation must end with
// the user's turn, as in the first call. The reply, streamed or not, holds what
// comes after text alone, and usage counts text as input; maxTokens bounds the new
// part. With temperature 0 the whole is what the first call would have said. With
// sampling, send the same "seed" in both calls: the continuation is then the same
// each time it is asked for.
//
// Errors: ValidationException.
func (Codec) ConverseRequest(m family.Model, in *rt.ConverseInput) (*llm.Request, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	rd := reader{req: &llm.Request{}, model: m}
	for _, read := range [...]func(*rt.ConverseInput) error{
		rd.tools, rd.system, rd.messages, rd.params, rd.output, rd.additional, rd.ending,
	} {
		if err := read(in); err != nil {
			return nil, err
		}
	}
	return rd.req, nil
}

// reader fills one request, in the order in which the prompt is built: tools,
// system, messages.
type reader struct {
	req   *llm.Request
	model family.Model

	images    int
	documents []string // their names
	caches    int
	short     bool            // a cache point of five minutes stood already
	callIDs   map[string]bool // of all turns
	resume    bool
}

// refuse refuses what no model here can do.
func refuse(in *rt.ConverseInput) error {
	if g := in.GuardrailConfig; g != nil && (g.GuardrailIdentifier != nil || g.GuardrailVersion != nil) {
		switch {
		case g.GuardrailVersion == nil:
			return apierr.Validation("guardrailConfig.guardrailVersion is required when guardrailConfig.guardrailIdentifier is provided.")
		case g.GuardrailIdentifier == nil:
			return apierr.Validation("guardrailConfig.guardrailIdentifier is required when guardrailConfig.guardrailVersion is provided.")
		}
		return apierr.Validation("The guardrail identifier or version provided in the request does not exist.")
	}
	for i, p := range in.AdditionalModelResponseFieldPaths {
		if !isPointer(p) {
			return apierr.Validation("additionalModelResponseFieldPaths.%d is not a valid JSON Pointer.", i)
		}
	}
	return nil
}

func (rd *reader) system(in *rt.ConverseInput) error {
	for i := range in.System {
		b := &in.System[i]
		var text *string
		switch {
		case b.Text != nil:
			text = b.Text
		case b.CachePoint != nil:
			if err := rd.cache(b.CachePoint, llm.Mark{}, "system."+strconv.Itoa(i)); err != nil {
				return err
			}
			continue
		case b.GuardContent != nil && b.GuardContent.Text != nil:
			text = b.GuardContent.Text.Text
		case b.GuardContent != nil && b.GuardContent.Image != nil:
			return unsupported("guardContent.image", "system."+strconv.Itoa(i))
		default:
			return apierr.Validation("The SystemContentBlock object at system.%d must set one of the following keys: text, guardContent, cachePoint.", i)
		}
		if blank(text) {
			return apierr.Validation("The text field in the SystemContentBlock object at system.%d is blank. Add text to the text field, and try again.", i)
		}
		rd.req.System = append(rd.req.System, *text)
	}
	return nil
}

// maxCachePoints is what one request may have, in tools, system and messages
// together. Source: user guide, "Prompt caching".
const maxCachePoints = 4

// cache takes a cache point. The last one counts, as all before it lie inside of
// what it covers. What lives longer must stand first.
func (rd *reader) cache(p *rt.CachePointBlock, at llm.Mark, place string) error {
	if rd.caches++; rd.caches > maxCachePoints {
		return apierr.Validation("You can't include more than %d cachePoint blocks in a request. Remove the cachePoint block at %s and try again.", maxCachePoints, place)
	}
	switch long := p.Ttl != nil && *p.Ttl == rt.CacheTTL1h; {
	case !long:
		rd.short = true
	case rd.short:
		return apierr.Validation("The cachePoint block at %s has the ttl 1h, but a cachePoint block before it has the ttl 5m. A ttl can't be longer than that of the blocks before it, in the order of tools, system and messages.", place)
	}
	rd.req.Cache = &at
	return nil
}

// lastCache is the cache point that counts, nil when there is none.
func lastCache(in *rt.ConverseInput) *rt.CachePointBlock {
	for i := len(in.Messages) - 1; i >= 0; i-- {
		content := in.Messages[i].Content
		for j := len(content) - 1; j >= 0; j-- {
			if p := content[j].CachePoint; p != nil {
				return p
			}
		}
	}
	for i := len(in.System) - 1; i >= 0; i-- {
		if p := in.System[i].CachePoint; p != nil {
			return p
		}
	}
	if in.ToolConfig != nil {
		for i := len(in.ToolConfig.Tools) - 1; i >= 0; i-- {
			if p := in.ToolConfig.Tools[i].CachePoint; p != nil {
				return p
			}
		}
	}
	return nil
}

// unsupported refuses the block at place.
func unsupported(name, place string) error {
	return apierr.Validation("This model doesn't support the %s content block that you provided at %s. Remove the content block and try again.", name, place)
}

func blank(s *string) bool { return s == nil || strings.TrimSpace(*s) == "" }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (rd *reader) params(in *rt.ConverseInput) error {
	c := in.InferenceConfig
	if c == nil {
		return nil
	}
	p := &rd.req.Params
	var room struct { // one allocation for all that the pointers point to
		n                 int
		temperature, topP float64
	}
	if c.MaxTokens != nil {
		n := int(*c.MaxTokens)
		if most := rd.model.MaxOutput; most > 0 && n > most {
			return apierr.Validation("The maximum tokens you requested exceeds the model limit of %d. Try again with a maximum tokens value that is lower than %d.", most, most)
		}
		room.n = n
		p.MaxTokens = &room.n
	}
	p.Temperature = exact(&room.temperature, c.Temperature)
	p.TopP = exact(&room.topP, c.TopP)
	for i, s := range c.StopSequences {
		if s == "" {
			return apierr.Validation("The value at inferenceConfig.stopSequences.%d is empty. Add text to the stop sequence, and try again.", i)
		}
	}
	p.Stop = c.StopSequences
	return nil
}

// exact returns d with the decimal digits of f: 0.7 for float32(0.7), as the
// caller wrote it; nil without f.
func exact(d *float64, f *float32) *float64 {
	if f == nil {
		return nil
	}
	var buf [32]byte
	var err error
	*d, err = strconv.ParseFloat(string(strconv.AppendFloat(buf[:0], float64(*f), 'g', -1, 32)), 64)
	if err != nil || math.IsNaN(*d) {
		*d = float64(*f)
	}
	return d
}

// output reads outputConfig.
func (rd *reader) output(in *rt.ConverseInput) error {
	o := in.OutputConfig
	if o == nil {
		return nil
	}
	if f := o.TextFormat; f != nil {
		if f.Structure == nil || f.Structure.JsonSchema == nil || f.Structure.JsonSchema.Schema == nil {
			return apierr.Validation("outputConfig.textFormat.structure.jsonSchema.schema is required when outputConfig.textFormat is provided.")
		}
		s := f.Structure.JsonSchema
		schema, ok := object([]byte(*s.Schema))
		if !ok {
			return apierr.Validation("The value at outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object. Provide a JSON schema and try again.")
		}
		rd.req.Format = &llm.Format{Schema: schema.JSON(), Name: text(s.Name)}
	}
	if o.Effort != nil {
		effort, ok := efforts[*o.Effort]
		if !ok {
			return apierr.Validation("The value at outputConfig.effort must be one of the following: low, medium, high, xhigh, max.")
		}
		rd.thinking().Effort = effort
	}
	return nil
}

// efforts are the words of the API and of native bodies. Beyond high there is
// nothing that the weights know.
var efforts = map[string]string{"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

// thinking is the wish for reasoning, made when there was none.
func (rd *reader) thinking() *llm.Thinking {
	if rd.req.Thinking == nil {
		rd.req.Thinking = &llm.Thinking{}
	}
	return rd.req.Thinking
}
