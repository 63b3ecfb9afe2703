package bedrockruntime

import (
	"bytes"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// parse reads a native body. Through a prompt router the body says which model
// answers; it is read again for that one, which may have other limits.
func (s *Service) parse(c *call.Call, t *catalog.Target, body []byte) (*catalog.Target, family.Task, error) {
	f, err := s.family(t)
	if err != nil {
		return t, nil, err
	}
	task, err := f.Parse(s.model(t), body)
	if err != nil || t.Router == nil {
		return t, task, err
	}
	text, ok := task.(family.Text)
	if !ok {
		return t, nil, noRouting()
	}
	chosen, _ := service.Choose(c, t, text.Request())
	if s.model(chosen) == s.model(t) {
		return chosen, task, nil
	}
	if f, err = s.family(chosen); err != nil {
		return t, nil, err
	}
	task, err = f.Parse(s.model(chosen), body)
	return chosen, task, err
}

// converseRequest reads a conversation, twice where a prompt router chose another
// model than its fallback.
func (s *Service) converseRequest(c *call.Call, t *catalog.Target, read func(m family.Model) (*llm.Request, error)) (*catalog.Target, *llm.Request, error) {
	r, err := read(s.model(t))
	if err != nil || t.Router == nil {
		return t, r, err
	}
	chosen, _ := service.Choose(c, t, r)
	if s.model(chosen) != s.model(t) {
		r, err = read(s.model(chosen))
	}
	return chosen, r, err
}

// noRouting refuses an operation or a kind of body that prompt routers have no part in.
func noRouting() error {
	return apierr.Validation("The provided model identifier is invalid: prompt routers answer text of InvokeModel and Converse alone.")
}

// routerTrace tells which model a prompt router chose; nil without a router.
func routerTrace(c *call.Call) *rt.PromptRouterTrace {
	if c.RouterARN == "" {
		return nil
	}
	return &rt.PromptRouterTrace{InvokedModelId: new(c.ModelID)}
}

// tracedEvents puts the trace of a prompt router into the metadata of a stream.
func tracedEvents(c *call.Call, events awsapi.Events) awsapi.Events {
	trace := routerTrace(c)
	if trace == nil {
		return events
	}
	return func(yield func(any, error) bool) {
		for ev, err := range events {
			if e, ok := ev.(*rt.ConverseStreamEvent); ok && e.Metadata != nil {
				if e.Metadata.Trace == nil {
					e.Metadata.Trace = &rt.ConverseStreamTrace{}
				}
				e.Metadata.Trace.PromptRouter = trace
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

// nativeTrace is the member of a native body that tells what a prompt router chose;
// nil when there was none or the caller did not ask for traces.
func nativeTrace(c *call.Call, asked *rt.Trace) []byte {
	if c.RouterARN == "" || asked == nil || *asked == rt.TraceDisabled {
		return nil
	}
	// An ARN of a model holds nothing that JSON escapes.
	return []byte(`"amazon-bedrock-trace":{"promptRouter":{"invokedModelId":"` + c.ModelID + `"}}`)
}

// withMember appends a member to a JSON object; member nil appends none.
func withMember(object, member []byte) []byte {
	object = bytes.TrimSpace(object)
	if member == nil || len(object) < 2 || object[len(object)-1] != '}' {
		return object
	}
	out := append(make([]byte, 0, len(object)+len(member)+1), object[:len(object)-1]...)
	if len(bytes.TrimSpace(out)) > 1 {
		out = append(out, ',')
	}
	return append(append(out, member...), '}')
}

// lastChunk is what only the last chunk of a native stream holds: inside of texts the
// quotes would be escaped.
const lastChunk = `"amazon-bedrock-invocationMetrics":`
