package bedrockruntime

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

const arnOfModel = "arn:aws:bedrock:us-east-1::foundation-model/a.b"

// models resolves every id to one target.
type models catalog.Target

func (m models) Resolve(context.Context, string, string, string) (*catalog.Target, error) {
	return new(catalog.Target(m)), nil
}

func chat() models {
	return models{
		Model:     catalog.Model{ID: "a.b", Family: "fake", Output: []string{"TEXT"}, Streaming: true},
		Weights:   catalog.Weights{ID: "w", Mode: "chat"},
		ModelARN:  arnOfModel,
		Resources: []string{arnOfModel},
	}
}

// pipeline answers with the seed of each request, or with err when it is set.
type pipeline struct {
	seeds  []*int64
	counts []*llm.Request
	err    error
	failAt int  // the reply that fails, from 1
	early  bool // it fails before anything is accounted
}

func (p *pipeline) Generate(_ context.Context, c *call.Call, _ *catalog.Target, r *llm.Request) llm.Events {
	p.seeds = append(p.seeds, r.Params.Seed)
	r.Params.MaxTokens = new(1) // the pipeline may write here
	if len(p.seeds) == p.failAt && p.early {
		return llm.Fail(p.err)
	}
	if len(p.seeds) == p.failAt {
		c.Usage = llm.Usage{InputTokens: 10, OutputTokens: 1}
		return llm.Fail(p.err)
	}
	return func(yield func(llm.Event, error) bool) {
		c.Usage = llm.Usage{InputTokens: 10, OutputTokens: 2}
		c.Latency, c.FirstToken = time.Second, time.Duration(len(p.seeds))
		_ = yield(llm.Event{Kind: llm.BlockStart}, nil) && yield(llm.Event{Kind: llm.Delta, Text: "x"}, nil) &&
			yield(llm.Event{Kind: llm.Stop, Reason: llm.EndTurn}, nil) && yield(llm.Event{Kind: llm.Done, Usage: c.Usage}, nil)
	}
}

func (p *pipeline) Embed(context.Context, *call.Call, *catalog.Target, *llm.EmbedRequest, int) (*llm.EmbedResponse, error) {
	return &llm.EmbedResponse{}, p.err
}

func (p *pipeline) Rank(_ context.Context, _ *call.Call, _ *catalog.Target, r *llm.RankRequest) (*llm.RankResponse, error) {
	return &llm.RankResponse{Scores: make([]float64, len(r.Documents))}, p.err
}

func (p *pipeline) Picture(_ context.Context, _ *call.Call, _ *catalog.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	return &llm.PictureResponse{Images: [][]byte{[]byte(r.Prompt)}}, p.err
}

func (p *pipeline) Count(_ context.Context, _ *call.Call, _ *catalog.Target, r *llm.Request) (int, error) {
	p.counts = append(p.counts, r)
	return 42, p.err
}

// fake is a family whose bodies are the names of their tasks.
type fake struct{}

func (fake) Name() string { return "fake" }

func (fake) Parse(_ family.Model, body []byte) (family.Task, error) {
	switch string(body) {
	case "text":
		return text{}, nil
	case "three":
		return three{seed: new(int64(7))}, nil
	case "three of any seed":
		return three{}, nil
	case "embedding":
		return embedding{}, nil
	case "ranking":
		return ranking{}, nil
	case "picture":
		return picture{}, nil
	case "unknown":
		return 1, nil
	}
	return nil, apierr.Validation("bad body")
}

type text struct{}

func (text) Request() *llm.Request                    { return &llm.Request{} }
func (text) Response(r *llm.Response) ([]byte, error) { return []byte("one " + r.Text()), nil }
func (text) Stream() (family.Stream, error)           { return text{}, nil }
func (text) Chunks(ev llm.Event, emit func([]byte) error) error {
	if ev.Kind != llm.Delta {
		return nil
	}
	return emit([]byte(ev.Text))
}

type three struct {
	text
	seed *int64
}

func (t three) Request() *llm.Request { return &llm.Request{Params: llm.Params{Seed: t.seed}} }
func (three) Replies() int            { return 3 }
func (three) Responses(rs []*llm.Response) ([]byte, error) {
	var s strings.Builder
	for _, r := range rs {
		s.WriteString(r.Text())
	}
	return []byte(s.String()), nil
}

type embedding struct{}

func (embedding) Request() *llm.EmbedRequest                  { return &llm.EmbedRequest{} }
func (embedding) Dimensions() int                             { return 3 }
func (embedding) Response(*llm.EmbedResponse) ([]byte, error) { return []byte("vectors"), nil }

type ranking struct{}

