// Package bedrockruntime serves the bedrock-runtime API: native InvokeModel
// bodies and Converse, each with its stream.
package bedrockruntime

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Inference runs requests on the weights of a target. inference.Service
// implements it.
type Inference interface {
	Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events
	Embed(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.EmbedRequest, dims int) (*llm.EmbedResponse, error)
	Rank(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error)
	Picture(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error)
	// Count tells the tokens of the prompt that Generate would make of r.
	Count(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) (int, error)
}

// Catalog resolves what a caller wrote as model id. catalog.Catalog implements
// it. Errors: ValidationException, ResourceNotFoundException.
type Catalog interface {
	Resolve(ctx context.Context, modelID, region, account string) (*catalog.Target, error)
}

// Converse maps the Converse types to llm and back. converse.Codec implements it.
type Converse interface {
	ConverseRequest(m family.Model, in *rt.ConverseInput) (*llm.Request, error)
	ConverseStreamRequest(m family.Model, in *rt.ConverseStreamInput) (*llm.Request, error)
	ConverseResponse(m family.Model, in *rt.ConverseInput, r *llm.Response) *rt.ConverseOutput
	ConverseEvents(m family.Model, in *rt.ConverseStreamInput, events llm.Events) awsapi.Events
}

// Config carries what a Service needs.
type Config struct {
	Catalog      Catalog         // required
	Inference    Inference       // required
	Families     family.Registry // required
	Converse     Converse        // required
	Dialogs      Dialogs         // required
	Access       Access          // required
	Async        Async
	Now          func() time.Time // nil means time.Now
	StrictParity bool             // answer AWS's 400 where Outcrop is lenient by default
}

// Service serves the API. It is safe for concurrent use.
type Service struct {
	cfg      Config
	starting sync.Mutex // held while an asynchronous invocation is kept
}

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.BindResource(rt.OpInvokeModel, s.invokeResources, s.invoke),
		service.BindResource(rt.OpInvokeModelWithResponseStream, s.invokeStreamResources, s.invokeStream),
		service.BindResource(rt.OpConverse, s.converseResources, s.converse),
		service.BindResource(rt.OpConverseStream, s.converseStreamResources, s.converseStream),
		service.BindResource(rt.OpCountTokens, s.counted, s.countTokens),
		service.BindResource(rt.OpInvokeModelWithBidirectionalStream, s.bidirectionalResources, s.bidirectional),
		service.BindResource(rt.OpStartAsyncInvoke, s.asyncResources, s.startAsync),
		service.BindResource(rt.OpGetAsyncInvoke, s.asyncARN, s.getAsync),
		service.Bind(rt.OpListAsyncInvokes, s.listAsync),
	}
}

func (s *Service) model(t *catalog.Target) family.Model {
	return family.Model{
		ID: t.Model.ID, MaxOutput: t.Model.MaxOutput, StrictParity: s.cfg.StrictParity,
		Dimensions: cmp.Or(t.Model.Dimensions, t.Weights.Dimensions), Prompt: t.Weights.Prompt,
	}
}

const jsonType = "application/json"

// acceptable checks the content types and the guardrail headers of InvokeModel.
func acceptable(contentType, accept, guardrail, version *string) error {
	if contentType != nil && !isJSON(*contentType) {
		return apierr.Validation("The provided Content Type is invalid or not supported for this model: contentType must be application/json.")
	}
	if accept != nil && *accept != "*/*" && *accept != "" && !isJSON(*accept) {
		return apierr.Validation("The provided Accept Type is invalid or not supported for this model: accept must be application/json.")
	}
	switch {
	case (guardrail == nil) != (version == nil):
		return apierr.Validation("guardrailIdentifier and guardrailVersion must be given together.")
	case guardrail != nil:
		return apierr.Validation("The guardrail identifier or version provided in the request does not exist.")
	}
	return nil
}

func isJSON(contentType string) bool {
	base, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(base), jsonType)
}

func (s *Service) family(t *catalog.Target) (family.Family, error) {
	f, ok := s.cfg.Families[t.Model.Family]
	if !ok {
		return nil, apierr.Validation("InvokeModel does not read the native bodies of %s yet; use Converse.", t.Model.ID)
	}
	return f, nil
}

