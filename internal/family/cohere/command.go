package cohere

import (
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Defaults and limits of a Command body.
const (
	commandTokens      = 20
	commandLimit       = 4096
	commandTemperature = 0.9
	maxTemperature     = 5
	defaultP           = 0.75
	maxK               = 500
	maxStops           = 4
	maxGenerations     = 5
)

// command is one Command request.
type command struct {
	req         *llm.Request
	prompt      string
	generations int
	stream      *bool
	ids         []string // of the whole, then of each generation
}

func (f Family) parseCommand(m family.Model, root *body.Value) (family.Task, error) {
	n := limit(m, commandLimit)
	root.Require("prompt")
	c := &command{prompt: root.Get("prompt").Text(body.Length{Min: 1})}
	p := llm.Params{
		MaxTokens:   chat.Or(root.Get("max_tokens").Int(body.Range{Min: 1, Max: float64(n)}), min(commandTokens, n)),
		Temperature: chat.Or(root.Get("temperature").Num(body.Range{Max: maxTemperature}), commandTemperature),
		TopP:        chat.Or(root.Get("p").Num(body.Range{Max: 1}), defaultP),
		TopK:        chat.Or(root.Get("k").Int(body.Range{Max: maxK}), 0),
		Stop:        root.Get("stop_sequences").Texts(body.Length{Max: maxStops}),
	}
	c.generations = *chat.Or(root.Get("num_generations").Int(body.Range{Min: 1, Max: maxGenerations}), 1)
	c.stream = root.Get("stream").Bool()
	likely := root.Get("return_likelihoods")
	kind := likely.Enum("NONE", "GENERATION", "ALL")
	if kind == "ALL" {
		likely.Violate("ALL is not supported, because engines tell no likelihoods of a prompt; use GENERATION")
	}
	root.Get("truncate").Enum("NONE", "START", "END")
	if bias := root.Get("logit_bias").Object(); bias != nil {
		bias.Close() // tokens of other weights have other numbers
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	for range 1 + c.generations {
		id, err := f.newID()
		if err != nil {
			return nil, err
		}
		c.ids = append(c.ids, id)
	}
	c.req = &llm.Request{Params: p, Logprobs: kind == "GENERATION"}
	chat.Add(c.req, llm.User, chat.Text(c.prompt))
	return c, nil
}

// Request is the prompt as one user turn.
func (c *command) Request() *llm.Request { return c.req }

// StreamFlag is the body's "stream"; nil when it is absent.
func (c *command) StreamFlag() *bool { return c.stream }

// Replies is num_generations.
func (c *command) Replies() int { return c.generations }

// Response is {"id", "prompt", "generations": [{...}]}.
func (c *command) Response(r *llm.Response) ([]byte, error) { return c.Responses([]*llm.Response{r}) }

// Responses has one generation for each reply.
func (c *command) Responses(rs []*llm.Response) ([]byte, error) {
	b := append(make([]byte, 0, 512), `{"id":`...)
	b = body.AppendString(b, c.ids[0])
	b = append(b, `,"prompt":`...)
	b = body.AppendString(b, c.prompt)
	b = append(b, `,"generations":[`...)
	for i, r := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = body.AppendString(b, c.ids[min(1+i, len(c.ids)-1)])
		b = append(b, `,"text":`...)
		b = body.AppendString(b, r.Text())
		b = appendFinish(b, r.Reason)
		if c.req.Logprobs {
			b = appendLikelihoods(b, r.Pieces)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...), nil
}

// appendFinish appends Cohere's word for why a reply ended.
func appendFinish(b []byte, r llm.StopReason) []byte {
	b = append(b, `,"finish_reason":"`...)
	switch r {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return append(b, `MAX_TOKENS"`...)
	case llm.ContentFiltered, llm.GuardrailIntervened:
		return append(b, `ERROR_TOXIC"`...)
	}
	return append(b, `COMPLETE"`...)
}

// appendLikelihoods appends the likelihood of each token, and their mean.
func appendLikelihoods(b []byte, pieces []llm.Piece) []byte {
	mean := 0.0
	for _, p := range pieces {
		mean += p.Logprob / float64(len(pieces))
	}
	b = chat.AppendNumber(append(b, `,"likelihood":`...), mean)
	b = append(b, `,"token_likelihoods":[`...)
	for i, p := range pieces {
		if i > 0 {
			b = append(b, ',')
		}
		b = body.AppendString(append(b, `{"token":`...), p.Text)
		b = chat.AppendNumber(append(b, `,"likelihood":`...), p.Logprob)
		b = append(b, '}')
	}
	return append(b, ']')
}

// Stream makes one chunk per piece of text and a last one with the reason.
func (c *command) Stream() (family.Stream, error) {
	if err := chat.Streams(c.stream, c.generations); err != nil {
		return nil, err
	}
	return &commandStream{buf: make([]byte, 0, 256)}, nil
}

type commandStream struct {
	buf    []byte
	reason llm.StopReason
}

// Chunks makes a chunk for Delta and for Done.
func (s *commandStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Delta:
		if ev.Text == "" || ev.Block == llm.Reasoning || ev.Block == llm.ToolCall {
			return nil
		}
		b := body.AppendString(append(s.buf[:0], `{"text":`...), ev.Text)
		s.buf = append(b, `,"is_finished":false}`...)
		return emit(s.buf)
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		b := append(appendFinish(append(s.buf[:0], `{"is_finished":true`...), s.reason), ',')
		s.buf = append(body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken), '}')
		return emit(s.buf)
	}
	return nil
}
