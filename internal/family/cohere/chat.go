package cohere

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Defaults and limits of a Command R body.
const (
	chatLimit       = 4000
	chatTemperature = 0.3
	minP, maxP      = 0.01, 0.99
	maxChatStops    = 2500 // as Converse
)

// System texts that stand for what Command R's own template says.
const (
	groundOn = "Answer from these documents where they tell it."
	askFor   = "Write the web search queries that would help to answer the last message, one on each line, and nothing else."
)

// emptyMessage is what is wrong with an empty message.
const emptyMessage = "expected minLength: 1, actual: 0; a message may be empty beside tool_results, behind a chat_history that begins with USER"

// conversation is one Command R request.
type conversation struct {
	req       *llm.Request
	documents []document
	message   string
	history   []byte // the caller's chat_history as JSON, without its brackets
	queries   bool   // search_queries_only
	prompt    bool   // return_prompt
	stream    *bool
	response  string // ids of the reply
	id        string
}

func (f Family) parseChat(m family.Model, root *body.Value) (family.Task, error) {
	limits := body.Range{Min: 1, Max: float64(limit(m, chatLimit))}
	root.Require("message")
	req := &llm.Request{Params: llm.Params{
		MaxTokens:        root.Get("max_tokens").Int(limits),
		Temperature:      chat.Or(root.Get("temperature").Num(body.Range{Max: 1}), chatTemperature),
		TopP:             chat.Or(root.Get("p").Num(body.Range{Min: minP, Max: maxP}), defaultP),
		TopK:             chat.Or(root.Get("k").Int(body.Range{Max: maxK}), 0),
		Stop:             root.Get("stop_sequences").Texts(body.Length{Max: maxChatStops}),
		Seed:             root.Get("seed").Long(body.AtLeast(0)),
		FrequencyPenalty: root.Get("frequency_penalty").Num(body.Range{Max: 1}),
		PresencePenalty:  root.Get("presence_penalty").Num(body.Range{Max: 1}),
	}}
	c := &conversation{req: req, queries: isTrue(root.Get("search_queries_only")), prompt: isTrue(root.Get("return_prompt"))}
	c.stream = root.Get("stream").Bool()
	if s := root.Get("preamble").Text(body.Length{}); strings.TrimSpace(s) != "" {
		req.System = append(req.System, s)
	}
	c.readDocuments(root.Get("documents"))
	switch {
	case c.queries:
		req.System = append(req.System, askFor)
	case len(c.documents) > 0:
		req.System = append(req.System, render(c.documents))
	}
	h := history{req: req}
	h.read(root.Get("chat_history"))
	c.history = turns(root.Get("chat_history"))
	message, results := root.Get("message"), root.Get("tool_results")
	if c.message = message.Text(body.Length{}); c.message != "" {
		chat.Add(req, llm.User, chat.Text(c.message))
	} else if results == nil {
		message.Violate(emptyMessage)
	}
	h.results(results)
	req.Tools = tools(root.Get("tools"))
	root.Get("force_single_step").Bool()
	root.Get("prompt_truncation").Enum("OFF", "AUTO_PRESERVE_ORDER")
	root.Get("raw_prompting").Bool()
	root.Close()
	first := llm.Role("")
	if len(req.Messages) > 0 {
		first = req.Messages[0].Role
	}
	switch hv := root.Get("chat_history"); {
	case first == llm.User, c.message == "" && results == nil:
	case c.message != "" && hv != nil:
		hv.Violate("the first turn must have the role USER")
	default:
		message.Violate(emptyMessage)
	}
	if err := root.Err(); err != nil {
		return nil, err
	}
	var err error
	if c.response, err = f.newID(); err == nil {
		c.id, err = f.newID()
	}
	return c, err
}

func isTrue(v *body.Value) bool {
	b := v.Bool()
	return b != nil && *b
}

// Request is the conversation of the body.
func (c *conversation) Request() *llm.Request { return c.req }

// Response is {"response_id", "text", "generation_id", "citations", ...}.
func (c *conversation) Response(r *llm.Response) ([]byte, error) {
	b := append(make([]byte, 0, 1024), '{')
	return append(c.appendReply(b, r, c.cite(r.Text())), '}'), nil
}

// cite finds the citations of a reply.
func (c *conversation) cite(text string) []citation {
	if c.queries || len(c.documents) == 0 {
		return nil
	}
	return cite(text, c.documents)
}

