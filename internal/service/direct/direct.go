// Package direct serves the providers' own APIs on Outcrop's port: OpenAI's Chat
// Completions at /openai/v1 and Anthropic's Messages at /anthropic/v1. They take
// bearer keys, name the model in the body, and stream server-sent events; all
// else is the pipeline that InvokeModel uses.
//
// Source: Bedrock user guide, "Generate responses using OpenAI APIs"; OpenAI and
// Anthropic API references for errors and streams.
package direct

import (
	"cmp"
	"context"
	"iter"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/sse"
)

// What a caller must be allowed to do: the same as for InvokeModel, its stream,
// and ListFoundationModels.
const (
	actionInvoke = "bedrock:InvokeModel"
	actionStream = "bedrock:InvokeModelWithResponseStream"
	actionList   = "bedrock:ListFoundationModels"
)

// Inference runs requests on the weights of a target. inference.Service
// implements it.
type Inference interface {
	Generate(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request) llm.Events
}

// Catalog knows the models. catalog.Catalog implements it.
type Catalog interface {
	Resolve(ctx context.Context, modelID, region, account string) (*catalog.Target, error)
	List(f catalog.Filter) []catalog.Model
}

// Access knows which models an account may use. agreement.Service implements it.
type Access interface {
	// Check fails with AccessDeniedException when the account of the call has no
	// access to the model.
	Check(c *call.Call, t *catalog.Target) error
}

// Body is a request that was read as far as its model.
type Body struct {
	Model  string // as the caller wrote it
	Tier   string // the service tier that the caller asks for; "" for none
	Stream bool
	// Text reads the rest for the model that was found. Errors:
	// ValidationException.
	Text func(m family.Model) (family.Text, error)
}

// Config carries what a Service needs.
type Config struct {
	Catalog   Catalog                            // required
	Inference Inference                          // required
	Access    Access                             // required
	OpenAI    func(body []byte) (Body, error)    // reads Chat Completions; required
	Anthropic func(body []byte) (Body, error)    // reads Messages; required
	EventName func(anthropicChunk []byte) string // name of the event of a chunk of Messages; required
}

// Service serves the APIs. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Routes lists the operations.
func (s *Service) Routes() []service.Direct { return append(s.openAI(), s.anthropic()...) }

// protocol is what the APIs do differently.
type protocol struct {
	provider string // put before a model name without one: "anthropic."
	read     func(body []byte) (Body, error)
	event    func(dst, chunk []byte) []byte // a chunk as a server-sent event
	end      []byte                         // the last bytes of a stream
}

// open reads a request and finds its model.
func (s *Service) open(p protocol) func(context.Context, *call.Call, []byte) (service.DirectCall, error) {
	return func(ctx context.Context, c *call.Call, body []byte) (service.DirectCall, error) {
		b, err := p.read(body)
		if err != nil {
			return service.DirectCall{}, err
		}
		service.UseTier(c, b.Tier)
		action := actionInvoke
		if b.Stream {
			action = actionStream
		}
		// What the provider calls a model need not be an id of Bedrock by its form.
		id := b.Model
		if _, malformed := arn.ParseModel(id); malformed != nil {
			id = p.provider + id
		}
		t, err := s.resolve(ctx, c, p, b.Model)
		if err != nil {
			resources, ok := service.Unresolved(c, id, err)
			if !ok {
				return service.DirectCall{}, err
			}
			return service.DirectCall{Action: action, Resources: resources, Serve: func(context.Context) (service.DirectReply, error) {
				return service.DirectReply{}, err
			}}, nil
		}
		return service.DirectCall{Action: action, Resources: service.UseModel(c, action, id, t), Serve: func(ctx context.Context) (service.DirectReply, error) {
			if t.Model.Embedding() || t.Weights.Mode != "chat" {
				return service.DirectReply{}, apierr.Validation("The model %q does not hold conversations.", b.Model)
			}
			if err := s.cfg.Access.Check(c, t); err != nil {
				return service.DirectReply{}, err
			}
			return s.serve(ctx, c, p, t, b)
		}}, nil
	}
}

// resolve finds a model by its Bedrock id, or by the provider's own name for it.
func (s *Service) resolve(ctx context.Context, c *call.Call, p protocol, name string) (*catalog.Target, error) {
	t, err := s.cfg.Catalog.Resolve(ctx, name, c.Region, c.Principal.Account)
	if err != nil {
		var again error
		if t, again = s.cfg.Catalog.Resolve(ctx, p.provider+name, c.Region, c.Principal.Account); again != nil {
			return nil, err
		}
	}
	service.Note(c, name, t)
	return t, nil
}

func (s *Service) serve(ctx context.Context, c *call.Call, p protocol, t *catalog.Target, b Body) (service.DirectReply, error) {
	text, err := b.Text(model(t))
	if err != nil {
		return service.DirectReply{}, err
	}
	chosen, _ := service.Choose(c, t, text.Request())
	if model(chosen) != model(t) {
		if text, err = b.Text(model(chosen)); err != nil {
			return service.DirectReply{}, err
		}
	}
	t = chosen
	if b.Stream {
		stream, err := text.Stream()
		if err != nil {
			return service.DirectReply{}, err
		}
		return service.DirectReply{Events: p.events(s.cfg.Inference.Generate(ctx, c, t, text.Request()), stream)}, nil
	}
	if several, ok := text.(family.Several); ok && several.Replies() > 1 {
		return service.DirectReply{}, apierr.Validation("n: one reply at a time.")
	}
	c.Whole = true
	resp, err := llm.Collect(s.cfg.Inference.Generate(ctx, c, t, text.Request()))
	if err != nil {
		return service.DirectReply{}, err
	}
	body, err := text.Response(resp)
	return service.DirectReply{Body: body}, err
}

// model is what a codec is told of a target.
func model(t *catalog.Target) family.Model {
	return family.Model{
		ID: t.Model.ID, MaxOutput: t.Model.MaxOutput, Prompt: t.Weights.Prompt, Direct: true,
		Dimensions: cmp.Or(t.Model.Dimensions, t.Weights.Dimensions),
	}
}

// events turns the events of a reply into server-sent ones as they come.
func (p protocol) events(events llm.Events, stream family.Stream) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buf []byte
		for chunk, err := range family.Chunked(events, stream) {
			if err != nil {
				yield(nil, err)
				return
			}
			if buf = p.event(buf[:0], chunk); !yield(buf, nil) {
				return
			}
		}
		if len(p.end) > 0 {
			yield(p.end, nil)
		}
	}
}

// named makes a server-sent event with a name.
func named(name func([]byte) string) func(dst, chunk []byte) []byte {
	return func(dst, chunk []byte) []byte { return sse.Append(dst, name(chunk), chunk) }
}

// unnamed makes a server-sent event without a name.
func unnamed(dst, chunk []byte) []byte { return sse.Append(dst, "", chunk) }