func (ranking) Request() *llm.RankRequest { return &llm.RankRequest{Documents: []string{"a", "b"}} }
func (ranking) Response(r *llm.RankResponse) ([]byte, error) {
	return []byte("scores" + strings.Repeat(" 0", len(r.Scores))), nil
}

type picture struct{}

func (picture) Request() *llm.PictureRequest                    { return &llm.PictureRequest{Prompt: "a rock"} }
func (picture) Response(r *llm.PictureResponse) ([]byte, error) { return r.Images[0], nil }

// codec is a Converse that keeps what it was asked.
type codec struct{ seen *rt.ConverseInput }

func (c *codec) ConverseRequest(_ family.Model, in *rt.ConverseInput) (*llm.Request, error) {
	c.seen = in
	return &llm.Request{}, nil
}

func (c *codec) ConverseStreamRequest(family.Model, *rt.ConverseStreamInput) (*llm.Request, error) {
	return &llm.Request{}, nil
}

func (c *codec) ConverseResponse(_ family.Model, in *rt.ConverseInput, _ *llm.Response) *rt.ConverseOutput {
	return &rt.ConverseOutput{ServiceTier: in.ServiceTier}
}

func (c *codec) ConverseEvents(family.Model, *rt.ConverseStreamInput, llm.Events) awsapi.Events {
	return func(func(any, error) bool) {}
}

func newService(m models) (*Service, *pipeline, *codec) {
	p, c := &pipeline{}, &codec{}
	return New(Config{Catalog: m, Inference: p, Families: family.NewRegistry(fake{}), Converse: c, Access: granted{}}), p, c
}

// granted lets every account use every model.
type granted struct{}

func (granted) Check(*call.Call, *catalog.Target) error { return nil }

func invokeInput(body string) *rt.InvokeModelInput {
	return &rt.InvokeModelInput{ModelId: new("a.b"), Body: []byte(body)}
}

func wantRefusal(t *testing.T, what string, err error, message string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != apierr.CodeValidation || e.Message != message {
		t.Errorf("%s: %v, want a ValidationException: %s", what, err, message)
	}
}

// TestTasks has every kind of task that a native body can be.
func TestTasks(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"text": "one x", "three": "xxx", "embedding": "vectors", "ranking": "scores 0 0", "picture": "a rock",
	} {
		s, _, _ := newService(chat())
		out, err := s.invoke(t.Context(), &call.Call{}, invokeInput(body))
		if err != nil || string(out.Body) != want || *out.ContentType != "application/json" {
			t.Errorf("%s: %+v, %v", body, out, err)
		}
	}
	s, _, _ := newService(chat())
	_, err := s.invoke(t.Context(), &call.Call{}, invokeInput("unknown"))
	wantRefusal(t, "unknown", err, "The model a.b does not support this kind of request.")
}

// TestSeveral checks the seeds of several replies, and what is accounted.
func TestSeveral(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]*int64{
		"three": {new(int64(7)), new(int64(8)), new(int64(9))}, "three of any seed": {nil, nil, nil},
	} {
		s, p, _ := newService(chat())
		c := &call.Call{}
		if _, err := s.invoke(t.Context(), c, invokeInput(body)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, p.seeds); d != "" {
			t.Errorf("%s: -want +got:\n%s", body, d)
		}
		if c.Usage != (llm.Usage{InputTokens: 10, OutputTokens: 6}) || c.Latency != 3*time.Second || c.FirstToken != 1 {
			t.Errorf("%s: usage %+v, latency %v, first token %v", body, c.Usage, c.Latency, c.FirstToken)
		}
	}
	s, p, _ := newService(chat())
	p.failAt, p.err = 2, apierr.ModelStreamError("broke")
	c := &call.Call{}
	_, err := s.invoke(t.Context(), c, invokeInput("three"))
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeModelError || c.Usage != (llm.Usage{InputTokens: 10, OutputTokens: 3}) {
		t.Errorf("%v, usage %+v", err, c.Usage)
	}

	s, p, _ = newService(chat())
	p.failAt, p.early, p.err = 3, true, apierr.Throttling("busy")
	c = &call.Call{}
	_, err = s.invoke(t.Context(), c, invokeInput("three"))
	if apierr.From(err).Code != apierr.CodeThrottling || c.Usage != (llm.Usage{InputTokens: 10, OutputTokens: 4}) || c.Latency != 2*time.Second || c.FirstToken != 1 {
		t.Errorf("%v, usage %+v, latency %v, first token %v", err, c.Usage, c.Latency, c.FirstToken)
	}
}

