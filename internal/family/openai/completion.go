package openai

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// Limits of a body with a prompt.
const (
	maxCompletion      = 32_768 // tokens
	maxCompletionStops = 10
)

// template is what the catalogue calls DeepSeek's form of prompt.
const template = "deepseek"

// Tokens of DeepSeek's prompts. The bars are U+FF5C, the low lines U+2581.
const (
	begin     = "<｜begin▁of▁sentence｜>"
	end       = "<｜end▁of▁sentence｜>"
	user      = "<｜User｜>"
	assistant = "<｜Assistant｜>"
	think     = "<think>"
	thinkEnd  = "</think>"
)

// completion is one request with a prompt.
type completion struct {
	req *llm.Request
	// thinks tells that the prompt has opened the thoughts already.
	thinks bool
}

func parseCompletion(m family.Model, root *body.Value) (family.Task, error) {
	limit := m.MaxOutput
	if limit == 0 {
		limit = maxCompletion
	}
	root.Require("prompt")
	prompt := root.Get("prompt").Text(body.Length{Min: 1})
	p := llm.Params{
		MaxTokens:   root.Get("max_tokens").Int(body.Range{Min: 1, Max: float64(limit)}),
		Temperature: root.Get("temperature").Num(body.Range{Max: 1}),
		TopP:        root.Get("top_p").Num(body.Range{Max: 1}),
		Stop:        root.Get("stop").Texts(body.Length{Max: maxCompletionStops}),
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	c := &completion{req: parsePrompt(prompt, m)}
	c.thinks = strings.HasSuffix(strings.TrimRight(prompt, " \n"), think)
	c.req.Params = p
	return c, nil
}

// parsePrompt turns a prompt with DeepSeek's tokens into a conversation, or
// passes it on when the weights read such prompts themselves. Text before the
// first user token is system text; "<think>" behind the last assistant token
// belongs to the template, other text is the start of the reply.
func parsePrompt(prompt string, m family.Model) *llm.Request {
	marked := strings.Contains(prompt, user)
	if m.Prompt == template && (marked || m.StrictParity) {
		return &llm.Request{Raw: prompt}
	}
	req := &llm.Request{}
	if !marked {
		chat.Add(req, llm.User, chat.Text(prompt))
		return req
	}
	head, rest, ok := strings.Cut(prompt, user)
	if head = strings.TrimSpace(strings.ReplaceAll(head, begin, "")); head != "" {
		req.System = []string{head}
	}
	var turns chat.Turns
	for ok {
		var turn string
		turn, rest, ok = strings.Cut(rest, user)
		said, reply, answered := strings.Cut(turn, assistant)
		turns.Add(llm.User, said)
		if answered {
			addReply(&turns, reply, ok)
		}
	}
	turns.Into(req)
	return req
}

// addReply appends what the assistant said. ended tells that a turn follows.
func addReply(turns *chat.Turns, s string, ended bool) {
	if open := strings.TrimLeft(s, " \n"); strings.HasPrefix(open, think) {
		if _, after, ok := strings.Cut(open, thinkEnd); ok {
			s = strings.TrimLeft(after, "\n")
		} else {
			s = strings.TrimPrefix(strings.TrimPrefix(open, think), "\n")
		}
	}
	if ended {
		s = strings.TrimSuffix(strings.TrimRight(s, " \n"), begin)
	}
	s, _, _ = strings.Cut(s, end)
	s = strings.ReplaceAll(s, assistant, "")
	if strings.TrimSpace(s) != "" {
		turns.Add(llm.Assistant, s)
	}
}

// Request is the conversation of the prompt, or the prompt itself.
func (c *completion) Request() *llm.Request { return c.req }

// Response is {"choices": [{"text", "stop_reason"}]}. Thoughts stand in front of
// the text, closed by their end tag, and opened unless the prompt did.
func (c *completion) Response(r *llm.Response) ([]byte, error) {
	var thoughts strings.Builder
	for i := range r.Content {
		if r.Content[i].Kind == llm.Reasoning {
			thoughts.WriteString(r.Content[i].Text)
		}
	}
	text := r.Text()
	if thoughts.Len() > 0 {
		text = c.open() + thoughts.String() + thoughtsEnd + text
	}
	b := appendText(make([]byte, 0, len(text)+len(text)/8+64), text)
	return append(appendStop(b, r.Reason), "}]}"...), nil
}

const thoughtsEnd = "\n" + thinkEnd + "\n\n"

func (c *completion) open() string {
	if c.thinks {
		return ""
	}
	return think + "\n"
}

func appendText(b []byte, text string) []byte {
	return body.AppendString(append(b, `{"choices":[{"text":`...), text)
}

func appendStop(b []byte, r llm.StopReason) []byte {
	b = append(b, `,"stop_reason":`...)
	switch r {
	case "":
		return append(b, "null"...)
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return append(b, `"length"`...)
	}
	return append(b, `"stop"`...)
}

// Stream makes one chunk per piece and a last one with the stop reason.
func (c *completion) Stream() (family.Stream, error) {
	return &completionStream{c: c, buf: make([]byte, 0, 256)}, nil
}

type completionStream struct {
	c        *completion
	buf      []byte
	thoughts bool // the block that goes on is reasoning
	told     bool // some of it has been told
	reason   llm.StopReason
}

// Chunks makes a chunk for Delta and for Done.
func (s *completionStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.BlockStart:
		s.thoughts, s.told = ev.Block == llm.Reasoning, false
	case llm.Delta:
		if ev.Text == "" || ev.Block == llm.ToolCall {
			return nil
		}
		text := ev.Text
		if s.thoughts && !s.told {
			text = s.c.open() + text
		}
		s.told = true
		return s.say(text, emit)
	case llm.BlockStop:
		if s.thoughts && s.told {
			return s.say(thoughtsEnd, emit)
		}
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		if s.reason == "" {
			s.reason = llm.EndTurn
		}
		b := appendStop(appendText(s.buf[:0], ""), s.reason)
		b = append(b, `}],`...)
		s.buf = append(body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken), '}')
		return emit(s.buf)
	}
	return nil
}

func (s *completionStream) say(text string, emit func([]byte) error) error {
	s.buf = append(appendStop(appendText(s.buf[:0], text), ""), "}]}"...)
	return emit(s.buf)
}