// appendReply appends the members of a whole reply.
func (c *conversation) appendReply(b []byte, r *llm.Response, citations []citation) []byte {
	text := r.Text()
	b = body.AppendString(append(b, `"response_id":`...), c.response)
	b = body.AppendString(append(b, `,"generation_id":`...), c.id)
	if c.queries {
		b = body.AppendString(append(b, `,"text":`...), "")
		b = append(append(b, ','), c.appendQueries(nil, text)...)
		b = append(b, `,"is_search_required":`...)
		b = appendBool(b, strings.TrimSpace(text) != "")
		text = ""
	} else {
		b = body.AppendString(append(b, `,"text":`...), text)
	}
	if len(citations) > 0 {
		b = append(append(b, ','), c.appendCitations(nil, citations)...)
		b = append(append(b, ','), c.appendDocuments(nil, citations)...)
	}
	b = append(b, `,"chat_history":[`...)
	if b = append(b, c.history...); len(c.history) > 0 {
		b = append(b, ',')
	}
	if c.message != "" {
		b = body.AppendString(append(b, `{"role":"USER","message":`...), c.message)
		b = append(b, `},`...)
	}
	b = body.AppendString(append(b, `{"role":"CHATBOT","message":`...), text)
	calls := appendCalls(nil, r)
	if calls != nil {
		b = append(append(b, ','), calls...)
	}
	b = appendFinish(append(b, `}]`...), r.Reason)
	if calls != nil {
		b = append(append(b, ','), calls...)
	}
	if c.prompt {
		b = body.AppendString(append(b, `,"prompt":`...), c.message)
	}
	b = append(b, `,"meta":{"api_version":{"version":"1"},"billed_units":{"input_tokens":`...)
	b = body.AppendInt(b, r.Usage.InputTokens)
	b = append(b, `,"output_tokens":`...)
	return append(body.AppendInt(b, r.Usage.OutputTokens), `}}`...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

// appendQueries appends the lines of a reply as search queries.
func (c *conversation) appendQueries(b []byte, text string) []byte {
	b = append(b, `"search_queries":[`...)
	first := true
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = body.AppendString(append(b, `{"text":`...), line)
		b = body.AppendString(append(b, `,"generation_id":`...), c.id)
		b = append(b, '}')
	}
	return append(b, ']')
}

// Stream makes events: text-generation for each piece of text, then
// citation-generation, tool-calls-generation or search-queries-generation as
// the reply has them, and stream-end with the whole reply.
func (c *conversation) Stream() (family.Stream, error) {
	if err := chat.Streams(c.stream, 1); err != nil {
		return nil, err
	}
	return &chatStream{c: c, buf: make([]byte, 0, 512)}, nil
}

type chatStream struct {
	c    *conversation
	buf  []byte
	seen []llm.Event // what the whole reply is made of
}

// Chunks makes an event for each piece of text, and the others at Done.
func (s *chatStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	if ev.Kind == llm.Delta && len(s.seen) > 0 {
		if last := &s.seen[len(s.seen)-1]; last.Kind == llm.Delta && last.Index == ev.Index {
			last.Text += ev.Text
			return s.say(&ev, emit)
		}
	}
	s.seen = append(s.seen, ev)
	switch ev.Kind {
	case llm.Delta:
		return s.say(&ev, emit)
	case llm.Done:
		return s.done(&ev, emit)
	}
	return nil
}

func (s *chatStream) say(ev *llm.Event, emit func([]byte) error) error {
	if ev.Text == "" || ev.Block == llm.Reasoning || ev.Block == llm.ToolCall || s.c.queries {
		return nil
	}
	b := append(s.buf[:0], `{"event_type":"text-generation","is_finished":false,"text":`...)
	s.buf = append(body.AppendString(b, ev.Text), '}')
	return emit(s.buf)
}

func (s *chatStream) done(ev *llm.Event, emit func([]byte) error) error {
	r, err := llm.Collect(func(yield func(llm.Event, error) bool) {
		for _, e := range s.seen {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	citations := s.c.cite(r.Text())
	if len(citations) > 0 {
		if err := s.event("citation-generation", s.c.appendCitations(nil, citations), emit); err != nil {
			return err
		}
	}
	if calls := appendCalls(nil, r); calls != nil {
		if err := s.event("tool-calls-generation", calls, emit); err != nil {
			return err
		}
	}
	if s.c.queries {
		if err := s.event("search-queries-generation", s.c.appendQueries(nil, r.Text()), emit); err != nil {
			return err
		}
	}
	b := appendFinish(append(s.buf[:0], `{"event_type":"stream-end","is_finished":true`...), r.Reason)
	b = s.c.appendReply(append(b, `,"response":{`...), r, citations)
	b = append(b, `},`...)
	s.buf = append(body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken), '}')
	return emit(s.buf)
}

func (s *chatStream) event(kind string, members []byte, emit func([]byte) error) error {
	b := append(append(s.buf[:0], `{"event_type":"`...), kind...)
	b = append(append(b, `","is_finished":false,`...), members...)
	s.buf = append(b, '}')
	return emit(s.buf)
}