// TestEcho checks that a caller is told which service it got, and that bodies
// are let go once they are parsed.
func TestEcho(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(chat())
	in := invokeInput("text")
	in.ServiceTier, in.PerformanceConfigLatency = new(rt.ServiceTierTypeFlex), new(rt.PerformanceConfigLatencyOptimized)
	out, err := s.invoke(t.Context(), &call.Call{}, in)
	if err != nil || out.ServiceTier != in.ServiceTier || out.PerformanceConfigLatency != in.PerformanceConfigLatency {
		t.Errorf("%+v, %v", out, err)
	}
	streaming := &rt.InvokeModelWithResponseStreamInput{
		ModelId: in.ModelId, Body: invokeInput("text").Body, ServiceTier: in.ServiceTier, PerformanceConfigLatency: in.PerformanceConfigLatency,
	}
	streamed, err := s.invokeStream(t.Context(), &call.Call{}, streaming)
	if in.Body != nil || streaming.Body != nil {
		t.Error("bodies are held although they are parsed")
	}
	if err != nil || streamed.ServiceTier != in.ServiceTier || streamed.PerformanceConfigLatency != in.PerformanceConfigLatency {
		t.Errorf("%+v, %v", streamed, err)
	}
	talk, err := s.converse(t.Context(), &call.Call{}, &rt.ConverseInput{ModelId: in.ModelId, ServiceTier: &rt.ServiceTier{Type: in.ServiceTier}})
	if err != nil || talk.ServiceTier.Type != in.ServiceTier {
		t.Errorf("%+v, %v", talk, err)
	}
}

// TestNotForConversations has the models that Converse refuses.
func TestNotForConversations(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*models){
		"embeddings": func(m *models) { m.Weights.Mode, m.Model.Output = "embed", []string{"EMBEDDING"} },
		"pictures":   func(m *models) { m.Model.Output = []string{"IMAGE"} },
		"completion": func(m *models) { m.Weights.Mode = "completion" },
	} {
		m := chat()
		change(&m)
		s, _, _ := newService(m)
		const message = "The action doesn't support the model that you provided. Try again with a supported text or chat model."
		_, err := s.converse(t.Context(), &call.Call{}, &rt.ConverseInput{ModelId: new("a.b")})
		wantRefusal(t, name, err, message)
		_, err = s.converseStream(t.Context(), &call.Call{}, &rt.ConverseStreamInput{ModelId: new("a.b")})
		wantRefusal(t, name+", streamed", err, message)
		_, err = s.countTokens(t.Context(), &call.Call{}, &rt.CountTokensInput{ModelId: new("a.b"), Input: &rt.CountTokensInputContent{Converse: &rt.ConverseTokensRequest{}}})
		wantRefusal(t, name+", counted", err, "The provided model doesn't support counting tokens.")
	}
}