func (s *Service) invoke(ctx context.Context, c *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
	t, err := s.resolve(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if err := acceptable(in.ContentType, in.Accept, in.GuardrailIdentifier, in.GuardrailVersion); err != nil {
		return nil, err
	}
	input := in.Body
	in.Body = nil // up to 25 MB, which nobody needs once they are parsed
	body, err := s.run(ctx, c, t, input)
	if err != nil {
		return nil, err
	}
	return &rt.InvokeModelOutput{
		Body: withMember(body, nativeTrace(c, in.Trace)), ContentType: new(jsonType), PerformanceConfigLatency: in.PerformanceConfigLatency, ServiceTier: in.ServiceTier,
	}, nil
}

// run answers one native body.
func (s *Service) run(ctx context.Context, c *call.Call, t *catalog.Target, body []byte) ([]byte, error) {
	t, task, err := s.parse(c, t, body)
	if err != nil {
		return nil, err
	}
	switch task := task.(type) {
	case family.Several:
		return s.several(ctx, c, t, task)
	case family.Text:
		return s.generate(ctx, c, t, task)
	case family.Embedding:
		return s.embed(ctx, c, t, task)
	case family.Ranking:
		return s.rank(ctx, c, t, task)
	case family.Picture:
		return s.picture(ctx, c, t, task)
	}
	return nil, apierr.Validation("The model %s does not support this kind of request.", t.Model.ID)
}

func (s *Service) generate(ctx context.Context, c *call.Call, t *catalog.Target, text family.Text) ([]byte, error) {
	c.Whole = true
	resp, err := llm.Collect(s.cfg.Inference.Generate(ctx, c, t, text.Request()))
	if err != nil {
		return nil, unary(err)
	}
	return text.Response(resp)
}

func (s *Service) embed(ctx context.Context, c *call.Call, t *catalog.Target, e family.Embedding) ([]byte, error) {
	resp, err := s.cfg.Inference.Embed(ctx, c, t, e.Request(), e.Dimensions())
	if err != nil {
		return nil, err
	}
	return e.Response(resp)
}

func (s *Service) invokeStream(ctx context.Context, c *call.Call, in *rt.InvokeModelWithResponseStreamInput) (*rt.InvokeModelWithResponseStreamOutput, error) {
	t, err := s.resolve(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if err := acceptable(in.ContentType, in.Accept, in.GuardrailIdentifier, in.GuardrailVersion); err != nil {
		return nil, err
	}
	if !t.Model.Streaming {
		return nil, apierr.Validation("The model is unsupported for streaming.")
	}
	t, task, err := s.parse(c, t, in.Body)
	if err != nil {
		return nil, err
	}
	in.Body = nil // up to 25 MB, which nobody needs any more
	text, ok := task.(family.Text)
	if !ok {
		return nil, apierr.Validation("The model is unsupported for streaming.")
	}
	stream, err := text.Stream()
	if err != nil {
		return nil, err
	}
	events := s.cfg.Inference.Generate(ctx, c, t, text.Request())
	return &rt.InvokeModelWithResponseStreamOutput{
		Body: chunks(events, stream, nativeTrace(c, in.Trace)), ContentType: new(jsonType), PerformanceConfigLatency: in.PerformanceConfigLatency, ServiceTier: in.ServiceTier,
	}, nil
}

// chunks wraps native chunks as events of the API. One event is reused for all:
// it is valid until the next one is asked for. last, when not nil, is a member that the
// last chunk gets.
func chunks(events llm.Events, stream family.Stream, last []byte) awsapi.Events {
	return func(yield func(any, error) bool) {
		part := &rt.PayloadPart{}
		ev := &rt.ResponseStream{Chunk: part}
		for chunk, err := range family.Chunked(events, stream) {
			if err != nil {
				yield(nil, err)
				return
			}
			if part.Bytes = chunk; last != nil && bytes.Contains(chunk, []byte(lastChunk)) {
				part.Bytes = withMember(chunk, last)
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

var errStopped = apierr.New(apierr.CodeInternal, 500, "stream stopped by its reader")

func (s *Service) converse(ctx context.Context, c *call.Call, in *rt.ConverseInput) (*rt.ConverseOutput, error) {
	t, err := s.resolveText(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	t, r, err := s.converseRequest(c, t, func(m family.Model) (*llm.Request, error) { return s.cfg.Converse.ConverseRequest(m, in) })
	if err != nil {
		return nil, err
	}
	c.Whole = true
	resp, err := llm.Collect(s.cfg.Inference.Generate(ctx, c, t, r))
	if err != nil {
		return nil, unary(err)
	}
	out := s.cfg.Converse.ConverseResponse(s.model(t), in, resp)
	if trace := routerTrace(c); trace != nil {
		out.Trace = &rt.ConverseTrace{PromptRouter: trace}
	}
	return out, nil
}

func (s *Service) converseStream(ctx context.Context, c *call.Call, in *rt.ConverseStreamInput) (*rt.ConverseStreamOutput, error) {
	t, err := s.resolveText(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	t, r, err := s.converseRequest(c, t, func(m family.Model) (*llm.Request, error) { return s.cfg.Converse.ConverseStreamRequest(m, in) })
	if err != nil {
		return nil, err
	}
	events := s.cfg.Converse.ConverseEvents(s.model(t), in, s.cfg.Inference.Generate(ctx, c, t, r))
	return &rt.ConverseStreamOutput{Stream: tracedEvents(c, events)}, nil
}

// resolveText resolves a model that can hold a conversation.
func (s *Service) resolveText(ctx context.Context, c *call.Call, id *string) (*catalog.Target, error) {
	t, err := s.resolve(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if !converses(t) {
		return nil, apierr.Validation("The action doesn't support the model that you provided. Try again with a supported text or chat model.")
	}
	return t, nil
}

// converses reports whether a model can hold a conversation: one that makes text
// on weights that have a chat template.
func converses(t *catalog.Target) bool {
	return t.Weights.Mode == "chat" && (len(t.Model.Output) == 0 || slices.Contains(t.Model.Output, "TEXT"))
}

// unary turns an error that broke a running reply into the one that a call
// without a stream models: ModelErrorException for ModelStreamErrorException.
func unary(err error) error {
	e := apierr.From(err)
	if e.Code != apierr.CodeModelStreamError {
		return err
	}
	m := apierr.ModelError("%s", e.Message).WithCause(e.Err)
	m.OriginalStatus = e.OriginalStatus
	return m
}