func TestCountTokens(t *testing.T) {
	t.Parallel()
	s, p, codec := newService(chat())
	count := func(in *rt.CountTokensInputContent) (*rt.CountTokensOutput, error) {
		return s.countTokens(t.Context(), &call.Call{}, &rt.CountTokensInput{ModelId: new("a.b"), Input: in})
	}
	native := func(body string) *rt.CountTokensInputContent {
		return &rt.CountTokensInputContent{InvokeModel: &rt.InvokeModelTokensRequest{Body: []byte(body)}}
	}
	talk := &rt.ConverseTokensRequest{
		Messages: []rt.Message{{}}, System: []rt.SystemContentBlock{{}}, ToolConfig: &rt.ToolConfiguration{}, AdditionalModelRequestFields: awsapi.Document("{}"),
	}
	for name, in := range map[string]*rt.CountTokensInputContent{
		"converse": {Converse: talk}, "text": native("text"), "several": native("three"),
	} {
		if out, err := count(in); err != nil || *out.InputTokens != 42 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if d := cmp.Diff(&rt.ConverseInput{Messages: talk.Messages, System: talk.System, ToolConfig: talk.ToolConfig, AdditionalModelRequestFields: talk.AdditionalModelRequestFields}, codec.seen); d != "" {
		t.Errorf("counted something else: %s", d)
	}
	if len(p.seeds) != 0 {
		t.Error("counting made a reply")
	}
	for _, body := range []string{"embedding", "ranking", "picture"} {
		_, err := count(native(body))
		wantRefusal(t, body, err, "The provided model doesn't support counting tokens.")
	}
	_, err := count(native("wrong"))
	wantRefusal(t, "wrong", err, "bad body")
	for _, in := range []*rt.CountTokensInputContent{nil, {}} {
		_, err = count(in)
		wantRefusal(t, "nothing", err, "The CountTokensInput object at input must set one of the following keys: invokeModel, converse.")
	}
	p.err = apierr.Validation("too long")
	_, err = count(native("text"))
	wantRefusal(t, "too long", err, "too long")
}

// withheld lets no account use any model.
type withheld struct{}

var errWithheld = apierr.AccessDenied("You don't have access to the model with the specified model ID.")

func (withheld) Check(*call.Call, *catalog.Target) error { return errWithheld }

// TestWithoutAccess: no operation that uses a model serves an account without
// access to it, and none asks the model.
func TestWithoutAccess(t *testing.T) {
	t.Parallel()
	s, p, _ := newService(chat())
	s.cfg.Access = withheld{}
	id := new("a.b")
	inputs := map[string]any{
		"InvokeModel":                        &rt.InvokeModelInput{ModelId: id, Body: []byte("not even read")},
		"InvokeModelWithResponseStream":      &rt.InvokeModelWithResponseStreamInput{ModelId: id, Body: []byte("text")},
		"Converse":                           &rt.ConverseInput{ModelId: id},
		"ConverseStream":                     &rt.ConverseStreamInput{ModelId: id},
		"CountTokens":                        &rt.CountTokensInput{ModelId: id},
		"InvokeModelWithBidirectionalStream": &rt.InvokeModelWithBidirectionalStreamInput{ModelId: id},
		"StartAsyncInvoke":                   &rt.StartAsyncInvokeInput{ModelId: id, ModelInput: []byte("text")},
	}
	others := []string{"GetAsyncInvoke", "ListAsyncInvokes"}
	for _, r := range s.Routes() {
		in, ok := inputs[r.Operation.Name]
		if !ok {
			if !slices.Contains(others, r.Operation.Name) {
				t.Errorf("%s is not tested", r.Operation.Name)
			}
			continue
		}
		if _, err := r.Resources(t.Context(), &call.Call{}, in); err != nil {
			t.Errorf("%s: what it acts on is told only with access: %v", r.Operation.Name, err)
		}
		if _, err := r.Serve(t.Context(), &call.Call{}, in); !errors.Is(err, errWithheld) {
			t.Errorf("%s: %v", r.Operation.Name, err)
		}
	}
	// Access that ends before an invocation runs ends the invocation.
	err := s.RunAsync(t.Context(), jobs.Job{ID: "aaaaaaaaaaaa", Spec: []byte(`{"model_id":"a.b","uri":"s3://bucket/a"}`), Input: []byte("text")})
	if !errors.Is(err, errWithheld) || Failure(err) != errWithheld.Message {
		t.Errorf("run: %v", err)
	}
	if len(p.seeds)+len(p.counts) != 0 {
		t.Error("a model was asked")
	}
}

// gone resolves nothing.
type gone struct{ err error }

func (g gone) Resolve(context.Context, string, string, string) (*catalog.Target, error) {
	return nil, g.err
}

// TestUnknownModel: what an id leads to is told after authorisation, what is wrong
// with its form at once.
func TestUnknownModel(t *testing.T) {
	t.Parallel()
	const (
		own     = "arn:aws:bedrock:us-east-1:111122223333:"
		profile = own + "application-inference-profile/abcdefghij12"
	)
	notFound, invalid := apierr.NotFound("gone"), apierr.Validation("invalid")
	for name, tc := range map[string]struct {
		id   *string
		err  error
		want []string
	}{
		"a model":             {new("anthropic.claude-v9"), invalid, []string{"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v9"}},
		"profile":             {new(profile), notFound, []string{profile}},
		"provisioned model":   {new(own + "provisioned-model/abcdefghij12"), notFound, []string{own + "provisioned-model/abcdefghij12"}},
		"its name":            {new("fast"), invalid, []string{own + "provisioned-model/fast"}},
		"id of a profile":     {new("abcdefghij12"), notFound, []string{profile}},
		"of another region":   {new("arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-v2"), invalid, nil},
		"store fails":         {new(profile), errFull, nil},
		"no id":               {nil, invalid, nil},
		"no model identifier": {new("?"), notFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := newService(chat())
			s.cfg.Catalog = gone{tc.err}
			for op, ask := range map[string]func(*call.Call) ([]string, error){
				"InvokeModel": func(c *call.Call) ([]string, error) {
					return s.invokeResources(t.Context(), c, &rt.InvokeModelInput{ModelId: tc.id})
				},
				"CountTokens": func(c *call.Call) ([]string, error) {
					return s.counted(t.Context(), c, &rt.CountTokensInput{ModelId: tc.id})
				},
			} {
				c := &call.Call{Region: "us-east-1", Principal: call.Principal{Account: "111122223333"}}
				got, err := ask(c)
				if !slices.Equal(got, tc.want) || (err == nil) != (tc.want != nil) || len(c.Needs) != 0 {
					t.Errorf("%s: %q, %v, needs %v", op, got, err, c.Needs)
				}
			}
			if _, err := s.invoke(t.Context(), &call.Call{}, &rt.InvokeModelInput{ModelId: tc.id}); err == nil {
				t.Error("it is served")
			}
		})
	}
}
